//! Hark as a service: the files, the plans, and both service managers.
//!
//! launchd is a model here (`launchd.rs`, its asynchronous end and code 5 as observed); systemd is the real one, in a
//! namespace of its own, where this machine lets us run it.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod app;
mod binary;
mod files;
mod launchd;
mod real_systemd;
mod sample;
