//! Events on their way back: a backend's own become the client's.
//!
//! Core: one event in, the client's events out; owned by the relay of one reply. Where both speak the same dialect an event
//! passes as it is, but for the model's name, which is the gateway's. Else it is translated: text, thinking, calls,
//! probabilities, the reason of the end and the counts.

use serde_json::{Map, Value, json};

use super::ask::{Ask, Endpoint};
use crate::llm::dialect::Dialect;

/// What stays the same in every event of one reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// The id of the reply (OpenAI dialect).
    pub id: String,
    /// When it was asked, in seconds since 1970 (OpenAI dialect).
    pub created: i64,
    /// The same as text (Ollama dialect).
    pub created_at: String,
    /// The model's public name.
    pub model: String,
}

/// Turns the events of one reply.
#[derive(Debug)]
pub struct Shape {
    endpoint: Endpoint,
    backend: Dialect,
    stamp: Stamp,
    /// Whether the client wants the usage of a stream (OpenAI dialect).
    usage_wanted: bool,
    /// Calls in the making (OpenAI to Ollama), which sends them whole.
    calls: Vec<Value>,
    /// Calls so far (Ollama to OpenAI), whose fragments are numbered.
    called: usize,
    begun: bool,
    finish: Option<String>,
    usage: Value,
}

impl Shape {
    /// For the reply to `ask` from a backend.
    #[must_use]
    pub fn new(ask: &Ask, backend: Dialect, stamp: Stamp) -> Self {
        Self {
            endpoint: ask.endpoint,
            backend,
            stamp,
            // A client that reads no stream gets the usage in its object.
            usage_wanted: ask.usage || !ask.stream,
            calls: Vec::new(),
            called: 0,
            begun: false,
            finish: None,
            usage: Value::Null,
        }
    }

    /// Takes an event of the backend.
    pub fn event(&mut self, event: Value) -> Vec<Value> {
        match (self.endpoint.dialect(), self.backend) {
            (Dialect::OpenAi, Dialect::OpenAi) => self.openai(event),
            (Dialect::Ollama, Dialect::Ollama) => self.ollama(event),
            (Dialect::OpenAi, Dialect::Ollama) => self.ollama_to_openai(&event),
            (Dialect::Ollama, Dialect::OpenAi) => self.openai_to_ollama(&event),
        }
    }

    /// The backend's end marker has come: what is left to say before the client's own.
    pub fn end(&mut self) -> Vec<Value> {
        if self.endpoint.dialect() == Dialect::Ollama && self.backend == Dialect::OpenAi {
            return self.last_line();
        }
        Vec::new()
    }

    fn openai(&mut self, mut event: Value) -> Vec<Value> {
        let Value::Object(map) = &mut event else {
            return vec![event];
        };
        let has_choice = map
            .get("choices")
            .and_then(Value::as_array)
            .is_some_and(|choices| !choices.is_empty());
        if !self.usage_wanted && map.contains_key("usage") {
            if !has_choice {
                return Vec::new();
            }
            map.shift_remove("usage");
        }
        map.insert("id".to_owned(), json!(self.stamp.id));
        map.insert("created".to_owned(), json!(self.stamp.created));
        map.insert("model".to_owned(), json!(self.stamp.model));
        vec![event]
    }

    fn ollama(&mut self, mut event: Value) -> Vec<Value> {
        if let Value::Object(map) = &mut event {
            map.insert("model".to_owned(), json!(self.stamp.model));
            map.shift_remove("remote_model");
            map.shift_remove("remote_host");
        }
        vec![event]
    }

    // ---- Ollama to OpenAI ----

    fn ollama_to_openai(&mut self, line: &Value) -> Vec<Value> {
        let mut out = Vec::new();
        let chat = self.endpoint == Endpoint::Chat;
        let words = if chat { &line["message"] } else { line };
        let text = words[if chat { "content" } else { "response" }]
            .as_str()
            .unwrap_or_default();
        let thinking = words["thinking"].as_str().unwrap_or_default();
        let calls = self.call_deltas(&words["tool_calls"]);
        let done = line["done"] == true;
        if !text.is_empty() || !thinking.is_empty() || !calls.is_empty() {
            let logprobs = openai_logprobs(&line["logprobs"]);
            out.push(if chat {
                let mut delta = Map::new();
                if !self.begun {
                    delta.insert("role".to_owned(), json!("assistant"));
                }
                if !thinking.is_empty() {
                    delta.insert("reasoning".to_owned(), json!(thinking));
                }
                if !text.is_empty() || calls.is_empty() && thinking.is_empty() {
                    delta.insert("content".to_owned(), json!(text));
                }
                if !calls.is_empty() {
                    delta.insert("tool_calls".to_owned(), json!(calls));
                }
                self.begun = true;
                self.chunk(
                    json!([{"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": null}]),
                )
            } else {
                self.chunk(json!([{"index": 0, "text": text, "logprobs": logprobs, "finish_reason": null}]))
            });
        }
        if done {
            out.extend(self.openai_end(line));
        }
        out
    }

    fn call_deltas(&mut self, calls: &Value) -> Vec<Value> {
        let calls = calls.as_array().map(Vec::as_slice).unwrap_or_default();
        calls
            .iter()
            .map(|call| {
                let index = self.called;
                self.called += 1;
                let id = call["id"].as_str().filter(|id| !id.is_empty());
                let id = id.map_or_else(|| format!("call_{}", self.called), str::to_owned);
                let arguments = match &call["function"]["arguments"] {
                    Value::String(text) => text.clone(),
                    Value::Null => "{}".to_owned(),
                    other => other.to_string(),
                };
                json!({"index": index, "id": id, "type": "function", "function": {
                    "name": call["function"]["name"], "arguments": arguments,
                }})
            })
            .collect()
    }

    fn openai_end(&mut self, line: &Value) -> Vec<Value> {
        let reason = match line["done_reason"].as_str() {
            Some("length") => "length",
            _ if self.called > 0 => "tool_calls",
            _ => "stop",
        };
        let choice = if self.endpoint == Endpoint::Chat {
            json!([{"index": 0, "delta": {}, "finish_reason": reason}])
        } else {
            json!([{"index": 0, "text": "", "finish_reason": reason}])
        };
        let mut out = vec![self.chunk(choice)];
        if self.usage_wanted {
            let count = |key: &str| line[key].as_u64().unwrap_or(0);
            let (prompt, completion) = (count("prompt_eval_count"), count("eval_count"));
            let mut last = self.chunk(json!([]));
            last["usage"] = json!({
                "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
            });
            out.push(last);
        }
        out
    }

    fn chunk(&self, choices: Value) -> Value {
        let object = if self.endpoint == Endpoint::Chat {
            "chat.completion.chunk"
        } else {
            "text_completion"
        };
        json!({
            "id": self.stamp.id, "object": object, "created": self.stamp.created,
            "model": self.stamp.model, "choices": choices,
        })
    }

    // ---- OpenAI to Ollama ----

    fn openai_to_ollama(&mut self, event: &Value) -> Vec<Value> {
        if event["usage"].is_object() {
            self.usage = event["usage"].clone();
        }
        let choice = &event["choices"][0];
        if let Some(reason) = choice["finish_reason"].as_str() {
            self.finish = Some(reason.to_owned());
        }
        let delta = &choice["delta"];
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            self.gather(call);
        }
        let text = delta["content"]
            .as_str()
            .or_else(|| choice["text"].as_str());
        let thinking = ["reasoning", "reasoning_content"]
            .iter()
            .find_map(|key| delta[*key].as_str());
        let text = text.unwrap_or_default();
        let thinking = thinking.unwrap_or_default();
        if text.is_empty() && thinking.is_empty() {
            return Vec::new();
        }
        let mut line = self.line(text, thinking, &[], false);
        if let Some(probabilities) = choice["logprobs"]["content"].as_array() {
            line["logprobs"] = json!(probabilities);
        }
        vec![line]
    }

    /// Joins a fragment to its call.
    fn gather(&mut self, part: &Value) {
        let index = part["index"].as_u64().unwrap_or(0);
        let at = self
            .calls
            .iter()
            .rposition(|call| {
                call["index"] == json!(index) && (part["id"].is_null() || part["id"] == call["id"])
            })
            .unwrap_or_else(|| {
                self.calls
                    .push(json!({"index": index, "id": part["id"], "name": "", "arguments": ""}));
                self.calls.len() - 1
            });
        let call = &mut self.calls[at];
        let function = &part["function"];
        if let Some(name) = function["name"].as_str().filter(|name| !name.is_empty()) {
            call["name"] = json!(name);
        }
        match &function["arguments"] {
            Value::String(more) => {
                let whole = format!("{}{more}", call["arguments"].as_str().unwrap_or_default());
                call["arguments"] = json!(whole);
            }
            Value::Null => {}
            whole => call["arguments"] = json!(whole.to_string()),
        }
    }

    fn last_line(&mut self) -> Vec<Value> {
        let mut out = Vec::new();
        let calls: Vec<Value> = std::mem::take(&mut self.calls)
            .iter()
            .enumerate()
            .map(|(at, call)| {
                let text = call["arguments"].as_str().unwrap_or_default();
                let arguments = match serde_json::from_str(text) {
                    Ok(Value::Object(map)) => Value::Object(map),
                    _ if text.trim().is_empty() => json!({}),
                    _ => json!({"arguments": text}),
                };
                let id = call["id"].as_str().unwrap_or_default();
                let id = if id.is_empty() { format!("call_{}", at + 1) } else { id.to_owned() };
                json!({"id": id, "function": {"index": at, "name": call["name"], "arguments": arguments}})
            })
            .collect();
        if !calls.is_empty() {
            out.push(self.line("", "", &calls, false));
        }
        let mut line = self.line("", "", &[], true);
        let reason = if self.finish.as_deref() == Some("length") {
            "length"
        } else {
            "stop"
        };
        line["done_reason"] = json!(reason);
        for (ours, theirs) in [
            ("prompt_eval_count", "prompt_tokens"),
            ("eval_count", "completion_tokens"),
        ] {
            if let Some(count) = self.usage[theirs].as_u64() {
                line[ours] = json!(count);
            }
        }
        out.push(line);
        out
    }

    fn line(&self, text: &str, thinking: &str, calls: &[Value], done: bool) -> Value {
        let mut line = json!({"model": self.stamp.model, "created_at": self.stamp.created_at});
        if self.endpoint == Endpoint::OllamaChat {
            line["message"] = json!({"role": "assistant", "content": text});
            if !thinking.is_empty() {
                line["message"]["thinking"] = json!(thinking);
            }
            if !calls.is_empty() {
                line["message"]["tool_calls"] = json!(calls);
            }
        } else {
            line["response"] = json!(text);
            if !thinking.is_empty() {
                line["thinking"] = json!(thinking);
            }
        }
        line["done"] = json!(done);
        line
    }
}

fn openai_logprobs(list: &Value) -> Value {
    match list {
        Value::Array(list) if !list.is_empty() => json!({"content": list}),
        _ => Value::Null,
    }
}
