//! Real devices through a private PulseAudio: what cpal captures, what it plays, and how both end.
//!
//! Every test has a sound card of its own, made of software in a temporary folder ([`rig::Rig`]), and takes it down again.
//! cpal finds the server by the environment, which belongs to the whole process, so the tests run one after the other.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod barge_in;
mod capture;
#[path = "../realtime/contract.rs"]
mod contract;
mod conversation;
mod devices;
mod loss;
mod playback;
mod rig;
mod room;
#[allow(dead_code, reason = "the daemon's tests use the rest of it")]
#[path = "../daemon/server.rs"]
mod server;
mod tone;

mod support {
    //! What the scripted model shares with the daemon's tests.
    /// The longest that a request may take.
    pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
}
