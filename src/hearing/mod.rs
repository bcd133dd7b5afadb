//! From device samples to utterances: voice activity, segmentation, and the thread that runs them.
//!
//! [`segment`] is core (frames and probabilities in, utterances out, counted in samples); the rest is edge.

pub mod control;
pub mod framer;
pub mod listen;
pub mod segment;
mod silence;
pub mod vad;

/// Tells how likely a frame holds speech. No decision is made here: thresholds and durations are the segmenter's.
pub trait Vad: Send {
    /// Probability of speech in the next 512 samples (16 kHz mono), 0..1. Frames must be given in order: the model keeps
    /// a state from frame to frame.
    fn probability(&mut self, samples: &[f32; crate::time::FRAME_SAMPLES]) -> f32;

    /// Forgets everything heard so far (a new device, a gap).
    fn reset(&mut self);
}
