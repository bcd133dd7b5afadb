//! The command line.

pub mod models;
pub mod transcribe;
