//! `hark bench asr`: how well and how fast a speech model hears recordings whose texts are known.
//!
//! Each clip is transcribed as `hark transcribe` does it. Sounds without speech count the words that were put in. Times are
//! wall times of this machine, whatever else it does.

use std::fmt::Write as _;
use std::path::PathBuf;

use indicatif::ProgressBar;
use serde::Serialize;

use super::recordings::{self, Kind, Recording};
use super::words::WordErrors;
use crate::cli::Setting;
use crate::daemon::parts;
use crate::platform::clock::Clock;
use crate::time::SAMPLE_RATE;
use crate::transcribe::whisper::{Whisper, WhisperSettings};
use crate::transcribe::{Abort, TranscribeOptions};

/// Word error rate and time of a speech model on recordings with texts.
///
/// The folder holds a manifest.csv (columns file, text; optional category, text_kind) or sound files with a .txt beside each;
/// an empty text means that there is no speech.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  hark bench asr starter.en my-recordings/\n  hark bench asr ./ggml-base.en.bin clips/ --json > base.json"
)]
pub struct AsrArgs {
    /// A model of `hark models list`, or a path to a model file
    #[arg(value_name = "MODEL")]
    model: String,
    /// The recordings
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Only sets whose name contains this
    #[arg(long, value_name = "NAME")]
    set: Option<String>,
    /// Language of the speech (en, de, …), or "auto"
    #[arg(long)]
    language: Option<String>,
    /// Prints what was heard of each clip that was not heard right, on standard error
    #[arg(long)]
    show: bool,
    /// Prints one JSON document
    #[arg(long)]
    json: bool,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Found {
    model: String,
    model_bytes: u64,
    /// Reading the file and making the state.
    load_ms: u64,
    threads: usize,
    sets: Vec<Set>,
    /// Clips whose text is no transcript, and so were not used.
    skipped: usize,
}

/// The clips of one set.
#[derive(Debug, Default, Serialize)]
struct Set {
    set: String,
    clips: usize,
    seconds: f64,
    /// Words of the texts; 0 where there is no speech.
    words: usize,
    /// Words put in, left out or replaced.
    errors: usize,
    /// `errors` of `words`; null where there is no speech.
    wer: Option<f64>,
    /// Clips without any error: exactly right, or of no speech and left empty.
    right: usize,
    /// Time of the transcription for one second of sound.
    ms_per_second: f64,
    elapsed_ms: f64,
}

/// Measures and prints.
///
/// # Errors
/// The model or the recordings cannot be used.
pub fn run(args: &AsrArgs, setting: &Setting) -> anyhow::Result<()> {
    let path = parts::library(&setting.places).path(&args.model)?;
    let all = recordings::with_texts(&args.folder)?;
    let wanted = |r: &&Recording| args.set.as_ref().is_none_or(|set| r.set.contains(set));
    let chosen: Vec<&Recording> = all.iter().filter(wanted).collect();
    let clips: Vec<&Recording> = chosen
        .iter()
        .copied()
        .filter(|r| r.kind != Kind::Other)
        .collect();
    let mut whisper = Whisper::load(&args.model, &path, WhisperSettings::default())?;
    let language = args
        .language
        .as_ref()
        .unwrap_or(&setting.config.stt.language);
    whisper.check_language(language)?;
    let options = TranscribeOptions {
        language: language.to_lowercase(),
        timestamps: false,
    };
    let mut sets: Vec<Set> = Vec::new();
    let bar = ProgressBar::new(clips.len() as u64);
    for clip in &clips {
        bar.inc(1);
        let name = if clip.kind == Kind::NoSpeech {
            format!("{} (no speech)", clip.set)
        } else {
            clip.set.clone()
        };
        let at = sets.iter().position(|set| set.set == name);
        let at = at.unwrap_or_else(|| {
            sets.push(Set {
                set: name,
                ..Set::default()
            });
            sets.len() - 1
        });
        hear(clip, &mut whisper, &options, &mut sets[at], args.show)?;
    }
    bar.finish_and_clear();
    sets.iter_mut().for_each(finish);
    let found = Found {
        model: args.model.clone(),
        model_bytes: std::fs::metadata(&path)?.len(),
        load_ms: u64::try_from(whisper.timings().load.as_millis()).unwrap_or(u64::MAX),
        threads: WhisperSettings::default().threads,
        sets,
        skipped: chosen.len() - clips.len(),
    };
    super::print("asr", args.json, &found, table)
}

fn hear(
    clip: &Recording,
    whisper: &mut Whisper,
    options: &TranscribeOptions,
    set: &mut Set,
    show: bool,
) -> anyhow::Result<()> {
    let samples = clip.samples()?;
    let clock = Clock::start();
    let heard = whisper.transcribe_long(&samples, options, &Abort::default(), &mut |_| {})?;
    set.elapsed_ms += clock.now().since_start().as_secs_f64() * 1e3;
    let said = if clip.kind == Kind::NoSpeech {
        ""
    } else {
        clip.text.as_str()
    };
    let found = WordErrors::between(said, heard.text.as_str());
    set.clips += 1;
    set.seconds += samples.len() as f64 / f64::from(SAMPLE_RATE);
    set.words += found.words;
    set.errors += found.errors;
    set.right += usize::from(found.errors == 0);
    if show && found.errors > 0 {
        // Recordings of a measurement are the user's own files, and this was asked for.
        eprintln!(
            "{}\n  said   {said}\n  heard  {}",
            clip.path.display(),
            heard.text.as_str()
        );
    }
    Ok(())
}

fn finish(set: &mut Set) {
    set.wer = (set.words > 0).then(|| set.errors as f64 / set.words as f64);
    set.ms_per_second = set.elapsed_ms / set.seconds.max(1e-9);
}

fn table(found: &Found) -> String {
    let mut text = format!(
        "{} ({:.1} MB, loaded in {} ms, {} threads)\n\n",
        found.model,
        found.model_bytes as f64 / 1e6,
        found.load_ms,
        found.threads
    );
    let width = found
        .sets
        .iter()
        .map(|set| set.set.len())
        .max()
        .unwrap_or(3);
    let head = format!(
        "{:<width$}  {:>6} {:>8} {:>16} {:>9} {:>11}\n",
        "set", "clips", "minutes", "word errors", "right", "ms per s"
    );
    text.push_str(&head);
    for set in &found.sets {
        let errors = match set.wer {
            Some(wer) => format!("{:.1} %", wer * 100.0),
            None => format!("{} words", set.errors),
        };
        let right = 100.0 * set.right as f64 / set.clips.max(1) as f64;
        writeln!(
            text,
            "{:<width$}  {:>6} {:>8.1} {:>16} {:>7.0} % {:>11.1}",
            set.set,
            set.clips,
            set.seconds / 60.0,
            errors,
            right,
            set.ms_per_second
        )
        .expect("a string takes everything");
    }
    if found.skipped > 0 {
        writeln!(
            text,
            "\n{} clips were left out: their texts are no transcripts.",
            found.skipped
        )
        .expect("a string takes everything");
    }
    text
}
