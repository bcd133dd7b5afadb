//! One HTTP connection a request, bounded in time, and the pump from a body through a decoder to deltas.
//!
//! Edge: called from the agent's task on the runtime. Promises: no proxy, no redirect, no connection is used twice (a
//! pooled one that the server had closed costs a voice turn; opening one to this machine takes well under a millisecond),
//! every wait has a limit, dropping the stream closes the connection, which is how every backend is told to stop. What a
//! status or a line means is left to the dialects.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::unfold;
use futures_util::{Stream, StreamExt};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use tokio::time::{Sleep, sleep, timeout};

use super::decode::{Decode, Life};
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

/// A client for one base address.
#[derive(Debug, Clone)]
pub(super) struct Http {
    client: Client,
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
        let builder = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .pool_max_idle_per_host(0)
            .tcp_nodelay(true)
            .connect_timeout(timeouts.connect)
            .default_headers(headers(key)?);
        let builder = match url.scheme() {
            "http" => builder.tls_backend_preconfigured(unused_tls()),
            "https" if rustls::crypto::CryptoProvider::get_default().is_none() => {
                return Err(SetupError::NoTls);
            }
            "https" => builder,
            _ => return Err(wrong()),
        };
        let client = builder.build().map_err(SetupError::Client)?;
        Ok(Self {
            client,
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
            let response = self
                .client
                .get(address)
                .send()
                .await
                .map_err(|error| self.failed(error))?;
            let status = response.status().as_u16();
            Ok((status, read_text(response, limit).await))
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
    ) -> Result<Result<Response, Refusal>, LlmError> {
        let request = self
            .client
            .post(format!("{}{path}", self.base))
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        let limit = self.timeouts.first_byte;
        let Ok(answer) = timeout(limit, request.send()).await else {
            return Err(LlmError::Silent {
                seconds: limit.as_secs(),
            });
        };
        let response = answer.map_err(|error| self.failed(error))?;
        if response.status() == reqwest::StatusCode::OK {
            return Ok(Ok(response));
        }
        Ok(Err(refusal(response, self.timeouts.probe).await))
    }

    /// The deltas of an answer that has begun.
    pub fn deltas(&self, response: Response, decoder: Box<dyn Decode>) -> DeltaStream {
        let silence = self.timeouts.silence;
        let pump = Pump {
            body: Some(Box::pin(response.bytes_stream())),
            decoder,
            ready: VecDeque::new(),
            failed: None,
            patience: Box::pin(sleep(silence)),
            silence,
        };
        Box::pin(unfold(pump, Pump::step))
    }

    /// A connection that never stood is `Unreachable`; what is no HTTP is a breach of protocol; a connection that broke
    /// before the answer's head was cut.
    fn failed(&self, error: reqwest::Error) -> LlmError {
        if error.is_connect() || error.is_builder() {
            return LlmError::Unreachable {
                url: self.base.clone(),
                source: error,
            };
        }
        if is_no_http(&error) {
            return LlmError::Protocol {
                message: format!("no HTTP comes from {}", self.base),
            };
        }
        LlmError::Cut
    }
}

/// Whether the innermost cause is what the other side said (or that it spoke before it was asked, as SSH does), rather than
/// that it left.
fn is_no_http(error: &reqwest::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        cause = inner.source();
        if cause.is_none() {
            return inner.downcast_ref::<hyper::Error>().is_some_and(|last| {
                !last.is_incomplete_message()
                    && !last.is_closed()
                    && !last.is_canceled()
                    && !last.is_timeout()
            });
        }
    }
    false
}

/// The body of an answer that is none, as far as it comes quickly.
pub(super) async fn refusal(response: Response, limit: Duration) -> Refusal {
    Refusal {
        status: response.status().as_u16(),
        body: read_text(response, limit).await,
    }
}

/// Reads at most 64 KiB within `limit`; an error's body that does not come is an empty one.
async fn read_text(response: Response, limit: Duration) -> String {
    const ENOUGH: usize = 64 << 10;
    let mut text = Vec::new();
    let mut body = response.bytes_stream();
    let read = async {
        while let Some(Ok(bytes)) = body.next().await {
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
    body: Option<Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>>,
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
                read = body.next() => read,
                () = &mut self.patience => {
                    self.failed = Some(LlmError::Silent { seconds: self.silence.as_secs() });
                    continue;
                }
            };
            self.take(read);
        }
    }

    fn take(&mut self, read: Option<reqwest::Result<Bytes>>) {
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
