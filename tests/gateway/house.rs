//! A gateway on a free port before any backend, a scripted backend that tells what it does, and a client.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hark::gateway::admission::Limits;
use hark::gateway::door::Door;
use hark::gateway::gate::Gate;
use hark::gateway::source::{Look, Resident};
use hark::gateway::{self, Parts};
use hark::llm::Timeouts;
use hark::llm::backends::LlmSettings;
use hark::llm::ollama::OllamaSettings;
use hark::llm::openai::OpenAiSettings;
use hark::llm::upstream::Upstream;
use hark::platform::clock::Clock;
use hark::private::Private;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::{Loopback, Request, read_request, send, sized, stream_head};

pub const TOKEN: &str = "the-token-of-the-tests";

/// The longest that anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A gateway that answers until it is dropped.
pub struct House {
    pub address: SocketAddr,
    pub gate: Arc<Gate>,
    pub resident: Arc<Resident>,
    pub client: reqwest::Client,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

/// Which backend stands behind it.
pub fn settings(name: &str, url: &str, timeouts: Timeouts) -> LlmSettings {
    let mut settings = LlmSettings::default();
    match name {
        "ollama" => {
            settings.ollama = OllamaSettings {
                url: url.to_owned(),
                num_ctx: 4_096,
                timeouts,
                ..OllamaSettings::default()
            };
        }
        "mlx" => {
            settings.mlx = OpenAiSettings {
                url: url.to_owned(),
                timeouts,
                ..OpenAiSettings::mlx()
            };
        }
        _ => {
            settings.openai = Some(OpenAiSettings {
                timeouts,
                ..OpenAiSettings::compatible(url)
            });
        }
    }
    settings
}

impl House {
    /// Before the backend `name` at `url`, with one place at the model.
    pub async fn before(name: &'static str, url: &str) -> Self {
        Self::with(name, url, Limits::default(), Timeouts::default()).await
    }

    pub async fn with(name: &'static str, url: &str, limits: Limits, timeouts: Timeouts) -> Self {
        let settings = settings(name, url, timeouts);
        let look: Look = Arc::new(move || {
            let backend = Upstream::open(name, &settings).unwrap();
            Box::pin(async move { Some(Arc::new(backend)) })
        });
        Self::looking(look, limits, None, None).await
    }

    pub async fn looking(
        look: Look,
        limits: Limits,
        hear: Option<gateway::sound::Hear>,
        say: Option<gateway::sound::Say>,
    ) -> Self {
        hark::platform::tls::install();
        let listener = gateway::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let clock = Clock::start();
        let gate = Gate::open(clock, limits);
        let resident = Arc::new(Resident::new(look));
        let parts = Parts {
            door: Door::new(address, Private::from(TOKEN)),
            gate: Arc::clone(&gate),
            sound: Gate::open(clock, Limits::default()),
            resident: Arc::clone(&resident),
            hear,
            say,
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(gateway::serve(listener, parts, stop.clone()));
        Self {
            address,
            gate,
            resident,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            stop,
            task: Some(task),
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn send(&self, path: &str, body: &Value) -> reqwest::Response {
        let sent = self
            .client
            .post(self.url(path))
            .bearer_auth(TOKEN)
            .json(body)
            .send();
        tokio::time::timeout(PATIENCE, sent).await.unwrap().unwrap()
    }

    /// Status and text.
    pub async fn post(&self, path: &str, body: &Value) -> (u16, String) {
        let response = self.send(path, body).await;
        let status = response.status().as_u16();
        let text = tokio::time::timeout(PATIENCE, response.text())
            .await
            .unwrap();
        (status, text.unwrap())
    }

    /// Status and JSON.
    pub async fn ask(&self, path: &str, body: &Value) -> (u16, Value) {
        let (status, text) = self.post(path, body).await;
        let value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}"));
        (status, value)
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        let sent = self.client.get(self.url(path)).bearer_auth(TOKEN).send();
        let response = tokio::time::timeout(PATIENCE, sent).await.unwrap().unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap())
    }

    /// Stops it and waits for its end.
    pub async fn stop(mut self) {
        self.stop.cancel();
        let task = self.task.take().unwrap();
        tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap();
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// The events of a stream: JSON, and the end marker as `Value::Null`.
pub fn events(text: &str) -> Vec<Value> {
    text.split("\n\n")
        .filter_map(|event| event.trim().strip_prefix("data: "))
        .map(|data| match data {
            "[DONE]" => Value::Null,
            data => serde_json::from_str(data).unwrap_or_else(|_| panic!("no JSON: {data}")),
        })
        .collect()
}

/// The lines of a stream of JSON Lines.
pub fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect()
}

/// The text of a stream's events.
pub fn said(events: &[Value]) -> String {
    events
        .iter()
        .filter_map(|event| event["choices"][0]["delta"]["content"].as_str())
        .collect()
}

/// A plain question.
pub fn asking(words: &str, stream: bool) -> Value {
    json!({"model": "gpt-4o", "stream": stream, "messages": [{"role": "user", "content": words}]})
}

/// What a scripted backend has seen and is doing.
#[derive(Default)]
pub struct Work {
    pub bodies: Mutex<Vec<Value>>,
    pub paths: Mutex<Vec<String>>,
    pub now: AtomicUsize,
    pub most: AtomicUsize,
    pub served: AtomicUsize,
}

impl Work {
    pub fn last(&self) -> Value {
        self.bodies.lock().unwrap().last().cloned().unwrap()
    }

    pub fn count(&self) -> usize {
        self.bodies.lock().unwrap().len()
    }

    /// Waits until so many replies are being made.
    pub async fn until_working(&self, count: usize) {
        let by = tokio::time::Instant::now() + PATIENCE;
        while self.now.load(Ordering::SeqCst) != count {
            assert!(tokio::time::Instant::now() < by, "not {count} at work");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// One reply under way.
pub struct Talk {
    pub stream: TcpStream,
    pub body: Value,
    /// The number of the request, from 0.
    pub number: usize,
    work: Arc<Work>,
    whole: bool,
}

impl Talk {
    pub async fn head(&mut self) -> bool {
        send(&mut self.stream, &stream_head("text/event-stream")).await
    }

    pub async fn event(&mut self, event: &Value) -> bool {
        send(&mut self.stream, format!("data: {event}\n\n").as_bytes()).await
    }

    pub async fn say(&mut self, text: &str) -> bool {
        self.event(&json!({"id": "theirs", "object": "chat.completion.chunk", "created": 1, "model": "/secret/path/model",
            "choices": [{"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": null}]}))
            .await
    }

    pub async fn done(mut self) {
        self.event(&json!({"id": "theirs", "model": "/secret/path/model", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})).await;
        self.event(
            &json!({"id": "theirs", "model": "/secret/path/model", "choices": [], "usage":
            {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}}),
        )
        .await;
        self.whole = send(&mut self.stream, b"data: [DONE]\n\n").await;
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.work.now.fetch_sub(1, Ordering::SeqCst);
        if self.whole {
            self.work.served.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// A backend of the OpenAI dialect whose replies are made by `reply`.
pub struct Scripted {
    pub server: Loopback,
    pub work: Arc<Work>,
}

impl Scripted {
    pub async fn start<F>(reply: impl Fn(Talk) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let work = Arc::new(Work::default());
        let (shared, reply) = (Arc::clone(&work), Arc::new(reply));
        let server = Loopback::start(move |mut stream| {
            let (work, reply) = (Arc::clone(&shared), Arc::clone(&reply));
            async move {
                let Some(request) = read_request(&mut stream).await else {
                    return;
                };
                work.paths.lock().unwrap().push(request.line().to_owned());
                if !request.line().starts_with("POST") {
                    let list =
                        json!({"object": "list", "data": [{"id": "scripted", "object": "model"}]});
                    send(&mut stream, &sized(200, &list.to_string())).await;
                    return;
                }
                let talk = begin(stream, request, work);
                reply(talk).await;
            }
        })
        .await;
        Self { server, work }
    }

    /// Says "One sheep.", a word an event.
    pub async fn polite() -> Self {
        Self::start(|mut talk| async move {
            talk.head().await;
            for word in ["One", " sheep", "."] {
                talk.say(word).await;
            }
            talk.done().await;
        })
        .await
    }

    /// Counts sheep until the client leaves, or until the gate is opened.
    pub async fn endless(open: watch::Receiver<bool>) -> Self {
        Self::start(move |mut talk| {
            let mut open = open.clone();
            async move {
                talk.head().await;
                let mut sheep = 0;
                while !*open.borrow_and_update() {
                    sheep += 1;
                    if !talk.say(&format!(" sheep {sheep}")).await {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(3)).await;
                }
                talk.done().await;
            }
        })
        .await
    }

    pub fn url(&self) -> String {
        format!("{}/v1", self.server.url())
    }
}

fn begin(stream: TcpStream, request: Request, work: Arc<Work>) -> Talk {
    let number = {
        let mut bodies = work.bodies.lock().unwrap();
        bodies.push(request.body.clone());
        bodies.len() - 1
    };
    let now = work.now.fetch_add(1, Ordering::SeqCst) + 1;
    work.most.fetch_max(now, Ordering::SeqCst);
    Talk {
        stream,
        body: request.body,
        number,
        work,
        whole: false,
    }
}
