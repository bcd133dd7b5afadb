//! The driver's hand on the listening thread.
//!
//! Shared by the driver (any thread) and the listening thread, which looks at it between two blocks. Everything is an atomic:
//! a command never waits, never fills a queue, and the last one wins.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use crate::time::{SamplePos, duration_to_samples};

/// Why the ear does not listen although samples come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PauseReason {
    /// The loudspeaker speaks and there is no echo cancellation.
    Speaking,
    /// The user has muted it.
    Muted,
    /// Another program listens: the user is in a call.
    Yielding,
}

impl PauseReason {
    const fn bit(self) -> u8 {
        match self {
            Self::Speaking => 1,
            Self::Muted => 2,
            Self::Yielding => 4,
        }
    }
}

/// What the push-to-talk key wants of the ear. The last wish counts: a release that follows a press within the same block
/// finds nothing held, and a press that follows a release goes on with what was held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyWish {
    /// Hold.
    Hold,
    /// Close.
    Release,
    /// Let silence end it.
    LetGo,
}

/// The driver's hand on the ear. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct ListenControl(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    end_utterance: AtomicBool,
    snapshot: AtomicBool,
    /// The silence that ends the utterance which pauses where, see [`ListenControl::end_after`]; 0 is none.
    window: AtomicU64,
    pauses: AtomicU8,
    /// What the push-to-talk key wants; see [`KeyWish`].
    key: AtomicU8,
    unheard_speaking: AtomicU64,
    unheard_muted: AtomicU64,
    unheard_yielding: AtomicU64,
}

impl ListenControl {
    /// A silence of this length ends the utterance whose last voiced sample lies before `pause`. Where somebody has spoken
    /// on meanwhile it does nothing.
    pub fn end_after(&self, pause: SamplePos, silence: Duration) {
        let samples = duration_to_samples(silence).clamp(1, u64::from(u32::MAX));
        let window = (u64::from(low_half(pause)) << 32) | samples;
        self.0.window.store(window, Ordering::Relaxed);
    }

    /// Stops listening for `reason`; samples are read and discarded, and positions go on.
    pub fn pause(&self, reason: PauseReason) {
        self.0.pauses.fetch_or(reason.bit(), Ordering::Relaxed);
    }

    /// Takes `reason` away; the ear listens again when no reason is left.
    pub fn resume(&self, reason: PauseReason) {
        self.0.pauses.fetch_and(!reason.bit(), Ordering::Relaxed);
    }

    /// Samples at 16 kHz that came while the ear was paused for `reason`.
    #[must_use]
    pub fn unheard(&self, reason: PauseReason) -> u64 {
        match reason {
            PauseReason::Speaking => self.0.unheard_speaking.load(Ordering::Relaxed),
            PauseReason::Muted => self.0.unheard_muted.load(Ordering::Relaxed),
            PauseReason::Yielding => self.0.unheard_yielding.load(Ordering::Relaxed),
        }
    }

    /// Ends the open utterance at the next frame without waiting for silence.
    pub fn end_utterance(&self) {
        self.0.end_utterance.store(true, Ordering::Relaxed);
    }

    /// Begins an utterance that no silence ends (push-to-talk pressed); see [`super::segment::Segmenter::hold`].
    pub fn hold(&self) {
        self.0.key.store(1, Ordering::Relaxed);
    }

    /// Closes the held utterance; answered by exactly one [`EarEvent::Held`](super::listen::EarEvent::Held).
    pub fn release(&self) {
        self.0.key.store(2, Ordering::Relaxed);
    }

    /// Lets silence end the held utterance like any other.
    pub fn let_go(&self) {
        self.0.key.store(3, Ordering::Relaxed);
    }

    /// What the key wants; asked for once.
    pub(super) fn take_key(&self) -> Option<KeyWish> {
        match self.0.key.swap(0, Ordering::Relaxed) {
            1 => Some(KeyWish::Hold),
            2 => Some(KeyWish::Release),
            3 => Some(KeyWish::LetGo),
            _ => None,
        }
    }

    /// Asks for an [`EarEvent::Snapshot`](super::listen::EarEvent::Snapshot).
    pub fn request_snapshot(&self) {
        self.0.snapshot.store(true, Ordering::Relaxed);
    }

    /// Ends the thread within 8 ms and the callback's own time; the open utterance is handed out before `Ended`.
    pub fn stop(&self) {
        self.0.stop.store(true, Ordering::Release);
    }

    /// The silence, in samples, that ends an utterance which pauses at `pause`, where the driver has said so.
    pub(super) fn window(&self, pause: SamplePos) -> Option<u64> {
        let window = self.0.window.load(Ordering::Relaxed);
        let samples = window & u64::from(u32::MAX);
        (samples != 0 && window >> 32 == u64::from(low_half(pause))).then_some(samples)
    }

    /// Whether the utterance shall end; asked for once.
    pub(super) fn take_end_utterance(&self) -> bool {
        self.0.end_utterance.swap(false, Ordering::Relaxed)
    }

    /// Whether a snapshot is wanted; asked for once.
    pub(super) fn take_snapshot(&self) -> bool {
        self.0.snapshot.swap(false, Ordering::Relaxed)
    }

    pub(super) fn stopped(&self) -> bool {
        self.0.stop.load(Ordering::Acquire)
    }

    /// Counts a frame that was not listened to; tells whether there is a reason not to listen.
    pub(super) fn skips(&self, samples: u64) -> bool {
        let pauses = self.0.pauses.load(Ordering::Relaxed);
        if pauses & PauseReason::Speaking.bit() != 0 {
            self.0
                .unheard_speaking
                .fetch_add(samples, Ordering::Relaxed);
        }
        if pauses & PauseReason::Muted.bit() != 0 {
            self.0.unheard_muted.fetch_add(samples, Ordering::Relaxed);
        }
        if pauses & PauseReason::Yielding.bit() != 0 {
            self.0
                .unheard_yielding
                .fetch_add(samples, Ordering::Relaxed);
        }
        pauses != 0
    }
}

/// Enough of a position to tell two pauses apart: it comes again after three days.
const fn low_half(pos: SamplePos) -> u32 {
    (pos.0 & 0xffff_ffff) as u32
}
