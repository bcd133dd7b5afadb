//! The conversation on simulated time: scenarios that read as stories, and properties over random histories.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod barge_in;
mod dismissals;
mod properties;
mod push_to_talk;
mod scenarios;
mod speculation;
mod waking;
mod world;
