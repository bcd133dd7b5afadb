//! The agent's loop with a scripted backend and scripted tools, on paused time.
#![allow(clippy::unwrap_used, missing_docs)]

mod ahead;
mod calls;
mod consent;
mod conversation;
mod engine;
mod injection;
mod memory;
mod scripted;
mod silence;
mod tools;
