//! Mixes decoded blocks to mono and resamples them to 16 kHz.
//!
//! Used by the decoder on its caller's thread. Promises that the output is as long as the input and lies where it lay, to
//! one sample.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler, WindowFunction};

use crate::audio::Format;
use crate::time::SAMPLE_RATE;

/// Mixes channels and resamples, block by block.
pub(super) struct Converter {
    pub(super) format: Format,
    resampler: Option<Fft<f32>>,
    /// Mono samples at the file's rate that do not fill a chunk yet.
    pending: Vec<f32>,
    output: Vec<f32>,
    scratch: Vec<f32>,
    frames: u64,
}

impl Converter {
    pub(super) fn new(format: Format) -> Result<Self, String> {
        const CHUNK: usize = 4096;
        if !(1_000..=768_000).contains(&format.rate) || format.channels == 0 {
            return Err(format!(
                "{} Hz with {} channels is no sound",
                format.rate, format.channels
            ));
        }
        let resampler = (format.rate != SAMPLE_RATE)
            .then(|| {
                let window = WindowFunction::BlackmanHarris2;
                let (from, to) = (format.rate as usize, SAMPLE_RATE as usize);
                Fft::new_custom(from, to, CHUNK, 2, 1, window, FixedSync::Input)
                    .map_err(|error| error.to_string())
            })
            .transpose()?;
        Ok(Self {
            format,
            resampler,
            pending: Vec::new(),
            output: Vec::new(),
            scratch: Vec::new(),
            frames: 0,
        })
    }

    /// The mean of the channels: in surround recordings the voice is quieter then, which Whisper's spectrum evens out.
    pub(super) fn push(&mut self, interleaved: &[f32]) {
        let channels = usize::from(self.format.channels);
        let mono = interleaved
            .chunks_exact(channels)
            .map(|frame| frame.iter().sum::<f32>() / channels as f32);
        self.frames += (interleaved.len() / channels) as u64;
        if self.resampler.is_none() {
            self.output.extend(mono);
            return;
        }
        self.pending.extend(mono);
        self.drain();
    }

    fn drain(&mut self) {
        let Some(resampler) = &mut self.resampler else {
            return;
        };
        let mut used = 0;
        while self.pending.len() - used >= resampler.input_frames_next() {
            let wanted = resampler.input_frames_next();
            let room = resampler.output_frames_next();
            self.scratch.resize(room, 0.0);
            let input = InterleavedSlice::new(&self.pending[used..used + wanted], 1, wanted);
            let output = InterleavedSlice::new_mut(&mut self.scratch, 1, room);
            let (input, mut output) = (
                input.expect("sized as asked"),
                output.expect("sized as asked"),
            );
            let (read, written) = resampler
                .process_into_buffer(&input, &mut output, None)
                .expect("both buffers have the asked sizes");
            self.output.extend_from_slice(&self.scratch[..written]);
            used += read;
        }
        self.pending.drain(..used);
    }

    /// Everything, aligned with the input: the resampler's delay is cut off and its tail pushed out.
    pub(super) fn finish(mut self) -> Vec<f32> {
        let Some(resampler) = &self.resampler else {
            return self.output;
        };
        let delay = resampler.output_delay();
        let chunk = resampler.input_frames_max();
        let rate = u64::from(self.format.rate);
        let wanted = usize::try_from((self.frames * u64::from(SAMPLE_RATE)).div_ceil(rate))
            .expect("fits in memory");
        while self.output.len() < delay + wanted {
            self.pending.resize(self.pending.len() + chunk, 0.0);
            self.drain();
        }
        self.output.drain(..delay);
        self.output.truncate(wanted);
        self.output
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_keeps_its_length_place_and_height_through_every_rate() {
        for rate in [8_000_u32, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000] {
            let seconds = 1.5;
            let frames = (f64::from(rate) * seconds) as usize;
            let burst = |t: f64| {
                if t > 0.5 {
                    (t * 440.0 * std::f64::consts::TAU).sin() * 0.5
                } else {
                    0.0
                }
            };
            let tone: Vec<f32> = (0..frames)
                .map(|n| burst(n as f64 / f64::from(rate)) as f32)
                .collect();
            let mono =
                super::super::to_mono(Format { rate, channels: 1 }, &tone).expect("a usual rate");
            assert!(mono.len().abs_diff(24_000) <= 1, "{rate}: {}", mono.len());
            let error = mono
                .iter()
                .enumerate()
                .filter(|(n, _)| (9_000..23_000).contains(n))
                .map(|(n, got)| (f64::from(*got) - burst(n as f64 / 16_000.0)).abs())
                .fold(0.0, f64::max);
            // One sample of delay, which the resampler rounds, is 0.086 at this pitch.
            assert!(error < 0.09, "{rate}: {error}");
            assert!(
                mono[..7_500].iter().all(|sample| sample.abs() < 0.01),
                "{rate} begins too early"
            );
        }
    }

    #[test]
    fn channels_are_averaged() {
        let mono = super::super::to_mono(
            Format {
                rate: 16_000,
                channels: 2,
            },
            &[0.2, 0.4, -1.0, 1.0],
        );
        assert_eq!(
            mono.map(|mono| mono.iter().map(|s| (s * 10.0).round()).collect()),
            Ok(vec![3.0, 0.0])
        );
    }

    #[test]
    fn a_rate_that_is_no_sound_is_refused() {
        assert!(
            super::super::to_mono(
                Format {
                    rate: 0,
                    channels: 1
                },
                &[0.0]
            )
            .is_err()
        );
        assert!(
            super::super::to_mono(
                Format {
                    rate: 16_000,
                    channels: 0
                },
                &[0.0]
            )
            .is_err()
        );
    }
}
