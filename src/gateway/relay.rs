//! One request for words on its way through: admission, the backend, one retry, and the pieces back.
//!
//! Edge: a stream is the work of its client's connection and ends with it, or when the channel closes; a whole answer runs in
//! the request's own future and is dropped with it. Either way the connection to the backend closes, which is how a backend is
//! told to stop. Promises: a place at the model before a byte goes there; at most one retry, and only when nothing had come;
//! a reply that broke off never looks whole; a client that reads nothing for [`STALLED`] loses its place.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::Shared;
use super::admission::Class;
use super::ask::{Ask, Endpoint};
use super::collect::Collect;
use super::failure::Failure;
use super::gate::Ticket;
use super::resume::Resume;
use super::shape::{Shape, Stamp};
use super::translate::{Outbound, outbound};
use crate::llm::LlmError;
use crate::llm::dialect::Dialect;
use crate::llm::upstream::{Event, Reply, Upstream};

/// How long a client may leave a stream unread before it loses its place at the model.
pub const STALLED: Duration = Duration::from_secs(30);

/// Pieces that may wait for the connection's task.
pub const PIECES: usize = 64;

/// How often, and after which pause, a backend that says it is loading its model is asked again: a minute in all.
const LOADS: u32 = 600;
const LOADING: Duration = Duration::from_millis(100);

/// Tokens of a reply where the client sets no limit and the backend's own would be 512.
const NO_LIMIT: u64 = 8_192;

/// A whole reply is given up beyond this; no model writes 16 MiB.
const MOST_TEXT: usize = 16 << 20;

/// What a stream's client gets: pieces of the body, or in the place of the first one an error.
pub type Piece = Result<Bytes, Failure>;

/// Answers with a stream; the pieces go to `out`.
pub async fn stream(shared: &Shared, ask: Ask, class: Class, out: mpsc::Sender<Piece>) {
    let mut sink = Sink::Stream {
        dialect: ask.endpoint.dialect(),
        out: out.clone(),
        begun: false,
    };
    let ended = tokio::select! {
        biased;
        () = out.closed() => return,
        ended = run(shared, &ask, class, &mut sink) => ended,
    };
    let last = match ended {
        Ok(()) => sink.end().await,
        Err(Stop::Gone) => Ok(()),
        Err(Stop::Failed(failure)) => {
            tracing::debug!(code = failure.code, "a stream failed");
            sink.fail(failure).await
        }
    };
    if last.is_err() {
        tracing::debug!("the client left at the end of its reply");
    }
}

/// Answers with one object.
///
/// # Errors
/// There is no whole reply.
pub async fn whole(shared: &Shared, ask: Ask, class: Class) -> Result<Value, Failure> {
    let mut sink = Sink::Whole(Box::new(Collect::new(ask.endpoint)));
    match run(shared, &ask, class, &mut sink).await {
        Ok(()) => {}
        Err(Stop::Failed(failure)) => return Err(failure),
        Err(Stop::Gone) => {
            return Err(Failure::new(
                502,
                "api_error",
                "too_long",
                "the reply is longer than any client could use",
            ));
        }
    }
    let Sink::Whole(collect) = sink else {
        unreachable!("it was made above")
    };
    Ok(collect.finish())
}

/// Why a relay ends early.
enum Stop {
    /// The client has left, or reads nothing.
    Gone,
    /// It is told.
    Failed(Failure),
}

impl<F: Into<Failure>> From<F> for Stop {
    fn from(failure: F) -> Self {
        Self::Failed(failure.into())
    }
}

/// How one attempt ended.
enum Attempt {
    Done,
    /// A conversation needs the model.
    GaveWay,
    /// The backend failed; `came` tells whether anything had come before.
    Failed {
        error: LlmError,
        came: bool,
    },
}

async fn run(shared: &Shared, ask: &Ask, class: Class, sink: &mut Sink) -> Result<(), Stop> {
    let (mut backend, mut ticket) = admit(shared, class.clone()).await?;
    let stamp = shared.stamp(ask.endpoint);
    let seed = shared.number();
    let mut resume = Resume::default();
    let mut retried = false;
    let mut loads = 0;
    loop {
        let request = prepare(ask, &backend, seed).await;
        let attempt = match request {
            Ok(request) => {
                let mut one = One {
                    ticket: &ticket,
                    shape: Shape::new(ask, backend.dialect(), stamp.clone()),
                    resume: &mut resume,
                    sink,
                };
                one.attempt(&backend, &request).await?
            }
            Err(error) => Attempt::Failed { error, came: false },
        };
        match attempt {
            Attempt::Done => return Ok(()),
            Attempt::GaveWay => {
                ticket.wait_again().await?;
                resume.restart();
                sink.restart(ask.endpoint);
            }
            // llama-server says so at once; the others keep the request waiting themselves.
            Attempt::Failed {
                error: LlmError::Loading,
                came: false,
            } if loads < LOADS => {
                loads += 1;
                tokio::time::sleep(LOADING).await;
            }
            Attempt::Failed { error, came } => {
                let again = !retried && !came && is_worth_a_retry(&error);
                if matches!(error, LlmError::Unreachable { .. } | LlmError::Cut) {
                    shared.resident.forget();
                }
                if !again {
                    return Err(error.into());
                }
                tracing::info!(%error, "asking the backend once more");
                retried = true;
                resume.restart();
            }
        }
        if !shared.resident.is(&backend) {
            // A change is waited for without a place: whoever changes waits until nobody has one.
            drop(ticket);
            (backend, ticket) = admit(shared, class.clone()).await?;
        }
    }
}

/// The backend, and a place there. The backend is known first, because the number of places is its own; one that has
/// changed while the request waited in the queue is asked for anew.
async fn admit(shared: &Shared, class: Class) -> Result<(Arc<Upstream>, Ticket), Failure> {
    loop {
        let backend = shared.resident.get().await?;
        let ticket = shared.gate.admit(class.clone()).await?;
        if shared.resident.is(&backend) {
            return Ok((backend, ticket));
        }
    }
}

/// A backend that was not there may have moved, one that broke off may have been restarting, and a model that is gone is
/// chosen anew.
fn is_worth_a_retry(error: &LlmError) -> bool {
    matches!(
        error,
        LlmError::Unreachable { .. } | LlmError::Cut | LlmError::NoModel { .. }
    )
}

async fn prepare(ask: &Ask, backend: &Upstream, seed: u64) -> Result<Outbound, LlmError> {
    let mut request = outbound(ask, backend.dialect());
    let body = &mut request.body;
    let is_limited = ["max_tokens", "max_completion_tokens"]
        .iter()
        .any(|key| body.get(*key).is_some_and(|limit| !limit.is_null()));
    if backend.needs_limit() {
        if !is_limited {
            body.insert("max_tokens".to_owned(), json!(NO_LIMIT));
        }
    } else if ask.stream {
        // So that a reply which has to begin anew begins the same; mlx_lm.server stops batching for a seed, and needs none
        // at its default temperature of 0.
        let seeded = match backend.dialect() {
            Dialect::OpenAi => Some(body),
            Dialect::Ollama => body
                .entry("options")
                .or_insert_with(|| json!({}))
                .as_object_mut(),
        };
        if let Some(seeded) = seeded {
            seeded.entry("seed").or_insert(json!(seed & 0x7fff_ffff));
        }
    }
    backend.own(&mut request.body).await?;
    Ok(request)
}

/// One attempt at the backend.
struct One<'a> {
    ticket: &'a Ticket,
    shape: Shape,
    resume: &'a mut Resume,
    sink: &'a mut Sink,
}

impl One<'_> {
    async fn attempt(&mut self, backend: &Upstream, request: &Outbound) -> Result<Attempt, Stop> {
        let began = tokio::select! {
            biased;
            began = backend.stream(request.path, &request.body) => began,
            () = self.ticket.asked_to_give_way() => return Ok(Attempt::GaveWay),
        };
        let mut reply = match began {
            Ok(reply) => reply,
            Err(error) => return Ok(Attempt::Failed { error, came: false }),
        };
        let mut came = false;
        loop {
            let Some(event) = self.next(&mut reply).await else {
                return Ok(Attempt::GaveWay);
            };
            match event {
                Ok(Event::Comment(text)) => self.sink.comment(&text).await?,
                Ok(Event::Json(event)) => {
                    came = true;
                    for event in self.shape.event(event) {
                        self.pass(event).await?;
                    }
                }
                Ok(Event::Done) => {
                    for event in self.shape.end() {
                        self.pass(event).await?;
                    }
                    return Ok(Attempt::Done);
                }
                Err(error) => return Ok(Attempt::Failed { error, came }),
            }
        }
    }

    /// The next event, or `None` when the place is needed.
    async fn next(&mut self, reply: &mut Reply) -> Option<Result<Event, LlmError>> {
        let may_give_way = self.sink.is_whole() || self.resume.may_give_way();
        tokio::select! {
            biased;
            event = reply.next() => Some(event),
            () = self.ticket.asked_to_give_way(), if may_give_way => None,
        }
    }

    async fn pass(&mut self, event: Value) -> Result<(), Stop> {
        if self.sink.is_whole() {
            return self.sink.event(event).await;
        }
        match self.resume.pass(event)? {
            Some(event) => self.sink.event(event).await,
            None => Ok(()),
        }
    }
}

/// Where the pieces go.
enum Sink {
    Stream {
        dialect: Dialect,
        out: mpsc::Sender<Piece>,
        begun: bool,
    },
    Whole(Box<Collect>),
}

impl Sink {
    fn is_whole(&self) -> bool {
        matches!(self, Self::Whole(_))
    }

    /// The reply begins anew: what was put together is thrown away, what was sent stays sent.
    fn restart(&mut self, endpoint: Endpoint) {
        if let Self::Whole(collect) = self {
            **collect = Collect::new(endpoint);
        }
    }

    async fn event(&mut self, event: Value) -> Result<(), Stop> {
        match self {
            Self::Whole(collect) => {
                collect.take(event);
                if collect.len() > MOST_TEXT {
                    return Err(Stop::Gone);
                }
                Ok(())
            }
            Self::Stream { dialect, .. } => {
                let bytes = framed(&event, *dialect);
                self.send(bytes).await
            }
        }
    }

    /// The other dialect has no comments.
    async fn comment(&mut self, text: &str) -> Result<(), Stop> {
        match self {
            Self::Stream {
                dialect: Dialect::OpenAi,
                ..
            } => self.send(Bytes::from(format!(": {text}\n\n"))).await,
            _ => Ok(()),
        }
    }

    async fn end(&mut self) -> Result<(), Stop> {
        match self {
            Self::Stream {
                dialect: Dialect::OpenAi,
                ..
            } => self.send(Bytes::from_static(b"data: [DONE]\n\n")).await,
            _ => Ok(()),
        }
    }

    /// Before the first piece an error has a status; after it, it is an event, and no end marker follows.
    async fn fail(&mut self, failure: Failure) -> Result<(), Stop> {
        match self {
            Self::Stream {
                begun: true,
                dialect,
                ..
            } => {
                let bytes = framed(&failure.body(*dialect), *dialect);
                self.send(bytes).await
            }
            Self::Stream { out, .. } => out.send(Err(failure)).await.map_err(|_| Stop::Gone),
            Self::Whole(_) => Ok(()),
        }
    }

    async fn send(&mut self, bytes: Bytes) -> Result<(), Stop> {
        if let Self::Stream { out, begun, .. } = self {
            *begun = true;
            out.send_timeout(Ok(bytes), STALLED)
                .await
                .map_err(|_| Stop::Gone)?;
        }
        Ok(())
    }
}

fn framed(event: &Value, dialect: Dialect) -> Bytes {
    let mut bytes = BytesMut::with_capacity(256);
    if dialect == Dialect::OpenAi {
        bytes.put_slice(b"data: ");
    }
    let mut writer = bytes.writer();
    serde_json::to_writer(&mut writer, event).expect("JSON serialises into memory");
    let mut bytes = writer.into_inner();
    bytes.put_slice(if dialect == Dialect::OpenAi {
        b"\n\n"
    } else {
        b"\n"
    });
    bytes.freeze()
}

impl Shared {
    /// What every event of a new reply says.
    pub(super) fn stamp(&self, endpoint: Endpoint) -> Stamp {
        let now = crate::platform::clock::wall().timestamp();
        let prefix = match endpoint {
            Endpoint::Completions => "cmpl",
            _ => "chatcmpl",
        };
        Stamp {
            id: format!("{prefix}-{:016x}", self.number()),
            created: now.as_second(),
            created_at: now.to_string(),
            model: super::catalogue::MODEL.to_owned(),
        }
    }
}
