//! Requests on their way to the backend: as they are where it speaks the client's dialect, else in its own.
//!
//! Core: JSON in, JSON out. What is the gateway's (model, context, stay) is set later by
//! `llm::upstream::Upstream::own`; here a request becomes one that streams, does not think unless it was asked to,
//! and says the same in the backend's words. A field that the other dialect has no word for is left away.

use serde_json::{Map, Value, json};

use super::ask::{Ask, Endpoint};
use crate::llm::dialect::Dialect;

/// A request for a backend.
#[derive(Debug, Clone, PartialEq)]
pub struct Outbound {
    /// Below the backend's base address.
    pub path: &'static str,
    /// The body.
    pub body: Map<String, Value>,
    /// Whether the answer is chat or plain text.
    pub chat: bool,
}

/// Puts `ask` into the words of a backend.
#[must_use]
pub fn outbound(ask: &Ask, backend: Dialect) -> Outbound {
    match (ask.endpoint, backend) {
        (Endpoint::Chat, Dialect::OpenAi) => native_openai(ask, "/chat/completions", true),
        (Endpoint::Completions, Dialect::OpenAi) => native_openai(ask, "/completions", false),
        (Endpoint::OllamaChat, Dialect::Ollama) => native_ollama(ask, "/api/chat", true),
        (Endpoint::OllamaGenerate, Dialect::Ollama) => native_ollama(ask, "/api/generate", false),
        (Endpoint::Chat, Dialect::Ollama) => chat_to_ollama(ask),
        (Endpoint::Completions, Dialect::Ollama) => text_to_ollama(ask),
        (Endpoint::OllamaChat, Dialect::OpenAi) => chat_to_openai(ask),
        (Endpoint::OllamaGenerate, Dialect::OpenAi) => generate_to_openai(ask),
    }
}

fn native_openai(ask: &Ask, path: &'static str, chat: bool) -> Outbound {
    let mut body = ask.body.clone();
    stream_with_usage(&mut body);
    if chat {
        openai_thinking(&mut body, wants_thinking(&ask.body));
    }
    Outbound { path, body, chat }
}

fn native_ollama(ask: &Ask, path: &'static str, chat: bool) -> Outbound {
    let mut body = ask.body.clone();
    body.insert("stream".to_owned(), json!(true));
    body.entry("think").or_insert(json!(false));
    Outbound { path, body, chat }
}

fn stream_with_usage(body: &mut Map<String, Value>) {
    body.insert("stream".to_owned(), json!(true));
    body.insert("stream_options".to_owned(), json!({"include_usage": true}));
}

/// Whether the client asks for thinking, in any of the words that are in use. `None`: it says nothing.
fn wants_thinking(body: &Map<String, Value>) -> Option<bool> {
    if let Some(Value::Bool(wanted)) = body
        .get("chat_template_kwargs")
        .and_then(|arguments| arguments.get("enable_thinking"))
    {
        return Some(*wanted);
    }
    let effort = body
        .get("reasoning_effort")
        .or_else(|| body.get("reasoning")?.get("effort"))?
        .as_str()?;
    Some(effort != "none")
}

/// The resident models think unless they are told not to, and nobody who has not asked for it waits that long.
fn openai_thinking(body: &mut Map<String, Value>, wanted: Option<bool>) {
    let arguments = body
        .entry("chat_template_kwargs")
        .or_insert_with(|| json!({}));
    if let Value::Object(arguments) = arguments {
        arguments
            .entry("enable_thinking")
            .or_insert(json!(wanted.unwrap_or(false)));
    }
}

// ---- OpenAI to Ollama ----

fn chat_to_ollama(ask: &Ask) -> Outbound {
    let messages = ask.messages().unwrap_or_default();
    let mut body = Map::new();
    body.insert("messages".to_owned(), to_ollama_messages(messages));
    let forbids_tools = ask.text("tool_choice") == Some("none");
    if let Some(tools) = ask.body.get("tools").filter(|_| !forbids_tools) {
        body.insert("tools".to_owned(), tools.clone());
    }
    body.insert("think".to_owned(), ollama_think(&ask.body));
    if let Some(format) = ollama_format(ask.body.get("response_format")) {
        body.insert("format".to_owned(), format);
    }
    finish_ollama(ask, body, "/api/chat", true)
}

fn text_to_ollama(ask: &Ask) -> Outbound {
    let prompt = match ask.body.get("prompt") {
        Some(Value::Array(prompts)) => prompts.first().cloned(),
        other => other.cloned(),
    };
    let mut body = Map::new();
    body.insert("prompt".to_owned(), prompt.unwrap_or_else(|| json!("")));
    // A completion continues the text as it is: no template. A suffix needs the model's own template for it.
    match ask.body.get("suffix").filter(|suffix| !suffix.is_null()) {
        Some(suffix) => drop(body.insert("suffix".to_owned(), suffix.clone())),
        None => drop(body.insert("raw".to_owned(), json!(true))),
    }
    finish_ollama(ask, body, "/api/generate", false)
}

fn finish_ollama(
    ask: &Ask,
    mut body: Map<String, Value>,
    path: &'static str,
    chat: bool,
) -> Outbound {
    body.insert("stream".to_owned(), json!(true));
    for key in ["logprobs", "top_logprobs"] {
        if let Some(value) = ask.body.get(key) {
            body.insert(key.to_owned(), value.clone());
        }
    }
    body.insert("options".to_owned(), Value::Object(options(&ask.body)));
    Outbound { path, body, chat }
}

/// The sampling parameters, by their names in Ollama's options.
const OPTIONS: &[(&str, &str)] = &[
    ("temperature", "temperature"),
    ("top_p", "top_p"),
    ("top_k", "top_k"),
    ("min_p", "min_p"),
    ("typical_p", "typical_p"),
    ("seed", "seed"),
    ("presence_penalty", "presence_penalty"),
    ("frequency_penalty", "frequency_penalty"),
    ("repetition_penalty", "repeat_penalty"),
    ("repeat_penalty", "repeat_penalty"),
    ("repetition_context_size", "repeat_last_n"),
    ("repeat_last_n", "repeat_last_n"),
    ("max_tokens", "num_predict"),
    ("max_completion_tokens", "num_predict"),
    ("n_predict", "num_predict"),
];

fn options(body: &Map<String, Value>) -> Map<String, Value> {
    let mut options = Map::new();
    // As Ollama's own layer for this dialect does, whose native defaults differ.
    options.insert("temperature".to_owned(), json!(1.0));
    options.insert("top_p".to_owned(), json!(1.0));
    for (name, option) in OPTIONS {
        if let Some(value) = body.get(*name).filter(|value| value.is_number()) {
            options.insert((*option).to_owned(), value.clone());
        }
    }
    match body.get("stop") {
        Some(Value::String(stop)) => drop(options.insert("stop".to_owned(), json!([stop]))),
        Some(stop @ Value::Array(_)) => drop(options.insert("stop".to_owned(), stop.clone())),
        _ => {}
    }
    options
}

fn ollama_think(body: &Map<String, Value>) -> Value {
    let effort = body
        .get("reasoning_effort")
        .or_else(|| body.get("reasoning")?.get("effort"))
        .and_then(Value::as_str);
    match effort {
        Some("none") => json!(false),
        Some("minimal") => json!("low"),
        Some(level @ ("low" | "medium" | "high")) => json!(level),
        Some(_) => json!("max"),
        None => json!(wants_thinking(body).unwrap_or(false)),
    }
}

fn ollama_format(format: Option<&Value>) -> Option<Value> {
    let format = format?;
    match format.get("type")?.as_str()? {
        "json_object" => Some(json!("json")),
        "json_schema" => format.get("json_schema")?.get("schema").cloned(),
        _ => None,
    }
}

fn to_ollama_messages(messages: &[Value]) -> Value {
    messages
        .iter()
        .enumerate()
        .map(|(at, message)| to_ollama_message(message, &messages[..at]))
        .collect()
}

fn to_ollama_message(message: &Value, before: &[Value]) -> Value {
    let role = match message["role"].as_str() {
        Some("developer") => "system",
        Some("function") => "tool",
        Some(role) => role,
        None => "user",
    };
    let (text, images) = text_and_images(&message["content"]);
    let mut out = json!({"role": role, "content": text});
    if !images.is_empty() {
        out["images"] = json!(images);
    }
    for key in ["reasoning", "reasoning_content"] {
        if let Some(thinking) = message[key].as_str().filter(|text| !text.is_empty()) {
            out["thinking"] = json!(thinking);
        }
    }
    if let Some(calls) = message["tool_calls"].as_array() {
        out["tool_calls"] = calls
            .iter()
            .map(|call| {
                json!({"id": call["id"], "function": {
                    "name": call["function"]["name"],
                    "arguments": arguments_as_object(&call["function"]["arguments"]),
                }})
            })
            .collect();
    }
    if role == "tool" {
        if let Some(id) = message["tool_call_id"].as_str() {
            out["tool_call_id"] = json!(id);
        }
        let named = message["name"].as_str().map(str::to_owned);
        if let Some(name) = named.or_else(|| tool_named(&message["tool_call_id"], before)) {
            out["tool_name"] = json!(name);
        }
    }
    out
}

/// The tool that the call of this id was for.
fn tool_named(id: &Value, before: &[Value]) -> Option<String> {
    before
        .iter()
        .rev()
        .filter_map(|message| message["tool_calls"].as_array())
        .flatten()
        .find(|call| call["id"] == *id)
        .and_then(|call| call["function"]["name"].as_str())
        .map(str::to_owned)
}

/// Ollama takes only objects; text that is none is kept under a name.
fn arguments_as_object(arguments: &Value) -> Value {
    let parsed = match arguments {
        Value::String(text) if text.trim().is_empty() => Some(json!({})),
        Value::String(text) => serde_json::from_str(text).ok(),
        other => Some(other.clone()),
    };
    match parsed {
        Some(Value::Object(map)) => Value::Object(map),
        Some(Value::Null) => json!({}),
        _ => json!({"arguments": arguments}),
    }
}

fn text_and_images(content: &Value) -> (String, Vec<String>) {
    let mut images = Vec::new();
    let text = match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let mut texts = Vec::new();
            for part in parts {
                if let Some(text) = part["text"].as_str() {
                    texts.push(text.to_owned());
                }
                let image = &part["image_url"];
                let address = image.as_str().or_else(|| image["url"].as_str());
                if let Some((_, data)) = address.and_then(|address| address.split_once(";base64,"))
                {
                    images.push(data.to_owned());
                }
            }
            texts.join("\n")
        }
        _ => String::new(),
    };
    (text, images)
}

// ---- Ollama to OpenAI ----

fn chat_to_openai(ask: &Ask) -> Outbound {
    let messages = ask.messages().unwrap_or_default();
    let mut body = Map::new();
    body.insert("messages".to_owned(), to_openai_messages(messages));
    if let Some(tools) = ask.body.get("tools") {
        body.insert("tools".to_owned(), tools.clone());
    }
    finish_openai(ask, body, "/chat/completions", true)
}

/// Ollama puts a prompt into the model's template unless it is raw; so does a chat of one message.
fn generate_to_openai(ask: &Ask) -> Outbound {
    let prompt = ask.text("prompt").unwrap_or_default();
    let mut body = Map::new();
    if ask.body.get("raw") == Some(&Value::Bool(true)) {
        body.insert("prompt".to_owned(), json!(prompt));
        return finish_openai(ask, body, "/completions", false);
    }
    let mut messages = Vec::new();
    if let Some(system) = ask.text("system").filter(|text| !text.is_empty()) {
        messages.push(json!({"role": "system", "content": system}));
    }
    let images = ask.body.get("images").cloned().unwrap_or_default();
    messages.push(json!({"role": "user", "content": prompt, "images": images}));
    body.insert("messages".to_owned(), to_openai_messages(&messages));
    finish_openai(ask, body, "/chat/completions", true)
}

fn finish_openai(
    ask: &Ask,
    mut body: Map<String, Value>,
    path: &'static str,
    chat: bool,
) -> Outbound {
    stream_with_usage(&mut body);
    let none = Map::new();
    let options = match ask.body.get("options") {
        Some(Value::Object(options)) => options,
        _ => &none,
    };
    for (name, option) in OPTIONS {
        // Of two names for one option the first is the standard one; below zero means "without a limit".
        let value = options.get(*option).filter(|value| {
            value.is_number() && !(*option == "num_predict" && value.as_f64() < Some(0.0))
        });
        if let Some(value) = value
            && !OPTIONS
                .iter()
                .any(|(other, of)| of == option && other != name && body.contains_key(*other))
        {
            body.insert((*name).to_owned(), value.clone());
        }
    }
    if let Some(stop) = options.get("stop") {
        body.insert("stop".to_owned(), stop.clone());
    }
    for key in ["logprobs", "top_logprobs"] {
        if let Some(value) = ask.body.get(key) {
            body.insert(key.to_owned(), value.clone());
        }
    }
    match ask.body.get("format") {
        Some(Value::String(format)) if format == "json" => {
            body.insert("response_format".to_owned(), json!({"type": "json_object"}));
        }
        Some(schema @ Value::Object(_)) => {
            let named = json!({"name": "format", "schema": schema, "strict": true});
            body.insert(
                "response_format".to_owned(),
                json!({"type": "json_schema", "json_schema": named}),
            );
        }
        _ => {}
    }
    if chat {
        let wanted = match ask.body.get("think") {
            Some(Value::String(level)) => {
                body.insert("reasoning_effort".to_owned(), json!(level));
                Some(true)
            }
            Some(Value::Bool(think)) => Some(*think),
            _ => None,
        };
        openai_thinking(&mut body, wanted);
    }
    Outbound { path, body, chat }
}

fn to_openai_messages(messages: &[Value]) -> Value {
    let mut ids = Ids::default();
    messages
        .iter()
        .map(|message| to_openai_message(message, &mut ids))
        .collect()
}

/// Ollama's calls need no id and its results name the tool instead; here each result must name the call.
#[derive(Default)]
struct Ids {
    made: usize,
    /// Calls that have no result yet: id and tool.
    open: Vec<(String, String)>,
}

impl Ids {
    fn call(&mut self, call: &Value) -> Value {
        let id = call["id"].as_str().filter(|id| !id.is_empty());
        let id = id.map_or_else(
            || {
                self.made += 1;
                format!("call_{}", self.made)
            },
            str::to_owned,
        );
        let name = call["function"]["name"].as_str().unwrap_or_default();
        self.open.push((id.clone(), name.to_owned()));
        let arguments = match &call["function"]["arguments"] {
            Value::String(text) => text.clone(),
            Value::Null => "{}".to_owned(),
            other => other.to_string(),
        };
        json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
    }

    fn result(&mut self, message: &Value) -> Option<String> {
        if let Some(id) = message["tool_call_id"].as_str().filter(|id| !id.is_empty()) {
            self.open.retain(|(open, _)| open != id);
            return Some(id.to_owned());
        }
        let tool = message["tool_name"]
            .as_str()
            .or_else(|| message["name"].as_str());
        let of_tool = self
            .open
            .iter()
            .position(|(_, name)| tool == Some(name.as_str()));
        let at = of_tool.or(if self.open.is_empty() { None } else { Some(0) })?;
        Some(self.open.remove(at).0)
    }
}

fn to_openai_message(message: &Value, ids: &mut Ids) -> Value {
    let text = message["content"].as_str().unwrap_or_default();
    let images = message["images"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let content = if images.is_empty() {
        json!(text)
    } else {
        let mut parts = vec![json!({"type": "text", "text": text})];
        parts.extend(images.iter().filter_map(Value::as_str).map(|image| {
            let address = format!("data:{};base64,{image}", image_type(image));
            json!({"type": "image_url", "image_url": {"url": address}})
        }));
        Value::Array(parts)
    };
    let mut out = json!({"role": message["role"], "content": content});
    if let Some(calls) = message["tool_calls"].as_array() {
        out["tool_calls"] = calls.iter().map(|call| ids.call(call)).collect();
    }
    if message["role"] == "tool"
        && let Some(id) = ids.result(message)
    {
        out["tool_call_id"] = json!(id);
    }
    out
}

/// By the first bytes, as base64 spells them.
fn image_type(base64: &str) -> &'static str {
    match base64.get(..4) {
        Some("iVBO") => "image/png",
        Some("R0lG") => "image/gif",
        Some("UklG") => "image/webp",
        _ => "image/jpeg",
    }
}
