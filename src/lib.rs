//! Hark: a voice-first local assistant.

pub mod agent;
pub mod audio;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod dialogue;
pub mod flow;
pub mod hearing;
pub mod ids;
pub mod llm;
pub mod models;
pub mod platform;
pub mod private;
pub mod speak;
pub mod time;
pub mod transcribe;
pub mod transcripts;
