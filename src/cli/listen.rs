//! `hark listen`: what the microphone hears, as text, a line an utterance; nothing is answered or kept.

use std::io::{IsTerminal as _, Write};

use super::Setting;
use super::waiting::Waiting;
use crate::daemon::hear::{HearEvent, Hearing};

/// Arguments of `hark listen`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  hark listen\n  hark listen --input meeting.m4a --fast --json")]
pub struct ListenArgs {
    /// Microphone (a device's name or part of it), or a sound file that is heard as if it were one
    #[arg(long, value_name = "DEVICE|FILE")]
    input: Option<String>,
    /// Reads a file as fast as it can be transcribed
    #[arg(long)]
    fast: bool,
    /// Prints JSON Lines: `partial` and `transcript` events
    #[arg(long)]
    json: bool,
}

/// Runs the verb until the input ends or it is interrupted.
///
/// # Errors
/// The input or the speech model cannot be used.
pub fn run(args: &ListenArgs, setting: &Setting) -> anyhow::Result<()> {
    let config = setting.with_flags(&[("--input", "audio.input", args.input.as_ref())])?;
    let input = super::run::input(&config.audio.input, args.fast)?;
    let hearing = Hearing {
        config: &config,
        places: &setting.places,
        input,
    };
    let json = args.json;
    let mut waiting = Waiting::begin("loading the speech model and opening the input");
    let screen = std::io::stdout().is_terminal();
    crate::daemon::hear::hear(hearing, &mut |event: HearEvent<'_>| {
        let mut out = std::io::stdout();
        waiting.over();
        match event {
            HearEvent::Ready { input, model } => {
                eprintln!("listening to {input} with {model}; stop with Ctrl-C");
                Ok(())
            }
            HearEvent::Line(line) if json => writeln!(out, "{}", serde_json::to_string(line)?),
            HearEvent::Line(line) => match &line.news {
                crate::daemon::events::News::Transcript { text, start, .. }
                    if !text.as_str().is_empty() =>
                {
                    // Over the words that were shown while they were being said.
                    let clear = if screen { "\r\x1b[K" } else { "" };
                    writeln!(out, "{clear}{start:>8.2}  {}", text.as_str())
                }
                crate::daemon::events::News::Partial { text } if screen => {
                    write!(out, "\r\x1b[K       …  {}", text.as_str())?;
                    out.flush()
                }
                _ => Ok(()),
            },
        }
    })
}
