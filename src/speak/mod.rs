//! Text to sound: the [`Synthesizer`] trait, its implementations, and the speaking thread.

pub mod espeak;
pub mod say;
pub mod thread;

use std::ops::ControlFlow;

/// A stretch of synthesised sound.
#[derive(Debug, Clone, Copy)]
pub struct SpeechPiece<'a> {
    /// Samples a second; may differ from piece to piece (read per buffer on macOS).
    pub rate: u32,
    /// Mono amplitudes in −1..1.
    pub samples: &'a [f32],
}

/// How to say it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct VoiceSettings {
    /// The engine's name of a voice; `None` is its default for the language.
    pub voice: Option<String>,
    /// Speed relative to the engine's normal one: 1.0.
    pub rate: Option<f32>,
}

/// Why nothing (more) was said.
#[derive(Debug, thiserror::Error)]
pub enum SpeakError {
    /// The engine is not on this machine. Install it, or choose another (`tts.engine`).
    #[error("the speech engine {engine} is not available: {reason}")]
    Unavailable {
        /// Its name.
        engine: &'static str,
        /// Why.
        reason: String,
    },
    /// There is no such voice. Name one of those listed.
    #[error("there is no voice named {voice}")]
    NoVoice {
        /// The name.
        voice: String,
    },
    /// It failed on this text; the next may work.
    #[error("the speech engine {engine} failed: {reason}")]
    Failed {
        /// Its name.
        engine: &'static str,
        /// Why.
        reason: String,
    },
}

/// Says text. Blocking; owned by the speaking thread (or a command).
pub trait Synthesizer: Send {
    /// The engine's name, as in `tts.engine`.
    fn engine(&self) -> &'static str;

    /// Synthesises `text`, giving samples to `on_piece` as they come; `Break` stops the work at once and is no error.
    ///
    /// # Errors
    /// See [`SpeakError`].
    fn synthesize(
        &mut self,
        text: &str,
        on_piece: &mut dyn FnMut(SpeechPiece<'_>) -> ControlFlow<()>,
    ) -> Result<(), SpeakError>;
}
