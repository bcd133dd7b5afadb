//! Who runs on the resident model, who waits, who is refused.
//!
//! Core: values in, a typed answer out, told when work ends; no clock, no thread. Owned by [`super::gate::Gate`], which
//! turns its answers into futures. The rules:
//!
//! - **Voice outranks everything.** It takes a free slot at once; without one a background job is asked to give way, and
//!   after [`Limits::yield_within`] voice starts beside it, whatever the job does. It is refused only at shutdown. While a
//!   turn is under way ([`Admission::hold`]) no background job starts and those that run are asked to give way, so that the
//!   model is free by the time the question is known.
//! - **Background is fair among clients.** Next is the client that has used the least time on the model ([`Share`]), among
//!   its jobs the oldest. A job of the session that ran last goes first, because its prompt is still in the cache, but at
//!   most [`Limits::sticky`] times in a row. A session's jobs never run beside each other.
//! - **Nobody waits for ever.** A background job that has waited [`Limits::wait`] in one go, or has given way
//!   [`Limits::interruptions`] times, is refused with the time after which to ask again; the queue is bounded in all and
//!   for each client.
//!
//! What giving way means for a stream that has begun is the business of the relay.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::time::Mono;

/// A job that has been admitted or waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Class {
    /// A turn of the conversation.
    Voice,
    /// Everybody else.
    Background {
        /// Whom to be fair to: a program, as far as it tells who it is.
        client: String,
        /// A conversation of that program, whose prompts share their beginnings.
        session: Option<String>,
    },
}

/// The bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Jobs at a time. One for mlx_lm.server (two at a time have brought whole machines down) and for Ollama, whose default
    /// is one; more for servers that batch.
    pub slots: usize,
    /// Background jobs that may wait, in all.
    pub queue: usize,
    /// Background jobs of one client that may wait.
    pub queue_each: usize,
    /// How long a background job waits in one go.
    pub wait: Duration,
    /// How long voice waits for a job that was asked to give way. mlx_lm.server needs up to half a second to notice.
    pub yield_within: Duration,
    /// How often in a row a session may go first.
    pub sticky: u32,
    /// How often a job may be asked to give way before it is refused.
    pub interruptions: u32,
    /// The longest hold; a turn that takes longer to ask loses it.
    pub hold: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            slots: 1,
            queue: 256,
            queue_each: 256,
            wait: Duration::from_secs(120),
            yield_within: Duration::from_millis(500),
            sticky: 3,
            interruptions: 8,
            hold: Duration::from_secs(20),
        }
    }
}

/// Why a job does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Others are before it. Ask again after this time.
    #[error("the model is busy; ask again in {} s", .retry_after.as_secs())]
    Busy {
        /// After which a slot is likely.
        retry_after: Duration,
    },
    /// The model does not fit into memory beside what runs now. Close something, or choose a smaller model.
    #[error("there is not enough memory for the model: it needs {need} bytes, {free} are free")]
    NoMemory {
        /// Bytes.
        need: u64,
        /// Bytes.
        free: u64,
    },
    /// Hark is ending.
    #[error("the gateway is shutting down")]
    ShuttingDown,
}

/// What the driver has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The job may run now.
    Start(JobId),
    /// The running job is asked to give way: it stops and calls [`Admission::wait_again`], or ends.
    Yield(JobId),
    /// The waiting job is refused and forgotten.
    Refuse(JobId, Refusal),
}

/// The time that a client has used, in the manner of fair queueing: a client that comes (back) starts at the level of the
/// last one served, so that neither a newcomer nor one that was away can take all from the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    used: Duration,
    /// Its jobs that wait or run; without any the share is forgotten.
    jobs: usize,
}

#[derive(Debug)]
struct Job {
    id: JobId,
    client: String,
    session: Option<String>,
    /// Interruptions so far.
    interrupted: u32,
    /// When it must have started.
    until: Mono,
}

#[derive(Debug)]
struct Running {
    since: Mono,
    yielding: bool,
    work: Work,
}

#[derive(Debug)]
enum Work {
    Voice(JobId),
    Background(Job),
}

impl Work {
    fn id(&self) -> JobId {
        match self {
            Self::Voice(id) => *id,
            Self::Background(job) => job.id,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Admission {
    limits: Limits,
    next: u64,
    running: Vec<Running>,
    /// Voice that waits, with the moment at which it starts in any case.
    voice: VecDeque<(JobId, Mono)>,
    waiting: Vec<Job>,
    shares: HashMap<String, Share>,
    /// The level of the last client served.
    level: Duration,
    /// The session that ran last, and how often in a row it went first.
    last: Option<(String, u32)>,
    /// A turn is under way until then.
    held: Option<Mono>,
    no_memory: Option<(u64, u64)>,
    closed: bool,
    /// A moving mean of how long background jobs run, for `retry_after`.
    mean: Duration,
}

impl Admission {
    /// Nothing runs.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            next: 0,
            running: Vec::new(),
            voice: VecDeque::new(),
            waiting: Vec::new(),
            shares: HashMap::new(),
            level: Duration::ZERO,
            last: None,
            held: None,
            no_memory: None,
            closed: false,
            mean: Duration::from_secs(2),
        }
    }

    /// A job asks. With an id comes what to do now, in which the job itself may be started; until then it waits.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn request(&mut self, now: Mono, class: Class) -> Result<(JobId, Vec<Step>), Refusal> {
        if self.closed {
            return Err(Refusal::ShuttingDown);
        }
        let id = JobId(self.next);
        match class {
            Class::Voice => self.voice.push_back((id, now + self.limits.yield_within)),
            Class::Background { client, session } => {
                if let Some((need, free)) = self.no_memory {
                    return Err(Refusal::NoMemory { need, free });
                }
                let own = self.waiting.iter().filter(|job| job.client == client);
                if self.waiting.len() >= self.limits.queue || own.count() >= self.limits.queue_each
                {
                    return Err(self.busy());
                }
                let level = self.level;
                let share = self.shares.entry(client.clone()).or_default();
                if share.jobs == 0 {
                    share.used = share.used.max(level);
                }
                share.jobs += 1;
                self.waiting.push(Job {
                    id,
                    client,
                    session,
                    interrupted: 0,
                    until: now + self.limits.wait,
                });
            }
        }
        self.next += 1;
        Ok((id, self.settle(now)))
    }

    /// A job has ended, or its client has left, whether it ran or waited. Unknown ids do nothing.
    pub fn done(&mut self, now: Mono, id: JobId) -> Vec<Step> {
        self.voice.retain(|(waiting, _)| *waiting != id);
        if let Some(at) = self.waiting.iter().position(|job| job.id == id) {
            let job = self.waiting.remove(at);
            self.leave(&job.client);
        }
        if let Some(at) = self.running.iter().position(|run| run.work.id() == id) {
            let run = self.running.remove(at);
            if let Work::Background(job) = run.work {
                let took = now.since(run.since);
                self.mean = (self.mean * 7 + took) / 8;
                if let Some(share) = self.shares.get_mut(&job.client) {
                    share.used += took;
                }
                self.leave(&job.client);
            }
        }
        self.settle(now)
    }

    /// A job that was asked to give way has stopped and wants to run again. What it has used is not counted: it was lost.
    pub fn wait_again(&mut self, now: Mono, id: JobId) -> Vec<Step> {
        let Some(at) = self.running.iter().position(|run| run.work.id() == id) else {
            return Vec::new();
        };
        let mut steps = Vec::new();
        match self.running.remove(at).work {
            Work::Voice(id) => self.voice.push_front((id, now + self.limits.yield_within)),
            Work::Background(mut job) => {
                job.interrupted += 1;
                job.until = now + self.limits.wait;
                let refusal = if self.closed {
                    Some(Refusal::ShuttingDown)
                } else if let Some((need, free)) = self.no_memory {
                    Some(Refusal::NoMemory { need, free })
                } else {
                    (job.interrupted > self.limits.interruptions).then(|| self.busy())
                };
                match refusal {
                    Some(refusal) => {
                        self.leave(&job.client);
                        steps.push(Step::Refuse(job.id, refusal));
                    }
                    None => self.waiting.push(job),
                }
            }
        }
        steps.extend(self.settle(now));
        steps
    }

    /// A turn begins: background gives way, for [`Limits::hold`] at most. Called again, it lasts from now.
    pub fn hold(&mut self, now: Mono) -> Vec<Step> {
        self.held = Some(now + self.limits.hold);
        self.settle(now)
    }

    /// The turn no longer needs the model.
    pub fn release(&mut self, now: Mono) -> Vec<Step> {
        self.held = None;
        self.settle(now)
    }

    /// The number of jobs that may run at a time, when another backend takes over.
    pub fn set_slots(&mut self, now: Mono, slots: usize) -> Vec<Step> {
        self.limits.slots = slots.max(1);
        self.settle(now)
    }

    /// Whether background work fits into memory; `Some` is (needed, free) in bytes when it does not.
    pub fn set_no_memory(&mut self, now: Mono, shortage: Option<(u64, u64)>) -> Vec<Step> {
        self.no_memory = shortage;
        let Some((need, free)) = shortage else {
            return self.settle(now);
        };
        self.refuse_waiting(Refusal::NoMemory { need, free })
    }

    /// Nobody is admitted any more, and who waits is refused; what runs may end.
    pub fn close(&mut self) -> Vec<Step> {
        self.closed = true;
        let mut steps = self.refuse_waiting(Refusal::ShuttingDown);
        let voice = self.voice.drain(..);
        steps.extend(voice.map(|(id, _)| Step::Refuse(id, Refusal::ShuttingDown)));
        steps
    }

    /// Time has passed: due at [`Self::deadline`]; early or late calls are harmless.
    pub fn tick(&mut self, now: Mono) -> Vec<Step> {
        let busy = self.busy();
        let mut steps = Vec::new();
        while let Some(at) = self.waiting.iter().position(|job| job.until <= now) {
            let job = self.waiting.remove(at);
            self.leave(&job.client);
            steps.push(Step::Refuse(job.id, busy));
        }
        steps.extend(self.settle(now));
        steps
    }

    /// When [`Self::tick`] would next matter.
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        let voice = self.voice.front().map(|(_, at)| *at);
        let patience = self.waiting.iter().map(|job| job.until).min();
        let held = self.held.filter(|_| !self.waiting.is_empty());
        [voice, patience, held].into_iter().flatten().min()
    }

    /// Jobs that run and jobs that wait, for status and tests.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.running.len(), self.waiting.len() + self.voice.len())
    }

    /// Background jobs that run.
    #[must_use]
    pub fn background(&self) -> usize {
        let background = |running: &&Running| matches!(running.work, Work::Background(_));
        self.running.iter().filter(background).count()
    }

    /// Starts what may start and asks those that must to give way.
    fn settle(&mut self, now: Mono) -> Vec<Step> {
        if self.held.is_some_and(|until| until <= now) {
            self.held = None;
        }
        let mut steps = Vec::new();
        while let Some((id, at_once)) = self.voice.front().copied() {
            if self.running.len() >= self.limits.slots && at_once > now {
                break;
            }
            self.voice.pop_front();
            self.start(now, Work::Voice(id), &mut steps);
        }
        while self.running.len() < self.limits.slots && self.held.is_none() {
            let Some(at) = self.next_in_line(now) else {
                break;
            };
            let job = self.waiting.remove(at);
            self.note(&job);
            self.start(now, Work::Background(job), &mut steps);
        }
        self.ask_to_yield(&mut steps);
        steps
    }

    fn start(&mut self, now: Mono, work: Work, steps: &mut Vec<Step>) {
        steps.push(Step::Start(work.id()));
        self.running.push(Running {
            since: now,
            yielding: false,
            work,
        });
    }

    /// Remembers whose turn it was.
    fn note(&mut self, job: &Job) {
        self.level = self.level.max(self.shares[&job.client].used);
        self.last = job.session.clone().map(|session| match &self.last {
            Some((last, count)) if *last == session => (session, count + 1),
            _ => (session, 0),
        });
    }

    /// As many as voice needs, the youngest first: they lose the least. During a hold, all.
    fn ask_to_yield(&mut self, steps: &mut Vec<Step>) {
        let yielding = self.running.iter().filter(|run| run.yielding).count();
        let mut wanted = if self.held.is_some() {
            self.running.len()
        } else {
            self.voice.len().saturating_sub(yielding)
        };
        for run in self.running.iter_mut().rev() {
            if wanted == 0 {
                break;
            }
            if let Work::Background(job) = &run.work
                && !run.yielding
            {
                run.yielding = true;
                steps.push(Step::Yield(job.id));
                wanted -= 1;
            }
        }
    }

    /// The place of the background job that runs next.
    fn next_in_line(&self, now: Mono) -> Option<usize> {
        let free = |job: &Job| {
            job.session.is_none()
                || !self.running.iter().any(|run| {
                    matches!(&run.work, Work::Background(other)
                        if other.session == job.session && other.client == job.client)
                })
        };
        let mut best: Option<(usize, (bool, Duration, JobId))> = None;
        for (at, job) in self.waiting.iter().enumerate().filter(|(_, job)| free(job)) {
            let goes_first = matches!((&self.last, &job.session), (Some((last, count)), Some(session))
                if last == session && *count < self.limits.sticky);
            let rank = (!goes_first, self.used(&job.client, now), job.id);
            if best.as_ref().is_none_or(|(_, least)| rank < *least) {
                best = Some((at, rank));
            }
        }
        best.map(|(at, _)| at)
    }

    /// What a client has used, with what its running jobs have used so far.
    fn used(&self, client: &str, now: Mono) -> Duration {
        let running = self.running.iter().filter_map(|run| match &run.work {
            Work::Background(job) if job.client == client => Some(now.since(run.since)),
            _ => None,
        });
        self.shares[client].used + running.sum::<Duration>()
    }

    fn leave(&mut self, client: &str) {
        if let Some(share) = self.shares.get_mut(client) {
            share.jobs -= 1;
            if share.jobs == 0 && share.used <= self.level {
                self.shares.remove(client);
            }
        }
        // Who used more than the level keeps its debt, but not for ever: the table stays small.
        if self.shares.len() > MOST_SHARES {
            self.shares.retain(|_, share| share.jobs > 0);
        }
    }

    fn refuse_waiting(&mut self, refusal: Refusal) -> Vec<Step> {
        let jobs = std::mem::take(&mut self.waiting);
        jobs.iter()
            .map(|job| {
                self.leave(&job.client);
                Step::Refuse(job.id, refusal)
            })
            .collect()
    }

    fn busy(&self) -> Refusal {
        let before = u32::try_from(self.waiting.len() + 1).unwrap_or(u32::MAX);
        let slots = u32::try_from(self.limits.slots).unwrap_or(1).max(1);
        let estimate = self.mean.saturating_mul(before) / slots;
        let seconds = estimate.as_secs().clamp(1, 60);
        Refusal::Busy {
            retry_after: Duration::from_secs(seconds),
        }
    }
}

/// Clients whose debt is remembered while they are away.
const MOST_SHARES: usize = 1_024;
