//! The two clocks of the core, and the only conversion between them.
//!
//! [`SamplePos`] measures speech: durations are counts of samples, so a file and a microphone give the same cuts.
//! [`Mono`] measures waiting: time since the daemon started, as a plain value, so that tests construct it. Wall time is
//! not here; the store stamps it once. Nothing in this module reads a clock: `platform::clock` does.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Samples a second everywhere inside Hark: the rate of Whisper and of the voice-activity model.
pub const SAMPLE_RATE: u32 = 16_000;

/// Samples in one [`crate::flow::Frame`]: 32 ms, the window that the voice-activity model was trained on.
pub const FRAME_SAMPLES: usize = 512;

/// Time since the daemon started, as the driver measured it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Mono(Duration);

impl Mono {
    /// The start of the daemon.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// A point `since_start` after the start.
    #[must_use]
    pub const fn new(since_start: Duration) -> Self {
        Self(since_start)
    }

    /// A point `ms` milliseconds after the start.
    #[must_use]
    pub const fn from_millis(ms: u64) -> Self {
        Self(Duration::from_millis(ms))
    }

    /// How long after the start this is.
    #[must_use]
    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not after it.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// Milliseconds from `earlier` to this, negative when this comes first.
    #[must_use]
    pub fn millis_from(self, earlier: Self) -> i64 {
        let forward = i64::try_from(self.since(earlier).as_millis()).unwrap_or(i64::MAX);
        let backward = i64::try_from(earlier.since(self).as_millis()).unwrap_or(i64::MAX);
        forward - backward
    }
}

impl Add<Duration> for Mono {
    type Output = Self;
    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(rhs))
    }
}

impl Sub<Duration> for Mono {
    type Output = Self;
    fn sub(self, rhs: Duration) -> Self {
        Self(self.0.saturating_sub(rhs))
    }
}

impl fmt::Display for Mono {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}s", self.0.as_secs_f64())
    }
}

/// A position in the captured audio, in samples at [`SAMPLE_RATE`] since the first one.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct SamplePos(pub u64);

impl SamplePos {
    /// The position `samples` later.
    #[must_use]
    pub const fn plus(self, samples: u64) -> Self {
        Self(self.0.saturating_add(samples))
    }

    /// The position `samples` earlier, not before the first sample.
    #[must_use]
    pub const fn minus(self, samples: u64) -> Self {
        Self(self.0.saturating_sub(samples))
    }

    /// Samples from `earlier` to this; zero if it is not after it.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Seconds of audio before this position.
    #[must_use]
    pub fn seconds(self) -> f64 {
        self.0 as f64 / f64::from(SAMPLE_RATE)
    }

    /// The first position at or after `seconds` of audio.
    #[must_use]
    pub fn from_seconds(seconds: f64) -> Self {
        Self((seconds.max(0.0) * f64::from(SAMPLE_RATE)).ceil() as u64)
    }
}

/// A half-open stretch of captured audio: `start` belongs to it, `end` does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Span {
    /// First sample.
    pub start: SamplePos,
    /// One past the last sample.
    pub end: SamplePos,
}

impl Span {
    /// Length in samples.
    #[must_use]
    pub const fn samples(self) -> u64 {
        self.end.since(self.start)
    }

    /// Length as time.
    #[must_use]
    pub fn duration(self) -> Duration {
        samples_to_duration(self.samples())
    }
}

/// How long `samples` samples at [`SAMPLE_RATE`] last.
#[must_use]
pub fn samples_to_duration(samples: u64) -> Duration {
    Duration::from_nanos(samples.saturating_mul(1_000_000_000 / u64::from(SAMPLE_RATE)))
}

/// How many samples at [`SAMPLE_RATE`] fill `duration`, rounded down.
#[must_use]
pub fn duration_to_samples(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos() * u128::from(SAMPLE_RATE) / 1_000_000_000).unwrap_or(u64::MAX)
}

/// Ties the two clocks: the instant at which a known sample was captured.
///
/// The listening thread makes a new one for every block it reads, so drift and gaps never add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// A captured sample.
    pub at: SamplePos,
    /// When that sample was captured.
    pub when: Mono,
}

impl Anchor {
    /// When the sample at `pos` was captured (or will be), taking the rate as exact.
    #[must_use]
    pub fn mono(self, pos: SamplePos) -> Mono {
        if pos >= self.at {
            self.when + samples_to_duration(pos.since(self.at))
        } else {
            self.when - samples_to_duration(self.at.since(pos))
        }
    }

    /// The same tie, told for the sample that is (or will be) captured at `when`.
    #[must_use]
    pub fn until(self, when: Mono) -> Self {
        Self {
            at: self.at.plus(duration_to_samples(when.since(self.when))),
            when: when.max(self.when),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchor_converts_both_ways_around_itself() {
        let anchor = Anchor {
            at: SamplePos(16_000),
            when: Mono::from_millis(5_000),
        };
        assert_eq!(anchor.mono(SamplePos(32_000)), Mono::from_millis(6_000));
        assert_eq!(anchor.mono(SamplePos(8_000)), Mono::from_millis(4_500));
    }

    #[test]
    fn samples_and_durations_round_trip() {
        for ms in [0, 1, 32, 999, 86_400_000] {
            let duration = Duration::from_millis(ms);
            assert_eq!(samples_to_duration(duration_to_samples(duration)), duration);
        }
    }

    #[test]
    fn distance_in_milliseconds_is_signed() {
        let (a, b) = (Mono::from_millis(100), Mono::from_millis(340));
        assert_eq!((b.millis_from(a), a.millis_from(b)), (240, -240));
    }
}
