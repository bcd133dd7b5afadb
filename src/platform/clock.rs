//! The only place that reads clocks.

use std::time::{Duration, Instant};

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

    /// Starts now, and reads a minute already: so the time just before, in which a device's first buffer or a file that is
    /// read faster than it sounds was "captured", can be told, too.
    #[must_use]
    pub fn start_with_lead() -> Self {
        let now = Instant::now();
        // A machine that has been up for less has no such instant; only receipts of the first seconds suffer.
        Self(now.checked_sub(LEAD).unwrap_or(now))
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

/// Time that the processor has spent on this process so far, all threads together; zero where the system does not tell.
#[must_use]
pub fn processor_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid place for the answer and outlives the call.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    if status != 0 {
        return Duration::ZERO;
    }
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// How far before the start the clock's zero lies.
const LEAD: Duration = Duration::from_secs(60);

/// The runtime's present: what its timers go by, and what a test with paused time pauses.
#[must_use]
pub fn timers() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// Wall time, in the system's time zone.
#[must_use]
pub fn wall() -> jiff::ZonedDateTime {
    jiff::ZonedDateTime::now()
}
