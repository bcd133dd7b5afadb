//! The `hark` program as users and scripts meet it: exit codes, messages, JSON shapes, help. The environment is empty but
//! for `PATH` and what a test sets. Needs espeak-ng and a speech model (see `support`).

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod answering;
mod bench;
mod demo;
mod general;
mod listening;
mod models;
mod plan;
mod snapshots;
mod support;
mod terminal;
mod tools;
mod transcripts;
