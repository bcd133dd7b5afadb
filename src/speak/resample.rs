//! Speech from the engine's rate to the loudspeaker's, piece by piece.
//!
//! One value a clause, on the synthesis thread. The filter's delay is cut off at the start and made up for at the end, so a
//! clause keeps its length: input samples times the ratio, rounded up.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Indexing, Resampler as _};

/// Converts one clause.
pub struct SpeechResampler {
    /// `None` where the rates are equal.
    filter: Option<Filter>,
}

struct Filter {
    fft: Fft<f32>,
    from: u64,
    to: u64,
    /// Input that does not fill a chunk yet.
    waiting: Vec<f32>,
    chunk: Vec<f32>,
    taken: u64,
    given: u64,
    /// Output that is the filter's delay and must not be heard.
    trim: usize,
}

/// The rates cannot be converted (one of them is zero). The engine is broken.
#[derive(Debug, thiserror::Error)]
#[error("cannot convert speech from {from} to {to} samples a second: {reason}")]
pub struct RateError {
    from: u32,
    to: u32,
    reason: String,
}

impl SpeechResampler {
    /// A converter from `from` to `to` samples a second.
    ///
    /// # Errors
    /// [`RateError`] when a rate is zero.
    pub fn new(from: u32, to: u32) -> Result<Self, RateError> {
        if from == to && from > 0 {
            return Ok(Self { filter: None });
        }
        let fft = Fft::new(
            from as usize,
            to as usize,
            CHUNK_SAMPLES,
            1,
            FixedSync::Input,
        )
        .map_err(|error| RateError {
            from,
            to,
            reason: error.to_string(),
        })?;
        let trim = fft.output_delay();
        let chunk = vec![0.0; fft.output_frames_max()];
        Ok(Self {
            filter: Some(Filter {
                fft,
                from: u64::from(from),
                to: u64::from(to),
                waiting: Vec::new(),
                chunk,
                taken: 0,
                given: 0,
                trim,
            }),
        })
    }

    /// Takes samples and appends those that are ready.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        let Some(filter) = &mut self.filter else {
            out.extend_from_slice(samples);
            return;
        };
        filter.taken += samples.len() as u64;
        filter.waiting.extend_from_slice(samples);
        let need = filter.fft.input_frames_next();
        let mut done = 0;
        while filter.waiting.len() - done >= need {
            let input = filter.waiting[done..done + need].to_vec();
            filter.process(&input, out);
            done += need;
        }
        filter.waiting.drain(..done);
    }

    /// Ends the clause: appends what the filter still holds.
    pub fn finish(&mut self, out: &mut Vec<f32>) {
        let Some(filter) = &mut self.filter else {
            return;
        };
        let whole = (filter.taken * filter.to).div_ceil(filter.from);
        let need = filter.fft.input_frames_next();
        while filter.given < whole {
            let mut input = std::mem::take(&mut filter.waiting);
            input.resize(need, 0.0);
            let before = out.len();
            filter.process(&input, out);
            let excess = filter.given.saturating_sub(whole) as usize;
            out.truncate(out.len().saturating_sub(excess).max(before));
        }
    }
}

impl Filter {
    fn process(&mut self, input: &[f32], out: &mut Vec<f32>) {
        let frames = self.chunk.len();
        let source =
            InterleavedSlice::new(input, 1, input.len()).expect("one channel, exact length");
        let mut target = InterleavedSlice::new_mut(&mut self.chunk, 1, frames)
            .expect("one channel, exact length");
        let (_, made) = self
            .fft
            .process_into_buffer(&source, &mut target, None::<&Indexing>)
            .expect("the input has the length that was asked for and the output room for the most");
        let skip = self.trim.min(made);
        self.trim -= skip;
        out.extend_from_slice(&self.chunk[skip..made]);
        self.given += (made - skip) as u64;
    }
}

/// 20 ms at 22,050 Hz: what is held back of a piece is not noticed.
const CHUNK_SAMPLES: usize = 441;

#[cfg(test)]
mod tests {
    use super::*;

    fn convert(from: u32, to: u32, samples: &[f32], piece: usize) -> Vec<f32> {
        let mut resampler = SpeechResampler::new(from, to).unwrap();
        let mut out = Vec::new();
        for piece in samples.chunks(piece) {
            resampler.push(piece, &mut out);
        }
        resampler.finish(&mut out);
        out
    }

    #[test]
    fn a_clause_keeps_its_length_and_its_tone_at_every_rate() {
        for (from, to) in [
            (22_050, 48_000),
            (22_050, 44_100),
            (24_000, 16_000),
            (22_050, 22_050),
        ] {
            let tone = |rate: u32, n: usize| {
                (std::f32::consts::TAU * 440.0 * n as f32 / rate as f32).sin() * 0.5
            };
            let samples: Vec<f32> = (0..10_000).map(|n| tone(from, n)).collect();
            let out = convert(from, to, &samples, 777);
            let expected = (10_000 * to as usize).div_ceil(from as usize);
            assert_eq!(out.len(), expected, "{from} to {to}");
            let middle = 1_000..expected - 1_000;
            let worst = middle
                .map(|n| (out[n] - tone(to, n)).abs())
                .fold(0.0, f32::max);
            // The delay is cut off in whole samples: a shift by one of them is 0.03 at this pitch.
            assert!(worst < 0.04, "{from} to {to}: off by {worst}");
        }
    }

    #[test]
    fn a_clause_shorter_than_a_chunk_and_an_empty_one_are_whole() {
        assert_eq!(convert(22_050, 44_100, &[0.1; 10], 10).len(), 20);
        assert!(convert(22_050, 44_100, &[], 1).is_empty());
        assert!(SpeechResampler::new(0, 48_000).is_err());
    }
}
