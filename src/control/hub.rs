//! Spreads the event stream to whoever follows it.
//!
//! Published to on the conductor's task, which must not wait: each client has a queue of [`QUEUE`] lines, and one whose
//! queue is full is dropped, connection and all. Holds nothing for clients that come later.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Lines that may wait for one client: half a minute of a lively conversation.
pub const QUEUE: usize = 256;

/// Clients that may follow at once; more than any desk has programs that care.
const MOST: usize = 32;

/// Spreads lines. Clones share the clients.
#[derive(Debug, Clone, Default)]
pub struct Hub(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    clients: Vec<Client>,
    closed: bool,
}

#[derive(Debug)]
struct Client {
    queue: mpsc::Sender<Bytes>,
    /// Ends its connection.
    drop: CancellationToken,
}

impl Hub {
    /// Whether anybody follows: where nobody does, a line need not be made.
    #[must_use]
    pub fn is_followed(&self) -> bool {
        !self.state().clients.is_empty()
    }

    /// Gives a line, its line feed included, to every client. Never waits: who cannot take it is dropped.
    pub fn publish(&self, line: &Bytes) {
        self.state()
            .clients
            .retain(|client| match client.queue.try_send(line.clone()) {
                Ok(()) => true,
                Err(mpsc::error::TrySendError::Closed(_)) => false,
                Err(mpsc::error::TrySendError::Full(_)) => {
                    tracing::warn!("a reader of the events was too slow and is dropped");
                    client.drop.cancel();
                    false
                }
            });
    }

    /// The lines from now on; `None` when too many follow already or the daemon ends. `drop` is cancelled when this client
    /// is too slow.
    #[must_use]
    pub fn follow(&self, drop: CancellationToken) -> Option<mpsc::Receiver<Bytes>> {
        let mut state = self.state();
        state.clients.retain(|client| !client.queue.is_closed());
        if state.closed || state.clients.len() >= MOST {
            return None;
        }
        let (queue, lines) = mpsc::channel(QUEUE);
        state.clients.push(Client { queue, drop });
        Some(lines)
    }

    /// Ends every stream after the lines that wait for it.
    pub fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.clients.clear();
    }

    /// The lock is never held while anything can panic or wait.
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_client_is_dropped_and_the_others_miss_nothing() {
        let hub = Hub::default();
        let (slow, fast) = (CancellationToken::new(), CancellationToken::new());
        let mut lazy = hub.follow(slow.clone()).unwrap();
        let mut keen = hub.follow(fast.clone()).unwrap();
        for number in 0..QUEUE * 3 {
            hub.publish(&Bytes::from(number.to_string()));
            assert_eq!(keen.try_recv().unwrap(), number.to_string());
        }
        assert!(slow.is_cancelled() && !fast.is_cancelled());
        let kept = std::iter::from_fn(|| lazy.try_recv().ok()).count();
        assert_eq!(kept, QUEUE, "its memory is bounded");
        assert!(hub.is_followed());
        hub.close();
        assert!(!hub.is_followed() && hub.follow(fast).is_none());
        assert_eq!(keen.blocking_recv(), None);
    }
}
