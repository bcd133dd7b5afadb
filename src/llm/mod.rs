//! Streaming chat with the resident model: one trait, one dialect a file.
//!
//! [`lines`], [`sse`], [`ndjson`], [`think`] and [`decode`] are core: bytes in, events and deltas out, whatever the cuts. The
//! backends ([`ollama`], [`openai`], rows of [`backends`]) and the HTTP under them ([`http`]) are edge.

pub mod backends;
pub mod decode;
pub mod dialect;
pub mod http;
pub mod lines;
pub mod ndjson;
pub mod ollama;
pub mod openai;
pub mod openclaw;
pub mod sse;
pub mod survey;
pub mod think;
pub mod upstream;
pub mod weights;
mod wire;

pub use self::backends::{BACKENDS, BackendRow, LlmSettings, detect, open};
pub use self::http::{SetupError, Timeouts};

use std::pin::Pin;

use futures_util::Stream;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

/// Who speaks in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The static instructions.
    System,
    /// The user.
    User,
    /// The model.
    Assistant,
    /// The result of a tool call.
    Tool,
}

/// A call that the model wants made.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolCall {
    /// The backend's id of the call, or one that we made.
    pub id: String,
    /// The tool.
    pub name: String,
    /// The arguments as a JSON object; a malformed string from the model is kept as `Value::String`.
    pub arguments: serde_json::Value,
}

/// One message of the history.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Who.
    pub role: Role,
    /// The words.
    pub content: String,
    /// Calls, on an assistant's message.
    pub tool_calls: Vec<ToolCall>,
    /// Which call this answers, on a tool's message.
    pub tool_call_id: Option<String>,
    /// Which tool this answers for, on a tool's message.
    pub tool_name: Option<String>,
}

impl Message {
    /// A plain message.
    #[must_use]
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self {
            role,
            content: content.into(),
            tool_calls: Vec::new(),
            tool_call_id: None,
            tool_name: None,
        }
    }
}

/// A tool as it is offered to the model.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolSpec {
    /// Its name.
    pub name: String,
    /// What it does, in one sentence.
    pub description: String,
    /// JSON Schema of the arguments.
    pub parameters: serde_json::Value,
}

/// What is asked of the model. Thinking is always switched off: a voice cannot wait for it.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatRequest {
    /// The history, static prompt first, newest last.
    pub messages: Vec<Message>,
    /// Tools on offer.
    pub tools: Vec<ToolSpec>,
    /// Limit of the reply.
    pub max_tokens: u32,
    /// Sampling temperature.
    pub temperature: f32,
}

/// Why a reply ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// The model was done.
    Stop,
    /// `max_tokens` or the context was reached.
    Length,
    /// It asked for tools.
    ToolCalls,
}

/// What a reply cost, as far as the backend tells.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Usage {
    /// Tokens of the prompt, cached ones included.
    pub prompt_tokens: Option<u32>,
    /// Tokens of the prompt that were already in the cache.
    pub cached_tokens: Option<u32>,
    /// Tokens of the reply.
    pub completion_tokens: Option<u32>,
    /// Time of the prompt's evaluation, milliseconds.
    pub prompt_ms: Option<f64>,
    /// Time of the reply's generation, milliseconds.
    pub generation_ms: Option<f64>,
}

/// A piece of a reply.
#[derive(Debug, Clone, PartialEq)]
pub enum Delta {
    /// Text to be answered with.
    Text(String),
    /// Text of a thinking channel; never spoken, only a sign of life.
    Reasoning(String),
    /// A whole call.
    ToolCall(ToolCall),
    /// The backend is evaluating the prompt: tokens done, tokens in all. A sign of life.
    Prefill {
        /// Done so far.
        done: u32,
        /// In all.
        total: u32,
    },
    /// The end marker. A stream that ends without it was cut, and ends with [`LlmError::Cut`].
    Done {
        /// Why it ended.
        reason: FinishReason,
        /// What it cost.
        usage: Usage,
    },
}

/// What went wrong, by what the caller will do.
#[derive(Debug, thiserror::Error)]
pub enum LlmError {
    /// Nobody answers at that address. Start the server, or name another.
    #[error("nothing answers at {url}")]
    Unreachable {
        /// The address.
        url: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It answers, but its model is still loading. Wait and retry.
    #[error("the model is still loading")]
    Loading,
    /// It does not know the model. Pull it, or name one that it has.
    #[error("the backend has no model named {model}: {message}")]
    NoModel {
        /// The name.
        model: String,
        /// The backend's words.
        message: String,
    },
    /// It is busy with others. Retry later.
    #[error("the backend is busy: {message}")]
    Busy {
        /// The backend's words.
        message: String,
    },
    /// The history does not fit its context. Shorten it.
    #[error("the conversation is too long for the model's context: {message}")]
    TooLong {
        /// The backend's words.
        message: String,
    },
    /// It refused or failed; retrying the same is of no use.
    #[error("the backend answered with an error: {message}")]
    Refused {
        /// HTTP status, 200 when the error came inside a stream.
        status: u16,
        /// The backend's words.
        message: String,
    },
    /// The stream ended without its end marker: the backend died or the connection was cut. What came is not a reply.
    #[error("the backend broke off in the middle of its reply")]
    Cut,
    /// Nothing came for too long.
    #[error("the backend has been silent for {seconds} s")]
    Silent {
        /// How long.
        seconds: u64,
    },
    /// It sent what its dialect does not allow.
    #[error("the backend sent something unreadable: {message}")]
    Protocol {
        /// What.
        message: String,
    },
}

/// The pieces of one reply; dropping it frees the backend's slot.
pub type DeltaStream = Pin<Box<dyn Stream<Item = Result<Delta, LlmError>> + Send>>;

/// A backend as it presents itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendInfo {
    /// The kind: `mlx`, `ollama`, `openai`.
    pub name: &'static str,
    /// Its address.
    pub url: String,
    /// The model that it will answer with, where that is known.
    pub model: Option<String>,
}

/// A server that holds a model.
pub trait LlmBackend: Send + Sync {
    /// Its kind and address.
    fn info(&self) -> BackendInfo;

    /// Starts a reply. Resolves when the server has accepted the request; the stream always ends in [`Delta::Done`] or an
    /// error.
    fn chat(&self, request: ChatRequest) -> BoxFuture<'_, Result<DeltaStream, LlmError>>;

    /// Whether the server answers at all, quickly (at most about a second); says nothing about the model.
    fn reachable(&self) -> BoxFuture<'_, bool>;

    /// Proves readiness: one generated token, and with it a warm prompt cache for `request`'s prefix.
    fn warm(&self, request: ChatRequest) -> BoxFuture<'_, Result<Usage, LlmError>>;
}
