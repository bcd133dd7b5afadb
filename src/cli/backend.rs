//! `hark backend`: which language model is resident, how much memory it holds, and putting another in its place.
//!
//! Works with and without a running daemon: the servers themselves are looked at. What `use` starts stays when the command
//! has ended, and a daemon takes it over as Hark's own.

mod bench;
mod daemon;

use std::time::Duration;

use serde_json::json;

use super::Setting;
use super::console::{Console, with_standard_streams};
use super::failure::{Failure, UNREACHABLE};
use super::waiting::{Waiting, during};
use crate::config::resolved::Manage;
use crate::daemon::desk::beginning::of_a_new_conversation;
use crate::daemon::parts;
use crate::daemon::resident::server_settings;
use crate::gateway::residency::{Consent, Event, Kind, News, Owner, Phase, Policy};
use crate::gateway::servers::{Keeping, ServerSettings};
use crate::gateway::supervisor::{Prefix, Supervisor, Told};
use crate::llm::survey::{Found, Presence, survey};
use crate::llm::{LlmBackend, backends};
use crate::memory::human;
use crate::platform::clock::Clock;
use crate::platform::memory::tree_footprint_bytes;

/// Arguments of `hark backend`.
#[derive(Debug, clap::Args)]
pub struct BackendArgs {
    #[command(subcommand)]
    verb: BackendVerb,
}

#[derive(Debug, clap::Subcommand)]
enum BackendVerb {
    /// Lists the backends: which answers, what it holds, whose it is
    #[command(after_help = "Example:\n  hark backend list --json")]
    List(ListArgs),
    /// Makes one backend the resident one: the other is drained, unloaded and confirmed gone before this one loads
    #[command(after_help = "Example:\n  hark backend use mlx")]
    Use(UseArgs),
    /// Loads the model and puts the static prompt into its cache
    #[command(after_help = "Example:\n  hark backend warm")]
    Warm,
    /// Unloads whatever is resident
    #[command(after_help = "Example:\n  hark backend stop --yes")]
    Stop(StopArgs),
    /// Measures each backend alone and both together: speed, first token, memory
    #[command(
        after_help = "Examples:\n  hark backend bench\n  hark backend bench --prompts 500,2000 --json > bench.json\n\nEach backend is started in turn and stopped again; what is resident before has to be given up (--yes does not ask)."
    )]
    Bench(bench::BenchArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Prints one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct UseArgs {
    /// mlx or ollama
    #[arg(value_parser = kind)]
    name: Kind,
    /// Does not ask before a server of another program is stopped
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, clap::Args)]
struct StopArgs {
    /// Does not ask before a server of another program is stopped
    #[arg(long)]
    yes: bool,
}

fn kind(name: &str) -> Result<Kind, String> {
    Kind::ALL
        .into_iter()
        .find(|kind| kind.name() == name)
        .ok_or_else(|| {
            "it is mlx or ollama; another server is used by its address, llm.openai.url".to_owned()
        })
}

/// Runs the verb.
///
/// # Errors
/// A backend does not do what it was asked for (1), is not there (3), or `llm.manage` forbids it (2).
pub fn run(args: &BackendArgs, setting: &Setting) -> anyhow::Result<()> {
    let runtime = super::runtime()?;
    with_standard_streams(|console| match &args.verb {
        BackendVerb::List(args) => list(args, setting, console, &runtime),
        BackendVerb::Use(args) => {
            change(Event::Use(args.name), args.yes, setting, console, &runtime)
        }
        BackendVerb::Stop(args) => change(Event::Stop, args.yes, setting, console, &runtime),
        BackendVerb::Warm => runtime.block_on(warm(setting, console)),
        BackendVerb::Bench(args) => bench::run(args, setting, console, &runtime),
    })
}

fn list(
    args: &ListArgs,
    setting: &Setting,
    console: &mut Console<'_>,
    runtime: &tokio::runtime::Runtime,
) -> anyhow::Result<()> {
    let settings = server_settings(&setting.config.llm, &setting.places, Keeping::UntilStopped);
    let presences = during(ASKING, || runtime.block_on(survey(&settings.llm)));
    let rows: Vec<Row> = presences
        .iter()
        .map(|found| row(found, &settings))
        .collect();
    if args.json {
        let rows: Vec<_> = rows.iter().map(Row::document).collect();
        writeln!(console.out, "{}", json!({ "backends": rows }))?;
        return Ok(());
    }
    for row in &rows {
        let memory = row
            .bytes
            .map_or_else(String::new, |bytes| format!(", {}", human(bytes)));
        let owner = match row.owner {
            Some(Owner::Ours) => ", started by Hark",
            Some(Owner::Foreign) => ", started by another program",
            None => "",
        };
        let model = row
            .model
            .as_deref()
            .map_or_else(String::new, |model| format!(", {model}"));
        writeln!(
            console.out,
            "{:<8} {}{model}{memory}{owner}",
            row.name, row.state
        )?;
        if !row.url.is_empty() {
            writeln!(console.out, "         {}", console.dim(&row.url))?;
        }
    }
    Ok(())
}

/// One backend as it is listed.
struct Row {
    name: &'static str,
    url: String,
    state: &'static str,
    model: Option<String>,
    pid: Option<u32>,
    owner: Option<Owner>,
    bytes: Option<u64>,
}

impl Row {
    fn document(&self) -> serde_json::Value {
        let owner = self.owner.map(|owner| match owner {
            Owner::Ours => "hark",
            Owner::Foreign => "other",
        });
        json!({
            "name": self.name, "url": self.url, "state": self.state, "model": self.model,
            "pid": self.pid, "owner": owner, "resident_bytes": self.bytes,
        })
    }
}

fn row(presence: &Presence, settings: &ServerSettings) -> Row {
    let (state, model) = match &presence.found {
        Found::NotConfigured => ("not configured", None),
        Found::Misconfigured(_) => ("misconfigured", None),
        Found::Nobody => ("not running", None),
        Found::Hung => ("does not answer", None),
        Found::Foreign => ("another program has its port", None),
        Found::Loading => ("loading", None),
        Found::Resident { model, .. } => ("resident", model.clone()),
        Found::Idle { .. } => ("running, holds no model", None),
    };
    let kind = Kind::ALL
        .into_iter()
        .find(|kind| kind.name() == presence.name);
    let serving = kind.and_then(|kind| settings.serving(kind));
    let named = (presence.name == "mlx")
        .then(|| settings.mlx_model.clone())
        .flatten();
    Row {
        name: presence.name,
        url: presence.url.clone(),
        state,
        model: model.or(named.filter(|_| state == "resident")),
        pid: serving.map(|(pid, _)| pid),
        owner: serving.map(|(_, owner)| owner),
        bytes: serving.and_then(|(pid, _)| tree_footprint_bytes(pid)),
    }
}

/// A supervisor for a command: what it starts stays.
fn supervisor(setting: &Setting, prefix: Prefix) -> anyhow::Result<Supervisor> {
    let llm = &setting.config.llm;
    let consent = match llm.manage {
        Manage::Yes => Consent::Given,
        Manage::Ask => Consent::Ask,
        Manage::No => {
            let next = "set llm.manage to \"ask\" or \"yes\" if Hark may";
            return Err(Failure::usage(
                "llm.manage is \"no\": Hark starts and stops no backend",
                next,
            )
            .into());
        }
    };
    let policy = Policy {
        consent,
        ..Policy::default()
    };
    let settings = server_settings(llm, &setting.places, Keeping::UntilStopped);
    let supervisor = Supervisor::new(settings, policy, Clock::start(), prefix);
    Ok(supervisor.with_need(parts::memory::need(llm)))
}

fn change(
    event: Event,
    yes: bool,
    setting: &Setting,
    console: &mut Console<'_>,
    runtime: &tokio::runtime::Runtime,
) -> anyhow::Result<()> {
    let prefix =
        runtime.block_on(async { of_a_new_conversation(&setting.config, &setting.places) })?;
    let mut supervisor = supervisor(setting, prefix)?;
    let mut told = during(ASKING, || runtime.block_on(supervisor.survey()));
    if event == Event::Stop && supervisor.phase() == Phase::Empty {
        writeln!(console.out, "nothing is resident")?;
        return Ok(());
    }
    if let Event::Use(kind) = event
        && !supervisor.settings().can_start(kind)
        && supervisor.settings().serving(kind).is_none()
        && let Err(error) = supervisor.settings().launch(kind)
    {
        let next = "`hark backend list` shows what there is; `hark doctor` what is missing";
        return Err(
            Failure::usage(format!("{} cannot be started: {error}", kind.name()), next).into(),
        );
    }
    let wanted = match event {
        Event::Use(kind) => Some(kind),
        _ => None,
    };
    if let Some(kind) = foreign(&supervisor, wanted, setting)
        && !(yes || consent(kind, console)?)
    {
        writeln!(console.out, "nothing was changed")?;
        return Ok(());
    }
    // Who is asked here need not be asked again.
    let yes = true;
    if daemon::change(wanted, console, runtime)? {
        return Ok(());
    }
    told.extend(during(CHANGING, || {
        runtime.block_on(supervisor.handle(event))
    }));
    if let Some(kind) = told.iter().find_map(|told| match told {
        Told::Question(kind) => Some(*kind),
        _ => None,
    }) {
        let answer = yes || consent(kind, console)?;
        let answered = Event::Answered { yes: answer };
        told.extend(during(CHANGING, || {
            runtime.block_on(supervisor.handle(answered))
        }));
    }
    let mut waiting = Waiting::begin(CHANGING);
    // One that dies while it starts is tried again, with pauses, until it is given up.
    while let Some(deadline) = supervisor.deadline().filter(|_| !rests(supervisor.phase())) {
        let now = Clock::start();
        let wait = deadline.since(now.now()).min(Duration::from_millis(200));
        told.extend(runtime.block_on(async {
            tokio::time::sleep(wait).await;
            supervisor.look().await
        }));
    }
    waiting.over();
    conclude(&told, &supervisor, console)
}

const ASKING: &str = "asking the model servers";
const CHANGING: &str = "waiting for the server to end, start or load its model";
/// The server of another program that would have to leave, where the user is to be asked.
fn foreign(supervisor: &Supervisor, wanted: Option<Kind>, setting: &Setting) -> Option<Kind> {
    match supervisor.phase() {
        Phase::Serving {
            kind,
            owner: Owner::Foreign,
        } if setting.config.llm.manage == Manage::Ask => (wanted != Some(kind)).then_some(kind),
        _ => None,
    }
}

const fn rests(phase: Phase) -> bool {
    matches!(
        phase,
        Phase::Serving { .. } | Phase::Empty | Phase::Asking { .. }
    )
}

fn consent(kind: Kind, console: &mut Console<'_>) -> anyhow::Result<bool> {
    let question = format!(
        "{} was started by another program. Stop it? [y/N]",
        kind.name()
    );
    match console.ask(&question)? {
        Some(answer) => Ok(matches!(answer.to_lowercase().as_str(), "y" | "yes")),
        None => {
            let next = "run it again with --yes";
            let what = format!(
                "{} was started by another program, and nobody is here to be asked",
                kind.name()
            );
            Err(Failure::usage(what, next).into())
        }
    }
}

fn conclude(
    told: &[Told],
    supervisor: &Supervisor,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let mut trouble = Vec::new();
    let mut last = None;
    for told in told {
        match told {
            Told::News(news) => last = Some(*news),
            Told::Trouble(words) => trouble.push(words.clone()),
            Told::NoMemory { kind, need, free } => {
                let message = format!(
                    "{} needs {} of memory, and {} are free; nothing was changed",
                    kind.name(),
                    human(*need),
                    human(*free)
                );
                let next =
                    "`hark plan` shows what would fit; close something, or name a smaller model";
                return Err(Failure::failed(message, next).into());
            }
            Told::Question(_) | Told::Warmed(..) => {}
        }
    }
    let timings = supervisor.timings();
    let next = "look into the log that the message names, then run `hark backend list`";
    match last {
        Some(News::Serving(kind)) => {
            let seconds = |time: Duration| format!("{:.2} s", time.as_secs_f64());
            writeln!(
                console.out,
                "{} is resident and warm (unload {}, load {}, static prompt {}, all {}; {:.1} ms of it Hark's own)",
                kind.name(),
                seconds(timings.unload),
                seconds(timings.load),
                seconds(timings.warm),
                seconds(timings.total),
                timings.overhead().as_secs_f64() * 1_000.0
            )?;
            for words in trouble {
                writeln!(console.err, "hark: {words}")?;
            }
            Ok(())
        }
        Some(News::Stopped(kind)) if trouble.is_empty() => {
            writeln!(
                console.out,
                "{} is unloaded, its memory is back",
                kind.name()
            )?;
            Ok(())
        }
        Some(News::Declined) => {
            writeln!(console.out, "nothing was changed")?;
            Ok(())
        }
        _ => {
            let what = if trouble.is_empty() {
                "the change did not come to its end".to_owned()
            } else {
                trouble.join("; ")
            };
            Err(Failure::failed(what, next).into())
        }
    }
}

async fn warm(setting: &Setting, console: &mut Console<'_>) -> anyhow::Result<()> {
    let backend = parts::backend(&setting.config).await?;
    let Some(backend) = backend else {
        return Err(Failure {
            code: UNREACHABLE,
            message: "no backend answers".to_owned(),
            next: "`hark backend use mlx` or `hark backend use ollama` starts one".to_owned(),
        }
        .into());
    };
    let prefix = of_a_new_conversation(&setting.config, &setting.places)?().await;
    let clock = Clock::start();
    let mut waiting = Waiting::begin("the model is being loaded and warmed");
    let usage = backend.warm(prefix).await;
    waiting.over();
    let usage = usage?;
    let told =
        |tokens: Option<u32>| tokens.map_or_else(|| "?".to_owned(), |tokens| tokens.to_string());
    writeln!(
        console.out,
        "{} is warm: {} tokens of static prompt, {} of them cached already, {:.2} s",
        backend.info().name,
        told(usage.prompt_tokens),
        told(usage.cached_tokens),
        clock.now().since_start().as_secs_f64()
    )?;
    Ok(())
}

/// The client of a kind.
fn client(kind: Kind, settings: &ServerSettings) -> anyhow::Result<Box<dyn LlmBackend>> {
    let made = backends::open(kind.name(), &settings.llm).expect("every kind is in the table");
    Ok(made?)
}
