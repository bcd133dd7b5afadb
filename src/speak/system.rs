//! The voice of the operating system, where it gives samples to programs: `AVSpeechSynthesizer` on macOS.

use std::ops::ControlFlow;

use crate::platform::speech::{SystemVoice, SystemVoiceError, Utterance};

use super::{SpeakError, SpeechPiece, Synthesizer, VoiceSettings};

/// Its name in `tts.engine`.
pub const ENGINE: &str = "avspeech";

/// The engine. The main thread must run `platform::run_main_loop` while this is used.
#[derive(Debug)]
pub struct AvSpeech {
    voice: SystemVoice,
    name: Option<String>,
    rate: f32,
}

impl AvSpeech {
    /// Opens it; the voice's name is only looked up when something is said.
    ///
    /// # Errors
    /// [`SpeakError::Unavailable`] where the system has no such voice.
    pub fn open(settings: &VoiceSettings) -> Result<Self, SpeakError> {
        let voice = SystemVoice::open().ok_or_else(|| SpeakError::Unavailable {
            engine: ENGINE,
            reason: "it is part of macOS only".to_owned(),
        })?;
        Ok(Self {
            voice,
            name: settings.voice.clone(),
            rate: settings.rate.unwrap_or(1.0),
        })
    }
}

impl Synthesizer for AvSpeech {
    fn engine(&self) -> &'static str {
        ENGINE
    }

    fn synthesize(
        &mut self,
        text: &str,
        on_piece: &mut dyn FnMut(SpeechPiece<'_>) -> ControlFlow<()>,
    ) -> Result<(), SpeakError> {
        if !text.contains(char::is_alphanumeric) {
            return Ok(());
        }
        let utterance = Utterance {
            text,
            voice: self.name.as_deref(),
            rate: self.rate,
        };
        let said = self.voice.say(utterance, &mut |rate, samples| {
            on_piece(SpeechPiece { rate, samples })
        });
        said.map_err(|error| match error {
            SystemVoiceError::NoVoice => SpeakError::NoVoice {
                voice: self.name.clone().unwrap_or_default(),
            },
            SystemVoiceError::Silent | SystemVoiceError::Format => SpeakError::Failed {
                engine: ENGINE,
                reason: error.to_string(),
            },
        })
    }
}
