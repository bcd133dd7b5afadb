//! What the assistant remembers of words that were said off the record: nothing, once that is over.
//!
//! While it lasts they stay in memory, or no conversation would be possible. Afterwards the history is what it was before:
//! otherwise the model (or "say that again") could repeat them into a turn that is written down.

use super::Desk;
use crate::agent::prompt::History;

/// What the user wants of the daemon itself, by voice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Write nothing of what is said (`true`), or go on writing.
    OffRecord(bool),
    /// Close the ear.
    Mute,
}

/// The memory as it was when the record was switched off.
pub(super) struct SetAside {
    history: History,
    last_reply: Option<String>,
}

impl Desk {
    /// What the last question wanted of the daemon; asked for once.
    pub fn take_wish(&mut self) -> Option<Wish> {
        self.wish.take()
    }

    /// The record is switched off (`true`) or on again.
    pub fn off_record(&mut self, off: bool) {
        super::lock(&self.equipment).off_record(off);
        match (off, self.set_aside.take()) {
            (true, None) => {
                self.set_aside = Some(SetAside {
                    history: self.history.clone(),
                    last_reply: self.last_reply.clone(),
                });
            }
            (true, before) => self.set_aside = before,
            (false, None) => {}
            (false, Some(before)) => {
                self.history = before.history;
                self.last_reply = before.last_reply;
                self.asked_back = None;
                self.in_conversation = false;
                // The turn that is under way was begun off the record: it must not be remembered when it ends.
                self.asked = None;
                self.note_history();
            }
        }
    }
}
