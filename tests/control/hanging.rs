//! A daemon that is gone, hangs, or talks nonsense: the client says so, soon.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use hark::control::client::{ClientError, PATIENCE as CLIENT_PATIENCE};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::{Running, Runtime};

/// Twice the client's own patience and a busy machine's delay. The patience itself is below the 2 s that are promised.
const SOON: Duration = Duration::from_secs(8);

async fn asked(runtime: &Runtime) -> ClientError {
    assert!(CLIENT_PATIENCE < Duration::from_secs(2));
    let before = Instant::now();
    let error = runtime.client().get("/v1/status").await.unwrap_err();
    assert!(before.elapsed() < SOON, "{:?}", before.elapsed());
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_daemon_is_that_is_said_at_once() {
    let runtime = Runtime::new();
    assert!(matches!(
        asked(&runtime).await,
        ClientError::NotRunning { .. }
    ));
    std::fs::create_dir(runtime.folder()).unwrap();
    drop(UnixListener::bind(runtime.socket()).unwrap());
    let error = asked(&runtime).await;
    assert!(matches!(error, ClientError::NotRunning { .. }), "{error}");
    assert!(error.to_string().contains("hark.sock"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_nobody_serves_is_a_daemon_that_hangs() {
    let runtime = Runtime::new();
    std::fs::create_dir(runtime.folder()).unwrap();
    let _listener = UnixListener::bind(runtime.socket()).unwrap();
    assert!(matches!(
        asked(&runtime).await,
        ClientError::NotAnswering { process: None }
    ));
    let before = Instant::now();
    let error = runtime.client().events(|_| Ok(())).await.unwrap_err();
    assert!(matches!(error, ClientError::NotAnswering { .. }), "{error}");
    assert!(before.elapsed() < SOON);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_whose_queue_is_full_is_one_too() {
    let runtime = Runtime::new();
    std::fs::create_dir(runtime.folder()).unwrap();
    let listener = UnixListener::bind(runtime.socket()).unwrap();
    listener.set_nonblocking(true).unwrap();
    // Connections that nobody accepts, until the system takes no more.
    let mut waiting = Vec::new();
    for _ in 0..10_000 {
        let attempt = tokio::net::UnixStream::connect(runtime.socket());
        match tokio::time::timeout(Duration::from_millis(200), attempt).await {
            Ok(Ok(stream)) => waiting.push(stream),
            _ => break,
        }
    }
    let error = asked(&runtime).await;
    assert!(
        matches!(error, ClientError::NotAnswering { .. }),
        "{error} after {}",
        waiting.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conductor_that_does_not_answer_is_told_by_the_server() {
    let runtime = Runtime::new();
    // Held, and never asked for what is in it.
    let (calls, _waiting) = mpsc::channel(2);
    let running = Running::over(&runtime, calls);
    for _ in 0..4 {
        let error = asked(&runtime).await;
        let ClientError::Refused(refused) = error else {
            panic!("{error}")
        };
        assert_eq!(refused.kind, "not_answering");
    }
    running.stop().await;
}

/// Serves one connection with `answer`.
fn serve(runtime: &Runtime, answer: &'static [u8]) -> std::thread::JoinHandle<()> {
    std::fs::create_dir_all(runtime.folder()).unwrap();
    std::fs::remove_file(runtime.socket()).ok();
    let listener = UnixListener::bind(runtime.socket()).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _): (UnixStream, _) = listener.accept().unwrap();
        let mut request = [0; 1_024];
        let got = stream.read(&mut request).unwrap();
        assert!(got > 0);
        stream.write_all(answer).ok();
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_and_early_ends_are_told_as_what_they_are() {
    let runtime = Runtime::new();
    for answer in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{",
        b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n",
        b"",
    ] {
        let server = serve(&runtime, answer);
        let error = asked(&runtime).await;
        server.join().unwrap();
        let known = matches!(
            error,
            ClientError::Protocol { .. } | ClientError::NotRunning { .. }
        );
        assert!(known, "{error}");
    }
    let server = serve(&runtime, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
    assert_eq!(
        runtime.client().get("/v1/status").await.unwrap(),
        Value::Object(Default::default())
    );
    server.join().unwrap();
}
