//! A conversation with tools: the scripted model of the real mlx_lm.server calls a tool, gets the result and answers, and so
//! does a server that replays what a real Ollama has written.

use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use hark::agent::consent::Permissions;
use hark::agent::decision::Decision;
use hark::agent::engine::{AgentEvent, Ask, Ended, Limits, reply};
use hark::agent::journal::Journal;
use hark::agent::prompt::{History, SYSTEM, question};
use hark::agent::tools::{Class, Tool, ToolError, ToolOutput, Toolbox};
use hark::llm::ollama::{Ollama, OllamaSettings};
use hark::llm::openai::{OpenAi, OpenAiSettings};
use hark::llm::{LlmBackend, Message, ToolSpec};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::lookalike::{LookAlike, Shelf};
use crate::mlx::MlxServer;

/// The tool that the scripted model knows.
struct Weather {
    class: Class,
    asked: Mutex<Vec<Value>>,
}

impl Tool for Weather {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "get_weather".to_owned(),
            description: "Tells the weather of a city.".to_owned(),
            parameters: json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}),
        }
    }

    fn class(&self, _: &Value) -> Class {
        self.class
    }

    fn filler(&self, arguments: &Value) -> String {
        format!(
            "Looking at the weather in {}.",
            arguments["city"].as_str().unwrap_or("the city")
        )
    }

    fn confirmation(&self, arguments: &Value) -> String {
        format!(
            "Ask about {}?",
            arguments["city"].as_str().unwrap_or("the city")
        )
    }

    fn call(
        &self,
        arguments: Value,
        _: CancellationToken,
    ) -> BoxFuture<'_, Result<ToolOutput, ToolError>> {
        self.asked.lock().unwrap().push(arguments);
        Box::pin(async {
            Ok(ToolOutput {
                content: "snow".to_owned(),
                did: None,
            })
        })
    }
}

/// What a reply said and did, in short words.
async fn run(ask: Ask) -> Vec<String> {
    let (sender, mut events) = mpsc::channel(64);
    let task = tokio::spawn(reply(ask, CancellationToken::new(), sender));
    let (mut told, mut text) = (Vec::new(), String::new());
    while let Some(event) = events.recv().await {
        match event {
            AgentEvent::Text(piece) => text.push_str(piece.as_str()),
            AgentEvent::ToolBegun { name, filler } => {
                told.push(format!("{name}: {}", filler.as_str()))
            }
            AgentEvent::ToolEnded { name, outcome } => told.push(format!("{name} {outcome}")),
            AgentEvent::Asks(question) => told.push(question.into_inner()),
            _ => {}
        }
    }
    assert_eq!(task.await.unwrap(), Ended::Done);
    if !text.is_empty() {
        told.push(text);
    }
    told
}

fn ask(
    backend: &Arc<dyn LlmBackend>,
    tool: &Arc<Weather>,
    journal: &Journal,
    asked: Message,
) -> Ask {
    Ask {
        backend: Arc::clone(backend),
        system: SYSTEM.into(),
        history: History::default(),
        question: asked,
        tools: Toolbox::new(vec![Arc::clone(tool) as _]),
        permissions: Permissions::default(),
        granted: None,
        journal: journal.clone(),
        limits: Limits {
            temperature: 0.0,
            ..Limits::default()
        },
        decided: Decision::made(),
        language: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_real_servers_model_calls_a_tool_gets_the_result_and_answers() {
    let Some(mut server) = MlxServer::prepare() else {
        return;
    };
    server.start().await;
    let settings = OpenAiSettings {
        url: server.url(),
        ..OpenAiSettings::mlx()
    };
    converse(Arc::new(OpenAi::new(settings).unwrap())).await;
}

/// Ollama gives a whole call in one line, its arguments as an object, and wants them back as an object.
#[tokio::test]
async fn the_same_conversation_in_ollamas_dialect() {
    let ollama = LookAlike::start(Shelf::default()).await;
    let settings = OllamaSettings {
        url: ollama.server.url(),
        model: Some("tiny".to_owned()),
        ..OllamaSettings::default()
    };
    converse(Arc::new(Ollama::new(settings).unwrap())).await;
    let bodies = ollama.seen.bodies.lock().unwrap();
    let after_the_call = &bodies[1]["messages"];
    let messages = after_the_call.as_array().unwrap();
    let [.., call, result] = &messages[..] else {
        panic!("{after_the_call}");
    };
    assert_eq!(
        call["tool_calls"][0]["function"]["arguments"],
        json!({"city": "Oslo"})
    );
    assert_eq!(
        (&result["role"], &result["tool_name"]),
        (&json!("tool"), &json!("get_weather"))
    );
    assert!(
        bodies
            .iter()
            .all(|body| body["tools"][0]["type"] == "function")
    );
}

/// The user asks for the weather, then for the same where it needs a yes.
async fn converse(backend: Arc<dyn LlmBackend>) {
    let weather = |class| {
        Arc::new(Weather {
            class,
            asked: Mutex::default(),
        })
    };

    let (tool, journal) = (weather(Class::Read), Journal::default());
    let asked = question("what is the weather in Oslo", None);
    let told = run(ask(&backend, &tool, &journal, asked.clone())).await;
    assert_eq!(
        told,
        [
            "get_weather: Looking at the weather in Oslo.",
            "get_weather ok",
            "In Oslo it snows now."
        ]
    );
    assert_eq!(*tool.asked.lock().unwrap(), [json!({"city": "Oslo"})]);

    // The same call where it needs a yes: held, then made with the very arguments that were read back.
    let (tool, journal) = (weather(Class::Destroy), Journal::default());
    let told = run(ask(&backend, &tool, &journal, asked.clone())).await;
    assert_eq!(told, ["get_weather asked", "Ask about Oslo?"]);
    assert!(tool.asked.lock().unwrap().is_empty());
    let held = journal.take_held();
    assert!(held.is_some());
    let mut history = History::default();
    let (between, rest) = journal.messages("Ask about Oslo?");
    history.push_with(asked, between, &rest);
    let told = run(Ask {
        history,
        granted: held,
        ..ask(&backend, &tool, &Journal::default(), question("yes", None))
    })
    .await;
    assert_eq!(
        told,
        [
            "get_weather: Looking at the weather in Oslo.",
            "get_weather ok",
            "In Oslo it snows now."
        ]
    );
    assert_eq!(*tool.asked.lock().unwrap(), [json!({"city": "Oslo"})]);
}
