//! `hark service …`: Hark (and, where chosen, one model server) as a service of the user's session.
//!
//! Thin: `jobs` builds what is to be run from the settings, `crate::service` plans, `crate::daemon::service` carries out.

mod jobs;
mod logs;

use std::path::PathBuf;

use serde_json::json;

use super::console::Console;
use super::failure::Failure;
use super::waiting::during;
use crate::config::{Config, Places};
use crate::daemon::service::{self, ServiceError};
use crate::platform::ServiceKind;
use crate::service::{JobName, State, Step, Supervisor, Verdict, Wish};
use jobs::Scene;

/// Arguments of `hark service`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  hark service install            run now and whenever you log in\n  hark service status\n  hark service logs --follow\n  hark service print --platform launchd"
)]
pub struct ServiceArgs {
    #[command(subcommand)]
    command: ServiceCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ServiceCommand {
    /// Runs Hark now and whenever you log in
    #[command(after_help = "Example:\n  hark service install --with ollama")]
    Install {
        /// A model server that is to run beside it: one, because two halve each other's speed
        #[arg(long, value_enum, value_name = "SERVER")]
        with: Option<Server>,
        /// Prints the files and commands, and does nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Ends it and forgets it; settings, models and transcripts stay
    #[command(after_help = "Example:\n  hark service uninstall")]
    Uninstall {
        /// Prints the files and commands, and does nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Runs it, if it is installed
    #[command(after_help = "Example:\n  hark service start")]
    Start,
    /// Ends it until the next start or login
    #[command(after_help = "Example:\n  hark service stop")]
    Stop,
    /// Ends it and runs it again, as after a change of settings
    #[command(after_help = "Example:\n  hark service restart")]
    Restart,
    /// Tells how it is; exit code 3 when it does not run
    #[command(after_help = "Example:\n  hark service status --json")]
    Status {
        /// Prints one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Prints the daemon's log, oldest first
    #[command(after_help = "Example:\n  hark service logs --follow")]
    Logs(logs::LogsArgs),
    /// Prints the file that would be installed
    #[command(after_help = "Example:\n  hark service print --platform systemd")]
    Print {
        /// For this service manager; the machine's own if not given
        #[arg(long, value_enum)]
        platform: Option<Platform>,
        /// The file of a model server instead of Hark's own
        #[arg(long, value_enum, value_name = "SERVER")]
        with: Option<Server>,
    },
}

/// A service manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Platform {
    /// macOS
    Launchd,
    /// Linux
    Systemd,
}

/// A model server that can be a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Server {
    /// `ollama serve`
    Ollama,
    /// `mlx_lm.server`
    Mlx,
}

impl Server {
    const fn job(self) -> JobName {
        match self {
            Self::Ollama => JobName::Ollama,
            Self::Mlx => JobName::Mlx,
        }
    }
}

/// Runs the verb.
///
/// # Errors
/// The service manager refuses or is missing, a program is not there, or the job does not stay up.
pub fn run(
    args: &ServiceArgs,
    config: &Config,
    places: &Places,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let scene = Scene::of_this_process(config, places)?;
    match &args.command {
        ServiceCommand::Print { platform, with } => print(&scene, *platform, *with, console),
        ServiceCommand::Logs(args) => logs::run(args, &scene.folders.logs, console),
        ServiceCommand::Install { with, dry_run } => install(&scene, *with, *dry_run, console),
        ServiceCommand::Uninstall { dry_run } => uninstall(&scene, *dry_run, console),
        ServiceCommand::Start => wish(&scene, Wish::Start, console),
        ServiceCommand::Stop => wish(&scene, Wish::Stop, console),
        ServiceCommand::Restart => wish(&scene, Wish::Restart, console),
        ServiceCommand::Status { json } => status(&scene, *json, console),
    }
}

/// Who runs services here.
fn supervisor() -> anyhow::Result<Supervisor> {
    match crate::platform::service_kind() {
        ServiceKind::Launchd => Ok(Supervisor::Launchd {
            uid: crate::platform::user_id(),
        }),
        ServiceKind::Systemd => Ok(Supervisor::Systemd),
        ServiceKind::Nobody => Err(Failure::failed(
            "no service manager is known for this system",
            "start `hark run` with what this system starts programs with",
        )
        .into()),
    }
}

fn print(
    scene: &Scene,
    platform: Option<Platform>,
    with: Option<Server>,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let supervisor = match platform {
        Some(Platform::Launchd) => Supervisor::Launchd {
            uid: crate::platform::user_id(),
        },
        Some(Platform::Systemd) => Supervisor::Systemd,
        None => supervisor()?,
    };
    let job = match with {
        None => scene.hark(),
        Some(server) => scene.server(server.job(), jobs::Missing::Named)?,
    };
    write!(console.out, "{}", supervisor.render(&job))?;
    Ok(())
}

fn install(
    scene: &Scene,
    with: Option<Server>,
    dry_run: bool,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let supervisor = supervisor()?;
    let mut jobs = Vec::new();
    if let Some(server) = with {
        let other = match server {
            Server::Ollama => JobName::Mlx,
            Server::Mlx => JobName::Ollama,
        };
        if service::installed(supervisor, &scene.folders, other) {
            return Err(Failure::usage(
                format!(
                    "{} is a service already, and two model servers halve each other's speed",
                    other.description()
                ),
                "uninstall first: hark service uninstall, then install with the other one",
            )
            .into());
        }
        jobs.push(scene.server(server.job(), jobs::Missing::Refused)?);
    }
    jobs.push(scene.hark());
    scene.warn(console)?;
    for job in &jobs {
        let steps = supervisor.install(&scene.folders, job);
        if dry_run {
            tell(&steps, 0, console)?;
            continue;
        }
        carry_out(&steps, console)?;
        let pid = up(supervisor, scene, job.name)?;
        writeln!(
            console.out,
            "{} runs (process {pid}).",
            job.name.description()
        )?;
    }
    if !dry_run {
        writeln!(
            console.out,
            "It starts whenever you log in. See `hark service status`, `hark service logs`."
        )?;
    }
    Ok(())
}

fn uninstall(scene: &Scene, dry_run: bool, console: &mut Console<'_>) -> anyhow::Result<()> {
    let supervisor = supervisor()?;
    let mut any = false;
    for name in JobName::ALL {
        if !service::installed(supervisor, &scene.folders, name) {
            continue;
        }
        any = true;
        let steps = supervisor.uninstall(&scene.folders, name);
        if dry_run {
            tell(&steps, 0, console)?;
        } else {
            carry_out(&steps, console)?;
            writeln!(
                console.out,
                "{} is no service any more.",
                name.description()
            )?;
        }
    }
    if !any {
        writeln!(console.out, "Nothing was installed.")?;
    }
    Ok(())
}

fn wish(scene: &Scene, wish: Wish, console: &mut Console<'_>) -> anyhow::Result<()> {
    let supervisor = supervisor()?;
    let names: Vec<JobName> = JobName::ALL
        .into_iter()
        .filter(|name| service::installed(supervisor, &scene.folders, *name))
        .collect();
    if !names.contains(&JobName::Hark) {
        return Err(
            Failure::failed("Hark is not installed as a service", "hark service install").into(),
        );
    }
    for name in names {
        carry_out(&supervisor.plan(&scene.folders, name, wish), console)?;
        if wish == Wish::Stop {
            writeln!(console.out, "{} has ended.", name.description())?;
        } else {
            let pid = up(supervisor, scene, name)?;
            writeln!(console.out, "{} runs (process {pid}).", name.description())?;
        }
    }
    Ok(())
}

/// Waits until the job runs; what its log says last is told where it does not.
fn up(supervisor: Supervisor, scene: &Scene, name: JobName) -> anyhow::Result<u32> {
    let up = during("waiting for it to come up, and stay up", || {
        service::with_manager(|manager| service::stays_up(manager, supervisor, name))
    });
    up.map_err(|error| match error {
        ServiceError::Fell { .. } => {
            let last = logs::last_words(&scene.folders.logs, name);
            let said = last.map_or_else(String::new, |line| format!("; it said: {line}"));
            Failure::failed(
                format!("{error}{said}"),
                "see `hark service logs` and `hark doctor`",
            )
            .into()
        }
        other => judged(other),
    })
}

fn carry_out(steps: &[Step], console: &mut Console<'_>) -> anyhow::Result<()> {
    let mut broken = None;
    let mut watch = |step: &Step| {
        // A wait is told before it is waited: it can take as long as the program takes to end.
        if let Step::Until { waiting_for, .. } = step
            && let Err(error) = writeln!(console.err, "waiting for {waiting_for} ...")
        {
            broken = Some(error);
        }
    };
    let done = service::with_manager(|manager| service::carry_out(steps, manager, &mut watch));
    done.map_err(judged)?;
    broken.map_or(Ok(()), |error| Err(error.into()))
}

/// An error of the service manager with what to do about it.
fn judged(error: ServiceError) -> anyhow::Error {
    let text = error.to_string();
    let next = if text.contains("Failed to connect to bus") {
        "run this in your own session (no sudo); over ssh first: export XDG_RUNTIME_DIR=/run/user/$(id -u)"
    } else if text.contains("launchctl") {
        "run this in a terminal of the Mac's own screen, not over ssh; then again"
    } else {
        "try the command again by hand; `hark service install --dry-run` prints all of them"
    };
    Failure::failed(text, next).into()
}

/// The plan as a person would type it.
fn tell(steps: &[Step], indent: usize, console: &mut Console<'_>) -> std::io::Result<()> {
    let blank = " ".repeat(indent);
    for step in steps {
        match step {
            Step::Folder { path, mode } => {
                writeln!(
                    console.out,
                    "{blank}mkdir -p -m {mode:03o} {}",
                    path.display()
                )?;
            }
            Step::Write { path, text, mode } => {
                writeln!(
                    console.out,
                    "{blank}write {} (mode {mode:03o}):",
                    path.display()
                )?;
                for line in text.lines() {
                    writeln!(console.out, "{blank}    {line}")?;
                }
            }
            Step::Remove { path } => writeln!(console.out, "{blank}rm -f {}", path.display())?,
            Step::Run { command, tolerated } => {
                let codes: Vec<String> = tolerated.iter().map(ToString::to_string).collect();
                let note = if codes.is_empty() {
                    String::new()
                } else {
                    format!("    # exit codes {} are fine", codes.join(", "))
                };
                writeln!(console.out, "{blank}{command}{note}")?;
            }
            Step::Retry { command, times, .. } => {
                writeln!(console.out, "{blank}{command}    # up to {times} times")?;
            }
            Step::Until {
                command,
                verdict,
                limit,
                ..
            } => {
                let word = match verdict {
                    Verdict::Succeeds => "succeeds",
                    Verdict::Fails => "fails",
                };
                writeln!(
                    console.out,
                    "{blank}{command}    # until it {word}, {} s at most",
                    limit.as_secs()
                )?;
            }
            Step::When {
                probe,
                then,
                otherwise,
            } => {
                writeln!(console.out, "{blank}if {probe}; then")?;
                tell(then, indent + 2, console)?;
                writeln!(console.out, "{blank}else")?;
                tell(otherwise, indent + 2, console)?;
                writeln!(console.out, "{blank}fi")?;
            }
        }
    }
    Ok(())
}

fn status(scene: &Scene, as_json: bool, console: &mut Console<'_>) -> anyhow::Result<()> {
    let supervisor = supervisor()?;
    let mut found: Vec<(JobName, PathBuf, State)> = Vec::new();
    for name in JobName::ALL {
        let file = supervisor.file(&scene.folders, name);
        if name == JobName::Hark || file.exists() {
            let state = service::with_manager(|manager| service::state(manager, supervisor, name))
                .map_err(judged)?;
            found.push((name, file, state));
        }
    }
    if as_json {
        let jobs: Vec<_> = found
            .iter()
            .map(|(name, file, state)| {
                let (pid, last_exit) = numbers(*state);
                json!({"job": name.stem(), "state": state.as_str(), "pid": pid,
                       "last_exit": last_exit, "file": file.exists().then_some(file)})
            })
            .collect();
        writeln!(console.out, "{}", json!({"jobs": jobs}))?;
    } else {
        for (name, file, state) in &found {
            let words = match state {
                State::Unknown if file.exists() => NOT_LOADED.to_owned(),
                state => words(*state),
            };
            writeln!(console.out, "{}: {words}", name.description())?;
            if file.exists() {
                writeln!(console.out, "  {}", file.display())?;
            }
        }
    }
    let hark = found.first().map(|(_, _, state)| *state);
    match hark {
        Some(State::Running { .. } | State::Changing) => Ok(()),
        Some(State::Unknown) if found[0].1.exists() => Err(not_up(
            "Hark is installed, and the service manager has not loaded it",
            "hark service install, in your own session",
        )),
        Some(State::Unknown) => Err(not_up(
            "Hark is not installed as a service",
            "hark service install",
        )),
        Some(State::Failing { .. }) => Err(not_up(
            "Hark fails again and again",
            "see `hark service logs` and `hark doctor`",
        )),
        _ => Err(not_up("Hark does not run", "hark service start")),
    }
}

const NOT_LOADED: &str = "installed, and not loaded by the service manager";

fn not_up(what: &str, next: &str) -> anyhow::Error {
    Failure {
        code: super::failure::UNREACHABLE,
        message: what.to_owned(),
        next: next.to_owned(),
    }
    .into()
}

fn numbers(state: State) -> (Option<u32>, Option<i32>) {
    match state {
        State::Running { pid } => (Some(pid), None),
        State::Stopped { last_exit } | State::Failing { last_exit } => (None, last_exit),
        State::Unknown | State::Changing => (None, None),
    }
}

fn words(state: State) -> String {
    let ended = |code: Option<i32>| match code {
        Some(0) | None => String::new(),
        Some(code) => format!(" (it ended with code {code})"),
    };
    match state {
        State::Unknown => "not installed".to_owned(),
        State::Stopped { last_exit } => format!("stopped{}", ended(last_exit)),
        State::Changing => "starting or ending".to_owned(),
        State::Running { pid } => format!("runs, process {pid}"),
        State::Failing { last_exit } => format!("fails again and again{}", ended(last_exit)),
    }
}
