//! What a conversation wants done. The driver executes every effect, in order.

use serde::{Deserialize, Serialize};

use crate::flow::{ReplyChunk, Turn, Utterance};
use crate::ids::{Revision, TurnId};
use crate::private::Private;

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
    /// Keep the record of this turn. Exactly one for each [`Effect::Ask`].
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
