//! A whole answer from a stream of events, for clients that do not read streams.
//!
//! Core: the client's own events in, its object out. Upstream always streams, so that a client's leaving frees the slot;
//! this puts the pieces together again and keeps what it does not know from the last event that had it.

use serde_json::{Map, Value, json};

use super::ask::Endpoint;

/// Puts an answer together.
#[derive(Debug)]
pub struct Collect {
    endpoint: Endpoint,
    /// The last value of every field outside the message.
    whole: Map<String, Value>,
    text: String,
    /// Thinking by the name that the backend gives it.
    thinking: Option<(String, String)>,
    calls: Vec<Value>,
    logprobs: Vec<Value>,
    finish: Value,
    /// Other fields of the message.
    extra: Map<String, Value>,
}

impl Collect {
    /// An empty answer.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            whole: Map::new(),
            text: String::new(),
            thinking: None,
            calls: Vec::new(),
            logprobs: Vec::new(),
            finish: Value::Null,
            extra: Map::new(),
        }
    }

    /// Bytes of text so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.text.len() + self.thinking.as_ref().map_or(0, |(_, text)| text.len())
    }

    /// Whether nothing has been taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes an event as the client would read it in a stream.
    pub fn take(&mut self, event: Value) {
        let Value::Object(map) = event else { return };
        for (key, value) in map {
            match (self.endpoint, key.as_str()) {
                (Endpoint::Chat | Endpoint::Completions, "choices") => self.choices(value),
                (Endpoint::OllamaChat, "message") => self.message(value),
                (Endpoint::OllamaGenerate, "response") => self.add_text(&value),
                (Endpoint::OllamaGenerate, "thinking") => self.add_thinking(key, &value),
                (Endpoint::OllamaChat | Endpoint::OllamaGenerate, "logprobs") => {
                    self.add_logprobs(value);
                }
                (_, "usage") if value.is_null() => {}
                _ => drop(self.whole.insert(key, value)),
            }
        }
    }

    fn choices(&mut self, choices: Value) {
        let Value::Array(choices) = choices else {
            return;
        };
        for choice in choices {
            let Value::Object(choice) = choice else {
                continue;
            };
            for (key, value) in choice {
                match key.as_str() {
                    "delta" => self.message(value),
                    "text" => self.add_text(&value),
                    "logprobs" => match value {
                        Value::Object(mut map) => {
                            let content = map.shift_remove("content");
                            self.add_logprobs(content.unwrap_or_default());
                        }
                        other => self.add_logprobs(other),
                    },
                    "finish_reason" if !value.is_null() => self.finish = value,
                    _ => {}
                }
            }
        }
    }

    fn message(&mut self, message: Value) {
        let Value::Object(message) = message else {
            return;
        };
        for (key, value) in message {
            match key.as_str() {
                "content" => self.add_text(&value),
                "reasoning" | "reasoning_content" | "thinking" => self.add_thinking(key, &value),
                "tool_calls" => self.add_calls(value),
                "role" => {}
                _ => drop(self.extra.insert(key, value)),
            }
        }
    }

    fn add_text(&mut self, value: &Value) {
        self.text.push_str(value.as_str().unwrap_or_default());
    }

    fn add_thinking(&mut self, key: String, value: &Value) {
        let Some(text) = value.as_str().filter(|text| !text.is_empty()) else {
            return;
        };
        let (_, whole) = self.thinking.get_or_insert_with(|| (key, String::new()));
        whole.push_str(text);
    }

    fn add_logprobs(&mut self, value: Value) {
        if let Value::Array(list) = value {
            self.logprobs.extend(list);
        }
    }

    /// Ollama's calls are whole; of the other dialect fragments may come, joined by their index.
    fn add_calls(&mut self, calls: Value) {
        let Value::Array(calls) = calls else { return };
        for mut call in calls {
            let Some(index) = call.get("index").and_then(Value::as_u64) else {
                self.calls.push(call);
                continue;
            };
            let begun = self.calls.iter_mut().rev().find(|begun| {
                begun["index"] == json!(index)
                    && (call["id"].is_null() || call["id"] == begun["id"])
            });
            match begun {
                Some(begun) => {
                    let more = call["function"]["arguments"].as_str().unwrap_or_default();
                    let whole = format!(
                        "{}{more}",
                        begun["function"]["arguments"].as_str().unwrap_or_default()
                    );
                    begun["function"]["arguments"] = json!(whole);
                }
                None => {
                    if call["type"].is_null() {
                        call["type"] = json!("function");
                    }
                    self.calls.push(call);
                }
            }
        }
    }

    /// The object; call it after the end marker.
    #[must_use]
    pub fn finish(mut self) -> Value {
        match self.endpoint {
            Endpoint::Chat => self.chat(),
            Endpoint::Completions => {
                let logprobs = self.openai_logprobs();
                self.whole
                    .insert("object".to_owned(), json!("text_completion"));
                let choice = json!({
                    "index": 0, "text": self.text, "logprobs": logprobs, "finish_reason": self.finish,
                });
                self.whole.insert("choices".to_owned(), json!([choice]));
                Value::Object(self.whole)
            }
            Endpoint::OllamaChat => {
                let mut message = json!({"role": "assistant", "content": self.text});
                if let Some((_, thinking)) = self.thinking {
                    message["thinking"] = json!(thinking);
                }
                if !self.calls.is_empty() {
                    message["tool_calls"] = json!(self.calls);
                }
                self.whole.insert("message".to_owned(), message);
                ollama_logprobs(&mut self.whole, self.logprobs);
                Value::Object(self.whole)
            }
            Endpoint::OllamaGenerate => {
                self.whole.insert("response".to_owned(), json!(self.text));
                if let Some((_, thinking)) = self.thinking {
                    self.whole.insert("thinking".to_owned(), json!(thinking));
                }
                ollama_logprobs(&mut self.whole, self.logprobs);
                Value::Object(self.whole)
            }
        }
    }

    fn openai_logprobs(&mut self) -> Value {
        match std::mem::take(&mut self.logprobs) {
            list if list.is_empty() => Value::Null,
            list => json!({"content": list}),
        }
    }

    fn chat(mut self) -> Value {
        let logprobs = self.openai_logprobs();
        let content = if self.text.is_empty() && !self.calls.is_empty() {
            Value::Null
        } else {
            json!(self.text)
        };
        let mut message = json!({"role": "assistant", "content": content});
        if let Some((key, thinking)) = self.thinking {
            message[key] = json!(thinking);
        }
        for (key, value) in self.extra {
            message[key] = value;
        }
        if !self.calls.is_empty() {
            for call in &mut self.calls {
                if let Value::Object(call) = call {
                    call.shift_remove("index");
                }
            }
            message["tool_calls"] = json!(self.calls);
        }
        self.whole
            .insert("object".to_owned(), json!("chat.completion"));
        let choice = json!({
            "index": 0, "message": message, "logprobs": logprobs, "finish_reason": self.finish,
        });
        self.whole.insert("choices".to_owned(), json!([choice]));
        Value::Object(self.whole)
    }
}

fn ollama_logprobs(whole: &mut Map<String, Value>, logprobs: Vec<Value>) {
    if !logprobs.is_empty() {
        whole.insert("logprobs".to_owned(), json!(logprobs));
    }
}
