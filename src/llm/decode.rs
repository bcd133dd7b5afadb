//! What every dialect's decoder promises, and the small rules that dialects share.
//!
//! Core: a decoder is owned by one reply's stream ([`super::http`]), fed with the bytes of the body in order, and knows
//! nothing of sockets or time. Its dialect decides when a reply is complete.

use std::collections::VecDeque;

use serde_json::Value;

use super::lines::LineTooLong;
use super::ndjson::NdjsonError;
use super::think::{Piece, ThinkFilter};
use super::{Delta, LlmError};

/// Whether a piece of the body held anything whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// At least one whole event, comment or line: the backend lives.
    Sign,
    /// Only a part of one.
    None,
}

/// The decoder of one reply.
pub trait Decode: Send {
    /// Takes the next bytes of the body and appends what they complete. [`Delta::Done`] is the last delta of a reply.
    ///
    /// # Errors
    /// What the dialect's error in the stream means, or [`LlmError::Protocol`]. The deltas before it have been appended.
    fn push(&mut self, bytes: &[u8], out: &mut VecDeque<Delta>) -> Result<Life, LlmError>;

    /// The body has ended (by its end or by a broken connection) and [`Delta::Done`] was not among the deltas yet.
    ///
    /// # Errors
    /// [`LlmError::Cut`], unless the last unfinished line was the end marker or an error.
    fn finish(&mut self, out: &mut VecDeque<Delta>) -> Result<(), LlmError>;
}

impl From<LineTooLong> for LlmError {
    fn from(error: LineTooLong) -> Self {
        Self::Protocol {
            message: error.to_string(),
        }
    }
}

impl From<NdjsonError> for LlmError {
    fn from(error: NdjsonError) -> Self {
        Self::Protocol {
            message: error.to_string(),
        }
    }
}

/// Passes content through the thinking filter.
pub(super) fn push_content(filter: &mut ThinkFilter, text: &str, out: &mut VecDeque<Delta>) {
    let mut pieces = Vec::new();
    filter.push(text, &mut pieces);
    out.extend(pieces.into_iter().map(delta));
}

/// Gives out what the filter held back; call it before calls and the end marker.
pub(super) fn finish_content(filter: &mut ThinkFilter, out: &mut VecDeque<Delta>) {
    let mut pieces = Vec::new();
    filter.finish(&mut pieces);
    out.extend(pieces.into_iter().map(delta));
}

fn delta(piece: Piece) -> Delta {
    match piece {
        Piece::Text(text) => Delta::Text(text),
        Piece::Thinking(text) => Delta::Reasoning(text),
    }
}

/// A call's arguments as the trait promises them: an object, or the model's own text where that is none.
pub(super) fn parse_arguments(text: &str) -> Value {
    if text.trim().is_empty() {
        return Value::Object(serde_json::Map::new());
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => Value::Object(map),
        _ => Value::String(text.to_owned()),
    }
}

/// A call's arguments as backends accept them in a history: always an object. mlx_lm.server answers 404 to a whole
/// conversation when one old call's arguments are no JSON, and Ollama 400.
pub(super) fn arguments_object(arguments: &Value) -> Value {
    match arguments {
        Value::Object(_) => arguments.clone(),
        other => serde_json::json!({ "arguments": other }),
    }
}

/// The backend's words in an error, of whatever shape, cut to 300 characters.
pub(super) fn error_message(error: &Value) -> String {
    let words = match error {
        Value::String(text) => text.clone(),
        Value::Object(map) => match map.get("message") {
            Some(Value::String(text)) => text.clone(),
            _ => error.to_string(),
        },
        other => other.to_string(),
    };
    words.chars().take(300).collect()
}

/// Whether an error object says, by its type or code, that the prompt does not fit: llama-server's
/// `exceed_context_size_error` (Ollama passes it on as a JSON text inside its error string) and the common
/// `context_length_exceeded`.
pub(super) fn is_too_long(error: &Value) -> bool {
    match error {
        Value::String(text) => serde_json::from_str::<Value>(text).is_ok_and(|inner| {
            inner.is_object() && is_too_long(inner.get("error").unwrap_or(&inner))
        }),
        Value::Object(map) => ["type", "code"]
            .iter()
            .filter_map(|key| map.get(*key))
            .any(|kind| kind == "exceed_context_size_error" || kind == "context_length_exceeded"),
        _ => false,
    }
}

/// The words of an error whose string is itself JSON, else its plain words.
pub(super) fn inner_message(error: &Value) -> String {
    error
        .as_str()
        .and_then(|text| serde_json::from_str::<Value>(text).ok())
        .map_or_else(
            || error_message(error),
            |inner| error_message(inner.get("error").unwrap_or(&inner)),
        )
}
