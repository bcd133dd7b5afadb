//! Ollama by its native dialect, `/api/chat`: its OpenAI layer loses errors in the middle of a stream, and cannot set the
//! context or keep the model resident.
//!
//! Edge: called from the agent's task. Every request says `think:false`, `options.num_ctx` and `keep_alive`, with the same
//! values each time: another `num_ctx` makes Ollama load the model again, and any request's `keep_alive` replaces the last
//! one's. Without a configured model it takes one that is resident, else the first installed one that can chat, and stays
//! with it until Ollama says that it is gone. Leaving (dropping) while Ollama loads a model aborts the load.

mod decode;

use std::sync::Mutex;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use self::decode::OllamaDecoder;
use super::backends::read_done;
use super::decode::{arguments_object, inner_message, is_too_long};
use super::http::{Http, Refusal, SetupError, Timeouts};
use super::{
    BackendInfo, ChatRequest, DeltaStream, LlmBackend, LlmError, Message, ToolSpec, Usage,
};

/// Where Ollama is and how it is to hold the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OllamaSettings {
    /// Address of the server (`llm.ollama.url`), without `/api`.
    pub url: String,
    /// The model (`llm.ollama.model`); none: the resident one, else the first that can chat.
    pub model: Option<String>,
    /// Context in tokens (`llm.ollama.num_ctx`). Left to itself Ollama takes 262144 on large Macs, and the memory with it.
    pub num_ctx: u32,
    /// Seconds that the model stays resident after a request (`llm.ollama.keep_alive`); negative is for ever. A number, for
    /// the string `"-1"` is refused.
    pub keep_alive: i64,
    /// Limits of waiting.
    pub timeouts: Timeouts,
}

impl Default for OllamaSettings {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:11434".to_owned(),
            model: None,
            num_ctx: 16_384,
            keep_alive: -1,
            timeouts: Timeouts::default(),
        }
    }
}

/// A running Ollama.
#[derive(Debug)]
pub struct Ollama {
    http: Http,
    settings: OllamaSettings,
    /// The model that was chosen because none is configured. Never held across an await.
    chosen: Mutex<Option<String>>,
}

impl Ollama {
    /// Prepares a client; sends nothing.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(settings: OllamaSettings) -> Result<Self, SetupError> {
        let base = settings.url.trim_end_matches('/');
        let base = base
            .strip_suffix("/v1")
            .or_else(|| base.strip_suffix("/api"))
            .unwrap_or(base);
        let http = Http::new(base, settings.timeouts, None)?;
        Ok(Self {
            http,
            settings,
            chosen: Mutex::new(None),
        })
    }

    /// The chat model that is resident now, if any: what a request would not have to load.
    ///
    /// # Errors
    /// [`LlmError`]; [`LlmError::Loading`] when Ollama does not answer the question in time, for it answers it only after a
    /// load that is under way.
    pub async fn resident(&self) -> Result<Option<String>, LlmError> {
        let (installed, resident) = tokio::join!(self.list("tags"), self.list("ps"));
        let resident = resident.map_err(|error| match error {
            LlmError::Silent { .. } => LlmError::Loading,
            other => other,
        })?;
        let installed = installed?;
        let can_chat = |name: &str| {
            installed
                .iter()
                .any(|entry| entry.name == name && entry.can_chat())
        };
        Ok(resident
            .into_iter()
            .map(|entry| entry.name)
            .find(|name| can_chat(name)))
    }

    /// The installed models that can chat, in Ollama's order: the newest first.
    ///
    /// # Errors
    /// [`LlmError`].
    pub async fn installed(&self) -> Result<Vec<String>, LlmError> {
        let installed = self.list("tags").await?;
        let chat = installed.into_iter().filter(Entry::can_chat);
        Ok(chat.map(|entry| entry.name).collect())
    }

    /// Its version, where it answers.
    pub async fn version(&self) -> Option<String> {
        let address = format!("{}/api/version", self.http.base());
        let (_, body) = self.http.get(&address).await.ok()?;
        let answer: Value = serde_json::from_str(&body).ok()?;
        Some(answer.get("version")?.as_str()?.to_owned())
    }

    /// The HTTP under it.
    pub(super) fn http(&self) -> &Http {
        &self.http
    }

    /// What a refusal of a request that we did not write means; a model that is gone is chosen anew.
    pub(super) fn refused(&self, refusal: &Refusal) -> LlmError {
        let error = meaning(refusal, &self.known_model().unwrap_or_default());
        if matches!(error, LlmError::NoModel { .. }) {
            *self.lock() = None;
        }
        error
    }

    /// Sets the context and the stay of a request that we did not write, and takes away the options that would load the
    /// model again.
    pub(super) fn own(&self, body: &mut serde_json::Map<String, Value>) {
        body.insert("keep_alive".to_owned(), json!(self.settings.keep_alive));
        let mut options = match body.shift_remove("options") {
            Some(Value::Object(options)) => options,
            _ => serde_json::Map::new(),
        };
        for key in LOAD_TIME_OPTIONS {
            options.shift_remove(*key);
        }
        options.insert("num_ctx".to_owned(), json!(self.settings.num_ctx));
        body.insert("options".to_owned(), Value::Object(options));
        // `shift` is a flag of the child: another value costs a reload.
        body.shift_remove("shift");
    }

    /// The size of the context that every request gets, in tokens.
    #[must_use]
    pub fn num_ctx(&self) -> u32 {
        self.settings.num_ctx
    }

    /// Everything that is loaded now, chat models or not.
    ///
    /// # Errors
    /// [`LlmError`].
    pub async fn loaded(&self) -> Result<Vec<String>, LlmError> {
        let resident = self.list("ps").await?;
        Ok(resident.into_iter().map(|entry| entry.name).collect())
    }

    /// Asks for every loaded model to be unloaded and tells how many bytes they have by Ollama's count. The memory comes
    /// back later, once running requests have ended: look at [`Self::loaded`] and at the process.
    ///
    /// # Errors
    /// [`LlmError`].
    pub async fn unload_all(&self) -> Result<u64, LlmError> {
        let resident = self.list("ps").await?;
        for entry in &resident {
            let body =
                json!({ "model": entry.name, "messages": [], "keep_alive": 0, "stream": false });
            let answer = self
                .http
                .post("/api/chat", body.to_string().into_bytes())
                .await?;
            if let Err(refusal) = answer {
                return Err(meaning(&refusal, &entry.name));
            }
        }
        Ok(resident.iter().map(|entry| entry.size).sum())
    }

    /// The model of the next request.
    pub(super) async fn model(&self) -> Result<String, LlmError> {
        if let Some(model) = self.known_model() {
            return Ok(model);
        }
        let model = match self.resident().await? {
            Some(model) => model,
            None => self.first_installed().await?,
        };
        tracing::info!(model, "chose a model of ollama");
        *self.lock() = Some(model.clone());
        Ok(model)
    }

    async fn first_installed(&self) -> Result<String, LlmError> {
        let installed = self.list("tags").await?;
        installed
            .into_iter()
            .find(Entry::can_chat)
            .map(|entry| entry.name)
            .ok_or_else(|| LlmError::NoModel {
                model: "any".to_owned(),
                message: "none is installed that can chat; `ollama pull` one".to_owned(),
            })
    }

    fn known_model(&self) -> Option<String> {
        self.settings.model.clone().or_else(|| self.lock().clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.chosen
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn list(&self, what: &str) -> Result<Vec<Entry>, LlmError> {
        let (status, body) = self
            .http
            .get(&format!("{}/api/{what}", self.http.base()))
            .await?;
        let list: Entries = serde_json::from_str(&body).map_err(|_| LlmError::Protocol {
            message: format!("/api/{what} answered with status {status} and no list of models"),
        })?;
        Ok(list.models)
    }

    async fn start(&self, request: ChatRequest) -> Result<DeltaStream, LlmError> {
        let model = self.model().await?;
        let body = serde_json::to_vec(&self.body(&model, &request))
            .expect("strings and numbers serialise");
        match self.http.post("/api/chat", body).await? {
            Ok(response) => Ok(self
                .http
                .deltas(response, Box::new(OllamaDecoder::default()))),
            Err(refusal) => {
                let error = meaning(&refusal, &model);
                if matches!(error, LlmError::NoModel { .. }) {
                    *self.lock() = None;
                }
                Err(error)
            }
        }
    }

    fn body<'a>(&self, model: &'a str, request: &'a ChatRequest) -> Body<'a> {
        Body {
            model,
            messages: request.messages.iter().map(message).collect(),
            tools: request.tools.iter().map(tool).collect(),
            stream: true,
            think: false,
            keep_alive: self.settings.keep_alive,
            options: Options {
                num_ctx: self.settings.num_ctx,
                num_predict: request.max_tokens,
                temperature: request.temperature,
            },
        }
    }
}

impl LlmBackend for Ollama {
    fn info(&self) -> BackendInfo {
        BackendInfo {
            name: "ollama",
            url: self.http.base().to_owned(),
            model: self.known_model(),
        }
    }

    fn chat(&self, request: ChatRequest) -> BoxFuture<'_, Result<DeltaStream, LlmError>> {
        Box::pin(self.start(request))
    }

    fn reachable(&self) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            self.http
                .get(&format!("{}/api/version", self.http.base()))
                .await
                .is_ok_and(|(status, _)| status == 200)
        })
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

/// What an answer other than 200 means.
fn meaning(refusal: &Refusal, model: &str) -> LlmError {
    let json = serde_json::from_str::<Value>(&refusal.body).ok();
    let error = json.as_ref().and_then(|json| json.get("error"));
    let message = error.map_or_else(
        || refusal.body.trim().chars().take(300).collect(),
        inner_message,
    );
    match refusal.status {
        404 if error.is_some() => LlmError::NoModel {
            model: model.to_owned(),
            message,
        },
        // Its MLX engine tells of a long prompt in words only: "input length (N tokens) exceeds the model's maximum context length".
        400 if error.is_some_and(is_too_long) || message.contains("maximum context length") => {
            LlmError::TooLong { message }
        }
        403 if message.is_empty() => LlmError::Refused {
            status: 403,
            message: "it does not accept this host name; use an IP address in llm.ollama.url"
                .to_owned(),
        },
        429 | 502..=504 => LlmError::Busy { message },
        status => LlmError::Refused { status, message },
    }
}

/// A history message in Ollama's shape: a call's arguments are an object, a tool's message names its tool.
fn message(message: &Message) -> Value {
    let mut out = json!({ "role": message.role, "content": message.content });
    if !message.tool_calls.is_empty() {
        out["tool_calls"] = message
            .tool_calls
            .iter()
            .map(|call| json!({ "id": call.id, "function": { "name": call.name, "arguments": arguments_object(&call.arguments) } }))
            .collect();
    }
    if let Some(name) = &message.tool_name {
        out["tool_name"] = json!(name);
    }
    if let Some(id) = &message.tool_call_id {
        out["tool_call_id"] = json!(id);
    }
    out
}

/// A tool in the shape that both dialects share.
pub(super) fn tool(tool: &ToolSpec) -> Value {
    json!({ "type": "function", "function": {
        "name": tool.name, "description": tool.description, "parameters": tool.parameters,
    } })
}

/// Options that are a model's at load time: another value than the last one loads it again.
const LOAD_TIME_OPTIONS: &[&str] = &[
    "num_ctx",
    "num_batch",
    "num_gpu",
    "main_gpu",
    "use_mmap",
    "use_mlock",
    "num_thread",
    "draft_num_predict",
    "numa",
    "low_vram",
];

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Value>,
    stream: bool,
    think: bool,
    keep_alive: i64,
    options: Options,
}

#[derive(Serialize)]
struct Options {
    num_ctx: u32,
    num_predict: u32,
    temperature: f32,
}

#[derive(Deserialize)]
struct Entries {
    models: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    #[serde(default)]
    capabilities: Vec<String>,
    #[serde(default)]
    remote_host: String,
    /// Bytes: on the disk in one list, in memory in the other.
    #[serde(default)]
    size: u64,
}

impl Entry {
    /// Runs on this machine and completes text. Old versions list no capabilities; there an embedding model must not be the
    /// first one installed.
    fn can_chat(&self) -> bool {
        self.remote_host.is_empty()
            && (self.capabilities.is_empty()
                || self.capabilities.iter().any(|what| what == "completion"))
    }
}
