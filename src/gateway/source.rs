//! Which backend is resident, as the relay asks for it.
//!
//! Edge: the wiring gives a [`Look`]; this keeps what it found, so that a request does not look around anew, and looks
//! again when a request found nobody there. Switching is `residency`'s business: it tells with [`Resident::set`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;

use crate::llm::upstream::Upstream;

/// Looks for the backend that answers; `None` where there is none.
pub type Look = Arc<dyn Fn() -> BoxFuture<'static, Option<Arc<Upstream>>> + Send + Sync>;

/// The resident backend.
pub struct Resident {
    look: Look,
    found: Mutex<Option<Arc<Upstream>>>,
}

impl std::fmt::Debug for Resident {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let info = self.lock().as_ref().map(|found| found.info());
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
            found: Mutex::new(None),
        }
    }

    /// The backend of the next request.
    pub async fn get(&self) -> Option<Arc<Upstream>> {
        if let Some(found) = self.known() {
            return Some(found);
        }
        let found = (self.look)().await?;
        Some(Arc::clone(self.lock().get_or_insert(found)))
    }

    /// The backend as far as it is known; nobody is asked.
    #[must_use]
    pub fn known(&self) -> Option<Arc<Upstream>> {
        self.lock().clone()
    }

    /// Nobody was there: the next request looks again.
    pub fn forget(&self) {
        *self.lock() = None;
    }

    /// Another backend has taken over (or none is there).
    pub fn set(&self, backend: Option<Arc<Upstream>>) {
        *self.lock() = backend;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Upstream>>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
