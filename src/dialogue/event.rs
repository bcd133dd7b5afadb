//! What can happen to a conversation. Results of asynchronous work carry the turn that asked for it.

use crate::flow::{Heard, ReplyChunk, ToolUse, Transcript, Utterance};
use crate::ids::{ChunkSeq, Revision, TurnId};
use crate::private::Private;
use crate::time::Mono;

use super::policy::BargeIn;

/// One thing that happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// The driver woke up because of [`super::Dialogue::deadline`]. Late or extra ones are harmless.
    Tick,
    /// A sound began that may become speech.
    SpeechOnset,
    /// The segmenter takes what it hears for speech.
    SpeechStarted {
        /// When the speech began, pre-roll excluded.
        when: Mono,
    },
    /// The voice fell silent; the utterance is still open, more may follow.
    SpeechPaused {
        /// The utterance up to now.
        so_far: Utterance,
        /// When its speech ended.
        ended: Mono,
    },
    /// The segmenter dropped what it had taken for speech: too short.
    SpeechDropped,
    /// The segmenter closed an utterance.
    Utterance {
        /// The audio.
        utterance: Utterance,
        /// When its speech ended: the zero of the turn's receipt.
        ended: Mono,
    },
    /// The input went away or changed: what was being said is lost.
    InputLost,
    /// The push-to-talk key.
    Key(Key),
    /// What was said while the key was held, told once after each [`super::Effect::EndHold`], and by itself where the held
    /// utterance has grown to its limit.
    Held {
        /// The audio; `None` where there was no voice in it.
        utterance: Option<Utterance>,
        /// When its speech ended.
        ended: Mono,
    },
    /// The transcriber is done.
    Transcribed(Transcript),
    /// The transcriber gave up.
    TranscribeFailed {
        /// Whose.
        turn: TurnId,
        /// Which state of it.
        revision: Revision,
        /// What went wrong, never words of the user.
        kind: String,
    },
    /// The agent has news of a turn.
    Agent {
        /// Whose.
        turn: TurnId,
        /// What.
        event: AgentEvent,
    },
    /// The speaking thread has news of a turn.
    Speaker(SpeakerEvent),
    /// Whether our own voice can be told from the user's has changed; without effect where the ear is closed while we speak.
    BargeIn(BargeIn),
    /// Another program listens (a call), or none does any more: meanwhile nothing is said unasked.
    Yield(bool),
    /// The rules have changed under which a reply may have been begun in a pause (the record was switched): it must not count.
    Outdated,
    /// Something must be said without having been asked for: a timer rings.
    Announce(Private<String>),
    /// A typed question.
    Typed(Private<String>),
    /// The user wants silence, by a key or a command.
    Stop,
    /// The daemon ends. Every later event has no effects.
    Shutdown,
}

/// What the push-to-talk key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// It went down. A keyboard that repeats it tells the same again.
    Press,
    /// It came up.
    Release,
    /// Press if it is up, release if it is down: for keys and scripts that cannot tell when they come up.
    Toggle,
}

/// News of the agent.
#[derive(Debug, Clone, PartialEq)]
pub enum AgentEvent {
    /// The request left for the model.
    Requested {
        /// The backend.
        backend: String,
        /// The model, where it is known.
        model: Option<String>,
    },
    /// The model's first content came.
    FirstToken,
    /// A clause is ready to be said.
    Chunk(ReplyChunk),
    /// Words to bridge a silence: said like a clause, and no part of the answer.
    Filler(ReplyChunk),
    /// A tool began its work.
    ToolBegun {
        /// Its name.
        name: String,
    },
    /// A tool was used, or a call was refused.
    Tool(ToolUse),
    /// The last clause asks for the user's consent: the ear stays open for the answer without a wake phrase.
    AskedBack,
    /// The reply is whole.
    Done {
        /// The backend, or `intents`.
        backend: String,
        /// The model, or the intent's name.
        model: Option<String>,
        /// Tokens of the prompt.
        prompt_tokens: Option<u32>,
        /// Of those, cached.
        cached_tokens: Option<u32>,
    },
    /// The reply broke off; chunks that explain it may have come before.
    Failed {
        /// What went wrong, never words of the user.
        kind: String,
    },
}

/// News of the speaking thread.
#[derive(Debug, Clone, PartialEq)]
pub enum SpeakerEvent {
    /// The first sample of a clause was synthesised.
    Synthesised {
        /// The turn.
        turn: TurnId,
        /// The clause.
        seq: ChunkSeq,
        /// When.
        when: Mono,
    },
    /// The first sample of a clause left the device.
    Audible {
        /// The turn.
        turn: TurnId,
        /// The clause.
        seq: ChunkSeq,
        /// When.
        when: Mono,
    },
    /// A clause ended, whole or cut.
    Heard(Heard),
    /// All clauses of the turn were played, or it was hushed.
    Finished {
        /// The turn.
        turn: TurnId,
    },
    /// The turn cannot be said.
    Failed {
        /// The turn.
        turn: TurnId,
        /// What went wrong.
        kind: String,
    },
}
