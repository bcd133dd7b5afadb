//! The voice of the operating system, where it gives samples to programs: `AVSpeechSynthesizer` on macOS.

use std::ops::ControlFlow;

use crate::platform::speech::{SystemVoice, SystemVoiceError, Utterance};

use super::languages::{Languages, code_of};
use super::{SpeakError, SpeechPiece, Synthesizer, VoiceSettings};

/// Its name in `tts.engine`.
pub const ENGINE: &str = "avspeech";

/// The engine. The main thread must run `platform::run_main_loop` while this is used.
#[derive(Debug)]
pub struct AvSpeech {
    voice: SystemVoice,
    voices: Languages,
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
        let own = settings.voice.as_deref();
        let installed = voice.installed();
        let own_tag = installed.iter().find(|voice| {
            own.is_some_and(|own| own.eq_ignore_ascii_case(&voice.name) || own == voice.identifier)
        });
        // A voice can be named by its language, too.
        let own_code = own_tag
            .map(|voice| voice.language.as_str())
            .or(own)
            .and_then(code_of);
        // The system knows the best voice of a language itself.
        let tags = installed.iter().filter_map(|voice| {
            Some((code_of(&voice.language)?.to_owned(), voice.language.clone()))
        });
        Ok(Self {
            voices: Languages::new(settings.voice.clone(), own_code.map(str::to_owned), tags),
            voice,
            rate: settings.rate.unwrap_or(1.0),
        })
    }
}

impl Synthesizer for AvSpeech {
    fn engine(&self) -> &'static str {
        ENGINE
    }

    fn languages(&self) -> Vec<String> {
        self.voices.codes()
    }

    fn set_language(&mut self, code: Option<&str>) -> bool {
        self.voices.choose(code)
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
            voice: self.voices.voice(),
            rate: self.rate,
        };
        let said = self.voice.say(utterance, &mut |rate, samples| {
            on_piece(SpeechPiece { rate, samples })
        });
        said.map_err(|error| match error {
            SystemVoiceError::NoVoice => SpeakError::NoVoice {
                voice: self.voices.voice().unwrap_or_default().to_owned(),
            },
            SystemVoiceError::Silent | SystemVoiceError::Format => SpeakError::Failed {
                engine: ENGINE,
                reason: error.to_string(),
            },
        })
    }
}
