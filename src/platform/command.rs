//! Short commands of the system, run to their end under a time limit.
//!
//! Blocking; called by [`super::volume`] and by installers. Not for engines that stream: those own their child themselves.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Why a command gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The program is not installed. Install it or use another.
    #[error("{program} is not installed")]
    Missing {
        /// Its name.
        program: String,
    },
    /// It could not be run or answered with an error. Tell the user.
    #[error("{program} failed: {reason}")]
    Failed {
        /// Its name.
        program: String,
        /// Its words or status.
        reason: String,
    },
    /// It did not end in time and was killed. Retrying is of no use while the system hangs.
    #[error("{program} did not answer within {seconds} s")]
    TimedOut {
        /// Its name.
        program: String,
        /// The limit.
        seconds: u64,
    },
}

/// How a command ended and what it printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code; -1 where a signal ended it.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// Runs `program` and gives what it printed, at most a few lines: the output must fit a pipe (64 KiB).
///
/// # Errors
/// See [`CommandError`].
pub fn run(program: &str, arguments: &[&str], limit: Duration) -> Result<String, CommandError> {
    let ended = finish(program, arguments, limit)?;
    if ended.code == 0 {
        return Ok(ended.out);
    }
    let line = ended.err.lines().next().unwrap_or_default();
    Err(CommandError::Failed {
        program: program.to_owned(),
        reason: if line.is_empty() {
            format!("exit code {}", ended.code)
        } else {
            line.to_owned()
        },
    })
}

/// Runs `program` to its end and tells how that was: a code other than 0 is an answer, not an error. The output must fit
/// a pipe (64 KiB).
///
/// # Errors
/// It could not be run or did not end in time.
pub fn finish(program: &str, arguments: &[&str], limit: Duration) -> Result<Ended, CommandError> {
    let failed = |reason: String| CommandError::Failed {
        program: program.to_owned(),
        reason,
    };
    let mut child = Command::new(program)
        .args(arguments)
        // What is printed is read by programs: in English, whatever the user's language.
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => CommandError::Missing {
                program: program.to_owned(),
            },
            _ => failed(error.to_string()),
        })?;
    let status = wait(&mut child, limit).map_err(|error| failed(error.to_string()))?;
    let Some(status) = status else {
        return Err(CommandError::TimedOut {
            program: program.to_owned(),
            seconds: limit.as_secs(),
        });
    };
    Ok(Ended {
        code: status.code().unwrap_or(-1),
        out: read(child.stdout.take()).map_err(|error| failed(error.to_string()))?,
        err: read(child.stderr.take()).unwrap_or_default(),
    })
}

/// Waits for the end, and kills the child when the limit is over.
fn wait(child: &mut Child, limit: Duration) -> std::io::Result<Option<std::process::ExitStatus>> {
    let mut waited = Duration::ZERO;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if waited >= limit {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(POLL);
        waited += POLL;
    }
}

fn read(pipe: Option<impl std::io::Read>) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut bytes)?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// How often the child is looked at: these commands take 5 to 50 ms.
const POLL: Duration = Duration::from_millis(5);

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn output_failure_absence_and_time_limit_are_told_apart() {
        let limit = Duration::from_secs(5);
        assert_eq!(run("echo", &["hello"], limit).unwrap(), "hello\n");
        let failed = run("sh", &["-c", "echo why >&2; exit 3"], limit).unwrap_err();
        assert_eq!(failed.to_string(), "sh failed: why");
        let missing = run("no-such-program", &[], limit).unwrap_err();
        assert!(matches!(missing, CommandError::Missing { .. }));
        let slow = run("sleep", &["60"], Duration::from_millis(20)).unwrap_err();
        assert!(matches!(slow, CommandError::TimedOut { .. }));
    }
}
