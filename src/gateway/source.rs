//! Which backend is resident, as the relay asks for it.
//!
//! Edge: the wiring gives a [`Look`]; this keeps what it found, so that a request does not look around anew, and looks
//! again when a request found nobody there. Where the daemon keeps the backend, it tells: [`Resident::serves`] when another
//! one has taken over, [`Resident::changes`] while nobody can be asked (requests wait here then, bounded), and
//! [`Resident::look_again`] when it keeps none any more. Any thread may tell.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::admission::Refusal;
use super::failure::Failure;
use crate::llm::upstream::Upstream;

/// Looks for the backend that answers; `None` where there is none.
pub type Look = Arc<dyn Fn() -> BoxFuture<'static, Option<Arc<Upstream>>> + Send + Sync>;

/// The resident backend.
pub struct Resident {
    look: Look,
    known: watch::Sender<Known>,
}

/// What is known of it.
#[derive(Clone)]
enum Known {
    /// Nobody tells: what was found when somebody asked.
    Found(Option<Arc<Upstream>>),
    /// The daemon says that this one serves.
    Told(Arc<Upstream>),
    /// Another one takes over, or the same one is started again.
    Changing,
}

impl Known {
    fn backend(&self) -> Option<&Arc<Upstream>> {
        match self {
            Self::Found(found) => found.as_ref(),
            Self::Told(backend) => Some(backend),
            Self::Changing => None,
        }
    }
}

impl std::fmt::Debug for Resident {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let info = self.known().map(|found| found.info());
        f.debug_struct("Resident")
            .field("found", &info)
            .finish_non_exhaustive()
    }
}

impl Resident {
    /// Nothing is looked for before somebody asks.
    #[must_use]
    pub fn new(look: Look) -> Self {
        Self {
            look,
            known: watch::Sender::new(Known::Found(None)),
        }
    }

    /// The backend of the next request; waits while it changes.
    ///
    /// # Errors
    /// There is none, or the change takes longer than a client should wait.
    pub async fn get(&self) -> Result<Arc<Upstream>, Failure> {
        if let Some(known) = self.known() {
            return Ok(known);
        }
        let mut known = self.known.subscribe();
        let settled = known.wait_for(|known| !matches!(known, Known::Changing));
        if tokio::time::timeout(CHANGE, settled).await.is_err() {
            return Err(changing());
        }
        self.now().await
    }

    /// The same without waiting for a change.
    ///
    /// # Errors
    /// As there.
    pub async fn now(&self) -> Result<Arc<Upstream>, Failure> {
        match &*self.known.borrow() {
            Known::Found(None) => {}
            Known::Found(Some(backend)) | Known::Told(backend) => return Ok(Arc::clone(backend)),
            Known::Changing => return Err(changing()),
        }
        let found = (self.look)().await.ok_or_else(Failure::no_backend)?;
        self.known.send_if_modified(|known| {
            let unknown = matches!(known, Known::Found(None));
            if unknown {
                *known = Known::Found(Some(Arc::clone(&found)));
            }
            unknown
        });
        Ok(found)
    }

    /// The backend as far as it is known; nobody is asked.
    #[must_use]
    pub fn known(&self) -> Option<Arc<Upstream>> {
        self.known.borrow().backend().cloned()
    }

    /// Whether `backend` still is the one to be asked.
    #[must_use]
    pub fn is(&self, backend: &Arc<Upstream>) -> bool {
        match &*self.known.borrow() {
            Known::Changing => false,
            known => known
                .backend()
                .is_none_or(|known| Arc::ptr_eq(known, backend)),
        }
    }

    /// Nobody was there: the next request looks again, unless the daemon tells.
    pub fn forget(&self) {
        self.known.send_if_modified(|known| {
            let found = matches!(known, Known::Found(Some(_)));
            if found {
                *known = Known::Found(None);
            }
            found
        });
    }

    /// This backend serves from now on.
    pub fn serves(&self, backend: Upstream) {
        self.known.send_replace(Known::Told(Arc::new(backend)));
    }

    /// Nobody can be asked until one of the others is called.
    pub fn changes(&self) {
        self.known.send_replace(Known::Changing);
    }

    /// The daemon keeps no backend: who asks looks for one.
    pub fn look_again(&self) {
        self.known.send_replace(Known::Found(None));
    }
}

fn changing() -> Failure {
    Failure::from(Refusal::Busy {
        retry_after: RETRY_AFTER,
    })
}

/// How long a request waits for a change: as long as for a place at the model. 33 GB load in half a minute.
const CHANGE: Duration = Duration::from_secs(120);

/// What a client is told that asked in the middle of a change.
const RETRY_AFTER: Duration = Duration::from_secs(5);
