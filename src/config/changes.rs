//! What differs between two sets of settings, and which of it a running daemon takes over.
//!
//! Core. [`LIVE`] names the settings that take effect at once; everything else needs a restart, and is told by name, so that
//! nobody waits for an effect that does not come.

use super::raw::{PERMISSIONS, Raw};

/// Settings that a running daemon takes over. A name that ends in a dot stands for all under it.
pub const LIVE: &[&str] = &[
    "agent.name",
    "agent.persona",
    "hotkey.push_to_talk",
    "llm.max_tokens",
    "llm.temperature",
    "log.level",
    "sounds.earcons",
    "tools.budget_tokens",
    "tools.enabled",
    PERMISSIONS,
    "transcripts.keep_audio",
    "tts.engine",
    "tts.rate",
    "tts.voice",
    "turn.follow_up_s",
];

/// What changed, by name and sorted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Takes effect at once.
    pub live: Vec<String>,
    /// Takes effect after a restart.
    pub restart: Vec<String>,
}

impl Changes {
    /// What differs in `newer`.
    #[must_use]
    pub fn between(older: &Raw, newer: &Raw) -> Self {
        let mut changes = Self::default();
        for name in older.names(newer) {
            let value = |raw: &Raw| raw.get(&name).map(|setting| setting.value.clone());
            if value(older) == value(newer) {
                continue;
            }
            if is_live(&name) {
                changes.live.push(name);
            } else {
                changes.restart.push(name);
            }
        }
        changes
    }

    /// Whether nothing did.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.live.is_empty() && self.restart.is_empty()
    }
}

/// Whether a running daemon takes this setting over.
#[must_use]
pub fn is_live(name: &str) -> bool {
    LIVE.iter()
        .any(|live| *live == name || (live.ends_with('.') && name.starts_with(live)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::raw::keys;

    fn raw(text: &str) -> Raw {
        let mut raw = Raw::default();
        raw.overlay_file(Path::new("config.toml"), text).unwrap();
        raw
    }

    #[test]
    fn what_changed_is_told_by_name_and_by_whether_it_needs_a_restart() {
        let before = raw("[tts]\nrate = 1.5\n[tools.permissions]\nopen_url = \"allow\"\n");
        let after = raw(
            "[stt]\nmodel = \"base.en\"\n[turn]\nfollow_up_s = 9\n[tools.permissions]\nadd_note = \"deny\"\n",
        );
        let changes = Changes::between(&before, &after);
        assert_eq!(
            changes.live,
            [
                "tools.permissions.add_note",
                "tools.permissions.open_url",
                "tts.rate",
                "turn.follow_up_s"
            ]
        );
        assert_eq!(changes.restart, ["stt.model"]);
        assert!(Changes::between(&after, &after).is_empty());
    }

    #[test]
    fn a_line_that_moved_is_no_change() {
        let moved = raw("\n\n[tts]\nrate = 1.5\n");
        assert!(Changes::between(&raw("[tts]\nrate = 1.5\n"), &moved).is_empty());
    }

    #[test]
    fn every_live_setting_is_one() {
        for live in LIVE.iter().filter(|live| !live.ends_with('.')) {
            assert!(keys().iter().any(|key| key.name == *live), "{live}");
        }
    }
}
