//! Mixes decoded blocks to mono and resamples them to 16 kHz.
//!
//! Used by the decoder on its caller's thread. Promises that the output is as long as the input and lies where it lay, to
//! one sample.

use crate::audio::Format;
use crate::audio::resample::Resampler;
use crate::time::SAMPLE_RATE;

/// Mixes channels and resamples, block by block.
pub(super) struct Converter {
    pub(super) format: Format,
    resampler: Resampler,
    output: Vec<f32>,
}

impl Converter {
    pub(super) fn new(format: Format) -> Result<Self, String> {
        let refused = || {
            format!(
                "{} Hz with {} channels is no sound",
                format.rate, format.channels
            )
        };
        if !(1_000..=768_000).contains(&format.rate) {
            return Err(refused());
        }
        let resampler = Resampler::new(format, SAMPLE_RATE).map_err(|_| refused())?;
        Ok(Self {
            format,
            resampler,
            output: Vec::new(),
        })
    }

    pub(super) fn push(&mut self, interleaved: &[f32]) {
        self.resampler.push(interleaved, &mut self.output);
    }

    /// Everything, as long as the input and where it lay.
    pub(super) fn finish(mut self) -> Vec<f32> {
        self.resampler.finish(&mut self.output);
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
