//! What goes wrong, as a client of either dialect is told.
//!
//! Edge: made by routes and relay, written by the server. Nothing that a client sent is quoted, with one exception: a
//! backend's own words about the request, which go to the client that sent it and nowhere else.

use std::time::Duration;

use serde_json::{Value, json};

use super::admission::Refusal;
use super::ask::Bad;
use super::door::Closed;
use super::resume::Diverged;
use crate::llm::LlmError;
use crate::llm::dialect::Dialect;

/// An answer that is an error.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// HTTP status.
    pub status: u16,
    /// The OpenAI dialect's class of the error.
    pub kind: &'static str,
    /// A stable word for programs.
    pub code: &'static str,
    /// What happened and what to do, for people.
    pub message: String,
    /// When to ask again.
    pub retry_after: Option<Duration>,
    /// For want of memory: bytes that are needed, bytes that are free.
    pub memory: Option<(u64, u64)>,
}

impl Failure {
    /// An error with these words.
    #[must_use]
    pub fn new(
        status: u16,
        kind: &'static str,
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            status,
            kind,
            code,
            message: message.into(),
            retry_after: None,
            memory: None,
        }
    }

    /// The request is wrong.
    #[must_use]
    pub fn bad(message: impl Into<String>) -> Self {
        Self::new(400, "invalid_request_error", "invalid_request", message)
    }

    /// The gateway or its backend cannot do this.
    #[must_use]
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(501, "invalid_request_error", "unsupported", message)
    }

    /// No backend answers.
    #[must_use]
    pub fn no_backend() -> Self {
        Self {
            retry_after: Some(Duration::from_secs(5)),
            ..Self::new(
                503,
                "api_error",
                "no_backend",
                "no model server answers; start one (`hark doctor` tells which and how)",
            )
        }
    }

    /// As JSON in a client's dialect.
    #[must_use]
    pub fn body(&self, dialect: Dialect) -> Value {
        match dialect {
            Dialect::Ollama => json!({"error": self.message}),
            Dialect::OpenAi => {
                let mut error = json!({
                    "message": self.message, "type": self.kind, "param": null, "code": self.code,
                });
                if let Some((need, free)) = self.memory {
                    error["need_bytes"] = json!(need);
                    error["free_bytes"] = json!(free);
                }
                json!({"error": error})
            }
        }
    }
}

impl From<Bad> for Failure {
    fn from(bad: Bad) -> Self {
        Self::bad(bad.0)
    }
}

impl From<Closed> for Failure {
    fn from(closed: Closed) -> Self {
        let words = closed.to_string();
        match closed {
            Closed::Host => Self::new(403, "permission_error", "wrong_host", words),
            Closed::Origin => Self::new(403, "permission_error", "web_page", words),
            Closed::Token => Self::new(401, "authentication_error", "wrong_token", words),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let words = refusal.to_string();
        match refusal {
            Refusal::Busy { retry_after } => Self {
                retry_after: Some(retry_after),
                ..Self::new(429, "rate_limit_error", "busy", words)
            },
            Refusal::NoMemory { need, free } => Self {
                retry_after: Some(Duration::from_secs(30)),
                memory: Some((need, free)),
                ..Self::new(503, "api_error", "no_memory", words)
            },
            Refusal::ShuttingDown => Self::new(503, "api_error", "shutting_down", words),
        }
    }
}

impl From<Diverged> for Failure {
    fn from(diverged: Diverged) -> Self {
        Self::new(503, "api_error", "interrupted", diverged.to_string())
    }
}

impl From<LlmError> for Failure {
    fn from(error: LlmError) -> Self {
        let words = error.to_string();
        let failed = |status, code| Self::new(status, "api_error", code, words.clone());
        match error {
            LlmError::Unreachable { .. } => Self::no_backend(),
            LlmError::Loading => Self {
                retry_after: Some(Duration::from_secs(2)),
                ..failed(503, "loading")
            },
            LlmError::Busy { .. } => Self {
                retry_after: Some(Duration::from_secs(1)),
                ..Self::new(429, "rate_limit_error", "busy", words)
            },
            LlmError::TooLong { message } => Self::new(
                400,
                "invalid_request_error",
                "context_length_exceeded",
                message,
            ),
            LlmError::Refused { status, message } if (400..500).contains(&status) => {
                Self::bad(format!("the backend refused the request: {message}"))
            }
            LlmError::Silent { .. } => failed(504, "backend_silent"),
            LlmError::NoModel { .. } => failed(502, "no_model"),
            LlmError::Cut => failed(502, "backend_died"),
            LlmError::Refused { .. } | LlmError::Protocol { .. } => failed(502, "backend_failed"),
        }
    }
}
