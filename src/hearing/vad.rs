//! The Silero voice-activity model.
//!
//! Owned by the listening thread, which gives it every frame in order: the recurrent state makes one stretch of audio. The
//! weights (MIT licence) are compiled in, so nothing is downloaded and nothing can be missing. Against the authors' ONNX model,
//! 5,619 frames of 31 recordings differed by at most 3.3e-5, and a frame took 0.12–0.25 ms (2 busy cores). It makes no
//! decision; thresholds and durations are the segmenter's.

use std::fmt;

use super::Vad;
use crate::time::FRAME_SAMPLES;

/// The model could not be set up: the process has no memory left. Free some and start again.
#[derive(Debug, thiserror::Error)]
#[error("the voice-activity model cannot be created: {reason}")]
pub struct VadError {
    /// What the model said.
    reason: String,
}

/// Silero VAD v6 with its state from frame to frame; 32 ms a frame.
pub struct SileroVad(silero_vad_crs::SileroVad);

// SAFETY: the native model is one heap allocation that this value owns alone; its code keeps no thread-local and no
// mutable global state (its only statics are constant weights), and every call goes through `&mut self`. So it may be used
// from another thread than the one that made it, by one thread at a time, which is what `Send` promises. It is not `Sync`.
unsafe impl Send for SileroVad {}

impl SileroVad {
    /// Creates the model with empty state.
    ///
    /// # Errors
    /// [`VadError`] when it cannot be allocated.
    pub fn new() -> Result<Self, VadError> {
        silero_vad_crs::SileroVad::new()
            .map(Self)
            .map_err(|error| VadError {
                reason: error.to_string(),
            })
    }
}

impl Vad for SileroVad {
    fn probability(&mut self, samples: &[f32; FRAME_SAMPLES]) -> f32 {
        // One sample that is no number would poison the recurrent state for good.
        if !samples.iter().all(|sample| sample.is_finite()) {
            self.reset();
            return 0.0;
        }
        self.0
            .forward_chunk(samples)
            .expect("the model takes frames of exactly this length")
    }

    fn reset(&mut self) {
        self.0.reset();
    }
}

impl fmt::Debug for SileroVad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SileroVad").finish_non_exhaustive()
    }
}
