//! Watches for other programs that use a microphone: during a call Hark neither wakes nor speaks unasked.
//!
//! One thread, `neighbours`, asks the system every few seconds ([`platform::audio`](crate::platform::audio)) and reports a
//! change after two like answers, because programs open a microphone for a moment to look at it. It ends with its handle.

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use crate::platform::audio::another_program_listens;

/// The running watch; dropping it ends it.
#[derive(Debug)]
pub struct Neighbours {
    _stop: SyncSender<()>,
}

/// Starts the watch; `tell` hears `true` when another program begins to listen and `false` when none does any more, and
/// ends the watch by returning false. `None` where the system does not tell, or gives no thread.
pub fn watch(tell: impl Fn(bool) -> bool + Send + 'static) -> Option<Neighbours> {
    let (stop, stopped) = sync_channel::<()>(1);
    let work = move || {
        let mut told = Told::default();
        while matches!(stopped.recv_timeout(EVERY), Err(RecvTimeoutError::Timeout)) {
            let Some(listens) = another_program_listens() else {
                tracing::debug!("whether other programs use the microphone cannot be told here");
                return;
            };
            if told.is_news(listens) && !tell(listens) {
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name("neighbours".to_owned())
        .spawn(work)
        .ok()?;
    Some(Neighbours { _stop: stop })
}

/// What was told last, and what was seen last.
#[derive(Debug, Default)]
struct Told {
    told: bool,
    seen: bool,
}

impl Told {
    /// Whether an answer is worth telling: it differs from what was told, and is the second in a row.
    fn is_news(&mut self, listens: bool) -> bool {
        let twice = std::mem::replace(&mut self.seen, listens) == listens;
        let news = twice && listens != self.told;
        if news {
            self.told = listens;
        }
        news
    }
}

/// How often it is asked: on Linux that runs `pactl`, 5 ms of a core.
const EVERY: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::Told;

    #[test]
    fn a_glance_at_the_microphone_is_no_call() {
        let mut told = Told::default();
        let answers = [
            false, true, false, true, true, true, false, true, false, false,
        ];
        let news: Vec<bool> = answers
            .iter()
            .map(|listens| told.is_news(*listens))
            .collect();
        assert_eq!(
            news,
            [
                false, false, false, false, true, false, false, false, false, true
            ]
        );
    }
}
