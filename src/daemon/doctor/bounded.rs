//! Runs a check on a thread of its own and waits for it no longer than its limit.
//!
//! Sound servers, network disks and voices can hang inside a call that nobody can interrupt. The thread of such a call is
//! left behind and ends with the process; only `hark doctor` may do that, for it ends soon.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

/// Why a check has no result.
#[derive(Debug, thiserror::Error)]
pub enum Stuck {
    /// It has not ended in time. Whatever it asked hangs: restart that.
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// It panicked: a bug in Hark.
    #[error("the check broke off, which is a bug in Hark")]
    BrokeOff,
    /// The system gives no thread: it is out of memory or processes.
    #[error("no thread for the check: {0}")]
    NoThread(std::io::Error),
}

/// Runs `work`, for `limit` at most.
///
/// # Errors
/// See [`Stuck`].
pub fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Stuck> {
    let (give, take) = sync_channel(1);
    let run = move || {
        // Nobody takes a result that comes too late.
        give.try_send(work()).ok();
    };
    std::thread::Builder::new()
        .name("doctor".to_owned())
        .spawn(run)
        .map_err(Stuck::NoThread)?;
    take.recv_timeout(limit).map_err(|error| match error {
        RecvTimeoutError::Timeout => Stuck::TimedOut(limit),
        RecvTimeoutError::Disconnected => Stuck::BrokeOff,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_comes_through_and_a_call_that_hangs_is_given_up() {
        let soon = Duration::from_secs(30);
        assert_eq!(within(soon, || 7).expect("it ends at once"), 7);
        let hangs = within(Duration::from_millis(20), || {
            std::thread::sleep(Duration::from_secs(3));
        });
        assert!(matches!(hangs, Err(Stuck::TimedOut(_))));
    }
}
