//! A typed question outside a running daemon: the same intents, agent and log, without an ear.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::conductor::Report;
use super::desk::{Answering, Desk, Stay};
use super::parts;
use crate::config::resolved::{Backend, Llm};
use crate::config::{Config, Places};
use crate::dialogue::AgentEvent;
use crate::flow::{Outcome, Receipt, Turn};
use crate::ids::TurnId;
use crate::platform::clock::Clock;
use crate::private::Private;
use crate::time::Span;

/// A question.
#[derive(Debug)]
pub struct Typed<'a> {
    /// The settings.
    pub config: &'a Config,
    /// Where files lie.
    pub places: &'a Places,
    /// The words.
    pub question: &'a str,
    /// Whether the answer is said, too.
    pub speak: bool,
}

/// What the answer brings, as it comes.
#[derive(Debug)]
pub enum TypedEvent<'a> {
    /// A piece of the answer as it is written.
    Text(&'a str),
}

/// Why there is no whole answer, in words, with the exit code that it deserves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypedFailure {
    /// The exit code.
    pub code: u8,
    /// What happened.
    pub message: String,
    /// What to do next.
    pub next: String,
}

/// The answer.
#[derive(Debug)]
pub struct TypedAnswer {
    /// All of it.
    pub text: Private<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// Where the time went, from the question's first moment.
    pub receipt: Receipt,
    /// Why it is not whole.
    pub failure: Option<TypedFailure>,
}

/// Answers; `show` gets each piece as it comes.
///
/// # Errors
/// The settings do not allow a backend, or `show` failed. A backend that fails is an answer with a failure.
pub async fn ask(
    typed: Typed<'_>,
    show: &mut dyn FnMut(&TypedEvent<'_>) -> std::io::Result<()>,
) -> anyhow::Result<TypedAnswer> {
    let clock = Clock::start();
    let asked = clock.now();
    let backend = parts::backend(typed.config).await?;
    let notebook = Arc::new(parts::notebook(typed.places)?);
    let mut desk = Desk::new(typed.config, backend, notebook, Stay::OneTurn);
    let turn = TurnId(1);
    let question = Private::from(typed.question);
    let (out, mut reports) = mpsc::channel(parts::AGENT_EVENTS);
    let mut answer = Progress {
        receipt: Receipt::default(),
        text: String::new(),
        clauses: Vec::new(),
        failure: None,
    };
    match desk.answer(turn, &question) {
        Answering::Now { events, text } => {
            for event in events {
                answer.take(event, 0);
            }
            answer.write(text.as_str(), show)?;
        }
        Answering::Later(work) => {
            let (raw, mut pieces) = mpsc::channel(parts::AGENT_EVENTS);
            let task = tokio::spawn(work(CancellationToken::new(), out, Some(raw)));
            loop {
                tokio::select! {
                    Some(piece) = pieces.recv() => answer.write(piece.as_str(), show)?,
                    Some(report) = reports.recv() => if let Report::Agent(_, event) = report {
                        answer.take(event, clock.now().millis_from(asked));
                    },
                    else => break,
                }
            }
            task.await?;
            answer.explain(show)?;
        }
    }
    let record = answer.record(turn, question);
    keep(&typed, &record)?;
    if typed.speak && !record.replied.as_str().is_empty() {
        let output = super::Output::Device(typed.config.audio.output.clone());
        super::say(typed.config, &output, record.replied.as_str())?;
    }
    let failure = record
        .failure
        .as_deref()
        .map(|kind| failure(kind, typed.config));
    Ok(TypedAnswer {
        text: record.replied,
        outcome: record.outcome,
        receipt: record.receipt,
        failure,
    })
}

struct Progress {
    receipt: Receipt,
    /// As it was written, for the screen and the log.
    text: String,
    /// As it is said.
    clauses: Vec<String>,
    failure: Option<String>,
}

impl Progress {
    fn write(
        &mut self,
        piece: &str,
        show: &mut dyn FnMut(&TypedEvent<'_>) -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        self.text.push_str(piece);
        show(&TypedEvent::Text(piece))
    }

    /// What only has words to be said (a backend that failed, the volume) is shown, too.
    fn explain(
        &mut self,
        show: &mut dyn FnMut(&TypedEvent<'_>) -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        if let (true, Some(words)) = (
            self.text.is_empty() || self.failure.is_some(),
            self.clauses.last().cloned(),
        ) {
            let gap = if self.text.is_empty() { "" } else { "\n" };
            self.write(&format!("{gap}{words}"), show)?;
        }
        Ok(())
    }

    fn take(&mut self, event: AgentEvent, ms: i64) {
        match event {
            AgentEvent::Requested { backend, model } => {
                self.receipt.llm_request_ms = Some(ms);
                self.receipt.backend = Some(backend);
                self.receipt.model = model;
            }
            AgentEvent::FirstToken => {
                self.receipt.first_token_ms = self.receipt.first_token_ms.or(Some(ms))
            }
            AgentEvent::Chunk(chunk) => {
                self.receipt.first_clause_ms = self.receipt.first_clause_ms.or(Some(ms));
                self.clauses.push(chunk.text.into_inner());
            }
            AgentEvent::Tool(_) => {}
            AgentEvent::Done {
                backend,
                model,
                prompt_tokens,
                cached_tokens,
            } => {
                self.receipt.backend = Some(backend);
                self.receipt.model = model.or(self.receipt.model.take());
                self.receipt.prompt_tokens = prompt_tokens;
                self.receipt.cached_tokens = cached_tokens;
            }
            AgentEvent::Failed { kind } => self.failure = Some(kind),
        }
    }

    fn record(self, id: TurnId, asked: Private<String>) -> Turn {
        let replied = Private::new(self.text);
        Turn {
            id,
            span: Span::default(),
            asked,
            language: "en".to_owned(),
            confidence: 1.0,
            // What is read on a screen counts as heard.
            heard: replied.clone(),
            replied,
            outcome: if self.failure.is_some() {
                Outcome::Failed
            } else {
                Outcome::Completed
            },
            failure: self.failure,
            tools: Vec::new(),
            receipt: self.receipt,
        }
    }
}

/// Writes the record; a log that cannot be written costs the user a warning, not the answer.
fn keep(typed: &Typed<'_>, record: &Turn) -> anyhow::Result<()> {
    if let Err(error) = parts::keep_one(typed.config, typed.places, record.clone()) {
        tracing::warn!(%error, "this turn is not in the transcript log");
    }
    Ok(())
}

fn failure(kind: &str, config: &Config) -> TypedFailure {
    let unreachable = matches!(kind, "backend_unreachable" | "no_backend");
    TypedFailure {
        code: if unreachable { 3 } else { 1 },
        message: format!("the language model gave no whole answer ({kind})"),
        next: if unreachable {
            start(&config.llm)
        } else {
            "look at the server's own log, then try again".to_owned()
        },
    }
}

/// How to get the configured backend to answer.
fn start(llm: &Llm) -> String {
    let (mlx, ollama) = (&llm.mlx.url, &llm.ollama.url);
    match (llm.backend, &llm.openai) {
        (Backend::None, _) => {
            "language models are switched off; to use one: `HARK_LLM_BACKEND=auto`, or llm.backend in config.toml"
                .to_owned()
        }
        (Backend::Mlx, _) => {
            format!("start it with `mlx_lm.server --model FOLDER`; Hark looks at {mlx}")
        }
        (Backend::Ollama, _) => format!("start it with `ollama serve`; Hark looks at {ollama}"),
        (Backend::Openai, Some(remote)) => {
            format!("start the server at {}, or correct llm.openai.url", remote.url)
        }
        (Backend::Auto | Backend::Openai, _) => format!(
            "start one (`ollama serve`, or `mlx_lm.server --model FOLDER`); Hark looks at {mlx} and {ollama}"
        ),
    }
}
