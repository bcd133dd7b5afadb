//! What the loudspeaker really plays, carried from the output callback to the echo canceller.
//!
//! A [`Tap`] is shared by the wiring: each loudspeaker that is opened attaches a [`ReferenceWriter`] to it, whose output
//! callback pushes every sample that it gives to the device, silence and starvation included; the listening thread takes the
//! matching [`ReferenceReader`] and drains it. The callback touches the ring and atomics only. When nobody drains, blocks are
//! dropped and counted, and the reader starts anew: a reference with a hole would mislead the canceller.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ringbuf::traits::{Consumer, Observer, Producer, Split};
use ringbuf::{HeapCons, HeapProd, HeapRb};

/// The meeting point of loudspeakers and canceller. Clones share it.
#[derive(Clone, Default)]
pub struct Tap(Arc<Slot>);

#[derive(Default)]
struct Slot {
    /// Bumped with each loudspeaker, so that the listening thread takes the lock only then.
    generation: AtomicU64,
    newest: Mutex<Option<ReferenceReader>>,
}

impl std::fmt::Debug for Tap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tap").finish_non_exhaustive()
    }
}

impl Tap {
    /// A loudspeaker of `rate` samples a second begins; what an older one still plays is no longer looked at.
    #[must_use]
    pub fn attach(&self, rate: u32) -> ReferenceWriter {
        let (writer, reader) = reference_ring(rate, RING);
        *self.0.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(reader);
        self.0.generation.fetch_add(1, Ordering::Release);
        writer
    }

    /// Another microphone takes over: it shall find the loudspeaker that plays, unless a newer one has come meanwhile.
    pub(super) fn give_back(&self, reader: ReferenceReader) {
        let mut newest = self.0.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.is_none() {
            *newest = Some(reader);
            self.0.generation.fetch_add(1, Ordering::Release);
        }
    }

    /// The newest loudspeaker, where there is one that the caller has not `seen`.
    pub(super) fn take_new(&self, seen: &mut u64) -> Option<ReferenceReader> {
        let generation = self.0.generation.load(Ordering::Acquire);
        if generation == *seen {
            return None;
        }
        *seen = generation;
        self.0
            .newest
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

/// Makes the two ends of a reference ring that holds `length` of sound at `rate`.
#[must_use]
pub fn reference_ring(rate: u32, length: Duration) -> (ReferenceWriter, ReferenceReader) {
    let samples = (f64::from(rate) * length.as_secs_f64()).ceil() as usize;
    let (producer, consumer) = HeapRb::new(samples.max(1)).split();
    let lost = Arc::new(AtomicU64::new(0));
    let writer = ReferenceWriter {
        ring: producer,
        lost: Arc::clone(&lost),
    };
    let reader = ReferenceReader {
        ring: consumer,
        rate,
        lost,
        told: 0,
    };
    (writer, reader)
}

/// The end that belongs to the output callback.
pub struct ReferenceWriter {
    ring: HeapProd<f32>,
    lost: Arc<AtomicU64>,
}

impl ReferenceWriter {
    /// Real time: these samples were given to the device.
    pub fn push(&mut self, samples: &[f32]) {
        let missing = samples.len() - self.ring.push_slice(samples);
        if missing > 0 {
            self.lost.fetch_add(missing as u64, Ordering::Release);
        }
    }

    /// Real time: so many samples of silence were given to the device.
    pub fn push_silence(&mut self, samples: usize) {
        let room = samples.min(self.ring.vacant_len());
        self.ring.push_iter(std::iter::repeat_n(0.0, room));
        if room < samples {
            self.lost
                .fetch_add((samples - room) as u64, Ordering::Release);
        }
    }
}

/// The end that belongs to the listening thread.
pub struct ReferenceReader {
    ring: HeapCons<f32>,
    rate: u32,
    lost: Arc<AtomicU64>,
    told: u64,
}

impl ReferenceReader {
    /// Samples a second.
    #[must_use]
    pub const fn rate(&self) -> u32 {
        self.rate
    }

    /// Appends everything that is there; false when there was a hole: then everything up to it is thrown away, and the
    /// caller aligns anew.
    pub fn drain(&mut self, into: &mut Vec<f32>) -> bool {
        let lost = self.lost.load(Ordering::Acquire);
        if lost != self.told {
            self.told = lost;
            self.ring.clear();
            return false;
        }
        let there = self.ring.occupied_len();
        let before = into.len();
        into.resize(before + there, 0.0);
        let read = self.ring.pop_slice(&mut into[before..]);
        into.truncate(before + read);
        true
    }
}

/// What the ring holds: as much as the microphone's, so that both survive the same stall of the listening thread.
const RING: Duration = Duration::from_secs(2);
