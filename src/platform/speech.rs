//! The voice that belongs to the system and gives its samples to us: `AVSpeechSynthesizer` on macOS.
//!
//! On other systems [`SystemVoice`] has no values: [`SystemVoice::open`] is `None` and nothing else can be called. The
//! speaking thread owns the one value; the synthesizer itself lives on the main thread, which must run
//! [`super::run_main_loop`], or every call ends in [`SystemVoiceError::Silent`].

use std::ops::ControlFlow;

use super::system;

/// Why nothing (more) came.
#[derive(Debug, thiserror::Error)]
pub enum SystemVoiceError {
    /// No voice of this name, identifier or language is installed. Name another.
    #[error("there is no such voice")]
    NoVoice,
    /// No samples for a long time: the main thread does not run its loop, or the voice hangs. Use another engine.
    #[error("the system's voice gives no samples")]
    Silent,
    /// A sample format that we do not know. Use another voice.
    #[error("the system's voice gives samples of an unknown format")]
    Format,
}

/// What is to be said and how.
#[derive(Debug, Clone, Copy)]
pub struct Utterance<'a> {
    /// The words.
    pub text: &'a str,
    /// Name, identifier or language code; `None` is the system's choice.
    pub voice: Option<&'a str>,
    /// Relative to the normal speed, 1.0.
    pub rate: f32,
}

/// Takes samples (mono, −1..1) and their rate; `Break` ends the speech.
pub type OnSamples<'a> = &'a mut dyn FnMut(u32, &[f32]) -> ControlFlow<()>;

/// A voice that is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstalledVoice {
    /// As people know it.
    pub name: String,
    /// As the system knows it.
    pub identifier: String,
    /// BCP 47 tag of its language, such as "de-DE".
    pub language: String,
}

/// The system's voice.
#[derive(Debug)]
pub struct SystemVoice(system::Voice);

impl SystemVoice {
    /// The voice, where this system has one. Cheap; the voice's data are loaded in the background.
    #[must_use]
    pub fn open() -> Option<Self> {
        system::Voice::open().map(Self)
    }

    /// The voices that are installed; none where the main thread does not answer within three seconds.
    #[must_use]
    pub fn installed(&self) -> Vec<InstalledVoice> {
        self.0.installed()
    }

    /// Says it; blocks until the last sample was given or `on_samples` broke off.
    ///
    /// # Errors
    /// See [`SystemVoiceError`].
    pub fn say(
        &mut self,
        utterance: Utterance<'_>,
        on_samples: OnSamples<'_>,
    ) -> Result<(), SystemVoiceError> {
        self.0.say(utterance, on_samples)
    }
}
