//! What the assistant has on its desk between turns: the history, the timers, the backend, what it has said last.
//!
//! Owned by the conductor (or by a verb that answers one typed question). Answers what the local intents know at once and
//! hands everything else to the model as work for a task.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::conductor::Report;
use super::parts;
use super::resident;
use crate::agent::answer::{Chunks, answer};
use crate::agent::decision::Decision;
use crate::agent::engine::{Ask, FailureKind, Limits};
use crate::agent::intents::timers::{Timers, ringing_text};
use crate::agent::intents::trouble::{Complaints, Trouble};
use crate::agent::intents::{
    Action, Context, Intent, IntentKind, Question, VolumeChange, match_intent, volume_text,
};
use crate::agent::prefix::{Evaluated, PrefixWatch};
use crate::agent::prompt::{self, History};
use crate::agent::spoken::spoken;
use crate::config::Config;
use crate::config::resolved::{Backend, Llm};
use crate::dialogue::AgentEvent;
use crate::flow::{Outcome, Turn};
use crate::ids::TurnId;
use crate::llm::{BackendInfo, LlmBackend, Message, backends};
use crate::platform::clock::{self, Clock};
use crate::platform::volume;
use crate::private::Private;
use crate::time::Mono;

/// How an answer names the local intents as its backend.
pub const INTENTS: &str = "intents";

/// Where the model's own text goes, for a screen.
pub type Raw = Option<mpsc::Sender<Private<String>>>;

/// Work of the agent for one turn, given a token that ends it, the inbox for its news, and where its raw text goes.
pub type Work = Box<
    dyn FnOnce(
            CancellationToken,
            mpsc::Sender<Report>,
            Raw,
        ) -> Pin<Box<dyn Future<Output = ()> + Send>>
        + Send,
>;

/// How a question is answered.
pub enum Answering {
    /// At once.
    Now {
        /// All of the agent's events.
        events: Vec<AgentEvent>,
        /// The answer as it is written, which can differ from how it is said ("7:05 PM").
        text: Private<String>,
    },
    /// By a task.
    Later(Work),
}

/// How long whoever answers stays: a timer that nobody is there to ring is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stay {
    /// Until it is stopped.
    Daemon,
    /// For one turn.
    OneTurn,
}

/// See the module.
pub struct Desk {
    stay: Stay,
    clock: Clock,
    llm: Llm,
    backend: Shared,
    /// Who finds, starts and watches the backend; a verb that asks one question does without.
    keeper: Option<resident::Handle>,
    complaints: Arc<Mutex<Complaints>>,
    history: History,
    timers: Timers,
    /// The question of the live turn as the model gets it, until what was heard of its answer is known.
    asked: Option<(TurnId, Message)>,
    last_reply: Option<String>,
    asked_back: Option<Question>,
    /// The last reply came from the model: a bare "yes" answers that.
    in_conversation: bool,
}

/// The backend in use; a task that finds another one puts it here.
type Shared = Arc<Mutex<Option<Arc<dyn LlmBackend>>>>;

impl Desk {
    /// An empty desk.
    #[must_use]
    pub fn new(
        config: &Config,
        backend: Option<Box<dyn LlmBackend>>,
        clock: Clock,
        stay: Stay,
    ) -> Self {
        Self {
            stay,
            clock,
            llm: config.llm.clone(),
            backend: Arc::new(Mutex::new(backend.map(Arc::from))),
            keeper: None,
            complaints: Arc::default(),
            history: History::default(),
            timers: Timers::new(),
            asked: None,
            last_reply: None,
            asked_back: None,
            in_conversation: false,
        }
    }

    /// From now on `keeper` says which backend answers.
    pub fn attach(&mut self, keeper: resident::Handle) {
        self.keeper = Some(keeper);
    }

    /// The backend that it was made with.
    #[must_use]
    pub fn first_backend(&self) -> Option<Arc<dyn LlmBackend>> {
        lock(&self.backend).clone()
    }

    /// The backend in use, for people: kind and address.
    #[must_use]
    pub fn backend(&self) -> Option<String> {
        let kept = self.keeper.as_ref().and_then(resident::Handle::ready);
        let backend = kept.or_else(|| lock(&self.backend).clone())?;
        Some(describe(&backend.info()))
    }

    /// When a timer rings next.
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        self.timers.next_deadline()
    }

    /// What the timers that are due have to say.
    pub fn due(&mut self, now: Mono) -> Vec<Private<String>> {
        self.timers
            .due(now)
            .iter()
            .map(|timer| Private::new(ringing_text(timer)))
            .collect()
    }

    /// Answers `question`, or tells how.
    pub fn answer(&mut self, turn: TurnId, question: &Private<String>) -> Answering {
        let now = clock::wall();
        let context = Context {
            now: &now,
            mono: self.clock.now(),
            timers: &self.timers,
            last_reply: self.last_reply.as_deref(),
            asked: self.asked_back,
            in_conversation: self.in_conversation,
        };
        let intent = match_intent(question.as_str(), &context);
        let message = prompt::question(question.as_str(), Some(&prompt::moment(&now)));
        self.asked = Some((turn, message.clone()));
        match intent {
            Some(intent) => self.act(turn, intent),
            None => {
                self.asked_back = None;
                Answering::Later(self.ask_model(turn, message))
            }
        }
    }

    /// Whether the model's cache was used for this turn, and if not, why; `None` where no model was asked or it does not tell.
    pub fn judge_prefix(&mut self, turn: &Turn) -> Option<&'static str> {
        let receipt = &turn.receipt;
        let by_model = receipt.backend.as_deref().is_some_and(|by| by != INTENTS);
        let keeper = self.keeper.as_ref().filter(|_| by_model)?;
        let told = Evaluated {
            prompt_tokens: receipt.prompt_tokens,
            cached_tokens: receipt.cached_tokens,
            first_token_ms: receipt
                .first_token_ms
                .zip(receipt.llm_request_ms)
                .map(|(token, request)| token - request),
        };
        let verdict = keeper.prefix().answered(told);
        tracing::debug!(turn = %turn.id, ?verdict, "prefix cache");
        verdict.as_str()
    }

    /// Takes a turn into the history: the question, and of the answer only what was heard.
    pub fn remember(&mut self, turn: &Turn) {
        let Some((_, message)) = self.asked.take_if(|(id, _)| *id == turn.id) else {
            return;
        };
        let by_model = turn
            .receipt
            .backend
            .as_deref()
            .is_some_and(|backend| backend != INTENTS);
        let answered = matches!(turn.outcome, Outcome::Completed | Outcome::Interrupted);
        self.in_conversation = by_model && answered;
        if !turn.replied.as_str().is_empty() {
            self.last_reply = Some(turn.replied.as_str().to_owned());
        }
        // What the model never saw and nobody heard would only confuse it.
        if answered && (by_model || !turn.heard.as_str().is_empty()) {
            self.history.push(message, turn.heard.as_str());
        }
    }

    fn act(&mut self, turn: TurnId, intent: Intent) -> Answering {
        let now = self.clock.now();
        self.asked_back = None;
        if self.stay == Stay::OneTurn
            && matches!(intent.action, Action::SetTimer { .. } | Action::Ask(_))
        {
            let text = "I can only keep a timer while I stay running. Start me with hark run, and ask again.".to_owned();
            return Answering::Now {
                events: said(turn, intent.kind, &text),
                text: Private::new(text),
            };
        }
        match intent.action {
            Action::None | Action::Repeat | Action::Stop => {}
            Action::SetTimer { length, label } => {
                self.timers.set(now, length, label);
            }
            Action::CancelTimer(id) => {
                self.timers.cancel(id);
            }
            Action::CancelTimers => {
                self.timers.cancel_all();
            }
            Action::Ask(question) => self.asked_back = Some(question),
            Action::Volume(change) => {
                return Answering::Later(change_volume(turn, change, intent.kind, intent.say));
            }
        }
        Answering::Now {
            events: said(turn, intent.kind, &intent.say),
            text: Private::new(intent.say),
        }
    }

    fn ask_model(&mut self, turn: TurnId, question: Message) -> Work {
        let limits = Limits {
            max_tokens: self.llm.max_tokens,
            temperature: self.llm.temperature,
            prompt_tokens: prompt_budget(&self.llm),
            ..Limits::default()
        };
        self.history.fit(limits.prompt_tokens / 2);
        let history = self.history.clone();
        let keeper = self.keeper.clone();
        if let Some(keeper) = &keeper {
            note_prefix(&mut keeper.prefix(), &history, &question);
        }
        let (backend, complaints, llm) = (
            Arc::clone(&self.backend),
            Arc::clone(&self.complaints),
            self.llm.clone(),
        );
        Box::new(move |cancel, out, raw| {
            Box::pin(async move {
                let found = match &keeper {
                    Some(keeper) => keeper.backend().await,
                    None => find(&backend, &llm, &out).await,
                };
                let Some(backend) = found else {
                    let words = complaints_say(&complaints, "", Trouble::NotConfigured);
                    refuse(turn, words, "no_backend", &out).await;
                    return;
                };
                let name = backend.info().name;
                let ask = Ask {
                    backend,
                    system: Arc::from(prompt::SYSTEM),
                    history,
                    question,
                    tools: Vec::new(),
                    limits,
                    decided: Decision::made(),
                };
                let explain = {
                    let (complaints, keeper) = (Arc::clone(&complaints), keeper.clone());
                    move |kind| match keeper.as_ref().and_then(|keeper| keeper.failed(kind)) {
                        Some(mended) => mended.to_owned(),
                        None => complaints_say(&complaints, name, trouble(kind)),
                    }
                };
                let listener = keeper.clone();
                let wrap = move |turn, event: AgentEvent| {
                    if let (Some(keeper), AgentEvent::Done { .. }) = (&listener, &event) {
                        keeper.answered();
                    }
                    if matches!(event, AgentEvent::FirstToken) {
                        lock(&complaints).clear();
                    }
                    Report::Agent(turn, event)
                };
                let _running = keeper.as_ref().map(resident::Handle::running);
                answer(turn, ask, cancel, out, wrap, explain, raw).await;
            })
        })
    }
}

/// Notes what leaves: the static prompt, then the history and the question as they are sent.
fn note_prefix(watch: &mut PrefixWatch, history: &History, question: &Message) {
    let messages = prompt::assemble(prompt::SYSTEM, history, question.clone());
    let rest = messages
        .iter()
        .skip(1)
        .map(|message| (format!("{:?}", message.role), message.content.clone()));
    watch.sent(&prompt::SYSTEM, rest);
}

/// The backend in use; where there is none and the settings say `auto`, looks again: it may have been started meanwhile.
async fn find(
    shared: &Shared,
    llm: &Llm,
    out: &mpsc::Sender<Report>,
) -> Option<Arc<dyn LlmBackend>> {
    if let Some(backend) = lock(shared).clone() {
        return Some(backend);
    }
    if llm.backend != Backend::Auto {
        return None;
    }
    let found: Arc<dyn LlmBackend> = Arc::from(backends::detect(&parts::llm_settings(llm)).await?);
    let change = format!("found {}", describe(&found.info()));
    *lock(shared) = Some(Arc::clone(&found));
    if out.send(Report::Backend(change)).await.is_err() {
        return None;
    }
    Some(found)
}

pub(super) fn describe(info: &BackendInfo) -> String {
    match &info.model {
        Some(model) => format!("{} ({model}) at {}", info.name, info.url),
        None => format!("{} at {}", info.name, info.url),
    }
}

/// Half of the context where it is known: the rest is for the answer and for what the estimate misses.
fn prompt_budget(llm: &Llm) -> u32 {
    Limits::default().prompt_tokens.min(llm.ollama.num_ctx / 2)
}

fn trouble(kind: FailureKind) -> Trouble {
    match kind {
        FailureKind::Unreachable => Trouble::Unreachable,
        FailureKind::Loading => Trouble::Loading,
        FailureKind::NoModel => Trouble::NoModel,
        FailureKind::Busy => Trouble::Busy,
        FailureKind::TooLong => Trouble::TooLong,
        FailureKind::Refused
        | FailureKind::Cut
        | FailureKind::Silent
        | FailureKind::Protocol
        | FailureKind::TimeLimit
        | FailureKind::Empty
        | FailureKind::UnknownTool => Trouble::Failed,
    }
}

fn complaints_say(complaints: &Mutex<Complaints>, backend: &str, trouble: Trouble) -> String {
    spoken(&lock(complaints).say(backend, trouble))
}

/// None of these locks is held while anything can panic or wait.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The events of an answer that is known at once.
fn said(turn: TurnId, kind: IntentKind, say: &str) -> Vec<AgentEvent> {
    let mut chunks = Chunks::new(turn);
    let mut events = Vec::with_capacity(2);
    let say = spoken(say);
    if !say.is_empty() {
        events.push(chunks.chunk(say));
    }
    events.push(AgentEvent::Done {
        backend: INTENTS.to_owned(),
        model: Some(name(kind).to_owned()),
        prompt_tokens: None,
        cached_tokens: None,
    });
    events
}

async fn refuse(turn: TurnId, words: String, kind: &str, out: &mpsc::Sender<Report>) {
    let mut chunks = Chunks::new(turn);
    for event in [
        chunks.chunk(words),
        AgentEvent::Failed {
            kind: kind.to_owned(),
        },
    ] {
        if out.send(Report::Agent(turn, event)).await.is_err() {
            return;
        }
    }
}

/// Changing the loudness asks another program, which takes some milliseconds: a task's work.
fn change_volume(turn: TurnId, change: VolumeChange, kind: IntentKind, say: String) -> Work {
    Box::new(move |_cancel, out, _raw| {
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || apply(change)).await;
            let say = match done {
                Ok(Ok(Some(told))) => told,
                Ok(Ok(None)) => say,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the volume cannot be changed");
                    "I can't change the volume on this machine.".to_owned()
                }
                Err(error) => {
                    tracing::error!(%error, "changing the volume failed");
                    "Something went wrong with the volume.".to_owned()
                }
            };
            for event in said(turn, kind, &say) {
                if out.send(Report::Agent(turn, event)).await.is_err() {
                    return;
                }
            }
        })
    })
}

/// Changes the loudness; `Some` is what to say instead of the intent's own words.
fn apply(change: VolumeChange) -> Result<Option<String>, volume::VolumeError> {
    match change {
        VolumeChange::By(points) => {
            let now = i16::from(volume::get()?.percent) + i16::from(points);
            volume::set(u8::try_from(now.clamp(0, 100)).expect("it was clamped"))?;
        }
        VolumeChange::To(percent) => volume::set(percent)?,
        VolumeChange::Mute => volume::set_muted(true)?,
        VolumeChange::Unmute => volume::set_muted(false)?,
        VolumeChange::Tell => {
            let now = volume::get()?;
            return Ok(Some(volume_text(now.percent, now.muted)));
        }
    }
    Ok(None)
}

/// The intent's name in receipts and records.
fn name(kind: IntentKind) -> &'static str {
    match kind {
        IntentKind::Time => "time",
        IntentKind::Date => "date",
        IntentKind::Timer => "timer",
        IntentKind::Arithmetic => "arithmetic",
        IntentKind::Volume => "volume",
        IntentKind::Repeat => "repeat",
        IntentKind::Stop => "stop",
        IntentKind::Help => "help",
        IntentKind::SmallTalk => "small_talk",
    }
}
