//! What is told to the speaking thread, and what it tells.

use crate::audio::AudioSink;
use crate::flow::{Heard, ReplyChunk};
use crate::ids::{ChunkSeq, TurnId};
use crate::speak::{SpeakError, Synthesizer};
use crate::time::Mono;

/// What the speaking thread is told.
pub enum SpeakCommand {
    /// Say this clause after those already queued.
    Say(ReplyChunk),
    /// Play the sound that tells that a question was taken, unless something is being said. It belongs to no turn, and words
    /// that come while it sounds cut it short.
    Earcon,
    /// Make the sound of this clause and keep it back until [`Self::Play`]: the turn may never be asked.
    Prepare(ReplyChunk),
    /// Play what was prepared for this turn.
    Play {
        /// Which.
        turn: TurnId,
    },
    /// No more clauses come for this turn.
    End {
        /// Which.
        turn: TurnId,
    },
    /// Be silent about this turn, now and for ever.
    Hush {
        /// Which.
        turn: TurnId,
    },
    /// Speak softly: somebody may be speaking.
    Duck,
    /// Fall silent where the sound is, within one block of the device; a sink that cannot hold what it has falls silent
    /// within [`super::LEAD`].
    Pause,
    /// Go on where [`Self::Pause`] stopped, at full level.
    Resume,
    /// Play through another loudspeaker from now on (the old one was lost or is no longer wanted).
    Sink(Box<dyn AudioSink>),
    /// Make the clauses from here on with another engine or voice.
    Voice(Box<dyn Synthesizer>),
    /// Be silent, close the sink and end the thread.
    Stop,
}

/// What the speaking thread tells. The callback runs on that thread and must not block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SpeakEvent {
    /// The first sample of a clause was made.
    Synthesised {
        /// The turn.
        turn: TurnId,
        /// The clause.
        seq: ChunkSeq,
        /// When.
        when: Mono,
    },
    /// The first sample of a clause was played.
    Audible {
        /// The turn.
        turn: TurnId,
        /// The clause.
        seq: ChunkSeq,
        /// When.
        when: Mono,
    },
    /// A clause was heard to its end, or cut by a hush. A clause of which nothing was heard has no such event.
    Heard(Heard),
    /// Everything of the turn was heard.
    Finished {
        /// The turn.
        turn: TurnId,
    },
    /// The turn was hushed and is silent.
    Hushed {
        /// The turn.
        turn: TurnId,
    },
    /// The loudspeaker is gone. What is being said waits for [`SpeakCommand::Sink`] as long as the parts allow, then its turns
    /// fail.
    SinkLost,
    /// The turn cannot be said to its end; what could be was.
    Failed {
        /// The turn.
        turn: TurnId,
        /// Why.
        kind: SpeakFailure,
    },
}

/// Why a turn could not be said, by what the caller does about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpeakFailure {
    /// The engine is gone. Open another.
    Unavailable,
    /// The engine has no such voice. Tell the user.
    NoVoice,
    /// The engine failed on this text. The next may work.
    Voice,
    /// The loudspeaker is gone. Send [`SpeakCommand::Sink`].
    Output,
    /// The reply has no end: too many clauses wait. Stop the model.
    Backlog,
}

impl From<&SpeakError> for SpeakFailure {
    fn from(error: &SpeakError) -> Self {
        match error {
            SpeakError::Unavailable { .. } => Self::Unavailable,
            SpeakError::NoVoice { .. } => Self::NoVoice,
            SpeakError::Failed { .. } => Self::Voice,
        }
    }
}

/// The command was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Too many commands wait. The turn fails and is recorded.
    #[error("the speaking thread has too much to say")]
    Full,
    /// The thread has ended.
    #[error("the speaking thread has ended")]
    Ended,
}
