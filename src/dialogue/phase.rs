//! Where a conversation stands. Data lives inside the variants: nothing beside them has to agree with them.

use std::time::Duration;

use crate::flow::{Outcome, Transcript, Utterance};
use crate::ids::TurnId;
use crate::time::{Mono, Span};

use super::guess::Guesses;
use super::interrupt::Doubt;
use super::live::Live;

/// Whether an utterance must begin with the wake phrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// It must.
    Wake,
    /// It need not: every utterance is a turn, the wake phrase has just been said, or it follows an answer.
    Open,
}

/// Where the machine rests when nothing of a turn is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// Nobody is being served.
    Idle,
    /// An utterance before this instant needs no wake phrase.
    Listening { until: Mono },
}

/// An utterance that is being transcribed.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub turn: TurnId,
    pub span: Span,
    /// End of the user's speech.
    pub ended: Mono,
    /// When the turn was decided to have ended.
    pub endpoint: Mono,
    pub gate: Gate,
    /// The score of the wake model, if it was so high that the phrase counts as said.
    pub called: Option<f32>,
    /// The transcriber must have answered by then.
    pub by: Mono,
    /// A reply was begun in one of its pauses and discarded; for the receipt.
    pub missed: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Phase {
    /// Nobody is being served; no deadline.
    Idle,
    /// The ear is open for words without a wake phrase.
    Listening { until: Mono },
    /// Somebody speaks.
    Hearing {
        gate: Gate,
        /// Where to rest if it comes to nothing.
        rest: Rest,
        /// A lost event must not keep us here for ever.
        by: Mono,
        /// What was begun in the pauses.
        guesses: Guesses,
    },
    /// The push-to-talk key is down: all that is said is for us, however long the pauses in it.
    Holding {
        /// When it went down.
        since: Mono,
        /// Whether anything was said yet.
        spoke: bool,
        /// A key that never comes up must not keep us here for ever.
        by: Mono,
    },
    /// The utterance is closed, its words are awaited.
    Transcribing {
        pending: Pending,
        rest: Rest,
        /// What was said meanwhile; transcribed next, so that nothing said is lost.
        next: Option<Closed>,
    },
    /// Asked; nothing has been said yet.
    Answering {
        live: Box<Live>,
        /// Something the user said meanwhile: if it has words it replaces the question.
        aside: Option<Pending>,
        by: Mono,
    },
    /// At least one clause has been queued.
    Speaking {
        live: Box<Live>,
        /// Set when the user may be interrupting.
        doubt: Option<Doubt>,
        /// Something short that the user said into it: if it has words it ends the answer.
        aside: Option<Pending>,
        by: Mono,
    },
    /// Told to be silent; what was heard is awaited.
    Hushing {
        live: Box<Live>,
        outcome: Outcome,
        /// What the user said into it, if that is known already.
        next: Option<Next>,
        /// What the user is doing.
        user: User,
        by: Mono,
    },
    /// Our last sample has been played; the room is falling silent.
    Settling {
        until: Mono,
        /// How long a follow-up then needs no wake phrase.
        window: Duration,
    },
    /// Shut down: nothing has effects any more.
    Closed,
}

/// What the user does while an answer is being hushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum User {
    /// Nothing that we know of.
    Quiet,
    /// Speaks, or has just let the key come up: an utterance is on its way.
    Speaking,
    /// Holds the push-to-talk key since then; whether anything was said yet.
    Holding { since: Mono, spoke: bool },
    /// Has tapped it: a question follows.
    Tapped,
}

/// What follows a hushed answer.
#[derive(Debug, Clone)]
pub(super) enum Next {
    /// An utterance that has yet to be transcribed.
    Utterance(Closed),
    /// Words that ended it.
    Words(Pending, Transcript),
}

/// A closed utterance with the end of its speech.
#[derive(Debug, Clone)]
pub(super) struct Closed {
    pub utterance: Utterance,
    pub ended: Mono,
}

/// Why a deadline exists; for `status` and logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitReason {
    /// Nothing is awaited.
    Nothing,
    /// For the user to speak within the window.
    UserToSpeak,
    /// For the user to stop.
    UserToFinish,
    /// For the transcriber.
    Transcript,
    /// For the agent.
    Answer,
    /// For the speaker.
    Speaker,
    /// To tell a cough from an interruption.
    Doubt,
    /// For the room to fall silent.
    Room,
}
