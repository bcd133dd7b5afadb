//! What is said for a text: no markup, emoji, address, code or thinking reaches the loudspeaker.
//!
//! Core: text in, text out. The agent's task owns one [`SpokenReply`] a reply: token deltas go in, speakable clauses come
//! out. [`spoken`] does the same for a whole text. Numbers are left to the speech engine, except where engines differ or
//! read nonsense (times of day, fractions, ranges, dates, currencies, units), which become words here. English.

mod figures;
mod markup;
mod symbols;
mod words;

use super::clauses::{Clause, ClauseKind, Clauses};

/// Makes speech of the clauses of one reply.
#[derive(Debug, Default)]
pub struct Spoken {
    /// The language is not English: figures and abbreviations are left to the engine, for their words here are English.
    foreign: bool,
    /// Code has been announced: a second block is passed over in silence.
    told_of_code: bool,
    /// The same for formulae.
    told_of_formula: bool,
}

impl Spoken {
    /// Starts a reply.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What is said for `clause`; `None` if nothing is.
    pub fn say(&mut self, clause: &Clause) -> Option<String> {
        match clause.kind {
            ClauseKind::Prose => {
                let plain = markup::plain(&clause.text);
                let said = if self.foreign {
                    words::cleaned(&plain)
                } else {
                    words::normalise(&plain)
                };
                said.contains(char::is_alphanumeric).then_some(said)
            }
            ClauseKind::Hidden => None,
            ClauseKind::Code => {
                let first = !std::mem::replace(&mut self.told_of_code, true);
                first.then(|| CODE.to_owned())
            }
            ClauseKind::Formula => {
                let first = !std::mem::replace(&mut self.told_of_formula, true);
                first.then(|| FORMULA.to_owned())
            }
        }
    }
}

/// [`Clauses`] and [`Spoken`] in a row: what the agent uses.
#[derive(Debug, Default)]
pub struct SpokenReply {
    clauses: Clauses,
    spoken: Spoken,
}

impl SpokenReply {
    /// Starts a reply.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a reply in that language (ISO 639-1); without one in English.
    #[must_use]
    pub fn in_language(code: Option<&str>) -> Self {
        let mut reply = Self::new();
        reply.spoken.foreign = code.is_some_and(|code| code != "en");
        reply
    }

    /// Takes the next delta of the model and gives what can be said now, in order.
    pub fn push(&mut self, delta: &str) -> Vec<String> {
        let clauses = self.clauses.push(delta);
        self.say(&clauses)
    }

    /// Ends the reply and gives what is left to say.
    pub fn finish(&mut self) -> Vec<String> {
        let clauses = self.clauses.finish();
        let said = self.say(&clauses);
        self.spoken = Spoken {
            foreign: self.spoken.foreign,
            ..Spoken::new()
        };
        said
    }

    fn say(&mut self, clauses: &[Clause]) -> Vec<String> {
        clauses
            .iter()
            .filter_map(|clause| self.spoken.say(clause))
            .collect()
    }
}

/// What is said for a whole text, clauses joined by blanks.
#[must_use]
pub fn spoken(text: &str) -> String {
    let mut reply = SpokenReply::new();
    let mut said = reply.push(text);
    said.extend(reply.finish());
    said.join(" ")
}

/// Said once a reply instead of reading code.
const CODE: &str = "I have written some code, which I won't read out.";

/// Said once a reply instead of reading a displayed formula.
const FORMULA: &str = "There is a formula, which I won't read out.";
