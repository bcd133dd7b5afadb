//! The energy gate before the voice-activity model: in a room in which nothing happens the network rests.
//!
//! Core; owned by the listening thread. A frame is quiet when it lies within 1.8 dB of the room's floor, which follows the room
//! ([`NoiseFloor`]). After ten quiet frames the model is no longer asked; the first frame above the floor opens the gate, and
//! the model is given the last frames that it missed before it, so that its recurrent state is that of a model that was never
//! off. No word can be lost by it: the segmenter keeps its pre-roll whether the model is asked or not, and while a sound is
//! open the gate does not close.

use crate::audio::floor::{NoiseFloor, power};
use crate::time::FRAME_SAMPLES;

type Samples = [f32; FRAME_SAMPLES];

/// See the module.
#[derive(Debug, Clone)]
pub struct EnergyGate {
    floor: NoiseFloor,
    /// Quiet frames in a row.
    quiet: u32,
    /// The last frames for which the model was not asked, oldest first from `at` on.
    missed: [Samples; WARM_UP],
    at: usize,
    count: usize,
}

impl Default for EnergyGate {
    fn default() -> Self {
        Self {
            floor: NoiseFloor::new(FLOOR_FRAMES),
            quiet: 0,
            missed: [[0.0; FRAME_SAMPLES]; WARM_UP],
            at: 0,
            count: 0,
        }
    }
}

impl EnergyGate {
    /// The probability of speech in the next frame: `ask` tells it, or it is 0 without asking. `open` tells that a sound is
    /// being followed, whose end the model shall see.
    pub fn probability(
        &mut self,
        frame: &Samples,
        open: bool,
        mut ask: impl FnMut(&Samples) -> f32,
    ) -> f32 {
        let level = power(frame);
        let quiet = self
            .floor
            .power()
            .is_some_and(|floor| level <= floor * QUIET);
        self.floor.update(level);
        self.quiet = if quiet && !open { self.quiet + 1 } else { 0 };
        if self.quiet > PATIENCE {
            self.missed[self.at] = *frame;
            self.at = (self.at + 1) % WARM_UP;
            self.count = (self.count + 1).min(WARM_UP);
            return 0.0;
        }
        let count = std::mem::take(&mut self.count);
        for n in 0..count {
            ask(&self.missed[(self.at + WARM_UP - count + n) % WARM_UP]);
        }
        ask(frame)
    }

    /// Whether the model rests.
    #[must_use]
    pub const fn rests(&self) -> bool {
        self.quiet > PATIENCE
    }

    /// Another source: its room is not known.
    pub fn reset(&mut self) {
        self.floor = NoiseFloor::new(FLOOR_FRAMES);
        self.quiet = 0;
        self.count = 0;
        self.at = 0;
    }
}

/// 1.5 times the floor's power. Noise alone stays within 1 dB of its mean over 512 samples.
const QUIET: f32 = 1.5;

/// Quiet frames that the model still sees: 320 ms.
const PATIENCE: u32 = 10;

/// Frames of a floor's window: 2 s.
const FLOOR_FRAMES: u32 = 62;

/// Missed frames that the model is given when the gate opens: 256 ms. On the clips of the tests its answer then differed
/// from that of a model that had heard everything by less than the segmenter could notice.
const WARM_UP: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(level: f32, seed: usize) -> Samples {
        let mut state = (seed as u32).wrapping_mul(2_654_435_761).wrapping_add(1);
        std::array::from_fn(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            level * ((state >> 8) as f32 / 8_388_608.0 - 1.0)
        })
    }

    #[test]
    fn a_steady_room_lets_the_model_rest_and_a_voice_wakes_it_with_what_it_missed() {
        let mut gate = EnergyGate::default();
        let mut asked = 0;
        for n in 0..200 {
            gate.probability(&noise(0.01, n), false, |_| {
                asked += 1;
                0.0
            });
        }
        assert!(asked < 90, "asked {asked} times of 200");
        assert!(gate.rests());
        let mut seen = Vec::new();
        gate.probability(&noise(0.1, 1), false, |frame| {
            seen.push(frame[0]);
            0.0
        });
        let expected: Vec<f32> = (192..200).map(|n| noise(0.01, n)[0]).collect();
        assert_eq!(seen[..8], expected, "in the order in which they came");
        assert_eq!(seen[8], noise(0.1, 1)[0]);
    }

    #[test]
    fn digital_silence_rests_and_an_open_sound_does_not() {
        let mut gate = EnergyGate::default();
        for _ in 0..100 {
            gate.probability(&[0.0; FRAME_SAMPLES], false, |_| 0.0);
        }
        assert!(gate.rests());
        gate.probability(&[0.0; FRAME_SAMPLES], true, |_| 0.0);
        assert!(!gate.rests());
    }

    #[test]
    fn before_the_room_is_known_every_frame_is_looked_at() {
        let mut gate = EnergyGate::default();
        let mut asked = 0;
        for _ in 0..60 {
            gate.probability(&[0.0; FRAME_SAMPLES], false, |_| {
                asked += 1;
                0.0
            });
        }
        assert_eq!(asked, 60);
    }
}
