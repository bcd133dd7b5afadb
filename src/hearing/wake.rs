//! The acoustic wake word: a small network that scores each frame for one phrase.
//!
//! Owned by the listening thread, which gives it every frame in order. The model is one that `models/train/wake` made (an
//! ONNX file); `rten` runs it, four frames at a time, its memory of the past going in and out as tensors. Nothing is run
//! while nobody speaks: then only the features are made, which allocate nothing. A run costs the runtime some 50 small
//! allocations (it has no other interface) and no lock. No decision is made here: what a score means is the dialogue's.

mod frontend;

use std::collections::VecDeque;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rten::{Dimension, Model, NodeId, RunOptions, ThreadPool, Value, ValueOrView};
use rten_tensor::{AsView, Layout as _, NdTensor};

use super::WakeDetector;
use crate::time::FRAME_SAMPLES;
pub use frontend::{BANDS, FEATURES, Frontend};

/// The wake model cannot be used: train or install it again, or go without (the transcript alone then finds the phrase).
#[derive(Debug, thiserror::Error)]
#[error("the wake model {} cannot be used: {reason}", .path.display())]
pub struct WakeError {
    /// Its file.
    path: PathBuf,
    /// What is wrong with it.
    reason: String,
}

/// Features that the model looks back on when somebody begins to speak: half a second before that.
const LOOKBACK: usize = 16 * FEATURES;

/// Frames that are run at once. The runtime's own work for a run costs more than the multiplications of one frame; 128 ms
/// later is early enough, because what was called is asked only when the utterance is over.
const FRAMES_AT_ONCE: usize = 4;

/// Probability of speech from which the model listens. Far below what begins an utterance, so that it hears every one whole.
const VOICE: f32 = 0.1;

/// Frames without a voice after which it sleeps: a second, in which every phrase is over that it could still ring for.
const AWAKE: u32 = 31;

/// A trained wake word with what it remembers from frame to frame.
pub struct WakeModel {
    frontend: Frontend,
    model: Model,
    features: NodeId,
    /// What each convolution remembers: its input, and how it looks before anything was heard.
    pasts: Vec<(NodeId, [usize; 3])>,
    /// The score, then what to remember, in the order of `pasts`.
    outputs: Vec<NodeId>,
    memory: Vec<Value>,
    /// The newest features, `fresh` of which the model has not seen.
    heard: VecDeque<[f32; BANDS]>,
    fresh: usize,
    /// Frames until it falls asleep; 0: it sleeps.
    awake: u32,
    /// One thread: the work is 0.11 million multiplications a frame, less than waking a second one.
    options: RunOptions,
}

impl WakeModel {
    /// Reads a model and runs it once, so that one that does not fit is refused here.
    ///
    /// # Errors
    /// The file is missing, damaged, or not a wake model.
    pub fn load(path: &Path) -> Result<Self, WakeError> {
        let refused = |reason: String| WakeError {
            path: path.to_owned(),
            reason,
        };
        let bytes = std::fs::read(path).map_err(|error| refused(error.to_string()))?;
        let model = Model::load(bytes).map_err(|error| refused(error.to_string()))?;
        let mut loaded = Self::with(model).map_err(&refused)?;
        loaded.heard.extend([[0.0; BANDS]; FEATURES]);
        loaded.fresh = FEATURES;
        loaded
            .run()
            .map_err(|error| refused(format!("it does not run: {error}")))?;
        loaded.reset();
        Ok(loaded)
    }

    /// The best score in a recording of somebody speaking, as the daemon would hear it. The model is as after
    /// [`WakeDetector::reset`] then.
    pub fn best_score(&mut self, samples: &[f32]) -> f32 {
        self.reset();
        let mut best = 0.0_f32;
        let (frames, _) = samples.as_chunks::<FRAME_SAMPLES>();
        for frame in frames {
            best = best.max(self.score(frame, 1.0).unwrap_or(0.0));
        }
        // Silence, until the last sound has gone through.
        for _ in 0..2 * FRAMES_AT_ONCE {
            let score = self.score(&[0.0; FRAME_SAMPLES], 1.0);
            best = best.max(score.unwrap_or(0.0));
        }
        self.reset();
        best
    }

    fn with(model: Model) -> Result<Self, String> {
        let node = |name: &str| {
            model
                .node_id(name)
                .map_err(|_| format!("it has no \"{name}\"; it is no wake model"))
        };
        let features = node("features")?;
        let mut outputs = vec![node("score")?];
        let mut pasts = Vec::new();
        while let Some(id) = model.find_node(&format!("past{}", pasts.len())) {
            outputs.push(node(&format!("next{}", pasts.len()))?);
            let shape = model.node_info(id).and_then(|info| info.shape());
            pasts.push((id, fixed(shape).ok_or("a memory of unknown size")?));
        }
        let pool = Arc::new(ThreadPool::with_num_threads(1));
        let options = RunOptions::default().with_thread_pool(Some(pool));
        let mut loaded = Self {
            frontend: Frontend::new(),
            model,
            features,
            pasts,
            outputs,
            memory: Vec::new(),
            heard: VecDeque::with_capacity(LOOKBACK + FRAMES_AT_ONCE * FEATURES),
            fresh: 0,
            awake: 0,
            options,
        };
        loaded.reset();
        Ok(loaded)
    }

    /// The fresh features through the network; the best score of the newest [`FRAMES_AT_ONCE`] frames.
    fn run(&mut self) -> Result<f32, String> {
        let from = self.heard.len() - self.fresh;
        let fresh = [1, BANDS, self.fresh];
        let input = NdTensor::from_fn(fresh, |[_, band, at]| self.heard[from + at][band]);
        self.fresh = 0;
        let mut inputs: Vec<(NodeId, ValueOrView<'_>)> = Vec::with_capacity(1 + self.pasts.len());
        inputs.push((self.features, input.into()));
        let memory = self.memory.drain(..);
        inputs.extend(
            self.pasts
                .iter()
                .zip(memory)
                .map(|((id, _), past)| (*id, past.into())),
        );
        let mut answer = self
            .model
            .run(inputs, &self.outputs, Some(self.options.clone()))
            .map_err(|error| error.to_string())?
            .into_iter();
        let scores = answer.next().ok_or("no score")?;
        self.memory.extend(answer);
        let scores = NdTensor::<f32, 3>::try_from(scores).map_err(|error| error.to_string())?;
        let skipped = scores.len().saturating_sub(FRAMES_AT_ONCE);
        Ok(scores.iter().skip(skipped).copied().fold(0.0, f32::max))
    }

    /// Begins to listen: what it knew is old, but the start of the word that woke it lies in the last half second.
    fn wake_up(&mut self) {
        self.clear_memory();
        self.fresh = self.heard.len();
    }

    fn clear_memory(&mut self) {
        self.memory.clear();
        self.memory.extend(
            self.pasts
                .iter()
                .map(|(_, shape)| Value::from(NdTensor::<f32, 3>::zeros(*shape))),
        );
    }
}

/// The sizes of a tensor of three dimensions, all of them known.
fn fixed(shape: Option<Vec<Dimension>>) -> Option<[usize; 3]> {
    let sizes: Vec<usize> = shape?
        .iter()
        .map_while(|size| match size {
            Dimension::Fixed(size) => Some(*size),
            Dimension::Symbolic(_) => None,
        })
        .collect();
    sizes.try_into().ok()
}

impl WakeDetector for WakeModel {
    fn score(&mut self, samples: &[f32; FRAME_SAMPLES], voice: f32) -> Option<f32> {
        // One sample that is no number would stay in the memory for good.
        if !samples.iter().all(|sample| sample.is_finite()) {
            self.reset();
            return None;
        }
        self.heard.extend(self.frontend.push(samples));
        self.fresh += FEATURES;
        if voice >= VOICE {
            if self.awake == 0 {
                self.wake_up();
            }
            self.awake = AWAKE;
        }
        let score = if self.awake > 0 && self.fresh >= FRAMES_AT_ONCE * FEATURES {
            let score = self.run();
            Some(score.expect("inputs of the same kind ran when it was loaded"))
        } else {
            None
        };
        self.awake = self.awake.saturating_sub(1);
        let spare = self.heard.len().saturating_sub(LOOKBACK);
        self.heard.drain(..spare);
        self.fresh = self.fresh.min(self.heard.len());
        score
    }

    fn reset(&mut self) {
        self.frontend.reset();
        self.clear_memory();
        self.heard.clear();
        self.fresh = 0;
        self.awake = 0;
    }
}

impl fmt::Debug for WakeModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WakeModel")
            .field("pasts", &self.pasts.len())
            .finish_non_exhaustive()
    }
}
