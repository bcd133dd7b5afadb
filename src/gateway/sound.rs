//! Recordings to text and text to sound, in the OpenAI dialect, by Hark's own ear and voice.
//!
//! Edge: the ear and the voice are given by the wiring as closures; here is only what the dialect says about them. Each use
//! has a place of its own at a gate, which gives way to a conversation like every other background work: a transcription
//! begins anew afterwards.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::Shared;
use super::admission::Class;
use super::ask::object;
use super::failure::Failure;
use crate::private::Private;

/// A recording to transcribe.
#[derive(Debug, Clone)]
pub struct Recording {
    /// What to call it in errors.
    pub name: String,
    /// The file, in any usual format.
    pub bytes: Bytes,
    /// ISO 639-1 code, or the configured one.
    pub language: Option<String>,
    /// Whether the times of segments are wanted.
    pub timestamps: bool,
}

/// What was understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Words {
    /// All words.
    pub text: Private<String>,
    /// ISO 639-1 code.
    pub language: String,
    /// Length of the recording.
    pub seconds: f64,
    /// In order.
    pub segments: Vec<Spoken>,
    /// As subtitles, SubRip and WebVTT.
    pub subtitles: (Private<String>, Private<String>),
}

/// A stretch of words.
#[derive(Debug, Clone, PartialEq)]
pub struct Spoken {
    /// Seconds from the start.
    pub start: f64,
    /// Seconds from the start.
    pub end: f64,
    /// The words.
    pub text: Private<String>,
    /// Mean probability of its tokens, 0..1.
    pub confidence: f32,
}

/// A text to say.
#[derive(Debug, Clone)]
pub struct Saying {
    /// The words.
    pub text: Private<String>,
    /// The engine's name of a voice, or the configured one.
    pub voice: Option<String>,
    /// Speed relative to normal.
    pub rate: Option<f32>,
}

/// What was synthesised: mono.
#[derive(Debug, Clone, PartialEq)]
pub struct Sound {
    /// Samples a second.
    pub rate: u32,
    /// Amplitudes in −1..1.
    pub samples: Vec<f32>,
}

/// Why there are no words or no sound.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SoundError {
    /// The request is wrong: the file, the language, the voice.
    #[error("{0}")]
    Request(String),
    /// It does not exist on this machine.
    #[error("{0}")]
    Unavailable(String),
    /// It failed.
    #[error("{0}")]
    Failed(String),
}

impl From<SoundError> for Failure {
    fn from(error: SoundError) -> Self {
        let words = error.to_string();
        match error {
            SoundError::Request(_) => Self::bad(words),
            SoundError::Unavailable(_) => Self::unsupported(words),
            SoundError::Failed(_) => Self::new(500, "api_error", "failed", words),
        }
    }
}

/// The ear; dropping the future aborts the work.
pub type Hear =
    Arc<dyn Fn(Recording) -> BoxFuture<'static, Result<Words, SoundError>> + Send + Sync>;

/// The voice.
pub type Say = Arc<dyn Fn(Saying) -> BoxFuture<'static, Result<Sound, SoundError>> + Send + Sync>;

/// An answer that is no JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// Its content type.
    pub kind: &'static str,
    /// The body.
    pub bytes: Bytes,
}

/// The longest text to say, in characters, as OpenAI has it.
const MOST_TEXT: usize = 4_096;

impl Shared {
    /// `/v1/audio/transcriptions`.
    pub(super) async fn transcriptions(
        &self,
        kind: &str,
        body: Bytes,
        class: Class,
    ) -> Result<Media, Failure> {
        let hear = self.hear.as_ref().ok_or_else(|| {
            Failure::unsupported("there is no speech model here; see `hark models list`")
        })?;
        let form = Form::read(kind, body).await?;
        let mut ticket = self.sound.admit(class).await?;
        loop {
            let heard = tokio::select! {
                biased;
                heard = hear(form.recording.clone()) => Some(heard?),
                () = ticket.asked_to_give_way() => None,
            };
            match heard {
                Some(words) => return Ok(form.format.write(&words)),
                None => ticket.wait_again().await?,
            }
        }
    }

    /// `/v1/audio/speech`.
    pub(super) async fn speech(&self, body: &[u8], class: Class) -> Result<Media, Failure> {
        let say = self.say.as_ref().ok_or_else(|| {
            Failure::unsupported("there is no voice here; see tts.engine in `hark config show`")
        })?;
        let body = object(body)?;
        let text = |key: &str| body.get(key).and_then(Value::as_str);
        let input = text("input").unwrap_or_default();
        if input.trim().is_empty() || input.chars().count() > MOST_TEXT {
            let words = format!("input must be a text of 1 to {MOST_TEXT} characters");
            return Err(Failure::bad(words));
        }
        let format = text("response_format").unwrap_or("wav");
        if !matches!(format, "wav" | "pcm") {
            return Err(Failure::bad("response_format must be wav or pcm"));
        }
        let rate = body.get("speed").and_then(Value::as_f64);
        if rate.is_some_and(|rate| !(0.25..=4.0).contains(&rate)) {
            return Err(Failure::bad("speed must lie between 0.25 and 4"));
        }
        // The names of the service's own voices stand for ours.
        let voice = text("voice").filter(|voice| !FOREIGN_VOICES.contains(voice));
        let saying = Saying {
            text: Private::from(input),
            voice: voice.map(str::to_owned),
            rate: rate.map(|rate| rate as f32),
        };
        let _ticket = self.sound.admit(class).await?;
        let sound = say(saying).await?;
        Ok(match format {
            // The service's own format: 24 kHz is promised there, so the rate is told in the type.
            "pcm" => Media {
                kind: "audio/pcm",
                bytes: pcm(&sound.samples).into(),
            },
            _ => Media {
                kind: "audio/wav",
                bytes: wav(&sound).into(),
            },
        })
    }
}

/// Voices that clients name without knowing where they are.
const FOREIGN_VOICES: [&str; 14] = [
    "alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "onyx", "nova", "sage",
    "shimmer", "verse", "default",
];

/// How a transcription is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Text,
    Verbose,
    Srt,
    Vtt,
}

struct Form {
    recording: Recording,
    format: Format,
}

impl Form {
    async fn read(kind: &str, body: Bytes) -> Result<Self, Failure> {
        let boundary = multer::parse_boundary(kind)
            .map_err(|_| Failure::bad("send multipart/form-data with a part named file"))?;
        let stream = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(body)]);
        let mut parts = multer::Multipart::new(stream, boundary);
        let mut file = None;
        let (mut language, mut format) = (None, Format::Json);
        while let Some(part) = parts.next_field().await.map_err(malformed)? {
            let name = part.name().unwrap_or_default().to_owned();
            if name == "file" {
                let called = part.file_name().unwrap_or("the recording").to_owned();
                file = Some((called, part.bytes().await.map_err(malformed)?));
                continue;
            }
            let value = part.text().await.map_err(malformed)?;
            match name.as_str() {
                "language" if !value.is_empty() => language = Some(value.to_lowercase()),
                "response_format" => format = Format::named(&value)?,
                "stream" if value == "true" => {
                    return Err(Failure::bad(
                        "stream must be false: a recording is answered whole",
                    ));
                }
                _ => {}
            }
        }
        let (name, bytes) = file.ok_or_else(|| Failure::bad("a part named file is missing"))?;
        let recording = Recording {
            name,
            bytes,
            language,
            timestamps: matches!(format, Format::Verbose | Format::Srt | Format::Vtt),
        };
        Ok(Self { recording, format })
    }
}

fn malformed(error: multer::Error) -> Failure {
    Failure::bad(format!("the form cannot be read: {error}"))
}

impl Format {
    fn named(name: &str) -> Result<Self, Failure> {
        Ok(match name {
            "json" | "" => Self::Json,
            "text" => Self::Text,
            "verbose_json" => Self::Verbose,
            "srt" => Self::Srt,
            "vtt" => Self::Vtt,
            _ => {
                return Err(Failure::bad(
                    "response_format must be json, text, verbose_json, srt or vtt",
                ));
            }
        })
    }

    fn write(self, words: &Words) -> Media {
        let text = words.text.as_str();
        let (kind, bytes) = match self {
            Self::Json => ("application/json", json!({"text": text}).to_string()),
            Self::Verbose => ("application/json", verbose(words).to_string()),
            Self::Text => ("text/plain; charset=utf-8", format!("{text}\n")),
            Self::Srt => (
                "application/x-subrip",
                words.subtitles.0.as_str().to_owned(),
            ),
            Self::Vtt => ("text/vtt", words.subtitles.1.as_str().to_owned()),
        };
        Media {
            kind,
            bytes: bytes.into(),
        }
    }
}

fn verbose(words: &Words) -> Value {
    let segments: Vec<Value> = words
        .segments
        .iter()
        .enumerate()
        .map(|(id, segment)| {
            json!({
                "id": id, "seek": 0, "start": segment.start, "end": segment.end,
                "text": segment.text.as_str(), "tokens": [], "temperature": 0.0,
                "avg_logprob": segment.confidence.max(1e-6).ln(), "compression_ratio": 1.0,
                "no_speech_prob": 0.0,
            })
        })
        .collect();
    json!({
        "task": "transcribe", "language": words.language, "duration": words.seconds,
        "text": words.text.as_str(), "segments": segments,
    })
}

fn pcm(samples: &[f32]) -> Vec<u8> {
    samples
        .iter()
        .flat_map(|sample| ((sample.clamp(-1.0, 1.0) * 32_767.0) as i16).to_le_bytes())
        .collect()
}

/// 16 bits, mono, with the true lengths in its header.
fn wav(sound: &Sound) -> Vec<u8> {
    let data = pcm(&sound.samples);
    let length = u32::try_from(data.len()).expect("four thousand characters are minutes, not days");
    let mut out = Vec::with_capacity(44 + data.len());
    out.extend_from_slice(b"RIFF");
    out.extend_from_slice(&(36 + length).to_le_bytes());
    out.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    out.extend_from_slice(&sound.rate.to_le_bytes());
    out.extend_from_slice(&(sound.rate * 2).to_le_bytes());
    out.extend_from_slice(b"\x02\0\x10\0data");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&data);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wav_has_a_true_header_and_its_samples() {
        let sound = Sound {
            rate: 22_050,
            samples: vec![0.0, 0.5, -1.0, 2.0],
        };
        let bytes = wav(&sound);
        let mut reader = hound::WavReader::new(bytes.as_slice()).expect("a WAV");
        assert_eq!(reader.spec().sample_rate, 22_050);
        assert_eq!(reader.spec().channels, 1);
        let samples: Vec<i16> = reader
            .samples()
            .map(|sample| sample.expect("a sample"))
            .collect();
        assert_eq!(samples, [0, 16_383, -32_767, 32_767]);
    }
}
