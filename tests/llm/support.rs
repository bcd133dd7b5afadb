//! A loopback HTTP server made of a closure, captured answers, and small readers of streams.

use std::fs;
use std::future::Future;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt;
use hark::llm::{
    ChatRequest, Delta, DeltaStream, LlmBackend, LlmError, Message, Role, Timeouts, ToolSpec,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Limits short enough for a test and long enough for a busy machine.
pub fn short() -> Timeouts {
    Timeouts {
        connect: Duration::from_secs(2),
        first_byte: Duration::from_millis(700),
        silence: Duration::from_millis(700),
        probe: Duration::from_secs(2),
    }
}

/// A request that has been read whole.
pub struct Request {
    pub head: String,
    pub body: Value,
}

impl Request {
    /// Method and path.
    pub fn line(&self) -> &str {
        self.head
            .lines()
            .next()
            .unwrap_or_default()
            .rsplit_once(' ')
            .map_or("", |(line, _)| line)
    }
}

/// Reads one request; `None` when the client left first.
pub async fn read_request(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = head
        .lines()
        .find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length:")?
                .trim()
                .parse::<usize>()
                .ok()
        })
        .unwrap_or(0);
    while bytes.len() < end + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some(Request {
        head,
        body: serde_json::from_slice(&bytes[end..]).unwrap_or(Value::Null),
    })
}

/// A server; dropping it cuts every connection and frees the port.
pub struct Loopback {
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Loopback {
    /// Serves each connection with `serve`, on a free port.
    pub async fn start<S, F>(serve: S) -> Self
    where
        S: Fn(TcpStream) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        Self::start_at("127.0.0.1:0".parse().unwrap(), serve).await
    }

    pub async fn start_at<S, F>(address: SocketAddr, serve: S) -> Self
    where
        S: Fn(TcpStream) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(serve(stream));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, task }
    }

    /// Answers every request with the same bytes and closes.
    pub async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer: Vec<u8> = answer.into();
        Self::start(move |mut stream| {
            let answer = answer.clone();
            async move {
                if read_request(&mut stream).await.is_some() {
                    send(&mut stream, &answer).await;
                }
            }
        })
        .await
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Writes; whether the client was still there.
pub async fn send(stream: &mut TcpStream, bytes: &[u8]) -> bool {
    stream.write_all(bytes).await.is_ok() && stream.flush().await.is_ok()
}

/// A head for a streamed body that ends with the connection.
pub fn stream_head(kind: &str) -> Vec<u8> {
    format!("HTTP/1.0 200 OK\r\nContent-Type: {kind}\r\n\r\n").into_bytes()
}

/// An answer with a body of known length.
pub fn sized(status: u16, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A plain question.
pub fn asking(words: &str) -> ChatRequest {
    ChatRequest {
        messages: vec![
            Message::new(Role::System, "Be short."),
            Message::new(Role::User, words),
        ],
        tools: Vec::new(),
        max_tokens: 64,
        temperature: 0.0,
    }
}

/// The tool that the scripted model calls.
pub fn weather_tool() -> ToolSpec {
    ToolSpec {
        name: "get_weather".to_owned(),
        description: "Tells the weather of a city.".to_owned(),
        parameters: json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}),
    }
}

/// Everything of one reply.
#[derive(Debug)]
pub struct Reply {
    pub deltas: Vec<Delta>,
    pub error: Option<LlmError>,
}

impl Reply {
    pub fn text(&self) -> String {
        self.deltas
            .iter()
            .filter_map(|delta| {
                if let Delta::Text(text) = delta {
                    Some(text.as_str())
                } else {
                    None
                }
            })
            .collect()
    }

    pub fn texts(&self) -> usize {
        self.deltas
            .iter()
            .filter(|delta| matches!(delta, Delta::Text(_)))
            .count()
    }
}

pub async fn drain(mut stream: DeltaStream) -> Reply {
    let mut reply = Reply {
        deltas: Vec::new(),
        error: None,
    };
    while let Some(delta) = stream.next().await {
        match delta {
            Ok(delta) => reply.deltas.push(delta),
            Err(error) => {
                assert!(reply.error.is_none(), "two errors in one stream");
                reply.error = Some(error);
            }
        }
    }
    reply
}

/// Asks and reads to the end; an error before the stream counts as the reply's. Never longer than 60 s.
pub async fn ask(backend: &dyn LlmBackend, request: ChatRequest) -> Reply {
    let work = async {
        match backend.chat(request).await {
            Ok(stream) => drain(stream).await,
            Err(error) => Reply {
                deltas: Vec::new(),
                error: Some(error),
            },
        }
    };
    tokio::time::timeout(Duration::from_secs(60), work)
        .await
        .expect("every reply ends")
}

/// A captured HTTP answer, its chunks joined.
pub struct Captured {
    pub status: u16,
    pub kind: String,
    pub body: Vec<u8>,
}

pub fn captured(bytes: &[u8]) -> Option<Captured> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let header = |name: &str| {
        head.lines()
            .find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()))
    };
    let body = if header("transfer-encoding:").as_deref() == Some("chunked") {
        unchunk(&bytes[end..])
    } else {
        bytes[end..].to_vec()
    };
    Some(Captured {
        status: head.split(' ').nth(1)?.parse().ok()?,
        kind: header("content-type:").unwrap_or_default(),
        body,
    })
}

fn unchunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(at) = rest.windows(2).position(|two| two == b"\r\n") {
        let Ok(size) = usize::from_str_radix(String::from_utf8_lossy(&rest[..at]).trim(), 16)
        else {
            break;
        };
        let (start, stop) = (at + 2, (at + 2 + size).min(rest.len()));
        body.extend_from_slice(&rest[start..stop]);
        rest = rest.get(stop + 2..).unwrap_or_default();
        if size == 0 {
            break;
        }
    }
    body
}

/// A file of `tests/data/llm`.
pub fn data(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/llm")
        .join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The folder of assets that are not part of the repository, when it is there.
pub fn shared_assets(below: &str) -> Option<PathBuf> {
    let root = std::env::var_os("HARK_TEST_ASSETS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    let path = root.join(below);
    if path.is_dir() {
        return Some(path);
    }
    say(&format!(
        "skipped: {} is not there (HARK_TEST_ASSETS names the folder of test assets)",
        path.display()
    ));
    None
}

/// Prints past the capture of the test runner: a skipped test must not look like a passed one.
pub fn say(line: &str) {
    writeln!(std::io::stderr(), "{line}").expect("stderr is open");
}
