//! One HTTP connection a request, bounded in time, and the pump from a body through a decoder to deltas.
//!
//! Edge: called from the agent's task on the runtime. Promises: no proxy, no redirect, no connection is used twice for a
//! voice turn (one that the server had closed would cost the turn; opening one to this machine takes well under a
//! millisecond; the gateway, which asks once more, may use one again), every wait has a limit, dropping the stream before
//! its end closes the connection, which is how every backend is told to stop. What a status or a line means is left to the
//! dialects.

use std::collections::VecDeque;
use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::unfold;
use http_body_util::Full;
use hyper::http::uri::InvalidUri;
use hyper::{Method, Request};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use tokio::time::{Sleep, sleep, timeout};

use super::decode::{Decode, Life};
use super::wire::{Answer, Broken, Failed, Near};
use super::{Delta, DeltaStream, LlmError};
use crate::private::Private;

/// How long each wait may last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the connection stands.
    pub connect: Duration,
    /// Until the answer's first byte. Minutes: while a model loads, mlx_lm.server and Ollama keep the request waiting
    /// without a byte, and 16 GB from a disk take that long.
    pub first_byte: Duration,
    /// Between two signs of life (whole events, comments, lines) of an answer that has begun.
    pub silence: Duration,
    /// For the small questions: is it there, what has it loaded.
    pub probe: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            first_byte: Duration::from_secs(180),
            silence: Duration::from_secs(30),
            probe: Duration::from_secs(1),
        }
    }
}

/// Why a backend cannot be set up; nothing has been sent. The configuration is wrong: exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The address is no http(s) URL. Correct `llm.<backend>.url`.
    #[error("{url} is not an http or https address")]
    Url {
        /// As it was written.
        url: String,
    },
    /// A backend was chosen that has no address. Set `llm.<backend>.url`.
    #[error("no address is configured for the backend {backend}")]
    NoUrl {
        /// The backend.
        backend: &'static str,
    },
    /// The key file cannot be read, or holds no usable key. Correct `llm.openai.key_file`.
    #[error("the key file {path} cannot be used: {message}")]
    Key {
        /// The file.
        path: String,
        /// Why.
        message: String,
    },
    /// https, but no provider of cryptography has been installed: a bug in Hark's start-up.
    #[error("no TLS provider is installed")]
    NoTls,
    /// The HTTP client could not be made: usually the system's certificates cannot be read.
    #[error("the HTTP client cannot be made")]
    Client(#[source] reqwest::Error),
}

/// An answer that is no stream.
#[derive(Debug)]
pub(super) struct Refusal {
    /// HTTP status, 200 when the answer is whole but no stream.
    pub status: u16,
    /// The first 64 KiB of the body.
    pub body: String,
}

/// How the server is reached.
#[derive(Debug, Clone)]
enum Way {
    Near(Near),
    Far(Client),
}

/// A client for one base address.
#[derive(Debug, Clone)]
pub(super) struct Http {
    way: Way,
    headers: HeaderMap,
    base: String,
    timeouts: Timeouts,
}

impl Http {
    /// Makes the client; sends nothing.
    pub fn new(
        base: &str,
        timeouts: Timeouts,
        key: Option<&Private<String>>,
    ) -> Result<Self, SetupError> {
        let wrong = || SetupError::Url {
            url: base.to_owned(),
        };
        let base = base.trim_end_matches('/');
        let url = Url::parse(base).map_err(|_| wrong())?;
        let headers = headers(key)?;
        let way = match Near::of(&url) {
            Some(near) => Way::Near(near),
            None => {
                let builder = Client::builder()
                    .no_proxy()
                    .redirect(Policy::none())
                    .pool_max_idle_per_host(0)
                    .tcp_nodelay(true)
                    .connect_timeout(timeouts.connect);
                let builder = match url.scheme() {
                    "http" => builder.tls_backend_preconfigured(unused_tls()),
                    "https" if rustls::crypto::CryptoProvider::get_default().is_none() => {
                        return Err(SetupError::NoTls);
                    }
                    "https" => builder,
                    _ => return Err(wrong()),
                };
                Way::Far(builder.build().map_err(SetupError::Client)?)
            }
        };
        Ok(Self {
            way,
            headers,
            base: base.to_owned(),
            timeouts,
        })
    }

    /// The base address, without a slash at its end.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The limits.
    pub fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    /// A small question: status and body, within the probe's limit. A question that outlasts it is [`LlmError::Silent`].
    pub async fn get(&self, address: &str) -> Result<(u16, String), LlmError> {
        let limit = self.timeouts.probe;
        let ask = async {
            let answer = self.ask(Method::GET, address, None, false).await?;
            Ok((answer.status, read_text(answer, limit).await))
        };
        timeout(limit, ask).await.unwrap_or(Err(LlmError::Silent {
            seconds: limit.as_secs(),
        }))
    }

    /// Sends `body` (sized: mlx_lm.server refuses chunked ones) and waits for the head of the answer.
    pub async fn post(
        &self,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Result<Answer, Refusal>, LlmError> {
        self.post_on(path, body, false).await
    }

    /// As [`Self::post`], for a caller that asks once more where a connection was lost before a byte came: it may be one
    /// that has served before.
    pub async fn post_again(
        &self,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Result<Answer, Refusal>, LlmError> {
        self.post_on(path, body, true).await
    }

    async fn post_on(
        &self,
        path: &str,
        body: Vec<u8>,
        again: bool,
    ) -> Result<Result<Answer, Refusal>, LlmError> {
        let limit = self.timeouts.first_byte;
        let address = format!("{}{path}", self.base);
        let ask = self.ask(Method::POST, &address, Some(body), again);
        let Ok(answer) = timeout(limit, ask).await else {
            return Err(LlmError::Silent {
                seconds: limit.as_secs(),
            });
        };
        let answer = answer?;
        if answer.status == 200 {
            return Ok(Ok(answer));
        }
        Ok(Err(refusal(answer, self.timeouts.probe).await))
    }

    async fn ask(
        &self,
        method: Method,
        address: &str,
        body: Option<Vec<u8>>,
        again: bool,
    ) -> Result<Answer, LlmError> {
        let mut headers = self.headers.clone();
        if body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let url = Url::parse(address).map_err(|error| self.unreachable(error))?;
        match &self.way {
            Way::Near(near) => {
                let target = match url.query() {
                    Some(query) => format!("{}?{query}", url.path()),
                    None => url.path().to_owned(),
                };
                let target = target
                    .parse()
                    .map_err(|error: InvalidUri| self.unreachable(error))?;
                let mut request = Request::new(Full::from(body.unwrap_or_default()));
                *request.method_mut() = method;
                *request.uri_mut() = target;
                *request.headers_mut() = headers;
                let answer = near.ask(request, self.timeouts.connect, again).await;
                answer.map_err(|failed| match failed {
                    Failed::Connect(error) => self.unreachable(error),
                    Failed::Http(error) => self.failed(&error),
                })
            }
            Way::Far(client) => {
                let request = client.request(method, url).headers(headers);
                let request = match body {
                    Some(body) => request.body(body),
                    None => request,
                };
                match request.send().await {
                    Ok(response) => Ok(response.into()),
                    Err(error) if error.is_connect() || error.is_builder() => {
                        Err(self.unreachable(error))
                    }
                    Err(error) => Err(self.failed(&error)),
                }
            }
        }
    }

    /// The whole body of an answer that is no stream, of at most 64 MiB.
    pub async fn whole(&self, mut answer: Answer) -> Result<Vec<u8>, LlmError> {
        const ENOUGH: usize = 64 << 20;
        let silence = self.timeouts.silence;
        let mut whole = Vec::new();
        loop {
            let read = timeout(silence, answer.chunk()).await;
            let read = read.map_err(|_| LlmError::Silent {
                seconds: silence.as_secs(),
            })?;
            match read {
                Some(Ok(bytes)) if whole.len() + bytes.len() <= ENOUGH => whole.extend(bytes),
                Some(Ok(_)) => {
                    return Err(LlmError::Protocol {
                        message: "an answer of more than 64 MiB".to_owned(),
                    });
                }
                Some(Err(Broken)) => return Err(LlmError::Cut),
                None => return Ok(whole),
            }
        }
    }

    /// The deltas of an answer that has begun.
    pub fn deltas(&self, answer: Answer, decoder: Box<dyn Decode>) -> DeltaStream {
        let silence = self.timeouts.silence;
        let pump = Pump {
            body: Some(answer),
            decoder,
            ready: VecDeque::new(),
            failed: None,
            patience: Box::pin(sleep(silence)),
            silence,
        };
        Box::pin(unfold(pump, Pump::step))
    }

    /// The connection never stood.
    fn unreachable(&self, source: impl Error + Send + Sync + 'static) -> LlmError {
        LlmError::Unreachable {
            url: self.base.clone(),
            source: Box::new(source),
        }
    }

    /// What is no HTTP is a breach of protocol; a connection that broke before the answer's head was cut.
    fn failed(&self, error: &(dyn Error + 'static)) -> LlmError {
        if is_no_http(error) {
            return LlmError::Protocol {
                message: format!("no HTTP comes from {}", self.base),
            };
        }
        LlmError::Cut
    }
}

/// Whether the innermost cause is what the other side said (or that it spoke before it was asked, as SSH does), rather than
/// that it left.
fn is_no_http(error: &(dyn Error + 'static)) -> bool {
    let mut innermost = error;
    while let Some(inner) = innermost.source() {
        innermost = inner;
    }
    innermost
        .downcast_ref::<hyper::Error>()
        .is_some_and(|last| {
            !last.is_incomplete_message()
                && !last.is_closed()
                && !last.is_canceled()
                && !last.is_timeout()
        })
}

/// The body of an answer that is none, as far as it comes quickly.
pub(super) async fn refusal(answer: Answer, limit: Duration) -> Refusal {
    Refusal {
        status: answer.status,
        body: read_text(answer, limit).await,
    }
}

/// Reads at most 64 KiB within `limit`; an error's body that does not come is an empty one.
async fn read_text(mut answer: Answer, limit: Duration) -> String {
    const ENOUGH: usize = 64 << 10;
    let mut text = Vec::new();
    let read = async {
        while let Some(Ok(bytes)) = answer.chunk().await {
            text.extend_from_slice(&bytes);
            if text.len() >= ENOUGH {
                break;
            }
        }
    };
    if timeout(limit, read).await.is_err() {
        tracing::debug!(
            limit_ms = limit.as_millis(),
            "the body of an answer did not come to its end"
        );
    }
    text.truncate(ENOUGH);
    String::from_utf8_lossy(&text).into_owned()
}

fn headers(key: Option<&Private<String>>) -> Result<HeaderMap, SetupError> {
    let mut headers = HeaderMap::new();
    if let Some(key) = key {
        let mut value =
            HeaderValue::from_str(&format!("Bearer {}", key.as_str())).map_err(|_| {
                SetupError::Key {
                    path: "given".to_owned(),
                    message: "it holds characters that a header cannot carry".to_owned(),
                }
            })?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

/// For http no TLS is ever spoken (redirects are off), but reqwest wants some: this one trusts nobody, needs no installed
/// provider, and saves the reading of the system's certificates.
fn unused_tls() -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring speaks the default versions")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth()
}

/// Reads a body into a decoder as the deltas are asked for: the reader's pace is the back-pressure.
struct Pump {
    /// `None` once the reply has ended; dropping it closes the connection.
    body: Option<Answer>,
    decoder: Box<dyn Decode>,
    ready: VecDeque<Delta>,
    /// Given out after the deltas that came before it.
    failed: Option<LlmError>,
    /// Runs out when no whole thing has come for `silence`; bytes of an unfinished line do not wind it up again, so a server
    /// that drips cannot hold a turn.
    patience: Pin<Box<Sleep>>,
    silence: Duration,
}

impl Pump {
    async fn step(mut self) -> Option<(Result<Delta, LlmError>, Self)> {
        if self.ready.is_empty() {
            // Only our waiting counts, not the time in which nobody asked us.
            self.patience = Box::pin(sleep(self.silence));
        }
        loop {
            if let Some(delta) = self.ready.pop_front() {
                if matches!(delta, Delta::Done { .. }) {
                    self.end();
                }
                return Some((Ok(delta), self));
            }
            if let Some(error) = self.failed.take() {
                self.end();
                return Some((Err(error), self));
            }
            let body = self.body.as_mut()?;
            let read = tokio::select! {
                biased;
                read = body.chunk() => read,
                () = &mut self.patience => {
                    self.failed = Some(LlmError::Silent { seconds: self.silence.as_secs() });
                    continue;
                }
            };
            self.take(read);
        }
    }

    fn take(&mut self, read: Option<Result<Bytes, Broken>>) {
        let decoded = match read {
            Some(Ok(bytes)) => self.decoder.push(&bytes, &mut self.ready),
            Some(Err(_)) | None => self.decoder.finish(&mut self.ready).map(|()| {
                self.body = None;
                Life::None
            }),
        };
        match decoded {
            Ok(Life::Sign) => self.patience = Box::pin(sleep(self.silence)),
            Ok(Life::None) => {}
            Err(error) => self.failed = Some(error),
        }
    }

    fn end(&mut self) {
        self.body = None;
        self.ready.clear();
        self.failed = None;
    }
}
