//! The only place that reads clocks.

use std::time::Instant;

use crate::time::Mono;

/// Measures time since the daemon started. Copies share the start.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    /// Starts now.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    #[must_use]
    pub fn now(self) -> Mono {
        Mono::new(self.0.elapsed())
    }

    /// The instant that stands for `mono`, for timers of the runtime.
    #[must_use]
    pub fn instant(self, mono: Mono) -> Instant {
        self.0 + mono.since_start()
    }
}

/// Wall time, in the system's time zone.
#[must_use]
pub fn wall() -> jiff::ZonedDateTime {
    jiff::ZonedDateTime::now()
}
