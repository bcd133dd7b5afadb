//! A backend as the gateway sees it: requests that keep every field of a client, replies as the backend's own events.
//!
//! Edge: called from the gateway's tasks. [`super::LlmBackend`] is for our own turns and knows only what they need; clients
//! of the gateway send sampling parameters, tools and formats that it has no words for. Here a request stays JSON, and only
//! what is ours is overwritten ([`Upstream::own`]): the model (another name unloads the resident one), the context's size
//! and how long the model stays. Promises: every request is streamed; a reply ends in [`Event::Done`] only with the
//! dialect's end marker, else in an error; every wait is bounded; dropping a reply closes the connection.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::{Sleep, sleep};

use super::backends::LlmSettings;
use super::decode::{error_message, inner_message, is_too_long};
use super::dialect::Dialect;
use super::http::{Http, Refusal, SetupError};
use super::ndjson::NdjsonParser;
use super::ollama::Ollama;
use super::openai::{Flavour, OpenAi, OpenAiSettings};
use super::sse::{SseEvent, SseParser};
use super::wire::Answer;
use super::{BackendInfo, LlmBackend, LlmError};

/// See the module.
#[derive(Debug)]
pub struct Upstream {
    server: Server,
}

#[derive(Debug)]
enum Server {
    Ollama(Ollama),
    OpenAi(OpenAi),
}

impl Upstream {
    /// Makes the backend `name`, a row of [`super::BACKENDS`]; sends nothing.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn open(name: &str, settings: &LlmSettings) -> Result<Self, SetupError> {
        let openai = |flavour, settings: OpenAiSettings| {
            OpenAi::new(OpenAiSettings {
                flavour,
                ..settings
            })
            .map(Server::OpenAi)
        };
        let server = match name {
            "ollama" => Server::Ollama(Ollama::new(settings.ollama.clone())?),
            "mlx" => openai(Flavour::Mlx, settings.mlx.clone())?,
            _ => {
                let remote = settings.openai.clone();
                let remote = remote.ok_or(SetupError::NoUrl { backend: "openai" })?;
                openai(Flavour::Compatible, remote)?
            }
        };
        Ok(Self { server })
    }

    /// Its kind, address and model.
    #[must_use]
    pub fn info(&self) -> BackendInfo {
        match &self.server {
            Server::Ollama(ollama) => ollama.info(),
            Server::OpenAi(openai) => openai.info(),
        }
    }

    /// Its language.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        match &self.server {
            Server::Ollama(_) => Dialect::Ollama,
            Server::OpenAi(_) => Dialect::OpenAi,
        }
    }

    /// Overwrites what is not the client's to choose: the model, its context and its stay. Takes away what could load
    /// something else or name a file, and every `null`, which mlx_lm.server refuses where the field may be absent.
    ///
    /// # Errors
    /// No model can be found.
    pub async fn own(&self, body: &mut Map<String, Value>) -> Result<(), LlmError> {
        body.retain(|_, value| !value.is_null());
        for key in [
            "adapters",
            "draft_model",
            "num_draft_tokens",
            "role_mapping",
        ] {
            body.shift_remove(key);
        }
        match &self.server {
            Server::Ollama(ollama) => {
                body.insert("model".to_owned(), json!(ollama.model().await?));
                ollama.own(body);
            }
            Server::OpenAi(openai) => {
                match openai.model().await {
                    Some(model) => drop(body.insert("model".to_owned(), json!(model))),
                    None => drop(body.shift_remove("model")),
                }
                if openai.is_strict() && has_default_thinking(body) {
                    body.shift_remove(TEMPLATE_ARGUMENTS);
                }
            }
        }
        Ok(())
    }

    /// The model that answers, where that is known or can be found out in a moment.
    pub async fn resident_model(&self) -> Option<String> {
        match &self.server {
            Server::Ollama(ollama) => ollama.model().await.ok(),
            Server::OpenAi(openai) => openai.model().await,
        }
    }

    /// The size of the context that every request gets, in tokens, where it is ours to set.
    #[must_use]
    pub fn context(&self) -> Option<u32> {
        match &self.server {
            Server::Ollama(ollama) => Some(ollama.num_ctx()),
            Server::OpenAi(_) => None,
        }
    }

    /// What Ollama tells about its model.
    pub async fn show(&self) -> Option<Value> {
        let Server::Ollama(ollama) = &self.server else {
            return None;
        };
        let mut body = Map::new();
        body.insert("model".to_owned(), json!(ollama.model().await.ok()?));
        self.whole("/api/show", &body).await.ok()
    }

    /// Whether a reply without a limit would be cut at the server's own small one (mlx_lm.server: 512 tokens).
    #[must_use]
    pub fn needs_limit(&self) -> bool {
        self.info().name == Flavour::Mlx.name()
    }

    /// Sends a request that streams, and waits for the head of the answer.
    ///
    /// # Errors
    /// What a refusal means, or that nobody answers.
    pub async fn stream(&self, path: &str, body: &Map<String, Value>) -> Result<Reply, LlmError> {
        let response = match self.post(path, body).await? {
            Err(refusal) if self.takes_offence(&refusal, body) => {
                let mut plain = body.clone();
                plain.shift_remove(TEMPLATE_ARGUMENTS);
                let response = self.post(path, &plain).await?;
                if let (Ok(_), Server::OpenAi(openai)) = (&response, &self.server) {
                    openai.set_strict();
                }
                response
            }
            other => other,
        };
        let response = response.map_err(|refusal| self.meaning(&refusal))?;
        if let Server::OpenAi(openai) = &self.server {
            openai.check_kind(&response)?;
        }
        let silence = self.http().timeouts().silence;
        Ok(Reply {
            body: Some(response),
            parser: match self.dialect() {
                Dialect::OpenAi => Parser::Sse(SseParser::default()),
                Dialect::Ollama => Parser::Lines(NdjsonParser::default()),
            },
            ready: VecDeque::new(),
            failed: None,
            silence,
            patience: Box::pin(sleep(silence)),
        })
    }

    /// Sends a request whose answer is one object (embeddings), of at most 64 MiB.
    ///
    /// # Errors
    /// As [`Self::stream`].
    pub async fn whole(&self, path: &str, body: &Map<String, Value>) -> Result<Value, LlmError> {
        // On a new connection: nobody asks a second time.
        let bytes = serde_json::to_vec(body).expect("JSON serialises");
        let answer = self.http().post(path, bytes).await?;
        let answer = answer.map_err(|refusal| self.meaning(&refusal))?;
        let text = self.http().whole(answer).await?;
        serde_json::from_slice(&text).map_err(|_| LlmError::Protocol {
            message: "an answer that is no JSON".to_owned(),
        })
    }

    /// A small question: the status and the body.
    ///
    /// # Errors
    /// Nobody answers in time.
    pub async fn get(&self, path: &str) -> Result<(u16, String), LlmError> {
        let http = self.http();
        http.get(&format!("{}{path}", http.base())).await
    }

    fn http(&self) -> &Http {
        match &self.server {
            Server::Ollama(ollama) => ollama.http(),
            Server::OpenAi(openai) => openai.http(),
        }
    }

    async fn post(
        &self,
        path: &str,
        body: &Map<String, Value>,
    ) -> Result<Result<Answer, Refusal>, LlmError> {
        let bytes = serde_json::to_vec(body).expect("JSON serialises");
        self.http().post_again(path, bytes).await
    }

    fn meaning(&self, refusal: &Refusal) -> LlmError {
        match &self.server {
            Server::Ollama(ollama) => ollama.refused(refusal),
            Server::OpenAi(openai) => openai.refused(refusal),
        }
    }

    /// Whether the field by which we ask for no thinking may be why a strict server refuses.
    fn takes_offence(&self, refusal: &Refusal, body: &Map<String, Value>) -> bool {
        matches!(refusal.status, 400 | 422)
            && matches!(self.server, Server::OpenAi(_))
            && has_default_thinking(body)
            && !matches!(self.meaning(refusal), LlmError::TooLong { .. })
    }
}

/// Arguments of the chat template, among them whether to think.
const TEMPLATE_ARGUMENTS: &str = "chat_template_kwargs";

/// Whether the request says no more to the template than what we say of ourselves.
fn has_default_thinking(body: &Map<String, Value>) -> bool {
    body.get(TEMPLATE_ARGUMENTS) == Some(&json!({"enable_thinking": false}))
}

/// One thing in a reply.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A comment: mlx_lm.server's progress, or only a sign of life.
    Comment(String),
    /// An event of the dialect that is no error.
    Json(Value),
    /// The end marker. Nothing follows.
    Done,
}

enum Parser {
    Sse(SseParser),
    Lines(NdjsonParser),
}

/// A reply that has begun; dropping it frees the backend's slot.
pub struct Reply {
    body: Option<Answer>,
    parser: Parser,
    ready: VecDeque<Event>,
    failed: Option<LlmError>,
    silence: Duration,
    /// Runs out when nothing whole has come for `silence` while somebody asked.
    patience: Pin<Box<Sleep>>,
}

impl Reply {
    /// The next event. Safe to drop: nothing is lost. After [`Event::Done`] or an error it must not be called again.
    ///
    /// # Errors
    /// The backend told of an error, broke off, fell silent, or sent what its dialect does not allow.
    pub async fn next(&mut self) -> Result<Event, LlmError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                if event == Event::Done
                    && let Some(answer) = self.body.take()
                {
                    answer.done();
                }
                self.wind_up();
                return Ok(event);
            }
            if let Some(error) = self.failed.take() {
                self.body = None;
                return Err(error);
            }
            let Some(body) = self.body.as_mut() else {
                return Err(LlmError::Cut);
            };
            let read = tokio::select! {
                biased;
                read = body.chunk() => read,
                () = &mut self.patience => {
                    self.failed = Some(LlmError::Silent { seconds: self.silence.as_secs() });
                    continue;
                }
            };
            match read {
                Some(Ok(bytes)) => self.take(&bytes),
                Some(Err(_)) | None => self.end(),
            }
        }
    }

    /// Only time in which somebody waited for the backend counts.
    fn wind_up(&mut self) {
        if self.ready.is_empty() {
            self.patience.as_mut().reset(tokio_instant(self.silence));
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        let read = match &mut self.parser {
            Parser::Sse(parser) => {
                let mut events = Vec::new();
                let read = parser.push(bytes, &mut events).map_err(LlmError::from);
                events
                    .into_iter()
                    .try_for_each(|event| sse(event, &mut self.ready))
                    .and(read)
            }
            Parser::Lines(parser) => {
                let mut lines = Vec::new();
                let read = parser.push(bytes, &mut lines).map_err(LlmError::from);
                lines
                    .into_iter()
                    .try_for_each(|line| ndjson(line, &mut self.ready))
                    .and(read)
            }
        };
        // What follows the end marker is nobody's.
        if !self.ready.contains(&Event::Done) {
            self.failed = read.err();
        }
    }

    /// The body has ended: the last line may still hold the end marker, else the reply was cut.
    fn end(&mut self) {
        self.body = None;
        let read = match &mut self.parser {
            Parser::Sse(parser) => {
                let mut events = Vec::new();
                let read = parser.finish(&mut events).map_err(LlmError::from);
                events
                    .into_iter()
                    .try_for_each(|event| sse(event, &mut self.ready))
                    .and(read)
            }
            Parser::Lines(parser) => match parser.finish() {
                Some(line) => ndjson(line, &mut self.ready),
                None => Ok(()),
            },
        };
        if !self.ready.contains(&Event::Done) {
            // A last event that cannot be read was cut inside.
            self.failed = Some(match read {
                Err(error @ (LlmError::Refused { .. } | LlmError::TooLong { .. })) => error,
                _ => LlmError::Cut,
            });
        }
    }
}

fn tokio_instant(from_now: Duration) -> tokio::time::Instant {
    sleep(from_now).deadline()
}

fn sse(event: SseEvent, out: &mut VecDeque<Event>) -> Result<(), LlmError> {
    match event {
        SseEvent::Comment(text) => out.push_back(Event::Comment(text)),
        SseEvent::Data(data) if data.trim() == "[DONE]" => out.push_back(Event::Done),
        SseEvent::Data(data) if data.trim().is_empty() => {}
        SseEvent::Data(data) => {
            let value: Value = serde_json::from_str(&data).map_err(|_| LlmError::Protocol {
                message: "an event that is no JSON".to_owned(),
            })?;
            out.push_back(json_event(value, error_message)?);
        }
    }
    Ok(())
}

fn ndjson(line: Value, out: &mut VecDeque<Event>) -> Result<(), LlmError> {
    let done = line.get("done") == Some(&Value::Bool(true));
    out.push_back(json_event(line, inner_message)?);
    if done {
        out.push_back(Event::Done);
    }
    Ok(())
}

fn json_event(value: Value, words: fn(&Value) -> String) -> Result<Event, LlmError> {
    let Some(error) = value.get("error").filter(|error| !error.is_null()) else {
        return Ok(Event::Json(value));
    };
    let message = words(error);
    Err(if is_too_long(error) {
        LlmError::TooLong { message }
    } else {
        LlmError::Refused {
            status: 200,
            message,
        }
    })
}
