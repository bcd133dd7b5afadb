//! Text to sound: the [`Synthesizer`] trait, its implementations, and the speaking thread.
//!
//! [`open`] makes a synthesizer from a row of [`ENGINES`]; the speaking thread ([`thread`]) or a command owns it.

pub mod earcon;
pub mod espeak;
pub mod fallback;
pub mod languages;
pub mod say;
pub mod system;
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

    /// Languages that it can be switched to, as ISO 639-1 codes; none where it says everything in one voice.
    fn languages(&self) -> Vec<String> {
        Vec::new()
    }

    /// Says what follows in that language (ISO 639-1), or with `None` in the voice that it was opened for; `false`, and that
    /// voice, where it has none for the language.
    fn set_language(&mut self, code: Option<&str>) -> bool {
        code.is_none()
    }

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

/// One way to speak, as `tts.engine` names it.
#[derive(Debug, Clone, Copy)]
pub struct Engine {
    /// Its name.
    pub name: &'static str,
    /// Makes a synthesizer, or tells why it cannot be had here.
    pub open: fn(&VoiceSettings) -> Result<Box<dyn Synthesizer>, SpeakError>,
}

/// All engines, best first: `auto` takes the first that works ([`fallback`]).
pub const ENGINES: &[Engine] = &[
    Engine {
        name: system::ENGINE,
        open: |settings| Ok(Box::new(system::AvSpeech::open(settings)?)),
    },
    Engine {
        name: say::ENGINE,
        open: |settings| Ok(Box::new(say::Say::open(settings)?)),
    },
    Engine {
        name: espeak::ENGINE,
        open: |settings| Ok(Box::new(espeak::Espeak::open(settings)?)),
    },
];

/// Opens the engine named `engine`, or with `auto` the best that is here.
///
/// # Errors
/// [`SpeakError::NoVoice`] when the engine is here and the voice is not; [`SpeakError::Unavailable`] for an unknown name
/// (the reason lists the known ones), an engine that is not here, or, with `auto`, when none is (the reason says what to
/// install).
pub fn open(engine: &str, settings: &VoiceSettings) -> Result<Box<dyn Synthesizer>, SpeakError> {
    if engine != AUTO {
        let Some(row) = ENGINES.iter().find(|row| row.name == engine) else {
            let known: Vec<&str> = ENGINES.iter().map(|row| row.name).collect();
            return Err(SpeakError::Unavailable {
                engine: "of that name",
                reason: format!("the known ones are {AUTO}, {}", known.join(", ")),
            });
        };
        return (row.open)(settings);
    }
    Ok(Box::new(fallback::Fallback::open(ENGINES, settings)?))
}

/// The engine name that leaves the choice to [`open`].
pub const AUTO: &str = "auto";
