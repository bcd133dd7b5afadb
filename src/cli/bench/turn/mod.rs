//! `hark bench turn`: how often a turn is cut off, how long its end is waited for, and how soon the answer sounds.
//!
//! Two measurements. **Ends**: every clip is heard frame by frame as a microphone would be; at each pause the evidence is
//! taken that a running daemon would take, and from the true lengths of the pauses follows for any choice of windows which
//! turns would have been cut and how long the others would have waited. No time passes, so load does not matter, but the
//! time that the speech model needs is not in these figures. **Live** (`--live N`): the daemon itself, in real time, against
//! a scripted language model on the loopback; receipts tell the rest.
//!
//! Clips fall into two halves by their names: choose windows on one, believe the other.

mod live;
mod pauses;
mod report;
mod server;

use std::path::PathBuf;
use std::time::Duration;

use indicatif::ProgressBar;

use super::recordings::{self, Kind};
use crate::cli::Setting;
use crate::daemon::parts;
use crate::dialogue::ending::EndPolicy;
use crate::transcribe::TranscribeOptions;
use pauses::{Clip, Listener};
pub(super) use report::line;

/// Cut-offs, end-pointing delay and voice-to-voice time on recordings with texts.
///
/// The folder holds a manifest.csv (columns file, text; optional category, text_kind) or sound files with a .txt beside each.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  hark bench turn clips/\n  hark bench turn clips/ --splice 600,900 --json > ends.json\n  \
                  hark bench turn clips/ --set command --live 20 --first-token 150 --rate 70"
)]
pub struct TurnArgs {
    /// The recordings
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Only sets whose name contains one of these, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    set: Vec<String>,
    /// Also hears each clip with its inner pauses lengthened to so many milliseconds, separated by commas
    #[arg(long, value_name = "MS", value_delimiter = ',')]
    splice: Vec<u32>,
    /// Runs so many of the clips through the daemon in real time
    #[arg(long, value_name = "N", default_value_t = 0)]
    live: usize,
    /// Time of the scripted language model to its first token, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 150)]
    first_token: u64,
    /// Its tokens a second
    #[arg(long, value_name = "N", default_value_t = 70.0)]
    rate: f64,
    /// Does not read the words of the pauses: sound and texts only, which is quick
    #[arg(long)]
    no_words: bool,
    /// Prints one JSON document, with every pause
    #[arg(long)]
    json: bool,
}

/// Measures and prints.
///
/// # Errors
/// The recordings or the speech model cannot be used.
pub fn run(args: &TurnArgs, setting: &Setting) -> anyhow::Result<()> {
    let all = recordings::with_texts(&args.folder)?;
    let wanted = |set: &str| args.set.is_empty() || args.set.iter().any(|part| set.contains(part));
    let chosen: Vec<_> = all
        .iter()
        .filter(|clip| clip.kind == Kind::Verbatim && wanted(&clip.set))
        .collect();
    let options = TranscribeOptions {
        language: setting.config.stt.language.clone(),
        ..TranscribeOptions::default()
    };
    let transcriber = if args.no_words {
        None
    } else {
        Some(parts::transcriber(&setting.config, &setting.places)?)
    };
    let mut listener = Listener::new(transcriber, options)?;
    let bar = ProgressBar::new(chosen.len() as u64);
    let mut clips: Vec<Clip> = Vec::new();
    for recording in &chosen {
        bar.inc(1);
        let samples = recording.samples()?;
        clips.push(listener.hear(recording, &samples, None)?);
        for splice in &args.splice {
            let length = Duration::from_millis(u64::from(*splice));
            clips.push(listener.hear(recording, &samples, Some(length))?);
        }
    }
    bar.finish_and_clear();
    let turn = &setting.config.turn;
    let policy = EndPolicy {
        quick: turn.quick_silence,
        usual: turn.end_silence,
        longest: turn.max_silence,
    };
    let live = if args.live > 0 {
        let script = server::Script {
            first_token: Duration::from_millis(args.first_token),
            rate: args.rate,
        };
        let some: Vec<_> = chosen.iter().copied().take(args.live).collect();
        Some(live::measure(&some, setting, script)?)
    } else {
        None
    };
    let found = report::Found::new(clips, policy, live);
    super::print("turn", args.json, &found, report::table)
}
