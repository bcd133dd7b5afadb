//! A typed question outside a running daemon: the same intents, agent and log, without an ear.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::conductor::Report;
use super::desk::{Answering, DECLINED, Desk, Stay};
use super::parts;
use super::switches::Kept;
use crate::agent::consent::Permissions;
use crate::agent::tools::Toolbox;
use crate::config::resolved::{Backend, Llm};
use crate::config::{Config, Places};
use crate::dialogue::AgentEvent;
use crate::flow::{Outcome, Receipt, ToolUse, Turn};
use crate::ids::TurnId;
use crate::platform::clock::Clock;
use crate::private::Private;
use crate::time::{Anchor, Mono, SamplePos, Span};

/// A question.
#[derive(Debug)]
pub struct Typed<'a> {
    /// The settings.
    pub config: &'a Config,
    /// Where files lie.
    pub places: &'a Places,
    /// The words.
    pub question: &'a str,
    /// What is piped in: data for the question, and never the user's own words.
    pub piped: Option<&'a str>,
    /// Whether the answer is said, too.
    pub speak: bool,
}

impl Typed<'_> {
    /// The words and what is piped in, as one text.
    #[must_use]
    pub fn whole(&self) -> String {
        match self.piped {
            Some(piped) => format!("{}\n\n{}", self.question, piped.trim_end()),
            None => self.question.to_owned(),
        }
    }
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

/// What somebody who was asked for consent has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consented {
    /// Yes.
    Yes,
    /// Anything else.
    No,
    /// Nobody can be asked.
    Nobody,
}

/// Asks a person for consent: gets the question, and must not answer for them.
pub type Confirm<'a> = &'a mut dyn FnMut(&str) -> std::io::Result<Consented>;

/// Where pieces of the answer go.
pub type Show<'a> = &'a mut dyn FnMut(&TypedEvent<'_>) -> std::io::Result<()>;

/// Answers; `show` gets each piece as it comes, `confirm` is asked before something is done that cannot be undone.
///
/// # Errors
/// The settings do not allow a backend, or `show` or `confirm` failed. A backend that fails is an answer with a failure.
pub async fn ask(
    typed: Typed<'_>,
    show: Show<'_>,
    confirm: Confirm<'_>,
) -> anyhow::Result<TypedAnswer> {
    ask_with_tools(typed, &Toolbox::default(), show, confirm).await
}

/// The same with these tools beside its own.
///
/// # Errors
/// As there.
pub async fn ask_with_tools(
    typed: Typed<'_>,
    tools: &Toolbox,
    show: Show<'_>,
    confirm: Confirm<'_>,
) -> anyhow::Result<TypedAnswer> {
    let clock = Clock::start();
    let backend = parts::backend(typed.config).await?;
    let notebook = Arc::new(parts::notebook(typed.places)?);
    let registry = super::tools::open(typed.config, typed.places, &notebook);
    // Servers that bring tools are there before the question, or have failed.
    registry.settled().await;
    let mut desk = Desk::new(typed.config, backend, notebook, Stay::OneTurn);
    desk.equip(tools, Permissions::default());
    let registry = Arc::new(registry);
    desk.connect(Arc::clone(&registry));
    let mut session = Session {
        desk,
        clock,
        asked: clock.now(),
        answer: Progress::default(),
        show,
    };
    let question = Private::from(typed.question);
    if let Some(piped) = typed.piped {
        session.desk.attach(piped.to_owned());
    }
    let answering = session.desk.answer(TurnId(1), &question);
    let question = Private::new(typed.whole());
    session.follow(answering).await?;
    let mut turn = TurnId(1);
    let mut unconfirmed = None;
    while let Some(asked) = session.question(turn, &question) {
        turn = turn.next();
        match confirm(&asked)? {
            Consented::Yes => {
                let work = session.desk.agreed_by_key(turn);
                let work = work.context("the question that was confirmed is gone")?;
                session.answer.gap(session.show)?;
                session.follow(Answering::Later(work)).await?;
            }
            Consented::No => {
                session.answer.refused("declined");
                session.answer.gap(session.show)?;
                session.answer.write(DECLINED, session.show)?;
                break;
            }
            Consented::Nobody => {
                session.answer.refused("not_asked");
                unconfirmed = Some(asked);
                break;
            }
        }
    }
    registry.close().await;
    let record = session.answer.record(TurnId(1), question);
    keep(&typed, &record)?;
    if typed.speak && !record.replied.as_str().is_empty() {
        let output = super::Output::Device(typed.config.audio.output.clone());
        super::say(typed.config, &output, record.replied.as_str())?;
    }
    let failure = match (&record.failure, unconfirmed) {
        (Some(kind), _) => Some(failure(kind, typed.config)),
        (None, Some(asked)) => Some(nobody_to_ask(&asked)),
        (None, None) => None,
    };
    Ok(TypedAnswer {
        text: record.replied,
        outcome: record.outcome,
        receipt: record.receipt,
        failure,
    })
}

/// One question and what becomes of it.
struct Session<'a> {
    desk: Desk,
    clock: Clock,
    asked: Mono,
    answer: Progress,
    show: Show<'a>,
}

impl Session<'_> {
    /// Follows an answer to its end.
    async fn follow(&mut self, answering: Answering) -> anyhow::Result<()> {
        let work = match answering {
            Answering::Now { events, text } => {
                for event in events {
                    self.answer.take(event, 0);
                }
                self.answer.write(text.as_str(), self.show)?;
                return Ok(());
            }
            Answering::Later(work) => work,
        };
        let (out, mut reports) = mpsc::channel(parts::AGENT_EVENTS);
        let (raw, mut pieces) = mpsc::channel(parts::AGENT_EVENTS);
        let task = tokio::spawn(work(CancellationToken::new(), out, Some(raw)));
        loop {
            tokio::select! {
                Some(piece) = pieces.recv() => self.answer.write(piece.as_str(), self.show)?,
                Some(report) = reports.recv() => if let Report::Agent(_, event) = report {
                    self.answer.take(event, self.clock.now().millis_from(self.asked));
                },
                else => break,
            }
        }
        task.await?;
        self.answer.explain(self.show)?;
        Ok(())
    }

    /// The question of consent that `turn` has ended with.
    fn question(&mut self, turn: TurnId, asked: &Private<String>) -> Option<String> {
        let record = self.answer.clone().record(turn, asked.clone());
        let now = Anchor {
            at: SamplePos(0),
            when: self.clock.now(),
        };
        self.desk.remember(&record, now);
        self.desk.question().map(str::to_owned)
    }
}

#[derive(Clone, Default)]
struct Progress {
    receipt: Receipt,
    /// As it was written, for the screen and the log.
    text: String,
    /// As it is said.
    clauses: Vec<String>,
    failure: Option<String>,
    tools: Vec<ToolUse>,
}

impl Progress {
    fn write(&mut self, piece: &str, show: Show<'_>) -> std::io::Result<()> {
        self.text.push_str(piece);
        show(&TypedEvent::Text(piece))
    }

    /// What only has words to be said (a backend that failed, the volume) is shown, too.
    fn explain(&mut self, show: Show<'_>) -> std::io::Result<()> {
        if let (true, Some(words)) = (
            self.text.is_empty() || self.failure.is_some(),
            self.clauses.last().cloned(),
        ) {
            let gap = if self.text.is_empty() { "" } else { "\n" };
            self.write(&format!("{gap}{words}"), show)?;
        }
        Ok(())
    }

    /// Begins a new line, where something was written.
    fn gap(&mut self, show: Show<'_>) -> std::io::Result<()> {
        if self.text.is_empty() || self.text.ends_with('\n') {
            return Ok(());
        }
        self.write("\n", show)
    }

    /// Notes that the call which was held last is not made.
    fn refused(&mut self, outcome: &str) {
        if let Some(tool) = self.tools.last_mut() {
            tool.outcome = outcome.to_owned();
        }
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
            AgentEvent::Tool(tool) => self.tools.push(tool),
            AgentEvent::Filler(_) | AgentEvent::ToolBegun { .. } | AgentEvent::AskedBack => {}
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
            tools: self.tools,
            receipt: self.receipt,
        }
    }
}

/// Writes the record; a log that cannot be written costs the user a warning, not the answer.
fn keep(typed: &Typed<'_>, record: &Turn) -> anyhow::Result<()> {
    if Kept::read(typed.places).off_record {
        return Ok(());
    }
    if let Err(error) = parts::keep_one(typed.config, typed.places, record.clone()) {
        tracing::warn!(%error, "this turn is not in the transcript log");
    }
    Ok(())
}

fn nobody_to_ask(question: &str) -> TypedFailure {
    TypedFailure {
        code: 1,
        message: format!(
            "not done, because it needs a yes and nobody can be asked here: {question}"
        ),
        next: "run the command at a terminal, without a pipe, and answer the question".to_owned(),
    }
}

fn failure(kind: &str, config: &Config) -> TypedFailure {
    let unreachable = matches!(kind, "backend_unreachable" | "no_backend");
    TypedFailure {
        code: if unreachable { 3 } else { 1 },
        message: format!("the language model gave no whole answer ({kind})"),
        next: match kind {
            "backend_unreachable" | "no_backend" => start(&config.llm),
            "prompt_too_long" => {
                "ask about less, for example through `head -c 20000`, or raise the model's context"
                    .to_owned()
            }
            _ => "look at the server's own log, then try again".to_owned(),
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
