//! The scripted server: the same reply to everybody, each token with the time at which it was sent.
//!
//! Runs on a thread and a runtime of its own for the life of the process. A request with `"max_tokens":1` gets one token at
//! once.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::platform::clock::Clock;

/// What every reply is.
#[derive(Debug, Clone, Copy)]
pub struct Script {
    /// Tokens.
    pub tokens: usize,
    /// From one to the next.
    pub gap: Duration,
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
    std::thread::Builder::new()
        .name("bench-upstream".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                loop {
                    let (stream, _) = listener.accept().await?;
                    tokio::spawn(async move {
                        // A client that leaves early is its own affair.
                        serve(stream, clock, script).await.ok();
                    });
                }
                #[allow(unreachable_code, reason = "it gives the block its type")]
                std::io::Result::Ok(())
            })
        })?;
    Ok(address)
}

async fn serve(mut stream: TcpStream, clock: Clock, script: Script) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let body = request(&mut stream).await?;
    let is_short = find(&body, b"\"max_tokens\":1").is_some();
    let tokens = if is_short { 1 } else { script.tokens };
    stream
        .write_all(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n",
        )
        .await?;
    for token in 0..tokens {
        if token > 0 {
            tokio::time::sleep(script.gap).await;
        }
        let now = clock.now().since_start().as_nanos();
        let event = format!(
            "data: {{\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"scripted\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"@{now};\"}},\"finish_reason\":null}}]}}\n\n"
        );
        stream.write_all(event.as_bytes()).await?;
    }
    stream
        .write_all(b"data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
        .await?;
    stream.shutdown().await
}

/// The body of a request.
async fn request(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(2_048);
    loop {
        if let Some(at) = find(&bytes, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..at]).to_ascii_lowercase();
            let length: usize = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())
                .unwrap_or(0);
            if bytes.len() >= at + 4 + length {
                return Ok(bytes.split_off(at + 4));
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
