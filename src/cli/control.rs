//! The verbs that talk to a running daemon: `status`, `mute`, `unmute`, `off-record`, `events`, `ptt`, `stop`.
//!
//! Thin: one request each. A daemon that is gone or hangs is exit code 3 within two seconds.

use std::io::{IsTerminal, Write};

use serde_json::{Value, json};

use super::failure::{FAILED, Failure, UNREACHABLE};
use crate::control::client::{Client, ClientError};
use crate::control::socket;
use crate::control::{EchoStatus, MemoryStatus, PrefixStatus, Status};
use crate::memory::human;

/// Arguments of `hark status`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  hark status\n  hark status --json | jq .state\n  curl --unix-socket \"$(hark status --socket)\" http://hark/v1/status"
)]
pub struct StatusArgs {
    /// Prints one JSON document
    #[arg(long)]
    json: bool,
    /// Prints the path of the control socket and asks nobody
    #[arg(long, conflicts_with = "json")]
    socket: bool,
}

/// Arguments of verbs that only have `--json`.
#[derive(Debug, clap::Args)]
pub struct PlainArgs {
    /// Prints one JSON document
    #[arg(long)]
    json: bool,
}

/// Arguments of `hark off-record`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  hark off-record on\n  hark off-record off\n\nBy voice: \"hey hark, off the record\" and \"hey hark, back on the record\"."
)]
pub struct OffRecordArgs {
    /// on: nothing of what is said is written; off: it is written again
    #[arg(value_enum)]
    switch: Switch,
    /// Prints one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Switch {
    On,
    Off,
}

/// Arguments of `hark events`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  hark events\n  hark events | jq -r 'select(.event == \"transcript\").text'"
)]
pub struct EventsArgs {
    /// Events are always JSON Lines; this changes nothing
    #[arg(long, hide = true)]
    json: bool,
}

/// Arguments of `hark ptt`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  hark ptt press      when a key goes down\n  hark ptt release    when it comes up\n  hark ptt toggle     for keys that cannot tell"
)]
pub struct PttArgs {
    /// What the key does
    #[arg(value_enum)]
    action: Action,
    /// Prints one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Action {
    /// It goes down: what is said now is a question
    Press,
    /// It comes up: the question is over
    Release,
    /// Press if it is up, release if it is down
    Toggle,
}

/// Runs `hark status`.
///
/// # Errors
/// The daemon cannot be reached.
pub fn status(args: &StatusArgs) -> anyhow::Result<()> {
    let client = client()?;
    if args.socket {
        return print(&client.path().display().to_string());
    }
    let found = ask(
        &client,
        |client| async move { client.get("/v1/status").await },
    )?;
    if args.json {
        return print(&serde_json::to_string_pretty(&found)?);
    }
    let status: Status = serde_json::from_value(found).map_err(|error| {
        Failure::failed(
            format!("the daemon's status is not understood: {error}"),
            "restart the daemon after an update of hark",
        )
    })?;
    print(&describe(&status))
}

/// Runs `hark mute` (`true`) and `hark unmute`.
///
/// # Errors
/// The daemon cannot be reached.
pub fn mute(args: &PlainArgs, muted: bool) -> anyhow::Result<()> {
    let (path, told) = if muted {
        ("/v1/mute", "The ear is closed until `hark unmute`.")
    } else {
        ("/v1/unmute", "The ear is open.")
    };
    order(args.json, path, Value::Null, told)
}

/// Runs `hark off-record`.
///
/// # Errors
/// The daemon cannot be reached.
pub fn off_record(args: &OffRecordArgs) -> anyhow::Result<()> {
    let (on, told) = match args.switch {
        Switch::On => (true, "Off the record: nothing of what is said is written."),
        Switch::Off => (false, "On the record again."),
    };
    order(args.json, "/v1/off-record", json!({ "on": on }), told)
}

/// Runs `hark ptt`.
///
/// # Errors
/// The daemon cannot be reached, or is muted.
pub fn ptt(args: &PttArgs) -> anyhow::Result<()> {
    let action = match args.action {
        Action::Press => "press",
        Action::Release => "release",
        Action::Toggle => "toggle",
    };
    // Called from a key: silence is what is expected of it.
    order(args.json, "/v1/ptt", json!({ "action": action }), "")
}

/// Runs `hark stop`.
///
/// # Errors
/// The daemon cannot be reached.
pub fn stop(args: &PlainArgs) -> anyhow::Result<()> {
    order(args.json, "/v1/stop", Value::Null, "")
}

/// Runs `hark events` until the daemon ends.
///
/// # Errors
/// The daemon cannot be reached, or stops answering.
pub fn events(_: &EventsArgs) -> anyhow::Result<()> {
    let client = client()?;
    ask(&client, |client| async move {
        client
            .events(|line| {
                let mut out = std::io::stdout();
                writeln!(out, "{line}")?;
                out.flush()
            })
            .await
    })?;
    if std::io::stderr().is_terminal() {
        eprintln!("hark: the daemon has ended");
    }
    Ok(())
}

/// Runs `hark config reload`.
///
/// # Errors
/// The daemon cannot be reached, or the settings are wrong.
pub fn reload(json: bool) -> anyhow::Result<()> {
    let client = client()?;
    let answer = ask(&client, |client| async move {
        client.post("/v1/config/reload", &Value::Null).await
    })?;
    if json {
        return print(&answer.to_string());
    }
    let names = |key: &str| -> Vec<&str> {
        let list = answer.get(key).and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    };
    let (applied, restart) = (names("applied"), names("restart"));
    if !applied.is_empty() {
        print(&format!("Taken over: {}.", applied.join(", ")))?;
    }
    if !restart.is_empty() {
        print(&format!(
            "These need a restart (`hark service restart`, or end `hark run` and start it again): {}.",
            restart.join(", ")
        ))?;
    }
    if applied.is_empty() && restart.is_empty() {
        print("The daemon runs with these settings already.")?;
    }
    Ok(())
}

fn order(json: bool, path: &'static str, body: Value, told: &str) -> anyhow::Result<()> {
    let client = client()?;
    let answer = ask(
        &client,
        |client| async move { client.post(path, &body).await },
    )?;
    if json {
        return print(&answer.to_string());
    }
    if told.is_empty() { Ok(()) } else { print(told) }
}

fn print(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

/// The daemon of this environment.
///
/// # Errors
/// There is no home.
pub fn client() -> anyhow::Result<Client> {
    let found = crate::platform::directories::from_environment().map_err(|error| {
        Failure::usage(
            error.to_string(),
            "set HARK_HOME to a folder for Hark's files",
        )
    })?;
    Ok(Client::new(socket::place(&found.runtime)))
}

fn ask<T, F>(client: &Client, work: impl FnOnce(Client) -> F) -> anyhow::Result<T>
where
    F: Future<Output = Result<T, ClientError>>,
{
    // One request: a runtime on this thread is enough, and quick to start for a key that waits.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(work(client.clone())).map_err(failure)
}

/// What became of a request, for people, with the exit code that it has.
pub fn failure(error: ClientError) -> anyhow::Error {
    let message = error.to_string();
    let (code, next) = match error {
        ClientError::NotRunning { .. } => (UNREACHABLE, "start it: `hark run`".to_owned()),
        ClientError::NotAnswering {
            process: Some(process),
        } => (
            UNREACHABLE,
            format!("end it with `kill -9 {process}`, then start it again: `hark run`"),
        ),
        ClientError::NotAnswering { process: None } => (
            UNREACHABLE,
            "end it, then start it again: `hark run`".to_owned(),
        ),
        ClientError::Protocol { .. } => (
            UNREACHABLE,
            "restart the daemon: it may be of another version".to_owned(),
        ),
        // It is there and cannot do anything yet, or any more.
        ClientError::Refused(refused)
            if matches!(refused.kind.as_str(), "starting" | "not_answering") =>
        {
            (UNREACHABLE, refused.next)
        }
        ClientError::Refused(refused) => (FAILED, refused.next),
        ClientError::Output(error) => return error.into(),
    };
    Failure {
        code,
        message,
        next,
    }
    .into()
}

fn describe(status: &Status) -> String {
    let mut lines = vec![format!(
        "state      {} since {}",
        status.state,
        since(&status.since)
    )];
    let mut line = |name: &str, value: &str| lines.push(format!("{name:<10} {value}"));
    line("input", &status.input);
    line("output", &status.output);
    line("model", &status.stt_model);
    let backend = status.backend.as_ref().map_or_else(
        || "none: local answers only".to_owned(),
        |backend| {
            let held = backend
                .resident_bytes
                .map(|bytes| format!(", {}", human(bytes)));
            let model = backend.model.as_ref().map(|model| format!(" ({model})"));
            format!(
                "{}{}{}",
                backend.name,
                model.unwrap_or_default(),
                held.unwrap_or_default()
            )
        },
    );
    line("answers", &backend);
    line(
        "wake",
        status.wake.phrase.as_deref().unwrap_or("only by the key"),
    );
    let hotkey = &status.wake.hotkey;
    match (&hotkey.key, &hotkey.problem) {
        (Some(key), None) => line("key", key),
        (Some(key), Some(problem)) => line("key", &format!("{key} does not work: {problem}")),
        (None, _) => {}
    }
    line(
        "muted",
        if status.muted {
            "yes: `hark unmute` opens the ear"
        } else {
            "no"
        },
    );
    let record = if status.off_record {
        "off: nothing is written until `hark off-record off`"
    } else {
        "on"
    };
    line("record", record);
    if let Some(bytes) = status.memory.daemon_bytes {
        line("memory", &memory(bytes, &status.memory));
    }
    if let Some(prefix) = &status.prefix {
        line("prefix", &self::prefix(prefix));
    }
    line("echo", &echo(&status.echo));
    let minutes = status.uptime_s / 60;
    let up = format!("{} h {:02} min", minutes / 60, minutes % 60);
    line("up", &format!("{up}, {} turns", status.turns));
    lines.join("\n")
}

fn memory(own: u64, status: &MemoryStatus) -> String {
    let mut told = format!("{} MB", own / 1_000_000);
    if let Some(planned) = status.planned_bytes {
        let fits = if status.fits == Some(false) {
            ", which does not fit (`hark plan`)"
        } else {
            ""
        };
        told.push_str(&format!(", {} planned{fits}", human(planned)));
    }
    if let Some(pressure) = &status.pressure {
        told.push_str(&format!(", pressure {pressure}"));
    }
    if !status.given_up.is_empty() {
        told.push_str(&format!(", given up: {}", status.given_up.join(", ")));
    }
    if let Some(need) = status.short_of_bytes {
        told.push_str(&format!(", too little for the model ({})", human(need)));
    }
    told
}

fn prefix(status: &PrefixStatus) -> String {
    let last = match &status.last_miss {
        Some(cause) => format!(", the last by {cause}"),
        None => String::new(),
    };
    format!("{} reused, {} missed{last}", status.reused, status.missed)
}

fn echo(status: &EchoStatus) -> String {
    if status.removed_db > 0.0 {
        return format!(
            "{} ({:.0} dB less of our voice, {} ms late)",
            status.state, status.removed_db, status.delay_ms
        );
    }
    status.state.clone()
}

/// The time of day is what a person wants to know.
fn since(rfc3339: &str) -> &str {
    rfc3339.get(11..19).unwrap_or(rfc3339)
}
