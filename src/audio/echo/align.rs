//! The reference in step with the microphone: 10 ms of it for each 10 ms that are captured.
//!
//! Loudspeaker and microphone run on two clocks. The canceller copes with any constant delay up to half a second and with
//! slow drift; what it cannot bear is a delay that wanders with the scheduling of two callbacks. So the reference waits in a
//! queue that is popped by the microphone's clock, and a slow control of its least length stretches it by at most 300 parts
//! in a million. A queue that runs dry gives silence and stays that much longer from then on: the jitter of the output's
//! blocks sets the length of the queue by itself, and it stays shorter than what the device still has to play.
//!
//! Owned by the listening thread; allocates nothing once its buffers have grown.

use std::collections::VecDeque;

use super::BLOCK;
use crate::audio::Format;
use crate::audio::resample::{ResampleError, Resampler};
use crate::time::SAMPLE_RATE;

/// See the module.
pub struct Aligner {
    stretch: Stretch,
    stretched: Vec<f32>,
    resampler: Resampler,
    mono: Vec<f32>,
    queue: VecDeque<f32>,
    /// Least length of the queue behind a pop in the second that is running.
    least: usize,
    blocks: u32,
    /// Smoothed least length, in samples.
    level: Option<f64>,
    /// Integral of the control, parts of one.
    drift: f64,
    /// Times that the queue ran dry, for tests and logs.
    dry: u64,
}

impl Aligner {
    /// For a loudspeaker of `rate` samples a second.
    ///
    /// # Errors
    /// [`ResampleError`] when the rate is none that a device has.
    pub fn new(rate: u32) -> Result<Self, ResampleError> {
        let format = Format { rate, channels: 1 };
        Ok(Self {
            stretch: Stretch::default(),
            stretched: Vec::with_capacity(rate as usize / 5),
            resampler: Resampler::new(format, SAMPLE_RATE)?,
            mono: Vec::with_capacity(SAMPLE_RATE as usize / 5),
            queue: VecDeque::with_capacity(2 * SAMPLE_RATE as usize),
            least: usize::MAX,
            blocks: 0,
            level: None,
            drift: 0.0,
            dry: 0,
        })
    }

    /// Takes what the loudspeaker was given since the last call.
    pub fn push(&mut self, samples: &[f32]) {
        self.stretched.clear();
        self.stretch.push(samples, &mut self.stretched);
        self.mono.clear();
        self.resampler.push(&self.stretched, &mut self.mono);
        self.queue.extend(&self.mono);
        // A stall of this thread leaves both queues equally long; more than a second is one side's own stall.
        if self.queue.len() > LONGEST {
            let surplus = self.queue.len() - TARGET;
            self.queue.drain(..surplus);
            self.level = None;
        }
    }

    /// The next 10 ms.
    pub fn pop(&mut self, block: &mut [f32; BLOCK]) {
        if self.queue.len() < BLOCK {
            self.dry += 1;
            block.fill(0.0);
        } else {
            for (sample, queued) in block.iter_mut().zip(self.queue.drain(..BLOCK)) {
                *sample = queued;
            }
        }
        self.least = self.least.min(self.queue.len());
        self.blocks += 1;
        if self.blocks >= SECOND {
            self.control();
        }
    }

    /// How often the queue has run dry.
    #[must_use]
    pub const fn dry(&self) -> u64 {
        self.dry
    }

    /// Samples that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Once a second: stretches the reference so that its queue keeps its length.
    fn control(&mut self) {
        let least = self.least as f64;
        self.blocks = 0;
        self.least = usize::MAX;
        let level = self
            .level
            .map_or(least, |level| level + (least - level) * 0.2);
        self.level = Some(level);
        let error = level - TARGET as f64;
        self.drift = (self.drift + error * INTEGRAL).clamp(-MOST_DRIFT, MOST_DRIFT);
        let proportional = (error * PROPORTIONAL).clamp(-MOST_STEP, MOST_STEP);
        // A queue that is too long is shortened by fewer samples out of the same input.
        self.stretch.set_step(1.0 + self.drift + proportional);
    }
}

/// Reads a stream at a step near one, by cubic interpolation. At the loudspeaker's rate, 44.1 kHz and more, the voice band
/// lies far below the Nyquist frequency, and the interpolation is exact to better than −60 dB there.
struct Stretch {
    step: f64,
    /// Where the next output lies behind `history[1]`.
    phase: f64,
    history: [f32; 4],
    filled: usize,
}

impl Default for Stretch {
    fn default() -> Self {
        Self {
            step: 1.0,
            phase: 0.0,
            history: [0.0; 4],
            filled: 0,
        }
    }
}

impl Stretch {
    const fn set_step(&mut self, step: f64) {
        self.step = step;
    }

    fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        for sample in samples {
            self.history.rotate_left(1);
            self.history[3] = *sample;
            if self.filled < 3 {
                self.filled += 1;
                continue;
            }
            while self.phase < 1.0 {
                out.push(hermite(&self.history, self.phase as f32));
                self.phase += self.step;
            }
            self.phase -= 1.0;
        }
    }
}

fn hermite([before, from, to, after]: &[f32; 4], at: f32) -> f32 {
    let slope = 0.5 * (to - before);
    let next_slope = 0.5 * (after - from);
    let rise = from - to;
    let cubic = slope + next_slope + 2.0 * rise;
    let square = -3.0 * rise - 2.0 * slope - next_slope;
    ((cubic * at + square) * at + slope) * at + from
}

/// Blocks in a second.
const SECOND: u32 = 100;

/// The least length of the queue that is aimed at: one block, so that a late output block does not run it dry.
const TARGET: usize = BLOCK;

/// More than this waits only when one side has stalled.
const LONGEST: usize = SAMPLE_RATE as usize;

/// Parts of one by which a sample too many shortens the reference at once, and how much of it is kept each second.
const PROPORTIONAL: f64 = 0.6e-6;
const INTEGRAL: f64 = 0.02e-6;

/// Crystals of consumer devices are within 100 parts in a million of each other; beyond 500 the canceller would suffer.
const MOST_DRIFT: f64 = 300e-6;
const MOST_STEP: f64 = 100e-6;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    /// Plays `seconds` of a sine through blocks of 40 ms by a clock that is off by `ppm`, popped every 20 ms; the blocks
    /// come late by up to 15 ms now and then.
    fn run(seconds: u32, ppm: f64) -> (Aligner, Vec<f32>, u64) {
        let mut aligner = Aligner::new(48_000).unwrap();
        let (mut made, mut owed, mut out) = (0_u64, 0.0, Vec::new());
        let mut dry_early = 0;
        for tick in 0..seconds * 50 {
            owed += 960.0 * (1.0 + ppm * 1e-6);
            let late = tick % 7 == 3;
            while !late && owed >= 1_920.0 {
                owed -= 1_920.0;
                let block: Vec<f32> = (made..made + 1_920)
                    .map(|n| (n as f32 * 0.06).sin())
                    .collect();
                made += 1_920;
                aligner.push(&block);
            }
            let mut block = [0.0; BLOCK];
            for _ in 0..2 {
                aligner.pop(&mut block);
                out.extend(block);
            }
            if tick == 500 {
                dry_early = aligner.dry();
            }
        }
        let dry = aligner.dry() - dry_early;
        (aligner, out, dry)
    }

    #[test]
    fn without_drift_the_queue_settles_and_never_runs_dry_again() {
        let (aligner, _, dry) = run(120, 0.0);
        assert_eq!(dry, 0);
        assert!(aligner.waiting() < 1_600, "{}", aligner.waiting());
    }

    #[test]
    fn two_clocks_that_differ_by_a_hundred_parts_in_a_million_stay_in_step_for_an_hour() {
        for ppm in [-100.0, 100.0] {
            let (aligner, _, dry) = run(3_600, ppm);
            assert!(dry <= 40, "{ppm}: dry {dry} times");
            assert!(
                aligner.waiting() < 2_400,
                "{ppm}: {} samples wait",
                aligner.waiting()
            );
        }
    }

    #[test]
    fn what_comes_out_is_what_went_in() {
        let (_, out, _) = run(20, 0.0);
        let tail = &out[out.len() - 16_000..];
        // x[n+1] = 2 cos(w) x[n] - x[n-1] holds for a sine; the step of the control bends it a little.
        let turn = 2.0 * (0.18_f32).cos();
        let worst = tail
            .windows(3)
            .map(|w| (turn * w[1] - w[0] - w[2]).abs())
            .fold(0.0, f32::max);
        assert!(worst < 0.01, "{worst}");
    }

    #[test]
    fn a_stall_of_one_side_is_cut_short() {
        let mut aligner = Aligner::new(16_000).unwrap();
        aligner.push(&vec![0.1; 40_000]);
        assert!(aligner.waiting() <= LONGEST);
    }
}
