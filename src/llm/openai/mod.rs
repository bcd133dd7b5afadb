//! The OpenAI dialect by base address: mlx_lm.server, and llama-server, LM Studio, vLLM or a remote service as `openai`.
//!
//! Edge: called from the agent's task. What differs between servers is a [`Flavour`]:
//! - **mlx**: the model is always `default_model`, unless one is forced. mlx_lm.server unloads its resident model *before* it
//!   looks for the one that is named, so a wrong name costs the next request a load from the disk.
//! - **openai**: the model is the configured one, else the first that `/models` lists, else it is left away.
//!
//! Both ask the chat template not to think (`chat_template_kwargs`). A strict server refuses a field that it does not know
//! with 400 or 422; then the request is sent once more without it, and if that is accepted, the field stays away until the
//! end of the process. (A refusal for another reason is refused again the same way; that costs one short round trip.)

mod decode;

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::BoxFuture;
use reqwest::Url;
use serde::Serialize;
use serde_json::{Value, json};

pub use self::decode::OpenAiDecoder;
use super::backends::read_done;
use super::decode::{arguments_object, error_message, is_too_long};
use super::http::{Http, Refusal, SetupError, Timeouts, refusal};
use super::ollama::tool;
use super::wire::Answer;
use super::{BackendInfo, ChatRequest, DeltaStream, LlmBackend, LlmError, Message, Usage};
use crate::private::Private;

/// Which server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// mlx_lm.server.
    Mlx,
    /// Any other.
    Compatible,
}

impl Flavour {
    /// The backend's name in the configuration and in receipts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mlx => "mlx",
            Self::Compatible => "openai",
        }
    }
}

/// Where the server is and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenAiSettings {
    /// Which server it is.
    pub flavour: Flavour,
    /// Base address, as a rule ending in `/v1`; an address without any path gets it.
    pub url: String,
    /// The model to name. For mlx leave it out: a name other than that of the resident model evicts that one. (The key
    /// `llm.mlx.model` says what Hark *starts* the server with; it does not belong here.)
    pub model: Option<String>,
    /// A file that holds the key (`llm.openai.key_file`), sent as a bearer token; read once, when the backend is made.
    pub key_file: Option<PathBuf>,
    /// Limits of waiting.
    pub timeouts: Timeouts,
}

impl OpenAiSettings {
    /// mlx_lm.server at its usual address.
    #[must_use]
    pub fn mlx() -> Self {
        Self {
            flavour: Flavour::Mlx,
            url: "http://127.0.0.1:8080/v1".to_owned(),
            model: None,
            key_file: None,
            timeouts: Timeouts::default(),
        }
    }

    /// Another server at `url`.
    #[must_use]
    pub fn compatible(url: impl Into<String>) -> Self {
        Self {
            flavour: Flavour::Compatible,
            url: url.into(),
            ..Self::mlx()
        }
    }
}

/// A running server of this dialect.
#[derive(Debug)]
pub struct OpenAi {
    http: Http,
    flavour: Flavour,
    model: Option<String>,
    /// The first model that the server lists, when none is configured. Never held across an await.
    listed: Mutex<Option<String>>,
    /// The server refused `chat_template_kwargs` and took the same request without it.
    strict: AtomicBool,
}

impl OpenAi {
    /// Prepares a client and reads the key file; sends nothing.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(settings: OpenAiSettings) -> Result<Self, SetupError> {
        let base = base_address(&settings.url);
        let key = settings.key_file.map(read_key).transpose()?;
        if key.is_some() && is_plain_and_remote(&base) {
            tracing::warn!(
                url = base,
                "the key of llm.openai.key_file travels unencrypted; use https"
            );
        }
        Ok(Self {
            http: Http::new(&base, settings.timeouts, key.as_ref())?,
            flavour: settings.flavour,
            model: settings.model,
            listed: Mutex::new(None),
            strict: AtomicBool::new(false),
        })
    }

    /// The HTTP under it.
    pub(super) fn http(&self) -> &Http {
        &self.http
    }

    /// Whether the server refuses `chat_template_kwargs`.
    pub(super) fn is_strict(&self) -> bool {
        self.strict.load(Ordering::Relaxed)
    }

    /// It took a request without `chat_template_kwargs` that it had refused with them.
    pub(super) fn set_strict(&self) {
        self.strict.store(true, Ordering::Relaxed);
    }

    /// What a refusal of a request that we did not write means.
    pub(super) fn refused(&self, refusal: &Refusal) -> LlmError {
        self.meaning(refusal, None)
    }

    /// A 200 that is a page or a single object is no stream of this dialect.
    pub(super) fn check_kind(&self, response: &Answer) -> Result<(), LlmError> {
        match kind(response) {
            Some(kind) => Err(LlmError::Protocol {
                message: format!("{kind} instead of an event stream"),
            }),
            None => Ok(()),
        }
    }

    /// The model to name in the next request.
    pub(super) async fn model(&self) -> Option<String> {
        if self.model.is_some() {
            return self.model.clone();
        }
        if self.flavour == Flavour::Mlx {
            return Some("default_model".to_owned());
        }
        if self.lock().is_none() {
            let listed = self.first_listed().await;
            *self.lock() = listed;
        }
        self.lock().clone()
    }

    /// Servers without a list take requests without a name, so a failure is no error here.
    pub(super) async fn first_listed(&self) -> Option<String> {
        let (_, body) = self
            .http
            .get(&format!("{}/models", self.http.base()))
            .await
            .ok()?;
        let list: Value = serde_json::from_str(&body).ok()?;
        Some(list.get("data")?.get(0)?.get("id")?.as_str()?.to_owned())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.listed
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn start(&self, request: ChatRequest) -> Result<DeltaStream, LlmError> {
        let model = self.model().await;
        let polite = !self.strict.load(Ordering::Relaxed);
        let mut answer = self.post(model.as_deref(), &request, polite).await?;
        if let Err(refusal) = &answer
            && polite
            && matches!(refusal.status, 400 | 422)
            && !error_of(refusal).as_ref().is_some_and(is_too_long)
        {
            answer = self.post(model.as_deref(), &request, false).await?;
            if answer.is_ok() {
                tracing::info!(
                    url = self.http.base(),
                    "the server refuses chat_template_kwargs; it is left away from now on"
                );
                self.strict.store(true, Ordering::Relaxed);
            }
        }
        match answer {
            Ok(response) => self.stream(response, model).await,
            Err(refusal) => Err(self.meaning(&refusal, model)),
        }
    }

    async fn post(
        &self,
        model: Option<&str>,
        request: &ChatRequest,
        polite: bool,
    ) -> Result<Result<Answer, Refusal>, LlmError> {
        let body = Body {
            model,
            messages: request.messages.iter().map(message).collect(),
            tools: request.tools.iter().map(tool).collect(),
            stream: true,
            stream_options: StreamOptions {
                include_usage: true,
            },
            max_tokens: request.max_tokens,
            temperature: request.temperature,
            chat_template_kwargs: polite.then_some(TemplateArguments {
                enable_thinking: false,
            }),
        };
        let body = serde_json::to_vec(&body).expect("strings and numbers serialise");
        self.http.post("/chat/completions", body).await
    }

    /// A 200 that is a page or a single object is no stream of this dialect.
    async fn stream(
        &self,
        response: Answer,
        model: Option<String>,
    ) -> Result<DeltaStream, LlmError> {
        if let Some(kind) = kind(&response) {
            let message = format!("{kind} instead of an event stream");
            let refusal = refusal(response, self.http.timeouts().probe).await;
            return Err(match error_of(&refusal) {
                Some(_) => self.meaning(&refusal, model),
                None => LlmError::Protocol { message },
            });
        }
        Ok(self
            .http
            .deltas(response, Box::new(OpenAiDecoder::default())))
    }

    /// What an answer other than a stream means.
    fn meaning(&self, refusal: &Refusal, model: Option<String>) -> LlmError {
        let error = error_of(refusal);
        let message = error.as_ref().map_or_else(
            || refusal.body.trim().chars().take(300).collect(),
            error_message,
        );
        let says = |key: &str, value: Value| {
            error
                .as_ref()
                .is_some_and(|error| error.get(key) == Some(&value))
        };
        // 404 has many meanings. mlx_lm.server uses it for whatever fails before the first token, so there it is about the
        // model only when one was named; llama-server uses it, with the number in `code`, for an unknown path.
        let named = match self.flavour {
            Flavour::Mlx => self.model.is_some(),
            Flavour::Compatible => !says("code", json!(404)),
        };
        match (refusal.status, model) {
            (404, Some(model)) if error.is_some() && named => LlmError::NoModel { model, message },
            (400..=499, _) if error.as_ref().is_some_and(is_too_long) => {
                LlmError::TooLong { message }
            }
            (503, _) if says("type", json!("unavailable_error")) => LlmError::Loading,
            (429 | 502..=504, _) => LlmError::Busy { message },
            (status, _) => LlmError::Refused { status, message },
        }
    }

    /// Where a quick question goes: mlx_lm.server's list of models reads folders and can take a second, its health does not.
    fn probe_address(&self) -> String {
        let base = self.http.base();
        match self.flavour {
            Flavour::Mlx => format!("{}/health", base.strip_suffix("/v1").unwrap_or(base)),
            Flavour::Compatible => format!("{base}/models"),
        }
    }

    /// Whether anything answers the quick question, and if not, why.
    pub(super) async fn probe(&self) -> Result<(), LlmError> {
        self.http.get(&self.probe_address()).await.map(drop)
    }

    /// Its version, where it tells: vLLM by `/version`, llama-server by `/props`. mlx_lm.server and LM Studio do not.
    pub(super) async fn version(&self) -> Option<String> {
        if self.flavour == Flavour::Mlx {
            return None;
        }
        let base = self.http.base();
        let root = base.strip_suffix("/v1").unwrap_or(base);
        let ask = |path: &str, key: &'static str| {
            let address = format!("{root}{path}");
            async move {
                let (status, body) = self.http.get(&address).await.ok()?;
                let answer: Value = serde_json::from_str(&body).ok()?;
                let told = answer.get(key)?.as_str()?;
                (status == 200).then(|| told.to_owned())
            }
        };
        let (version, build) =
            tokio::join!(ask("/version", "version"), ask("/props", "build_info"));
        version.or(build)
    }

    /// Whether what answers speaks this dialect, as far as a quick question can tell; other programs like port 8080 too.
    pub(super) async fn recognised(&self) -> bool {
        let Ok((_, body)) = self.http.get(&self.probe_address()).await else {
            return false;
        };
        let Ok(answer) = serde_json::from_str::<Value>(&body) else {
            return false;
        };
        match self.flavour {
            // mlx_lm.server and llama-server say {"status":…}; llama-server while it loads {"error":{"message":…,"code":503}}.
            Flavour::Mlx => {
                answer.get("status").is_some_and(Value::is_string)
                    || answer.pointer("/error/code").is_some()
            }
            Flavour::Compatible => answer.get("data").is_some_and(Value::is_array),
        }
    }
}

impl LlmBackend for OpenAi {
    fn info(&self) -> BackendInfo {
        let model = self.model.clone().or_else(|| self.lock().clone());
        BackendInfo {
            name: self.flavour.name(),
            url: self.http.base().to_owned(),
            model,
        }
    }

    fn chat(&self, request: ChatRequest) -> BoxFuture<'_, Result<DeltaStream, LlmError>> {
        Box::pin(self.start(request))
    }

    fn reachable(&self) -> BoxFuture<'_, bool> {
        Box::pin(async { self.http.get(&self.probe_address()).await.is_ok() })
    }

    fn warm(&self, request: ChatRequest) -> BoxFuture<'_, Result<Usage, LlmError>> {
        Box::pin(async move {
            read_done(
                self.start(ChatRequest {
                    max_tokens: 1,
                    ..request
                })
                .await?,
            )
            .await
        })
    }
}

/// The content type of an answer that is no event stream.
fn kind(response: &Answer) -> Option<String> {
    let kind = response.content_type.as_deref()?;
    (kind.starts_with("application/json") || kind.starts_with("text/html")).then(|| kind.to_owned())
}

/// The `error` of a refusal: an object, or mlx_lm.server's and llama-swap's plain string.
fn error_of(refusal: &Refusal) -> Option<Value> {
    serde_json::from_str::<Value>(&refusal.body)
        .ok()?
        .get("error")
        .cloned()
}

/// A history message in this dialect's shape: a call's arguments are a string of JSON.
fn message(message: &Message) -> Value {
    let mut out = json!({ "role": message.role, "content": message.content });
    if !message.tool_calls.is_empty() {
        out["tool_calls"] = message
            .tool_calls
            .iter()
            .map(|call| {
                json!({ "id": call.id, "type": "function", "function": {
                    "name": call.name, "arguments": arguments_object(&call.arguments).to_string(),
                } })
            })
            .collect();
    }
    if let Some(id) = &message.tool_call_id {
        out["tool_call_id"] = json!(id);
    }
    if let Some(name) = &message.tool_name {
        out["name"] = json!(name);
    }
    out
}

fn base_address(url: &str) -> String {
    let base = url.trim_end_matches('/');
    match Url::parse(base) {
        Ok(parsed) if parsed.path() == "/" => format!("{base}/v1"),
        _ => base.to_owned(),
    }
}

pub(super) fn read_key(path: PathBuf) -> Result<Private<String>, SetupError> {
    let wrong = |message: String| SetupError::Key {
        path: path.display().to_string(),
        message,
    };
    let text = std::fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
    let key = text.trim();
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong("it must hold one key and nothing else".to_owned()));
    }
    Ok(key.to_owned().into())
}

fn is_plain_and_remote(base: &str) -> bool {
    let Ok(url) = Url::parse(base) else {
        return false;
    };
    let local = match url.host_str() {
        Some("localhost") => true,
        Some(host) => host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback()),
        None => false,
    };
    url.scheme() == "http" && !local
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    messages: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Value>,
    stream: bool,
    stream_options: StreamOptions,
    max_tokens: u32,
    temperature: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    chat_template_kwargs: Option<TemplateArguments>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct TemplateArguments {
    enable_thinking: bool,
}
