//! One reply of the resident model, from the request to its last word, tools included.
//!
//! Run as one task a turn, on the runtime; it talks to the model through [`LlmBackend`], to the user's things through
//! [`super::tools`], and to its consumer through a bounded channel whose fullness is the back-pressure. Promises: the events
//! of a reply begin with one `Requested` and end in exactly one `Done` or `Failed`, unless it was cancelled or nobody
//! listens any more, after which nothing is sent and no tool runs on; every wait is bounded, and so are the times that the
//! model is asked, its calls and what they bring; the backend's slot is free when the function returns; what cannot be
//! undone is not done but held for [`super::consent`], and ends the reply with its question. It speaks no clause and keeps no
//! history: those are the consumer's.

mod calls;
mod failure;
mod round;

pub use failure::FailureKind;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::consent::{Held, Permissions};
use super::decision::Decision;
use super::journal::Journal;
use super::prompt::{History, assemble, estimate_messages, estimate_tools};
use super::tools::Toolbox;
use crate::llm::{
    BackendInfo, ChatRequest, FinishReason, LlmBackend, LlmError, Message, ToolSpec, Usage,
};
use crate::private::Private;
use round::{Round, Trouble};

/// What a reply may cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Tokens of the reply. 512 are about three minutes of speech.
    pub max_tokens: u32,
    /// Sampling temperature.
    pub temperature: f32,
    /// Tokens of the whole prompt (estimated), well inside the model's context: mlx_lm.server enforces none, and prefill costs
    /// about four seconds a thousand tokens on a laptop.
    pub prompt_tokens: u32,
    /// How long a model that is still loading is waited for.
    pub loading: Duration,
    /// How long all the rest may take, from the request to the last word.
    pub total: Duration,
    /// After how long without any sign of life the consumer is told.
    pub quiet: Duration,
    /// How often the model may ask for tools in one reply.
    pub rounds: u32,
    /// Calls in one reply.
    pub calls: u32,
    /// Tokens (estimated) of what one call brings; the rest is cut off. About a page and a half.
    pub result_tokens: u32,
    /// Tokens (estimated) of what all calls of a reply bring.
    pub results_tokens: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_tokens: 512,
            temperature: 0.7,
            prompt_tokens: 6_000,
            loading: Duration::from_secs(180),
            total: Duration::from_secs(240),
            quiet: Duration::from_secs(4),
            rounds: 6,
            calls: 16,
            result_tokens: 1_000,
            results_tokens: 3_000,
        }
    }
}

/// What a reply is made of.
pub struct Ask {
    /// Who answers.
    pub backend: Arc<dyn LlmBackend>,
    /// The static prompt, as a rule [`super::prompt::SYSTEM`].
    pub system: Arc<str>,
    /// The turns before; the copy is shortened here when it does not fit.
    pub history: History,
    /// The newest message, made by [`super::prompt::question`].
    pub question: Message,
    /// Tools on offer; those that the settings deny are not among them.
    pub tools: Toolbox,
    /// What the settings say about tools.
    pub permissions: Permissions,
    /// A call that the user has just agreed to: it is made before the model is asked.
    pub granted: Option<Held>,
    /// Where calls and results are noted.
    pub journal: Journal,
    /// What it may cost.
    pub limits: Limits,
    /// Whether the turn has been decided; no call is made before.
    pub decided: Decision,
    /// What the model is to answer in (ISO 639-1); `None` is English.
    pub language: Option<Arc<str>>,
}

/// What the consumer is waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// The backend says that its model is still loading.
    Loading,
    /// The backend has accepted the connection and says nothing: it loads a model, or serves somebody else.
    Quiet,
}

/// What happens to a reply, in order. The consumer stamps the times: events are sent the moment they happen, and wait only
/// for a full channel.
#[derive(Debug, Clone, PartialEq)]
pub enum AgentEvent {
    /// The request leaves for this backend.
    Requested(BackendInfo),
    /// It takes longer; said at most once for each reason.
    Waiting(Waiting),
    /// The first text has come; the text itself follows.
    FirstToken,
    /// A piece of the reply, as the model wrote it.
    Text(Private<String>),
    /// A tool begins its work.
    ToolBegun {
        /// Its name.
        name: String,
        /// What it says of itself when it takes longer.
        filler: Private<String>,
    },
    /// A call is over, or was not made.
    ToolEnded {
        /// The tool's name.
        name: String,
        /// `ok`, or why not.
        outcome: &'static str,
    },
    /// What a tool did, in its own words, because the model had none.
    Did(Private<String>),
    /// The question whether a held call may be made: the last words of this reply.
    Asks(Private<String>),
    /// What the model has cost; once for each time that it was asked (again after a tool call).
    Usage(Usage),
    /// The reply is whole.
    Done {
        /// Why it ended.
        reason: FinishReason,
    },
    /// There is no (whole) reply; text may have been sent before.
    Failed {
        /// By what the consumer will do.
        kind: FailureKind,
        /// What the backend said; nothing of the user's words by us, but the backend may quote them: not for logs.
        message: Private<String>,
    },
}

/// How [`reply`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// `Done` was the last event.
    Done,
    /// `Failed` was the last event.
    Failed(FailureKind),
    /// It was cancelled, or the consumer has gone.
    Abandoned,
}

/// Streams one reply into `events`; see the module's promises.
pub async fn reply(ask: Ask, cancel: CancellationToken, events: mpsc::Sender<AgentEvent>) -> Ended {
    let total = ask.limits.total;
    let listener = events.clone();
    // Tools get children of this: it is cancelled when the reply ends in any way.
    let tools = cancel.child_token();
    let _end_tools = tools.clone().drop_guard();
    let mut run = Run::new(ask, events, tools);
    let outcome = tokio::select! {
        biased;
        () = cancel.cancelled() => return Ended::Abandoned,
        () = listener.closed() => return Ended::Abandoned,
        outcome = timeout(total, run.run()) => outcome,
    };
    let last = match outcome {
        Ok(Ok(reason)) => AgentEvent::Done { reason },
        Ok(Err(Stop::Failed(kind, message))) => AgentEvent::Failed { kind, message },
        Ok(Err(Stop::Abandoned)) => return Ended::Abandoned,
        Err(_) => {
            let message = format!("the reply took more than {} s", total.as_secs());
            AgentEvent::Failed {
                kind: FailureKind::TimeLimit,
                message: message.into(),
            }
        }
    };
    let ended = match &last {
        AgentEvent::Failed { kind, .. } => Ended::Failed(*kind),
        _ => Ended::Done,
    };
    tokio::select! {
        biased;
        () = cancel.cancelled() => Ended::Abandoned,
        sent = listener.send(last) => if sent.is_ok() { ended } else { Ended::Abandoned },
    }
}

/// Why a reply ends before its end.
enum Stop {
    /// With words for the consumer.
    Failed(FailureKind, Private<String>),
    /// Nobody listens.
    Abandoned,
}

impl Stop {
    fn failed(kind: FailureKind, message: &str) -> Self {
        Self::Failed(kind, message.into())
    }
}

impl From<LlmError> for Stop {
    fn from(error: LlmError) -> Self {
        Self::Failed(FailureKind::from(&error), error.to_string().into())
    }
}

/// One reply in the making.
struct Run {
    ask: Ask,
    /// What the model is told of the tools: the same bytes each time that it is asked.
    specs: Vec<ToolSpec>,
    events: mpsc::Sender<AgentEvent>,
    cancel: CancellationToken,
    /// Text has been sent.
    begun: bool,
    /// What has been waited for and said so.
    told: Vec<Waiting>,
    /// Bytes of text and thinking so far.
    text_bytes: usize,
    /// What the calls have cost and done.
    calls: calls::Account,
}

impl Run {
    fn new(ask: Ask, events: mpsc::Sender<AgentEvent>, cancel: CancellationToken) -> Self {
        Self {
            specs: ask.tools.specs(),
            calls: calls::Account::new(&ask.limits),
            ask,
            events,
            cancel,
            begun: false,
            told: Vec::new(),
            text_bytes: 0,
        }
    }

    async fn run(&mut self) -> Result<FinishReason, Stop> {
        self.tell(AgentEvent::Requested(self.ask.backend.info()))
            .await?;
        let mut budget = self.ask.limits.prompt_tokens;
        if let Some(held) = self.ask.granted.take() {
            self.carry_out(held).await?;
        }
        let mut messages = self.messages(budget);
        messages.extend(self.ask.journal.newest());
        loop {
            let round = match self.round(&messages).await {
                // The estimate was wrong, or the context is smaller than we were told: once more with half of the history.
                Err(Trouble::Model(LlmError::TooLong { .. }))
                    if !self.ask.history.is_empty() && self.ask.journal.is_empty() =>
                {
                    budget /= 2;
                    messages = self.messages(budget);
                    continue;
                }
                Err(Trouble::Model(error)) => return Err(error.into()),
                Err(Trouble::Stop(stop)) => return Err(stop),
                Ok(round) => round,
            };
            if round.calls.is_empty() {
                return self.end(&round).await;
            }
            // A reply that was begun in a pause of the user has no effects until the turn has ended.
            self.ask.decided.wait().await;
            if let Some(held) = self.answer_calls(&round).await? {
                let question = held.question().into();
                self.ask.journal.hold(held);
                self.tell(AgentEvent::Asks(question)).await?;
                return Ok(FinishReason::ToolCalls);
            }
            messages.extend(self.ask.journal.newest());
        }
    }

    /// Ends a reply whose last round brought no calls. One without a word is a failure, unless something was done: then what
    /// the tools say of it is enough, and silence too.
    async fn end(&mut self, round: &Round) -> Result<FinishReason, Stop> {
        if round.text.trim().is_empty() {
            if !self.calls.acted {
                let message = "the model ended its reply without a word";
                return Err(Stop::failed(FailureKind::Empty, message));
            }
            let did = self.calls.did.join(" ");
            if !did.is_empty() {
                self.tell(AgentEvent::Did(did.into())).await?;
            }
        }
        Ok(round.reason)
    }

    /// The messages within `budget`; the history is shortened for good.
    fn messages(&mut self, budget: u32) -> Vec<Message> {
        fitted(&mut self.ask, &self.specs, budget)
    }

    async fn tell(&self, event: AgentEvent) -> Result<(), Stop> {
        self.events.send(event).await.map_err(|_| Stop::Abandoned)
    }
}

/// The first request of a reply to `ask`, whose history is shortened to fit: what a model is given that shall be ready for
/// the reply.
pub fn opening(ask: &mut Ask) -> ChatRequest {
    let tools = ask.tools.specs();
    let limits = ask.limits;
    ChatRequest {
        messages: fitted(ask, &tools, limits.prompt_tokens),
        tools,
        max_tokens: limits.max_tokens,
        temperature: limits.temperature,
    }
}

fn fitted(ask: &mut Ask, specs: &[ToolSpec], budget: u32) -> Vec<Message> {
    let fixed = assemble(&ask.system, &History::default(), ask.question.clone());
    let fixed = estimate_messages(&fixed).saturating_add(estimate_tools(specs));
    let dropped = ask.history.fit(budget.saturating_sub(fixed));
    if dropped > 0 {
        tracing::info!(
            dropped,
            kept = ask.history.len(),
            "old turns no longer fit the prompt"
        );
    }
    assemble(&ask.system, &ask.history, ask.question.clone())
}
