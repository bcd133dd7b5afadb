//! `hark transcribe`: audio files to text, JSON or subtitles.
//!
//! Called by the command line on the main thread; blocks. Each file is decoded, transcribed and printed before the next is
//! read; one bad file does not stop the others. Text goes to standard output, everything about the work to standard error.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::audio::decode::{DecodeError, Input, Mono, decode_mono};
use crate::hearing::stretches::stretches;
use crate::hearing::vad::SileroVad;
use crate::models::{Library, ModelError};
use crate::time::{SAMPLE_RATE, samples_to_duration};
use crate::transcribe::subtitles;
use crate::transcribe::whisper::{EncoderContext, Whisper, WhisperSettings};
use crate::transcribe::{Abort, TranscribeError, TranscribeOptions, Transcription};

/// Transcribes audio files.
///
/// Any usual audio file works: WAV, FLAC, MP3, M4A, OGG Vorbis, AIFF, of any rate and channel count; - is standard input.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  hark transcribe memo.m4a\n  hark transcribe --format srt talk.mp3 > talk.srt\n  \
                        ffmpeg -i film.mkv -f wav - | hark transcribe -"
)]
pub struct Args {
    /// The files; - is standard input.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// What is printed.
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    pub format: OutputFormat,
    /// A model of `hark models list`, a path to a model file, or "auto": the best on this machine.
    #[arg(long)]
    pub model: Option<String>,
    /// Language of the speech (en, de, …), or "auto" with a multilingual model.
    #[arg(long)]
    pub language: Option<String>,
    /// Reads the whole file with the model's full context, silence included, instead of each utterance by itself: as the
    /// models were trained, and several times slower.
    #[arg(long)]
    pub full_context: bool,
}

/// What is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum OutputFormat {
    /// The words; with several files, each line begins with its file.
    Text,
    /// One JSON array with times, confidence and model.
    Json,
    /// SubRip subtitles, of one file.
    Srt,
    /// WebVTT subtitles, of one file.
    Vtt,
}

/// What the configuration says about speech to text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defaults {
    /// `stt.model`: a name, a path, or `auto`.
    pub model: String,
    /// `stt.language`.
    pub language: String,
    /// `stt.hints`.
    pub hints: Vec<String>,
    /// What the memory plan leaves to the speech model, for `auto`.
    pub memory_bytes: u64,
}

/// Why the command failed, with its exit code.
#[derive(Debug, thiserror::Error)]
pub enum TranscribeCommandError {
    /// Some files failed; each was reported on standard error. Exit code 1.
    #[error("{failed} of {all} files could not be transcribed completely; see above")]
    Files {
        /// How many.
        failed: usize,
        /// Of how many.
        all: usize,
    },
    /// The model's name is wrong, or it is not here. Exit code 2 for a name, else 1.
    #[error(transparent)]
    Name(#[from] ModelError),
    /// The model cannot be loaded (1) or cannot do the language (2).
    #[error("{}{}", .0, remedy(.0))]
    Model(TranscribeError),
    /// Subtitles of several files would be no subtitles. Exit code 2.
    #[error(
        "--format {0} takes one file; for several: for f in FILES; do hark transcribe --format {0} \"$f\" > \"$f.{0}\"; done"
    )]
    OneFile(&'static str),
    /// Standard output is closed or full. Exit code 1.
    #[error("cannot write the text: {0}")]
    Output(#[source] io::Error),
}

impl From<TranscribeError> for TranscribeCommandError {
    fn from(error: TranscribeError) -> Self {
        Self::Model(error)
    }
}

impl TranscribeCommandError {
    /// The exit code of the process.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::OneFile(_)
            | Self::Name(ModelError::Unknown { .. })
            | Self::Model(TranscribeError::Language { .. }) => 2,
            Self::Files { .. } | Self::Name(_) | Self::Model(_) | Self::Output(_) => 1,
        }
    }
}

fn remedy(error: &TranscribeError) -> &'static str {
    match error {
        TranscribeError::Model { .. } => {
            "; check it with: hark models verify, or choose another with --model"
        }
        _ => "",
    }
}

/// Runs the command on the process's own standard streams.
///
/// # Errors
/// [`TranscribeCommandError`], always downcastable.
pub fn run(args: &Args, library: &Library, defaults: &Defaults) -> anyhow::Result<()> {
    let screen = io::stderr().is_terminal();
    let mut streams = Streams {
        input: &mut io::stdin().lock(),
        output: &mut io::stdout().lock(),
        messages: &mut io::stderr(),
        screen,
    };
    transcribe_files(args, library, defaults, &mut streams)?;
    Ok(())
}

/// Where the command reads and writes.
pub struct Streams<'a> {
    /// For the file `-`.
    pub input: &'a mut dyn Read,
    /// Text, JSON or subtitles.
    pub output: &'a mut dyn Write,
    /// Errors, warnings.
    pub messages: &'a mut dyn Write,
    /// Whether a progress bar can be drawn on standard error.
    pub screen: bool,
}

impl std::fmt::Debug for Streams<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Streams")
            .field("screen", &self.screen)
            .finish_non_exhaustive()
    }
}

/// The command itself, on any streams.
///
/// # Errors
/// See [`TranscribeCommandError`].
pub fn transcribe_files(
    args: &Args,
    library: &Library,
    defaults: &Defaults,
    streams: &mut Streams<'_>,
) -> Result<(), TranscribeCommandError> {
    let options = options(args, defaults)?;
    let asked = args.model.as_ref().unwrap_or(&defaults.model);
    let (name, path) = choose(asked, library, &options.language, defaults)?;
    let settings = WhisperSettings {
        context: if args.full_context {
            EncoderContext::Full
        } else {
            EncoderContext::Fitted
        },
        ..WhisperSettings::default()
    };
    let mut whisper = Whisper::load(&name, &path, settings)?;
    whisper.set_hints(None, &defaults.hints);
    whisper.check_language(&options.language)?;
    let mut records = Vec::new();
    let mut failed = 0;
    for file in &args.files {
        match one_file(file, &mut whisper, &options, args.full_context, streams) {
            Ok((done, damaged)) => {
                failed += usize::from(damaged);
                if args.format == OutputFormat::Json {
                    records.push(record(file, &done, &name));
                } else {
                    write(streams, &rendered(args, file, &done.result))?;
                }
            }
            Err(error) => {
                failed += 1;
                say(streams, &error.to_string());
            }
        }
    }
    if args.format == OutputFormat::Json {
        let text = serde_json::to_string_pretty(&records);
        write(
            streams,
            &text.expect("strings and numbers can always be written"),
        )?;
        write(streams, "\n")?;
    }
    let all = args.files.len();
    match failed {
        0 => Ok(()),
        failed => Err(TranscribeCommandError::Files { failed, all }),
    }
}

fn options(args: &Args, defaults: &Defaults) -> Result<TranscribeOptions, TranscribeCommandError> {
    let one = match args.format {
        OutputFormat::Srt => Some("srt"),
        OutputFormat::Vtt => Some("vtt"),
        OutputFormat::Text | OutputFormat::Json => None,
    };
    if let Some(format) = one.filter(|_| args.files.len() > 1) {
        return Err(TranscribeCommandError::OneFile(format));
    }
    let language = args.language.as_ref().unwrap_or(&defaults.language);
    Ok(TranscribeOptions {
        language: language.to_lowercase(),
        timestamps: args.format != OutputFormat::Text,
    })
}

/// Writes at once, so that a reader of a pipe sees each file when it is done.
fn write(streams: &mut Streams<'_>, text: &str) -> Result<(), TranscribeCommandError> {
    let written = streams.output.write_all(text.as_bytes());
    written
        .and_then(|()| streams.output.flush())
        .map_err(TranscribeCommandError::Output)
}

/// The model's name for the record, and its file.
fn choose(
    asked: &str,
    library: &Library,
    language: &str,
    defaults: &Defaults,
) -> Result<(String, PathBuf), ModelError> {
    if asked == "auto" {
        let (info, path) = library.best(language, defaults.memory_bytes)?;
        return Ok((info.name.clone(), path));
    }
    let path = library.path(asked)?;
    let name = match crate::models::manifest::find(asked) {
        Some(info) => info.name.clone(),
        None => path
            .file_stem()
            .unwrap_or(path.as_os_str())
            .to_string_lossy()
            .into_owned(),
    };
    Ok((name, path))
}

struct Done {
    samples: usize,
    result: Transcription,
}

/// Why one of the files failed.
#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("{file}: {reason}")]
    Transcribe {
        file: String,
        reason: TranscribeError,
    },
}

/// Transcribes one file; the flag tells whether it was damaged.
fn one_file(
    file: &Path,
    whisper: &mut Whisper,
    options: &TranscribeOptions,
    whole: bool,
    streams: &mut Streams<'_>,
) -> Result<(Done, bool), FileError> {
    let shown = shown(file);
    let Mono { samples, damage } = decoded(file, &shown, streams)?;
    if let Some(damage) = &damage {
        say(
            streams,
            &format!("{shown} is {damage}; what can be read is transcribed"),
        );
    }
    let bar = bar(
        streams,
        samples_to_duration(samples.len() as u64),
        "transcribing",
    );
    bar.set_length(samples.len() as u64);
    let parts = if whole {
        std::iter::once(0..samples.len()).collect()
    } else {
        utterances(&samples)
    };
    let result = whisper
        .transcribe_stretches(&samples, &parts, options, &Abort::default(), &mut |done| {
            bar.set_position(done as u64)
        })
        .map_err(|reason| FileError::Transcribe {
            file: shown.clone(),
            reason,
        })?;
    bar.finish_and_clear();
    if result.text.as_str().is_empty() {
        say(streams, &format!("{shown}: no speech was understood"));
    }
    Ok((
        Done {
            samples: samples.len(),
            result,
        },
        damage.is_some(),
    ))
}

/// The utterances of a recording; all of it where nobody is found to speak (singing, whispering): the model decides.
fn utterances(samples: &[f32]) -> Vec<Range<usize>> {
    let found = match SileroVad::new() {
        Ok(mut vad) => stretches(samples, &mut vad),
        Err(error) => {
            tracing::warn!(%error, "the file is read as a whole");
            Vec::new()
        }
    };
    if found.is_empty() {
        return std::iter::once(0..samples.len()).collect();
    }
    found
}

fn decoded(file: &Path, shown: &str, streams: &mut Streams<'_>) -> Result<Mono, DecodeError> {
    if file == Path::new("-") {
        let mut bytes = Vec::new();
        let read = streams.input.read_to_end(&mut bytes);
        read.map_err(|reason| DecodeError::Unreadable {
            path: PathBuf::from(shown),
            reason,
        })?;
        return decode_mono(Input::Bytes(shown, bytes), &mut |_| {});
    }
    // What a file lasts is known only afterwards; 1 MB a minute is a usual rate, so small files get no bar.
    let length = std::fs::metadata(file).map(|meta| meta.len()).unwrap_or(0);
    let bar = bar(streams, Duration::from_secs(length / 16_000), "reading");
    let mono = decode_mono(Input::File(file), &mut |progress| {
        bar.set_length(progress.total);
        bar.set_position(progress.done);
    });
    bar.finish_and_clear();
    mono
}

/// A progress bar for work on more than half a minute of audio, on a terminal.
fn bar(streams: &Streams<'_>, audio: Duration, what: &'static str) -> ProgressBar {
    if !streams.screen || audio < Duration::from_secs(30) {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg} {wide_bar} {percent:>3} % {eta}")
        .expect("the template is constant");
    ProgressBar::new(0).with_style(style).with_message(what)
}

fn rendered(args: &Args, file: &Path, result: &Transcription) -> String {
    match args.format {
        OutputFormat::Text if args.files.len() > 1 => {
            format!("{}: {}\n", shown(file), result.text.as_str())
        }
        OutputFormat::Text => format!("{}\n", result.text.as_str()),
        OutputFormat::Srt => subtitles::srt(&result.segments),
        OutputFormat::Vtt => subtitles::vtt(&result.segments),
        OutputFormat::Json => String::new(),
    }
}

/// One file of `--format json`; the keys are a contract.
#[derive(Debug, Serialize)]
struct Record {
    file: String,
    seconds: f64,
    text: String,
    language: String,
    model: String,
    elapsed_ms: u64,
    segments: Vec<SegmentRecord>,
}

#[derive(Debug, Serialize)]
struct SegmentRecord {
    start: f64,
    end: f64,
    text: String,
    confidence: f32,
}

fn record(file: &Path, done: &Done, model: &str) -> Record {
    let result = &done.result;
    let segment = |segment: &crate::transcribe::Segment| SegmentRecord {
        start: seconds(segment.start),
        end: seconds(segment.end),
        text: segment.text.as_str().to_owned(),
        confidence: segment.confidence,
    };
    Record {
        file: file.display().to_string(),
        seconds: (done.samples as f64 / f64::from(SAMPLE_RATE) * 1000.0).round() / 1000.0,
        text: result.text.as_str().to_owned(),
        language: result.language.clone(),
        model: model.to_owned(),
        elapsed_ms: u64::try_from(result.elapsed.as_millis()).unwrap_or(u64::MAX),
        segments: result.segments.iter().map(segment).collect(),
    }
}

/// Seconds with three decimals: more are noise.
fn seconds(at: Duration) -> f64 {
    at.as_millis() as f64 / 1000.0
}

fn shown(file: &Path) -> String {
    if file == Path::new("-") {
        "standard input".to_owned()
    } else {
        file.display().to_string()
    }
}

/// A line on standard error; if that is closed, there is nobody to tell.
fn say(streams: &mut Streams<'_>, text: &str) {
    let mut line = String::new();
    writeln!(line, "hark: {text}").expect("writing to a string cannot fail");
    if let Err(error) = streams.messages.write_all(line.as_bytes()) {
        tracing::debug!(%error, "standard error is closed");
    }
}
