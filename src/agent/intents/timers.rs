//! The timers that run.
//!
//! Pure: the wiring owns one [`Timers`], tells it the time, sleeps until [`Timers::next_deadline`], and rings with
//! [`ringing_text`] what [`Timers::due`] gives. Timers live as long as the daemon.

use std::time::Duration;

use crate::time::Mono;

use super::durations;

/// The name of a timer; never used twice within a run of the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimerId(pub u32);

/// One timer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timer {
    /// Its name.
    pub id: TimerId,
    /// How long it was set for.
    pub length: Duration,
    /// When it rings.
    pub ends: Mono,
    /// What it is for.
    pub label: Option<String>,
}

impl Timer {
    /// "5 minute timer", "pasta timer".
    #[must_use]
    pub fn name(&self) -> String {
        match &self.label {
            Some(label) => format!("{label} timer"),
            None => format!("{} timer", durations::say_before_noun(self.length)),
        }
    }
}

/// All timers that run, the next to ring first.
#[derive(Debug, Clone, Default)]
pub struct Timers {
    running: Vec<Timer>,
    last: u32,
}

impl Timers {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts one.
    pub fn set(&mut self, now: Mono, length: Duration, label: Option<String>) -> TimerId {
        self.last += 1;
        let id = TimerId(self.last);
        self.running.push(Timer {
            id,
            length,
            ends: now + length,
            label,
        });
        self.running.sort_by_key(|timer| (timer.ends, timer.id));
        id
    }

    /// Ends one; whether it ran.
    pub fn cancel(&mut self, id: TimerId) -> bool {
        let before = self.running.len();
        self.running.retain(|timer| timer.id != id);
        self.running.len() < before
    }

    /// Ends all; how many there were.
    pub fn cancel_all(&mut self) -> usize {
        std::mem::take(&mut self.running).len()
    }

    /// Takes out those that ring by now, in the order of their ends.
    pub fn due(&mut self, now: Mono) -> Vec<Timer> {
        let due = self.running.partition_point(|timer| timer.ends <= now);
        self.running.drain(..due).collect()
    }

    /// When the next one rings.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Mono> {
        self.running.first().map(|timer| timer.ends)
    }

    /// Those that run, the next to ring first.
    #[must_use]
    pub fn running(&self) -> &[Timer] {
        &self.running
    }
}

/// What is said when `timer` rings.
#[must_use]
pub fn ringing_text(timer: &Timer) -> String {
    format!("Your {} is up.", timer.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_ring_in_the_order_of_their_ends_and_once() {
        let mut timers = Timers::new();
        let minutes = |n: u64| Duration::from_secs(n * 60);
        let long = timers.set(Mono::ZERO, minutes(10), None);
        let short = timers.set(Mono::from_millis(1_000), minutes(1), Some("tea".to_owned()));
        assert_eq!(timers.next_deadline(), Some(Mono::from_millis(61_000)));
        assert!(timers.due(Mono::from_millis(60_999)).is_empty());
        let due = timers.due(Mono::from_millis(700_000));
        assert_eq!(due.iter().map(|t| t.id).collect::<Vec<_>>(), [short, long]);
        assert_eq!(ringing_text(&due[0]), "Your tea timer is up.");
        assert_eq!(ringing_text(&due[1]), "Your 10 minute timer is up.");
        assert_eq!(timers.next_deadline(), None);
        assert!(!timers.cancel(long));
    }

    #[test]
    fn a_cancelled_timer_does_not_ring_and_its_id_is_not_used_again() {
        let mut timers = Timers::new();
        let first = timers.set(Mono::ZERO, Duration::from_secs(5), None);
        assert!(timers.cancel(first));
        let second = timers.set(Mono::ZERO, Duration::from_secs(5), None);
        assert_ne!(first, second);
        assert_eq!(timers.cancel_all(), 1);
        assert!(timers.due(Mono::from_millis(60_000)).is_empty());
    }
}
