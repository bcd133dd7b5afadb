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
    /// Utterances that the listening thread has closed.
    closed: AtomicU64,
    /// Pauses that the listening thread has told of.
    told: AtomicU64,
    /// Pauses of which the conductor has decided.
    decided: AtomicU64,
}

impl Hold {
    /// Called by the listening thread before it tells of an utterance.
    pub(super) fn utterance_closed(&self) {
        self.closed.fetch_add(1, Ordering::SeqCst);
        self.turn.store(true, Ordering::SeqCst);
    }

    /// Called by the conductor when nothing of the `utterances` that it has been told of is under way: the file goes on,
    /// unless another one has been closed that the conductor does not know of yet.
    pub fn turns_over(&self, utterances: u64) {
        if self.closed.load(Ordering::SeqCst) == utterances {
            self.turn.store(false, Ordering::SeqCst);
        }
        // One may have been closed between the two.
        if self.closed.load(Ordering::SeqCst) != utterances {
            self.turn.store(true, Ordering::SeqCst);
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_utterance_that_the_conductor_has_not_been_told_of_keeps_the_file_waiting() {
        let hold = Hold::default();
        hold.utterance_closed();
        hold.turns_over(0);
        assert!(hold.turn.load(Ordering::SeqCst));
        hold.turns_over(1);
        assert!(!hold.turn.load(Ordering::SeqCst));
    }
}
