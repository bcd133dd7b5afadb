//! A language model that keeps its times: the first token after so long, then so many a second, over the loopback.
//!
//! Speaks as much of the OpenAI dialect as a chat needs. One thread a connection; it ends with the process.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// Its times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Script {
    /// From the request to the first token.
    pub first_token: Duration,
    /// Tokens a second after that.
    pub rate: f64,
}

/// What it says, a token each.
const REPLY: &[&str] = &[
    "It", " is", " sunny", " today", ".", " There", " will", " be", " a", " little", " wind",
    " in", " the", " evening", ".",
];

/// Starts it; its address with `/v1`.
///
/// # Errors
/// The system gives no port.
pub fn start(script: Script) -> std::io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let accept = move || {
        for stream in listener.incoming().flatten() {
            let serve = move || {
                if let Err(error) = serve(stream, script) {
                    tracing::debug!(%error, "a client of the scripted model went away");
                }
            };
            if let Err(error) = std::thread::Builder::new()
                .name("scripted".to_owned())
                .spawn(serve)
            {
                tracing::error!(%error, "no thread for the scripted model");
            }
        }
    };
    std::thread::Builder::new()
        .name("scripted".to_owned())
        .spawn(accept)?;
    Ok(format!("http://{address}/v1"))
}

fn serve(stream: TcpStream, script: Script) -> std::io::Result<()> {
    let mut write = stream.try_clone()?;
    let mut read = BufReader::new(stream);
    loop {
        let mut head = String::new();
        let mut length = 0;
        loop {
            let mut line = String::new();
            if read.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line.trim().is_empty() {
                break;
            }
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length];
        read.read_exact(&mut body)?;
        if head.starts_with("POST") {
            let one = String::from_utf8_lossy(&body)
                .replace(' ', "")
                .contains("\"max_tokens\":1,");
            return reply(&mut write, script, if one { 1 } else { REPLY.len() });
        }
        let models = "{\"object\":\"list\",\"data\":[{\"id\":\"scripted\",\"object\":\"model\"}]}";
        write!(
            write,
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{models}",
            models.len()
        )?;
    }
}

fn reply(write: &mut TcpStream, script: Script, tokens: usize) -> std::io::Result<()> {
    std::thread::sleep(script.first_token);
    write.write_all(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n",
    )?;
    for (index, token) in REPLY.iter().take(tokens).enumerate() {
        if index > 0 {
            std::thread::sleep(Duration::from_secs_f64(1.0 / script.rate));
        }
        let delta =
            serde_json::json!({ "choices": [{ "index": 0, "delta": { "content": token } }] });
        write!(write, "data: {delta}\n\n")?;
        write.flush()?;
    }
    let end = serde_json::json!({
        "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 100, "completion_tokens": tokens }
    });
    write!(write, "data: {end}\n\ndata: [DONE]\n\n")
}
