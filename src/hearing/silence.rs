//! A microphone that gives nothing, or next to nothing: told apart from a quiet room.
//!
//! Owned by the listening thread, which shows it every block. Exact zeros are a permission that is missing or a switch that is
//! off; less than any room has for a whole minute is a level that is turned down; everything else is a room.

use super::listen::EarEvent;
use crate::time::{SAMPLE_RATE, SamplePos};

/// Watches for a microphone that gives nothing: exact zeros, or less than any room.
#[derive(Debug, Default)]
pub(super) struct ZeroWatch {
    since: Option<SamplePos>,
    told: bool,
    /// Where the faint stretch began, its loudest amplitude, and whether it was told.
    faint_since: Option<SamplePos>,
    faint_peak: f32,
    faint_told: bool,
}

impl ZeroWatch {
    /// Looks at a block that lies at `start..end`.
    pub(super) fn look(
        &mut self,
        block: &[f32],
        start: SamplePos,
        end: SamplePos,
    ) -> Option<EarEvent> {
        let peak = block.iter().fold(0.0_f32, |peak, s| peak.max(s.abs()));
        if peak > 0.0 {
            self.since = None;
            if std::mem::take(&mut self.told) {
                return Some(EarEvent::ZerosEnded { at: start });
            }
            return self.look_faint(peak, start, end);
        }
        self.faint_since = None;
        let since = *self.since.get_or_insert(start);
        if !self.told && end.since(since) >= ZEROS_SAMPLES {
            self.told = true;
            return Some(EarEvent::Zeros { since });
        }
        None
    }

    /// A block that is not silent: whether all of the last minute was too faint.
    fn look_faint(&mut self, peak: f32, start: SamplePos, end: SamplePos) -> Option<EarEvent> {
        if peak >= FAINT {
            self.faint_since = None;
            self.faint_told = false;
            return None;
        }
        let since = *self.faint_since.get_or_insert_with(|| {
            self.faint_peak = 0.0;
            start
        });
        self.faint_peak = self.faint_peak.max(peak);
        if self.faint_told || end.since(since) < FAINT_SAMPLES {
            return None;
        }
        self.faint_told = true;
        Some(EarEvent::Faint {
            peak: self.faint_peak,
        })
    }
}

/// −70 dB of full scale: noise of ±10 steps of 16 bits. The quietest rooms reach −60 dB at a usable gain.
const FAINT: f32 = 3.2e-4;

/// A microphone that is faint is told after a minute.
const FAINT_SAMPLES: u64 = 60 * SAMPLE_RATE as u64;

/// Zeros are told after this much audio: 2 s.
const ZEROS_SAMPLES: u64 = 2 * SAMPLE_RATE as u64;

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows `seconds` of samples of this amplitude in blocks of 20 ms; the events.
    fn show(watch: &mut ZeroWatch, at: &mut u64, seconds: u64, amplitude: f32) -> Vec<EarEvent> {
        let mut events = Vec::new();
        for _ in 0..seconds * 50 {
            let block = [amplitude; 320];
            let (start, end) = (SamplePos(*at), SamplePos(*at + 320));
            events.extend(watch.look(&block, start, end));
            *at += 320;
        }
        events
    }

    #[test]
    fn zeros_a_level_turned_down_and_a_quiet_room_are_told_apart() {
        let (mut watch, mut at) = (ZeroWatch::default(), 0);
        let zeros = show(&mut watch, &mut at, 10, 0.0);
        assert!(matches!(zeros[..], [EarEvent::Zeros { .. }]), "{zeros:?}");
        let faint = show(&mut watch, &mut at, 130, 1e-4);
        assert!(
            matches!(
                faint[..],
                [EarEvent::ZerosEnded { .. }, EarEvent::Faint { peak }] if peak == 1e-4
            ),
            "told once: {faint:?}"
        );
        let room = show(&mut watch, &mut at, 300, 2e-3);
        assert!(room.is_empty(), "a quiet room is no fault: {room:?}");
    }
}
