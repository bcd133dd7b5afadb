//! The spoken yes: which call waits for it, and what counts as one.
//!
//! Core: a pure machine, owned by the desk. A call that cannot be undone is held here with its final arguments; the loop
//! asks about it aloud as the last words of a turn, and the user's next words decide. Promises: a yes releases exactly the
//! call that was held, with exactly its arguments, once; it must be a whole utterance that means yes and nothing else,
//! begun after the question was heard to its end and at most [`WINDOW`] later. Everything else (no, other words, silence,
//! words begun while we spoke, which may be our own voice or a television) releases nothing. Words that a tool or the model
//! wrote never come here: only what the user said or typed is judged.

mod words;

use std::time::Duration;

use serde_json::Value;

use crate::ids::TurnId;
use crate::private::Private;
use crate::time::Mono;

pub use crate::config::tools::{Permission, Permissions};
pub use words::{Answer, answer};

/// How long after the end of the question a yes may begin.
pub const WINDOW: Duration = Duration::from_secs(15);

/// A call that waits for a yes. Nothing can change it any more.
#[derive(Clone, PartialEq)]
pub struct Held {
    tool: String,
    arguments: Value,
    question: String,
    asked: u8,
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held")
            .field("tool", &self.tool)
            .field("arguments", &Private::new(self.arguments.to_string()))
            .finish()
    }
}

impl Held {
    /// Holds a call; `question` is what is said.
    #[must_use]
    pub fn new(tool: String, arguments: Value, question: String) -> Self {
        Self {
            tool,
            arguments,
            question,
            asked: 1,
        }
    }

    /// The tool's name.
    #[must_use]
    pub fn tool(&self) -> &str {
        &self.tool
    }

    /// The arguments that were read back.
    #[must_use]
    pub const fn arguments(&self) -> &Value {
        &self.arguments
    }

    /// The question.
    #[must_use]
    pub fn question(&self) -> &str {
        &self.question
    }

    /// Whether the question may be asked again: once.
    const fn was_asked_once(&self) -> bool {
        self.asked == 1
    }
}

/// How a question was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hearing {
    /// To its end, at this instant.
    Whole(Mono),
    /// Not to its end: the user spoke into it, or the voice failed.
    Cut,
}

/// What the user said after a question.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    /// The turn that these words are.
    pub turn: TurnId,
    /// The words.
    pub words: &'a str,
    /// ISO 639-1 code of their language.
    pub language: &'a str,
    /// When they began; where that is not known they cannot count.
    pub began: Option<Mono>,
}

/// What follows from it. The held call is gone from the machine in every case.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Nothing waits for an answer.
    NotAsked,
    /// Yes: make this call, now and once.
    Granted(Held),
    /// A plain no. The words have no other meaning.
    Declined(Held),
    /// The words mean something else, or came too late: the call is refused, and they are a question of their own.
    Unanswered(Held),
    /// Words that could be a yes cannot count (they began before the question had ended, or are too weak): ask once more.
    AskAgain(Held),
}

/// See the module.
#[derive(Debug, Default)]
pub struct Consent {
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    turn: TurnId,
    held: Held,
    hearing: Hearing,
}

impl Consent {
    /// Takes a question that was asked by `turn`, when that turn is over. One that is open already is refused by this.
    pub fn ask(&mut self, turn: TurnId, held: Held, hearing: Hearing) -> Option<Held> {
        let open = Open {
            turn,
            held,
            hearing,
        };
        self.open.replace(open).map(|open| open.held)
    }

    /// Whether the next words may be the answer.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The question that is open.
    #[must_use]
    pub fn question(&self) -> Option<&str> {
        self.open.as_ref().map(|open| open.held.question())
    }

    /// Takes the question back, and gives the call to whoever decides otherwise.
    pub fn withdraw(&mut self) -> Option<Held> {
        self.open.take().map(|open| open.held)
    }

    /// Judges the user's next words.
    pub fn judge(&mut self, said: Said<'_>) -> Verdict {
        let Some(open) = self.open.take() else {
            return Verdict::NotAsked;
        };
        // Words of the turn that asked, or of one before it, answer something else.
        if said.turn <= open.turn {
            return Verdict::Unanswered(open.held);
        }
        let heard = match open.hearing {
            Hearing::Whole(heard) => Some(heard),
            Hearing::Cut => None,
        };
        let span = heard.zip(said.began);
        if span.is_some_and(|(heard, began)| began > heard + WINDOW) {
            return Verdict::Unanswered(open.held);
        }
        let after_the_question = span.is_some_and(|(heard, began)| began >= heard);
        match answer(said.words, open.held.question(), said.language) {
            Answer::Yes if after_the_question => Verdict::Granted(open.held),
            Answer::Yes | Answer::Weak if open.held.was_asked_once() => {
                let asked = open.held.asked + 1;
                Verdict::AskAgain(Held { asked, ..open.held })
            }
            Answer::Yes | Answer::Weak => Verdict::Declined(open.held),
            Answer::No => Verdict::Declined(open.held),
            Answer::Other => Verdict::Unanswered(open.held),
        }
    }
}

/// Letters of a question beyond which nobody can tell what is agreed to: half a minute of speech.
pub const MAX_QUESTION_CHARS: usize = 400;

/// A question as it is said: every visible character of it, on one line. Unlike what a model writes it is not cleaned of
/// markup, because what would be left out could be the part that matters. `None` where it cannot be read back: too long, or
/// it holds letters that nobody hears.
#[must_use]
pub fn read_back(question: &str) -> Option<String> {
    let line = question.split_whitespace().collect::<Vec<_>>().join(" ");
    let silent = |c: char| c.is_control() || INVISIBLE.contains(&c) || is_tag(c);
    let sayable = !line.is_empty()
        && line.chars().count() <= MAX_QUESTION_CHARS
        && !line.chars().any(silent)
        && line.contains(char::is_alphanumeric);
    sayable.then_some(line)
}

/// Unicode's tag characters: invisible letters that a model reads.
fn is_tag(c: char) -> bool {
    ('\u{e0000}'..='\u{e007f}').contains(&c)
}

/// Joiners, marks of direction and fillers that are neither seen nor heard.
const INVISIBLE: &[char] = &[
    '\u{ad}', '\u{200b}', '\u{200c}', '\u{200d}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202b}',
    '\u{202c}', '\u{202d}', '\u{202e}', '\u{2060}', '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}',
    '\u{feff}', '\u{3164}', '\u{115f}', '\u{1160}',
];
