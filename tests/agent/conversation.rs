//! A desk with a scripted model and scripted tools, talked to as the conductor does, on paused and simulated time.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use hark::agent::consent::{Permission, Permissions};
use hark::agent::notebook::Notebook;
use hark::agent::tools::Toolbox;
use hark::config::{self, Places, Request};
use hark::daemon::conductor::Report;
use hark::daemon::desk::{Answering, Desk, Manner, Stay};
use hark::dialogue::AgentEvent;
use hark::flow::{Outcome, Receipt, ToolUse, Turn};
use hark::ids::TurnId;
use hark::llm::{
    BackendInfo, ChatRequest, Delta, DeltaStream, FinishReason, LlmBackend, LlmError, Message,
    ToolCall, Usage,
};
use hark::private::Private;
use hark::time::{Anchor, Mono, SamplePos, Span, duration_to_samples};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::scripted::{Answer, Scripted};

/// A backend that two may hold.
struct Shared(Arc<Scripted>);

impl LlmBackend for Shared {
    fn info(&self) -> BackendInfo {
        self.0.info()
    }

    fn chat(&self, request: ChatRequest) -> BoxFuture<'_, Result<DeltaStream, LlmError>> {
        self.0.chat(request)
    }

    fn reachable(&self) -> BoxFuture<'_, bool> {
        self.0.reachable()
    }

    fn warm(&self, request: ChatRequest) -> BoxFuture<'_, Result<Usage, LlmError>> {
        self.0.warm(request)
    }
}

/// A model that says these words after `ms`.
pub fn says_after(ms: u64, words: &str) -> Answer {
    let mut stream = Vec::new();
    if !words.is_empty() {
        stream.push((ms, Ok(Delta::Text(words.to_owned()))));
    }
    stream.push((0, done(FinishReason::Stop)));
    Answer::Stream(0, stream)
}

pub fn says(words: &str) -> Answer {
    says_after(10, words)
}

pub fn done(reason: FinishReason) -> Result<Delta, LlmError> {
    Ok(Delta::Done {
        reason,
        usage: Usage::default(),
    })
}

/// A model that says `words` and calls these tools with these arguments.
pub fn calls(words: &str, wanted: &[(&str, Value)]) -> Answer {
    let mut stream = Vec::new();
    if !words.is_empty() {
        stream.push((10, Ok(Delta::Text(words.to_owned()))));
    }
    for (number, (name, arguments)) in wanted.iter().enumerate() {
        let call = ToolCall {
            id: format!("call{number}"),
            name: (*name).to_owned(),
            arguments: arguments.clone(),
        };
        stream.push((10, Ok(Delta::ToolCall(call))));
    }
    stream.push((0, done(FinishReason::ToolCalls)));
    Answer::Stream(0, stream)
}

/// What a turn brought.
#[derive(Debug, Default)]
pub struct Reply {
    /// Clauses and fillers (marked by a leading `~`), with the milliseconds from the question.
    pub said: Vec<(u64, String)>,
    pub tools: Vec<ToolUse>,
    pub asked_back: bool,
    pub failure: Option<String>,
    pub backend: String,
    /// The language of each clause.
    pub languages: Vec<Option<String>>,
}

impl Reply {
    /// The clauses alone.
    pub fn words(&self) -> String {
        let clauses = self.said.iter().map(|(_, clause)| clause.as_str());
        clauses
            .filter(|clause| !clause.starts_with('~'))
            .collect::<Vec<_>>()
            .join(" ")
    }

    pub fn uses(&self) -> Vec<String> {
        self.tools
            .iter()
            .map(|tool| format!("{} {}", tool.name, tool.outcome))
            .collect()
    }
}

/// How the user hears a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ear {
    Whole,
    /// Interrupted after so many letters.
    Until(usize),
}

pub struct Conversation {
    pub desk: Desk,
    pub notebook: Arc<Notebook>,
    pub backend: Arc<Scripted>,
    pub now: Mono,
    /// What the user speaks.
    pub language: &'static str,
    turn: TurnId,
    _home: tempfile::TempDir,
}

impl Conversation {
    pub fn new(tools: &Toolbox, answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::with(tools, &[], answers)
    }

    pub fn with(
        tools: &Toolbox,
        rules: &[(&str, Permission)],
        answers: impl IntoIterator<Item = Answer>,
    ) -> Self {
        let home = tempfile::tempdir().unwrap();
        let places = Places {
            config_file: home.path().join("config.toml"),
            state: home.path().to_owned(),
            home: home.path().to_owned(),
        };
        let request = Request {
            flags: Vec::new(),
            environment: vec![("HARK_LLM_BACKEND".to_owned(), "none".to_owned())],
        };
        let (config, _) = config::load(&places, &request).unwrap();
        let backend = Scripted::new(answers);
        let shared: Box<dyn LlmBackend> = Box::new(Shared(Arc::clone(&backend)));
        let notebook = Arc::new(Notebook::in_memory().unwrap());
        let mut desk = Desk::new(&config, Some(shared), Arc::clone(&notebook), Stay::Daemon);
        let rules = rules
            .iter()
            .map(|(name, permission)| ((*name).to_owned(), *permission));
        desk.equip(tools, Permissions::new(rules));
        Self {
            desk,
            notebook,
            backend,
            now: Mono::from_millis(1_000),
            language: "en",
            turn: TurnId(0),
            _home: home,
        }
    }

    pub fn wait(&mut self, ms: u64) -> &mut Self {
        self.now = self.now + Duration::from_millis(ms);
        self
    }

    /// The user says `words` now, and hears the whole reply.
    pub async fn say(&mut self, words: &str) -> Reply {
        let began = self.now;
        self.say_from(words, began, Ear::Whole).await
    }

    /// The user says words that began at `began`, and hears the reply as `ear` tells.
    pub async fn say_from(&mut self, words: &str, began: Mono, ear: Ear) -> Reply {
        self.turn = self.turn.next();
        self.say_as(self.turn, words, began, ear).await
    }

    pub async fn say_as(&mut self, turn: TurnId, words: &str, began: Mono, ear: Ear) -> Reply {
        self.desk.said_like(Manner {
            turn,
            language: self.language.to_owned(),
            began: position(began),
        });
        let question = Private::from(words);
        let reply = match self.desk.answer(turn, &question) {
            Answering::Now { events, .. } => {
                let mut reply = Reply::default();
                for event in events {
                    reply.take(0, event);
                }
                reply
            }
            Answering::Later(work) => {
                let (out, mut reports) = mpsc::channel(8);
                let task = tokio::spawn(work(CancellationToken::new(), out, None));
                let asked = Instant::now();
                let mut reply = Reply::default();
                while let Some(report) = reports.recv().await {
                    if let Report::Agent(_, event) = report {
                        reply.take(asked.elapsed().as_millis() as u64, event);
                    }
                }
                task.await.unwrap();
                reply
            }
        };
        self.wait(2_000);
        let now = self.present();
        self.desk
            .remember(&record(turn, &question, &reply, ear), now);
        reply
    }

    pub fn present(&self) -> Anchor {
        Anchor {
            at: position(self.now),
            when: self.now,
        }
    }

    /// The messages of the newest request.
    pub fn sent(&self) -> Vec<Message> {
        let requests = self.backend.requests.lock().unwrap();
        requests
            .last()
            .expect("the model was asked")
            .messages
            .clone()
    }
}

impl Reply {
    pub fn take(&mut self, ms: u64, event: AgentEvent) {
        match event {
            AgentEvent::Chunk(chunk) => {
                self.languages
                    .push(chunk.language.map(|code| code.to_string()));
                self.said.push((ms, chunk.text.into_inner()));
            }
            AgentEvent::Filler(chunk) => self.said.push((ms, format!("~{}", chunk.text.as_str()))),
            AgentEvent::Tool(tool) => self.tools.push(tool),
            AgentEvent::AskedBack => self.asked_back = true,
            AgentEvent::Failed { kind } => self.failure = Some(kind),
            AgentEvent::Done { backend, .. } => self.backend = backend,
            AgentEvent::Requested { .. }
            | AgentEvent::FirstToken
            | AgentEvent::ToolBegun { .. } => {}
        }
    }
}

fn position(at: Mono) -> SamplePos {
    SamplePos(duration_to_samples(at.since_start()))
}

pub fn record(turn: TurnId, asked: &Private<String>, reply: &Reply, ear: Ear) -> Turn {
    let replied = reply.words();
    let heard = match ear {
        Ear::Whole => replied.clone(),
        Ear::Until(letters) => replied.chars().take(letters).collect(),
    };
    Turn {
        id: turn,
        span: Span::default(),
        asked: asked.clone(),
        language: "en".to_owned(),
        confidence: 1.0,
        replied: Private::new(replied),
        heard: Private::new(heard),
        outcome: match (&reply.failure, ear) {
            (Some(_), _) => Outcome::Failed,
            (None, Ear::Whole) => Outcome::Completed,
            (None, Ear::Until(_)) => Outcome::Interrupted,
        },
        failure: reply.failure.clone(),
        tools: reply.tools.clone(),
        receipt: Receipt {
            backend: Some(reply.backend.clone()),
            ..Receipt::default()
        },
    }
}
