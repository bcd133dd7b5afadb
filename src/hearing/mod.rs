//! From device samples to utterances: voice activity, segmentation, and the thread that runs them.
//!
//! [`level`] and [`segment`] are core (frames and probabilities in, utterances out, counted in samples); the rest is edge.

pub mod control;
pub mod framer;
pub mod level;
pub mod listen;
pub mod segment;
mod silence;
pub mod stretches;
pub mod vad;
pub mod wake;

/// What the listening thread asks about each frame: always whether it is speech, and where there is a model for the wake
/// phrase, how much it sounds like that.
pub struct Detectors {
    vad: Box<dyn Vad>,
    wake: Option<Box<dyn WakeDetector>>,
}

impl Detectors {
    /// With a wake model.
    #[must_use]
    pub fn with_wake(mut self, wake: Option<Box<dyn WakeDetector>>) -> Self {
        self.wake = wake;
        self
    }

    /// Everything heard so far no longer belongs to what comes.
    fn reset(&mut self) {
        self.vad.reset();
        if let Some(wake) = &mut self.wake {
            wake.reset();
        }
    }
}

impl From<Box<dyn Vad>> for Detectors {
    fn from(vad: Box<dyn Vad>) -> Self {
        Self { vad, wake: None }
    }
}

impl<V: Vad + 'static> From<Box<V>> for Detectors {
    fn from(vad: Box<V>) -> Self {
        Self { vad, wake: None }
    }
}

/// Tells how likely a frame holds speech. No decision is made here: thresholds and durations are the segmenter's.
pub trait Vad: Send {
    /// Probability of speech in the next 512 samples (16 kHz mono), 0..1. Frames must be given in order: the model keeps
    /// a state from frame to frame.
    fn probability(&mut self, samples: &[f32; crate::time::FRAME_SAMPLES]) -> f32;

    /// Forgets everything heard so far (a new device, a gap).
    fn reset(&mut self);
}

/// Tells how much the sound up to now is that of one phrase just said. No decision is made here: what a score means is the
/// dialogue's, and where the values lie stands in the model's own table.
pub trait WakeDetector: Send {
    /// The score after the next 512 samples (16 kHz mono), 0..1, or `None` where there is nothing new to say: scores come
    /// every few frames, and none while nobody speaks (`voice` is the voice detector's probability of speech in these samples).
    /// It rises when the phrase ends and falls within half a second. Frames must be given in order: the detector keeps a
    /// memory from frame to frame.
    fn score(&mut self, samples: &[f32; crate::time::FRAME_SAMPLES], voice: f32) -> Option<f32>;

    /// Forgets everything heard so far (a new device, a gap).
    fn reset(&mut self);
}
