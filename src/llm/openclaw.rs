//! An OpenClaw gateway as the agent behind the voice: its HTTP endpoint, which is off until its owner switches it on.
//!
//! Edge: called from the agent's task. OpenClaw keeps the conversation itself, by the `user` that is named: only the newest
//! words of the user are sent, no prompt and no history of ours. Its tools run on its side, so long silences are normal, and
//! a reply may begin with a line of directions for a voice, which is not for saying. Leaving (dropping the stream) cancels
//! the agent's run, which is what a barge-in needs. Markdown is taken out where all replies pass, before they are said.

use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::http::{Http, SetupError, Timeouts};
use super::openai::{Flavour, OpenAi, OpenAiDecoder, OpenAiSettings, read_key};
use super::{BackendInfo, ChatRequest, Delta, DeltaStream, LlmBackend, LlmError, Role, Usage};

/// Where OpenClaw is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenClawSettings {
    /// Address of its gateway (`agent.openclaw.url`), as a rule `http://127.0.0.1:18789`.
    pub url: String,
    /// A file that holds its token (`agent.openclaw.token_file`): it is full power over that gateway.
    pub token_file: Option<PathBuf>,
    /// The name of our conversation there: the same one goes on over restarts.
    pub session: String,
    /// Limits of waiting; the silence is replaced by [`LONG_SILENCE`] where it is shorter.
    pub timeouts: Timeouts,
}

/// How long OpenClaw may say nothing: its tools run meanwhile, a search or a build takes minutes.
pub const LONG_SILENCE: Duration = Duration::from_secs(300);

/// The agent that is asked: the one that its owner calls the default.
const AGENT: &str = "openclaw/default";

/// A running OpenClaw gateway.
#[derive(Debug)]
pub struct OpenClaw {
    http: Http,
    session: String,
    /// The same address in the dialect's own words, for what a refusal means.
    dialect: OpenAi,
}

impl OpenClaw {
    /// Prepares a client and reads the token file; sends nothing.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(settings: OpenClawSettings) -> Result<Self, SetupError> {
        let key = settings.token_file.clone().map(read_key).transpose()?;
        let base = settings.url.trim_end_matches('/');
        let base = if base.ends_with("/v1") {
            base.to_owned()
        } else {
            format!("{base}/v1")
        };
        let timeouts = Timeouts {
            first_byte: settings.timeouts.first_byte.max(LONG_SILENCE),
            silence: settings.timeouts.silence.max(LONG_SILENCE),
            ..settings.timeouts
        };
        let dialect = OpenAi::new(OpenAiSettings {
            flavour: Flavour::Compatible,
            model: Some(AGENT.to_owned()),
            key_file: settings.token_file,
            timeouts,
            url: base.clone(),
        })?;
        Ok(Self {
            http: Http::new(&base, timeouts, key.as_ref())?,
            session: settings.session,
            dialect,
        })
    }

    async fn start(&self, request: ChatRequest) -> Result<DeltaStream, LlmError> {
        let newest = request
            .messages
            .iter()
            .rev()
            .find(|message| message.role == Role::User);
        let words = newest.map(|message| message.content.as_str());
        let body = json!({
            "model": AGENT,
            "user": self.session,
            "stream": true,
            "stream_options": {"include_usage": true},
            "messages": [{"role": "user", "content": words.unwrap_or_default()}],
        });
        let body = serde_json::to_vec(&body).expect("strings serialise");
        match self.http.post("/chat/completions", body).await? {
            Ok(response) => {
                self.dialect.check_kind(&response)?;
                let deltas = self
                    .http
                    .deltas(response, Box::new(OpenAiDecoder::default()));
                Ok(Box::pin(WithoutDirective {
                    deltas,
                    held: Some(String::new()),
                    next: None,
                }))
            }
            Err(refusal) if matches!(refusal.status, 404 | 405) => Err(LlmError::Refused {
                status: refusal.status,
                message: "its HTTP endpoint is off; set gateway.http.endpoints.chatCompletions.enabled to true in openclaw.json"
                    .to_owned(),
            }),
            Err(refusal) if matches!(refusal.status, 401 | 403) => Err(LlmError::Refused {
                status: refusal.status,
                message: "it does not accept the token; see agent.openclaw.token_file".to_owned(),
            }),
            Err(refusal) => Err(self.dialect.refused(&refusal)),
        }
    }
}

impl LlmBackend for OpenClaw {
    fn info(&self) -> BackendInfo {
        BackendInfo {
            name: "openclaw",
            url: self.http.base().to_owned(),
            model: Some(AGENT.to_owned()),
        }
    }

    fn chat(&self, request: ChatRequest) -> BoxFuture<'_, Result<DeltaStream, LlmError>> {
        Box::pin(self.start(request))
    }

    fn reachable(&self) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            let models = format!("{}/models", self.http.base());
            self.http.get(&models).await.is_ok()
        })
    }

    /// There is nothing to warm: the agent's prompt is its own, and a question would be a turn of the conversation.
    fn warm(&self, _request: ChatRequest) -> BoxFuture<'_, Result<Usage, LlmError>> {
        Box::pin(async { Ok(Usage::default()) })
    }
}

/// A reply without the line of directions for a voice, with which it may begin.
struct WithoutDirective {
    deltas: DeltaStream,
    /// The reply's beginning while it may still be a directive; `None` once that is decided.
    held: Option<String>,
    /// Given out after the text that was held.
    next: Option<Result<Delta, LlmError>>,
}

impl WithoutDirective {
    /// Takes a delta; `None` while more is needed.
    fn take(&mut self, delta: Result<Delta, LlmError>) -> Option<Result<Delta, LlmError>> {
        let Some(held) = &mut self.held else {
            return Some(delta);
        };
        match delta {
            Ok(Delta::Text(text)) => {
                held.push_str(&text);
                let text = decide(held)?;
                self.held = None;
                (!text.is_empty()).then_some(Ok(Delta::Text(text)))
            }
            Ok(sign @ (Delta::Reasoning(_) | Delta::Prefill { .. })) => Some(Ok(sign)),
            // The end, an error or a call: what was held is text unless all of it was a directive.
            other => {
                let held = self.held.take().unwrap_or_default();
                if held.is_empty() || is_directive(held.trim()) {
                    return Some(other);
                }
                self.next = Some(other);
                Some(Ok(Delta::Text(held)))
            }
        }
    }
}

impl Stream for WithoutDirective {
    type Item = Result<Delta, LlmError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(next) = self.next.take() {
            return Poll::Ready(Some(next));
        }
        loop {
            let Poll::Ready(delta) = self.deltas.as_mut().poll_next(context) else {
                return Poll::Pending;
            };
            let Some(delta) = delta else {
                return Poll::Ready(None);
            };
            if let Some(out) = self.take(delta) {
                return Poll::Ready(Some(out));
            }
        }
    }
}

/// What of a reply's beginning is text; `None` while its first line is not whole and may be a directive.
fn decide(held: &str) -> Option<String> {
    let begun = held.trim_start();
    if begun.is_empty() {
        return None;
    }
    if !begun.starts_with('{') {
        return Some(held.to_owned());
    }
    match begun.split_once('\n') {
        Some((line, rest)) if is_directive(line.trim()) => Some(rest.trim_start().to_owned()),
        Some(_) => Some(held.to_owned()),
        None if held.len() > LONGEST_DIRECTIVE => Some(held.to_owned()),
        None => None,
    }
}

/// A JSON object that speaks of a voice.
fn is_directive(line: &str) -> bool {
    const KEYS: [&str; 9] = [
        "voice", "voiceId", "voice_id", "once", "rate", "speed", "model", "lang", "language",
    ];
    match serde_json::from_str(line) {
        Ok(Value::Object(map)) => {
            !map.is_empty() && map.keys().any(|key| KEYS.contains(&key.as_str()))
        }
        _ => false,
    }
}

/// A directive longer than this is none.
const LONGEST_DIRECTIVE: usize = 1_024;

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::super::FinishReason;
    use super::*;

    async fn said(pieces: &[&str]) -> String {
        let done = Delta::Done {
            reason: FinishReason::Stop,
            usage: Usage::default(),
        };
        let deltas: Vec<Result<Delta, LlmError>> = pieces
            .iter()
            .map(|piece| Ok(Delta::Text((*piece).to_owned())))
            .chain([Ok(done)])
            .collect();
        let stream = WithoutDirective {
            deltas: Box::pin(futures_util::stream::iter(deltas)),
            held: Some(String::new()),
            next: None,
        };
        let all: Vec<_> = stream.collect().await;
        assert!(
            matches!(all.last(), Some(Ok(Delta::Done { .. }))),
            "{all:?}"
        );
        all.into_iter()
            .filter_map(|delta| match delta {
                Ok(Delta::Text(text)) => Some(text),
                _ => None,
            })
            .collect()
    }

    #[tokio::test]
    async fn the_line_for_the_voice_is_not_said_however_it_is_cut() {
        let text = "{\"voice\":\"Samantha\",\"once\":true}\nHello there.";
        for cut in 0..=text.len() {
            assert_eq!(
                said(&[&text[..cut], &text[cut..]]).await,
                "Hello there.",
                "cut at {cut}"
            );
        }
        assert_eq!(said(&["{\"once\":true}"]).await, "");
    }

    #[tokio::test]
    async fn everything_else_is_said() {
        assert_eq!(said(&["Hello", " there."]).await, "Hello there.");
        assert_eq!(
            said(&["{\"answer\": 42}\n", "is JSON"]).await,
            "{\"answer\": 42}\nis JSON"
        );
        assert_eq!(said(&["{curly} ", "words"]).await, "{curly} words");
        assert_eq!(said(&[]).await, "");
    }
}
