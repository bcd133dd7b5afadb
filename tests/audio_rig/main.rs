//! Real devices through a private PulseAudio: what cpal captures, what it plays, and how both end.
//!
//! Every test has a sound card of its own, made of software in a temporary folder ([`rig::Rig`]), and takes it down again.
//! cpal finds the server by the environment, which belongs to the whole process, so the tests run one after the other.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod capture;
#[path = "../realtime/contract.rs"]
mod contract;
mod conversation;
mod loss;
mod playback;
mod rig;
mod tone;
