//! systemd: the user unit and the commands of `systemctl --user`.
//!
//! Core. `systemctl` waits for the end of what it starts and stops, so there is nothing to await here; what it starts may
//! still fail a moment later, which is for the caller to look at.

use std::path::PathBuf;

use super::{Command, Job, JobName, State, Step, Wish};

pub(super) fn render(job: &Job) -> String {
    let program = job.program.to_string_lossy();
    let words: Vec<String> = std::iter::once(program.as_ref())
        .chain(job.arguments.iter().map(String::as_str))
        .map(|word| quote(&word.replace('$', "$$")))
        .collect();
    let environment: String = job
        .environment
        .iter()
        .map(|(key, value)| format!("Environment={}\n", quote(&format!("{key}={value}"))))
        .collect();
    let sound = if job.name == JobName::Hark {
        "# The sound system of the session, whichever there is.\nAfter=pipewire-pulse.service pulseaudio.service pipewire.service\n"
    } else {
        ""
    };
    format!(
        "[Unit]\n\
         Description={description}\n\
         {sound}\
         # Five failures within a minute are enough: then it stays down and `hark service status` says so.\n\
         StartLimitIntervalSec=60\n\
         StartLimitBurst=5\n\
         \n\
         [Service]\n\
         ExecStart={command}\n\
         WorkingDirectory={directory}\n\
         {environment}\
         # After a failure only: an exit with 0 was asked for.\n\
         Restart=on-failure\n\
         RestartSec=2\n\
         # Exit code 2 is a wrong setting: trying again cannot help.\n\
         RestartPreventExitStatus=2\n\
         TimeoutStopSec={seconds}\n\
         LimitNOFILE=4096\n\
         \n\
         [Install]\n\
         WantedBy=default.target\n",
        description = job.name.description(),
        command = words.join(" "),
        directory = percent(&job.directory.to_string_lossy()),
        seconds = job.exit.as_secs(),
    )
}

/// The first word of `ExecStart`.
pub(super) fn program(text: &str) -> Option<PathBuf> {
    let command = text
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart="))?
        .trim();
    let word = match command.strip_prefix('"') {
        Some(quoted) => unquoted(quoted),
        None => command.split_whitespace().next()?.to_owned(),
    };
    Some(PathBuf::from(word.replace("%%", "%").replace("$$", "$")))
}

/// The text up to the quotation mark that is not escaped.
fn unquoted(text: &str) -> String {
    let mut word = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => break,
            '\\' => word.extend(letters.next()),
            other => word.push(other),
        }
    }
    word
}

/// A word in systemd's quoting; a per cent sign begins a specifier.
fn quote(word: &str) -> String {
    format!(
        "\"{}\"",
        percent(&word.replace('\\', r"\\").replace('"', "\\\""))
    )
}

fn percent(word: &str) -> String {
    word.replace('%', "%%")
        .replace('\n', r"\n")
        .replace('\t', r"\t")
}

fn systemctl(arguments: &[&str]) -> Command {
    let mut command = Command::new("systemctl", &["--user"]);
    command
        .arguments
        .extend(arguments.iter().map(|word| (*word).to_owned()));
    command
}

fn run(arguments: &[&str], tolerated: &'static [i32]) -> Step {
    Step::Run {
        command: systemctl(arguments),
        tolerated,
    }
}

pub(super) fn show(name: JobName) -> Command {
    systemctl(&[
        "show",
        "--property=LoadState,ActiveState,SubState,MainPID,ExecMainStatus",
        name.unit(),
    ])
}

pub(super) fn install(steps: &mut Vec<Step>, name: JobName, write: Step) {
    steps.push(write);
    steps.push(run(&["daemon-reload"], &[]));
    steps.push(run(&["enable", "--quiet", name.unit()], &[]));
    steps.extend(plan(name, Wish::Restart));
}

pub(super) fn uninstall(name: JobName, path: PathBuf) -> Vec<Step> {
    vec![
        // 1: the unit file does not exist; 5: the unit is not loaded.
        run(&["disable", "--quiet", "--now", name.unit()], &[1, 5]),
        Step::Remove { path },
        run(&["daemon-reload"], &[]),
        run(&["reset-failed", name.unit()], &[1, 5]),
    ]
}

pub(super) fn plan(name: JobName, wish: Wish) -> Vec<Step> {
    let verb = match wish {
        Wish::Start => "start",
        Wish::Stop => return vec![run(&["stop", name.unit()], &[5])],
        Wish::Restart => "restart",
    };
    vec![
        // A unit that has failed too often is refused until its failures are forgotten.
        run(&["reset-failed", name.unit()], &[1, 5]),
        run(&[verb, name.unit()], &[]),
    ]
}

pub(super) fn read(code: i32, text: &str) -> State {
    let value = |key: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .unwrap_or_default()
    };
    if code != 0 || value("LoadState") == "not-found" {
        return State::Unknown;
    }
    let last_exit = value("ExecMainStatus").parse().ok();
    match (value("ActiveState"), value("SubState")) {
        ("active", _) => State::Running {
            pid: value("MainPID").parse().unwrap_or(0),
        },
        ("activating", "auto-restart") | ("failed", _) => State::Failing { last_exit },
        ("activating" | "deactivating" | "reloading", _) => State::Changing,
        _ => State::Stopped { last_exit },
    }
}
