//! A small HTTP server on the loopback, with the faults of real ones.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How one request is answered.
#[derive(Debug, Clone)]
pub enum Reply {
    /// As a good server does, with ranges and `If-Range`.
    Good,
    /// Good, but the connection closes after that many bytes of the body.
    CutAfter(usize),
    /// The whole file, whatever range was asked for.
    NoRanges,
    /// The asked range of whatever is there now, ignoring `If-Range`, and without validators in the answer if `bare`.
    BlindRange {
        /// Whether `ETag` is left out.
        bare: bool,
    },
    /// The whole file without a length, ended by closing.
    NoLength,
    /// Another status, without a body.
    Status(&'static str),
}

/// What the server holds; tests change it between requests.
pub struct Served {
    pub body: Vec<u8>,
    pub etag: String,
    /// Replies for the next requests; when it is empty, `Good`.
    pub script: VecDeque<Reply>,
    /// The `Range` and `If-Range` of each request.
    pub seen: Vec<(Option<String>, Option<String>)>,
}

pub struct Server {
    pub url: String,
    pub served: Arc<Mutex<Served>>,
}

impl Server {
    pub async fn start(body: Vec<u8>, script: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a loopback port");
        let url = format!(
            "http://{}/models",
            listener.local_addr().expect("an address")
        );
        let served = Served {
            body,
            etag: "\"one\"".to_owned(),
            script: script.into_iter().collect(),
            seen: Vec::new(),
        };
        let served = Arc::new(Mutex::new(served));
        let shared = Arc::clone(&served);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("accepts");
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { url, served }
    }

    pub fn requests(&self) -> usize {
        self.served.lock().expect("no panic").seen.len()
    }
}

async fn serve(mut stream: TcpStream, served: Arc<Mutex<Served>>) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            // A TLS greeting: a plain server does not understand it and hangs up.
            Ok(_) if buffer[0] == 0x16 && request.is_empty() => return,
            Ok(read) => request.extend_from_slice(&buffer[..read]),
        }
    }
    let request = String::from_utf8_lossy(&request).to_lowercase();
    let header = |name: &str| {
        let line = request
            .lines()
            .find(|line| line.starts_with(&format!("{name}:")))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let answer = {
        let mut served = served.lock().expect("no panic");
        served.seen.push((header("range"), header("if-range")));
        let reply = served.script.pop_front().unwrap_or(Reply::Good);
        answer(&served, &reply, header("range"), header("if-range"))
    };
    // A client that hangs up early is part of the tests.
    drop(stream.write_all(&answer).await);
    drop(stream.shutdown().await);
}

fn answer(
    served: &Served,
    reply: &Reply,
    range: Option<String>,
    if_range: Option<String>,
) -> Vec<u8> {
    let start: Option<usize> = range.and_then(|range| {
        range
            .strip_prefix("bytes=")?
            .strip_suffix('-')?
            .parse()
            .ok()
    });
    let total = served.body.len();
    let etag = format!("ETag: {}\r\n", served.etag);
    let whole = |body: &[u8]| {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n{etag}Connection: close\r\n\r\n"
        );
        [head.as_bytes(), body].concat()
    };
    let partial = |start: usize, etag: &str, body: &[u8]| {
        let (length, last) = (total - start, total - 1);
        let head = format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Length: {length}\r\n\
             Content-Range: bytes {start}-{last}/{total}\r\n{etag}Connection: close\r\n\r\n"
        );
        [head.as_bytes(), body].concat()
    };
    let fresh = if_range.is_none_or(|tag| tag == served.etag);
    match (reply, start) {
        (Reply::Status(status), _) => {
            format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").into_bytes()
        }
        (Reply::NoLength, _) => {
            [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".as_slice(), &served.body].concat()
        }
        (Reply::BlindRange { bare }, Some(start)) if start < total => {
            partial(start, if *bare { "" } else { &etag }, &served.body[start..])
        }
        (Reply::Good | Reply::CutAfter(_), Some(start)) if fresh && start >= total => {
            format!("HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */{total}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                .into_bytes()
        }
        (Reply::Good, Some(start)) if fresh => partial(start, &etag, &served.body[start..]),
        (Reply::CutAfter(after), Some(start)) if fresh => {
            partial(start, &etag, &served.body[start..(start + after).min(total)])
        }
        (Reply::CutAfter(after), _) => whole(&served.body[..(*after).min(total)]),
        _ => whole(&served.body),
    }
}
