//! What the desk holds of the keeper: the backend of a turn, and the way to tell how the turn went.
//!
//! Copies share one keeper; any task may ask.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::Health;
use crate::agent::engine::FailureKind;
use crate::agent::prefix::PrefixWatch;
use crate::control::ChangeStatus;
use crate::gateway::residency::Kind;
use crate::llm::LlmBackend;

/// What the desk tells of its turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// A turn wants a backend, and there is none.
    Wanted,
    /// A turn was answered.
    Answered,
    /// A turn failed.
    Failed(FailureKind),
    /// A command wants this backend, or none.
    Change(Option<Kind>),
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
    pub(super) state: watch::Receiver<State>,
    pub(super) wishes: mpsc::Sender<Wish>,
    pub(super) managed: Arc<AtomicBool>,
    /// Whether backends are started and stopped at all.
    pub(super) may_change: bool,
    /// Requests that run.
    pub(super) running: Arc<AtomicU32>,
    pub(super) prefix: Arc<Mutex<PrefixWatch>>,
    pub(super) health: Arc<Mutex<Health>>,
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

    /// Changes the backend; the number of the change, whose end [`Self::health`] tells. `None` where nothing is changed:
    /// the settings forbid it, or another change is under way.
    #[must_use]
    pub fn change(&self, wanted: Option<Kind>) -> Option<u64> {
        let mut health = self.health();
        let last = health.change.as_ref();
        let under_way = last.is_some_and(|change| change.ended.is_none());
        if !self.may_change || under_way {
            return None;
        }
        let number = last.map_or(0, |change| change.number) + 1;
        self.wishes.try_send(Wish::Change(wanted)).ok()?;
        health.change = Some(ChangeStatus {
            number,
            ended: None,
        });
        Some(number)
    }

    /// How memory stands, and what was given up for it.
    pub fn health(&self) -> std::sync::MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
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
pub(super) const fn is_gone(kind: FailureKind) -> bool {
    matches!(
        kind,
        FailureKind::Unreachable | FailureKind::Cut | FailureKind::Silent
    )
}

/// How long a turn without a backend waits for one more look.
const WAIT_FOR_LOOK: Duration = Duration::from_secs(3);

/// How long a turn waits for a backend that is being started.
const WAIT_FOR_START: Duration = Duration::from_secs(30);
