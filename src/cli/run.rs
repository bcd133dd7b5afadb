//! `hark run`: the daemon, in the foreground.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use anyhow::Context as _;

use super::Setting;
use super::failure::Failure;
use super::waiting::Waiting;
use crate::daemon::conductor::Until;
use crate::daemon::doors::{Doors, Taken};
use crate::daemon::events::{Line, Sink};
use crate::daemon::reload::Origin;
use crate::daemon::{Input, Output, Pace, Plan, Wake};

/// Arguments of `hark run`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  hark run\n  hark run --input questions.wav --output answers.wav --events -"
)]
pub struct RunArgs {
    /// Microphone (a device's name or part of it), or a sound file that is heard as if it were one
    #[arg(long, value_name = "DEVICE|FILE")]
    input: Option<String>,
    /// Loudspeaker (a device's name or part of it), or a WAV file to write
    #[arg(long, value_name = "DEVICE|FILE")]
    output: Option<String>,
    /// Reads a file as fast as it can be answered instead of in real time
    #[arg(long)]
    fast: bool,
    /// Writes events as JSON Lines to a file, or to standard output with "-"
    #[arg(long, value_name = "FILE|-")]
    events: Option<String>,
    /// Ends after one turn
    #[arg(long)]
    once: bool,
    /// Every utterance is a turn: no wake phrase (a file needs none unless --wake is given)
    #[arg(long, conflicts_with = "wake")]
    no_wake: bool,
    /// The wake phrase is needed, also in a file
    #[arg(long)]
    wake: bool,
}

/// Runs the verb.
///
/// # Errors
/// A device, file or model cannot be used; see [`super::failure`].
pub fn run(args: &RunArgs, setting: &Setting) -> anyhow::Result<()> {
    let request = setting.request_with(&[
        ("--input", "audio.input", args.input.as_ref()),
        ("--output", "audio.output", args.output.as_ref()),
    ]);
    let (config, raw) = crate::config::load(&setting.places, &request)?;
    let origin = Origin {
        request,
        raw,
        set_log_level: super::logging::set_level,
    };
    let input = input(&config.audio.input, args.fast)?;
    let from_file = matches!(input, Input::File { .. });
    let wake = match (
        args.no_wake || (from_file && !args.wake),
        config.wake.enabled,
    ) {
        (true, _) => Wake::EveryUtterance,
        (false, true) => Wake::Phrase,
        (false, false) => Wake::Key,
    };
    let until = match (args.once, from_file) {
        (true, _) => Until::OneTurn,
        (false, true) => Until::InputEnds,
        (false, false) => Until::Stopped,
    };
    let output = output(
        &config.audio.output,
        if args.fast {
            Pace::Fast
        } else {
            Pace::RealTime
        },
    );
    let plan = Plan {
        config,
        places: setting.places.clone(),
        input,
        output,
        wake,
        until,
        keep_records: true,
    };
    if std::io::stderr().is_terminal()
        && crate::daemon::parts::is_starter(&plan.config, &plan.places)
    {
        eprintln!("{}", super::receipt::STARTER_ADVICE);
    }
    let sink = sink(args.events.as_deref())?;
    let doors = doors(&plan, origin)?;
    let summary = super::runtime()?.block_on(crate::daemon::serve(plan, sink, doors))?;
    if let Some(error) = summary.input_failed {
        return Err(error.into());
    }
    match summary.trouble.as_slice() {
        [] => Ok(()),
        trouble => Err(Failure::failed(
            trouble.join("; "),
            "what was said is in the log: hark transcripts list",
        )
        .into()),
    }
}

/// A daemon in a room takes commands and keys. One that answers a file does so too where no other daemon does, as long as
/// there is time for them.
fn doors(plan: &Plan, origin: Origin) -> anyhow::Result<Doors> {
    let in_a_hurry = matches!(
        plan.input,
        Input::File {
            pace: Pace::Fast,
            ..
        }
    );
    if in_a_hurry {
        return Ok(Doors::default());
    }
    let found = crate::platform::directories::from_environment().map_err(|error| {
        Failure::usage(
            error.to_string(),
            "set HARK_HOME to a folder for Hark's files",
        )
    })?;
    Ok(Doors {
        runtime: Some(found.runtime),
        taken: match plan.input {
            Input::Device(_) => Taken::Refuse,
            Input::File { .. } | Input::Samples { .. } => Taken::GoOn,
        },
        hotkey: true,
        settings: Some(origin),
        greets: plan.until == Until::Stopped,
    })
}

/// A name that is an existing file, or looks like a path, is a file; everything else is a device.
pub fn is_file(name: &str) -> bool {
    let path = std::path::Path::new(name);
    path.is_file()
        || name.contains(std::path::MAIN_SEPARATOR)
        || path.extension().is_some_and(|extension| {
            ["wav", "flac", "mp3", "m4a", "ogg", "aiff", "aif"]
                .iter()
                .any(|known| extension.eq_ignore_ascii_case(known))
        })
}

/// The input that `name` stands for.
///
/// # Errors
/// `fast` was asked of a microphone.
pub fn input(name: &str, fast: bool) -> anyhow::Result<Input> {
    if is_file(name) {
        let pace = if fast { Pace::Fast } else { Pace::RealTime };
        return Ok(Input::File {
            path: PathBuf::from(name),
            pace,
        });
    }
    if fast {
        return Err(Failure::usage(
            "--fast is for files: a microphone has only one speed",
            "give a file: --input FILE",
        )
        .into());
    }
    Ok(Input::Device(name.to_owned()))
}

/// The output that `name` stands for.
pub fn output(name: &str, pace: Pace) -> Output {
    if is_file(name) {
        Output::File {
            path: PathBuf::from(name),
            pace,
        }
    } else {
        Output::Device(name.to_owned())
    }
}

/// The sink, and until the first event a sign that there is something to wait for.
fn sink(events: Option<&str>) -> anyhow::Result<Sink> {
    let mut inner = plain_sink(events)?;
    let mut waiting = Waiting::begin("loading the models and opening the devices");
    Ok(Box::new(move |line| {
        waiting.over();
        inner(line);
    }))
}

fn plain_sink(events: Option<&str>) -> anyhow::Result<Sink> {
    let mut writer: Box<dyn Write + Send> = match events {
        None => return Ok(Box::new(narrate)),
        Some("-") => Box::new(std::io::stdout()),
        Some(path) => {
            let file = std::fs::File::create(path)
                .with_context(|| format!("cannot write the events to {path}"))?;
            Box::new(std::io::LineWriter::new(file))
        }
    };
    let mut broken = false;
    Ok(Box::new(move |line| {
        let json =
            serde_json::to_string(line).expect("a line has only string keys and finite numbers");
        if !broken
            && writeln!(writer, "{json}")
                .and_then(|()| writer.flush())
                .is_err()
        {
            // The conversation goes on without its listener.
            broken = true;
            tracing::error!("the events cannot be written any more");
        }
    }))
}

/// For a person who watches: the conversation, a line each.
fn narrate(line: &Line) {
    if let Some(text) = super::receipt::narrate(&line.news) {
        // A closed terminal must not end the conversation.
        writeln!(std::io::stdout(), "{text}").ok();
    }
}
