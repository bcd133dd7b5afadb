//! Device samples to 16 kHz mono, and speech to the loudspeaker's rate.
//!
//! A [`Resampler`] is owned by the thread that feeds it (listening, speaking, a command) and keeps its filter state from
//! push to push. It promises that output sample `n` stands for the instant `n / to` of the input (to within half an input
//! sample where the filter's length is odd): the filter's delay is taken off at the start and pumped out at the end, so
//! positions are exact and no sample is lost. It allocates nothing once its buffers and the caller's have grown. What a gap
//! in capture means is left to the caller, who pushes silence.

use std::time::Duration;

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _};

use super::Format;

/// Why a rate cannot be converted.
#[derive(Debug, thiserror::Error)]
pub enum ResampleError {
    /// The source has no frames or channels, or its rate is none that a device has. Choose another device or file.
    #[error("{channels} channels at {rate} Hz cannot be converted to {to} Hz")]
    Format {
        /// Frames a second of the source.
        rate: u32,
        /// Its channels.
        channels: u16,
        /// Wanted samples a second.
        to: u32,
    },
}

/// Converts interleaved samples of one layout to mono samples at another rate, piece by piece.
pub struct Resampler {
    from: Format,
    to: u32,
    /// `None` when the rates are equal: then only the channels are mixed.
    engine: Option<Engine>,
    /// Mono samples that do not fill a block of the engine yet.
    pending: Vec<f32>,
    /// Frames taken and samples given since the start or the last flush: what `finish` owes follows from them.
    taken: u64,
    given: u64,
}

struct Engine {
    fft: Fft<f32>,
    /// Mono samples that one step takes; fixed on both sides.
    block_in: usize,
    block_out: Vec<f32>,
    /// Output samples of the filter's delay that have not been dropped yet.
    delay_left: usize,
}

impl Resampler {
    /// Converts from `from` to mono at `to` samples a second.
    ///
    /// # Errors
    /// [`ResampleError::Format`] when there is nothing to convert, or when the block would last longer than
    /// [`LONGEST_BLOCK`] (two rates without a common divisor, which no device has).
    pub fn new(from: Format, to: u32) -> Result<Self, ResampleError> {
        let refused = || ResampleError::Format {
            rate: from.rate,
            channels: from.channels,
            to,
        };
        if from.rate == 0 || from.channels == 0 || to == 0 {
            return Err(refused());
        }
        let engine = if from.rate == to {
            None
        } else {
            Some(Engine::new(from.rate, to).ok_or_else(refused)?)
        };
        Ok(Self {
            from,
            to,
            engine,
            pending: Vec::new(),
            taken: 0,
            given: 0,
        })
    }

    /// The layout that it takes.
    #[must_use]
    pub const fn from(&self) -> Format {
        self.from
    }

    /// How long a sample waits inside before it can come out: one block and the filter's half length.
    #[must_use]
    pub fn delay(&self) -> Duration {
        self.engine.as_ref().map_or(Duration::ZERO, |engine| {
            let block = engine.block_in as f64 / f64::from(self.from.rate);
            let filter = engine.fft.output_delay() as f64 / f64::from(self.to);
            Duration::from_secs_f64(block + filter)
        })
    }

    /// Frames taken since the start or the last [`Self::finish`].
    #[must_use]
    pub const fn taken(&self) -> u64 {
        self.taken
    }

    /// Output samples that `frames` input frames are worth, rounded up.
    #[must_use]
    pub const fn worth(&self, frames: u64) -> u64 {
        let (from, to) = (self.from.rate as u128, self.to as u128);
        (frames as u128 * to).div_ceil(from) as u64
    }

    /// Takes interleaved samples (whole frames; a broken last frame is dropped) and appends what is ready to `out`.
    pub fn push(&mut self, interleaved: &[f32], out: &mut Vec<f32>) {
        let channels = usize::from(self.from.channels);
        let frames = interleaved.chunks_exact(channels);
        self.taken += frames.len() as u64;
        let mono = frames.map(mix);
        if self.engine.is_none() {
            self.given += mono.len() as u64;
            out.extend(mono);
            return;
        }
        self.pending.extend(mono);
        self.work(out);
    }

    /// Takes `frames` frames of silence, for a gap whose samples are missing.
    pub fn push_silence(&mut self, frames: u64, out: &mut Vec<f32>) {
        let zeros = [0.0; 960];
        let channels = usize::from(self.from.channels);
        let step = (zeros.len() / channels).max(1);
        if channels > zeros.len() {
            return;
        }
        let mut left = frames;
        while left > 0 {
            let now = left.min(step as u64);
            self.push(&zeros[..now as usize * channels], out);
            left -= now;
        }
    }

    /// Ends the stream: appends the samples that the filter still held, so that the output lasts exactly as long as the
    /// input (rounded up to a sample), and starts anew.
    pub fn finish(&mut self, out: &mut Vec<f32>) {
        let owed = self.worth(self.taken);
        while let Some(engine) = &self.engine
            && self.given < owed
        {
            self.pending.resize(engine.block_in, 0.0);
            let before = out.len();
            self.work(out);
            if self.given > owed {
                let surplus = usize::try_from(self.given - owed).unwrap_or(usize::MAX);
                out.truncate(out.len().saturating_sub(surplus).max(before));
            }
        }
        self.reset();
    }

    /// Forgets everything taken, without giving the tail.
    pub fn reset(&mut self) {
        self.pending.clear();
        self.taken = 0;
        self.given = 0;
        if let Some(engine) = &mut self.engine {
            engine.fft.reset();
            engine.delay_left = engine.fft.output_delay();
        }
    }

    /// Runs the engine over every whole block that is pending.
    fn work(&mut self, out: &mut Vec<f32>) {
        let Some(engine) = &mut self.engine else {
            return;
        };
        let mut done = 0;
        while self.pending.len() - done >= engine.block_in {
            let fresh = engine.step(&self.pending[done..done + engine.block_in]);
            out.extend_from_slice(fresh);
            self.given += fresh.len() as u64;
            done += engine.block_in;
        }
        self.pending.drain(..done);
    }
}

impl Engine {
    fn new(from: u32, to: u32) -> Option<Self> {
        let (from, to) = (from as usize, to as usize);
        // The filter is one block long. 160 samples at the lower rate are 10 ms at 16 kHz and cost 5 ms of delay; measured
        // from 48 to 16 kHz the band is flat up to 6.8 kHz (85 % of the Nyquist frequency) and 9 kHz lies 148 dB down.
        let hint = (from * SHORTEST_FILTER).div_ceil(from.min(to));
        let fft = Fft::new(from, to, hint, 1, FixedSync::Both).ok()?;
        let block_in = fft.input_frames_max();
        if block_in as f64 / from as f64 > LONGEST_BLOCK.as_secs_f64() {
            return None;
        }
        Some(Self {
            block_in,
            block_out: vec![0.0; fft.output_frames_max()],
            delay_left: fft.output_delay(),
            fft,
        })
    }

    /// Converts one block; the delay's worth of the first outputs is dropped.
    fn step(&mut self, block: &[f32]) -> &[f32] {
        let room = self.block_out.len();
        let input =
            InterleavedSlice::new(block, 1, block.len()).expect("one channel of its own length");
        let mut output = InterleavedSlice::new_mut(&mut self.block_out, 1, room)
            .expect("one channel of its own length");
        let (_, made) = self
            .fft
            .process_into_buffer(&input, &mut output, None)
            .expect("both blocks have the size that the engine fixed");
        let skip = self.delay_left.min(made);
        self.delay_left -= skip;
        &self.block_out[skip..made]
    }
}

/// The mean of a frame's channels: a voice in one of two channels comes out at half its amplitude, and nothing clips. What
/// is no number (a broken driver) becomes silence, or one such sample would spoil a whole block behind the filter.
fn mix(frame: &[f32]) -> f32 {
    let mean = match frame {
        [only] => *only,
        _ => frame.iter().sum::<f32>() / frame.len() as f32,
    };
    if mean.is_finite() { mean } else { 0.0 }
}

/// Samples at the lower of the two rates that the anti-aliasing filter spans at least.
const SHORTEST_FILTER: usize = 160;

/// The longest block that is accepted; 44.1 kHz needs 10 ms, 22.05 and 11.025 kHz 20 and 40 ms.
pub const LONGEST_BLOCK: Duration = Duration::from_millis(100);

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const TONE_HZ: f64 = 440.0;

    fn sine(rate: u32, seconds: f64) -> Vec<f32> {
        (0..(f64::from(rate) * seconds) as usize)
            .map(|n| {
                (0.5 * (std::f64::consts::TAU * TONE_HZ * n as f64 / f64::from(rate)).sin()) as f32
            })
            .collect()
    }

    fn spread(mono: &[f32], channels: u16) -> Vec<f32> {
        mono.iter()
            .flat_map(|s| std::iter::repeat_n(*s, usize::from(channels)))
            .collect()
    }

    fn convert(input: &[f32], from: Format, to: u32, piece: usize) -> Vec<f32> {
        let mut resampler = Resampler::new(from, to).unwrap();
        let mut out = Vec::new();
        for piece in input.chunks(piece * usize::from(from.channels)) {
            resampler.push(piece, &mut out);
        }
        resampler.finish(&mut out);
        out
    }

    #[test]
    fn a_sine_keeps_length_frequency_phase_and_amplitude_at_every_usual_rate_and_channel_count() {
        for rate in [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000] {
            for channels in [1, 2, 6] {
                let seconds = 0.73;
                let input = spread(&sine(rate, seconds), channels);
                let frames = input.len() / usize::from(channels);
                let out = convert(&input, Format { rate, channels }, 16_000, 137);
                let expected = (frames as u64 * 16_000).div_ceil(u64::from(rate)) as usize;
                assert_eq!(out.len(), expected, "{rate} Hz, {channels} channels");
                let ideal = sine(16_000, seconds);
                let worst = (400..out.len().min(ideal.len()) - 400)
                    .map(|n| (out[n] - ideal[n]).abs())
                    .fold(0.0, f32::max);
                // Half an input sample of shift moves the steepest point of the sine by this much.
                let shift = 0.5 * std::f64::consts::TAU * TONE_HZ * 0.5 / f64::from(rate);
                assert!(
                    worst < 0.005 + shift as f32,
                    "{rate} Hz, {channels} channels: off by {worst}"
                );
            }
        }
    }

    #[test]
    fn speech_rates_convert_to_every_usual_loudspeaker_rate() {
        for (from, to) in [
            (22_050, 48_000),
            (22_050, 44_100),
            (16_000, 48_000),
            (24_000, 44_100),
        ] {
            let out = convert(
                &sine(from, 0.5),
                Format {
                    rate: from,
                    channels: 1,
                },
                to,
                997,
            );
            let ideal = sine(to, 0.5);
            assert_eq!(out.len(), ideal.len(), "{from} to {to}");
            let worst = (2_000..out.len() - 2_000)
                .map(|n| (out[n] - ideal[n]).abs())
                .fold(0.0, f32::max);
            let shift = 0.5 * std::f64::consts::TAU * TONE_HZ * 0.5 / f64::from(from);
            assert!(
                worst < 0.005 + shift as f32,
                "{from} to {to}: off by {worst}"
            );
        }
    }

    #[test]
    fn the_size_of_the_pieces_does_not_change_a_single_sample() {
        let format = Format {
            rate: 44_100,
            channels: 2,
        };
        let input = spread(&sine(44_100, 0.2), 2);
        let whole = convert(&input, format, 16_000, input.len());
        assert_eq!(convert(&input, format, 16_000, 1), whole);
        assert_eq!(convert(&input, format, 16_000, 441), whole);
    }

    #[test]
    fn a_clip_shorter_than_one_block_still_comes_out_whole() {
        let out = convert(
            &[0.25; 30],
            Format {
                rate: 48_000,
                channels: 1,
            },
            16_000,
            30,
        );
        assert_eq!(out.len(), 10);
    }

    #[test]
    fn the_delay_of_the_usual_rates_stays_below_a_frame() {
        for (rate, most_ms) in [
            (8_000, 31),
            (22_050, 31),
            (44_100, 16),
            (48_000, 16),
            (96_000, 16),
        ] {
            let delay = Resampler::new(Format { rate, channels: 1 }, 16_000)
                .unwrap()
                .delay();
            assert!(
                delay <= Duration::from_millis(most_ms),
                "{rate} Hz: {delay:?}"
            );
        }
        let equal = Resampler::new(
            Format {
                rate: 16_000,
                channels: 2,
            },
            16_000,
        )
        .unwrap();
        assert_eq!(equal.delay(), Duration::ZERO);
    }

    #[test]
    fn silence_for_a_gap_moves_what_follows_by_its_length() {
        let format = Format {
            rate: 48_000,
            channels: 2,
        };
        let mut resampler = Resampler::new(format, 16_000).unwrap();
        let mut out = Vec::new();
        resampler.push_silence(48_000, &mut out);
        resampler.push(&[0.5; 9_600], &mut out);
        resampler.finish(&mut out);
        assert_eq!(out.len(), 17_600);
        assert!(out[..15_900].iter().all(|s| s.abs() < 1e-3));
        assert!((out[16_800] - 0.5).abs() < 0.01);
    }

    #[test]
    fn the_voice_band_passes_and_what_lies_above_does_not_fold_back() {
        let format = Format {
            rate: 48_000,
            channels: 1,
        };
        let level = |hz: f64| {
            let input: Vec<f32> = (0..48_000)
                .map(|n| (std::f64::consts::TAU * hz * f64::from(n) / 48_000.0).sin() as f32)
                .collect();
            let out = convert(&input, format, 16_000, 480);
            let middle = &out[2_000..14_000];
            let power = middle.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / 12_000.0;
            10.0 * (2.0 * power).log10()
        };
        let levels: Vec<(f64, f64)> = [
            300.0, 3_400.0, 6_000.0, 6_800.0, 7_400.0, 9_000.0, 10_000.0, 15_000.0,
        ]
        .map(|hz| (hz, level(hz)))
        .to_vec();
        for (hz, db) in &levels {
            if *hz <= 6_800.0 {
                assert!(db.abs() < 1.0, "{levels:.1?}");
            } else if *hz >= 9_000.0 {
                assert!(*db < -60.0, "{levels:.1?}");
            }
        }
    }

    #[test]
    fn a_sample_that_is_no_number_becomes_silence() {
        let mut input = vec![0.5; 4_800];
        input[2_400] = f32::NAN;
        let out = convert(
            &input,
            Format {
                rate: 48_000,
                channels: 1,
            },
            16_000,
            480,
        );
        assert!(out.iter().all(|sample| sample.is_finite()));
    }

    #[test]
    fn rates_that_no_device_has_are_refused() {
        assert!(
            Resampler::new(
                Format {
                    rate: 0,
                    channels: 1
                },
                16_000
            )
            .is_err()
        );
        assert!(
            Resampler::new(
                Format {
                    rate: 16_000,
                    channels: 0
                },
                16_000
            )
            .is_err()
        );
        assert!(
            Resampler::new(
                Format {
                    rate: 47_999,
                    channels: 1
                },
                16_000
            )
            .is_err()
        );
    }
}
