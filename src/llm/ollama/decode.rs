//! The bytes of an `/api/chat` answer to deltas.
//!
//! Core. A 200 stream of Ollama ends in one of three ways, and only the first is a reply: a line with `done:true`, a line
//! with `error` (the status stays 200), or nothing more (the runner was stopped or died). A whole answer in one object
//! (`stream:false`) reads the same.

use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::Value;

use super::super::decode::{
    Decode, Life, finish_content, inner_message, is_too_long, parse_arguments, push_content,
};
use super::super::ndjson::NdjsonParser;
use super::super::think::ThinkFilter;
use super::super::{Delta, FinishReason, LlmError, ToolCall, Usage};

/// The decoder of one answer.
#[derive(Debug, Default)]
pub struct OllamaDecoder {
    lines: NdjsonParser,
    filter: ThinkFilter,
    /// Calls so far: they decide the reason (Ollama says `stop` even then) and number the calls that have no id.
    calls: usize,
    done: bool,
}

#[derive(Deserialize)]
struct Line {
    error: Option<Value>,
    message: Option<Words>,
    #[serde(default)]
    done: bool,
    done_reason: Option<String>,
    prompt_eval_count: Option<u32>,
    prompt_eval_duration: Option<u64>,
    eval_count: Option<u32>,
    eval_duration: Option<u64>,
}

#[derive(Deserialize)]
struct Words {
    content: Option<String>,
    thinking: Option<String>,
    tool_calls: Option<Vec<Call>>,
}

#[derive(Deserialize)]
struct Call {
    id: Option<String>,
    function: Function,
}

#[derive(Deserialize)]
struct Function {
    name: String,
    #[serde(default)]
    arguments: Value,
}

impl Decode for OllamaDecoder {
    fn push(&mut self, bytes: &[u8], out: &mut VecDeque<Delta>) -> Result<Life, LlmError> {
        let mut lines = Vec::new();
        let read = self.lines.push(bytes, &mut lines);
        let life = if lines.is_empty() {
            Life::None
        } else {
            Life::Sign
        };
        for line in lines {
            self.line(line, out)?;
        }
        // What follows the end marker is nobody's.
        if !self.done {
            read?;
        }
        Ok(life)
    }

    fn finish(&mut self, out: &mut VecDeque<Delta>) -> Result<(), LlmError> {
        if let Some(line) = self.lines.finish() {
            self.line(line, out)?;
        }
        if self.done {
            Ok(())
        } else {
            Err(LlmError::Cut)
        }
    }
}

impl OllamaDecoder {
    fn line(&mut self, line: Line, out: &mut VecDeque<Delta>) -> Result<(), LlmError> {
        if self.done {
            return Ok(());
        }
        if let Some(error) = &line.error {
            return Err(stream_error(error));
        }
        let usage = usage(&line);
        if let Some(words) = line.message {
            self.words(words, out);
        }
        if line.done {
            self.done = true;
            finish_content(&mut self.filter, out);
            let reason = match line.done_reason.as_deref() {
                Some("length") => FinishReason::Length,
                _ if self.calls > 0 => FinishReason::ToolCalls,
                _ => FinishReason::Stop,
            };
            out.push_back(Delta::Done { reason, usage });
        }
        Ok(())
    }

    fn words(&mut self, words: Words, out: &mut VecDeque<Delta>) {
        if let Some(thinking) = words.thinking.filter(|text| !text.is_empty()) {
            out.push_back(Delta::Reasoning(thinking));
        }
        if let Some(content) = words.content {
            push_content(&mut self.filter, &content, out);
        }
        for call in words.tool_calls.unwrap_or_default() {
            finish_content(&mut self.filter, out);
            self.calls += 1;
            out.push_back(Delta::ToolCall(ToolCall {
                id: call
                    .id
                    .filter(|id| !id.is_empty())
                    .unwrap_or_else(|| format!("call_{}", self.calls)),
                name: call.function.name,
                arguments: match call.function.arguments {
                    Value::String(text) => parse_arguments(&text),
                    Value::Null => parse_arguments(""),
                    other => other,
                },
            }));
        }
    }
}

/// Durations come in nanoseconds; zero counters are left away. Ollama counts cached prompt tokens with the others and does
/// not tell how many they were.
fn usage(line: &Line) -> Usage {
    let ms = |nanoseconds: Option<u64>| nanoseconds.map(|ns| ns as f64 / 1e6);
    Usage {
        prompt_tokens: line.prompt_eval_count,
        cached_tokens: None,
        completion_tokens: line.eval_count,
        prompt_ms: ms(line.prompt_eval_duration),
        generation_ms: ms(line.eval_duration),
    }
}

fn stream_error(error: &Value) -> LlmError {
    let message = inner_message(error);
    if is_too_long(error) {
        return LlmError::TooLong { message };
    }
    LlmError::Refused {
        status: 200,
        message,
    }
}
