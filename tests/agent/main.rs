//! The agent's model loop with a scripted backend, on paused time.
#![allow(clippy::unwrap_used, missing_docs)]

mod engine;
mod scripted;
