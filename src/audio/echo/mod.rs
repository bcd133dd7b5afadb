//! Removes our own voice from what the microphone hears.
//!
//! [`EchoCanceller`] is WebRTC's third canceller (crate `sonora`) over 10 ms blocks of 16 kHz mono, fed in step by an
//! [`Aligner`], and judged by an [`EchoMeter`]. Owned by the listening thread, inside [`super::cancelled::Cancelled`]. It works
//! only while something that we play may still be heard: otherwise blocks pass as they are, which costs nothing and leaves
//! silence exactly silent. While it works, `sonora` makes some small vectors a block; the callbacks are not concerned.

pub mod align;
pub mod meter;

use sonora::config::EchoCanceller as Aec3;
use sonora::{AudioProcessing, Config, StreamConfig};

use super::floor::power;
use super::resample::ResampleError;
use crate::time::SAMPLE_RATE;
use align::Aligner;
use meter::{EchoMeter, EchoReport, FilterNews, Levels};

/// Samples of a block: 10 ms at 16 kHz.
pub const BLOCK: usize = SAMPLE_RATE as usize / 100;

/// See the module.
pub struct EchoCanceller {
    processing: AudioProcessing,
    /// `None` while there is no loudspeaker.
    aligner: Option<Aligner>,
    meter: EchoMeter,
    /// Blocks for which it still works after the last audible reference.
    works_for: u32,
    report: EchoReport,
}

impl Default for EchoCanceller {
    fn default() -> Self {
        Self {
            processing: engine(),
            aligner: None,
            meter: EchoMeter::default(),
            works_for: 0,
            report: EchoReport::default(),
        }
    }
}

fn engine() -> AudioProcessing {
    let stream = StreamConfig::new(SAMPLE_RATE, 1);
    let config = Config {
        echo_canceller: Some(Aec3::default()),
        ..Config::default()
    };
    AudioProcessing::builder()
        .config(config)
        .capture_config(stream)
        .render_config(stream)
        .build()
}

impl EchoCanceller {
    /// Another loudspeaker of `rate` samples a second plays from now on: everything learnt about the old one is forgotten.
    ///
    /// # Errors
    /// [`ResampleError`] when its rate cannot be converted; then nothing is cancelled.
    pub fn restart(&mut self, rate: u32) -> Result<(), ResampleError> {
        self.forget();
        self.aligner = None;
        self.aligner = Some(Aligner::new(rate)?);
        Ok(())
    }

    /// Another microphone, or a hole in the reference: the room is learnt anew.
    pub fn forget(&mut self) {
        self.processing = engine();
        self.meter = EchoMeter::default();
        self.works_for = 0;
        self.report = self.meter.report();
    }

    /// What the loudspeaker was given since the last call.
    pub fn reference(&mut self, samples: &[f32]) {
        if let Some(aligner) = &mut self.aligner {
            aligner.push(samples);
        }
    }

    /// Takes a block of the microphone and appends what is left of it.
    pub fn process(&mut self, block: &[f32; BLOCK], out: &mut Vec<f32>) {
        let mut reference = [0.0; BLOCK];
        if let Some(aligner) = &mut self.aligner {
            aligner.pop(&mut reference);
        }
        let played = power(&reference);
        if played > INAUDIBLE {
            self.works_for = TAIL;
        } else {
            self.works_for = self.works_for.saturating_sub(1);
        }
        let heard = power(block);
        if self.works_for == 0 {
            self.meter.rest(heard);
            self.report = self.meter.report();
            out.extend_from_slice(block);
            return;
        }
        let mut left = [0.0; BLOCK];
        let news = self.cancel(&reference, block, &mut left);
        // The canceller adds a noise of comfort; a microphone that gives nothing shall be seen to give nothing.
        if heard == 0.0 {
            left.fill(0.0);
        }
        self.report = self.meter.take(
            Levels {
                reference: played,
                microphone: heard,
                residual: power(&left),
            },
            news,
        );
        out.extend_from_slice(&left);
    }

    /// What it makes of the last block.
    #[must_use]
    pub const fn report(&self) -> EchoReport {
        self.report
    }

    fn cancel(
        &mut self,
        reference: &[f32; BLOCK],
        block: &[f32; BLOCK],
        left: &mut [f32; BLOCK],
    ) -> FilterNews {
        let mut unused = [0.0; BLOCK];
        let fed = self
            .processing
            .process_render_f32(&[reference], &mut [&mut unused])
            .and_then(|()| self.processing.process_capture_f32(&[block], &mut [left]));
        if let Err(error) = fed {
            // The formats are constant and valid, so this does not happen; if it did, the echo would stay.
            tracing::error!(?error, "the echo canceller refused a block");
            *left = *block;
        }
        let stats = self.processing.statistics();
        FilterNews {
            explained_db: stats.echo_return_loss_enhancement.unwrap_or(0.0) as f32,
            delay_ms: stats
                .delay_ms
                .and_then(|delay| u32::try_from(delay).ok())
                .unwrap_or(0),
        }
    }
}

/// −90 dB of full scale: below it the reference is silence.
const INAUDIBLE: f32 = 1e-9;

/// Blocks for which the canceller works on after the last sound of ours: delay, reverberation, and some.
const TAIL: u32 = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_anything_to_hear_of_ours_blocks_pass_untouched() {
        let mut canceller = EchoCanceller::default();
        let block: [f32; BLOCK] = std::array::from_fn(|n| (n as f32 * 0.3).sin() * 0.1);
        let mut out = Vec::new();
        for _ in 0..50 {
            canceller.process(&block, &mut out);
        }
        assert!(out.chunks(BLOCK).all(|chunk| chunk == block));
        assert!(!canceller.report().ours);
    }
}
