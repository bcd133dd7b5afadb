//! Why there is no (whole) reply, by what the consumer will do.

use crate::llm::LlmError;

/// Why there is no (whole) reply; [`FailureKind::as_str`] is what the record of the turn keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// Nothing answers at the backend's address.
    Unreachable,
    /// The model did not finish loading in time.
    Loading,
    /// The backend does not have the model.
    NoModel,
    /// The backend serves others.
    Busy,
    /// The question alone does not fit the model's context.
    TooLong,
    /// The backend refused, or failed while answering.
    Refused,
    /// The reply broke off.
    Cut,
    /// Nothing came for too long.
    Silent,
    /// The backend sent what its dialect does not allow.
    Protocol,
    /// The reply took longer than `Limits::total`.
    TimeLimit,
    /// The model ended its reply without a word.
    Empty,
    /// The model insists on tools that do not exist.
    UnknownTool,
    /// The model insists on calls whose arguments cannot be read.
    BadCall,
    /// The model asked for more calls than a turn may make.
    TooManyCalls,
}

impl FailureKind {
    /// A stable name for records and events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "backend_unreachable",
            Self::Loading => "model_loading",
            Self::NoModel => "no_model",
            Self::Busy => "backend_busy",
            Self::TooLong => "prompt_too_long",
            Self::Refused => "backend_refused",
            Self::Cut => "reply_cut",
            Self::Silent => "backend_silent",
            Self::Protocol => "backend_unreadable",
            Self::TimeLimit => "time_limit",
            Self::Empty => "empty_reply",
            Self::UnknownTool => "unknown_tool",
            Self::BadCall => "bad_call",
            Self::TooManyCalls => "too_many_calls",
        }
    }

    /// What the user can do about it, as a sentence to be said or printed.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Unreachable => {
                "Start the model server, or choose another one in the settings under llm.backend."
            }
            Self::Loading => "The model is still loading. Ask again in a minute.",
            Self::NoModel => "Pull the model, or name one that the server has.",
            Self::Busy => "The model is busy with something else. Ask again in a moment.",
            Self::TooLong => "Ask a shorter question, or raise the context of the model.",
            Self::Refused => "Look into the log of the model server.",
            Self::Cut => "The model server broke off. If it happens again, restart it.",
            Self::Silent => "The model server does not answer. Restart it.",
            Self::Protocol => "Check that the address in the settings is that of a model server.",
            Self::TimeLimit => "The model is too slow. Choose a smaller one.",
            Self::Empty | Self::UnknownTool | Self::BadCall => "Ask again in other words.",
            Self::TooManyCalls => "Ask for less at once.",
        }
    }
}

impl From<&LlmError> for FailureKind {
    fn from(error: &LlmError) -> Self {
        match error {
            LlmError::Unreachable { .. } => Self::Unreachable,
            LlmError::Loading => Self::Loading,
            LlmError::NoModel { .. } => Self::NoModel,
            LlmError::Busy { .. } => Self::Busy,
            LlmError::TooLong { .. } => Self::TooLong,
            LlmError::Refused { .. } => Self::Refused,
            LlmError::Cut => Self::Cut,
            LlmError::Silent { .. } => Self::Silent,
            LlmError::Protocol { .. } => Self::Protocol,
        }
    }
}
