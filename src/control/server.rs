//! The server side: accepts, checks who it is, routes, answers.
//!
//! Runs on the daemon's runtime beside the conductor; each connection is a task. A request becomes a [`Call`] in a bounded
//! channel; where that is full or not answered in time the client is told so. Nothing here waits for a client without a
//! bound: heads and bodies are small and must come in time, and a reader of events that falls behind is dropped by the hub.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::hub::Hub;
use super::socket::Lease;
use super::{Call, Command, Refused};
use crate::dialogue::Key;
use crate::gateway::residency::Kind;
use crate::platform::user;

/// What a server works with.
#[derive(Debug)]
pub struct Server {
    /// The socket; it is removed at the end.
    pub lease: Lease,
    /// Where calls go.
    pub calls: mpsc::Sender<Call>,
    /// The event stream.
    pub hub: Hub,
}

/// Connections at once; the next one waits in the system's queue.
const MOST: usize = 64;

/// How long a head, a body and an answer may take. A client gives up after [`super::client::PATIENCE`].
const IN_TIME: Duration = Duration::from_millis(1_000);

/// Bytes of a request's body.
const BODY: usize = 4_096;

/// How long streams may take to end at shutdown.
const GRACE: Duration = Duration::from_millis(300);

type Body = UnsyncBoxBody<Bytes, Infallible>;

impl Server {
    /// Serves until `stop`.
    ///
    /// # Errors
    /// The socket cannot be listened on.
    pub async fn run(self, stop: CancellationToken) -> io::Result<()> {
        let listener = UnixListener::from_std(self.lease.listener()?)?;
        let (room, tasks) = (Arc::new(Semaphore::new(MOST)), TaskTracker::new());
        loop {
            let permit = tokio::select! {
                () = stop.cancelled() => break,
                permit = Arc::clone(&room).acquire_owned() => permit.expect("the semaphore is never closed"),
            };
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let (calls, hub) = (self.calls.clone(), self.hub.clone());
                    tasks.spawn(async move {
                        serve(stream, calls, hub).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    // No descriptors left: the next moment may have some.
                    tracing::warn!(%error, "a connection to the control socket failed");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        self.hub.close();
        tasks.close();
        if tokio::time::timeout(GRACE, tasks.wait()).await.is_err() {
            tracing::debug!("connections to the control socket were cut");
        }
        Ok(())
    }
}

async fn serve(stream: UnixStream, calls: mpsc::Sender<Call>, hub: Hub) {
    match stream.peer_cred() {
        Ok(peer) if peer.uid() == user::id() || peer.uid() == 0 => {}
        Ok(peer) => {
            tracing::warn!(
                user = peer.uid(),
                "another user was refused at the control socket"
            );
            return;
        }
        Err(error) => {
            tracing::warn!(%error, "nobody knows who is at the control socket");
            return;
        }
    }
    let dropped = CancellationToken::new();
    let state = Arc::new(State {
        calls,
        hub,
        dropped: dropped.clone(),
    });
    let service = service_fn(move |request| {
        let state = Arc::clone(&state);
        async move { Ok::<_, Infallible>(route(&state, request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        // A client that has said all that it has to say, and closes its half, still wants the answer.
        .half_close(true)
        .timer(TokioTimer::new())
        .header_read_timeout(IN_TIME)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        () = dropped.cancelled() => {}
        ended = connection => if let Err(error) = ended {
            tracing::debug!(%error, "a connection to the control socket ended early");
        },
    }
}

struct State {
    calls: mpsc::Sender<Call>,
    hub: Hub,
    /// Cancelled when this connection reads events too slowly.
    dropped: CancellationToken,
}

/// What a path is for.
enum Route {
    Status,
    Mute(bool),
    OffRecord,
    Key,
    Stop,
    Reload,
    Backend,
    Events,
}

async fn route(state: &State, request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path();
    let Some(rest) = path.strip_prefix("/v1/") else {
        return no_such(path);
    };
    let (route, method) = match rest {
        "status" => (Route::Status, Method::GET),
        "events" => (Route::Events, Method::GET),
        "mute" => (Route::Mute(true), Method::POST),
        "unmute" => (Route::Mute(false), Method::POST),
        "off-record" => (Route::OffRecord, Method::POST),
        "ptt" => (Route::Key, Method::POST),
        "stop" => (Route::Stop, Method::POST),
        "config/reload" => (Route::Reload, Method::POST),
        "backend" => (Route::Backend, Method::POST),
        _ => return no_such(path),
    };
    if *request.method() != method {
        let next = format!("use {method} {path}");
        let mut response = refuse(
            StatusCode::METHOD_NOT_ALLOWED,
            "method",
            "wrong method",
            &next,
        );
        let allowed = HeaderValue::from_str(method.as_str()).expect("a method is a valid header");
        response.headers_mut().insert(ALLOW, allowed);
        return response;
    }
    let command = match route {
        Route::Events => return events(state, request.uri().query()),
        Route::Status => Command::Status,
        Route::Mute(on) => Command::Mute(on),
        Route::Stop => Command::Stop,
        Route::Reload => Command::Reload,
        Route::OffRecord => match body(request).await.and_then(off_record) {
            Ok(command) => command,
            Err(response) => return *response,
        },
        Route::Backend => match body(request).await.and_then(backend) {
            Ok(command) => command,
            Err(response) => return *response,
        },
        Route::Key => match body(request).await.and_then(key) {
            Ok(command) => command,
            Err(response) => return *response,
        },
    };
    call(state, command).await
}

/// A response that is an error; boxed, for it is large.
type Bad = Box<Response<Body>>;

async fn body(request: Request<Incoming>) -> Result<Bytes, Bad> {
    let read = Limited::new(request.into_body(), BODY).collect();
    match tokio::time::timeout(IN_TIME, read).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        _ => Err(bad("the body is too long, broken or too slow")),
    }
}

fn off_record(body: Bytes) -> Result<Command, Bad> {
    #[derive(Deserialize)]
    struct Wish {
        on: bool,
    }
    let wish = serde_json::from_slice::<Wish>(&body);
    wish.map(|wish| Command::OffRecord(wish.on))
        .map_err(|_| bad("the body must be {\"on\": true} or {\"on\": false}"))
}

fn backend(body: Bytes) -> Result<Command, Bad> {
    #[derive(Deserialize)]
    struct Wish {
        r#use: Option<String>,
    }
    let wish = serde_json::from_slice::<Wish>(&body).map(|wish| wish.r#use);
    let named = |name: &str| Kind::ALL.into_iter().find(|kind| kind.name() == name);
    match wish {
        Ok(None) => Ok(Command::Backend(None)),
        Ok(Some(name)) if named(&name).is_some() => Ok(Command::Backend(named(&name))),
        _ => Err(bad(
            "the body must be {\"use\": \"mlx\"}, {\"use\": \"ollama\"} or {\"use\": null}",
        )),
    }
}

fn key(body: Bytes) -> Result<Command, Bad> {
    #[derive(Deserialize)]
    struct Wish {
        action: String,
    }
    let wish = serde_json::from_slice::<Wish>(&body).ok();
    match wish.as_ref().map(|wish| wish.action.as_str()) {
        Some("press") => Ok(Command::Key(Key::Press)),
        Some("release") => Ok(Command::Key(Key::Release)),
        Some("toggle") => Ok(Command::Key(Key::Toggle)),
        _ => Err(bad(
            "the body must be {\"action\": \"press\"}, \"release\" or \"toggle\"",
        )),
    }
}

fn bad(message: &str) -> Bad {
    Box::new(refuse(
        StatusCode::BAD_REQUEST,
        "bad_request",
        message,
        "see the README, \"The control socket\"",
    ))
}

fn no_such(path: &str) -> Response<Body> {
    // The path may be anything; what is shown of it is short and printable.
    let path: String = path
        .chars()
        .filter(|c| c.is_ascii_graphic())
        .take(64)
        .collect();
    refuse(
        StatusCode::NOT_FOUND,
        "no_such_path",
        &format!("there is no {path} here: this hark speaks version 1"),
        "GET /v1/status, GET /v1/events, POST /v1/mute, /v1/unmute, /v1/off-record, /v1/ptt, /v1/stop, /v1/backend, /v1/config/reload",
    )
}

async fn call(state: &State, command: Command) -> Response<Body> {
    let (reply, answer) = oneshot::channel();
    if state.calls.try_send(Call { command, reply }).is_err() {
        return unavailable();
    }
    match tokio::time::timeout(IN_TIME, answer).await {
        Ok(Ok(Ok(answer))) => json(StatusCode::OK, &answer),
        Ok(Ok(Err(refused))) => error(StatusCode::CONFLICT, &refused),
        Ok(Err(_)) | Err(_) => unavailable(),
    }
}

fn unavailable() -> Response<Body> {
    refuse(
        StatusCode::SERVICE_UNAVAILABLE,
        "not_answering",
        "the daemon is ending, or does not answer in time",
        "try again; if that does not help, restart it",
    )
}

/// The stream of events, with an empty line as a sign of life every `heartbeat_ms` where the query asks for one.
fn events(state: &State, query: Option<&str>) -> Response<Body> {
    let heartbeat = query
        .into_iter()
        .flat_map(|query| query.split('&'))
        .find_map(|pair| pair.strip_prefix("heartbeat_ms=")?.parse().ok())
        .map(|ms: u64| Duration::from_millis(ms.clamp(100, 60_000)));
    let Some(lines) = state.hub.follow(state.dropped.clone()) else {
        return unavailable();
    };
    let stream = stream::unfold(lines, move |mut lines| async move {
        let line = match heartbeat {
            None => lines.recv().await?,
            Some(after) => match tokio::time::timeout(after, lines.recv()).await {
                Ok(line) => line?,
                Err(_) => Bytes::from_static(b"\n"),
            },
        };
        Some((Ok::<_, Infallible>(Frame::data(line)), lines))
    });
    let mut response = Response::new(UnsyncBoxBody::new(StreamBody::new(stream)));
    let kind = HeaderValue::from_static("application/jsonl");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn refuse(status: StatusCode, kind: &str, message: &str, next: &str) -> Response<Body> {
    let refused = Refused {
        kind: kind.to_owned(),
        message: message.to_owned(),
        next: next.to_owned(),
    };
    error(status, &refused)
}

fn error(status: StatusCode, refused: &Refused) -> Response<Body> {
    json(status, &serde_json::json!({ "error": refused }))
}

fn json(status: StatusCode, value: &impl serde::Serialize) -> Response<Body> {
    let mut text = serde_json::to_vec(value).expect("answers have only string keys");
    text.push(b'\n');
    let mut response = Response::new(Full::new(Bytes::from(text)).boxed_unsync());
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
