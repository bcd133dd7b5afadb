//! The LLM backends: against captured bytes cut everywhere, a hostile loopback server, an Ollama look-alike, and the real
//! mlx_lm.server with a scripted model.
#![allow(clippy::unwrap_used, missing_docs)]

mod agent;
mod captures;
mod contract;
mod detection;
mod dialects;
mod hostile;
mod lookalike;
mod mlx;
mod support;
