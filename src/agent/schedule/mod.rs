//! Timers, alarms and reminders as values: what is set, what rings when, and how it is put into words.
//!
//! Pure. Everything is kept in wall time, so that it survives a restart and a night with the lid closed; whoever owns a
//! [`Schedule`] tells it the time. [`super::notebook`] keeps it on disk, the daemon rings it, the local intents and the
//! tools read and change it.

mod repeat;
pub mod words;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, ZonedDateTime};

pub use repeat::{Days, Repeat};

/// The name of an entry; never used twice in the life of a notebook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryId(pub i64);

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Rings after a length of time.
    Timer {
        /// How long it was set for.
        length: Duration,
    },
    /// Rings at a time of day.
    Alarm,
    /// Says what the user wanted to be reminded of.
    Reminder,
}

/// What is to be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// What it is.
    pub kind: Kind,
    /// When it rings (first).
    pub due: Timestamp,
    /// What it is for; a reminder has always got one.
    pub label: Option<String>,
    /// When it rings again.
    pub repeat: Option<Repeat>,
}

/// One timer, alarm or reminder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub id: EntryId,
    /// What it is.
    pub kind: Kind,
    /// When it rings next; while it rings, when it was due.
    pub due: Timestamp,
    /// What it is for.
    pub label: Option<String>,
    /// When it rings again.
    pub repeat: Option<Repeat>,
    /// The ring under way.
    pub ringing: Option<Ringing>,
}

/// A ring that nobody has stopped yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ringing {
    /// How often it has been said.
    pub times: u32,
    /// When it was said last.
    pub last: Timestamp,
}

impl Entry {
    /// When something must be done about it.
    #[must_use]
    pub fn next(&self) -> Timestamp {
        match self.ringing {
            Some(ringing) => ringing.last.saturating_add(AGAIN).unwrap_or(Timestamp::MAX),
            None => self.due,
        }
    }

    /// Whether it is a timer.
    #[must_use]
    pub fn is_timer(&self) -> bool {
        matches!(self.kind, Kind::Timer { .. })
    }

    /// How often it is said before it gives up: what must be acted upon rings until it is heard.
    fn most(&self) -> u32 {
        match self.kind {
            Kind::Timer { .. } | Kind::Alarm => 3,
            Kind::Reminder => 1,
        }
    }
}

/// What became of an entry when its time had come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It rings: say it, and keep the entry as it is here.
    Ring(Entry, Ring),
    /// It is over: forget it.
    Over(EntryId),
    /// It is over until its next time: keep the entry as it is here.
    Again(Entry),
}

/// How a ring is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ring {
    /// On time.
    Now,
    /// Said before, and not stopped.
    Still,
    /// The time passed while nobody could ring.
    Missed,
}

/// Everything that is set, the next to ring first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schedule {
    entries: Vec<Entry>,
}

impl Schedule {
    /// Nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// These entries.
    #[must_use]
    pub fn from_entries(mut entries: Vec<Entry>) -> Self {
        entries.sort_by_key(|entry| (entry.due, entry.id));
        Self { entries }
    }

    /// Puts an entry in, in the place of an older one of its name.
    pub fn put(&mut self, entry: Entry) {
        self.remove(entry.id);
        let at = self
            .entries
            .partition_point(|other| (other.due, other.id) <= (entry.due, entry.id));
        self.entries.insert(at, entry);
    }

    /// Takes one out; whether it was there.
    pub fn remove(&mut self, id: EntryId) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.id != id);
        self.entries.len() < before
    }

    /// All entries, the next to ring first.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The timers, the next to ring first.
    #[must_use]
    pub fn timers(&self) -> Vec<&Entry> {
        self.entries
            .iter()
            .filter(|entry| entry.is_timer())
            .collect()
    }

    /// When something must be done next.
    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        self.entries.iter().map(Entry::next).min()
    }

    /// What is to be done by now, in the order in which it was due. `started` is when whoever rings began to watch: what
    /// was due before that is told as missed. Nothing is changed here.
    #[must_use]
    pub fn due(&self, now: &ZonedDateTime, started: Timestamp) -> Vec<Change> {
        let at = now.timestamp();
        self.entries
            .iter()
            .filter(|entry| entry.next() <= at)
            .map(|entry| step(entry, now, started))
            .collect()
    }

    /// What ends the rings under way: the user has heard them.
    #[must_use]
    pub fn silenced(&self, now: &ZonedDateTime) -> Vec<Change> {
        self.entries
            .iter()
            .filter(|entry| entry.ringing.is_some())
            .map(|entry| end(entry, now))
            .collect()
    }
}

/// The next step of an entry whose time has come.
fn step(entry: &Entry, now: &ZonedDateTime, started: Timestamp) -> Change {
    let at = now.timestamp();
    let late = at.duration_since(entry.due);
    let (times, ring) = match entry.ringing {
        // Said by a daemon that was killed before anybody can have reacted.
        Some(ringing) if ringing.last < started => (0, Ring::Missed),
        Some(ringing) => (ringing.times, Ring::Still),
        None if entry.due < started || late > LATE => (0, Ring::Missed),
        None => (0, Ring::Now),
    };
    if times >= entry.most() {
        return end(entry, now);
    }
    // What was missed is told once: its moment has passed.
    let times = if ring == Ring::Missed {
        entry.most()
    } else {
        times + 1
    };
    let mut entry = entry.clone();
    entry.ringing = Some(Ringing { times, last: at });
    Change::Ring(entry, ring)
}

fn end(entry: &Entry, now: &ZonedDateTime) -> Change {
    let next = entry.repeat.and_then(|repeat| repeat.after(now));
    match next {
        Some(due) => Change::Again(Entry {
            due,
            ringing: None,
            ..entry.clone()
        }),
        None => Change::Over(entry.id),
    }
}

/// Between two rings: long enough to be answered, short enough to wake.
const AGAIN: SignedDuration = SignedDuration::from_secs(20);

/// From when on a ring is told as missed: a machine that slept, not one that was busy.
const LATE: SignedDuration = SignedDuration::from_secs(30);

/// The longest timer, a week: more is an appointment.
pub const LONGEST_TIMER: Duration = Duration::from_secs(7 * 86_400);

/// Entries that may be set at once: more is a mistake of somebody, most likely of the model.
pub const MOST_ENTRIES: usize = 200;
