//! The language of the answer: that of the speaker, where the voice knows it.

use std::sync::Arc;

use super::Desk;
use crate::ids::TurnId;

/// What the voice can speak, and what the live turn is answered in.
#[derive(Debug, Clone)]
pub(super) struct Tongue {
    /// What is spoken unless the user speaks something else.
    own: String,
    /// What the voice can be switched to.
    known: Vec<String>,
    /// What the live turn is answered in.
    now: String,
}

impl Tongue {
    /// For a user whose language is `language`, or `auto`.
    pub(super) fn new(language: &str) -> Self {
        let own = if language == "auto" { "en" } else { language };
        Self {
            own: own.to_owned(),
            known: Vec::new(),
            now: own.to_owned(),
        }
    }

    /// What the live turn is answered in; `None` is English, for which the voice of the settings is there.
    pub(super) fn answer(&self) -> Option<Arc<str>> {
        (self.now != "en").then(|| Arc::from(self.now.as_str()))
    }
}

impl Desk {
    /// Tells what the voice can be switched to, as ISO 639-1 codes.
    pub fn voice_knows(&mut self, languages: Vec<String>) {
        self.tongue.known = languages;
    }

    /// Chooses the language of the answer by how the words of `turn` were said; what the model must know of it is
    /// returned. A typed question is answered in the language of the settings.
    pub(super) fn follow_speaker(&mut self, turn: TurnId) -> Option<String> {
        let spoken = self.manner.as_ref().filter(|manner| manner.turn == turn);
        let spoken = spoken.map(|manner| manner.language.clone());
        let tongue = &mut self.tongue;
        tongue.now.clone_from(&tongue.own);
        let spoken = spoken.filter(|spoken| *spoken != tongue.own)?;
        let (language, own) = (name(&spoken), name(&tongue.own));
        if !tongue.known.contains(&spoken) {
            return Some(format!(
                "The user speaks {language}, but the voice does not: answer in {own}"
            ));
        }
        let note = format!("The user speaks {language}: answer in {language}");
        tongue.now = spoken;
        Some(note)
    }
}

/// The English name of a language.
fn name(code: &str) -> &str {
    NAMES
        .iter()
        .find(|(known, _)| *known == code)
        .map_or(code, |(_, name)| name)
}

const NAMES: &[(&str, &str)] = &[
    ("ar", "Arabic"),
    ("cs", "Czech"),
    ("da", "Danish"),
    ("de", "German"),
    ("el", "Greek"),
    ("en", "English"),
    ("es", "Spanish"),
    ("fi", "Finnish"),
    ("fr", "French"),
    ("he", "Hebrew"),
    ("hi", "Hindi"),
    ("hu", "Hungarian"),
    ("it", "Italian"),
    ("ja", "Japanese"),
    ("ko", "Korean"),
    ("nl", "Dutch"),
    ("no", "Norwegian"),
    ("pl", "Polish"),
    ("pt", "Portuguese"),
    ("ro", "Romanian"),
    ("ru", "Russian"),
    ("sv", "Swedish"),
    ("tr", "Turkish"),
    ("uk", "Ukrainian"),
    ("vi", "Vietnamese"),
    ("zh", "Chinese"),
];
