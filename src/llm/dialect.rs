//! The two languages that backends and clients of the gateway speak.
//!
//! Core: a name, nothing more; each is spoken by files of its own.

/// The language of an API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `/v1/chat/completions`, server-sent events.
    OpenAi,
    /// `/api/chat`, JSON Lines.
    Ollama,
}
