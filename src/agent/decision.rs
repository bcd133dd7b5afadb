//! Whether the turn that a reply is for has been decided.
//!
//! A reply may be begun while the user is only pausing. Until the turn is decided nothing of it may have an effect outside
//! this process: [`super::engine`] waits here before it makes the first call of a tool. Given by the conductor, which
//! decides; a reply that is discarded is cancelled and never gets past this point.

use tokio_util::sync::CancellationToken;

/// The decision about a turn. Copies share it; once made it stays made.
#[derive(Debug, Clone)]
pub struct Decision(CancellationToken);

impl Decision {
    /// Of a turn that has ended: nothing needs to wait.
    #[must_use]
    pub fn made() -> Self {
        let decision = Self::open();
        decision.make();
        decision
    }

    /// Of a turn that may go on.
    #[must_use]
    pub fn open() -> Self {
        Self(CancellationToken::new())
    }

    /// The turn has ended: go on.
    pub fn make(&self) {
        self.0.cancel();
    }

    /// Whether it is made.
    #[must_use]
    pub fn is_made(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until it is made.
    pub async fn wait(&self) {
        self.0.cancelled().await;
    }
}
