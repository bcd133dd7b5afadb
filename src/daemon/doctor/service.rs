//! Hark as a service of the user's session: installed, known to the service manager, running, and up to date.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::bounded::within;
use super::{Check, Setup, shell};
use crate::daemon::service::{self, Manager};
use crate::platform::{self, ServiceKind};
use crate::service::{JobName, State, Supervisor};

/// All checks of this group.
#[must_use]
pub fn checks(setup: &Setup) -> Vec<Check> {
    let Some(supervisor) = supervisor() else {
        return vec![Check::skip(
            NAME,
            "no service manager is known for this system",
        )];
    };
    let Some(folders) = service::folders(&setup.places) else {
        return vec![Check::skip(NAME, "there is no home folder")];
    };
    let file = supervisor.file(&folders, JobName::Hark);
    let Ok(text) = std::fs::read_to_string(&file) else {
        return vec![judge(supervisor, None)];
    };
    let asked = within(ASKING, move || {
        service::with_manager(|manager: &mut Manager<'_>| {
            service::state(manager, supervisor, JobName::Hark)
        })
    });
    let state = match asked {
        Ok(Ok(state)) => Ok(state),
        Ok(Err(error)) => Err(error.to_string()),
        Err(stuck) => Err(stuck.to_string()),
    };
    let program = supervisor.program(&text);
    let newer = program
        .as_deref()
        .and_then(|program| Some(modified(program)? > modified(&file)?));
    let missing = program.clone().filter(|program| !program.is_file());
    let found = Installed {
        file,
        program,
        missing: missing.is_some(),
        program_is_newer: newer.unwrap_or(false),
        state,
    };
    vec![judge(supervisor, Some(&found))]
}

fn supervisor() -> Option<Supervisor> {
    match platform::service_kind() {
        ServiceKind::Launchd => Some(Supervisor::Launchd {
            uid: platform::user_id(),
        }),
        ServiceKind::Systemd => Some(Supervisor::Systemd),
        ServiceKind::Nobody => None,
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().ok()?.modified().ok()
}

/// A service that is installed.
#[derive(Debug)]
pub struct Installed {
    /// The file of the service manager.
    pub file: PathBuf,
    /// The program that it names.
    pub program: Option<PathBuf>,
    /// Whether that program is not there.
    pub missing: bool,
    /// Whether the program was changed after the file was written: an update of Hark.
    pub program_is_newer: bool,
    /// What the service manager says, or why it says nothing.
    pub state: Result<State, String>,
}

/// How the service is; `None` where it is not installed.
#[must_use]
pub fn judge(supervisor: Supervisor, found: Option<&Installed>) -> Check {
    let Some(found) = found else {
        return Check::skip(
            NAME,
            "not installed; `hark service install` runs Hark whenever you log in",
        );
    };
    let file = found.file.display();
    let again = "`hark service install` writes it anew";
    if found.program.is_none() {
        return Check::warn(NAME, format!("{file} names no program"), again);
    }
    if let Some(program) = found.program.as_ref().filter(|_| found.missing) {
        return Check::warn(
            NAME,
            format!(
                "{file} starts {}, which is not there: Hark will not run after the next login",
                program.display()
            ),
            again,
        );
    }
    let logs = "see `hark service logs`, then `hark service restart`";
    match &found.state {
        Err(why) => Check::warn(
            NAME,
            format!("{file} is there, and the service manager does not answer: {why}"),
            match supervisor {
                Supervisor::Launchd { .. } => {
                    "in a terminal of the Mac's own screen: `hark service status`"
                }
                Supervisor::Systemd => {
                    "in your own session: `hark service status`; over ssh first `export XDG_RUNTIME_DIR=/run/user/$(id -u)`"
                }
            },
        ),
        Ok(State::Unknown) => Check::warn(
            NAME,
            format!("{file} is there, and the service manager has not loaded it"),
            "`hark service start`",
        ),
        Ok(State::Failing { last_exit }) => Check::warn(
            NAME,
            format!("Hark fails again and again{}", ended(*last_exit)),
            logs,
        ),
        Ok(State::Stopped {
            last_exit: Some(code),
        }) if *code != 0 => Check::warn(
            NAME,
            format!("Hark does not run{}", ended(Some(*code))),
            logs,
        ),
        Ok(State::Stopped { .. }) => Check::warn(
            NAME,
            "Hark is installed as a service and does not run",
            "`hark service start`",
        ),
        Ok(State::Changing) => Check::ok(NAME, "Hark is starting or ending"),
        Ok(State::Running { pid }) if found.program_is_newer => Check::warn(
            NAME,
            format!(
                "runs as process {pid}, and {} was changed after {} was written: the old program may still run",
                shell(found.program.as_deref().unwrap_or(Path::new("hark"))),
                file
            ),
            "`hark service install` writes it anew and starts the new one",
        ),
        Ok(State::Running { pid }) => Check::ok(NAME, format!("runs as process {pid}")),
    }
}

fn ended(code: Option<i32>) -> String {
    code.map_or_else(String::new, |code| format!("; it ended with code {code}"))
}

const NAME: &str = "service";

/// `launchctl print` and `systemctl show` answer in some milliseconds, or hang.
const ASKING: Duration = Duration::from_secs(5);
