//! The command line.

pub mod config;
pub mod console;
pub mod transcripts;
