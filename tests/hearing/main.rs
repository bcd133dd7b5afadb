//! From samples to utterances: the segmenter alone, and the whole listening loop over real speech with the real model.

mod clips;
mod listening;
mod segments;
mod voice;
