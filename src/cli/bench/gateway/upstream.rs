//! The scripted server: the same reply to everybody, each token with the time at which it was sent.
//!
//! Runs on two threads of its own for the life of the process: one takes requests and sends first tokens, the other sends
//! the later ones, each at its own microsecond. (A runtime's timers go off at whole milliseconds, so all replies would have
//! their tokens at the same instants, and every one but the first would be seen to wait for the others.) A request with
//! `"max_tokens":1` gets one token at once.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::platform::clock::Clock;

/// What every reply is.
#[derive(Debug, Clone, Copy)]
pub struct Script {
    /// Tokens.
    pub tokens: usize,
    /// From one to the next.
    pub gap: Duration,
    /// Whether each connection is closed after its answer.
    pub closes: bool,
}

/// Starts it.
///
/// # Errors
/// The system gives no port or no thread.
pub fn start(clock: Clock, script: Script) -> anyhow::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (later, replies) = mpsc::sync_channel(1_024);
    std::thread::Builder::new()
        .name("bench-tokens".to_owned())
        .spawn(move || pace(&replies, clock, script.gap))?;
    std::thread::Builder::new()
        .name("bench-upstream".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                loop {
                    let (stream, _) = listener.accept().await?;
                    let later = later.clone();
                    tokio::spawn(async move {
                        // A client that leaves early is its own affair.
                        serve(stream, clock, script, &later).await.ok();
                    });
                }
                #[allow(unreachable_code, reason = "it gives the block its type")]
                std::io::Result::Ok(())
            })
        })?;
    Ok(address)
}

/// A reply whose first token has been sent.
struct Begun {
    stream: std::net::TcpStream,
    /// Gives the connection back for the next request.
    done: oneshot::Sender<std::net::TcpStream>,
    due: Instant,
    left: usize,
}

async fn serve(
    mut stream: TcpStream,
    clock: Clock,
    script: Script,
    later: &SyncSender<Begun>,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    loop {
        let (head, body) = request(&mut stream).await?;
        let closes = script.closes || head.contains("\r\nconnection: close");
        let is_short = find(&body, b"\"max_tokens\":1").is_some();
        let tokens = if is_short { 1 } else { script.tokens };
        let connection = if closes { "Connection: close\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n{connection}\r\n"
        );
        // Together, as Ollama's net/http sends them.
        let begin = head + &token(clock);
        stream.write_all(begin.as_bytes()).await?;
        if tokens > 1 {
            let (done, again) = oneshot::channel();
            let begun = Begun {
                stream: stream.into_std()?,
                done,
                due: clock.instant(clock.now()) + script.gap,
                left: tokens - 1,
            };
            let ended = || std::io::Error::from(std::io::ErrorKind::BrokenPipe);
            later.send(begun).map_err(|_| ended())?;
            stream = TcpStream::from_std(again.await.map_err(|_| ended())?)?;
        } else {
            stream.write_all(END).await?;
        }
        if closes {
            return stream.shutdown().await;
        }
    }
}

const END: &[u8] = b"51\r\ndata: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n\r\n0\r\n\r\n";

fn token(clock: Clock) -> String {
    let now = clock.now().since_start().as_nanos();
    let event = format!(
        "data: {{\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"scripted\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"@{now};\"}},\"finish_reason\":null}}]}}\n\n"
    );
    format!("{:x}\r\n{event}\r\n", event.len())
}

/// Sends the later tokens of all replies.
fn pace(replies: &mpsc::Receiver<Begun>, clock: Clock, gap: Duration) {
    let mut due: BinaryHeap<Reverse<(Instant, u64)>> = BinaryHeap::new();
    let mut running = BTreeMap::new();
    let mut count = 0;
    loop {
        let patience = match due.peek() {
            Some(Reverse((at, _))) => at.saturating_duration_since(clock.instant(clock.now())),
            None => Duration::from_secs(3_600),
        };
        match replies.recv_timeout(patience) {
            Ok(begun) => {
                count += 1;
                due.push(Reverse((begun.due, count)));
                running.insert(count, begun);
                continue;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let Some(Reverse((at, number))) = due.pop() else {
            continue;
        };
        let Some(mut reply) = running.remove(&number) else {
            continue;
        };
        reply.left -= 1;
        // A few hundred bytes fit into any socket's buffer; a client that left early is its own affair.
        let mut sent = reply.stream.write_all(token(clock).as_bytes());
        if reply.left == 0 {
            sent = sent.and_then(|()| reply.stream.write_all(END));
        }
        if sent.is_err() {
            continue;
        }
        if reply.left > 0 {
            due.push(Reverse((at + gap, number)));
            running.insert(number, reply);
        } else {
            reply.done.send(reply.stream).ok();
        }
    }
}

/// The head of a request, in lower case, and its body.
async fn request(stream: &mut TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::with_capacity(2_048);
    loop {
        if let Some(at) = find(&bytes, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..at]).to_ascii_lowercase();
            let length: usize = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())
                .unwrap_or(0);
            if bytes.len() >= at + 4 + length {
                let body = bytes.split_off(at + 4);
                return Ok((head, body));
            }
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// The first place of `needle`.
pub fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|part| part == needle)
}
