//! What the user has switched: whether Hark hears, and whether anything is written down.
//!
//! Owned by the conductor. Both outlast a restart (a file of two words in the state folder): an ear that was closed does
//! not open because the service manager started the daemon again. Which turns are off the record is decided by when their
//! words were said, not by when they are written: what was begun while it was on stays off for ever.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::Places;
use crate::ids::TurnId;
use crate::time::{SamplePos, Span};

/// Both switches as they lie in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// Whether the ear is closed.
    pub muted: bool,
    /// Whether nothing is written.
    pub off_record: bool,
}

impl Kept {
    /// What an earlier run left. A file that is not ours or damaged is as good as none, but is told.
    #[must_use]
    pub fn read(places: &Places) -> Self {
        let path = file(places);
        match std::fs::read(&path) {
            Err(_) => Self::default(),
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::warn!(file = %path.display(), %error, "is damaged: the ear is open and turns are kept");
                Self::default()
            }),
        }
    }

    fn write(self, path: &Path) -> std::io::Result<()> {
        if self == Self::default() {
            return match std::fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let fresh = path.with_extension("new");
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)?;
        file.write_all(&serde_json::to_vec(&self)?)?;
        file.sync_all()?;
        std::fs::rename(fresh, path)
    }
}

/// Far more turns than can be under way at once.
const UNDER_WAY: usize = 64;

fn file(places: &Places) -> PathBuf {
    places.state.join("switches.json")
}

/// See the module.
#[derive(Debug, Default)]
pub struct Switches {
    kept: Kept,
    /// Where changes are kept; `None` keeps them nowhere.
    file: Option<PathBuf>,
    /// What was said before this position was said off the record.
    private_until: SamplePos,
    /// Turns that may still be under way and are off the record: the newest, for most words come to nothing.
    private: BTreeSet<TurnId>,
}

impl Switches {
    /// As an earlier run left them.
    #[must_use]
    pub fn restored(kept: Kept, places: &Places) -> Self {
        Self {
            kept,
            file: Some(file(places)),
            private_until: SamplePos(0),
            private: BTreeSet::new(),
        }
    }

    /// For a run that hears no room: what an earlier run left holds, and what is switched here does not outlast it.
    #[must_use]
    pub fn passing(kept: Kept) -> Self {
        Self {
            kept,
            ..Self::default()
        }
    }

    /// Whether the ear is closed.
    #[must_use]
    pub const fn muted(&self) -> bool {
        self.kept.muted
    }

    /// Whether nothing is written.
    #[must_use]
    pub const fn off_record(&self) -> bool {
        self.kept.off_record
    }

    /// Closes or opens the ear, as far as that is kept here.
    pub fn mute(&mut self, muted: bool) {
        self.kept.muted = muted;
        self.keep();
    }

    /// Switches the record off (`true`) or on again, while the turns `under_way` are on their way and the ear is at `now`.
    pub fn set_off_record(
        &mut self,
        off: bool,
        now: SamplePos,
        under_way: impl IntoIterator<Item = TurnId>,
    ) {
        if off {
            self.private.extend(under_way);
        } else if self.kept.off_record {
            self.private_until = now;
        }
        self.kept.off_record = off;
        self.keep();
    }

    /// Whether words that begin there are off the record, as far as is known now.
    #[must_use]
    pub fn hides(&self, start: SamplePos) -> bool {
        self.kept.off_record || start < self.private_until
    }

    /// Words of this turn are awaited, which lie there.
    pub fn heard(&mut self, turn: TurnId, span: Span) {
        if self.hides(span.start) {
            self.hide(turn);
        }
    }

    /// This turn was asked.
    pub fn asked(&mut self, turn: TurnId) {
        if self.kept.off_record {
            self.hide(turn);
        }
    }

    fn hide(&mut self, turn: TurnId) {
        self.private.insert(turn);
        while self.private.len() > UNDER_WAY {
            self.private.pop_first();
        }
    }

    /// Whether nothing of this turn (or of what belongs to none) may be written.
    #[must_use]
    pub fn is_private(&self, turn: Option<TurnId>) -> bool {
        match turn {
            Some(turn) => self.kept.off_record || self.private.contains(&turn),
            None => self.kept.off_record,
        }
    }

    /// Nothing more will be told of this turn.
    pub fn over(&mut self, turn: TurnId) {
        self.private.remove(&turn);
    }

    fn keep(&self) {
        if let Some(file) = &self.file
            && let Err(error) = self.kept.write(file)
        {
            tracing::warn!(file = %file.display(), %error, "mute and off-record will not outlast a restart");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn places(folder: &Path) -> Places {
        Places {
            config_file: folder.join("config.toml"),
            state: folder.to_owned(),
            home: folder.to_owned(),
        }
    }

    fn span(start: u64) -> Span {
        Span {
            start: SamplePos(start),
            end: SamplePos(start + 10),
        }
    }

    #[test]
    fn what_was_begun_off_the_record_stays_off() {
        let folder = tempfile::tempdir().unwrap();
        let mut switches = Switches::restored(Kept::default(), &places(folder.path()));
        switches.heard(TurnId(1), span(0));
        assert!(!switches.is_private(Some(TurnId(1))));
        // The turn that is under way is covered from now on.
        switches.set_off_record(true, SamplePos(100), [TurnId(1)]);
        switches.heard(TurnId(2), span(200));
        switches.asked(TurnId(3));
        // Said before it was switched back, understood after.
        switches.set_off_record(false, SamplePos(300), []);
        assert!(switches.hides(SamplePos(299)) && !switches.hides(SamplePos(300)));
        switches.heard(TurnId(4), span(250));
        switches.heard(TurnId(5), span(310));
        let private: Vec<bool> = (1..=5)
            .map(|id| switches.is_private(Some(TurnId(id))))
            .collect();
        assert_eq!(private, [true, true, true, true, false]);
        assert!(!switches.is_private(None));
        switches.over(TurnId(2));
        assert!(!switches.is_private(Some(TurnId(2))));
    }

    #[test]
    fn they_outlast_a_restart_and_leave_nothing_when_both_are_off() {
        let folder = tempfile::tempdir().unwrap();
        let places = places(folder.path());
        let mut switches = Switches::restored(Kept::read(&places), &places);
        switches.mute(true);
        switches.set_off_record(true, SamplePos(0), []);
        let kept = Kept::read(&places);
        assert!(kept.muted && kept.off_record);
        switches.mute(false);
        switches.set_off_record(false, SamplePos(0), []);
        assert_eq!(Kept::read(&places), Kept::default());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
