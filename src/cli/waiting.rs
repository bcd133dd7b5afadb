//! Shows what is being waited for: on a terminal, after a second, on standard error.
//!
//! A wait that is over sooner leaves no trace, and in a pipe nothing is ever written. The sign is drawn by a thread of its
//! own and is gone before anything else is printed: call [`Waiting::over`] (or drop it) first.

use std::io::IsTerminal as _;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A wait that is going on.
#[derive(Debug, Default)]
pub struct Waiting {
    drawn: Option<(SyncSender<()>, JoinHandle<()>)>,
}

impl Waiting {
    /// From now on `what` is waited for: a sentence without a full stop.
    #[must_use]
    pub fn begin(what: &'static str) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::default();
        }
        let (end, ended) = sync_channel::<()>(0);
        let thread = std::thread::Builder::new()
            .name("waiting".to_owned())
            .spawn(move || {
                if ended.recv_timeout(UNNOTICED) == Err(RecvTimeoutError::Timeout) {
                    let bar = spinner(what);
                    // The end of the wait is the end of the channel.
                    ended.recv().ok();
                    bar.finish_and_clear();
                }
            });
        Self {
            // Without a thread there is no sign; the work goes on.
            drawn: thread.ok().map(|thread| (end, thread)),
        }
    }

    /// It is over; what was drawn is gone when this returns.
    pub fn over(&mut self) {
        if let Some((end, thread)) = self.drawn.take() {
            drop(end);
            if thread.join().is_err() {
                tracing::debug!("the sign of a wait could not be drawn");
            }
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.over();
    }
}

/// Does `work`, and shows `what` meanwhile.
pub fn during<T>(what: &'static str, work: impl FnOnce() -> T) -> T {
    let mut waiting = Waiting::begin(what);
    let done = work();
    waiting.over();
    done
}

fn spinner(what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed}) ...")
        .expect("the template is constant");
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
        .with_style(style)
        .with_message(what)
        .with_elapsed(UNNOTICED);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// A wait that is shorter needs no sign.
const UNNOTICED: Duration = Duration::from_secs(1);
