//! Carries out the plans of [`crate::service`] and looks at how the jobs are.
//!
//! Blocking, called by `hark service` and `hark doctor`. Every command has a time limit, every wait an end, and a plan
//! stops at the first step that fails with words that name the command.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::Places;
use crate::platform::command::{CommandError, Ended, finish};
use crate::service::{Command, Folders, JobName, State, Step, Supervisor, Verdict};

/// Why a plan could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The service manager's command is missing or hangs.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// It refused. Its own words say why.
    #[error("`{command}` ended with code {code}: {words}")]
    Refused {
        /// The command.
        command: String,
        /// Its exit code.
        code: i32,
        /// What it said.
        words: String,
    },
    /// It was waited for in vain.
    #[error("{waiting_for} took longer than {seconds} s")]
    Late {
        /// For what.
        waiting_for: &'static str,
        /// How long.
        seconds: u64,
    },
    /// A file could not be written or removed.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The program ran and was gone a moment later. Its log says why.
    #[error("{what} was started and did not stay up")]
    Fell {
        /// Which job.
        what: &'static str,
    },
}

/// How the service manager is talked to: the real one, or a test's model of it on simulated time.
pub struct Manager<'a> {
    /// Runs a command of the service manager to its end.
    pub run: &'a mut dyn FnMut(&Command) -> Result<Ended, CommandError>,
    /// Lets time pass.
    pub sleep: &'a mut dyn FnMut(Duration),
}

/// Talks to the service manager of this machine.
pub fn with_manager<T>(work: impl FnOnce(&mut Manager<'_>) -> T) -> T {
    work(&mut Manager {
        run: &mut |command| {
            let words: Vec<&str> = command.arguments.iter().map(String::as_str).collect();
            finish(command.program, &words, COMMAND_LIMIT)
        },
        sleep: &mut |time| std::thread::sleep(time),
    })
}

/// Carries out `steps`; `watch` is told of each before it begins.
///
/// # Errors
/// The first step that fails; what went before stays done, and the whole plan can be carried out again.
pub fn carry_out(
    steps: &[Step],
    manager: &mut Manager<'_>,
    watch: &mut dyn FnMut(&Step),
) -> Result<(), ServiceError> {
    for step in steps {
        watch(step);
        match step {
            Step::Folder { path, mode } => file(path, make_folder(path, *mode))?,
            Step::Write { path, text, mode } => file(path, write_whole(path, text, *mode))?,
            Step::Remove { path } => match std::fs::remove_file(path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                removed => file(path, removed)?,
            },
            Step::Run { command, tolerated } => {
                let ended = (manager.run)(command)?;
                if ended.code != 0 && !tolerated.contains(&ended.code) {
                    return Err(refused(command, ended));
                }
            }
            Step::Retry {
                command,
                on,
                times,
                pause,
            } => retry(manager, command, on, *times, *pause)?,
            Step::Until {
                command,
                verdict,
                limit,
                waiting_for,
            } => until(manager, command, *verdict, *limit, waiting_for)?,
            Step::When {
                probe,
                then,
                otherwise,
            } => {
                let branch = if (manager.run)(probe)?.code == 0 {
                    then
                } else {
                    otherwise
                };
                carry_out(branch, manager, watch)?;
            }
        }
    }
    Ok(())
}

fn retry(
    manager: &mut Manager<'_>,
    command: &Command,
    on: &[i32],
    times: u32,
    pause: Duration,
) -> Result<(), ServiceError> {
    for left in (0..times).rev() {
        let ended = (manager.run)(command)?;
        if ended.code == 0 {
            return Ok(());
        }
        if left == 0 || !on.contains(&ended.code) {
            return Err(refused(command, ended));
        }
        tracing::debug!(
            code = ended.code,
            left,
            "the service manager is asked again"
        );
        (manager.sleep)(pause);
    }
    Ok(())
}

fn until(
    manager: &mut Manager<'_>,
    command: &Command,
    verdict: Verdict,
    limit: Duration,
    waiting_for: &'static str,
) -> Result<(), ServiceError> {
    let mut waited = Duration::ZERO;
    loop {
        let succeeded = (manager.run)(command)?.code == 0;
        if succeeded == (verdict == Verdict::Succeeds) {
            return Ok(());
        }
        if waited >= limit {
            return Err(ServiceError::Late {
                waiting_for,
                seconds: limit.as_secs(),
            });
        }
        (manager.sleep)(POLL);
        waited += POLL;
    }
}

/// How the job is.
///
/// # Errors
/// The service manager's command is missing or hangs.
pub fn state(
    manager: &mut Manager<'_>,
    supervisor: Supervisor,
    name: JobName,
) -> Result<State, ServiceError> {
    let ended = (manager.run)(&supervisor.query(name))?;
    Ok(supervisor.read(ended.code, &ended.out))
}

/// Waits until the job runs and goes on running: the same process, `STAYS` later.
///
/// # Errors
/// It does not come up, or ends at once: [`ServiceError::Fell`].
pub fn stays_up(
    manager: &mut Manager<'_>,
    supervisor: Supervisor,
    name: JobName,
) -> Result<u32, ServiceError> {
    let fell = || ServiceError::Fell {
        what: name.description(),
    };
    let mut waited = Duration::ZERO;
    let mut since: Option<(u32, Duration)> = None;
    loop {
        match (state(manager, supervisor, name)?, since) {
            (State::Running { pid }, Some((first, when))) if pid == first => {
                if waited - when >= STAYS {
                    return Ok(pid);
                }
            }
            (State::Running { pid }, None) => since = Some((pid, waited)),
            // Another process than before, or none any more: the first one fell.
            (State::Failing { .. }, _) | (_, Some(_)) => return Err(fell()),
            (_, None) => {}
        }
        if waited >= COMES_UP {
            return Err(fell());
        }
        (manager.sleep)(POLL);
        waited += POLL;
    }
}

/// Where the service manager's files lie; `None` where there is no home folder.
#[must_use]
pub fn folders(places: &Places) -> Option<Folders> {
    let logs = crate::platform::directories::from_environment().ok()?.logs;
    let home = places.home.clone();
    let config = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .unwrap_or_else(|| home.join(".config"));
    Some(Folders { home, config, logs })
}

/// Whether the job's file is there.
#[must_use]
pub fn installed(supervisor: Supervisor, folders: &Folders, name: JobName) -> bool {
    supervisor.file(folders, name).exists()
}

fn refused(command: &Command, ended: Ended) -> ServiceError {
    let said = if ended.err.trim().is_empty() {
        ended.out
    } else {
        ended.err
    };
    ServiceError::Refused {
        command: command.to_string(),
        code: ended.code,
        words: said.trim().lines().next().unwrap_or("nothing").to_owned(),
    }
}

fn file(path: &Path, done: std::io::Result<()>) -> Result<(), ServiceError> {
    done.map_err(|source| ServiceError::File {
        path: path.to_owned(),
        source,
    })
}

fn make_folder(path: &Path, mode: u32) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if path.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
}

/// Beside its place first, then into it: a service manager that looks meanwhile sees the old file or the new one.
fn write_whole(path: &Path, text: &str, mode: u32) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let beside = path.with_file_name(name);
    let written = (|| {
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(&beside)?;
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    })();
    if written.is_err() {
        // What is left of the attempt is of no use to anyone, and its own failure is the one to tell.
        std::fs::remove_file(&beside).ok();
    }
    written
}

/// Between two looks.
const POLL: Duration = Duration::from_millis(100);

/// `systemctl stop` waits for the job's own time limit, a minute for a model server.
const COMMAND_LIMIT: Duration = Duration::from_secs(90);

/// How long a job may take from the command to its process.
const COMES_UP: Duration = Duration::from_secs(15);

/// A program with a wrong setting ends within this; launchd itself counts ten seconds, too long to wait for.
const STAYS: Duration = Duration::from_millis(1500);
