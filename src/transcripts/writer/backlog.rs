//! What waits to be written, in order, within a bound.
//!
//! Owned by the store thread. Turns are never dropped for events: an event that finds no room is simply gone.

use std::collections::VecDeque;

use super::OnRecorded;
use crate::flow::Turn;
use crate::transcripts::record::Wall;

/// A turn with its time and the one who waits for it.
pub(in crate::transcripts) struct KeptTurn {
    pub(super) turn: Turn,
    pub(super) began: Wall,
    pub(super) on_recorded: OnRecorded,
}

/// An event with its time.
pub(in crate::transcripts) struct KeptEvent {
    pub(super) at: Wall,
    pub(super) kind: &'static str,
    pub(super) detail: serde_json::Value,
}

/// One thing that waits.
pub(in crate::transcripts) enum Entry {
    Turn(Box<KeptTurn>),
    Event(KeptEvent),
}

/// All that waits.
pub(super) struct Backlog {
    entries: VecDeque<Entry>,
    turns: usize,
    limit: usize,
}

impl Backlog {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            turns: 0,
            limit,
        }
    }

    /// Adds at the end; gives it back where there is no room.
    pub(super) fn push(&mut self, entry: Entry) -> Result<(), Entry> {
        let full = match entry {
            Entry::Turn(_) => self.turns >= self.limit,
            Entry::Event(_) => self.entries.len() >= self.limit,
        };
        if full {
            return Err(entry);
        }
        self.turns += usize::from(matches!(entry, Entry::Turn(_)));
        self.entries.push_back(entry);
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Turns that wait.
    pub(super) fn turns(&self) -> usize {
        self.turns
    }

    /// The oldest entries, at most `limit`.
    pub(super) fn oldest(&self, limit: usize) -> impl Iterator<Item = &Entry> {
        self.entries.iter().take(limit)
    }

    /// Takes the oldest away.
    pub(super) fn pop(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front()?;
        self.turns -= usize::from(matches!(entry, Entry::Turn(_)));
        Some(entry)
    }
}
