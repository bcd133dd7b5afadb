//! Speech to text: the [`Transcriber`] trait, Whisper behind it, and the thread that runs one.

pub mod agree;
pub mod ggml;
pub mod guards;
pub mod hints;
pub mod split;
pub mod subtitles;
pub mod thread;
pub mod tokens;
pub mod whisper;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::private::Private;

/// Asks a running transcription to stop. Cloned handles share one flag.
///
/// Whisper looks at it after the encoder and after each token only (measured: up to one encoder pass late), so a caller
/// that cannot wait drops the result instead.
#[derive(Debug, Clone, Default)]
pub struct Abort(Arc<AtomicBool>);

impl Abort {
    /// Asks.
    pub fn request(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it was asked.
    #[must_use]
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// The flag itself, for the callback of a model runtime; it lives as long as any handle.
    #[must_use]
    pub fn flag(&self) -> &AtomicBool {
        &self.0
    }
}

/// What a transcriber is asked beside the audio.
#[derive(Debug, Clone, PartialEq)]
pub struct TranscribeOptions {
    /// ISO 639-1 code, or `auto` where the model can tell.
    pub language: String,
    /// Whether times of segments are wanted (subtitles); costs a little.
    pub timestamps: bool,
}

impl Default for TranscribeOptions {
    fn default() -> Self {
        Self {
            language: "en".to_owned(),
            timestamps: false,
        }
    }
}

/// One stretch of text with its place in the audio.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// From the start of the audio.
    pub start: Duration,
    /// From the start of the audio.
    pub end: Duration,
    /// The words.
    pub text: Private<String>,
    /// Mean probability of its text tokens, 0..1.
    pub confidence: f32,
}

/// What was understood, guards applied: invented, looping and improbable text is gone.
#[derive(Debug, Clone, PartialEq)]
pub struct Transcription {
    /// All words, trimmed, segments joined by a blank; empty when there were none.
    pub text: Private<String>,
    /// In order.
    pub segments: Vec<Segment>,
    /// ISO 639-1 code.
    pub language: String,
    /// Mean probability of the text tokens, 0..1.
    pub confidence: f32,
    /// Wall time of the work.
    pub elapsed: Duration,
}

/// Why there is no transcription.
#[derive(Debug, thiserror::Error)]
pub enum TranscribeError {
    /// The model file is missing, damaged or not a Whisper model. Name another or pull it again.
    #[error("the speech model {path} cannot be loaded: {reason}")]
    Model {
        /// The file.
        path: std::path::PathBuf,
        /// What the loader said.
        reason: String,
    },
    /// The model cannot do this language, or there is no such one. The reason says which model or code to use.
    #[error("cannot transcribe in \"{language}\": {reason}")]
    Language {
        /// What was asked for.
        language: String,
        /// Why not, and what to do.
        reason: String,
    },
    /// It was aborted; nothing is wrong.
    #[error("transcription aborted")]
    Aborted,
    /// The runtime failed on this audio. Retrying the same audio is of no use; the next one may work.
    #[error("the speech model failed: {0}")]
    Inference(String),
}

/// Turns audio into text. Blocking; runs on the whisper thread or a command's own.
pub trait Transcriber: Send {
    /// The model's name, for receipts.
    fn model(&self) -> &str;

    /// Transcribes mono 16 kHz audio of any length.
    ///
    /// # Errors
    /// [`TranscribeError::Aborted`] when `abort` was requested; [`TranscribeError::Inference`] when the runtime failed.
    fn transcribe(
        &mut self,
        samples: &[f32],
        options: &TranscribeOptions,
        abort: &Abort,
    ) -> Result<Transcription, TranscribeError>;
}
