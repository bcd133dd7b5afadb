//! Which backend is resident: exactly one, and how another takes its place.
//!
//! Core: a pure machine on simulated time, in the manner of the dialogue. [`Residency::handle`] takes what happened and
//! answers with what is to be done; [`super::supervisor`] does it and reports. A change goes through the same steps always:
//!
//! ```text
//!            Use ─▶ Asking ─▶ Draining ─▶ Unloading ─▶ Starting ─▶ Warming ─▶ Serving
//!                   foreign   requests    memory came   a token    the static    │ Died, hung
//!                   server?   end         back          came       prompt        ▼
//!                                              ▲                              Resting ─▶ Starting
//!                                              └──────── killed ◀──────────── (back-off)
//! ```
//!
//! [`Effect::Start`] is given only when nobody is resident by all that was reported: two resident models halve each other,
//! and two that do not fit make the machine swap or panic. Ticks may come late or too often.

use std::time::Duration;

use crate::time::Mono;

/// A kind of backend that can be started and stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// mlx_lm.server.
    Mlx,
    /// Ollama.
    Ollama,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Mlx, Self::Ollama];

    /// Its name in settings and commands.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mlx => "mlx",
            Self::Ollama => "ollama",
        }
    }
}

/// Whose process holds a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Hark started it.
    Ours,
    /// Somebody else did: it is not touched without consent.
    Foreign,
}

/// Whether Hark may start and stop backends (`llm.manage`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// It may.
    Given,
    /// Each take-over is asked for.
    Ask,
    /// It may not.
    Refused,
}

/// The limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Whether Hark may start and stop backends.
    pub consent: Consent,
    /// How long running requests may take to end before a change goes on without them.
    pub drain: Duration,
    /// How long memory may take to come back before the process is killed.
    pub unload: Duration,
    /// How long a model may take to load: 33 GB from a slow disk.
    pub load: Duration,
    /// How long a request may go without a sign of life before its generator counts as hung.
    pub silence: Duration,
    /// The pause after the first death; it doubles with each further one, up to a minute.
    pub first_pause: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            consent: Consent::Ask,
            drain: Duration::from_secs(10),
            unload: Duration::from_secs(5),
            load: Duration::from_secs(300),
            silence: Duration::from_secs(60),
            first_pause: Duration::from_millis(500),
        }
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Somebody wants this backend.
    Use(Kind),
    /// Somebody wants none.
    Stop,
    /// The survey found this one resident.
    Found(Kind, Owner),
    /// The user's answer to [`Effect::Ask`].
    Answered {
        /// Whether it may be taken over.
        yes: bool,
    },
    /// A request has begun.
    RequestBegan,
    /// A request showed a sign of life: a token, a keep-alive, a step of the prefill.
    Progress,
    /// A request has ended.
    RequestEnded,
    /// This one is gone: its process has ended or its model is unloaded, and its memory came back.
    Gone(Kind),
    /// This one has generated a token.
    Ready(Kind),
    /// The static prompt is in this one's cache, or could not be put there, which does no harm.
    Warmed(Kind),
    /// The process of this one has ended without having been asked to, or its generator is dead.
    Died(Kind),
    /// Somebody has stopped this one on purpose: `hark backend` in another process.
    TakenAway(Kind),
    /// It could not be started at all.
    CannotStart(Kind),
    /// Time has passed.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Ask whether this backend, which somebody else started, may be stopped.
    Ask(Kind),
    /// Let no new request in.
    CloseDoor,
    /// Let requests in to this backend.
    OpenDoor(Kind),
    /// Make it give its memory back, and report [`Event::Gone`] only when it has.
    Unload(Kind, Owner),
    /// End its process at once, and report [`Event::Gone`].
    Kill(Kind),
    /// Start it, and report [`Event::Ready`] when it has generated a token.
    Start(Kind),
    /// Put the static prompt into its cache.
    Warm(Kind),
    /// Tell the user.
    Tell(News),
}

/// What the user hears of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// It is resident, warm and in use.
    Serving(Kind),
    /// It is unloaded, and nobody took its place.
    Stopped(Kind),
    /// It has died or hangs, and is started again.
    Restarting(Kind),
    /// It does not start; the next try is at the next wish.
    GaveUp(Kind),
    /// The user did not want it.
    Declined,
    /// `llm.manage` forbids it.
    Forbidden,
}

/// Where things stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nobody is resident.
    Empty,
    /// Somebody else's server is resident and the user is being asked.
    Asking {
        /// Whose place is to be taken.
        resident: Kind,
        /// By whom.
        wish: Option<Kind>,
    },
    /// Requests run to their end.
    Draining {
        /// Who will leave.
        from: Kind,
        /// Whose it is.
        owner: Owner,
        /// Who comes.
        wish: Option<Kind>,
        /// Since when.
        since: Mono,
    },
    /// Memory comes back.
    Unloading {
        /// Who leaves.
        from: Kind,
        /// Who comes.
        wish: Option<Kind>,
        /// Since when.
        since: Mono,
        /// It was killed: nothing stronger is left.
        killed: bool,
    },
    /// It loads.
    Starting {
        /// Who.
        kind: Kind,
        /// Since when.
        since: Mono,
    },
    /// The static prompt is read.
    Warming(Kind),
    /// It answers.
    Serving {
        /// Who.
        kind: Kind,
        /// Whose it is.
        owner: Owner,
    },
    /// It died; the next try waits.
    Resting {
        /// Who.
        kind: Kind,
        /// Until when.
        until: Mono,
    },
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Residency {
    policy: Policy,
    phase: Phase,
    /// Requests that run.
    running: u32,
    /// The last sign of life while requests run.
    sign: Mono,
    /// Deaths in a row, since it last answered a request.
    deaths: u32,
}

impl Residency {
    /// Nobody is resident as far as is known.
    #[must_use]
    pub const fn new(policy: Policy) -> Self {
        Self {
            policy,
            phase: Phase::Empty,
            running: 0,
            sign: Mono::ZERO,
            deaths: 0,
        }
    }

    /// Where things stand.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// When a tick would next matter.
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        match self.phase {
            Phase::Empty | Phase::Asking { .. } | Phase::Warming(_) => None,
            Phase::Draining { since, .. } => Some(since + self.policy.drain),
            Phase::Unloading { since, killed, .. } => (!killed).then(|| since + self.policy.unload),
            Phase::Starting { since, .. } => Some(since + self.policy.load),
            Phase::Serving { owner, .. } => {
                (self.running > 0 && owner == Owner::Ours).then(|| self.sign + self.policy.silence)
            }
            Phase::Resting { until, .. } => Some(until),
        }
    }

    /// Applies one event. Total: what does not fit the phase does nothing.
    pub fn handle(&mut self, now: Mono, event: Event) -> Vec<Effect> {
        match event {
            Event::Use(kind) => self.want(now, Some(kind)),
            Event::Stop => self.want(now, None),
            Event::Found(kind, owner) => self.found(kind, owner),
            Event::Answered { yes } => self.answered(now, yes),
            Event::RequestBegan => {
                if self.running == 0 {
                    self.sign = now;
                }
                self.running += 1;
                Vec::new()
            }
            Event::Progress => {
                self.sign = now;
                Vec::new()
            }
            Event::RequestEnded => {
                self.running = self.running.saturating_sub(1);
                self.sign = now;
                self.drained(now)
            }
            Event::Gone(kind) => self.gone(now, kind),
            Event::Ready(kind) => match self.phase {
                Phase::Starting { kind: starting, .. } if starting == kind => {
                    self.phase = Phase::Warming(kind);
                    vec![Effect::Warm(kind)]
                }
                _ => Vec::new(),
            },
            Event::Warmed(kind) if self.phase == Phase::Warming(kind) => {
                let owner = Owner::Ours;
                self.phase = Phase::Serving { kind, owner };
                vec![Effect::OpenDoor(kind), Effect::Tell(News::Serving(kind))]
            }
            Event::Warmed(_) => Vec::new(),
            Event::Died(kind) => self.died(now, kind),
            Event::TakenAway(kind) => match self.phase {
                Phase::Serving { kind: serving, .. } if serving == kind => {
                    self.running = 0;
                    self.phase = Phase::Empty;
                    vec![Effect::CloseDoor, Effect::Tell(News::Stopped(kind))]
                }
                _ => Vec::new(),
            },
            Event::CannotStart(kind) => match self.phase {
                Phase::Starting { kind: starting, .. } if starting == kind => {
                    self.phase = Phase::Empty;
                    vec![Effect::Tell(News::GaveUp(kind))]
                }
                _ => Vec::new(),
            },
            Event::Tick => self.tick(now),
        }
    }

    fn want(&mut self, now: Mono, wish: Option<Kind>) -> Vec<Effect> {
        if self.policy.consent == Consent::Refused {
            return vec![Effect::Tell(News::Forbidden)];
        }
        match self.phase {
            Phase::Serving { kind, .. } if wish == Some(kind) => {
                vec![Effect::Tell(News::Serving(kind))]
            }
            Phase::Serving {
                kind,
                owner: Owner::Foreign,
            } if self.policy.consent == Consent::Ask => {
                self.phase = Phase::Asking {
                    resident: kind,
                    wish,
                };
                vec![Effect::Ask(kind)]
            }
            Phase::Serving { kind, owner } => self.drain(now, kind, owner, wish),
            Phase::Empty | Phase::Resting { .. } => {
                self.deaths = 0;
                self.phase = Phase::Empty;
                self.begin(now, wish)
            }
            // A loading or warming one is ours, and answers nobody yet.
            Phase::Starting { kind, .. } | Phase::Warming(kind) => {
                if wish == Some(kind) {
                    return Vec::new();
                }
                self.unload(now, kind, Owner::Ours, wish)
            }
            Phase::Draining {
                from, owner, since, ..
            } => {
                self.phase = Phase::Draining {
                    from,
                    owner,
                    wish,
                    since,
                };
                Vec::new()
            }
            Phase::Unloading {
                from,
                since,
                killed,
                ..
            } => {
                self.phase = Phase::Unloading {
                    from,
                    wish,
                    since,
                    killed,
                };
                Vec::new()
            }
            Phase::Asking { resident, .. } => {
                self.phase = Phase::Asking { resident, wish };
                Vec::new()
            }
        }
    }

    fn found(&mut self, kind: Kind, owner: Owner) -> Vec<Effect> {
        match self.phase {
            Phase::Empty | Phase::Resting { .. } => {
                self.phase = Phase::Serving { kind, owner };
                vec![Effect::OpenDoor(kind)]
            }
            _ => Vec::new(),
        }
    }

    fn answered(&mut self, now: Mono, yes: bool) -> Vec<Effect> {
        let Phase::Asking { resident, wish } = self.phase else {
            return Vec::new();
        };
        if yes {
            return self.drain(now, resident, Owner::Foreign, wish);
        }
        self.phase = Phase::Serving {
            kind: resident,
            owner: Owner::Foreign,
        };
        vec![Effect::Tell(News::Declined)]
    }

    fn drain(&mut self, now: Mono, from: Kind, owner: Owner, wish: Option<Kind>) -> Vec<Effect> {
        self.phase = Phase::Draining {
            from,
            owner,
            wish,
            since: now,
        };
        let mut effects = vec![Effect::CloseDoor];
        effects.extend(self.drained(now));
        effects
    }

    fn drained(&mut self, now: Mono) -> Vec<Effect> {
        match self.phase {
            Phase::Draining {
                from, owner, wish, ..
            } if self.running == 0 => self.unload(now, from, owner, wish),
            _ => Vec::new(),
        }
    }

    fn unload(&mut self, now: Mono, from: Kind, owner: Owner, wish: Option<Kind>) -> Vec<Effect> {
        self.phase = Phase::Unloading {
            from,
            wish,
            since: now,
            killed: false,
        };
        vec![Effect::Unload(from, owner)]
    }

    fn gone(&mut self, now: Mono, kind: Kind) -> Vec<Effect> {
        match self.phase {
            Phase::Unloading { from, wish, .. } if from == kind => {
                self.phase = Phase::Empty;
                self.running = 0;
                let mut effects = self.begin(now, wish);
                if wish.is_none() {
                    effects.push(Effect::Tell(News::Stopped(kind)));
                }
                effects
            }
            // Somebody stopped it behind our back: for us it died.
            Phase::Serving { kind: serving, .. } if serving == kind => self.died(now, kind),
            _ => Vec::new(),
        }
    }

    fn begin(&mut self, now: Mono, wish: Option<Kind>) -> Vec<Effect> {
        let Some(kind) = wish else {
            return Vec::new();
        };
        self.phase = Phase::Starting { kind, since: now };
        vec![Effect::Start(kind)]
    }

    fn died(&mut self, now: Mono, kind: Kind) -> Vec<Effect> {
        match self.phase {
            Phase::Serving {
                kind: serving,
                owner: Owner::Ours,
            } if serving == kind => {
                self.running = 0;
                let mut effects = vec![Effect::CloseDoor];
                effects.extend(self.rest(now, kind));
                effects
            }
            Phase::Serving { kind: serving, .. } if serving == kind => {
                self.running = 0;
                self.phase = Phase::Empty;
                vec![Effect::CloseDoor]
            }
            Phase::Starting { kind: starting, .. } if starting == kind => self.rest(now, kind),
            Phase::Warming(warming) if warming == kind => self.rest(now, kind),
            Phase::Draining { from, wish, .. } if from == kind => {
                self.running = 0;
                self.unload(now, from, Owner::Ours, wish)
            }
            _ => Vec::new(),
        }
    }

    /// Waits before the next try, longer each time; after [`MOST_DEATHS`] without a single answer it gives up.
    fn rest(&mut self, now: Mono, kind: Kind) -> Vec<Effect> {
        self.deaths += 1;
        if self.deaths > MOST_DEATHS {
            self.phase = Phase::Unloading {
                from: kind,
                wish: None,
                since: now,
                killed: true,
            };
            return vec![Effect::Kill(kind), Effect::Tell(News::GaveUp(kind))];
        }
        let doubled = self.policy.first_pause * 2_u32.pow(self.deaths - 1);
        self.phase = Phase::Resting {
            kind,
            until: now + doubled.min(LONGEST_PAUSE),
        };
        if self.deaths == 1 {
            vec![Effect::Tell(News::Restarting(kind))]
        } else {
            Vec::new()
        }
    }

    fn tick(&mut self, now: Mono) -> Vec<Effect> {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return Vec::new();
        }
        match self.phase {
            Phase::Draining {
                from, owner, wish, ..
            } => {
                self.running = 0;
                self.unload(now, from, owner, wish)
            }
            Phase::Unloading { from, wish, .. } => {
                self.phase = Phase::Unloading {
                    from,
                    wish,
                    since: now,
                    killed: true,
                };
                vec![Effect::Kill(from)]
            }
            // It takes too long, or says nothing any more: what is left of it goes, and it is started again.
            Phase::Starting { kind, .. } => self.restart(now, kind),
            Phase::Serving { kind, .. } => {
                let mut effects = vec![Effect::CloseDoor];
                effects.extend(self.restart(now, kind));
                effects
            }
            Phase::Resting { kind, .. } => {
                // What died may have left a part behind that still holds memory.
                self.phase = Phase::Unloading {
                    from: kind,
                    wish: Some(kind),
                    since: now,
                    killed: true,
                };
                vec![Effect::Kill(kind)]
            }
            Phase::Empty | Phase::Asking { .. } | Phase::Warming(_) => Vec::new(),
        }
    }

    fn restart(&mut self, now: Mono, kind: Kind) -> Vec<Effect> {
        self.running = 0;
        let mut effects = self.rest(now, kind);
        // While it rests its process must not work on: the pause ends with a kill in any case, this one comes sooner.
        if matches!(self.phase, Phase::Resting { .. }) {
            self.phase = Phase::Unloading {
                from: kind,
                wish: Some(kind),
                since: now,
                killed: true,
            };
            effects.push(Effect::Kill(kind));
        }
        effects
    }

    /// A turn was answered: the deaths before it are forgiven.
    pub const fn forgive(&mut self) {
        self.deaths = 0;
    }
}

/// Deaths in a row after which it is left alone: with doubling pauses that is about half a minute of trying.
const MOST_DEATHS: u32 = 5;

const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
