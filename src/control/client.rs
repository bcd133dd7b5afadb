//! The client side, for the verbs: one request a connection, and never a wait without an end.
//!
//! Runs on the verb's own runtime. A daemon that is gone is told from one that does not answer; each costs at most
//! [`PATIENCE`].

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::HOST;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::Value;
use tokio::net::UnixStream;

use super::{Refused, socket};

/// The longest that a client waits for a daemon that does not answer.
pub const PATIENCE: Duration = Duration::from_millis(1_500);

/// How often a stream of events shows that the daemon lives; three missed ones are its end.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// The daemon did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No daemon owns the socket. Start one: `hark run`.
    #[error("hark is not running (nobody answers at {})", .path.display())]
    NotRunning {
        /// The socket.
        path: PathBuf,
    },
    /// There is a daemon and it does not answer: it hangs or is stopped. End it and start it again.
    #[error("hark is running{} but does not answer", of(*.process))]
    NotAnswering {
        /// Its process, where that is known.
        process: Option<u32>,
    },
    /// It will not. The message tells what is in the way.
    #[error("{}", .0.message)]
    Refused(Refused),
    /// Whoever answered is no daemon of this version. Restart the daemon after an update.
    #[error("the daemon answered with something else than expected: {reason}")]
    Protocol {
        /// What was wrong.
        reason: String,
    },
    /// What was received could not be passed on (a closed pipe).
    #[error(transparent)]
    Output(io::Error),
}

fn of(process: Option<u32>) -> String {
    process.map_or_else(String::new, |process| format!(" (process {process})"))
}

/// A daemon to talk to.
#[derive(Debug, Clone)]
pub struct Client {
    path: PathBuf,
}

impl Client {
    /// For the socket at this path; see [`socket::place`].
    #[must_use]
    pub const fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The socket.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Asks for a document.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn get(&self, path: &str) -> Result<Value, ClientError> {
        self.document(Method::GET, path, Bytes::new()).await
    }

    /// Asks for something to be done.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, ClientError> {
        let body = if body.is_null() {
            Bytes::new()
        } else {
            Bytes::from(body.to_string())
        };
        self.document(Method::POST, path, body).await
    }

    /// Gives every line of the event stream to `each` until the daemon ends.
    ///
    /// # Errors
    /// See [`ClientError`]; a daemon that stops to show signs of life is [`ClientError::NotAnswering`].
    pub async fn events(
        &self,
        mut each: impl FnMut(&str) -> io::Result<()>,
    ) -> Result<(), ClientError> {
        let path = format!("/v1/events?heartbeat_ms={}", HEARTBEAT.as_millis());
        let work = self.request(Method::GET, &path, Bytes::new());
        let mut response = self.in_time(work).await?;
        if !response.status().is_success() {
            return Err(refusal(&self.in_time(body(response)).await?));
        }
        let mut pending = Vec::new();
        loop {
            let frame = match tokio::time::timeout(PATIENCE, response.frame()).await {
                Err(_) => return Err(self.silent()),
                Ok(None) => return Ok(()),
                Ok(Some(Err(error))) => return Err(protocol(&error)),
                Ok(Some(Ok(frame))) => frame,
            };
            pending.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
            while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = pending.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line[..end]);
                // An empty line is a sign of life.
                if !line.is_empty() {
                    each(&line).map_err(ClientError::Output)?;
                }
            }
        }
    }

    async fn document(
        &self,
        method: Method,
        path: &str,
        content: Bytes,
    ) -> Result<Value, ClientError> {
        let work = async {
            let response = self.request(method, path, content).await?;
            let good = response.status().is_success();
            Ok((good, body(response).await?))
        };
        let (good, text) = self.in_time(work).await?;
        if !good {
            return Err(refusal(&text));
        }
        serde_json::from_slice(&text).map_err(|error| protocol(&error))
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        content: Bytes,
    ) -> Result<Response<Incoming>, ClientError> {
        let stream = UnixStream::connect(&self.path).await.map_err(|error| {
            match error.kind() {
                // The queue of a daemon that accepts nobody is full.
                io::ErrorKind::WouldBlock => self.silent(),
                io::ErrorKind::PermissionDenied => ClientError::Refused(Refused {
                    kind: "denied".to_owned(),
                    message: format!("{} belongs to another user", self.path.display()),
                    next: "use the home of your own hark: set HARK_HOME".to_owned(),
                }),
                _ => ClientError::NotRunning {
                    path: self.path.clone(),
                },
            }
        })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| protocol(&error))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the connection to the daemon ended early");
            }
        });
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "hark")
            .body(Full::new(content))
            .map_err(|error| protocol(&error))?;
        sender
            .send_request(request)
            .await
            .map_err(|error| self.cut(&error))
    }

    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        match tokio::time::timeout(PATIENCE, work).await {
            Ok(done) => done,
            Err(_) => Err(self.silent()),
        }
    }

    fn silent(&self) -> ClientError {
        ClientError::NotAnswering {
            process: socket::owner(&self.path),
        }
    }

    /// A connection that ends before an answer: the daemon died just then, or closed the door because it is full.
    fn cut(&self, error: &hyper::Error) -> ClientError {
        match socket::owner(&self.path) {
            None => ClientError::NotRunning {
                path: self.path.clone(),
            },
            Some(_) => protocol(error),
        }
    }
}

async fn body(response: Response<Incoming>) -> Result<Bytes, ClientError> {
    let collected = response.into_body().collect().await;
    collected
        .map(http_body_util::Collected::to_bytes)
        .map_err(|error| protocol(&error))
}

fn refusal(text: &[u8]) -> ClientError {
    #[derive(Deserialize)]
    struct Envelope {
        error: Refused,
    }
    match serde_json::from_slice::<Envelope>(text) {
        Ok(Envelope { error }) => ClientError::Refused(error),
        Err(error) => protocol(&error),
    }
}

fn protocol(error: &dyn std::fmt::Display) -> ClientError {
    ClientError::Protocol {
        reason: error.to_string(),
    }
}
