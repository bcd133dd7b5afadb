//! Admission as futures: a job waits for its ticket, and the ticket's end is the job's end.
//!
//! Used from any task. One lock, held for the length of one decision and never across an await; one task keeps the
//! deadlines. A ticket that is dropped, waiting or running, frees its place.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use super::admission::{Admission, Class, JobId, Limits, Refusal, Step};
use crate::platform::clock::Clock;
use crate::time::Mono;

/// The door to the model, shared by all who use it.
#[derive(Debug)]
pub struct Gate {
    clock: Clock,
    state: Mutex<State>,
    /// Wakes the task that keeps the deadlines when there is an earlier one.
    earlier: Arc<Notify>,
    /// Background jobs that came to run.
    others: AtomicU64,
}

#[derive(Debug)]
struct State {
    admission: Admission,
    seats: HashMap<JobId, oneshot::Sender<Result<(), Refusal>>>,
    yields: HashMap<JobId, CancellationToken>,
    /// What the deadline's task sleeps for.
    armed: Option<Mono>,
}

impl Gate {
    /// Opens it; needs a runtime for the task that keeps the deadlines, which ends with the gate.
    #[must_use]
    pub fn open(clock: Clock, limits: Limits) -> Arc<Self> {
        let earlier = Arc::new(Notify::new());
        let gate = Arc::new(Self {
            clock,
            state: Mutex::new(State {
                admission: Admission::new(limits),
                seats: HashMap::new(),
                yields: HashMap::new(),
                armed: None,
            }),
            earlier: Arc::clone(&earlier),
            others: AtomicU64::new(0),
        });
        tokio::spawn(keep_deadlines(Arc::downgrade(&gate), earlier));
        gate
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn admit(self: &Arc<Self>, class: Class) -> Result<Ticket, Refusal> {
        let background = class != Class::Voice;
        let (mut ticket, seat) = {
            let mut state = self.lock();
            let (id, steps) = state.admission.request(self.clock.now(), class)?;
            let (sender, seat) = oneshot::channel();
            state.seats.insert(id, sender);
            self.execute(&mut state, steps);
            let ticket = Ticket {
                gate: Arc::clone(self),
                id,
                give_way: CancellationToken::new(),
            };
            (ticket, seat)
        };
        ticket.sit(seat).await?;
        if background {
            self.others.fetch_add(1, Ordering::Relaxed);
        }
        Ok(ticket)
    }

    /// A turn begins: background jobs give way.
    pub fn hold(&self) {
        self.act(Admission::hold);
    }

    /// The turn no longer needs the model.
    pub fn release(&self) {
        self.act(Admission::release);
    }

    /// How many jobs the backend may serve at a time.
    pub fn set_slots(&self, slots: usize) {
        self.act(|admission, now| admission.set_slots(now, slots));
    }

    /// Refuses background work, (needed, free) in bytes, until it is called with `None`.
    pub fn set_no_memory(&self, shortage: Option<(u64, u64)>) {
        self.act(|admission, now| admission.set_no_memory(now, shortage));
    }

    /// Admits nobody any more; who waits is refused.
    pub fn close(&self) {
        self.act(|admission, _| admission.close());
    }

    /// Background jobs that run at the backend, those that give way included.
    #[must_use]
    pub fn others_running(&self) -> usize {
        self.lock().admission.background()
    }

    /// Background jobs that came to run so far.
    #[must_use]
    pub fn served_others(&self) -> u64 {
        self.others.load(Ordering::Relaxed)
    }

    /// Jobs that run and jobs that wait.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        self.lock().admission.counts()
    }

    fn act(&self, decide: impl FnOnce(&mut Admission, Mono) -> Vec<Step>) {
        let mut state = self.lock();
        let steps = decide(&mut state.admission, self.clock.now());
        self.execute(&mut state, steps);
    }

    fn execute(&self, state: &mut State, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Start(id) => {
                    if let Some(seat) = state.seats.remove(&id) {
                        // The one who waited may have left this instant: its ticket's drop tells us.
                        seat.send(Ok(())).ok();
                    }
                }
                Step::Refuse(id, refusal) => {
                    if let Some(seat) = state.seats.remove(&id) {
                        seat.send(Err(refusal)).ok();
                    }
                }
                Step::Yield(id) => state.yields.entry(id).or_default().cancel(),
            }
        }
        let deadline = state.admission.deadline();
        if deadline.is_some_and(|deadline| state.armed.is_none_or(|armed| deadline < armed)) {
            state.armed = deadline;
            self.earlier.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.earlier.notify_one();
    }
}

async fn keep_deadlines(gate: Weak<Gate>, earlier: Arc<Notify>) {
    loop {
        let due = {
            let Some(gate) = gate.upgrade() else { return };
            let mut state = gate.lock();
            let now = gate.clock.now();
            if state.admission.deadline().is_some_and(|due| due <= now) {
                let steps = state.admission.tick(now);
                gate.execute(&mut state, steps);
            }
            state.armed = state.admission.deadline();
            state.armed.map(|due| gate.clock.instant(due))
        };
        let sleep = async {
            match due {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = earlier.notified() => {}
            () = sleep => {}
        }
    }
}

/// A place at the model; dropping it frees the place.
#[derive(Debug)]
pub struct Ticket {
    gate: Arc<Gate>,
    id: JobId,
    give_way: CancellationToken,
}

impl Ticket {
    /// Resolves when the job is asked to give way: stop and call [`Self::wait_again`], or end.
    pub async fn asked_to_give_way(&self) {
        self.give_way.cancelled().await;
    }

    /// Gives the place away and waits for the next one. The work must have been stopped before.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn wait_again(&mut self) -> Result<(), Refusal> {
        let seat = {
            let mut state = self.gate.lock();
            let (sender, seat) = oneshot::channel();
            state.seats.insert(self.id, sender);
            state.yields.remove(&self.id);
            let steps = state.admission.wait_again(self.gate.clock.now(), self.id);
            self.gate.execute(&mut state, steps);
            seat
        };
        self.sit(seat).await
    }

    async fn sit(&mut self, seat: oneshot::Receiver<Result<(), Refusal>>) -> Result<(), Refusal> {
        seat.await.unwrap_or(Err(Refusal::ShuttingDown))?;
        let mut state = self.gate.lock();
        self.give_way = state.yields.entry(self.id).or_default().clone();
        Ok(())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        state.seats.remove(&self.id);
        state.yields.remove(&self.id);
        let steps = state.admission.done(self.gate.clock.now(), self.id);
        self.gate.execute(&mut state, steps);
    }
}
