//! From a request's first line to who answers it, behind the door.
//!
//! Edge: called on the connection's task. Everything but "is somebody there" needs the token; nothing here opens a file.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::Value;
use tokio::sync::mpsc;

use super::admission::Class;
use super::ask::{Ask, Endpoint};
use super::door::Knock;
use super::embed::EmbedPath;
use super::failure::Failure;
use super::relay::{self, PIECES, Piece};
use super::sound::Media;
use super::{Shared, Work};
use crate::llm::dialect::Dialect;

/// The largest request with JSON: a long conversation with pictures in it.
pub const MOST_JSON: usize = 32 << 20;

/// The largest recording: an hour of FLAC, ten of MP3.
pub const MOST_SOUND: usize = 128 << 20;

/// How long a request's body may bring nothing.
const BODY_QUIET: Duration = Duration::from_secs(20);

/// How long it may take in all.
const BODY_TOTAL: Duration = Duration::from_secs(300);

/// An answer's body: whole, or the pieces of a stream as the relay makes them.
pub enum Answer {
    /// Known at once.
    Whole(Option<Bytes>),
    /// Dropping it tells the relay that nobody reads them.
    Pieces {
        /// The first one, which decided the status.
        first: Option<Bytes>,
        /// The rest.
        rest: mpsc::Receiver<Piece>,
    },
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match self.get_mut() {
            Self::Whole(bytes) => bytes.take(),
            Self::Pieces { first, rest } => match first.take() {
                Some(first) => Some(first),
                // After the first piece the relay sends no errors: they are pieces themselves.
                None => match rest.poll_recv(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(piece) => piece.and_then(Result::ok),
                },
            },
        };
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Pieces { .. } => SizeHint::default(),
        }
    }
}

/// Answers one request.
pub async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
    work: Work,
) -> Response<Answer> {
    let dialect = if request.uri().path().starts_with("/api") {
        Dialect::Ollama
    } else {
        Dialect::OpenAi
    };
    let is_head = request.method() == Method::HEAD;
    let mut response = match route(&shared, request, &work).await {
        Ok(response) => response,
        Err(failure) => refused(&failure, dialect),
    };
    if is_head {
        *response.body_mut() = Answer::Whole(None);
    }
    // No page may read an answer, no cache may keep one.
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

async fn route(
    shared: &Arc<Shared>,
    request: Request<Incoming>,
    work: &Work,
) -> Result<Response<Answer>, Failure> {
    let (head, body) = request.into_parts();
    let knock = knock(&head.headers);
    shared.door.is_local_caller(&knock)?;
    let path = head.uri.path();
    let reads = matches!(head.method, Method::GET | Method::HEAD);
    if reads && path == "/" {
        return Ok(plain("Hark's gateway is running\n"));
    }
    if reads && path == "/health" {
        return Ok(json(&serde_json::json!({"status": "ok"})));
    }
    shared.door.admits(&knock)?;
    if reads {
        return read_only(shared, path).await;
    }
    if head.method != Method::POST {
        return Err(match known(path) {
            Known::No => unknown(),
            _ => wrong_method(),
        });
    }
    let class = class(&head.headers, None);
    match known(path) {
        Known::Words(endpoint) => {
            let bytes = read_body(shared, body, MOST_JSON).await?;
            let ask = Ask::read(endpoint, &bytes)?;
            drop(bytes);
            words(shared, ask, &head.headers, work).await
        }
        Known::Embed(path) => {
            let bytes = read_body(shared, body, MOST_JSON).await?;
            Ok(json(&shared.embed(path, &bytes, class).await?))
        }
        Known::Transcribe => {
            let kind = text(&head.headers, &header::CONTENT_TYPE)
                .unwrap_or_default()
                .to_owned();
            let bytes = read_body(shared, body, MOST_SOUND).await?;
            Ok(media(shared.transcriptions(&kind, bytes, class).await?))
        }
        Known::Speak => {
            let bytes = read_body(shared, body, MOST_JSON).await?;
            Ok(media(shared.speech(&bytes, class).await?))
        }
        Known::Show => {
            read_body(shared, body, MOST_JSON).await?;
            Ok(json(&shared.ollama_show().await?))
        }
        Known::Managed => Err(Failure::unsupported(
            "Hark looks after the model itself: nothing is pulled, made or removed through the gateway",
        )),
        Known::Elsewhere => Err(Failure::unsupported(
            "this part of the API is not served; /v1/chat/completions is",
        )),
        Known::List => Err(wrong_method()),
        Known::No => Err(unknown()),
    }
}

enum Known {
    Words(Endpoint),
    Embed(EmbedPath),
    Transcribe,
    Speak,
    Show,
    /// Read only.
    List,
    /// Ollama's management of models.
    Managed,
    /// Known to the dialect, not served.
    Elsewhere,
    No,
}

fn known(path: &str) -> Known {
    match path {
        "/v1/chat/completions" => Known::Words(Endpoint::Chat),
        "/v1/completions" => Known::Words(Endpoint::Completions),
        "/api/chat" => Known::Words(Endpoint::OllamaChat),
        "/api/generate" => Known::Words(Endpoint::OllamaGenerate),
        "/v1/embeddings" => Known::Embed(EmbedPath::OpenAi),
        "/api/embed" => Known::Embed(EmbedPath::Ollama),
        "/api/embeddings" => Known::Embed(EmbedPath::OllamaOld),
        "/v1/audio/transcriptions" => Known::Transcribe,
        "/v1/audio/speech" => Known::Speak,
        "/api/show" => Known::Show,
        "/v1/models" | "/api/tags" | "/api/ps" | "/api/version" | "/" | "/health" => Known::List,
        "/api/pull" | "/api/push" | "/api/create" | "/api/copy" | "/api/delete" => Known::Managed,
        "/v1/responses" | "/v1/messages" | "/v1/audio/translations" | "/v1/moderations" => {
            Known::Elsewhere
        }
        _ if path.starts_with("/api/blobs/") => Known::Managed,
        _ if path.starts_with("/v1/images/") => Known::Elsewhere,
        _ => Known::No,
    }
}

async fn read_only(shared: &Shared, path: &str) -> Result<Response<Answer>, Failure> {
    Ok(match path {
        "/v1/models" => json(&shared.openai_models().await),
        "/api/tags" => json(&shared.ollama_tags().await),
        "/api/ps" => json(&shared.ollama_ps().await),
        "/api/version" => json(&serde_json::json!({
            "version": super::catalogue::OLLAMA_VERSION, "hark": env!("CARGO_PKG_VERSION"),
        })),
        _ => match (path.strip_prefix("/v1/models/"), known(path)) {
            (Some(name), _) => json(&shared.openai_model(name).await?),
            (None, Known::No) => return Err(unknown()),
            (None, _) => return Err(wrong_method()),
        },
    })
}

async fn words(
    shared: &Arc<Shared>,
    ask: Ask,
    headers: &HeaderMap,
    work: &Work,
) -> Result<Response<Answer>, Failure> {
    if let Some(reason) = ask.only_loads() {
        // The model stays whatever a client wishes; what it is told is what Ollama would say.
        return Ok(json(&loaded(shared, &ask, reason)));
    }
    let class = class(headers, ask.user.as_deref());
    if !ask.stream {
        return Ok(json(&relay::whole(shared, ask, class).await?));
    }
    let kind = match ask.endpoint.dialect() {
        Dialect::OpenAi => "text/event-stream; charset=utf-8",
        Dialect::Ollama => "application/x-ndjson",
    };
    let (out, mut pieces) = mpsc::channel(PIECES);
    let task = Arc::clone(shared);
    work.begin(async move { relay::stream(&task, ask, class, out).await });
    // The first piece decides the status; leaving meanwhile drops the receiver, and with it the work.
    match pieces.recv().await {
        Some(Ok(first)) => Ok(response(
            StatusCode::OK,
            kind,
            Answer::Pieces {
                first: Some(first),
                rest: pieces,
            },
        )),
        Some(Err(failure)) => Err(failure),
        None => Err(Failure::new(
            502,
            "api_error",
            "backend_died",
            "the reply ended before it began",
        )),
    }
}

fn loaded(shared: &Shared, ask: &Ask, reason: &str) -> Value {
    let stamp = shared.stamp(ask.endpoint);
    let mut answer = serde_json::json!({
        "model": stamp.model, "created_at": stamp.created_at, "done": true, "done_reason": reason,
    });
    match ask.endpoint {
        Endpoint::OllamaGenerate => answer["response"] = Value::from(""),
        _ => answer["message"] = serde_json::json!({"role": "assistant", "content": ""}),
    }
    answer
}

/// Who asks: the program, as far as it says who it is, and the conversation, by header or by `user`.
fn class(headers: &HeaderMap, user: Option<&str>) -> Class {
    let of = |names: &[&'static str]| {
        names
            .iter()
            .find_map(|name| text(headers, &HeaderName::from_static(name)))
            .map(|value| value.chars().take(128).collect::<String>())
    };
    let session = of(&["x-session-affinity", "x-hark-session", "x-session-id"])
        .or_else(|| user.map(|user| user.chars().take(128).collect()));
    let client = of(&["x-hark-client", "user-agent"]).unwrap_or_default();
    // One program may stand for many people: they are told apart where it does.
    let client = match user {
        Some(user) => format!("{client}\n{user}"),
        None => client,
    };
    let session = session.map(|session| format!("{client}\n{session}"));
    Class::Background { client, session }
}

fn knock(headers: &HeaderMap) -> Knock<'_> {
    // Two of a kind are a trick; a header that is no text counts as one that never fits.
    let one = |name: &HeaderName| {
        let mut all = headers.get_all(name).iter();
        let first = all.next()?;
        let value = match all.next() {
            None => first.to_str().unwrap_or("\u{fffd}"),
            Some(_) => "\u{fffd}",
        };
        Some(value)
    };
    Knock {
        host: one(&header::HOST),
        origin: one(&header::ORIGIN),
        fetch_site: one(&HeaderName::from_static("sec-fetch-site")),
        authorization: one(&header::AUTHORIZATION),
        api_key: one(&HeaderName::from_static("x-api-key"))
            .or_else(|| one(&HeaderName::from_static("api-key"))),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Reads a body within its limits; all bodies together stay within the gateway's.
async fn read_body(shared: &Shared, mut body: Incoming, most: usize) -> Result<Bytes, Failure> {
    let too_large = || {
        let words = format!("the body is larger than {} MiB", most >> 20);
        Failure::new(413, "invalid_request_error", "too_large", words)
    };
    if body.size_hint().lower() > most as u64 {
        return Err(too_large());
    }
    let mut whole = BytesMut::new();
    let mut held = None;
    let read = async {
        loop {
            let frame = tokio::time::timeout(BODY_QUIET, body.frame()).await;
            let frame = frame.map_err(|_| slow())?;
            let Some(frame) = frame else { return Ok(()) };
            let frame = frame.map_err(|_| Failure::bad("the body broke off"))?;
            let Ok(bytes) = frame.into_data() else {
                continue;
            };
            if whole.len() + bytes.len() > most {
                return Err(too_large());
            }
            let room = shared.room(bytes.len())?;
            match &mut held {
                None => held = Some(room),
                Some(held) => held.merge(room),
            }
            whole.extend_from_slice(&bytes);
        }
    };
    tokio::time::timeout(BODY_TOTAL, read)
        .await
        .map_err(|_| slow())??;
    Ok(whole.freeze())
}

fn slow() -> Failure {
    Failure::new(
        408,
        "invalid_request_error",
        "too_slow",
        "the body did not come in time",
    )
}

fn unknown() -> Failure {
    Failure::new(
        404,
        "invalid_request_error",
        "not_found",
        "there is nothing at this path",
    )
}

fn wrong_method() -> Failure {
    Failure::new(
        405,
        "invalid_request_error",
        "wrong_method",
        "this path takes another method",
    )
}

fn refused(failure: &Failure, dialect: Dialect) -> Response<Answer> {
    let status = StatusCode::from_u16(failure.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = failure.body(dialect).to_string();
    let mut response = response(status, "application/json", Answer::Whole(Some(body.into())));
    let headers = response.headers_mut();
    if let Some(after) = failure.retry_after {
        headers.insert(header::RETRY_AFTER, after.as_secs().max(1).into());
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn json(value: &Value) -> Response<Answer> {
    let bytes = Bytes::from(value.to_string());
    response(
        StatusCode::OK,
        "application/json",
        Answer::Whole(Some(bytes)),
    )
}

fn plain(words: &'static str) -> Response<Answer> {
    let bytes = Bytes::from_static(words.as_bytes());
    response(
        StatusCode::OK,
        "text/plain; charset=utf-8",
        Answer::Whole(Some(bytes)),
    )
}

fn media(media: Media) -> Response<Answer> {
    response(StatusCode::OK, media.kind, Answer::Whole(Some(media.bytes)))
}

fn response(status: StatusCode, kind: &'static str, body: Answer) -> Response<Answer> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
