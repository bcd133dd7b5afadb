//! The daemon's keeper of the language model: one task that owns the supervisor, watches memory, and finds a backend again.
//!
//! The desk asks the [`Handle`] for the backend of a turn and tells it how the turn went; the task does everything that
//! takes time. With `llm.manage = "yes"` it starts a configured backend that does not run, and starts a dead or hung one
//! again; with `"ask"` it looks after what the user started by `hark backend use`; with `"no"` it touches nothing. Under
//! `llm.backend = "auto"` a backend that went away is looked for again, whatever kind comes back. It also warms the static
//! prompt at the start, after a change and after the machine has slept, and carries out what [`crate::memory::pressure`]
//! decides.

mod handle;
mod health;
mod order;
mod relief;
mod sleeps;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::conductor::Report;
use super::gateway::Seats;
use super::parts;
use crate::agent::prefix::Miss;
use crate::config::resolved::{Backend, Llm, Manage};
use crate::config::{Config, Places};
use crate::gateway::residency::{Consent, Event, Kind, News, Phase, Policy};
use crate::gateway::servers::{Keeping, ServerSettings};
use crate::gateway::supervisor::{Prefix, Supervisor, Told};
use crate::llm::{LlmBackend, backends};
use crate::memory::pressure::{Relief, Step};
use crate::memory::{Pressure, human};
use crate::platform::clock::Clock;
use crate::platform::memory::tree_footprint_bytes;
use crate::transcribe::thread::Exchange;

pub use handle::{Handle, Running, State};
use handle::{Wish, is_gone};
pub use health::Health;
use sleeps::Sleeps;

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
    /// What every request begins with.
    pub prefix: Prefix,
    /// What other programs share with us, where there is a gateway.
    pub seats: Option<Seats>,
    /// The way to another speech model, where somebody listens.
    pub speech: Option<Exchange>,
    /// What tells of memory.
    pub strain: Strain,
}

/// How short memory is, and how fast that is answered.
pub struct Strain {
    /// The level of this moment, where it is known.
    pub level: Box<dyn Fn() -> Option<Pressure> + Send + Sync>,
    /// What decides.
    pub relief: Relief,
}

impl Strain {
    /// As the system tells it.
    #[must_use]
    pub fn of_the_system() -> Self {
        Self {
            level: Box::new(crate::platform::memory::pressure),
            relief: Relief::new(),
        }
    }
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
    if managed && let Some(seats) = &start.seats {
        seats.changes();
    }
    let (state, seen) = watch::channel(first);
    let (wishes, inbox) = mpsc::channel(WISHES);
    let handle = Handle {
        state: seen,
        wishes,
        managed: Arc::default(),
        may_change: config.llm.manage != Manage::No
            && !matches!(config.llm.backend, Backend::None | Backend::Openai),
        running: Arc::default(),
        prefix: Arc::default(),
        health: Arc::default(),
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
            // What the user asked for by hand outlives a restart of the daemon; what the daemon starts by itself does not.
            let keeping = match config.llm.manage {
                Manage::Yes => Keeping::WithDaemon,
                Manage::Ask | Manage::No => Keeping::UntilStopped,
            };
            let settings = server_settings(&config.llm, places, keeping);
            Supervisor::new(settings, policy, start.clock, start.prefix.clone())
                .with_need(parts::memory::need(&config.llm))
        });
    let keeper = Keeper {
        llm: config.llm.clone(),
        config: config.clone(),
        places: places.clone(),
        seats: start.seats,
        speech: start.speech,
        short: false,
        agreed: false,
        trouble: None,
        supervisor,
        state,
        handle: handle.clone(),
        clock: start.clock,
        reports: start.reports,
        prefix: start.prefix,
        level: start.strain.level,
        relief: start.strain.relief,
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
    config: Config,
    places: Places,
    seats: Option<Seats>,
    speech: Option<Exchange>,
    /// The wanted backend was refused for want of memory, and the user knows.
    short: bool,
    /// Whoever asked for the change that is under way has the user's consent.
    agreed: bool,
    /// What went wrong last, in words.
    trouble: Option<String>,
    supervisor: Option<Supervisor>,
    state: watch::Sender<State>,
    handle: Handle,
    clock: Clock,
    reports: mpsc::Sender<Report>,
    prefix: Prefix,
    level: Box<dyn Fn() -> Option<Pressure> + Send + Sync>,
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
        self.plan();
        if let Some(supervisor) = &mut self.supervisor {
            let told = supervisor.survey().await;
            self.tell(told).await;
        }
        if let Some(first) = self.first.take() {
            let runs = first.reachable().await;
            if runs || self.startable().is_none() {
                self.state.send_replace(State::Ready(first));
                self.open_to_others();
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
        if matches!(*self.state.borrow(), State::None) {
            self.open_to_others();
        }
    }

    /// Notes what the resident server holds, for the status.
    fn weigh(&self) {
        let served = self.supervisor.as_ref().zip(self.serving());
        let pid = served.and_then(|(supervisor, kind)| supervisor.settings().serving(kind));
        let held = pid.and_then(|(pid, _)| tree_footprint_bytes(pid));
        self.handle.health().resident_bytes = held;
    }

    /// Makes the plan for the status; a server that is asked about its model may take its time.
    fn plan(&self) {
        let (config, places) = (self.config.clone(), self.places.clone());
        let handle = self.handle.clone();
        tokio::spawn(async move {
            let plan = parts::memory::plan_here(&config, &places).await;
            handle.health().plan = Some(plan);
        });
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
        self.change(Event::Use(kind)).await;
        if !self.is_on_its_way() && matches!(*self.state.borrow(), State::Starting) {
            self.state.send_replace(State::None);
        }
    }

    /// Puts another backend in the place of the resident one, or none. Clients wait meanwhile; those that are being served
    /// may end first.
    async fn change(&mut self, event: Event) {
        if let Some(seats) = &self.seats {
            seats.changes();
        }
        self.count().await;
        if matches!(event, Event::Use(_)) {
            self.state.send_replace(State::Starting);
        }
        self.handle.prefix().emptied(Miss::Swap);
        self.event(event).await;
        while matches!(self.phase(), Some(Phase::Draining { .. })) {
            tokio::time::sleep(DRAIN_LOOK).await;
            self.count().await;
            if let Some(supervisor) = &mut self.supervisor {
                let told = supervisor.look().await;
                self.tell(told).await;
            }
        }
        let settled = matches!(
            self.phase(),
            Some(Phase::Serving { .. } | Phase::Empty) | None
        );
        if settled && !matches!(*self.state.borrow(), State::Ready(_)) {
            self.open_to_others();
        }
    }

    /// Who serves, whoever started it.
    fn serving(&self) -> Option<Kind> {
        match self.phase() {
            Some(Phase::Serving { kind, .. }) => Some(kind),
            _ => None,
        }
    }

    fn phase(&self) -> Option<Phase> {
        self.supervisor.as_ref().map(Supervisor::phase)
    }

    /// Nobody of ours serves: who asks through the gateway gets whichever answers.
    fn open_to_others(&self) {
        if let Some(seats) = &self.seats {
            seats.look_again();
        }
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
            Wish::Change(wanted) => self.ordered(wanted).await,
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
        let own = self.handle.running.load(Ordering::Acquire);
        let others = self.seats.as_ref().map_or(0, Seats::others_running);
        if others > 0 {
            // Whoever relays them watches over their silence; they may take as long as they like.
            self.event(Event::Progress).await;
        }
        let running = own + others;
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
        if seldom {
            self.weigh();
        }
        let none = matches!(*self.state.borrow(), State::None);
        if seldom && none && self.llm.backend == Backend::Auto {
            // Somebody may have started one since; where nothing listens the question takes a few milliseconds.
            self.find_again().await;
        }
        let none = matches!(*self.state.borrow(), State::None);
        if none && self.unloaded.is_none() && (seldom || !self.short) {
            self.start_wanted().await;
        }
        if let Some(level) = (self.level)() {
            self.relieve(level).await;
        }
    }

    async fn tell(&mut self, told: Vec<Told>) {
        let mut queue = VecDeque::from(told);
        while let Some(told) = queue.pop_front() {
            match told {
                Told::News(news) => self.news(news).await,
                Told::Question(kind) => queue.extend(self.question(kind).await),
                Told::Trouble(words) => {
                    tracing::warn!(trouble = words, "backend");
                    self.trouble = Some(words.clone());
                    self.report(Report::Backend(words)).await;
                }
                Told::NoMemory { kind, need, free } => self.no_room(kind, need, free).await,
                Told::Warmed(..) => self.handle.prefix().warmed(),
            }
        }
    }

    /// Whether a server of another program may be taken over. Whoever ordered the change has asked the user; here nobody can
    /// be asked.
    async fn question(&mut self, kind: Kind) -> Vec<Told> {
        if !self.agreed {
            let words = format!(
                "{0} was started by another program and stays; `hark backend use` asks before it takes over",
                kind.name()
            );
            self.report(Report::Backend(words)).await;
        }
        let yes = self.agreed;
        match &mut self.supervisor {
            Some(supervisor) => supervisor.handle(Event::Answered { yes }).await,
            None => Vec::new(),
        }
    }

    /// It was not started: clients are refused with the figures, and it is tried again when memory has come back.
    async fn no_room(&mut self, kind: Kind, need: u64, free: u64) {
        self.handle.health().shortage = Some((need, free));
        if let Some(seats) = &self.seats {
            seats.look_again();
            seats.refuse_for_memory(Some((need, free)));
        }
        self.state.send_replace(State::None);
        let words = format!(
            "{} is not started: it needs {} of memory, and {} are free; `hark plan` shows what would fit",
            kind.name(),
            human(need),
            human(free)
        );
        if !std::mem::replace(&mut self.short, true) {
            tracing::warn!(need, free, backend = kind.name(), "not enough memory");
            self.report(Report::Memory(words.clone())).await;
        }
        self.trouble = Some(words);
    }

    async fn news(&mut self, news: News) {
        let managed = |this: &Self, yes| this.handle.managed.store(yes, Ordering::Release);
        match news {
            News::Serving(kind) => {
                managed(self, true);
                self.gave_up = false;
                self.serve(kind);
                if let Some(seats) = &self.seats {
                    seats.serves(kind.name());
                }
                if std::mem::take(&mut self.short) {
                    self.handle.health().shortage = None;
                }
                if self.relief.done().contains(&Step::RefuseBackground) {
                    self.refuse_others();
                } else {
                    self.serve_others();
                }
                self.order_ended();
                self.report(Report::Backend(format!("{} is ready", kind.name())))
                    .await;
            }
            News::Stopped(kind) => {
                managed(self, false);
                self.gave_up = self.unloaded.is_none();
                self.state.send_replace(State::None);
                self.open_to_others();
                self.order_ended();
                self.report(Report::Backend(format!("{} is unloaded", kind.name())))
                    .await;
            }
            News::Restarting(kind) => {
                self.state.send_replace(State::Starting);
                if let Some(seats) = &self.seats {
                    seats.changes();
                }
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
                self.open_to_others();
                let words = format!(
                    "{} does not start; `hark backend use {}` shows why",
                    kind.name(),
                    kind.name()
                );
                self.trouble = Some(words.clone());
                self.order_ended();
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
            let warm = async { backend.warm(prefix().await).await };
            match tokio::time::timeout(WARM_UP, warm).await {
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

    async fn report(&self, report: Report) {
        if self.reports.send(report).await.is_err() {
            tracing::debug!("nobody hears of the backend any more");
        }
    }
}

/// How often children, memory and the clock are looked at.
const LOOK: Duration = Duration::from_millis(500);

/// How often it is looked whether the last request has ended before a change: what a change may wait for nothing.
const DRAIN_LOOK: Duration = Duration::from_millis(5);

/// Every so many looks it is also looked at what costs more: other programs' processes, backends that came.
const SELDOM: u32 = 6;

/// How long a request may be silent by the supervisor's own count.
const MOST_SILENCE: Duration = Duration::from_secs(600);

/// A cold prefill of the static prompt takes 9 s on a slow laptop, and the model may have to be loaded before it.
const WARM_UP: Duration = Duration::from_secs(180);

/// Wishes that may wait.
const WISHES: usize = 64;
