//! What every backend must do, as one function that runs on the real mlx_lm.server and on the Ollama look-alike.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use hark::agent::consent::Permissions;
use hark::agent::decision::Decision;
use hark::agent::engine::{AgentEvent, Ask, Ended, Limits, reply};
use hark::agent::journal::Journal;
use hark::agent::prompt::{History, SYSTEM, question};
use hark::agent::tools::Toolbox;
use hark::llm::ollama::{Ollama, OllamaSettings};
use hark::llm::openai::{OpenAi, OpenAiSettings};
use hark::llm::{
    ChatRequest, Delta, DeltaStream, FinishReason, LlmBackend, LlmError, Message, Role, Timeouts,
    ToolCall,
};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::lookalike::{LookAlike, Shelf};
use crate::mlx::MlxServer;
use crate::support::{ask, asking, drain, say, weather_tool};

/// A server that the contract can start, kill and look into.
trait Rig: Send {
    fn start(&mut self) -> BoxFuture<'_, ()>;
    fn kill(&mut self);
    /// A client of it; with a model's name when that is to be wrong.
    fn backend(&self, model: Option<&str>) -> Arc<dyn LlmBackend>;
    /// Resolves when the server has stopped working on a reply whose client has left.
    fn idle(&self) -> BoxFuture<'_, ()>;
    /// Shows that it is at work, so that `idle` means something.
    fn assert_working<'a>(&'a self, stream: &'a mut DeltaStream) -> BoxFuture<'a, ()>;
}

async fn contract(rig: &mut dyn Rig) {
    let backend = rig.backend(None);
    not_up_yet(backend.as_ref()).await;
    rig.start().await;
    becomes_ready(backend.as_ref()).await;
    answers_in_text(backend.as_ref()).await;
    obeys_the_limit(backend.as_ref()).await;
    calls_tools(backend.as_ref()).await;
    survives_a_wrong_model_name(rig, backend.as_ref()).await;
    stops_when_we_leave(rig, backend.as_ref()).await;
    is_cut_by_a_killed_server_and_comes_back(rig, backend.as_ref()).await;
}

async fn not_up_yet(backend: &dyn LlmBackend) {
    assert!(!backend.reachable().await);
    let reply = ask(backend, asking("Hello")).await;
    assert!(
        matches!(reply.error, Some(LlmError::Unreachable { .. })),
        "{:?}",
        reply.error
    );
}

async fn becomes_ready(backend: &dyn LlmBackend) {
    let usage = timeout(Duration::from_secs(90), backend.warm(asking("Hello")))
        .await
        .expect("ready in time")
        .expect("ready");
    assert_eq!(usage.completion_tokens, Some(1));
    assert!(backend.reachable().await);
}

async fn answers_in_text(backend: &dyn LlmBackend) {
    let reply = ask(backend, asking("Hello")).await;
    assert!(reply.error.is_none(), "{:?}", reply.error);
    assert_eq!(reply.text(), "Good evening, this is the scripted model.");
    assert_eq!(
        reply.texts(),
        9,
        "token by token, none of them empty: {:?}",
        reply.deltas
    );
    let place = |wanted: fn(&Delta) -> bool| reply.deltas.iter().rposition(wanted);
    assert!(
        place(|delta| matches!(delta, Delta::Prefill { .. }))
            < place(|delta| matches!(delta, Delta::Text(_)))
    );
    assert!(
        !reply
            .deltas
            .iter()
            .any(|delta| matches!(delta, Delta::Reasoning(_))),
        "thinking is off"
    );
    let Some(Delta::Done { reason, usage }) = reply.deltas.last() else {
        panic!("{:?}", reply.deltas)
    };
    assert_eq!(*reason, FinishReason::Stop);
    assert!(
        usage.prompt_tokens > Some(5) && usage.completion_tokens > Some(8),
        "{usage:?}"
    );
}

async fn obeys_the_limit(backend: &dyn LlmBackend) {
    let reply = ask(
        backend,
        ChatRequest {
            max_tokens: 4,
            ..asking("Count sheep")
        },
    )
    .await;
    assert_eq!(reply.text(), "One sheep jumps over");
    assert!(
        matches!(
            reply.deltas.last(),
            Some(Delta::Done {
                reason: FinishReason::Length,
                ..
            })
        ),
        "{:?}",
        reply.deltas
    );
}

async fn calls_tools(backend: &dyn LlmBackend) {
    let request = ChatRequest {
        tools: vec![weather_tool()],
        ..asking("How is the weather?")
    };
    let reply = ask(backend, request.clone()).await;
    let calls: Vec<&ToolCall> = reply
        .deltas
        .iter()
        .filter_map(|delta| {
            if let Delta::ToolCall(call) = delta {
                Some(call)
            } else {
                None
            }
        })
        .collect();
    let [call] = calls[..] else {
        panic!("{reply:?}")
    };
    assert_eq!(
        (call.name.as_str(), &call.arguments),
        ("get_weather", &json!({"city": "Oslo"}))
    );
    assert!(!call.id.is_empty() && reply.text().is_empty());
    // The scripted model thinks before it calls unless it is told not to.
    assert!(
        !reply
            .deltas
            .iter()
            .any(|delta| matches!(delta, Delta::Reasoning(_))),
        "thinking is off"
    );
    assert!(matches!(
        reply.deltas.last(),
        Some(Delta::Done {
            reason: FinishReason::ToolCalls,
            ..
        })
    ));
    takes_a_result(backend, request, call).await;
}

/// The call goes back with its result; another one, whose arguments the model had broken, must do no harm in the history.
async fn takes_a_result(backend: &dyn LlmBackend, mut request: ChatRequest, call: &ToolCall) {
    let broken = ToolCall {
        id: "call_2".to_owned(),
        arguments: json!("{\"city\": "),
        ..call.clone()
    };
    let result = |call: &ToolCall, words: &str| Message {
        tool_call_id: Some(call.id.clone()),
        tool_name: Some(call.name.clone()),
        ..Message::new(Role::Tool, words)
    };
    let calls = vec![broken.clone(), call.clone()];
    request.messages.push(Message {
        tool_calls: calls,
        ..Message::new(Role::Assistant, "")
    });
    request.messages.extend([
        result(&broken, "error: the arguments are not JSON"),
        result(call, "snow"),
    ]);
    let reply = ask(backend, request).await;
    assert!(reply.error.is_none(), "{:?}", reply.error);
    assert_eq!(reply.text(), "In Oslo it snows now.");
}

async fn survives_a_wrong_model_name(rig: &dyn Rig, backend: &dyn LlmBackend) {
    let wrong = rig.backend(Some("no/such-model"));
    let reply = ask(wrong.as_ref(), asking("Hello")).await;
    let Some(LlmError::NoModel { model, message }) = reply.error else {
        panic!("{:?}", reply.error)
    };
    assert_eq!(model, "no/such-model");
    assert!(!message.is_empty());
    assert_eq!(
        ask(backend, asking("Hello")).await.texts(),
        9,
        "the next request works"
    );
}

async fn stops_when_we_leave(rig: &dyn Rig, backend: &dyn LlmBackend) {
    let endless = ChatRequest {
        max_tokens: 100_000,
        ..asking("Count sheep")
    };
    let mut stream = backend.chat(endless).await.expect("a stream");
    rig.assert_working(&mut stream).await;
    drop(stream);
    timeout(Duration::from_secs(10), rig.idle())
        .await
        .expect("the server stops working when its client leaves");
    assert_eq!(
        ask(backend, asking("Hello")).await.texts(),
        9,
        "and serves the next one"
    );
}

async fn is_cut_by_a_killed_server_and_comes_back(rig: &mut dyn Rig, backend: &dyn LlmBackend) {
    let endless = ChatRequest {
        max_tokens: 100_000,
        ..asking("Count sheep")
    };
    let mut stream = backend.chat(endless).await.expect("a stream");
    while !matches!(
        stream.next().await.expect("more").expect("no error yet"),
        Delta::Text(_)
    ) {}
    rig.kill();
    let rest = timeout(Duration::from_secs(10), drain(stream))
        .await
        .expect("the end is noticed");
    assert!(
        matches!(rest.error, Some(LlmError::Cut)),
        "{:?}",
        rest.error
    );
    not_up_yet(backend).await;
    rig.start().await;
    becomes_ready(backend).await;
    answers_in_text(backend).await;
}

impl Rig for MlxServer {
    fn start(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(MlxServer::start(self))
    }

    fn kill(&mut self) {
        MlxServer::kill(self);
    }

    fn backend(&self, model: Option<&str>) -> Arc<dyn LlmBackend> {
        let model = model.map(str::to_owned);
        Arc::new(
            OpenAi::new(OpenAiSettings {
                url: self.url(),
                model,
                ..OpenAiSettings::mlx()
            })
            .expect("a valid address"),
        )
    }

    /// Less than 5 % of a processor in a second of looking.
    fn idle(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            loop {
                let before = self.cpu_seconds();
                sleep(Duration::from_secs(1)).await;
                if self.cpu_seconds() - before < 0.05 {
                    return;
                }
            }
        })
    }

    fn assert_working<'a>(&'a self, stream: &'a mut DeltaStream) -> BoxFuture<'a, ()> {
        Box::pin(async {
            let (before, began) = (self.cpu_seconds(), Instant::now());
            while began.elapsed() < Duration::from_secs(1) {
                stream.next().await.expect("endless").expect("no error");
            }
            let used = self.cpu_seconds() - before;
            assert!(
                used > 0.1,
                "only {used} s of processor time in a second of generation"
            );
        })
    }
}

/// The look-alike at an address that stays its own when it is down.
struct OllamaRig {
    address: std::net::SocketAddr,
    running: Option<LookAlike>,
}

impl Rig for OllamaRig {
    fn start(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.running = Some(LookAlike::start_at(self.address, Shelf::default()).await)
        })
    }

    fn kill(&mut self) {
        self.running = None;
    }

    fn backend(&self, model: Option<&str>) -> Arc<dyn LlmBackend> {
        let (url, model) = (format!("http://{}", self.address), model.map(str::to_owned));
        Arc::new(
            Ollama::new(OllamaSettings {
                url,
                model,
                ..OllamaSettings::default()
            })
            .expect("a valid address"),
        )
    }

    fn idle(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            while self
                .running
                .as_ref()
                .unwrap()
                .seen
                .working
                .load(Ordering::SeqCst)
                > 0
            {
                sleep(Duration::from_millis(5)).await;
            }
        })
    }

    fn assert_working<'a>(&'a self, stream: &'a mut DeltaStream) -> BoxFuture<'a, ()> {
        Box::pin(async {
            for _ in 0..20 {
                stream.next().await.expect("endless").expect("no error");
            }
            assert_eq!(
                self.running
                    .as_ref()
                    .unwrap()
                    .seen
                    .working
                    .load(Ordering::SeqCst),
                1
            );
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_real_mlx_server_keeps_the_contract() {
    let Some(mut server) = MlxServer::prepare() else {
        return;
    };
    contract(&mut server).await;
}

#[tokio::test]
async fn an_ollama_look_alike_keeps_the_contract() {
    let address = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    contract(&mut OllamaRig {
        address,
        running: None,
    })
    .await;
}

/// Asks through the engine and returns the milliseconds from the request to the first token.
async fn first_token_ms(backend: &Arc<dyn LlmBackend>, history: &History, words: &str) -> f64 {
    let (sender, mut events) = mpsc::channel(64);
    let ask = Ask {
        backend: Arc::clone(backend),
        system: SYSTEM.into(),
        history: history.clone(),
        question: question(words, Some("Tuesday, 24 November 2026, 07:12")),
        tools: Toolbox::default(),
        permissions: Permissions::default(),
        granted: None,
        journal: Journal::default(),
        limits: Limits {
            temperature: 0.0,
            ..Limits::default()
        },
        decided: Decision::made(),
        language: None,
    };
    let task = tokio::spawn(reply(ask, CancellationToken::new(), sender));
    let (mut requested, mut first) = (None, None);
    while let Some(event) = events.recv().await {
        match event {
            AgentEvent::Requested(_) => requested = Some(Instant::now()),
            AgentEvent::FirstToken => first = Some(Instant::now()),
            _ => {}
        }
    }
    assert_eq!(task.await.expect("no panic"), Ended::Done);
    first
        .expect("a token")
        .duration_since(requested.expect("a request"))
        .as_secs_f64()
        * 1e3
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_turn_finds_the_static_prompt_in_the_real_servers_cache() {
    let Some(mut server) = MlxServer::prepare() else {
        return;
    };
    MlxServer::start(&mut server).await;
    let backend: Arc<dyn LlmBackend> = server.backend(None);
    let mut history = History::default();
    let cold = first_token_ms(&backend, &history, "Hello").await;
    history.push(
        question("Hello", Some("Tuesday, 24 November 2026, 07:12")),
        "Good evening, this is the scripted model.",
    );
    let mut warm: Vec<f64> = Vec::new();
    for _ in 0..5 {
        warm.push(first_token_ms(&backend, &history, "And again").await);
    }
    warm.sort_by(f64::total_cmp);
    say(&format!(
        "first token through the engine from the real mlx_lm.server: cold (model still loading) {cold:.0} ms, then min {:.0}, median {:.0} ms",
        warm[0], warm[2]
    ));
    let request = ChatRequest {
        messages: hark::agent::prompt::assemble(SYSTEM, &history, question("What else", None)),
        max_tokens: 8,
        ..asking("")
    };
    let reply = ask(backend.as_ref(), request).await;
    let Some(Delta::Done { usage, .. }) = reply.deltas.last() else {
        panic!("{reply:?}")
    };
    let (prompt, cached) = (usage.prompt_tokens.unwrap(), usage.cached_tokens.unwrap());
    assert!(
        cached * 10 > prompt * 9,
        "only {cached} of {prompt} prompt tokens were cached"
    );
    assert!(
        !server.read_log().contains("Traceback"),
        "{}",
        server.read_log()
    );
}

#[tokio::test]
async fn a_cold_load_is_waited_for_without_a_byte() {
    let Some(mut server) = MlxServer::prepare() else {
        return;
    };
    MlxServer::start(&mut server).await;
    // The port is open, the model is not loaded: the first request waits, whatever the silence limit says.
    let timeouts = Timeouts {
        silence: Duration::from_secs(20),
        ..Timeouts::default()
    };
    let backend = OpenAi::new(OpenAiSettings {
        url: server.url(),
        timeouts,
        ..OpenAiSettings::mlx()
    })
    .expect("a valid address");
    assert_eq!(ask(&backend, asking("Hello")).await.texts(), 9);
}
