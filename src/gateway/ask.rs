//! What a client asks, read from its body: either dialect, chat or plain text.
//!
//! Core: bytes in, a request or the reason of a refusal out. The body stays JSON, so that nothing a client sends is lost on
//! the way to a backend of the same dialect; what is read here is only what the gateway itself must know. Images must be in
//! the request: an address or a path would have the backend fetch it.

use serde_json::{Map, Value};

use crate::llm::dialect::Dialect;

/// Where a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Completions,
    /// `/api/chat`.
    OllamaChat,
    /// `/api/generate`.
    OllamaGenerate,
}

impl Endpoint {
    /// The client's language.
    #[must_use]
    pub const fn dialect(self) -> Dialect {
        match self {
            Self::Chat | Self::Completions => Dialect::OpenAi,
            Self::OllamaChat | Self::OllamaGenerate => Dialect::Ollama,
        }
    }
}

/// A request for words.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// Where it came in.
    pub endpoint: Endpoint,
    /// All of it.
    pub body: Map<String, Value>,
    /// Whether the client reads a stream.
    pub stream: bool,
    /// Whether a stream ends with a chunk of usage (OpenAI dialect).
    pub usage: bool,
    /// The end user or conversation that the client names.
    pub user: Option<String>,
}

/// Why a body is refused; the words are for the client's developer and quote nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Bad(pub String);

impl Ask {
    /// Reads a body.
    ///
    /// # Errors
    /// [`Bad`].
    pub fn read(endpoint: Endpoint, bytes: &[u8]) -> Result<Self, Bad> {
        let body = object(bytes)?;
        let stream = match body.get("stream") {
            None | Some(Value::Null) => endpoint.dialect() == Dialect::Ollama,
            Some(Value::Bool(stream)) => *stream,
            Some(_) => return Err(bad("stream must be true or false")),
        };
        let usage = body
            .get("stream_options")
            .and_then(|options| options.get("include_usage"))
            == Some(&Value::Bool(true));
        let user = ["user", "prompt_cache_key", "safety_identifier"]
            .iter()
            .find_map(|key| body.get(*key)?.as_str())
            .map(str::to_owned);
        let ask = Self {
            endpoint,
            body,
            stream,
            usage,
            user,
        };
        ask.check()?;
        Ok(ask)
    }

    /// Ollama's way to load or unload a model: a request without words. `Some` is the reason that its answer gives.
    #[must_use]
    pub fn only_loads(&self) -> Option<&'static str> {
        let wordless = match self.endpoint {
            Endpoint::OllamaChat => self.messages().is_none_or(<[Value]>::is_empty),
            Endpoint::OllamaGenerate => ["prompt", "suffix"]
                .iter()
                .all(|key| self.text(key).is_none_or(str::is_empty)),
            Endpoint::Chat | Endpoint::Completions => false,
        };
        let unloads = match self.body.get("keep_alive") {
            Some(Value::Number(number)) => number.as_f64() == Some(0.0),
            Some(Value::String(text)) => matches!(text.as_str(), "0" | "0s" | "0m"),
            _ => false,
        };
        wordless.then_some(if unloads { "unload" } else { "load" })
    }

    /// The messages of a chat.
    #[must_use]
    pub fn messages(&self) -> Option<&[Value]> {
        self.body.get("messages")?.as_array().map(Vec::as_slice)
    }

    /// A field that is a string.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.body.get(key)?.as_str()
    }

    fn check(&self) -> Result<(), Bad> {
        match self.endpoint {
            Endpoint::Chat => match self.messages() {
                None => return Err(bad("messages must be a list")),
                Some([]) => return Err(bad("messages must not be empty")),
                Some(_) => {}
            },
            Endpoint::Completions => check_prompt(self.body.get("prompt"))?,
            Endpoint::OllamaChat | Endpoint::OllamaGenerate => {}
        }
        for key in ["n", "best_of"] {
            if self
                .body
                .get(key)
                .and_then(Value::as_u64)
                .is_some_and(|n| n > 1)
            {
                return Err(bad(format!(
                    "{key} must be 1: the resident model gives one answer"
                )));
            }
        }
        for message in self.messages().unwrap_or_default() {
            check_message(message)?;
        }
        if let Some(images) = self.body.get("images") {
            check_images(images)?;
        }
        Ok(())
    }
}

/// The JSON object in a body.
///
/// # Errors
/// [`Bad`].
pub fn object(bytes: &[u8]) -> Result<Map<String, Value>, Bad> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(body)) => Ok(body),
        Ok(_) => Err(bad("the body must be a JSON object")),
        // The error's own words quote nothing but places and expected characters.
        Err(error) => Err(bad(format!("the body is no JSON: {error}"))),
    }
}

fn check_prompt(prompt: Option<&Value>) -> Result<(), Bad> {
    match prompt {
        Some(Value::String(_)) => Ok(()),
        Some(Value::Array(prompts)) if prompts.len() == 1 && prompts[0].is_string() => Ok(()),
        Some(Value::Array(_)) => Err(bad("prompt must be one string, not several and not tokens")),
        _ => Err(bad("prompt must be a string")),
    }
}

fn check_message(message: &Value) -> Result<(), Bad> {
    let Value::Object(message) = message else {
        return Err(bad("each message must be an object"));
    };
    if !message.get("role").is_some_and(Value::is_string) {
        return Err(bad("each message needs a role"));
    }
    if let Some(images) = message.get("images") {
        check_images(images)?;
    }
    for part in message
        .get("content")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
    {
        check_part(part)?;
    }
    Ok(())
}

/// Of a part of a message only text, and media that are in the request, may pass.
fn check_part(part: &Value) -> Result<(), Bad> {
    let kind = part.get("type").and_then(Value::as_str).unwrap_or_default();
    match kind {
        "text" | "input_text" | "refusal" | "input_audio" => Ok(()),
        "image_url" => {
            let image = &part["image_url"];
            let address = image.as_str().or_else(|| image["url"].as_str());
            match address {
                Some(address) if address.starts_with("data:") => Ok(()),
                _ => Err(bad(
                    "an image must be in the request, as a data: address; nothing is fetched",
                )),
            }
        }
        _ => Err(bad(
            "a part of a message must be text, image_url or input_audio",
        )),
    }
}

/// Ollama's images are base64, which has no colon and does not begin like a path.
fn check_images(images: &Value) -> Result<(), Bad> {
    let is_base64 = |image: &Value| {
        image.as_str().is_some_and(|text| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"+/=\r\n-_".contains(&byte))
                && !text.starts_with('/') | (text.len() > 256)
        })
    };
    match images {
        Value::Null => Ok(()),
        Value::Array(images) if images.iter().all(is_base64) => Ok(()),
        _ => Err(bad("images must be a list of base64 strings")),
    }
}

fn bad(words: impl Into<String>) -> Bad {
    Bad(words.into())
}
