//! The choice `auto`: the best engine that is here, and the next one when it turns out not to work.
//!
//! An engine can open and still say nothing (a voice that hangs, a main loop that does not run), which only shows when it
//! is used. So the first text that fails before any sample moves on to the next engine of the table, for good.

use std::ops::ControlFlow;

use super::{Engine, SpeakError, SpeechPiece, Synthesizer, VoiceSettings};

/// A synthesizer that is one of several.
pub struct Fallback {
    current: Box<dyn Synthesizer>,
    /// Those not tried yet.
    rest: &'static [Engine],
    settings: VoiceSettings,
    /// What it was last told to speak: the next engine is told, too.
    language: Option<String>,
}

impl Fallback {
    /// The first of `engines` that opens.
    ///
    /// # Errors
    /// The error of the last one; [`SpeakError::NoVoice`] of an earlier one counts for more, since it can be mended.
    pub fn open(engines: &'static [Engine], settings: &VoiceSettings) -> Result<Self, SpeakError> {
        let mut found: Result<Self, SpeakError> = Err(SpeakError::Unavailable {
            engine: super::AUTO,
            reason: "this build has no engine".to_owned(),
        });
        for (at, row) in engines.iter().enumerate() {
            found = match ((row.open)(settings), found) {
                (Ok(current), _) => {
                    return Ok(Self {
                        current,
                        rest: &engines[at + 1..],
                        settings: settings.clone(),
                        language: None,
                    });
                }
                (Err(_), Err(no_voice @ SpeakError::NoVoice { .. })) => Err(no_voice),
                (Err(error), _) => Err(error),
            };
        }
        found
    }
}

impl Synthesizer for Fallback {
    fn engine(&self) -> &'static str {
        self.current.engine()
    }

    fn languages(&self) -> Vec<String> {
        self.current.languages()
    }

    fn set_language(&mut self, code: Option<&str>) -> bool {
        self.language = code.map(str::to_owned);
        self.current.set_language(code)
    }

    fn synthesize(
        &mut self,
        text: &str,
        on_piece: &mut dyn FnMut(SpeechPiece<'_>) -> ControlFlow<()>,
    ) -> Result<(), SpeakError> {
        loop {
            let mut silent = true;
            let said = self.current.synthesize(text, &mut |piece| {
                silent = false;
                on_piece(piece)
            });
            let Err(error @ (SpeakError::Unavailable { .. } | SpeakError::Failed { .. })) = said
            else {
                return said;
            };
            if !silent {
                return Err(error);
            }
            let Ok(next) = Self::open(self.rest, &self.settings) else {
                return Err(error);
            };
            tracing::warn!(from = self.engine(), to = next.engine(), %error, "changing the speech engine");
            let language = self.language.take();
            *self = next;
            self.set_language(language.as_deref());
        }
    }
}
