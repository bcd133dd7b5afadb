//! Fenced code and displayed formulae: where they begin and end.
//!
//! Core. Their lines come out one by one as clauses that are not prose, so a long block neither delays what follows nor is
//! read aloud.

use super::markers::Mode;
use super::{ClauseKind, Cut};

/// An open block, by what closes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Block {
    /// Backticks or tildes, at least as many as opened it.
    Fence {
        /// `` ` `` or `~`.
        mark: char,
        /// How many opened it.
        run: usize,
    },
    /// `$$` … `$$`
    Dollars,
    /// `\[` … `\]`
    Brackets,
}

/// What stands at the start of a line.
pub(super) enum Opening {
    /// No block.
    Nothing,
    /// Perhaps one, when the line is complete.
    Unfinished,
    /// The first line of one.
    Found {
        /// Which.
        block: Block,
        /// Bytes of the line, its line break included.
        len: usize,
        /// The same line closes it.
        closed: bool,
    },
}

/// Looks at the line that starts with `rest`, indentation already skipped.
pub(super) fn opening(rest: &str, ended: bool) -> Opening {
    let Some(mark @ ('`' | '~' | '$' | '\\')) = rest.chars().next() else {
        return Opening::Nothing;
    };
    let (line, complete) = match rest.find('\n') {
        Some(end) => (&rest[..=end], true),
        None => (rest, ended),
    };
    let block = match mark {
        '$' if line.starts_with("$$") => Block::Dollars,
        '\\' if line.starts_with("\\[") => Block::Brackets,
        '`' | '~' => {
            let run = line.chars().take_while(|c| *c == mark).count();
            let inline = line[run..].contains('`');
            if run < 3 || inline {
                return if run < 3 && run == line.len() && !complete {
                    Opening::Unfinished
                } else {
                    Opening::Nothing
                };
            }
            Block::Fence { mark, run }
        }
        _ if line.len() == 1 && !complete => return Opening::Unfinished,
        _ => return Opening::Nothing,
    };
    if !complete {
        return Opening::Unfinished;
    }
    Opening::Found {
        block,
        len: line.len(),
        closed: block.closed_on_first_line(line),
    }
}

impl Block {
    pub(super) fn kind(self) -> ClauseKind {
        match self {
            Self::Fence { .. } => ClauseKind::Code,
            Self::Dollars | Self::Brackets => ClauseKind::Formula,
        }
    }

    /// The next line of the block.
    pub(super) fn cut(self, text: &str, ended: bool) -> Option<Cut> {
        let (len, complete) = match text.find('\n') {
            Some(end) => (end + 1, true),
            None => (text.len(), ended),
        };
        complete.then(|| Cut {
            len,
            kind: self.kind(),
            then: if self.closed_by(&text[..len]) {
                Mode::Prose
            } else {
                Mode::Block(self)
            },
        })
    }

    fn closed_by(self, line: &str) -> bool {
        let line = line.trim();
        match self {
            Self::Fence { mark, run } => {
                line.chars().all(|c| c == mark) && line.chars().count() >= run
            }
            Self::Dollars => line.ends_with("$$"),
            Self::Brackets => line.ends_with("\\]"),
        }
    }

    fn closed_on_first_line(self, line: &str) -> bool {
        match self {
            Self::Fence { .. } => false,
            Self::Dollars | Self::Brackets => self.closed_by(&line[2..]),
        }
    }
}
