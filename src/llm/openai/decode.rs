//! The bytes of a streamed `/chat/completions` answer to deltas.
//!
//! Core. Only `[DONE]` proves that a reply is complete: mlx_lm.server speaks HTTP/1.0 without lengths, and a gateway ends a
//! dead backend's stream cleanly, so neither the end of the body nor a `finish_reason` does. The empty role chunk that
//! llama-server sends before it has looked at the prompt yields nothing.

use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::Value;

use super::super::decode::{
    Decode, Life, error_message, finish_content, is_too_long, parse_arguments, push_content,
};
use super::super::sse::{SseEvent, SseParser};
use super::super::think::ThinkFilter;
use super::super::{Delta, FinishReason, LlmError, ToolCall, Usage};

/// The decoder of one answer.
#[derive(Debug, Default)]
pub struct OpenAiDecoder {
    events: SseParser,
    filter: ThinkFilter,
    /// Calls in the making, in the order of their first fragments.
    calls: Vec<Fragments>,
    finish: Option<String>,
    usage: Usage,
    done: bool,
}

/// One call as far as it has come. mlx_lm.server and Ollama send it whole; others stream its arguments.
#[derive(Debug, Default)]
struct Fragments {
    index: u64,
    id: String,
    name: String,
    arguments: String,
}

#[derive(Deserialize)]
struct Chunk {
    error: Option<Value>,
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Counts>,
    timings: Option<Timings>,
}

#[derive(Deserialize)]
struct Choice {
    delta: Option<Words>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Words {
    content: Option<String>,
    /// mlx_lm.server, Ollama, OpenRouter.
    reasoning: Option<String>,
    /// llama-server, DeepSeek, vLLM.
    reasoning_content: Option<String>,
    tool_calls: Option<Vec<CallPart>>,
}

#[derive(Deserialize)]
struct CallPart {
    index: Option<u64>,
    id: Option<String>,
    function: Option<FunctionPart>,
}

#[derive(Deserialize)]
struct FunctionPart {
    name: Option<String>,
    /// A string, whole or a part; some servers send an object.
    #[serde(default)]
    arguments: Value,
}

#[derive(Deserialize)]
struct Counts {
    prompt_tokens: Option<u32>,
    completion_tokens: Option<u32>,
    prompt_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    cached_tokens: Option<u32>,
}

/// llama-server's own.
#[derive(Deserialize)]
struct Timings {
    cache_n: Option<u32>,
    prompt_n: Option<u32>,
    prompt_ms: Option<f64>,
    predicted_n: Option<u32>,
    predicted_ms: Option<f64>,
}

impl Decode for OpenAiDecoder {
    fn push(&mut self, bytes: &[u8], out: &mut VecDeque<Delta>) -> Result<Life, LlmError> {
        let mut events = Vec::new();
        let read = self.events.push(bytes, &mut events);
        let life = if events.is_empty() {
            Life::None
        } else {
            Life::Sign
        };
        for event in events {
            self.event(event, out)?;
        }
        if !self.done {
            read?;
        }
        Ok(life)
    }

    fn finish(&mut self, out: &mut VecDeque<Delta>) -> Result<(), LlmError> {
        let mut events = Vec::new();
        self.events.finish(&mut events)?;
        for event in events {
            // A last event that cannot be read was cut inside; it is not the server's fault of speech.
            match self.event(event, out) {
                Err(LlmError::Protocol { .. }) => return Err(LlmError::Cut),
                other => other?,
            }
        }
        if self.done {
            Ok(())
        } else {
            Err(LlmError::Cut)
        }
    }
}

impl OpenAiDecoder {
    fn event(&mut self, event: SseEvent, out: &mut VecDeque<Delta>) -> Result<(), LlmError> {
        match event {
            _ if self.done => Ok(()),
            SseEvent::Comment(text) => {
                out.extend(prefill(&text));
                Ok(())
            }
            SseEvent::Data(data) if data.trim() == "[DONE]" => {
                self.end(out);
                Ok(())
            }
            SseEvent::Data(data) if data.trim().is_empty() => Ok(()),
            SseEvent::Data(data) => {
                let chunk = serde_json::from_str(&data).map_err(|error| LlmError::Protocol {
                    message: format!("an event that is not the expected JSON: {error}"),
                })?;
                self.chunk(chunk, out)
            }
        }
    }

    fn chunk(&mut self, chunk: Chunk, out: &mut VecDeque<Delta>) -> Result<(), LlmError> {
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            return Err(stream_error(&error));
        }
        if let Some(counts) = chunk.usage {
            self.count(&counts);
        }
        if let Some(timings) = chunk.timings {
            self.time(&timings);
        }
        // `n` is never asked for, so there is one choice; the usage chunk has none.
        let Some(choice) = chunk.choices.into_iter().next() else {
            return Ok(());
        };
        if let Some(words) = choice.delta {
            self.words(words, out);
        }
        if choice.finish_reason.is_some() {
            self.finish = choice.finish_reason;
        }
        Ok(())
    }

    fn words(&mut self, words: Words, out: &mut VecDeque<Delta>) {
        if let Some(thinking) = words
            .reasoning
            .or(words.reasoning_content)
            .filter(|text| !text.is_empty())
        {
            out.push_back(Delta::Reasoning(thinking));
        }
        if let Some(content) = words.content {
            push_content(&mut self.filter, &content, out);
        }
        for part in words.tool_calls.unwrap_or_default() {
            self.call(part);
        }
    }

    /// Joins a fragment to its call. A fragment belongs to the last call of its index, unless it brings another id.
    fn call(&mut self, part: CallPart) {
        let index = part
            .index
            .unwrap_or_else(|| self.calls.last().map_or(0, |call| call.index));
        let id = part.id.unwrap_or_default();
        let position = self.calls.iter().rposition(|call| {
            call.index == index && (id.is_empty() || call.id.is_empty() || call.id == id)
        });
        let position = position.unwrap_or_else(|| {
            self.calls.push(Fragments {
                index,
                ..Fragments::default()
            });
            self.calls.len() - 1
        });
        let call = &mut self.calls[position];
        if call.id.is_empty() {
            call.id = id;
        }
        let Some(function) = part.function else {
            return;
        };
        if call.name.is_empty() {
            call.name = function.name.unwrap_or_default();
        }
        match function.arguments {
            Value::Null => {}
            Value::String(text) => call.arguments.push_str(&text),
            whole => call.arguments = whole.to_string(),
        }
    }

    fn end(&mut self, out: &mut VecDeque<Delta>) {
        self.done = true;
        finish_content(&mut self.filter, out);
        let called = !self.calls.is_empty();
        for (place, call) in self.calls.drain(..).enumerate() {
            out.push_back(Delta::ToolCall(ToolCall {
                id: if call.id.is_empty() {
                    format!("call_{}", place + 1)
                } else {
                    call.id
                },
                name: call.name,
                arguments: parse_arguments(&call.arguments),
            }));
        }
        let reason = match self.finish.as_deref() {
            Some("length") => FinishReason::Length,
            _ if called => FinishReason::ToolCalls,
            _ => FinishReason::Stop,
        };
        out.push_back(Delta::Done {
            reason,
            usage: self.usage,
        });
    }

    fn count(&mut self, counts: &Counts) {
        let usage = &mut self.usage;
        usage.prompt_tokens = counts.prompt_tokens.or(usage.prompt_tokens);
        usage.completion_tokens = counts.completion_tokens.or(usage.completion_tokens);
        let cached = counts
            .prompt_tokens_details
            .as_ref()
            .and_then(|details| details.cached_tokens);
        usage.cached_tokens = cached.or(usage.cached_tokens);
    }

    fn time(&mut self, timings: &Timings) {
        let usage = &mut self.usage;
        usage.prompt_ms = timings.prompt_ms.or(usage.prompt_ms);
        usage.generation_ms = timings.predicted_ms.or(usage.generation_ms);
        usage.cached_tokens = usage.cached_tokens.or(timings.cache_n);
        usage.completion_tokens = usage.completion_tokens.or(timings.predicted_n);
        let prompt = timings
            .prompt_n
            .map(|evaluated| evaluated + timings.cache_n.unwrap_or(0));
        usage.prompt_tokens = usage.prompt_tokens.or(prompt);
    }
}

/// mlx_lm.server's progress: `keepalive 2048/3003`. Other comments are a sign of life and nothing else.
fn prefill(comment: &str) -> Option<Delta> {
    let (done, total) = comment.strip_prefix("keepalive ")?.split_once('/')?;
    Some(Delta::Prefill {
        done: done.trim().parse().ok()?,
        total: total.trim().parse().ok()?,
    })
}

fn stream_error(error: &Value) -> LlmError {
    let message = error_message(error);
    if is_too_long(error) {
        return LlmError::TooLong { message };
    }
    LlmError::Refused {
        status: 200,
        message,
    }
}
