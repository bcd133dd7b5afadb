//! Cuts device samples into frames of 16 kHz mono with exact positions.
//!
//! Owned by the listening thread. A frame's position counts the samples since the first one that was ever captured, lost
//! ones included: a gap is filled with silence of its length, and each frame tells how much of it is filler. A new format
//! (another device) goes on at the position where the old one ended.

use std::collections::VecDeque;

use crate::audio::Format;
use crate::audio::resample::{ResampleError, Resampler};
use crate::flow::Frame;
use crate::time::{FRAME_SAMPLES, SAMPLE_RATE, SamplePos, Span};

/// Turns blocks of one source into frames.
pub struct Framer {
    resampler: Resampler,
    /// Where the samples that the resampler counts begin.
    base: SamplePos,
    /// 16 kHz samples that do not fill a frame yet; the first one stands at `at`.
    mono: Vec<f32>,
    at: SamplePos,
    /// Stretches of filler that have not left in a frame yet, in order.
    gaps: VecDeque<Span>,
}

impl Framer {
    /// Starts at position 0.
    ///
    /// # Errors
    /// [`ResampleError`] when the format cannot be converted.
    pub fn new(format: Format) -> Result<Self, ResampleError> {
        Ok(Self {
            resampler: Resampler::new(format, SAMPLE_RATE)?,
            base: SamplePos(0),
            mono: Vec::new(),
            at: SamplePos(0),
            gaps: VecDeque::new(),
        })
    }

    /// The layout that it takes.
    #[must_use]
    pub const fn format(&self) -> Format {
        self.resampler.from()
    }

    /// One past the last sample that was captured, including what is still inside the resampler.
    #[must_use]
    pub const fn captured_to(&self) -> SamplePos {
        self.base.plus(self.resampler.worth(self.resampler.taken()))
    }

    /// Takes a block before which `lost` frames (of the device) are missing, and gives every frame that is complete, with
    /// the number of its samples that are filler.
    pub fn push(&mut self, block: &[f32], lost: u64, mut give: impl FnMut(&Frame, u32)) {
        if lost > 0 {
            self.fill(lost, &mut give);
        }
        self.resampler.push(block, &mut self.mono);
        self.emit(&mut give);
    }

    /// Ends the source: gives what the resampler held, the last frame filled up with silence, and goes on with `next`
    /// after it.
    ///
    /// # Errors
    /// [`ResampleError`] when `next` cannot be converted; then it stays with the old format.
    pub fn restart(
        &mut self,
        next: Format,
        give: impl FnMut(&Frame, u32),
    ) -> Result<(), ResampleError> {
        self.finish(give);
        self.resampler = Resampler::new(next, SAMPLE_RATE)?;
        Ok(())
    }

    /// Ends the source as [`Self::restart`] does and goes on with the same format.
    pub fn finish(&mut self, mut give: impl FnMut(&Frame, u32)) {
        self.resampler.finish(&mut self.mono);
        let rest = self.mono.len() % FRAME_SAMPLES;
        if rest > 0 {
            self.mono
                .resize(self.mono.len() + FRAME_SAMPLES - rest, 0.0);
        }
        self.emit(&mut give);
        self.base = self.at;
        self.gaps.clear();
    }

    /// Lets `lost` frames of silence through, a second at a time: a long gap must not become a large buffer.
    fn fill(&mut self, lost: u64, give: &mut impl FnMut(&Frame, u32)) {
        let start = self.captured_to();
        let end = self
            .base
            .plus(self.resampler.worth(self.resampler.taken() + lost));
        self.gaps.push_back(Span { start, end });
        let mut left = lost;
        while left > 0 {
            let now = left.min(u64::from(self.format().rate));
            self.resampler.push_silence(now, &mut self.mono);
            self.emit(give);
            left -= now;
        }
    }

    fn emit(&mut self, give: &mut impl FnMut(&Frame, u32)) {
        let mut frame = Frame {
            at: self.at,
            samples: [0.0; FRAME_SAMPLES],
        };
        let mut done = 0;
        while self.mono.len() - done >= FRAME_SAMPLES {
            frame.at = self.at;
            frame
                .samples
                .copy_from_slice(&self.mono[done..done + FRAME_SAMPLES]);
            done += FRAME_SAMPLES;
            self.at = self.at.plus(FRAME_SAMPLES as u64);
            let filled = filler_within(&mut self.gaps, frame.at, self.at);
            give(&frame, filled);
        }
        self.mono.drain(..done);
    }
}

/// Samples of `start..end` that are filler; gaps that end before `end` are done with.
fn filler_within(gaps: &mut VecDeque<Span>, start: SamplePos, end: SamplePos) -> u32 {
    let mut filled = 0;
    while let Some(gap) = gaps.front() {
        filled += gap.end.min(end).since(gap.start.max(start));
        if gap.end > end {
            break;
        }
        gaps.pop_front();
    }
    u32::try_from(filled).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const STEREO: Format = Format {
        rate: 48_000,
        channels: 2,
    };

    #[test]
    fn frames_follow_each_other_whatever_the_block_sizes() {
        let mut framer = Framer::new(STEREO).unwrap();
        let mut positions = Vec::new();
        for size in [2, 960, 7_000, 4, 20_000] {
            framer.push(&vec![0.1; size * 2], 0, |frame, filled| {
                positions.push((frame.at.0, filled))
            });
        }
        framer.finish(|frame, filled| positions.push((frame.at.0, filled)));
        let frames = (2_u64 + 960 + 7_000 + 4 + 20_000).div_ceil(3).div_ceil(512);
        let expected: Vec<_> = (0..frames).map(|n| (n * 512, 0)).collect();
        assert_eq!(positions, expected);
    }

    #[test]
    fn lost_frames_move_what_follows_and_are_told_exactly() {
        let mut framer = Framer::new(STEREO).unwrap();
        let mut filled = 0;
        let mut count = |_: &Frame, n: u32| filled += u64::from(n);
        framer.push(&[0.1; 2 * 4_800], 0, &mut count);
        framer.push(&[0.1; 2 * 4_800], 48_000 * 3, &mut count);
        assert_eq!(framer.captured_to(), SamplePos(1_600 + 48_000 + 1_600));
        framer.finish(&mut count);
        assert_eq!(filled, 48_000);
    }

    #[test]
    fn another_format_goes_on_where_the_first_one_ended() {
        let mut framer = Framer::new(STEREO).unwrap();
        let mut ends = Vec::new();
        framer.push(&[0.1; 2 * 48_000], 0, |frame, _| ends.push(frame.at.0));
        let next = Format {
            rate: 8_000,
            channels: 1,
        };
        framer
            .restart(next, |frame, _| ends.push(frame.at.0))
            .unwrap();
        assert_eq!(
            framer.captured_to(),
            SamplePos(16_384),
            "the last frame was filled up"
        );
        framer.push(&[0.1; 8_000], 0, |frame, _| ends.push(frame.at.0));
        framer.finish(|frame, _| ends.push(frame.at.0));
        assert!(ends.windows(2).all(|pair| pair[1] == pair[0] + 512));
        assert_eq!(framer.captured_to(), SamplePos(16_384 * 2));
    }
}
