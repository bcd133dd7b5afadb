//! A client that does nothing but look at its clock: the same bytes on both ways.

use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::upstream::find;
use crate::platform::clock::Clock;

/// Whom to ask.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where.
    pub address: SocketAddr,
    /// With this token.
    pub token: Option<String>,
}

/// What one reply showed.
#[derive(Debug)]
pub struct Heard {
    /// From the request's first byte to the first content, the connection included.
    pub first_ms: f64,
    /// From a later token's sending to its coming.
    pub token_ms: Vec<f64>,
}

/// Asks once, on a new connection; `short` is a reply of one token.
pub async fn ask(target: &Target, clock: Clock, short: bool) -> anyhow::Result<Heard> {
    let limit = if short { 1 } else { 4_096 };
    let body = format!(
        "{{\"model\":\"scripted\",\"stream\":true,\"max_tokens\":{limit},\"messages\":[{{\"role\":\"user\",\"content\":\"hello\"}}]}}"
    );
    let authorization = match &target.token {
        Some(token) => format!("Authorization: Bearer {token}\r\n"),
        None => String::new(),
    };
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: {}\r\n{authorization}Content-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        target.address,
        body.len()
    );
    let began = clock.now();
    let mut stream = TcpStream::connect(target.address)
        .await
        .context("no connection")?;
    stream.set_nodelay(true)?;
    stream.write_all(request.as_bytes()).await?;
    let (mut bytes, mut seen) = (Vec::with_capacity(8_192), 0);
    let (mut first_ms, mut token_ms) = (None, Vec::new());
    loop {
        let read = stream.read_buf(&mut bytes).await?;
        let now = clock.now();
        while let Some((stamp, after)) = stamp(&bytes, seen) {
            seen = after;
            if first_ms.is_none() {
                first_ms = Some(now.since(began).as_secs_f64() * 1e3);
            } else {
                let sent = stamp as f64 / 1e6;
                token_ms.push(now.since_start().as_secs_f64() * 1e3 - sent);
            }
        }
        if read == 0 {
            break;
        }
    }
    ensure!(
        find(&bytes, b"data: [DONE]").is_some(),
        "a reply without its end marker: {}",
        String::from_utf8_lossy(&bytes[..bytes.len().min(300)])
    );
    Ok(Heard {
        first_ms: first_ms.context("a reply without content")?,
        token_ms,
    })
}

/// The next time that a token carries, and where it ends.
fn stamp(bytes: &[u8], from: usize) -> Option<(u64, usize)> {
    let start = from + find(bytes.get(from..)?, b"\"@")? + 2;
    let length = find(&bytes[start..], b";")?;
    let digits = std::str::from_utf8(&bytes[start..start + length]).ok()?;
    Some((digits.parse().ok()?, start + length))
}
