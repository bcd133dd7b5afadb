//! What a conversation wants done. The driver executes every effect, in order.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::flow::{ReplyChunk, Turn, Utterance};
use crate::ids::{Revision, TurnId};
use crate::private::Private;
use crate::time::SamplePos;

/// Why something heard did not become a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ignored {
    /// It did not begin with the wake phrase.
    NoWake,
    /// It was too short or no speech.
    Noise,
    /// It was, as far as we can tell, our own voice.
    Echo,
    /// There were no words in it.
    Empty,
    /// It was said to show that one listens: "mhm", "okay".
    Backchannel,
}

/// Whether an utterance that is read has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The user pauses; there may be more. The words count only after [`Effect::Keep`].
    Guess,
    /// It has ended.
    Final,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Turn this utterance into words.
    Transcribe {
        /// For this turn.
        turn: TurnId,
        /// This state of it.
        revision: Revision,
        /// The audio.
        utterance: UtteranceRef,
        /// Whether that is all of it.
        stage: Stage,
    },
    /// The words that were read in a pause, known or still awaited, are those of the whole utterance.
    Keep {
        /// The turn under which they were read.
        turn: TurnId,
        /// The whole utterance.
        utterance: UtteranceRef,
    },
    /// Begin a reply to what has been said so far. Nothing of it may be heard or have effects before [`Effect::Adopt`].
    Speculate {
        /// The turn under which it was read.
        turn: TurnId,
        /// The words so far, wake phrase removed.
        question: Private<String>,
    },
    /// Make the first clause of such a reply into sound, and keep it back.
    Prepare(ReplyChunk),
    /// The turn has ended, and the reply that was begun is its answer: as [`Self::Ask`], but work is under way.
    Adopt {
        /// The turn.
        turn: TurnId,
    },
    /// Play the clause that was prepared.
    Play {
        /// The turn.
        turn: TurnId,
    },
    /// A silence of this length ends the utterance that pauses at `pause`; another pause is not affected.
    EndAfter {
        /// One past the last voiced sample before the pause.
        pause: SamplePos,
        /// From there.
        silence: Duration,
    },
    /// Start the agent on this question.
    Ask {
        /// The turn.
        turn: TurnId,
        /// The words, wake phrase removed.
        question: Private<String>,
    },
    /// Stop the agent's (and transcriber's) work on this turn.
    Abandon {
        /// The turn.
        turn: TurnId,
    },
    /// Queue a clause for speaking.
    Say(ReplyChunk),
    /// No more clauses of this turn will come.
    EndSpeech {
        /// The turn.
        turn: TurnId,
    },
    /// Be silent at once; report what was heard.
    Hush {
        /// The turn.
        turn: TurnId,
    },
    /// Speak softly: there is a sound that may be the user.
    Duck {
        /// The turn that is being said.
        turn: TurnId,
    },
    /// Fall silent for a moment: the user may be interrupting.
    Pause {
        /// The turn that is being said.
        turn: TurnId,
    },
    /// It was nothing: go on where it was, at full level.
    Resume {
        /// The turn that is being said.
        turn: TurnId,
    },
    /// Stop hearing: we speak, and the microphone would hear us.
    CloseEar,
    /// Hear again, from now on.
    OpenEar,
    /// The push-to-talk key is down: from the pre-roll on, everything belongs to one utterance that no silence ends.
    Hold,
    /// It came up: that utterance is over now, without the silence that ends others.
    EndHold,
    /// It was only tapped, or is not wanted any more: silence ends the utterance again.
    LetGo,
    /// The wake phrase was heard.
    Woke {
        /// The score of the wake model where one was certain, else the confidence of the transcript; 0..1.
        score: f32,
    },
    /// Something heard did not become a turn.
    Ignore(Ignored),
    /// The user spoke into this turn's answer.
    BargeIn {
        /// The turn that was interrupted.
        turn: TurnId,
    },
    /// Keep the record of this turn. Exactly one for each [`Effect::Ask`] and each [`Effect::Adopt`].
    Record(Box<Turn>),
}

/// An utterance inside an effect: compared by its place, not by its samples.
#[derive(Debug, Clone)]
pub struct UtteranceRef(pub Utterance);

impl PartialEq for UtteranceRef {
    fn eq(&self, other: &Self) -> bool {
        self.0.span == other.0.span
    }
}
