//! The pauses of a clip, how long they are, and what is known at each when it begins.

use serde::Serialize;
use std::time::Duration;

use crate::cli::bench::recordings::Recording;
use crate::dialogue::ending::{Prosody, Words, completeness, text};
use crate::flow::{Frame, Utterance};
use crate::hearing::Vad;
use crate::hearing::segment::{SegmentEvent, SegmentSettings, Segmenter};
use crate::hearing::vad::SileroVad;
use crate::time::{FRAME_SAMPLES, SAMPLE_RATE, SamplePos, duration_to_samples};
use crate::transcribe::{Abort, TranscribeOptions, Transcriber};

/// What is known at one pause.
#[derive(Debug, Clone, Serialize)]
pub struct Pause {
    /// Where the speech before it ends, milliseconds.
    pub at_ms: u64,
    /// How long it lasts; `None` for the one after the last word.
    pub length_ms: Option<u64>,
    /// Log-odds by the sound.
    pub sound: f32,
    /// What the sound was made of.
    pub final_pitch: Option<f32>,
    /// See [`Prosody::final_slope`].
    pub final_slope: Option<f32>,
    /// See [`Prosody::fade_db`].
    pub fade_db: Option<f32>,
    /// See [`Prosody::held_ms`].
    pub held_ms: Option<f32>,
    /// See [`Prosody::held_range`].
    pub held_range: Option<f32>,
    /// The words so far as the speech model read them, with its confidence.
    pub heard: Option<(String, f32)>,
    /// Log-odds by those words, believed as far as their confidence goes.
    pub heard_score: Option<f32>,
    /// Log-odds by the words of `text`, as if they had been read without doubt.
    pub text_score: f32,
    /// The share of the text that fits the share of the speech so far: what a model without errors might read.
    pub text: String,
}

/// One clip, as it was heard.
#[derive(Debug, Clone, Serialize)]
pub struct Clip {
    /// The file.
    pub file: String,
    /// Its set, with the length of its spliced pauses.
    pub set: String,
    /// 0 or 1, by the name of the file.
    pub half: u8,
    /// In order; the last one is the end.
    pub pauses: Vec<Pause>,
}

/// Hears clips.
pub struct Listener {
    transcriber: Option<Box<dyn Transcriber>>,
    options: TranscribeOptions,
    vad: SileroVad,
}

/// A pause while it is being heard.
struct Heard {
    so_far: Utterance,
    length: Option<u64>,
}

impl Listener {
    pub fn new(
        transcriber: Option<Box<dyn Transcriber>>,
        options: TranscribeOptions,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            transcriber,
            options,
            vad: SileroVad::new()?,
        })
    }

    /// Hears a clip, with its inner pauses lengthened to `splice`.
    pub fn hear(
        &mut self,
        recording: &Recording,
        samples: &[f32],
        splice: Option<Duration>,
    ) -> anyhow::Result<Clip> {
        let tone = room_tone(samples);
        let mut audio = samples.to_vec();
        if let Some(length) = splice {
            let inner: Vec<(SamplePos, u64)> = self
                .pauses(&padded(samples, &tone), SPLICED_FROM)
                .into_iter()
                .filter_map(|pause| Some((pause.so_far.speech.end, pause.length?)))
                .collect();
            audio = spliced(samples, &tone, &inner, length);
        }
        let heard = self.pauses(&padded(&audio, &tone), SegmentSettings::default().pause);
        let whole = heard
            .last()
            .map_or(1, |last| last.so_far.speech.end.0)
            .max(1);
        let mut pauses = Vec::with_capacity(heard.len());
        for pause in &heard {
            pauses.push(self.describe(pause, &recording.text, whole)?);
        }
        let file = recording
            .path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let set = match splice {
            Some(length) => format!("{} +{} ms", recording.set, length.as_millis()),
            None => recording.set.clone(),
        };
        Ok(Clip {
            half: half(&file),
            file,
            set,
            pauses,
        })
    }

    /// Every pause of at least `shortest` samples, the last one without an end.
    fn pauses(&mut self, audio: &[f32], shortest: u64) -> Vec<Heard> {
        self.vad.reset();
        let mut segmenter = Segmenter::new(SegmentSettings {
            pause: shortest,
            end_silence: u64::from(SAMPLE_RATE) * 2,
            ..SegmentSettings::default()
        });
        let mut events = Vec::new();
        let mut found: Vec<Heard> = Vec::new();
        for (index, samples) in audio.chunks_exact(FRAME_SAMPLES).enumerate() {
            let at = SamplePos((index * FRAME_SAMPLES) as u64);
            let samples: [f32; FRAME_SAMPLES] = samples.try_into().expect("chunks of a frame");
            let probability = self.vad.probability(&samples);
            segmenter.push(&Frame { at, samples }, probability, 0, &mut events);
            for event in events.drain(..) {
                match event {
                    SegmentEvent::SpeechPaused { .. } => {
                        found.extend(segmenter.snapshot().map(|so_far| Heard {
                            so_far,
                            length: None,
                        }));
                    }
                    SegmentEvent::SpeechResumed { at } | SegmentEvent::SpeechStarted { at } => {
                        if let Some(last) = found.last_mut() {
                            let end = last.so_far.speech.end;
                            last.length.get_or_insert(at.since(end));
                        }
                    }
                    _ => {}
                }
            }
        }
        found
    }

    fn describe(&mut self, pause: &Heard, spoken: &str, whole: u64) -> anyhow::Result<Pause> {
        let so_far = &pause.so_far;
        let end = usize::try_from(so_far.speech.end.since(so_far.span.start)).unwrap_or(0);
        let prosody = Prosody::of(&so_far.samples[..end.min(so_far.samples.len())]);
        let heard = match &mut self.transcriber {
            Some(transcriber) => {
                let read =
                    transcriber.transcribe(&so_far.samples, &self.options, &Abort::default())?;
                Some((read.text.into_inner(), read.confidence))
            }
            None => None,
        };
        let heard_score = heard.as_ref().map(|(text, confidence)| {
            let words = Words {
                text,
                confidence: *confidence,
            };
            completeness(Some(words), None)
        });
        let words: Vec<&str> = spoken.split_whitespace().collect();
        let share = so_far.speech.end.0 as f64 / whole as f64;
        let count = match pause.length {
            None => words.len(),
            Some(_) => ((words.len() as f64 * share).round() as usize).min(words.len()),
        };
        let so_far_text = words[..count].join(" ");
        Ok(Pause {
            at_ms: millis(so_far.speech.end.0),
            length_ms: pause.length.map(millis),
            sound: completeness(None, prosody.as_ref()),
            final_pitch: prosody.and_then(|p| p.final_pitch),
            final_slope: prosody.and_then(|p| p.final_slope),
            fade_db: prosody.map(|p| p.fade_db),
            held_ms: prosody.map(|p| p.held_ms),
            held_range: prosody.map(|p| p.held_range),
            heard,
            heard_score,
            text_score: text::score(&so_far_text),
            text: so_far_text,
        })
    }
}

/// The clip with 0.6 s of its own room before it and 3 s after.
fn padded(samples: &[f32], tone: &[f32]) -> Vec<f32> {
    let rate = SAMPLE_RATE as usize;
    let room = |length: usize| tone.iter().copied().cycle().take(length);
    room(BEFORE)
        .chain(samples.iter().copied())
        .chain(room(rate * 3))
        .collect()
}

/// The clip with every inner pause at least `length` long. Positions count from the start of the padded clip.
fn spliced(
    samples: &[f32],
    tone: &[f32],
    pauses: &[(SamplePos, u64)],
    length: Duration,
) -> Vec<f32> {
    let wanted = duration_to_samples(length);
    let mut out = Vec::with_capacity(samples.len() * 2);
    let mut from = 0;
    for (end, lasts) in pauses {
        let middle = usize::try_from(end.0 + lasts / 2)
            .unwrap_or(0)
            .saturating_sub(BEFORE);
        let middle = middle.clamp(from, samples.len());
        out.extend_from_slice(&samples[from..middle]);
        let missing = usize::try_from(wanted.saturating_sub(*lasts)).unwrap_or(0);
        out.extend(tone.iter().copied().cycle().take(missing));
        from = middle;
    }
    out.extend_from_slice(&samples[from..]);
    out
}

/// The quietest 100 ms of the clip, forwards and backwards, so that its repetition has no clicks.
fn room_tone(samples: &[f32]) -> Vec<f32> {
    let window = SAMPLE_RATE as usize / 10;
    let energy = |part: &[f32]| part.iter().map(|sample| sample * sample).sum::<f32>();
    let quietest = samples
        .windows(window)
        .step_by(window / 4)
        .min_by(|a, b| energy(a).total_cmp(&energy(b)))
        .unwrap_or(&[0.0; 16]);
    quietest
        .iter()
        .chain(quietest.iter().rev())
        .copied()
        .collect()
}

/// FNV-1a over the name: the same half on every machine.
fn half(name: &str) -> u8 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    ((hash >> 17) & 1) as u8
}

const fn millis(samples: u64) -> u64 {
    samples * 1_000 / SAMPLE_RATE as u64
}

const BEFORE: usize = SAMPLE_RATE as usize * 6 / 10;
/// A gap of 96 ms between two words is where a comma would stand; shorter ones are stops inside of words.
const SPLICED_FROM: u64 = SAMPLE_RATE as u64 * 96 / 1_000;
