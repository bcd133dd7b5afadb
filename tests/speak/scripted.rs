//! A synthesizer that obeys its text.

use std::ops::ControlFlow;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};

use hark::speak::{SpeakError, SpeechPiece, Synthesizer};

/// Makes a constant tone a text: "0.3 1600" gives 1,600 samples of 0.3; "fail" fails, also after a tone ("0.3 1600 fail");
/// "wait" in front waits for a word from the test before the first sample.
pub struct Scripted {
    pub rate: u32,
    pub gate: Option<Receiver<()>>,
    pub voice: Option<String>,
    /// The language of each text that was said.
    pub spoken: Arc<Mutex<Vec<Option<String>>>>,
    pub language: Option<String>,
}

impl Scripted {
    pub fn at(rate: u32) -> Self {
        Self {
            rate,
            gate: None,
            voice: None,
            spoken: Arc::default(),
            language: None,
        }
    }
}

impl Synthesizer for Scripted {
    fn engine(&self) -> &'static str {
        "scripted"
    }

    fn languages(&self) -> Vec<String> {
        vec!["de".to_owned()]
    }

    fn set_language(&mut self, code: Option<&str>) -> bool {
        self.language = code.map(str::to_owned);
        true
    }

    fn synthesize(
        &mut self,
        text: &str,
        on_piece: &mut dyn FnMut(SpeechPiece<'_>) -> ControlFlow<()>,
    ) -> Result<(), SpeakError> {
        self.spoken.lock().unwrap().push(self.language.clone());
        if let Some(voice) = &self.voice {
            return Err(SpeakError::NoVoice {
                voice: voice.clone(),
            });
        }
        let mut words: Vec<&str> = text.split_whitespace().collect();
        if words.first() == Some(&"wait") {
            words.remove(0);
            self.gate.as_ref().unwrap().recv().unwrap();
        }
        if let [level, length, ..] = words[..]
            && let (Ok(level), Ok(length)) = (level.parse::<f32>(), length.parse::<usize>())
        {
            let samples = vec![level; length];
            for samples in samples.chunks(PIECE) {
                let piece = SpeechPiece {
                    rate: self.rate,
                    samples,
                };
                if on_piece(piece).is_break() {
                    return Ok(());
                }
            }
        }
        if words.last() == Some(&"fail") {
            return Err(SpeakError::Failed {
                engine: "scripted",
                reason: "told to".to_owned(),
            });
        }
        Ok(())
    }
}

const PIECE: usize = 500;
