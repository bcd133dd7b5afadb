//! A microphone without our own voice: a source at 16 kHz mono over a device's source.
//!
//! Owned by the listening thread, which reads it as any other source. It resamples, drains the reference of the
//! loudspeaker at the same moment as the microphone (so that a late thread delays both alike), and lets the canceller work in
//! blocks of 10 ms. Gaps are told in its own rate; what they cost the canceller is left to the canceller.

use std::time::Duration;

use super::echo::meter::EchoReport;
use super::echo::{BLOCK, EchoCanceller};
use super::reference::{ReferenceReader, Tap};
use super::resample::{ResampleError, Resampler};
use super::{AudioSource, CaptureError, Captured, Format};
use crate::time::SAMPLE_RATE;

/// See the module.
pub struct Cancelled {
    inner: Box<dyn AudioSource>,
    resampler: Resampler,
    tap: Tap,
    seen: u64,
    reference: Option<ReferenceReader>,
    canceller: EchoCanceller,
    /// Device samples, reference samples and 16 kHz samples that do not fill a block yet; kept, so that reading allocates
    /// nothing once they have grown.
    device: Vec<f32>,
    played: Vec<f32>,
    mono: Vec<f32>,
    /// Device frames that are missing and not told yet because they are worth less than a sample.
    missing: u64,
}

impl Cancelled {
    /// Puts the canceller over `inner`; `tap` is where the loudspeakers attach.
    ///
    /// # Errors
    /// [`ResampleError`] when the source's rate cannot be converted.
    pub fn new(inner: Box<dyn AudioSource>, tap: Tap) -> Result<Self, ResampleError> {
        let resampler = Resampler::new(inner.format(), SAMPLE_RATE)?;
        let second = inner.format().rate as usize * usize::from(inner.format().channels);
        Ok(Self {
            inner,
            resampler,
            tap,
            seen: 0,
            reference: None,
            canceller: EchoCanceller::default(),
            device: Vec::with_capacity(second / 5),
            played: Vec::with_capacity(SAMPLE_RATE as usize),
            mono: Vec::with_capacity(SAMPLE_RATE as usize / 5),
            missing: 0,
        })
    }

    /// Takes what the loudspeaker was given meanwhile.
    fn take_reference(&mut self) {
        if let Some(reader) = self.tap.take_new(&mut self.seen) {
            match self.canceller.restart(reader.rate()) {
                Ok(()) => self.reference = Some(reader),
                Err(error) => {
                    tracing::error!(%error, "the echo of this loudspeaker cannot be cancelled")
                }
            }
        }
        if let Some(reader) = &mut self.reference {
            self.played.clear();
            if reader.drain(&mut self.played) {
                self.canceller.reference(&self.played);
            } else {
                self.canceller.forget();
            }
        }
    }

    fn cancel(&mut self, into: &mut Vec<f32>) {
        let mut done = 0;
        while let Some(block) = self.mono[done..].first_chunk::<BLOCK>() {
            self.canceller.process(block, into);
            done += BLOCK;
        }
        self.mono.drain(..done);
    }
}

impl Drop for Cancelled {
    fn drop(&mut self) {
        if let Some(reader) = self.reference.take() {
            self.tap.give_back(reader);
        }
    }
}

impl AudioSource for Cancelled {
    fn format(&self) -> Format {
        Format {
            rate: SAMPLE_RATE,
            channels: 1,
        }
    }

    fn device_format(&self) -> Format {
        self.inner.device_format()
    }

    fn echo(&self) -> EchoReport {
        self.canceller.report()
    }

    fn read(&mut self, into: &mut Vec<f32>, wait: Duration) -> Result<Captured, CaptureError> {
        self.device.clear();
        let captured = self.inner.read(&mut self.device, wait)?;
        // Also when nothing was captured: a microphone that stalls must not let the reference overflow.
        self.take_reference();
        match captured {
            Captured::Samples { lost } => {
                self.missing += lost;
                self.resampler.push(&self.device, &mut self.mono);
                let before = into.len();
                self.cancel(into);
                if into.len() == before {
                    return Ok(Captured::Nothing);
                }
                let rate = u64::from(self.resampler.from().rate.max(1));
                let told = self.missing * u64::from(SAMPLE_RATE) / rate;
                self.missing -= told * rate / u64::from(SAMPLE_RATE);
                Ok(Captured::Samples { lost: told })
            }
            Captured::Nothing => Ok(Captured::Nothing),
            Captured::Reformatted => {
                self.resampler =
                    Resampler::new(self.inner.format(), SAMPLE_RATE).map_err(|error| {
                        CaptureError::Unusable {
                            name: "microphone".to_owned(),
                            reason: error.to_string(),
                        }
                    })?;
                self.mono.clear();
                self.missing = 0;
                self.canceller.forget();
                Ok(Captured::Reformatted)
            }
            Captured::Ended => Ok(Captured::Ended),
        }
    }
}
