//! The event stream: one JSON object a line, for scripts (`run --events`) and for the verbs that show a turn.
//!
//! Names and keys are a contract (`../CLI`): add, never rename. The stream holds what was said, so it goes only where the
//! user sent it.

use serde::Serialize;

use crate::dialogue::Ignored;
use crate::flow::{Outcome, Receipt, ToolUse};
use crate::ids::TurnId;
use crate::private::Private;

/// One line of the stream.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// What happened.
    #[serde(flatten)]
    pub news: News,
    /// Seconds of input audio at that moment.
    pub at: f64,
    /// The turn that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turn: Option<TurnId>,
    /// It was said off the record: its words were taken out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub private: bool,
}

/// What happened.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum News {
    /// The ear hears: the first real samples have come.
    Ready {
        /// The device or file.
        input: String,
        /// The loudspeaker or file.
        output: String,
        /// The speech model.
        stt_model: String,
        /// The backend, where one answers.
        backend: Option<String>,
    },
    /// The wake phrase was heard.
    Wake {
        /// The phrase.
        phrase: String,
        /// Confidence of the transcript it was found in.
        score: f32,
    },
    /// The push-to-talk key.
    Ptt {
        /// `press`, `release` or `toggle`.
        action: &'static str,
    },
    /// The ear was closed or opened by the user.
    Muted {
        /// Whether it is closed.
        muted: bool,
    },
    /// The record was switched off or on by the user.
    OffRecord {
        /// Whether nothing is written.
        off_record: bool,
    },
    /// Speech began.
    SpeechStart,
    /// Speech ended, as far as the segmenter decides it.
    SpeechEnd,
    /// Words of somebody who still speaks, as far as they are sure.
    Partial {
        /// All of them so far.
        text: Private<String>,
    },
    /// The words of an utterance that became a turn or was refused.
    Transcript {
        /// The words.
        text: Private<String>,
        /// Start of the utterance, seconds of input audio.
        start: f64,
        /// End of its speech.
        end: f64,
        /// Mean token probability, 0..1.
        confidence: f32,
    },
    /// Something heard did not become a turn.
    Ignored {
        /// Why.
        reason: Ignored,
    },
    /// The model was asked, or has told what the prompt cost.
    Llm {
        /// The backend.
        backend: String,
        /// The model.
        model: Option<String>,
        /// Tokens of the prompt.
        prompt_tokens: Option<u32>,
        /// Of those, cached.
        cached_tokens: Option<u32>,
    },
    /// A tool was used, or a call was refused.
    Tool {
        /// Its name.
        name: String,
        /// `ok`, or why not.
        outcome: String,
    },
    /// A clause of the reply.
    Reply {
        /// What will be said.
        text: Private<String>,
    },
    /// The reply became audible.
    Speaking {
        /// Milliseconds from the end of the user's speech.
        start: Option<i64>,
    },
    /// A clause ended.
    Heard {
        /// Its words.
        text: Private<String>,
        /// Whether it was cut.
        cut: bool,
    },
    /// The user spoke into the reply.
    BargeIn,
    /// A turn is over, and its record is on disk.
    Turn {
        /// How it ended.
        outcome: Outcome,
        /// Where its time went.
        receipt: Receipt,
        /// Whether the record is on disk (`false`: the log cannot be written at present; it is kept in memory).
        recorded: bool,
    },
    /// A device came, went or changed.
    Device {
        /// What changed.
        change: String,
    },
    /// A backend came, went or changed.
    Backend {
        /// What changed.
        change: String,
    },
    /// The settings were changed while the daemon runs.
    Config {
        /// Names of those that take effect now.
        applied: Vec<String>,
        /// Names of those that need a restart.
        restart: Vec<String>,
    },
    /// The first run: who this is and how to talk to it.
    Welcome {
        /// What is said and shown.
        text: String,
    },
    /// Memory ran short or is enough again.
    Memory {
        /// What was done about it.
        change: String,
    },
    /// Something failed.
    Error {
        /// The kind, for scripts.
        kind: String,
        /// The sentence, with what to do next.
        message: String,
    },
}

impl News {
    /// A tool's use.
    #[must_use]
    pub fn tool(tool: &ToolUse) -> Self {
        Self::Tool {
            name: tool.name.clone(),
            outcome: tool.outcome.clone(),
        }
    }

    /// The same without what was said. No variant is left out by default: a new one must say whether it holds words.
    #[must_use]
    pub fn without_words(self) -> Self {
        match self {
            Self::Transcript {
                start,
                end,
                confidence,
                ..
            } => Self::Transcript {
                text: Private::default(),
                start,
                end,
                confidence,
            },
            Self::Partial { .. } => Self::Partial {
                text: Private::default(),
            },
            Self::Reply { .. } => Self::Reply {
                text: Private::default(),
            },
            Self::Heard { cut, .. } => Self::Heard {
                text: Private::default(),
                cut,
            },
            Self::Ready { .. }
            | Self::Wake { .. }
            | Self::Ptt { .. }
            | Self::Muted { .. }
            | Self::OffRecord { .. }
            | Self::SpeechStart
            | Self::SpeechEnd
            | Self::Ignored { .. }
            | Self::Llm { .. }
            | Self::Tool { .. }
            | Self::Speaking { .. }
            | Self::BargeIn
            | Self::Turn { .. }
            | Self::Device { .. }
            | Self::Backend { .. }
            | Self::Memory { .. }
            | Self::Config { .. }
            | Self::Welcome { .. }
            | Self::Error { .. } => self,
        }
    }
}

/// Where lines go. Called on the conductor's task: it must not block for long.
pub type Sink = Box<dyn FnMut(&Line) + Send>;
