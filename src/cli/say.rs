//! `hark say`: says a text on the loudspeaker, or writes it as WAV.

use std::path::PathBuf;

use super::Setting;
use super::failure::Failure;
use super::waiting::during;
use crate::daemon::Output;
use crate::daemon::Pace;

/// Arguments of `hark say`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  hark say good morning\n  hark say --out hello.wav hello")]
pub struct SayArgs {
    /// The text
    #[arg(required = true)]
    text: Vec<String>,
    /// A voice of the engine
    #[arg(long)]
    voice: Option<String>,
    /// Speed relative to the engine's normal one, 0.5 to 3
    #[arg(long)]
    rate: Option<String>,
    /// Writes a WAV file instead of playing
    #[arg(long, value_name = "FILE.wav")]
    out: Option<PathBuf>,
}

/// Runs the verb.
///
/// # Errors
/// There is no such voice (2); engine, device or file failed (1).
pub fn run(args: &SayArgs, setting: &Setting) -> anyhow::Result<()> {
    let config = setting.with_flags(&[
        ("--voice", "tts.voice", args.voice.as_ref()),
        ("--rate", "tts.rate", args.rate.as_ref()),
    ])?;
    let text = args.text.join(" ");
    if text.trim().is_empty() {
        return Err(Failure::usage("there is nothing to say", "say: hark say hello").into());
    }
    let output = match &args.out {
        Some(path) => Output::File {
            path: path.clone(),
            pace: Pace::Fast,
        },
        None => super::run::output(&config.audio.output, Pace::RealTime),
    };
    // What is played is heard; what is written is not.
    match output {
        Output::File { .. } => during("the voice is writing", || {
            crate::daemon::say(&config, &output, &text)
        }),
        Output::Device(_) => crate::daemon::say(&config, &output, &text),
    }
}
