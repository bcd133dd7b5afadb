//! Keeps a file that is read faster than real time from running ahead of the conversation.
//!
//! Two things take their time while a microphone simply goes on: an answer, and the decision how long a pause may last. A
//! file waits for both, so that it is cut and answered as if it had been spoken.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;

use super::super::conductor::Report;

/// See the module. Shared by the listening thread, which waits, and the conductor, which lets go.
#[derive(Debug, Default)]
pub struct Hold {
    /// Set from the end of an utterance until its turn is over; the source gives nothing meanwhile.
    pub turn: Arc<AtomicBool>,
    /// Pauses that the listening thread has told of.
    told: AtomicU64,
    /// Pauses of which the conductor has decided.
    decided: AtomicU64,
}

impl Hold {
    /// Called by the conductor when nothing about the `pauses` that it has been told of is open any more.
    pub fn decided(&self, pauses: u64) {
        self.decided.store(pauses, Ordering::Release);
    }

    /// Called by the listening thread after it has told of a pause.
    pub(super) fn wait_for_the_decision(&self, reports: &mpsc::Sender<Report>) -> ControlFlow<()> {
        let told = self.told.fetch_add(1, Ordering::AcqRel) + 1;
        while self.decided.load(Ordering::Acquire) < told {
            if reports.is_closed() {
                return ControlFlow::Break(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        ControlFlow::Continue(())
    }
}
