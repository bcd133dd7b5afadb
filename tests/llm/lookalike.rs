//! A loopback server that answers as Ollama does: it replays the captured lines of `tests/data/llm` one chunk at a time.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::support::{Loopback, Request, captured, data, read_request, send, sized};

/// What the server has been asked and is doing.
#[derive(Default)]
pub struct Seen {
    pub bodies: Mutex<Vec<Value>>,
    pub paths: Mutex<Vec<String>>,
    /// Replies that are being generated.
    pub working: AtomicUsize,
}

/// What it has installed and loaded.
#[derive(Clone)]
pub struct Shelf {
    pub tags: Value,
    pub ps: Value,
    /// `/api/ps` does not answer: a load is under way.
    pub loading: Arc<AtomicBool>,
}

impl Default for Shelf {
    fn default() -> Self {
        Self {
            tags: json!({"models": [
                {"name": "embed:latest", "capabilities": ["embedding"]},
                {"name": "cloud:latest", "capabilities": ["completion"], "remote_host": "https://elsewhere.example"},
                {"name": "tiny:latest", "capabilities": ["completion", "tools"]},
                {"name": "big:latest", "capabilities": ["completion", "tools"]},
            ]}),
            ps: json!({"models": []}),
            loading: Arc::new(AtomicBool::new(false)),
        }
    }
}

pub struct LookAlike {
    pub server: Loopback,
    pub seen: Arc<Seen>,
}

impl LookAlike {
    pub async fn start(shelf: Shelf) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), shelf).await
    }

    pub async fn start_at(address: SocketAddr, shelf: Shelf) -> Self {
        let seen = Arc::new(Seen::default());
        let shared = Arc::clone(&seen);
        let serve = move |stream| connection(stream, Arc::clone(&shared), shelf.clone());
        Self {
            server: Loopback::start_at(address, serve).await,
            seen,
        }
    }
}

async fn connection(mut stream: TcpStream, seen: Arc<Seen>, shelf: Shelf) {
    let Some(request) = read_request(&mut stream).await else {
        return;
    };
    seen.paths.lock().unwrap().push(request.line().to_owned());
    match request.line() {
        "GET /api/version" => drop(send(&mut stream, &sized(200, r#"{"version":"0.32.15"}"#)).await),
        "GET /api/tags" => drop(send(&mut stream, &sized(200, &shelf.tags.to_string())).await),
        "GET /api/ps" => {
            while shelf.loading.load(Ordering::SeqCst) {
                sleep(Duration::from_millis(10)).await;
            }
            send(&mut stream, &sized(200, &shelf.ps.to_string())).await;
        }
        "POST /api/chat" => chat(&mut stream, &request, &seen, &shelf).await,
        _ => drop(send(&mut stream, b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 18\r\n\r\n404 page not found").await),
    }
}

/// Counts a reply as work for as long as it lives, however it ends.
struct Work(Arc<Seen>);

impl Drop for Work {
    fn drop(&mut self) {
        self.0.working.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn chat(stream: &mut TcpStream, request: &Request, seen: &Arc<Seen>, shelf: &Shelf) {
    seen.bodies.lock().unwrap().push(request.body.clone());
    if let Some((status, error)) = refusal(&request.body, shelf) {
        send(
            stream,
            &sized(status, &json!({ "error": error }).to_string()),
        )
        .await;
        return;
    }
    seen.working.fetch_add(1, Ordering::SeqCst);
    let _work = Work(Arc::clone(seen));
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n";
    if !send(stream, HEAD).await {
        return;
    }
    let limit = request.body["options"]["num_predict"]
        .as_u64()
        .unwrap_or(u64::MAX);
    for (written, line) in lines(&request.body).enumerate() {
        let is_last = line.contains(r#""done":true"#);
        let is_cut = written as u64 == limit && !is_last;
        let line = if is_cut { cut_short(written) } else { line };
        if !send(stream, format!("{:x}\r\n{line}\r\n", line.len()).as_bytes()).await {
            return;
        }
        if is_last || is_cut {
            break;
        }
        sleep(Duration::from_millis(2)).await;
    }
    send(stream, b"0\r\n\r\n").await;
}

/// What Ollama answers before it works: it does not know the model, or cannot read an old call's arguments.
fn refusal(body: &Value, shelf: &Shelf) -> Option<(u16, String)> {
    let messages = body["messages"].as_array().unwrap();
    let mut calls = messages
        .iter()
        .filter_map(|message| message["tool_calls"].as_array())
        .flatten();
    if calls.any(|call| !call["function"]["arguments"].is_object()) {
        return Some((
            400,
            "json: cannot unmarshal string into Go struct field".to_owned(),
        ));
    }
    let model = body["model"].as_str().unwrap_or_default();
    let names = shelf.tags["models"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["name"].as_str().unwrap());
    let known = names
        .into_iter()
        .any(|name| name == model || name.strip_suffix(":latest") == Some(model));
    (!known).then(|| (404, format!("model '{model}' not found")))
}

/// The lines of the reply that fits the conversation: those that the scripted model of the other server says.
fn lines(body: &Value) -> Box<dyn Iterator<Item = String> + Send> {
    let last = body["messages"]
        .as_array()
        .and_then(|messages| messages.last())
        .cloned()
        .unwrap_or_default();
    let words = last["content"].as_str().unwrap_or_default();
    if last["role"] == "tool" {
        let pieces = ["In", " Oslo", " it", " snows", " now", "."];
        let done = file("ollama-text").pop().unwrap();
        return Box::new(pieces.into_iter().map(piece).chain([done]));
    }
    if body["tools"].is_array() {
        return Box::new(file("ollama-call").into_iter());
    }
    if words.contains("sheep") {
        let pieces = ["One", " sheep", " jumps", " over", " a", " fence", "; "];
        return Box::new(pieces.into_iter().cycle().map(piece));
    }
    Box::new(file("ollama-text").into_iter())
}

fn piece(text: &str) -> String {
    format!(
        "{}\n",
        json!({"model": "tiny:latest", "message": {"role": "assistant", "content": text}, "done": false})
    )
}

fn cut_short(tokens: usize) -> String {
    format!(
        "{}\n",
        json!({"message": {"role": "assistant", "content": ""}, "done": true, "done_reason": "length", "prompt_eval_count": 20, "eval_count": tokens})
    )
}

fn file(name: &str) -> Vec<String> {
    let body = captured(&data(&format!("{name}.http"))).unwrap().body;
    String::from_utf8(body)
        .unwrap()
        .lines()
        .map(|line| format!("{line}\n"))
        .collect()
}
