//! What the assistant has on its desk between turns: the history, the notebook, the backend, the tools, what it has said
//! last, and the call that waits for the user's yes.
//!
//! Owned by the conductor (or by a verb that answers one typed question). Answers what the local intents know at once and
//! hands everything else to the model as work for a task.

mod agreement;
pub mod beginning;
mod begun;
mod equipment;
mod language;
mod off_record;
mod resume;

pub use agreement::DECLINED;

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::conductor::Report;
use super::gateway::Seats;
use super::tools::Registry;
use super::{pad, parts, resident};
use crate::agent::answer::{Chunks, answer};
use crate::agent::consent::{Consent, Held, Permissions};
use crate::agent::data::as_data;
use crate::agent::decision::Decision;
use crate::agent::engine::{Ask, FailureKind, Limits};
use crate::agent::intents::trouble::{Complaints, Trouble};
use crate::agent::intents::{
    Action, Context, Intent, IntentKind, Question, VolumeChange, match_intent, volume_text,
};
use crate::agent::journal::Journal;
use crate::agent::notebook::Notebook;
use crate::agent::prefix::{Evaluated, PrefixWatch};
use crate::agent::prompt::{self, History};
use crate::agent::spoken::spoken;
use crate::agent::tools::Toolbox;
use crate::config::Config;
use crate::config::resolved::{Backend, Llm, Persona};
use crate::dialogue::AgentEvent;
use crate::flow::{Outcome, Turn};
use crate::ids::TurnId;
use crate::llm::{BackendInfo, LlmBackend, Message, backends};
use crate::platform::clock;
use crate::platform::volume;
use crate::private::Private;
use crate::time::{Anchor, Mono, SamplePos};

use beginning::static_prompt;
use equipment::{Equipment, Offer};
use language::Tongue;

pub use off_record::Wish;

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

/// How long whoever answers stays: nothing is asked back where nobody waits for the answer.
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
    llm: Llm,
    backend: Shared,
    /// Who finds, starts and watches the backend; a verb that asks one question does without.
    keeper: Option<resident::Handle>,
    complaints: Arc<Mutex<Complaints>>,
    history: History,
    /// A copy of the history for whoever warms the model's cache.
    past: Arc<Mutex<History>>,
    notebook: Arc<Notebook>,
    equipment: Arc<Mutex<Equipment>>,
    persona: Arc<Mutex<Persona>>,
    consent: Consent,
    /// Where input and time stood at the end of the question that waits for a yes.
    asked_at: Anchor,
    /// What is piped in with the next question.
    attached: Option<String>,
    /// What the voice can speak, and what the next answer is in.
    tongue: Tongue,
    /// How the words of the next turn were said.
    manner: Option<Manner>,
    /// The question of the live turn as the model gets it, and what its tools do, until what was heard of the answer is
    /// known.
    asked: Option<(TurnId, Message, Journal)>,
    last_reply: Option<String>,
    asked_back: Option<Question>,
    /// The last reply came from the model: a bare "yes" answers that.
    in_conversation: bool,
    /// The places at the model that other programs share with us, where there is a gateway.
    seats: Option<Seats>,
    /// Requests of other programs that were known of when the model was last asked.
    foreign: u64,
    /// What the last question wanted of the daemon itself.
    wish: Option<Wish>,
    /// The memory as it was when the record was switched off.
    set_aside: Option<off_record::SetAside>,
    /// What was begun in a pause of the user and not decided.
    begun: Option<begun::Begun>,
}

/// How words were said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manner {
    /// The turn that they became.
    pub turn: TurnId,
    /// ISO 639-1 code of their language.
    pub language: String,
    /// Where their first sound lies in the input.
    pub began: SamplePos,
}

/// The backend in use; a task that finds another one puts it here.
type Shared = Arc<Mutex<Option<Arc<dyn LlmBackend>>>>;

impl Desk {
    /// An empty desk.
    #[must_use]
    pub fn new(
        config: &Config,
        backend: Option<Box<dyn LlmBackend>>,
        notebook: Arc<Notebook>,
        stay: Stay,
    ) -> Self {
        Self {
            stay,
            llm: config.llm.clone(),
            backend: Arc::new(Mutex::new(backend.map(Arc::from))),
            keeper: None,
            complaints: Arc::default(),
            history: History::default(),
            past: Arc::default(),
            notebook,
            equipment: Arc::default(),
            persona: Arc::new(Mutex::new(config.persona.clone())),
            consent: Consent::default(),
            asked_at: Anchor {
                at: SamplePos(0),
                when: Mono::ZERO,
            },
            attached: None,
            tongue: Tongue::new(&config.stt.language),
            manner: None,
            asked: None,
            last_reply: None,
            asked_back: None,
            in_conversation: false,
            seats: None,
            foreign: 0,
            wish: None,
            set_aside: None,
            begun: None,
        }
    }

    /// Lays tools on the desk. Those that `permissions` deny are left out, so that the model never hears of them.
    pub fn equip(&mut self, tools: &Toolbox, permissions: Permissions) {
        lock(&self.equipment).lay(tools, permissions);
    }

    /// Puts the tools of the settings on the desk; the model gets those that a question needs.
    pub fn connect(&mut self, registry: Arc<Registry>) {
        lock(&self.equipment).connect(registry);
    }

    /// The tools of the settings.
    #[must_use]
    pub fn registry(&self) -> Option<Arc<Registry>> {
        lock(&self.equipment).registry()
    }

    /// Takes a note of how the words of a turn were said, before [`Self::answer`] gets them.
    pub fn said_like(&mut self, manner: Manner) {
        self.manner = Some(manner);
    }

    /// Lays data beside the next question.
    pub fn attach(&mut self, data: String) {
        self.attached = Some(data);
    }

    /// The same, with a place to take at the model for each question that goes there.
    #[must_use]
    pub fn with_seats(self, seats: Option<Seats>) -> Self {
        Self { seats, ..self }
    }

    /// From now on `keeper` says which backend answers.
    pub fn follow(&mut self, keeper: resident::Handle) {
        self.keeper = Some(keeper);
    }

    /// Takes over what can change while it runs: who the assistant is, how the model answers, what tools may do.
    pub fn take_over(&mut self, config: &Config) {
        lock(&self.persona).clone_from(&config.persona);
        self.llm.max_tokens = config.llm.max_tokens;
        self.llm.temperature = config.llm.temperature;
        lock(&self.equipment).take_over(&config.tools);
    }

    /// Who keeps the backend.
    #[must_use]
    pub const fn keeper(&self) -> Option<&resident::Handle> {
        self.keeper.as_ref()
    }

    /// The backend that it was made with.
    #[must_use]
    pub fn first_backend(&self) -> Option<Arc<dyn LlmBackend>> {
        lock(&self.backend).clone()
    }

    /// The backend in use, for people: kind and address.
    #[must_use]
    pub fn backend(&self) -> Option<String> {
        self.backend_info().map(|info| describe(&info))
    }

    /// The backend in use.
    #[must_use]
    pub fn backend_info(&self) -> Option<BackendInfo> {
        let kept = self.keeper.as_ref().and_then(resident::Handle::ready);
        let backend = kept.or_else(|| lock(&self.backend).clone())?;
        Some(backend.info())
    }

    /// Answers `question`, or tells how.
    pub fn answer(&mut self, turn: TurnId, question: &Private<String>) -> Answering {
        self.begun = None;
        let mut note = self.follow_speaker(turn);
        if self.consent.is_open() {
            match self.hear_answer(turn, question) {
                Ok(answering) => return answering,
                Err(refused) => note = join(refused, note),
            }
        }
        let Understood { intent, message } = self.understand(question, note.as_deref());
        self.attached = None;
        let journal = Journal::default();
        self.asked = Some((turn, message.clone(), journal.clone()));
        match intent {
            Some(intent) => self.act(turn, intent),
            None => {
                self.asked_back = None;
                Answering::Later(self.ask_model(turn, message, journal, None))
            }
        }
    }

    /// The local intent behind a question, and the question as the model gets it, with `note` beside the time.
    fn understand(&self, question: &Private<String>, note: Option<&str>) -> Understood {
        let now = clock::wall();
        let (schedule, facts) = (self.notebook.schedule(), self.notebook.facts());
        let context = Context {
            now: &now,
            schedule: &schedule,
            facts: &facts,
            last_reply: self.last_reply.as_deref(),
            asked: self.asked_back,
            in_conversation: self.in_conversation,
        };
        let (whole, words) = match &self.attached {
            None => (question.as_str().to_owned(), question.as_str().to_owned()),
            Some(data) => (
                format!("{}\n\n{data}", question.as_str()),
                format!(
                    "{}\n\n{}",
                    question.as_str(),
                    as_data("standard input", data, u32::MAX)
                ),
            ),
        };
        let moment = agreement::with_note(prompt::moment(&now), note);
        Understood {
            intent: match_intent(&whole, &context),
            message: prompt::question(&words, Some(&moment)),
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

    /// Takes a turn into the history: the question, what its tools did, and of the answer only what was heard. `now` is where
    /// input and time stand.
    pub fn remember(&mut self, turn: &Turn, now: Anchor) {
        let Some((_, message, journal)) = self.asked.take_if(|(id, ..)| *id == turn.id) else {
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
        if let Some(held) = journal.take_held() {
            self.open_question(turn, held, now);
        }
        for tool in &turn.tools {
            lock(&self.equipment).used(&tool.name);
        }
        let (between, rest) = journal.messages(turn.heard.as_str());
        // What the model never saw and nobody heard would only confuse it; what its tools did it must know.
        let told = answered && (by_model || !turn.heard.as_str().is_empty());
        if told || !between.is_empty() {
            self.history.push_with(message, between, &rest);
            self.note_history();
        }
    }

    fn act(&mut self, turn: TurnId, intent: Intent) -> Answering {
        self.asked_back = None;
        if self.stay == Stay::OneTurn
            && matches!(intent.action, Action::OffRecord(_) | Action::StopListening)
        {
            return Answering::Now {
                events: said(turn, intent.kind, ONLY_RUNNING),
                text: Private::from(ONLY_RUNNING),
            };
        }
        match intent.action {
            Action::None | Action::Repeat => {}
            // What rings has been heard; silence does not wait for the disk.
            Action::Stop => pad::silence(&self.notebook),
            Action::Ask(_) if self.stay == Stay::OneTurn => {
                let text = "I can ask you back only while I stay running. Say it all at once.";
                return Answering::Now {
                    events: said(turn, intent.kind, text),
                    text: Private::from(text),
                };
            }
            Action::Ask(question) => self.asked_back = Some(question),
            Action::OffRecord(off) => self.wish = Some(Wish::OffRecord(off)),
            Action::StopListening => self.wish = Some(Wish::Mute),
            Action::Volume(change) => {
                return Answering::Later(change_volume(turn, change, intent.kind, intent.say));
            }
            // Off the record nothing is written, also where the words ask for it.
            action if self.set_aside.is_some() && pad::keeps_words(&action) => {
                return Answering::Now {
                    events: said(turn, intent.kind, NOT_WRITING),
                    text: Private::from(NOT_WRITING),
                };
            }
            action => {
                let notebook = Arc::clone(&self.notebook);
                let mut say = intent.say;
                if self.stay == Stay::OneTurn
                    && matches!(action, Action::SetTimer { .. } | Action::Set(_))
                {
                    say.push_str(" It rings while hark run is running.");
                }
                return Answering::Later(pad::write(turn, notebook, action, intent.kind, say));
            }
        }
        Answering::Now {
            events: said(turn, intent.kind, &intent.say),
            text: Private::new(intent.say),
        }
    }

    /// Lets the model answer; `granted` is a call that the user has just agreed to.
    fn ask_model(
        &mut self,
        turn: TurnId,
        question: Message,
        journal: Journal,
        granted: Option<Held>,
    ) -> Work {
        let prepared = Prepared {
            granted,
            journal,
            ..self.prepare(question)
        };
        self.sent(&prepared);
        self.work(turn, prepared)
    }

    /// What the model is asked with `question`: the one place where that is put together, so that what is sent ahead of the
    /// turn is the beginning of what is sent in it, and found in the model's cache.
    fn prepare(&mut self, question: Message) -> Prepared {
        let limits = Limits {
            max_tokens: self.llm.max_tokens,
            temperature: self.llm.temperature,
            prompt_tokens: prompt_budget(&self.llm),
            ..Limits::default()
        };
        self.history.fit(limits.prompt_tokens / 2);
        let system = static_prompt(&lock(&self.persona), &self.notebook);
        let offer = lock(&self.equipment).offer(&question.content, &system);
        Prepared {
            system: Arc::from(system),
            history: self.history.clone(),
            question,
            offer,
            granted: None,
            journal: Journal::default(),
            limits,
            decided: Decision::made(),
            language: self.tongue.answer(),
        }
    }

    /// The request counts: the tools that it offers stay on offer, and its beginning is what the next one is compared with.
    fn sent(&mut self, prepared: &Prepared) {
        lock(&self.equipment).settle(&prepared.offer);
        if let Some(keeper) = &self.keeper {
            let mut watch = keeper.prefix();
            let foreign = self.seats.as_ref().map_or(0, Seats::served_others);
            if std::mem::replace(&mut self.foreign, foreign) != foreign {
                watch.disturbed();
            }
            note_prefix(&mut watch, prepared);
        }
    }

    fn work(&self, turn: TurnId, prepared: Prepared) -> Work {
        let keeper = self.keeper.clone();
        let (backend, complaints, llm) = (
            Arc::clone(&self.backend),
            Arc::clone(&self.complaints),
            self.llm.clone(),
        );
        let seats = self.seats.clone();
        Box::new(move |cancel, out, raw| {
            Box::pin(async move {
                // Other programs' requests give way at once; ours does not wait longer than half a second for that.
                let _place = match &seats {
                    Some(seats) => seats.voice().await,
                    None => None,
                };
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
                let mut ask = prepared.ask(backend);
                ask.limits = limits_for(name, ask.limits);
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

/// What a question means, by itself.
struct Understood {
    intent: Option<Intent>,
    message: Message,
}

/// All of an [`Ask`] but who answers.
#[derive(Clone)]
struct Prepared {
    system: Arc<str>,
    history: History,
    question: Message,
    offer: Offer,
    granted: Option<Held>,
    journal: Journal,
    limits: Limits,
    decided: Decision,
    language: Option<Arc<str>>,
}

impl Prepared {
    fn ask(self, backend: Arc<dyn LlmBackend>) -> Ask {
        Ask {
            backend,
            system: self.system,
            history: self.history,
            question: self.question,
            tools: self.offer.tools,
            permissions: self.offer.permissions,
            granted: self.granted,
            journal: self.journal,
            limits: self.limits,
            decided: self.decided,
            language: self.language,
        }
    }
}

/// Two notes for the model as one.
fn join(first: Option<String>, second: Option<String>) -> Option<String> {
    match (first, second) {
        (Some(first), Some(second)) => Some(format!("{first}. {second}")),
        (first, second) => first.or(second),
    }
}

/// Notes what leaves: the static prompt and the tools, then the history and the question as they are sent.
fn note_prefix(watch: &mut PrefixWatch, prepared: &Prepared) {
    let Prepared {
        system,
        history,
        question,
        ..
    } = prepared;
    let tools = prepared.offer.tools.specs().into_iter().map(|tool| {
        let parameters = tool.parameters.to_string();
        (tool.name, tool.description, parameters)
    });
    let fixed = (&**system, tools.collect::<Vec<_>>());
    let messages = prompt::assemble(system, history, question.clone());
    let rest = messages
        .iter()
        .skip(1)
        .map(|message| (format!("{:?}", message.role), message.content.clone()));
    watch.sent(&fixed, rest);
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

/// An agent with tools of its own takes its time.
fn limits_for(backend: &str, limits: Limits) -> Limits {
    if backend != "openclaw" {
        return limits;
    }
    Limits {
        total: Duration::from_secs(900),
        ..limits
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
        | FailureKind::UnknownTool
        | FailureKind::BadCall
        | FailureKind::TooManyCalls => Trouble::Failed,
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
pub(super) fn said(turn: TurnId, kind: IntentKind, say: &str) -> Vec<AgentEvent> {
    told(
        turn,
        name(kind),
        Some(spoken(say)).filter(|say| !say.is_empty()),
        [],
    )
}

/// The same for clauses that are said as they are, and what else there is to tell.
fn told(
    turn: TurnId,
    by: &str,
    clauses: impl IntoIterator<Item = String>,
    more: impl IntoIterator<Item = AgentEvent>,
) -> Vec<AgentEvent> {
    let mut chunks = Chunks::new(turn);
    let mut events: Vec<AgentEvent> = clauses
        .into_iter()
        .map(|clause| chunks.chunk(clause))
        .collect();
    events.extend(more);
    events.push(AgentEvent::Done {
        backend: INTENTS.to_owned(),
        model: Some(by.to_owned()),
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

/// What is said where nobody stays to whom a switch would matter.
const NOT_WRITING: &str =
    "We are off the record, so I write nothing down. Say back on the record first.";
const ONLY_RUNNING: &str = "Only the running assistant can do that. Say it to that one, or use hark off-record and hark mute.";

/// The intent's name in receipts and records.
fn name(kind: IntentKind) -> &'static str {
    match kind {
        IntentKind::Time => "time",
        IntentKind::Date => "date",
        IntentKind::Timer => "timer",
        IntentKind::Memory => "memory",
        IntentKind::Arithmetic => "arithmetic",
        IntentKind::Volume => "volume",
        IntentKind::Repeat => "repeat",
        IntentKind::Stop => "stop",
        IntentKind::Help => "help",
        IntentKind::SmallTalk => "small_talk",
        IntentKind::Control => "control",
    }
}
