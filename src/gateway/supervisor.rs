//! Does what [`super::residency`] decides: starts servers, waits for their first token, ends them, sees them die.
//!
//! Edge, driven by one task (the daemon's, or a command's): [`Supervisor::handle`] takes an event, executes every effect
//! to its end and feeds what came of it back, so when it returns the machine rests in a phase that waits for somebody else.
//! Dropping the future of a `handle` in its middle is safe: [`Supervisor::close`] ends what had been started. Readiness is
//! polled every 5 ms and asked by a real completion, never by a health page: mlx_lm.server says 200 while it loads and after
//! its generator has died. An unload is over when the processes are gone, or, in an Ollama that stays, when at least three
//! quarters of the memory that it held have come back.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::sleep;

use super::residency::{Effect, Event, Kind, News, Owner, Phase, Policy, Residency};
use super::servers::{LaunchError, ServerSettings};
use crate::llm::backends;
use crate::llm::ollama::Ollama;
use crate::llm::{ChatRequest, LlmBackend, LlmError, Message, Role, Usage};
use crate::platform::clock::Clock;
use crate::platform::memory::{available_bytes, tree_footprint_bytes};
use crate::platform::process::{self, Group, Identity, Signal};
use crate::time::Mono;

/// What a supervisor has to say.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// A change.
    News(News),
    /// Somebody must be asked; answer with [`Event::Answered`].
    Question(Kind),
    /// Why something could not be done, with the next step.
    Trouble(String),
    /// It is not started, because it would not fit: what it needs and what is free, in bytes.
    NoMemory {
        /// Which.
        kind: Kind,
        /// Bytes.
        need: u64,
        /// Bytes, those of the one that would leave included.
        free: u64,
    },
    /// What the warm-up cost: the first misses of the prefix are expected after it.
    Warmed(Kind, Usage),
}

/// Where the time of a change went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timings {
    /// From the request to leave until its memory was back.
    pub unload: Duration,
    /// From the start until the first token.
    pub load: Duration,
    /// The static prompt.
    pub warm: Duration,
    /// All together.
    pub total: Duration,
}

impl Timings {
    /// What the change has cost beyond what the backends themselves took to leave, to load and to read the static prompt.
    /// An end and a first token are looked for every 5 ms; that wait counts as theirs.
    #[must_use]
    pub fn overhead(&self) -> Duration {
        self.total
            .saturating_sub(self.unload + self.load + self.warm)
    }
}

/// Makes the beginning that a fresh server's cache is filled with; asked each time anew.
pub type Prefix = Arc<dyn Fn() -> BoxFuture<'static, ChatRequest> + Send + Sync>;

/// What a server would need, in bytes; `None` where its model cannot be weighed before it is loaded.
pub type Need = Arc<dyn Fn(Kind) -> BoxFuture<'static, Option<u64>> + Send + Sync>;

/// See the module.
pub struct Supervisor {
    settings: ServerSettings,
    policy: Policy,
    machine: Residency,
    clock: Clock,
    prefix: Prefix,
    need: Option<Need>,
    children: Vec<(Kind, Group)>,
    timings: Timings,
}

impl Supervisor {
    /// Looks at nothing yet. `prefix` is what a fresh server is warmed with.
    #[must_use]
    pub fn new(settings: ServerSettings, policy: Policy, clock: Clock, prefix: Prefix) -> Self {
        Self {
            settings,
            policy,
            machine: Residency::new(policy),
            clock,
            prefix,
            need: None,
            children: Vec::new(),
            timings: Timings::default(),
        }
    }

    /// The same with a ledger that is asked before a change: what does not fit is not begun, and what is resident stays.
    #[must_use]
    pub fn with_need(mut self, need: Need) -> Self {
        self.need = Some(need);
        self
    }

    /// Where things stand.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.machine.phase()
    }

    /// When [`Event::Tick`] would next matter.
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        self.machine.deadline()
    }

    /// Where the time of the last change went.
    #[must_use]
    pub const fn timings(&self) -> Timings {
        self.timings
    }

    /// A turn was answered.
    pub const fn forgive(&mut self) {
        self.machine.forgive();
    }

    /// The settings that it starts servers with.
    #[must_use]
    pub const fn settings(&self) -> &ServerSettings {
        &self.settings
    }

    /// Ends what a killed daemon left behind, then finds out who is resident. Of two that are (which Hark never makes), the
    /// first is taken and the other reported as trouble.
    pub async fn survey(&mut self) -> Vec<Told> {
        let mut told = Vec::new();
        for kind in Kind::ALL {
            let orphan = self
                .settings
                .noted(kind)
                .filter(super::servers::Note::is_orphan);
            if let Some(note) = orphan {
                tracing::warn!(
                    backend = kind.name(),
                    pid = note.server.pid,
                    "a server of a killed daemon is stopped"
                );
                end_group(&note.server, self.policy.unload).await;
                self.settings.forget(kind);
            }
        }
        for kind in Kind::ALL {
            let Some(owner) = self.resident(kind).await else {
                continue;
            };
            match self.machine.phase() {
                Phase::Empty => told.extend(self.handle(Event::Found(kind, owner)).await),
                _ => told.push(Told::Trouble(format!(
                    "two servers hold a model at once, which halves the speed of both; `hark backend use {}` or `hark backend stop` leaves one",
                    kind.name()
                ))),
            }
        }
        told
    }

    async fn resident(&self, kind: Kind) -> Option<Owner> {
        let (_, owner) = self.settings.serving(kind)?;
        match kind {
            Kind::Mlx => Some(owner),
            Kind::Ollama => {
                let ollama = Ollama::new(self.settings.llm.ollama.clone()).ok()?;
                let holds = match ollama.resident().await {
                    Ok(model) => model.is_some(),
                    Err(LlmError::Loading) => true,
                    Err(_) => false,
                };
                // One that we started counts, loaded or not: it is ours to end.
                (holds || owner == Owner::Ours).then_some(owner)
            }
        }
    }

    /// Applies an event and does everything that follows from it.
    pub async fn handle(&mut self, event: Event) -> Vec<Told> {
        if let Event::Use(kind) = event
            && let Some(refused) = self.shortage(kind).await
        {
            return vec![refused];
        }
        let began = self.clock.now();
        if matches!(event, Event::Use(_) | Event::Stop | Event::Answered { .. }) {
            self.timings = Timings::default();
        }
        let mut told = Vec::new();
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for effect in self.machine.handle(self.clock.now(), event) {
                if let Some(next) = self.execute(effect, &mut told).await {
                    events.push(next);
                }
            }
        }
        if matches!(event, Event::Use(_) | Event::Stop | Event::Answered { .. }) {
            self.timings.total = self.clock.now().since(began);
        }
        told
    }

    /// Whether `kind` does not fit beside what runs now, without the one whose place it would take.
    async fn shortage(&self, kind: Kind) -> Option<Told> {
        let resident = match self.machine.phase() {
            Phase::Serving { kind: same, .. } if same == kind => return None,
            Phase::Serving { kind, .. } => Some(kind),
            _ => None,
        };
        let need = self.need.as_ref()?(kind).await?;
        let leaves = resident.and_then(|kind| self.settings.serving(kind));
        let leaves = leaves.and_then(|(pid, _)| tree_footprint_bytes(pid));
        let free = available_bytes()?.saturating_add(leaves.unwrap_or(0));
        (need > free).then_some(Told::NoMemory { kind, need, free })
    }

    /// Sees whether a child has ended by itself, and whether time has run out for something.
    pub async fn look(&mut self) -> Vec<Told> {
        let mut told = Vec::new();
        let dead: Vec<Kind> = self
            .children
            .iter_mut()
            .filter_map(|(kind, group)| match group.ended() {
                Ok(None) => None,
                Ok(Some(_)) | Err(_) => Some(*kind),
            })
            .collect();
        for kind in dead {
            // Whoever stops it on purpose takes the note away first.
            let event = if self.settings.is_noted(kind) {
                Event::Died(kind)
            } else {
                self.children.retain(|(child, _)| *child != kind);
                Event::TakenAway(kind)
            };
            told.extend(self.handle(event).await);
        }
        if self
            .deadline()
            .is_some_and(|deadline| self.clock.now() >= deadline)
        {
            told.extend(self.handle(Event::Tick).await);
        }
        told
    }

    /// As [`Self::look`], for a server that is no child of this process: it costs a look at the processes.
    pub async fn look_closely(&mut self) -> Vec<Told> {
        let Phase::Serving { kind, .. } = self.machine.phase() else {
            return Vec::new();
        };
        let child = self.children.iter().any(|(child, _)| *child == kind);
        if child || self.settings.serving(kind).is_some() {
            return Vec::new();
        }
        let event = if self.settings.is_noted(kind) {
            Event::Died(kind)
        } else {
            Event::TakenAway(kind)
        };
        self.handle(event).await
    }

    /// Ends every child that is not to stay.
    pub async fn close(&mut self) {
        if self.settings.keeping != super::servers::Keeping::WithDaemon {
            return;
        }
        for (kind, mut group) in std::mem::take(&mut self.children) {
            group.terminate();
            wait_for_end(&mut group, CLOSING).await;
            group.kill();
            wait_for_end(&mut group, CLOSING).await;
            self.settings.forget(kind);
        }
    }

    async fn execute(&mut self, effect: Effect, told: &mut Vec<Told>) -> Option<Event> {
        match effect {
            // Who lets requests in and out is told by the news.
            Effect::CloseDoor | Effect::OpenDoor(_) => None,
            Effect::Tell(news) => {
                told.push(Told::News(news));
                None
            }
            Effect::Ask(kind) => {
                told.push(Told::Question(kind));
                None
            }
            Effect::Unload(kind, owner) => {
                let began = self.clock.now();
                let gone = self.unload(kind, owner).await;
                self.timings.unload = self.clock.now().since(began);
                Some(if gone { Event::Gone(kind) } else { Event::Tick })
            }
            Effect::Kill(kind) => {
                self.kill(kind).await;
                Some(Event::Gone(kind))
            }
            Effect::Start(kind) => {
                let began = self.clock.now();
                let event = self.start(kind, told).await;
                self.timings.load = self.clock.now().since(began);
                Some(event)
            }
            Effect::Warm(kind) => {
                let began = self.clock.now();
                if let Some(usage) = self.warm(kind).await {
                    told.push(Told::Warmed(kind, usage));
                }
                self.timings.warm = self.clock.now().since(began);
                Some(Event::Warmed(kind))
            }
        }
    }

    async fn start(&mut self, kind: Kind, told: &mut Vec<Told>) -> Event {
        // An Ollama that runs without a model only has to load one.
        let ours = self.children.iter().any(|(other, _)| *other == kind) && !self.has_ended(kind);
        let runs = ours || (kind == Kind::Ollama && self.settings.serving(kind).is_some());
        if !runs && let Err(error) = self.spawn(kind) {
            told.push(Told::Trouble(format!(
                "{} cannot be started: {error}",
                kind.name()
            )));
            return Event::CannotStart(kind);
        }
        let Some(backend) = self.backend(kind) else {
            return Event::CannotStart(kind);
        };
        let until = self.clock.now() + self.policy.load;
        let mut last = None;
        while self.clock.now() < until {
            match backend.warm(hello()).await {
                Ok(_) => return Event::Ready(kind),
                Err(LlmError::Unreachable { .. } | LlmError::Loading) => {}
                Err(error @ (LlmError::NoModel { .. } | LlmError::TooLong { .. })) => {
                    told.push(Told::Trouble(format!(
                        "{} does not answer: {error}",
                        kind.name()
                    )));
                    self.kill(kind).await;
                    return Event::CannotStart(kind);
                }
                Err(error) => last = Some(error),
            }
            if self.has_ended(kind) {
                let log = self.settings.folder.join(format!("{}.log", kind.name()));
                told.push(Told::Trouble(format!(
                    "{} ended while it started; see {}",
                    kind.name(),
                    log.display()
                )));
                return Event::Died(kind);
            }
            sleep(POLL).await;
        }
        if let Some(error) = last {
            told.push(Told::Trouble(format!(
                "{} did not come to a token: {error}",
                kind.name()
            )));
        }
        Event::Tick
    }

    fn spawn(&mut self, kind: Kind) -> Result<(), LaunchError> {
        let launch = self.settings.launch(kind)?;
        let failed = |reason| LaunchError::Io {
            what: launch.program.display().to_string(),
            reason,
        };
        let group = Group::start(&launch).map_err(failed)?;
        tracing::info!(backend = kind.name(), pid = group.identity().pid, "started");
        if let Err(error) = self.settings.note(kind, group.identity()) {
            tracing::warn!(%error, "what was started cannot be noted: a killed daemon would leave it behind");
        }
        self.children.retain(|(other, _)| *other != kind);
        self.children.push((kind, group));
        Ok(())
    }

    fn has_ended(&mut self, kind: Kind) -> bool {
        let child = self.children.iter_mut().find(|(other, _)| *other == kind);
        child.is_some_and(|(_, group)| !matches!(group.ended(), Ok(None)))
    }

    fn backend(&self, kind: Kind) -> Option<Box<dyn LlmBackend>> {
        backends::open(kind.name(), &self.settings.llm)?
            .inspect_err(|error| tracing::warn!(backend = kind.name(), %error, "cannot be set up"))
            .ok()
    }

    async fn warm(&self, kind: Kind) -> Option<Usage> {
        let backend = self.backend(kind)?;
        let warmed = backend.warm((self.prefix)().await).await;
        warmed
            .inspect_err(|error| tracing::warn!(backend = kind.name(), %error, "the static prompt is not warm"))
            .ok()
    }

    /// `false` when its memory did not come back in time.
    async fn unload(&mut self, kind: Kind, owner: Owner) -> bool {
        let ours = self.children.iter_mut().find(|(other, _)| *other == kind);
        if let Some((_, group)) = ours {
            group.terminate();
            let ended = wait_for_end(group, self.policy.unload).await;
            if ended {
                self.gone(kind);
            }
            return ended;
        }
        if let Some(note) = self.settings.noted(kind) {
            // A daemon that watches it sees by this that it is stopped on purpose.
            self.settings.forget(kind);
            let ended = end_group(&note.server, self.policy.unload).await;
            self.gone(kind);
            return ended;
        }
        let Some((pid, _)) = self.settings.serving(kind) else {
            return true;
        };
        match (kind, owner) {
            (Kind::Ollama, Owner::Foreign) => self.unload_ollama(pid).await,
            _ => self.end_foreign(pid, Signal::Terminate).await,
        }
    }

    fn gone(&mut self, kind: Kind) {
        self.children.retain(|(other, _)| *other != kind);
        self.settings.forget(kind);
    }

    /// Asks an Ollama that stays to let its models go. Its 200 comes before the memory: that is waited for.
    async fn unload_ollama(&self, pid: u32) -> bool {
        let held = tree_footprint_bytes(pid).unwrap_or(0);
        let Ok(ollama) = Ollama::new(self.settings.llm.ollama.clone()) else {
            return false;
        };
        let resident = match ollama.unload_all().await {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::warn!(%error, "ollama does not unload");
                return false;
            }
        };
        let until = self.clock.now() + self.policy.unload;
        while self.clock.now() < until {
            let holds = tree_footprint_bytes(pid).unwrap_or(0);
            let back = held.saturating_sub(holds);
            let empty = ollama.loaded().await.is_ok_and(|names| names.is_empty());
            // What is mapped from the disk may not have counted: then what was held is the measure.
            if empty && back >= resident.min(held / 2) / 4 * 3 {
                return true;
            }
            sleep(POLL).await;
        }
        ollama.loaded().await.is_ok_and(|names| names.is_empty())
    }

    async fn end_foreign(&self, pid: u32, signal: Signal) -> bool {
        let Some(identity) = process::identity(pid) else {
            return true;
        };
        process::signal_process(pid, signal);
        let until = self.clock.now() + self.policy.unload;
        while self.clock.now() < until {
            if !process::is_alive(&identity) {
                return true;
            }
            sleep(POLL).await;
        }
        false
    }

    async fn kill(&mut self, kind: Kind) {
        if let Some((_, group)) = self.children.iter_mut().find(|(other, _)| *other == kind) {
            group.kill();
            wait_for_end(group, CLOSING).await;
        } else if let Some(note) = self.settings.noted(kind) {
            process::signal_group(note.server.pid, Signal::Kill);
            end_group(&note.server, CLOSING).await;
        } else if let Some((pid, _)) = self.settings.serving(kind)
            && !self.end_foreign(pid, Signal::Kill).await
        {
            tracing::error!(backend = kind.name(), pid, "cannot be killed");
        }
        self.gone(kind);
    }
}

/// Waits until the child and its whole group have ended.
async fn wait_for_end(group: &mut Group, limit: Duration) -> bool {
    let leader = group.identity().pid;
    let mut waited = Duration::ZERO;
    while waited < limit {
        if !matches!(group.ended(), Ok(None)) && process::group_is_empty(leader) {
            return true;
        }
        sleep(POLL).await;
        waited += POLL;
    }
    false
}

/// Ends a group that is no child of this process: asks, waits, kills.
async fn end_group(leader: &Identity, limit: Duration) -> bool {
    for signal in [Signal::Terminate, Signal::Kill] {
        process::signal_group(leader.pid, signal);
        let mut waited = Duration::ZERO;
        while waited < limit {
            if !process::is_alive(leader) && process::group_is_empty(leader.pid) {
                return true;
            }
            sleep(POLL).await;
            waited += POLL;
        }
    }
    false
}

/// The shortest question: what it proves is that a token comes.
fn hello() -> ChatRequest {
    ChatRequest {
        messages: vec![Message::new(Role::User, "Hi")],
        tools: Vec::new(),
        max_tokens: 1,
        temperature: 0.0,
    }
}

/// How often readiness and endings are looked at: a model that is ready waits 2.5 ms on average.
const POLL: Duration = Duration::from_millis(5);

/// How long a child may take to end at shutdown before it is killed.
const CLOSING: Duration = Duration::from_secs(2);
