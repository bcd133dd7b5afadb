//! Cuts a stream of tokens into clauses that can be spoken while the model still writes.
//!
//! Core: text in, text out. One value lives as long as one reply and belongs to the agent's task. It promises two things:
//! the clauses joined are exactly the text that was pushed, and they are the same however the text was cut into deltas. The
//! second holds because every decision is made from left to right and waits until the characters it depends on are there.
//!
//! The first clause comes as early as it sounds right (at a comma after a few words), since the user hears silence until
//! then; later ones are sentences, which sound better. What must not be spoken (thinking, code, formulae, the markers of
//! a chat template) comes as clauses of their own kind. What is said for a clause is [`super::spoken`]'s business.

mod blocks;
mod markers;
mod sentences;

use blocks::{Block, Opening};
use markers::{Marker, Mode, Scan};

/// What a clause holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClauseKind {
    /// Text for the user, markup included.
    Prose,
    /// A line of a fenced code block, or its fence.
    Code,
    /// A line of a displayed formula.
    Formula,
    /// Thinking, a tool call written as text, or a marker of the chat template.
    Hidden,
}

/// A stretch of the reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// What it holds.
    pub kind: ClauseKind,
    /// The text as it was pushed.
    pub text: String,
}

/// The splitter of one reply.
#[derive(Debug, Default)]
pub struct Clauses {
    /// Pushed and not yet given out.
    pending: String,
    /// What `pending` belongs to.
    mode: Mode,
    /// Whether text has been given out since the last line break: a fence counts only at the start of a line.
    within_line: bool,
    /// Whether a clause with words has been given out: from then on whole sentences are waited for.
    begun: bool,
}

/// Where the next clause ends and what follows it.
pub(super) struct Cut {
    len: usize,
    kind: ClauseKind,
    then: Mode,
}

impl Clauses {
    /// Starts a reply.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next delta and gives the clauses that are now certain.
    pub fn push(&mut self, delta: &str) -> Vec<Clause> {
        self.pending.push_str(delta);
        self.take(false)
    }

    /// Ends the reply and gives what is left; the splitter is then as new.
    pub fn finish(&mut self) -> Vec<Clause> {
        let rest = self.take(true);
        *self = Self::new();
        rest
    }

    fn take(&mut self, ended: bool) -> Vec<Clause> {
        let mut clauses = Vec::new();
        while let Some(cut) = self.next_cut(ended) {
            let text: String = self.pending.drain(..cut.len).collect();
            self.within_line = !text.ends_with('\n');
            self.begun |= cut.kind == ClauseKind::Prose && text.contains(char::is_alphanumeric);
            self.mode = cut.then;
            clauses.push(Clause {
                kind: cut.kind,
                text,
            });
        }
        clauses
    }

    fn next_cut(&self, ended: bool) -> Option<Cut> {
        if self.pending.is_empty() {
            return None;
        }
        match self.mode {
            Mode::Prose => self.prose_cut(ended),
            Mode::Block(block) => block.cut(&self.pending, ended),
            Mode::Tag(_) | Mode::Channel | Mode::Message | Mode::Header { .. } => {
                self.hidden_cut(ended)
            }
        }
    }

    fn prose_cut(&self, ended: bool) -> Option<Cut> {
        let text = self.pending.as_str();
        let mut at_line_start = !self.within_line;
        let mut at = 0;
        while let Some(c) = text[at..].chars().next() {
            match markers::scan(text, at) {
                Scan::Unfinished if !ended => return None,
                Scan::Found(marker) => return Some(self.marker_cut(at, &marker)),
                Scan::Unfinished | Scan::Nothing => {}
            }
            if at_line_start {
                match blocks::opening(&text[at..], ended) {
                    Opening::Unfinished => return None,
                    Opening::Found { block, len, closed } => {
                        return Some(block_cut(text, at, block, len, closed));
                    }
                    Opening::Nothing => {}
                }
            }
            match sentences::boundary(text, at, self.begun, ended) {
                sentences::Boundary::Here(len) => return Some(prose(len)),
                sentences::Boundary::Undecided => return None,
                sentences::Boundary::Not { next } => {
                    at_line_start = c == '\n' || (at_line_start && c.is_whitespace());
                    at = next;
                }
            }
        }
        ended.then(|| prose(text.len()))
    }

    fn hidden_cut(&self, ended: bool) -> Option<Cut> {
        let text = self.pending.as_str();
        for (at, c) in text.char_indices() {
            match markers::scan(text, at) {
                Scan::Unfinished if !ended => return None,
                Scan::Found(marker) => return Some(self.marker_cut(at, &marker)),
                Scan::Unfinished | Scan::Nothing => {}
            }
            let end = at + c.len_utf8();
            if c == '\n' || end >= HIDDEN_CHUNK_BYTES {
                return Some(hidden(end, self.mode.after_text(&text[..end])));
            }
        }
        ended.then(|| hidden(text.len(), self.mode))
    }

    /// Cuts before the marker if something stands before it, else after it.
    fn marker_cut(&self, at: usize, marker: &Marker) -> Cut {
        let before = &self.pending[..at];
        if before.trim().is_empty() {
            return hidden(at + marker.len, self.mode.after_marker(marker));
        }
        if matches!(self.mode, Mode::Prose) {
            prose(at)
        } else {
            hidden(at, self.mode.after_text(before))
        }
    }
}

fn block_cut(text: &str, at: usize, block: Block, len: usize, closed: bool) -> Cut {
    if !text[..at].trim().is_empty() {
        return prose(at);
    }
    Cut {
        len: at + len,
        kind: block.kind(),
        then: if closed {
            Mode::Prose
        } else {
            Mode::Block(block)
        },
    }
}

fn prose(len: usize) -> Cut {
    Cut {
        len,
        kind: ClauseKind::Prose,
        then: Mode::Prose,
    }
}

fn hidden(len: usize, then: Mode) -> Cut {
    Cut {
        len,
        kind: ClauseKind::Hidden,
        then,
    }
}

/// Thinking without line breaks is given out in pieces of this size, so that it is not scanned again and again.
const HIDDEN_CHUNK_BYTES: usize = 256;
