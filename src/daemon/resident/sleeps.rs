//! Whether the machine has slept, by two clocks that should agree.

use crate::platform::clock::{self, Clock};
use crate::time::Mono;

/// Notices that the machine has slept: wall time has passed that the monotonic clock did not count.
pub(super) struct Sleeps {
    wall: i64,
    mono: Mono,
}

impl Sleeps {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            wall: wall_seconds(),
            mono: clock.now(),
        }
    }

    pub(super) fn woke(&mut self, clock: Clock) -> bool {
        let next = Self::new(clock);
        let counted = i64::try_from(next.mono.since(self.mono).as_secs()).unwrap_or(i64::MAX);
        let slept = next.wall - self.wall - counted;
        *self = next;
        slept >= SLEPT_SECONDS
    }
}

fn wall_seconds() -> i64 {
    clock::wall().timestamp().as_second()
}

/// Wall time that must be missing before it counts as sleep: more than any correction of the clock.
const SLEPT_SECONDS: i64 = 20;
