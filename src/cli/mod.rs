//! The command line.

pub mod config;
pub mod console;
pub mod models;
pub mod transcribe;
pub mod transcripts;
