//! A language model made of a closure: a loopback server that speaks the OpenAI dialect, a connection a request.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::PATIENCE;

/// The reply under way. Dropping it without [`Talk::done`] is a server that dies in mid-stream.
pub struct Talk {
    stream: TcpStream,
    /// Words sent so far: an event with their count as usage ends the reply.
    pieces: u32,
}

impl Talk {
    /// Sends a piece of text; `false` when nobody listens any more.
    pub fn say(&mut self, text: &str) -> bool {
        self.pieces += 1;
        let delta = json!({"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": null});
        self.send(
            &json!({"object": "chat.completion.chunk", "model": "scripted", "choices": [delta]}),
        )
    }

    /// Calls a tool instead of (further) words, and ends the reply.
    pub fn call(mut self, name: &str, arguments: &Value) {
        let function = json!({"name": name, "arguments": arguments.to_string()});
        let call = json!({"index": 0, "id": format!("call-{name}"), "type": "function", "function": function});
        let delta = json!({"index": 0, "delta": {"role": "assistant", "tool_calls": [call]}, "finish_reason": null});
        let end = json!({"index": 0, "delta": {}, "finish_reason": "tool_calls"});
        let whole = [delta, end].iter().all(|choice| {
            self.send(&json!({"object": "chat.completion.chunk", "model": "scripted", "choices": [choice]}))
        });
        if !(whole && self.stream.write_all(b"data: [DONE]\n\n").is_ok()) {
            eprintln!("the client left before the end of the call");
        }
    }

    /// Ends the reply as the dialect wants it.
    pub fn done(mut self) {
        let stop = json!({"index": 0, "delta": {}, "finish_reason": "stop"});
        let usage = json!({"prompt_tokens": 321, "completion_tokens": self.pieces,
            "prompt_tokens_details": {"cached_tokens": 300}});
        let whole = self.send(&json!({"object": "chat.completion.chunk", "model": "scripted", "choices": [stop]}))
            && self.send(&json!({"object": "chat.completion.chunk", "model": "scripted", "choices": [], "usage": usage}))
            && self.stream.write_all(b"data: [DONE]\n\n").is_ok();
        if !whole {
            eprintln!("the client left before the end of the reply");
        }
    }

    fn send(&mut self, event: &Value) -> bool {
        let line = format!("data: {event}\n\n");
        self.stream.write_all(line.as_bytes()).is_ok() && self.stream.flush().is_ok()
    }
}

/// A model that answers the chat request of a number (from 0).
pub struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Value>>>,
    over: Arc<AtomicBool>,
}

impl Server {
    pub fn start(reply: impl Fn(usize, Talk) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let over = Arc::new(AtomicBool::new(false));
        let (reply, log, end) = (Arc::new(reply), Arc::clone(&seen), Arc::clone(&over));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                let (reply, log) = (Arc::clone(&reply), Arc::clone(&log));
                std::thread::spawn(move || serve(stream.unwrap(), &log, &*reply));
            }
        });
        Self {
            address,
            seen,
            over,
        }
    }

    /// The settings that name it.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("HARK_LLM_BACKEND", "openai".to_owned()),
            ("HARK_LLM_OPENAI_URL", format!("http://{}/v1", self.address)),
            ("HARK_LLM_OPENAI_MODEL", "scripted".to_owned()),
        ]
    }

    /// The bodies of the chat requests so far.
    pub fn requests(&self) -> Vec<Value> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
    }
}

fn serve(mut stream: TcpStream, seen: &Mutex<Vec<Value>>, reply: &(dyn Fn(usize, Talk) + Sync)) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let Some((head, body)) = request(&mut stream) else {
        return;
    };
    if head.starts_with("POST /v1/chat/completions ") {
        let number = {
            let mut seen = seen.lock().unwrap();
            seen.push(body);
            seen.len() - 1
        };
        let opened = b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
        if stream.write_all(opened).is_ok() {
            reply(number, Talk { stream, pieces: 0 });
        }
        return;
    }
    let list =
        json!({"object": "list", "data": [{"id": "scripted", "object": "model"}]}).to_string();
    let answer = format!(
        "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{list}",
        list.len()
    );
    drop(stream.write_all(answer.as_bytes()));
}

/// The head and the body of a request; `None` when the client left first.
fn request(stream: &mut TcpStream) -> Option<(String, Value)> {
    let mut bytes = Vec::new();
    let mut block = [0; 4_096];
    loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..at]).into_owned();
            let length = head.lines().find_map(|line| {
                let line = line.to_ascii_lowercase();
                line.strip_prefix("content-length:")?.trim().parse().ok()
            });
            let body = &bytes[at + 4..];
            if body.len() >= length.unwrap_or(0) {
                return Some((head, serde_json::from_slice(body).unwrap_or(Value::Null)));
            }
        }
        match stream.read(&mut block) {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend_from_slice(&block[..read]),
        }
    }
}

/// A gate that a reply waits at.
#[derive(Default)]
pub struct Gate {
    open: Mutex<Option<Instant>>,
    opened: Condvar,
}

impl Gate {
    pub fn open(&self) {
        *self.open.lock().unwrap() = Some(Instant::now());
        self.opened.notify_all();
    }

    /// Waits until it is open; `false` after `limit`.
    pub fn pass(&self, limit: Duration) -> bool {
        let waited = self
            .opened
            .wait_timeout_while(self.open.lock().unwrap(), limit, |open| open.is_none())
            .unwrap();
        waited.0.is_some()
    }
}
