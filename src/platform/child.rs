//! A program run for a tool: bounded in time and output, and gone with its caller.
//!
//! Async, on the runtime. Never through a shell. The child leads a process group of its own; when the future is dropped,
//! the time is over or the output too long, the whole group is killed, so that nothing that it started runs on. A program
//! that ends by itself may leave a helper behind on purpose (`xclip` serves the clipboard that it was given).

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

/// What is to be run.
#[derive(Debug, Clone)]
pub struct Run {
    /// The program, as a path.
    pub program: PathBuf,
    /// Its arguments, as they are.
    pub arguments: Vec<OsString>,
    /// What it reads.
    pub input: Option<Vec<u8>>,
    /// Whether what it prints is wanted.
    pub output: Output,
    /// Variables beside ours.
    pub environment: Vec<(String, String)>,
    /// Where it starts; `None` is where we are.
    pub folder: Option<PathBuf>,
    /// How long it may take.
    pub limit: Duration,
}

/// What becomes of what a program prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// It is read, up to so many bytes; what is beyond is dropped, and the program goes on.
    Keep(usize),
    /// It goes nowhere. For programs that leave a helper behind, which would hold the pipe open.
    Drop,
}

/// What a program has printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Printed {
    /// Its output.
    pub text: String,
    /// Whether there was more.
    pub cut: bool,
    /// The first line of its complaints.
    pub complaint: String,
    /// Its exit code; `None` where a signal ended it.
    pub code: Option<i32>,
}

/// Why a program gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// It is not there. Install it.
    #[error("{program} is not installed")]
    Missing {
        /// Its name.
        program: String,
    },
    /// It could not be started or read.
    #[error("{program} cannot be run: {reason}")]
    Failed {
        /// Its name.
        program: String,
        /// The system's words.
        reason: String,
    },
    /// It did not end in time and was killed.
    #[error("{program} did not end within {seconds} s")]
    TimedOut {
        /// Its name.
        program: String,
        /// The limit.
        seconds: u64,
    },
}

/// Runs it to its end.
///
/// # Errors
/// See [`ChildError`]; an exit code other than zero is none.
pub async fn run(run: Run) -> Result<Printed, ChildError> {
    let program = run.program.file_name().map_or_else(
        || run.program.display().to_string(),
        |name| name.to_string_lossy().into_owned(),
    );
    let failed = |error: std::io::Error| ChildError::Failed {
        program: program.clone(),
        reason: error.to_string(),
    };
    let mut command = Command::new(&run.program);
    command
        .args(&run.arguments)
        .envs(run.environment)
        .stdin(if run.input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .kill_on_drop(true);
    match run.output {
        Output::Keep(_) => command.stdout(Stdio::piped()).stderr(Stdio::piped()),
        Output::Drop => command.stdout(Stdio::null()).stderr(Stdio::null()),
    };
    if let Some(folder) = run.folder {
        command.current_dir(folder);
    }
    let child = spawn_in_group(&mut command).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => ChildError::Missing {
            program: program.clone(),
        },
        _ => failed(error),
    })?;
    let most = match run.output {
        Output::Keep(most) => most,
        Output::Drop => 0,
    };
    let work = finish(child, run.input, most);
    match tokio::time::timeout(run.limit, work).await {
        Ok(printed) => printed.map_err(failed),
        Err(_) => Err(ChildError::TimedOut {
            program,
            seconds: run.limit.as_secs(),
        }),
    }
}

/// Starts `command` as the leader of a group that is killed with the value.
///
/// # Errors
/// The program cannot be started.
pub fn spawn_in_group(command: &mut Command) -> std::io::Result<Grouped> {
    #[cfg(unix)]
    command.process_group(0);
    let child = command.spawn()?;
    let group = child.id();
    Ok(Grouped { child, group })
}

/// A child with everything that it starts.
#[derive(Debug)]
pub struct Grouped {
    /// The child.
    pub child: Child,
    /// The group, while it is to be killed.
    group: Option<u32>,
}

impl Grouped {
    /// Kills the child and everything that it started.
    pub fn kill(&mut self) {
        if let Some(group) = self.group.take() {
            kill_group(group);
        }
    }

    /// The child's number, which is its group's, too.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.group
    }

    /// It has ended by itself: what it left behind may stay.
    fn released(&mut self) {
        self.group = None;
    }
}

impl Drop for Grouped {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(unix)]
fn kill_group(group: u32) {
    let Ok(group) = libc::pid_t::try_from(group) else {
        return;
    };
    // SAFETY: a plain system call. The leader has not been waited for yet (`Grouped::released` is called then), so its
    // number cannot belong to another group.
    unsafe {
        libc::killpg(group, libc::SIGKILL);
    }
}

#[cfg(not(unix))]
fn kill_group(_: u32) {}

async fn finish(
    mut grouped: Grouped,
    input: Option<Vec<u8>>,
    most: usize,
) -> std::io::Result<Printed> {
    let (stdin, stdout, stderr) = (
        grouped.child.stdin.take(),
        grouped.child.stdout.take(),
        grouped.child.stderr.take(),
    );
    let feed = async move {
        if let (Some(mut stdin), Some(input)) = (stdin, input) {
            // A program that does not read to the end is no failure; its exit code tells.
            stdin.write_all(&input).await.ok();
            stdin.shutdown().await.ok();
        }
    };
    let ((), text, complaint) = tokio::join!(feed, read(stdout, most), read(stderr, COMPLAINT));
    let (text, complaint) = (text?, complaint?);
    let status = grouped.child.wait().await?;
    grouped.released();
    Ok(Printed {
        text: String::from_utf8_lossy(&text.0).into_owned(),
        cut: text.1,
        complaint: String::from_utf8_lossy(&complaint.0)
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned(),
        code: status.code(),
    })
}

/// Reads to the end, keeps the first `most` bytes, and tells whether there were more.
async fn read(
    pipe: Option<impl AsyncRead + Unpin>,
    most: usize,
) -> std::io::Result<(Vec<u8>, bool)> {
    let Some(mut pipe) = pipe else {
        return Ok((Vec::new(), false));
    };
    let mut kept = Vec::new();
    let mut cut = false;
    let mut block = vec![0; 16 * 1024];
    loop {
        let count = pipe.read(&mut block).await?;
        if count == 0 {
            return Ok((kept, cut));
        }
        let room = most.saturating_sub(kept.len()).min(count);
        kept.extend_from_slice(&block[..room]);
        cut |= room < count;
    }
}

/// Bytes of complaints that are kept.
const COMPLAINT: usize = 2_048;

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn sh(script: &str) -> Run {
        Run {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            input: None,
            output: Output::Keep(1_000),
            environment: Vec::new(),
            folder: None,
            limit: Duration::from_secs(30),
        }
    }

    #[cfg(target_os = "linux")]
    fn runs(process: &str) -> bool {
        std::path::Path::new("/proc").join(process.trim()).exists()
    }

    #[tokio::test]
    async fn output_is_bounded_and_input_is_read() {
        let mut job = sh("cat; head -c 100000 /dev/zero; echo why >&2; exit 3");
        job.input = Some(b"hello".to_vec());
        let printed = run(job).await.unwrap();
        assert_eq!((printed.text.len(), printed.cut), (1_000, true));
        assert!(printed.text.starts_with("hello"));
        assert_eq!((printed.complaint.as_str(), printed.code), ("why", Some(3)));
    }

    #[tokio::test]
    async fn a_program_that_is_missing_is_told() {
        let mut job = sh("");
        job.program = "/no/such/program".into();
        let error = run(job).await.unwrap_err();
        assert_eq!(error.to_string(), "program is not installed");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn dropping_the_future_kills_the_child_and_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let note = folder.path().join("pids");
        let script = format!("sleep 300 & echo $! $$ > {}; wait", note.display());
        let job = tokio::spawn(run(sh(&script)));
        let pids = loop {
            match std::fs::read_to_string(&note) {
                Ok(text) if text.ends_with('\n') => break text,
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        assert!(pids.split(' ').all(runs));
        job.abort();
        assert!(job.await.unwrap_err().is_cancelled());
        let mut left = 2_000;
        while pids.split(' ').any(runs) && left > 0 {
            left -= 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(!pids.split(' ').any(runs), "nothing is left of {pids}");
    }
}
