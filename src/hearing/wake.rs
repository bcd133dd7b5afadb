//! The acoustic wake word: a small network that scores each frame for one phrase.
//!
//! Owned by the listening thread, which gives it every frame in order. The model is one that `models/train/wake` made (an
//! ONNX file); it is run frame by frame by `rten`, its memory of the past going in and out as tensors. A frame costs
//! the runtime some 40 small allocations (it has no other interface) and no lock; the features allocate nothing. No decision
//! is made here: what a score means is the dialogue's.

mod frontend;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rten::{Dimension, Model, NodeId, RunOptions, ThreadPool, Value, ValueOrView};
use rten_tensor::{AsView, NdTensor};

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
    /// One thread: the work is 0.06 million multiplications, less than waking a second one.
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
        loaded
            .run(&[[0.0; BANDS]; FEATURES])
            .map_err(|error| refused(format!("it does not run: {error}")))?;
        loaded.reset();
        Ok(loaded)
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
            options,
        };
        loaded.reset();
        Ok(loaded)
    }

    /// One frame's features through the network.
    fn run(&mut self, features: &[[f32; BANDS]; FEATURES]) -> Result<f32, String> {
        let input = NdTensor::from_fn([1, BANDS, FEATURES], |[_, band, at]| features[at][band]);
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
        let score = answer.next().ok_or("no score")?;
        self.memory.extend(answer);
        let score = NdTensor::<f32, 3>::try_from(score).map_err(|error| error.to_string())?;
        score
            .iter()
            .next()
            .copied()
            .ok_or("an empty score".to_owned())
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
    fn score(&mut self, samples: &[f32; FRAME_SAMPLES]) -> f32 {
        // One sample that is no number would stay in the memory for good.
        if !samples.iter().all(|sample| sample.is_finite()) {
            self.reset();
            return 0.0;
        }
        let features = *self.frontend.push(samples);
        self.run(&features)
            .expect("inputs of the same shapes ran when it was loaded")
    }

    fn reset(&mut self) {
        self.frontend.reset();
        self.memory.clear();
        self.memory.extend(
            self.pasts
                .iter()
                .map(|(_, shape)| Value::from(NdTensor::<f32, 3>::zeros(*shape))),
        );
    }
}

impl fmt::Debug for WakeModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WakeModel")
            .field("pasts", &self.pasts.len())
            .finish_non_exhaustive()
    }
}
