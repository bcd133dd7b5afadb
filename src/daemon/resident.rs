//! The daemon's keeper of the language model: one task that owns the supervisor, watches memory, and finds a backend again.
//!
//! The desk asks the [`Handle`] for the backend of a turn and tells it how the turn went; the task does everything that
//! takes time. With `llm.manage = "yes"` it starts a configured backend that does not run, and starts a dead or hung one
//! again; with `"ask"` it looks after what the user started by `hark backend use`; with `"no"` it touches nothing. Under
//! `llm.backend = "auto"` a backend that went away is looked for again, whatever kind comes back. It also warms the static
//! prompt at the start, after a change and after the machine has slept, and carries out what [`crate::memory::pressure`]
//! decides.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::conductor::Report;
use super::parts;
use crate::agent::engine::FailureKind;
use crate::agent::prefix::{Miss, PrefixWatch};
use crate::config::resolved::{Backend, Llm, Manage};
use crate::config::{Config, Places};
use crate::gateway::residency::{Consent, Event, Kind, News, Phase, Policy};
use crate::gateway::servers::{Keeping, ServerSettings};
use crate::gateway::supervisor::{Supervisor, Told};
use crate::llm::{ChatRequest, LlmBackend, backends};
use crate::memory::Pressure;
use crate::memory::pressure::{Reaction, Relief, Step};
use crate::platform::clock::{self, Clock};

/// What the desk tells of its turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// A turn wants a backend, and there is none.
    Wanted,
    /// A turn was answered.
    Answered,
    /// A turn failed.
    Failed(FailureKind),
}

/// Whether a backend can be asked now.
#[derive(Clone)]
pub enum State {
    /// This one.
    Ready(Arc<dyn LlmBackend>),
    /// It is being started: wait.
    Starting,
    /// There is none.
    None,
}

/// What the desk holds of the keeper.
#[derive(Clone)]
pub struct Handle {
    state: watch::Receiver<State>,
    wishes: mpsc::Sender<Wish>,
    managed: Arc<AtomicBool>,
    background: Arc<AtomicBool>,
    /// Requests that run.
    running: Arc<AtomicU32>,
    prefix: Arc<Mutex<PrefixWatch>>,
}

impl Handle {
    /// The backend of a turn; waits while one is being started, at most half a minute. Where there is none, it is looked for
    /// once more: it may have been started a moment ago.
    pub async fn backend(&self) -> Option<Arc<dyn LlmBackend>> {
        let mut state = self.state.clone();
        let none = matches!(*state.borrow_and_update(), State::None);
        if none {
            self.tell(Wish::Wanted);
            if tokio::time::timeout(WAIT_FOR_LOOK, state.changed())
                .await
                .is_err()
            {
                tracing::debug!("the keeper of the model is busy");
            }
        }
        let settled = state.wait_for(|state| !matches!(state, State::Starting));
        match tokio::time::timeout(WAIT_FOR_START, settled).await {
            Ok(Ok(state)) => match &*state {
                State::Ready(backend) => Some(Arc::clone(backend)),
                State::Starting | State::None => None,
            },
            Ok(Err(_)) | Err(_) => None,
        }
    }

    /// The backend that answers now, if one does.
    #[must_use]
    pub fn ready(&self) -> Option<Arc<dyn LlmBackend>> {
        match &*self.state.borrow() {
            State::Ready(backend) => Some(Arc::clone(backend)),
            State::Starting | State::None => None,
        }
    }

    /// Notes a request that leaves, until the value is dropped.
    #[must_use]
    pub fn running(&self) -> Running {
        self.running.fetch_add(1, Ordering::AcqRel);
        Running(Arc::clone(&self.running))
    }

    /// The turn was answered.
    pub fn answered(&self) {
        self.tell(Wish::Answered);
    }

    /// The turn failed. The sentence for the user, where the keeper mends what failed.
    #[must_use]
    pub fn failed(&self, kind: FailureKind) -> Option<&'static str> {
        self.tell(Wish::Failed(kind));
        let mends = is_gone(kind) && self.managed.load(Ordering::Acquire);
        mends.then_some("The language model has stopped. I am starting it again.")
    }

    /// Whether memory is so short that nobody but the voice is served.
    #[must_use]
    pub fn refuses_background(&self) -> bool {
        self.background.load(Ordering::Acquire)
    }

    /// Looks after the prefix of the model's cache.
    pub fn prefix(&self) -> std::sync::MutexGuard<'_, PrefixWatch> {
        self.prefix.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// News that do not fit are old by the time they could be read.
    fn tell(&self, wish: Wish) {
        if self.wishes.try_send(wish).is_err() {
            tracing::debug!(?wish, "the keeper of the model is busy or gone");
        }
    }
}

/// A request that runs.
pub struct Running(Arc<AtomicU32>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A failure after which the server is not to be trusted.
const fn is_gone(kind: FailureKind) -> bool {
    matches!(
        kind,
        FailureKind::Unreachable | FailureKind::Cut | FailureKind::Silent
    )
}

/// What a keeper starts with.
pub struct Start {
    /// The backend that was found or is configured.
    pub backend: Option<Arc<dyn LlmBackend>>,
    /// The daemon's clock.
    pub clock: Clock,
    /// The conductor's inbox.
    pub reports: mpsc::Sender<Report>,
    /// Ends the task.
    pub shutdown: CancellationToken,
    /// The static prompt as every request begins.
    pub prefix: ChatRequest,
}

/// Starts the task. Await it at shutdown: it ends the servers that it started.
pub fn start(
    config: &Config,
    places: &Places,
    start: Start,
) -> (Handle, tokio::task::JoinHandle<()>) {
    let managed = config.llm.manage == Manage::Yes
        && !matches!(config.llm.backend, Backend::None | Backend::Openai);
    let first = match &start.backend {
        // Whether it runs is found out first: no turn should be sent to one that is about to be started.
        _ if managed => State::Starting,
        Some(backend) => State::Ready(Arc::clone(backend)),
        None => State::None,
    };
    let (state, seen) = watch::channel(first);
    let (wishes, inbox) = mpsc::channel(WISHES);
    let handle = Handle {
        state: seen,
        wishes,
        managed: Arc::default(),
        background: Arc::default(),
        running: Arc::default(),
        prefix: Arc::default(),
    };
    let consent = match config.llm.manage {
        Manage::Yes => Some(Consent::Given),
        Manage::Ask => Some(Consent::Ask),
        Manage::No => None,
    };
    let supervisor = consent
        .filter(|_| !matches!(config.llm.backend, Backend::None | Backend::Openai))
        .map(|consent| {
            let policy = Policy {
                consent,
                // A request without a sign of life ends by the client's own limit, which counts keep-alives; this is for
                // a client that has none.
                silence: MOST_SILENCE,
                ..Policy::default()
            };
            let settings = server_settings(&config.llm, places, Keeping::WithDaemon);
            Supervisor::new(settings, policy, start.clock, start.prefix.clone())
        });
    let keeper = Keeper {
        llm: config.llm.clone(),
        supervisor,
        state,
        handle: handle.clone(),
        clock: start.clock,
        reports: start.reports,
        prefix: start.prefix,
        relief: Relief::new(),
        unloaded: None,
        gave_up: false,
        first: start.backend,
        counted: 0,
        looks: 0,
    };
    let task = tokio::spawn(keeper.run(inbox, start.shutdown));
    (handle, task)
}

/// The settings that servers are started with.
#[must_use]
pub fn server_settings(llm: &Llm, places: &Places, keeping: Keeping) -> ServerSettings {
    ServerSettings {
        llm: parts::llm_settings(llm),
        mlx_command: llm.mlx.command.clone(),
        mlx_model: llm.mlx.model.clone(),
        ollama_command: llm.ollama.command.clone(),
        context: u64::from(llm.ollama.num_ctx),
        folder: places.state.join("backends"),
        keeping,
    }
}

struct Keeper {
    llm: Llm,
    supervisor: Option<Supervisor>,
    state: watch::Sender<State>,
    handle: Handle,
    clock: Clock,
    reports: mpsc::Sender<Report>,
    prefix: ChatRequest,
    relief: Relief,
    /// What was unloaded for want of memory, to come back.
    unloaded: Option<Kind>,
    /// It does not start, or the user stopped it: no further try until one is found again.
    gave_up: bool,
    /// The backend that was found or is configured.
    first: Option<Arc<dyn LlmBackend>>,
    /// Running requests that the supervisor knows of.
    counted: u32,
    /// Looks so far.
    looks: u32,
}

impl Keeper {
    async fn run(mut self, mut inbox: mpsc::Receiver<Wish>, shutdown: CancellationToken) {
        let work = async {
            self.begin().await;
            let mut tick = tokio::time::interval(LOOK);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            let mut sleeps = Sleeps::new(self.clock);
            loop {
                tokio::select! {
                    wish = inbox.recv() => match wish {
                        Some(wish) => self.wish(wish).await,
                        None => return,
                    },
                    _ = tick.tick() => {
                        if sleeps.woke(self.clock) {
                            self.after_sleep().await;
                        }
                        self.look().await;
                    }
                }
            }
        };
        tokio::select! {
            () = work => {}
            () = shutdown.cancelled() => {}
        }
        if let Some(supervisor) = &mut self.supervisor {
            supervisor.close().await;
        }
    }

    /// Finds out what runs, starts what should, warms what is there.
    async fn begin(&mut self) {
        if let Some(supervisor) = &mut self.supervisor {
            let told = supervisor.survey().await;
            self.tell(told).await;
        }
        if let Some(first) = self.first.take() {
            let runs = first.reachable().await;
            if runs || self.startable().is_none() {
                self.state.send_replace(State::Ready(first));
                self.handle.prefix().emptied(Miss::ColdStart);
                self.warm();
                return;
            }
        }
        self.start_wanted().await;
        // One that died while it started rests now, and is tried again; what cannot be started at all is not waited for.
        if matches!(*self.state.borrow(), State::Starting) && !self.is_on_its_way() {
            self.state.send_replace(State::None);
        }
    }

    fn is_on_its_way(&self) -> bool {
        let phase = self.supervisor.as_ref().map(Supervisor::phase);
        matches!(
            phase,
            Some(Phase::Resting { .. } | Phase::Starting { .. } | Phase::Warming(_))
        )
    }

    async fn reachable(&self) -> bool {
        let backend = match &*self.state.borrow() {
            State::Ready(backend) => Arc::clone(backend),
            State::Starting | State::None => return false,
        };
        backend.reachable().await
    }

    /// The backend that may be started, by the settings.
    fn startable(&self) -> Option<Kind> {
        let supervisor = self.supervisor.as_ref()?;
        if self.llm.manage != Manage::Yes || self.gave_up {
            return None;
        }
        let kinds: &[Kind] = match self.llm.backend {
            Backend::Auto => &Kind::ALL,
            Backend::Mlx => &[Kind::Mlx],
            Backend::Ollama => &[Kind::Ollama],
            Backend::Openai | Backend::None => &[],
        };
        let mut kinds = kinds.iter().copied();
        kinds.find(|kind| supervisor.settings().can_start(*kind))
    }

    async fn start_wanted(&mut self) {
        let Some(kind) = self.startable() else { return };
        self.state.send_replace(State::Starting);
        self.event(Event::Use(kind)).await;
    }

    async fn event(&mut self, event: Event) {
        if let Some(supervisor) = &mut self.supervisor {
            let told = supervisor.handle(event).await;
            self.tell(told).await;
        }
    }

    async fn wish(&mut self, wish: Wish) {
        match wish {
            Wish::Wanted if self.llm.backend == Backend::Auto => {
                let none = matches!(*self.state.borrow(), State::None);
                if none {
                    self.find_again().await;
                }
            }
            // Whoever waits is told that there is nothing to wait for.
            Wish::Wanted => self.state.send_modify(|_| ()),
            Wish::Answered => {
                if let Some(supervisor) = &mut self.supervisor {
                    supervisor.forgive();
                }
            }
            Wish::Failed(kind) if is_gone(kind) => self.failed().await,
            Wish::Failed(_) => {}
        }
    }

    /// The server died or hangs. Ours is started again; another one is looked for where the settings leave it open.
    async fn failed(&mut self) {
        let phase = self.supervisor.as_ref().map(Supervisor::phase);
        if let Some(Phase::Serving { kind, .. }) = phase {
            self.event(Event::Died(kind)).await;
        }
        self.recover().await;
    }

    async fn recover(&mut self) {
        let phase = self.supervisor.as_ref().map(Supervisor::phase);
        if matches!(
            phase,
            Some(Phase::Resting { .. } | Phase::Starting { .. } | Phase::Warming(_))
        ) {
            self.state.send_replace(State::Starting);
            return;
        }
        if self.llm.backend == Backend::Auto && !self.reachable().await {
            self.find_again().await;
        }
        if !matches!(*self.state.borrow(), State::Ready(_)) || !self.reachable().await {
            self.start_wanted().await;
        }
    }

    async fn find_again(&mut self) {
        let found = backends::detect(&parts::llm_settings(&self.llm)).await;
        let Some(found) = found else {
            self.state.send_replace(State::None);
            return;
        };
        let found: Arc<dyn LlmBackend> = Arc::from(found);
        let info = found.info();
        self.handle.prefix().emptied(Miss::Swap);
        self.state.send_replace(State::Ready(found));
        self.report(Report::Backend(format!(
            "found {}",
            super::desk::describe(&info)
        )))
        .await;
        if let Some(supervisor) = &mut self.supervisor {
            let told = supervisor.survey().await;
            self.tell(told).await;
        }
        self.gave_up = false;
        self.warm();
    }

    /// Tells the supervisor of requests that began or ended since the last look.
    async fn count(&mut self) {
        let running = self.handle.running.load(Ordering::Acquire);
        while self.counted < running {
            self.counted += 1;
            self.event(Event::RequestBegan).await;
        }
        while self.counted > running {
            self.counted -= 1;
            self.event(Event::RequestEnded).await;
        }
    }

    async fn look(&mut self) {
        self.count().await;
        self.looks = self.looks.wrapping_add(1);
        let seldom = self.looks.is_multiple_of(SELDOM);
        if let Some(supervisor) = &mut self.supervisor {
            let mut told = supervisor.look().await;
            if seldom {
                told.extend(supervisor.look_closely().await);
            }
            self.tell(told).await;
        }
        let none = matches!(*self.state.borrow(), State::None);
        if seldom && none && self.llm.backend == Backend::Auto {
            // Somebody may have started one since; where nothing listens the question takes a few milliseconds.
            self.find_again().await;
        }
        if matches!(*self.state.borrow(), State::None) && self.unloaded.is_none() {
            self.start_wanted().await;
        }
        if let Some(level) = crate::platform::memory::pressure() {
            self.relieve(level).await;
        }
    }

    async fn tell(&mut self, told: Vec<Told>) {
        for told in told {
            match told {
                Told::News(news) => self.news(news).await,
                Told::Question(kind) => {
                    // Nobody can be asked here; the verb asks.
                    let words = format!(
                        "{0} was started by another program and stays; `hark backend use` asks before it takes over",
                        kind.name()
                    );
                    self.report(Report::Backend(words)).await;
                    self.event_answer_no().await;
                }
                Told::Trouble(words) => {
                    tracing::warn!(trouble = words, "backend");
                    self.report(Report::Backend(words)).await;
                }
                Told::Warmed(..) => self.handle.prefix().warmed(),
            }
        }
    }

    async fn event_answer_no(&mut self) {
        if let Some(supervisor) = &mut self.supervisor {
            // What comes of a no is only that it was declined.
            drop(supervisor.handle(Event::Answered { yes: false }).await);
        }
    }

    async fn news(&mut self, news: News) {
        let managed = |this: &Self, yes| this.handle.managed.store(yes, Ordering::Release);
        match news {
            News::Serving(kind) => {
                managed(self, true);
                self.gave_up = false;
                self.serve(kind);
                self.report(Report::Backend(format!("{} is ready", kind.name())))
                    .await;
            }
            News::Stopped(kind) => {
                managed(self, false);
                self.gave_up = self.unloaded.is_none();
                self.state.send_replace(State::None);
                self.report(Report::Backend(format!("{} is unloaded", kind.name())))
                    .await;
            }
            News::Restarting(kind) => {
                self.state.send_replace(State::Starting);
                self.handle.prefix().emptied(Miss::ColdStart);
                self.report(Report::Backend(format!(
                    "{} died and is started again",
                    kind.name()
                )))
                .await;
            }
            News::GaveUp(kind) => {
                managed(self, false);
                self.gave_up = true;
                self.state.send_replace(State::None);
                let words = format!(
                    "{} does not start; `hark backend use {}` shows why",
                    kind.name(),
                    kind.name()
                );
                self.report(Report::Backend(words)).await;
            }
            News::Declined | News::Forbidden => {}
        }
    }

    fn serve(&mut self, kind: Kind) {
        let settings = parts::llm_settings(&self.llm);
        match backends::open(kind.name(), &settings) {
            Some(Ok(backend)) => {
                self.state.send_replace(State::Ready(Arc::from(backend)));
            }
            Some(Err(error)) => tracing::error!(%error, "the backend cannot be set up"),
            None => tracing::error!("a kind of backend is not in the table"),
        }
    }

    /// Puts the static prompt into the cache: the first turn then starts like the second.
    fn warm(&self) {
        let backend = match &*self.state.borrow() {
            State::Ready(backend) => Arc::clone(backend),
            State::Starting | State::None => return,
        };
        // A server behind `llm.openai` may be far away and cost money: it is asked only what the user asks.
        if backend.info().name == "openai" {
            return;
        }
        let (handle, prefix) = (self.handle.clone(), self.prefix.clone());
        tokio::spawn(async move {
            match tokio::time::timeout(WARM_UP, backend.warm(prefix)).await {
                Ok(Ok(usage)) => {
                    tracing::info!(
                        prompt_tokens = usage.prompt_tokens,
                        cached_tokens = usage.cached_tokens,
                        "the static prompt is warm"
                    );
                    handle.prefix().warmed();
                }
                Ok(Err(error)) => tracing::info!(%error, "the static prompt cannot be warmed"),
                Err(_) => tracing::info!("the static prompt takes too long to warm"),
            }
        });
    }

    async fn after_sleep(&mut self) {
        tracing::info!("the machine has slept");
        self.handle.prefix().emptied(Miss::ColdStart);
        self.recover().await;
        self.warm();
    }

    async fn relieve(&mut self, level: Pressure) {
        let Some(reaction) = self.relief.observe(self.clock.now(), level) else {
            return;
        };
        let words = match reaction {
            Reaction::Do(step) => format!(
                "memory is short ({}): {}",
                level.as_str(),
                self.give_up(step).await
            ),
            Reaction::Undo(step) => {
                format!("memory is enough again: {}", self.take_back(step).await)
            }
        };
        tracing::warn!(level = level.as_str(), ?reaction, "memory");
        self.report(Report::Memory(words)).await;
    }

    /// Carries out a step, and says what was done: what cannot be done here is said too.
    async fn give_up(&mut self, step: Step) -> String {
        let ours = self.ours();
        match (step, ours) {
            (Step::DropPromptCaches, Some(Kind::Mlx)) => {
                // Its server has no other way; a restart costs the load from the disk's cache and keeps the voice.
                self.event(Event::Stop).await;
                self.state.send_replace(State::Starting);
                self.event(Event::Use(Kind::Mlx)).await;
                "prompt caches are dropped".to_owned()
            }
            (Step::DropPromptCaches, _) => {
                "prompt caches stay: the backend cannot drop them".to_owned()
            }
            (Step::RefuseBackground, _) => {
                self.handle.background.store(true, Ordering::Release);
                "other programs' requests are refused".to_owned()
            }
            (Step::SmallerWhisper, _) => {
                "the speech model stays until the next start; set stt.model to a smaller one"
                    .to_owned()
            }
            (Step::UnloadLlm, Some(kind)) => {
                self.unloaded = Some(kind);
                self.event(Event::Stop).await;
                "the language model is unloaded; local answers go on".to_owned()
            }
            (Step::UnloadLlm, None) => "the language model stays: Hark did not start it".to_owned(),
        }
    }

    async fn take_back(&mut self, step: Step) -> String {
        match step {
            Step::DropPromptCaches => "prompt caches may grow".to_owned(),
            Step::RefuseBackground => {
                self.handle.background.store(false, Ordering::Release);
                "other programs are served".to_owned()
            }
            Step::SmallerWhisper => "the speech model is as it was".to_owned(),
            Step::UnloadLlm => {
                if let Some(kind) = self.unloaded.take() {
                    self.state.send_replace(State::Starting);
                    self.event(Event::Use(kind)).await;
                }
                "the language model is loaded".to_owned()
            }
        }
    }

    /// The resident backend, where it is ours to stop.
    fn ours(&self) -> Option<Kind> {
        match self.supervisor.as_ref()?.phase() {
            Phase::Serving {
                kind,
                owner: crate::gateway::residency::Owner::Ours,
            } => Some(kind),
            _ => None,
        }
    }

    async fn report(&self, report: Report) {
        if self.reports.send(report).await.is_err() {
            tracing::debug!("nobody hears of the backend any more");
        }
    }
}

/// Notices that the machine has slept: wall time has passed that the monotonic clock did not count.
struct Sleeps {
    wall: i64,
    mono: crate::time::Mono,
}

impl Sleeps {
    fn new(clock: Clock) -> Self {
        Self {
            wall: wall_seconds(),
            mono: clock.now(),
        }
    }

    fn woke(&mut self, clock: Clock) -> bool {
        let next = Self::new(clock);
        let counted = i64::try_from(next.mono.since(self.mono).as_secs()).unwrap_or(i64::MAX);
        let slept = next.wall - self.wall - counted;
        *self = next;
        slept >= SLEPT_SECONDS
    }
}

fn wall_seconds() -> i64 {
    clock::wall().timestamp().as_second()
}

/// How often children, memory and the clock are looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Wall time that must be missing before it counts as sleep: more than any correction of the clock.
const SLEPT_SECONDS: i64 = 20;

/// Every so many looks it is also looked at what costs more: other programs' processes, backends that came.
const SELDOM: u32 = 6;

/// How long a request may be silent by the supervisor's own count.
const MOST_SILENCE: Duration = Duration::from_secs(600);

/// How long a turn without a backend waits for one more look.
const WAIT_FOR_LOOK: Duration = Duration::from_secs(3);

/// How long a turn waits for a backend that is being started.
const WAIT_FOR_START: Duration = Duration::from_secs(30);

/// A cold prefill of the static prompt takes 9 s on a slow laptop, and the model may have to be loaded before it.
const WARM_UP: Duration = Duration::from_secs(180);

/// Wishes that may wait.
const WISHES: usize = 64;
