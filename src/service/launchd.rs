//! launchd: the property list of a LaunchAgent and the commands of `launchctl`.
//!
//! Core. The sequence is free of the known races: `bootout` returns before the job has gone, and a `bootstrap` in that
//! time fails with code 5; so the end is awaited, and 5 is retried. `load` and `unload` are legacy and not used.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{BUNDLE, Command, Job, JobName, State, Step, Verdict, Wish};

/// The property list, with places for what differs.
const TEMPLATE: &str = include_str!("../../launchd/hark.plist");

/// `bootstrap` while the job before it is still going: "Input/output error", "Operation already in progress".
const PASSES: &[i32] = &[5, 37];

/// `bootout` of a job that is not there: "No such process", "Could not find service"; or that is going already:
/// "Operation now in progress".
const GONE: &[i32] = &[3, 36, 113];

/// The longest time that launchd gives a job to end (`ExitTimeOut`), and some.
const END: Duration = Duration::from_secs(45);

pub(super) fn render(job: &Job) -> String {
    let text = |value: &str| format!("\t\t<string>{}</string>", escape(value));
    let program = job.program.to_string_lossy();
    let arguments: Vec<String> = std::iter::once(program.as_ref())
        .chain(job.arguments.iter().map(String::as_str))
        .map(text)
        .collect();
    let environment: Vec<String> = job
        .environment
        .iter()
        .map(|(key, value)| format!("\t\t<key>{}</key>\n{}", escape(key), text(value)))
        .collect();
    TEMPLATE
        .replace("{{label}}", job.name.label())
        .replace("{{bundle}}", BUNDLE)
        .replace("{{exit_seconds}}", &job.exit.as_secs().to_string())
        .replace("{{directory}}", &escape(&job.directory.to_string_lossy()))
        .replace("{{stderr}}", &escape(&job.stderr.to_string_lossy()))
        // What comes from outside goes in last, so that braces in it are left alone.
        .replace("{{environment}}", &environment.join("\n"))
        .replace("{{arguments}}", &arguments.join("\n"))
}

/// The first string of `ProgramArguments`.
pub(super) fn program(text: &str) -> Option<PathBuf> {
    let (_, arguments) = text.split_once("<key>ProgramArguments</key>")?;
    let (_, first) = arguments.split_once("<string>")?;
    let (first, _) = first.split_once("</string>")?;
    let plain = first
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&");
    Some(PathBuf::from(plain))
}

/// Text inside an XML element. Control characters have no place in XML 1.0 and none in paths that people use.
fn escape(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control() || matches!(c, '\t' | '\n'))
        .fold(String::with_capacity(text.len()), |mut out, c| {
            match c {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                other => out.push(other),
            }
            out
        })
}

fn target(uid: u32, name: JobName) -> String {
    format!("gui/{uid}/{}", name.label())
}

pub(super) fn print(uid: u32, name: JobName) -> Command {
    Command::new("launchctl", &["print", &target(uid, name)])
}

pub(super) fn install(steps: &mut Vec<Step>, uid: u32, job: &Job, path: &Path, write: Step) {
    steps.extend(bootout(uid, job.name));
    steps.push(write);
    steps.extend(bootstrap(uid, job.name, path));
}

pub(super) fn uninstall(uid: u32, name: JobName, path: PathBuf) -> Vec<Step> {
    let mut steps = bootout(uid, name);
    steps.push(Step::Remove { path });
    steps
}

pub(super) fn plan(uid: u32, name: JobName, path: &Path, wish: Wish) -> Vec<Step> {
    let target = target(uid, name);
    let kick = |arguments: &[&str]| {
        vec![Step::Run {
            command: Command::new("launchctl", arguments),
            tolerated: &[],
        }]
    };
    match wish {
        Wish::Stop => bootout(uid, name),
        Wish::Start => vec![Step::When {
            probe: print(uid, name),
            then: kick(&["kickstart", &target]),
            otherwise: bootstrap(uid, name, path),
        }],
        Wish::Restart => vec![Step::When {
            probe: print(uid, name),
            then: kick(&["kickstart", "-k", &target]),
            otherwise: bootstrap(uid, name, path),
        }],
    }
}

/// Ends the job and waits until it has gone.
fn bootout(uid: u32, name: JobName) -> Vec<Step> {
    vec![
        Step::Run {
            command: Command::new("launchctl", &["bootout", &target(uid, name)]),
            tolerated: GONE,
        },
        Step::Until {
            command: print(uid, name),
            verdict: Verdict::Fails,
            limit: END,
            waiting_for: "the running one to end",
        },
    ]
}

/// Makes the job known and, by `RunAtLoad`, running.
fn bootstrap(uid: u32, name: JobName, path: &Path) -> Vec<Step> {
    let domain = format!("gui/{uid}");
    vec![
        // A job that the user has disabled once is refused for ever otherwise, with the same code 5.
        Step::Run {
            command: Command::new("launchctl", &["enable", &target(uid, name)]),
            tolerated: &[],
        },
        Step::Retry {
            command: Command::new(
                "launchctl",
                &["bootstrap", &domain, &path.to_string_lossy()],
            ),
            on: PASSES,
            times: 12,
            pause: Duration::from_millis(500),
        },
        Step::Until {
            command: print(uid, name),
            verdict: Verdict::Succeeds,
            limit: Duration::from_secs(5),
            waiting_for: "launchd to know the job",
        },
    ]
}

/// Reads `launchctl print`, which is made for people: only the two lines that have stayed the same since 10.10 are used.
pub(super) fn read(code: i32, text: &str) -> State {
    if code != 0 {
        return State::Unknown;
    }
    let value = |key: &str| {
        text.lines().find_map(|line| {
            let (name, value) = line.trim().split_once(" = ")?;
            (name == key).then(|| value.trim().to_owned())
        })
    };
    let last_exit =
        value("last exit code").and_then(|text| text.split([':', ' ']).next()?.parse().ok());
    let pid = value("pid").and_then(|pid| pid.parse().ok());
    match (pid, value("state").as_deref()) {
        (Some(pid), _) => State::Running { pid },
        (None, Some("spawn scheduled" | "waiting")) if last_exit.is_some_and(|code| code != 0) => {
            State::Failing { last_exit }
        }
        (None, Some("spawn scheduled" | "spawning")) => State::Changing,
        _ => State::Stopped { last_exit },
    }
}
