//! Which voice of an engine speaks which language.
//!
//! Pure; owned by the engine that it belongs to. The voice that the engine was opened for speaks its own language and
//! everything that no language was named for; another language gets the first voice that the engine lists for it.

/// The voices of one engine, and the one that speaks now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Languages {
    /// The voice that the engine was opened for; `None` is the engine's own choice.
    own: Option<String>,
    /// ISO 639-1 code of what that one speaks, where it is known.
    own_code: Option<String>,
    /// A code and the voice for it, each code once.
    others: Vec<(String, String)>,
    /// The voice that speaks now instead of the own one.
    other: Option<String>,
}

impl Languages {
    /// For an engine that was opened for the voice `own`; of several voices with one code the first counts. What is no
    /// ISO 639-1 code (two letters) is passed over.
    #[must_use]
    pub fn new(
        own: Option<String>,
        own_code: Option<String>,
        voices: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let mut others: Vec<(String, String)> = Vec::new();
        for (code, voice) in voices {
            if is_code(&code) && others.iter().all(|(known, _)| *known != code) {
                others.push((code, voice));
            }
        }
        Self {
            own,
            own_code: own_code.filter(|code| is_code(code)),
            others,
            other: None,
        }
    }

    /// The codes of all languages that can be spoken.
    #[must_use]
    pub fn codes(&self) -> Vec<String> {
        let mut codes: Vec<String> = self.own_code.iter().cloned().collect();
        let others = self.others.iter().map(|(code, _)| code);
        codes.extend(
            others
                .filter(|code| Some(*code) != self.own_code.as_ref())
                .cloned(),
        );
        codes
    }

    /// Chooses the voice for `code`, or the own one; `false`, and the own one, where there is none for it.
    pub fn choose(&mut self, code: Option<&str>) -> bool {
        self.other = None;
        let Some(code) = code.filter(|code| self.own_code.as_deref() != Some(*code)) else {
            return true;
        };
        let found = self.others.iter().find(|(known, _)| known == code);
        self.other = found.map(|(_, voice)| voice.clone());
        self.other.is_some()
    }

    /// The voice that speaks now; `None` is the engine's own choice.
    #[must_use]
    pub fn voice(&self) -> Option<&str> {
        self.other.as_deref().or(self.own.as_deref())
    }
}

/// "de" of "de-DE" or "de_DE"; `None` where the tag begins with no ISO 639-1 code.
#[must_use]
pub fn code_of(tag: &str) -> Option<&str> {
    let code = tag.split(['-', '_']).next().unwrap_or_default();
    is_code(code).then_some(code)
}

fn is_code(code: &str) -> bool {
    code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(code: &str, voice: &str) -> (String, String) {
        (code.to_owned(), voice.to_owned())
    }

    #[test]
    fn the_own_voice_speaks_its_own_language_and_whatever_has_no_voice() {
        let voices = [
            pair("de", "Anna"),
            pair("fr", "Thomas"),
            pair("de", "Petra"),
        ];
        let own = || Some("Petra".to_owned());
        let mut languages = Languages::new(own(), Some("de".to_owned()), voices);
        assert_eq!(languages.codes(), ["de", "fr"]);
        assert!(languages.choose(Some("de")));
        assert_eq!(languages.voice(), Some("Petra"));
        assert!(languages.choose(Some("fr")));
        assert_eq!(languages.voice(), Some("Thomas"));
        assert!(!languages.choose(Some("fi")));
        assert_eq!(languages.voice(), Some("Petra"), "not the French one");
        assert!(languages.choose(Some("fr")) && languages.choose(None));
        assert_eq!(languages.voice(), Some("Petra"));
    }

    #[test]
    fn a_tag_gives_its_code() {
        assert_eq!(code_of("de-DE"), Some("de"));
        assert_eq!(code_of("en_GB"), Some("en"));
        assert_eq!(code_of("cmn"), None);
        assert_eq!(code_of(""), None);
    }
}
