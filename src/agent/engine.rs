//! One reply of the resident model, from the request to its last word.
//!
//! Run as one task a turn, on the runtime; it talks to the model through [`LlmBackend`] and to its consumer through a
//! bounded channel whose fullness is the back-pressure. Promises: the events of a reply begin with one `Requested` and end
//! in exactly one `Done` or `Failed`, unless it was cancelled or nobody listens any more, after which nothing is sent; every
//! wait is bounded; the backend's slot is free when the function returns. It speaks no clause and keeps no history: those
//! are the consumer's. There are no tools yet: a call is answered once with "unknown", in the place where they will be run.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::decision::Decision;
use super::prompt::{History, assemble};
use crate::llm::{
    BackendInfo, ChatRequest, Delta, DeltaStream, FinishReason, LlmBackend, LlmError, Message,
    Role, ToolCall, ToolSpec, Usage,
};
use crate::private::Private;

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
    /// Tools on offer; none of them can be run yet.
    pub tools: Vec<ToolSpec>,
    /// What it may cost.
    pub limits: Limits,
    /// Whether the turn has been decided; no call is made before.
    pub decided: Decision,
}

/// What the consumer is waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// The backend says that its model is still loading.
    Loading,
    /// The backend has accepted the connection and says nothing: it loads a model, or serves somebody else.
    Quiet,
}

/// Why there is no (whole) reply; [`FailureKind::as_str`] is what the record of the turn keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// Nothing answers at the backend's address.
    Unreachable,
    /// The model did not finish loading in time.
    Loading,
    /// The backend does not have the model.
    NoModel,
    /// The backend serves others.
    Busy,
    /// The question alone does not fit the model's context.
    TooLong,
    /// The backend refused, or failed while answering.
    Refused,
    /// The reply broke off.
    Cut,
    /// Nothing came for too long.
    Silent,
    /// The backend sent what its dialect does not allow.
    Protocol,
    /// The reply took longer than [`Limits::total`].
    TimeLimit,
    /// The model ended its reply without a word.
    Empty,
    /// The model insists on tools that do not exist.
    UnknownTool,
}

impl FailureKind {
    /// A stable name for records and events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "backend_unreachable",
            Self::Loading => "model_loading",
            Self::NoModel => "no_model",
            Self::Busy => "backend_busy",
            Self::TooLong => "prompt_too_long",
            Self::Refused => "backend_refused",
            Self::Cut => "reply_cut",
            Self::Silent => "backend_silent",
            Self::Protocol => "backend_unreadable",
            Self::TimeLimit => "time_limit",
            Self::Empty => "empty_reply",
            Self::UnknownTool => "unknown_tool",
        }
    }

    /// What the user can do about it, as a sentence to be said or printed.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Unreachable => {
                "Start the model server, or choose another one in the settings under llm.backend."
            }
            Self::Loading => "The model is still loading. Ask again in a minute.",
            Self::NoModel => "Pull the model, or name one that the server has.",
            Self::Busy => "The model is busy with something else. Ask again in a moment.",
            Self::TooLong => "Ask a shorter question, or raise the context of the model.",
            Self::Refused => "Look into the log of the model server.",
            Self::Cut => "The model server broke off. If it happens again, restart it.",
            Self::Silent => "The model server does not answer. Restart it.",
            Self::Protocol => "Check that the address in the settings is that of a model server.",
            Self::TimeLimit => "The model is too slow. Choose a smaller one.",
            Self::Empty | Self::UnknownTool => "Ask again in other words.",
        }
    }
}

impl From<&LlmError> for FailureKind {
    fn from(error: &LlmError) -> Self {
        match error {
            LlmError::Unreachable { .. } => Self::Unreachable,
            LlmError::Loading => Self::Loading,
            LlmError::NoModel { .. } => Self::NoModel,
            LlmError::Busy { .. } => Self::Busy,
            LlmError::TooLong { .. } => Self::TooLong,
            LlmError::Refused { .. } => Self::Refused,
            LlmError::Cut => Self::Cut,
            LlmError::Silent { .. } => Self::Silent,
            LlmError::Protocol { .. } => Self::Protocol,
        }
    }
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
    let mut run = Run {
        ask,
        events,
        begun: false,
        told: Vec::new(),
        text_bytes: 0,
    };
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

impl From<LlmError> for Stop {
    fn from(error: LlmError) -> Self {
        Self::Failed(FailureKind::from(&error), error.to_string().into())
    }
}

/// What the model did when it was asked once.
struct Round {
    reason: FinishReason,
    text: String,
    calls: Vec<ToolCall>,
}

/// One reply in the making.
struct Run {
    ask: Ask,
    events: mpsc::Sender<AgentEvent>,
    /// Text has been sent.
    begun: bool,
    /// What has been waited for and said so.
    told: Vec<Waiting>,
    /// Bytes of text and thinking so far.
    text_bytes: usize,
}

impl Run {
    async fn run(&mut self) -> Result<FinishReason, Stop> {
        self.tell(AgentEvent::Requested(self.ask.backend.info()))
            .await?;
        let mut budget = self.ask.limits.prompt_tokens;
        let mut messages = self.messages(budget);
        let mut answered_calls = false;
        loop {
            let round = match self.round(&messages).await {
                // The estimate was wrong, or the context is smaller than we were told: once more with half of the history.
                Err(Trouble::Model(LlmError::TooLong { .. }))
                    if !self.ask.history.is_empty() && !answered_calls =>
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
                return self.end(round.reason);
            }
            // A reply that was begun in a pause of the user has no effects until the turn has ended.
            self.ask.decided.wait().await;
            if answered_calls {
                let message = "the model keeps asking for tools that do not exist".to_owned();
                return Err(Stop::Failed(FailureKind::UnknownTool, message.into()));
            }
            answered_calls = true;
            append_answers(&mut messages, round);
        }
    }

    fn end(&self, reason: FinishReason) -> Result<FinishReason, Stop> {
        if self.begun {
            return Ok(reason);
        }
        let message = "the model ended its reply without a word".to_owned();
        Err(Stop::Failed(FailureKind::Empty, message.into()))
    }

    /// The messages within `budget`; the history is shortened for good.
    fn messages(&mut self, budget: u32) -> Vec<Message> {
        let fixed = assemble(
            &self.ask.system,
            &History::default(),
            self.ask.question.clone(),
        );
        let dropped = self
            .ask
            .history
            .fit(budget.saturating_sub(super::prompt::estimate_messages(&fixed)));
        if dropped > 0 {
            tracing::info!(
                dropped,
                kept = self.ask.history.len(),
                "old turns no longer fit the prompt"
            );
        }
        assemble(
            &self.ask.system,
            &self.ask.history,
            self.ask.question.clone(),
        )
    }

    /// Asks the model once. A connection that breaks before anything has come is tried once more.
    async fn round(&mut self, messages: &[Message]) -> Result<Round, Trouble> {
        let mut retried = false;
        loop {
            let stream = self.open(messages).await;
            let read = match stream {
                Ok(stream) => self.read(stream).await,
                Err(error) => Err((error, Came::Nothing)),
            };
            match read {
                Ok(round) => return Ok(round),
                Err((Trouble::Model(LlmError::Cut), Came::Nothing)) if !retried => retried = true,
                Err((trouble, _)) => return Err(trouble),
            }
        }
    }

    /// Gets a stream, waiting for a model that loads.
    async fn open(&mut self, messages: &[Message]) -> Result<DeltaStream, Trouble> {
        match self.request(messages).await? {
            Err(LlmError::Loading) => {}
            other => return Ok(other?),
        }
        self.tell_waiting(Waiting::Loading).await?;
        let limit = self.ask.limits.loading;
        let loaded = timeout(limit, self.request_until_loaded(messages)).await;
        loaded.unwrap_or(Err(LlmError::Loading.into()))
    }

    async fn request_until_loaded(&mut self, messages: &[Message]) -> Result<DeltaStream, Trouble> {
        loop {
            sleep(LOADING_POLL).await;
            match self.request(messages).await? {
                Err(LlmError::Loading) => {}
                other => return Ok(other?),
            }
        }
    }

    async fn request(
        &mut self,
        messages: &[Message],
    ) -> Result<Result<DeltaStream, LlmError>, Stop> {
        let backend = Arc::clone(&self.ask.backend);
        let request = ChatRequest {
            messages: messages.to_vec(),
            tools: self.ask.tools.clone(),
            max_tokens: self.ask.limits.max_tokens,
            temperature: self.ask.limits.temperature,
        };
        self.patiently(backend.chat(request)).await
    }

    /// Reads one stream to its end. The error says whether anything had come.
    async fn read(&mut self, mut stream: DeltaStream) -> Result<Round, (Trouble, Came)> {
        let mut round = Round {
            reason: FinishReason::Stop,
            text: String::new(),
            calls: Vec::new(),
        };
        let mut came = Came::Nothing;
        loop {
            let next = match came {
                Came::Nothing => self
                    .patiently(stream.next())
                    .await
                    .map_err(|stop| (stop.into(), came))?,
                Came::Something => stream.next().await,
            };
            let delta = next
                .unwrap_or(Err(LlmError::Cut))
                .map_err(|error| (error.into(), came))?;
            came = Came::Something;
            match self.take(delta, &mut round).await {
                Ok(Next::Read) => {}
                Ok(Next::End) => return Ok(round),
                Err(stop) => return Err((stop.into(), came)),
            }
        }
    }

    async fn take(&mut self, delta: Delta, round: &mut Round) -> Result<Next, Stop> {
        match delta {
            Delta::Text(text) => {
                self.text_bytes += text.len();
                round.text.push_str(&text);
                if !self.begun && !text.trim().is_empty() {
                    self.begun = true;
                    self.tell(AgentEvent::FirstToken).await?;
                }
                self.tell(AgentEvent::Text(text.into())).await?;
            }
            Delta::Reasoning(text) => self.text_bytes += text.len(),
            Delta::ToolCall(call) => round.calls.push(call),
            Delta::Prefill { .. } => {}
            Delta::Done { reason, usage } => {
                round.reason = reason;
                self.tell(AgentEvent::Usage(usage)).await?;
                return Ok(Next::End);
            }
        }
        // A server that does not obey `max_tokens` is cut off; no token is longer than this on average.
        let most = usize::try_from(self.ask.limits.max_tokens)
            .unwrap_or(usize::MAX)
            .saturating_mul(BYTES_PER_TOKEN);
        if self.text_bytes > most {
            round.reason = FinishReason::Length;
            return Ok(Next::End);
        }
        Ok(Next::Read)
    }

    /// Awaits `work`, and tells the consumer once when it stays quiet.
    async fn patiently<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Stop> {
        tokio::pin!(work);
        if let Ok(done) = timeout(self.ask.limits.quiet, &mut work).await {
            return Ok(done);
        }
        self.tell_waiting(Waiting::Quiet).await?;
        Ok(work.await)
    }

    async fn tell_waiting(&mut self, what: Waiting) -> Result<(), Stop> {
        if self.told.contains(&what) {
            return Ok(());
        }
        self.told.push(what);
        self.tell(AgentEvent::Waiting(what)).await
    }

    async fn tell(&self, event: AgentEvent) -> Result<(), Stop> {
        self.events.send(event).await.map_err(|_| Stop::Abandoned)
    }
}

/// How often a loading model is asked again.
const LOADING_POLL: Duration = Duration::from_millis(500);

/// Bytes of text that `max_tokens` tokens cannot pass in any language.
const BYTES_PER_TOKEN: usize = 16;

/// Whether a stream had yielded anything before it failed.
#[derive(Clone, Copy)]
enum Came {
    Nothing,
    Something,
}

enum Next {
    Read,
    End,
}

/// Why one asking of the model ended early.
enum Trouble {
    Model(LlmError),
    Stop(Stop),
}

impl From<LlmError> for Trouble {
    fn from(error: LlmError) -> Self {
        Self::Model(error)
    }
}

impl From<Stop> for Trouble {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

/// Appends the model's calls and an answer to each. No tool exists yet, so every one is unknown.
fn append_answers(messages: &mut Vec<Message>, round: Round) {
    let answers = round.calls.iter().map(|call| Message {
        tool_call_id: Some(call.id.clone()),
        tool_name: Some(call.name.clone()),
        ..Message::new(
            Role::Tool,
            format!(
                "error: there is no tool named {}; answer without tools",
                call.name
            ),
        )
    });
    let answers: Vec<Message> = answers.collect();
    messages.push(Message {
        tool_calls: round.calls,
        ..Message::new(Role::Assistant, round.text)
    });
    messages.extend(answers);
}
