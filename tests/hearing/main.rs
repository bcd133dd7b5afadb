//! From samples to utterances: the segmenter alone, and the whole listening loop over real speech with the real model.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod clips;
mod driver;
mod held;
mod listening;
mod segments;
mod stretches;
mod voice;
mod waking;
