//! Reads any usual audio file into samples.
//!
//! WAV, FLAC, MP3, M4A (AAC, ALAC), OGG Vorbis and AIFF, of any rate and channel count, from a file or from memory.
//! Called from a command's own thread; blocking. Promises: what a damaged file holds before the damage is kept, and the
//! damage is said; a file of lies about its own length (espeak-ng's standard output, a recorder that was killed) is read
//! to its end; a panic of a decoder is damage. Long files are downmixed and resampled while they are read, so memory is
//! that of the 16 kHz mono result (230 MB an hour). What the samples mean is left to others.
//!
//! Encoder delay and padding are trimmed where the file tells them.

mod convert;
mod edits;
mod source;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;

use super::Format;
use convert::Converter;
use edits::Trim;
use source::{Source, open};

/// Where the audio comes from.
#[derive(Debug)]
pub enum Input<'a> {
    /// A file.
    File(&'a Path),
    /// Bytes in memory (standard input, a bundled clip) and the name to call them by in errors.
    Bytes(&'a str, Vec<u8>),
}

/// Samples as the file holds them.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// Rate and channels.
    pub format: Format,
    /// Interleaved, in −1..1.
    pub samples: Vec<f32>,
    /// What was wrong with the file, if something was; the samples before it are whole.
    pub damage: Option<Damage>,
}

/// Samples as the transcriber takes them: mono, 16 kHz.
#[derive(Debug, Clone, PartialEq)]
pub struct Mono {
    /// In −1..1.
    pub samples: Vec<f32>,
    /// What was wrong with the file, if something was; the samples before it are whole.
    pub damage: Option<Damage>,
}

/// Something wrong in the middle of a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("damaged after {:.1} s: {reason}", .after.as_secs_f32())]
pub struct Damage {
    /// How much of the audio precedes it.
    pub after: Duration,
    /// What the decoder said.
    pub reason: String,
}

/// Why there are no samples at all.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The file is missing or may not be read. Name another, or change its permissions.
    #[error("cannot read {}: {reason}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// It is no audio, or of a kind that Hark does not decode (Opus, WMA). The message holds the command that converts it.
    #[error(
        "{name} is not audio that Hark can read ({reason}); it reads WAV, FLAC, MP3, M4A, OGG Vorbis and AIFF; \
         if it is audio, convert it: ffmpeg -i {} -ac 1 -ar 16000 speech.wav", quoted(.name)
    )]
    NotAudio {
        /// The file.
        name: String,
        /// What was found instead.
        reason: String,
    },
    /// A header and no sound. Record or export it again.
    #[error("{name} holds no sound: it ends after its header")]
    Empty {
        /// The file.
        name: String,
    },
}

/// How far a file has been read, in bytes; `total` is 0 where it is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes read.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// Decodes everything at the rate and channels of the file.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode_native(
    input: Input<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Decoded, DecodeError> {
    let name = name_of(&input);
    let mut samples = Vec::new();
    let mut format: Option<Format> = None;
    let damage = read(input, progress, &mut |found, block| {
        if *format.get_or_insert(found) != found {
            return Err("the rate or the number of channels changes".to_owned());
        }
        samples.extend_from_slice(block);
        Ok(())
    })?;
    let format = format
        .filter(|_| !samples.is_empty())
        .ok_or(DecodeError::Empty { name })?;
    Ok(Decoded {
        format,
        samples,
        damage,
    })
}

/// Decodes everything into mono at 16 kHz.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode_mono(
    input: Input<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Mono, DecodeError> {
    let name = name_of(&input);
    let mut samples = Vec::new();
    let mut converter: Option<Converter> = None;
    let damage = read(input, progress, &mut |format, block| {
        if converter
            .as_ref()
            .is_some_and(|converter| converter.format != format)
            && let Some(ended) = converter.take()
        {
            samples.extend(ended.finish());
        }
        let converter = match &mut converter {
            Some(converter) => converter,
            none => none.insert(Converter::new(format)?),
        };
        converter.push(block);
        Ok(())
    })?;
    samples.extend(converter.map(Converter::finish).unwrap_or_default());
    if samples.is_empty() {
        return Err(DecodeError::Empty { name });
    }
    Ok(Mono { samples, damage })
}

/// Mixes and resamples what has been decoded already.
///
/// # Errors
/// A phrase, when the rate is not one of sound.
pub fn to_mono(format: Format, samples: &[f32]) -> Result<Vec<f32>, String> {
    let mut converter = Converter::new(format)?;
    converter.push(samples);
    Ok(converter.finish())
}

/// Takes one decoded block; refuses it with a reason that becomes the file's damage.
type Sink<'a> = dyn FnMut(Format, &[f32]) -> Result<(), String> + 'a;

/// Feeds every block of the file's audio track to `sink`.
fn read(
    input: Input<'_>,
    progress: &mut dyn FnMut(Progress),
    sink: &mut Sink<'_>,
) -> Result<Option<Damage>, DecodeError> {
    let name = name_of(&input);
    let (source, hint) = open(input)?;
    let (done, total) = (Arc::clone(&source.done), source.length);
    let mut trim = Trim::new(source.edit);
    let refuse = |reason: String| DecodeError::NotAudio {
        name: name.clone(),
        reason,
    };
    if total == 0 {
        return Err(DecodeError::Empty { name });
    }
    let mut stream = guarded(|| Stream::open(source, &hint)).map_err(refuse)?;
    let mut faults = Faults::default();
    while let Some(next) = faults.take(guarded(|| stream.next()), stream.frames) {
        if let Next::Block(format) = next {
            let channels = usize::from(format.channels);
            let heard = trim.next(stream.block.len() / channels, format.rate);
            let block = &stream.block[heard.start * channels..heard.end * channels];
            if let Err(reason) = sink(format, block) {
                faults.add(reason, stream.frames);
                break;
            }
        }
        progress(Progress {
            done: done.load(Ordering::Relaxed).min(total),
            total,
        });
    }
    if let Some(reason) = stream.missing() {
        faults.add(reason, stream.frames);
    }
    let rate = stream.rate;
    match faults.summary() {
        Some((reason, _)) if stream.frames == 0 => Err(refuse(reason)),
        summary => Ok(summary.map(|(reason, frames)| Damage {
            after: length(frames, rate),
            reason,
        })),
    }
}

/// What could not be decoded.
#[derive(Default)]
struct Faults {
    /// The first one, and the frames that precede it.
    first: Option<(String, u64)>,
    count: usize,
}

impl Faults {
    fn add(&mut self, reason: String, frames: u64) {
        self.count += 1;
        self.first.get_or_insert((reason, frames));
    }

    /// Takes a step's result; `None` at the end, or after a fault that nothing can follow.
    fn take(&mut self, step: Result<Next, String>, frames: u64) -> Option<Next> {
        match step {
            Ok(Next::End) => None,
            Ok(Next::Fault(reason)) => {
                self.add(reason.clone(), frames);
                Some(Next::Fault(reason))
            }
            Ok(block) => Some(block),
            Err(reason) => {
                self.add(reason, frames);
                None
            }
        }
    }

    fn summary(self) -> Option<(String, u64)> {
        let (first, frames) = self.first?;
        let others = self.count - 1;
        Some(match others {
            0 => (first, frames),
            _ => (format!("{first} (and {others} more)"), frames),
        })
    }
}

/// Runs a step of the decoder; a panic in it (a malformed file that it did not expect) becomes an error.
fn guarded<T>(step: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(step))
        .unwrap_or_else(|_| Err("its structure is malformed".to_owned()))
}

enum Next {
    /// `Stream::block` holds samples.
    Block(Format),
    /// A packet could not be decoded; the next one may.
    Fault(String),
    End,
}

struct Stream {
    reader: Box<dyn FormatReader>,
    decoder: Box<dyn AudioDecoder>,
    track: u32,
    /// Frames that the container promises; `None` where it only estimates.
    promised: Option<u64>,
    rate: u32,
    /// Decoded so far.
    frames: u64,
    block: Vec<f32>,
}

impl Stream {
    fn open(source: Source, hint: &Hint) -> Result<Self, String> {
        let stream = MediaSourceStream::new(Box::new(source), Default::default());
        let reader = symphonia::default::get_probe()
            .probe(
                hint,
                stream,
                FormatOptions::default(),
                MetadataOptions::default(),
            )
            .map_err(|error| match error {
                SymphoniaError::Unsupported(_) => "no known audio format".to_owned(),
                error => explain(&error),
            })?;
        let track = reader
            .default_track(TrackType::Audio)
            .ok_or("it has no audio track")?;
        let params = track
            .codec_params
            .as_ref()
            .and_then(|params| params.audio())
            .ok_or("its codec is unknown")?;
        let decoder = symphonia::default::get_codecs()
            .make_audio_decoder(params, &AudioDecoderOptions::default())
            .map_err(|error| match error {
                SymphoniaError::Unsupported(_) => {
                    "its codec is another one, such as Opus".to_owned()
                }
                error => explain(&error),
            })?;
        // MP3 and raw AAC have no header for the whole, so the demuxer only guesses from the first packets.
        let exact = !["mp1", "mp2", "mp3", "aac"].contains(&reader.format_info().short_name);
        let promised = track.num_frames.filter(|_| exact);
        let (track, rate) = (track.id, params.sample_rate.unwrap_or(0));
        Ok(Self {
            reader,
            decoder,
            track,
            promised,
            rate,
            frames: 0,
            block: Vec::new(),
        })
    }

    fn next(&mut self) -> Result<Next, String> {
        loop {
            let packet = match self.reader.next_packet() {
                Ok(Some(packet)) if packet.track_id == self.track => packet,
                Ok(Some(_)) => continue,
                Ok(None) => return Ok(Next::End),
                // Containers that end in the middle of a packet; `missing` tells whether that is too early.
                Err(SymphoniaError::IoError(error))
                    if error.kind() == io::ErrorKind::UnexpectedEof =>
                {
                    return Ok(Next::End);
                }
                Err(SymphoniaError::ResetRequired) => {
                    self.decoder.reset();
                    continue;
                }
                Err(error) => return Err(explain(&error)),
            };
            return match self.decoder.decode(&packet) {
                Ok(audio) if audio.frames() == 0 => continue,
                Ok(audio) => {
                    let rate = audio.spec().rate();
                    let channels = u16::try_from(audio.spec().channels().count())
                        .unwrap_or(0)
                        .max(1);
                    audio.copy_to_vec_interleaved(&mut self.block);
                    self.rate = rate;
                    self.frames += (self.block.len() / usize::from(channels)) as u64;
                    Ok(Next::Block(Format { rate, channels }))
                }
                Err(SymphoniaError::ResetRequired) => {
                    self.decoder.reset();
                    continue;
                }
                Err(error) => Ok(Next::Fault(explain(&error))),
            };
        }
    }

    /// Says so when more than a tenth of a second of what the header promises is missing; less can be encoder padding.
    fn missing(&self) -> Option<String> {
        let promised = self.promised?;
        let missing = promised.saturating_sub(self.frames);
        (missing > u64::from(self.rate / 10)).then(|| {
            let seconds = promised as f64 / f64::from(self.rate.max(1));
            format!("the file ends early; its header promises {seconds:.1} s")
        })
    }
}

fn explain(error: &SymphoniaError) -> String {
    match error {
        SymphoniaError::Unsupported(what) => (*what).to_owned(),
        SymphoniaError::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            "it ends too early".to_owned()
        }
        other => other.to_string(),
    }
}

fn name_of(input: &Input<'_>) -> String {
    match input {
        Input::File(path) => path.display().to_string(),
        Input::Bytes(name, _) => (*name).to_owned(),
    }
}

fn quoted(name: &str) -> String {
    if name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
    {
        name.to_owned()
    } else {
        format!("'{}'", name.replace('\'', "'\\''"))
    }
}

fn length(frames: u64, rate: u32) -> Duration {
    Duration::from_secs_f64(frames as f64 / f64::from(rate.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_is_quoted_in_the_command() {
        assert_eq!(quoted("a b's.opus"), "'a b'\\''s.opus'");
        assert_eq!(quoted("/tmp/x.opus"), "/tmp/x.opus");
    }
}
