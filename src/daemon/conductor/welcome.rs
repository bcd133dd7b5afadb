//! Greets at the first run, as soon as the ear hears.

use super::{Conductor, News};
use crate::daemon::welcome::Welcome;
use crate::dialogue::Event;
use crate::private::Private;

impl Conductor {
    /// With what is said at the first run, where that is this one.
    #[must_use]
    pub fn welcoming(mut self, welcome: Option<Welcome>) -> Self {
        self.welcome = welcome;
        self
    }

    pub(super) fn greet(&mut self) {
        let Some(welcome) = self.welcome.take() else {
            return;
        };
        self.emit(
            None,
            News::Welcome {
                text: welcome.shown.clone(),
            },
        );
        self.dispatch(Event::Announce(Private::new(welcome.said.clone())));
        // The disk must not keep the conversation waiting.
        tokio::task::spawn_blocking(move || welcome.done());
    }
}
