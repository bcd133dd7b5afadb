//! The control socket: how commands and scripts talk to a running daemon.
//!
//! HTTP/1.1 with JSON over a unix socket, so that `curl --unix-socket` works; every path begins with the version, `/v1/`.
//! [`socket`] finds, takes and protects the socket; [`server`] runs on the daemon's runtime and hands each request to the
//! conductor as a [`Call`]; [`hub`] spreads the event stream, with a bounded queue for each client; [`client`] is what the
//! verbs use. Who the conductor is, and what a call does, is left to the wiring.
//!
//! Promises: only the user (and root) is listened to; no client, however slow or hostile, can make the daemon wait; a
//! daemon that hangs or is gone costs a client at most [`client::PATIENCE`].
//!
//! | request | body | answer |
//! |---|---|---|
//! | `GET /v1/status` | | [`Status`] |
//! | `POST /v1/mute`, `POST /v1/unmute` | | `{"muted"}` |
//! | `POST /v1/off-record` | `{"on": true}` | `{"off_record"}` |
//! | `POST /v1/ptt` | `{"action": "press"}`, `release`, `toggle` | `{"ptt"}` |
//! | `POST /v1/stop` | | `{"stopped": true}` |
//! | `POST /v1/config/reload` | | `{"applied": [], "restart": []}` |
//! | `POST /v1/backend` | `{"use": "mlx"}`, `{"use": "ollama"}`, `{"use": null}` | `{"change": N}`: the number of the change, whose end [`Status::change`] tells |
//! | `GET /v1/events` | | JSON Lines until the daemon ends |
//!
//! Anything else is answered with `{"error": {"kind", "message", "next"}}`.

pub mod client;
pub mod hub;
pub mod server;
pub mod socket;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::dialogue::Key;
use crate::gateway::residency::Kind;

/// What a client wants of the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// What it is doing.
    Status,
    /// Close the ear (`true`) or open it.
    Mute(bool),
    /// Write nothing of what is said (`true`), or go on writing.
    OffRecord(bool),
    /// The push-to-talk key.
    Key(Key),
    /// Be silent now.
    Stop,
    /// Read the settings again.
    Reload,
    /// Make this backend the resident one, or none. Whoever asks has the user's consent.
    Backend(Option<Kind>),
}

/// A command with the way back for its answer.
#[derive(Debug)]
pub struct Call {
    /// What is wanted.
    pub command: Command,
    /// Where the answer goes; a client that has gone away does not matter.
    pub reply: oneshot::Sender<Result<Answer, Refused>>,
}

/// What a command did.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// What the daemon is doing.
    Status(Box<Status>),
    /// Whether the ear is closed now.
    Muted {
        /// Whether it is.
        muted: bool,
    },
    /// Whether nothing is written now.
    OffRecord {
        /// Whether that is so.
        off_record: bool,
    },
    /// The key was passed on.
    Key {
        /// `press`, `release` or `toggle`.
        ptt: &'static str,
    },
    /// The settings were read again.
    Settings {
        /// Names of those that changed and take effect now.
        applied: Vec<String>,
        /// Names of those that changed since the start and need a restart.
        restart: Vec<String>,
    },
    /// It is silent.
    Stopped {
        /// Always true.
        stopped: bool,
    },
    /// The change of the backend has begun.
    Changing {
        /// Its number.
        change: u64,
    },
}

/// Why the daemon does not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// For scripts.
    pub kind: String,
    /// What is in the way.
    pub message: String,
    /// What to do next.
    pub next: String,
}

/// What the daemon is doing. The keys are a contract: add, never rename.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// `starting`, `idle`, `listening`, `hearing`, `transcribing`, `answering`, `speaking`, `muted`, `input_lost`.
    pub state: String,
    /// Since when, RFC 3339.
    pub since: String,
    /// The microphone or file.
    pub input: String,
    /// The loudspeaker or file.
    pub output: String,
    /// The speech model.
    pub stt_model: String,
    /// What answers; `None` where no backend is known.
    pub backend: Option<BackendStatus>,
    /// Memory.
    pub memory: MemoryStatus,
    /// The prefix of the model's cache; `None` where no model is kept.
    #[serde(default)]
    pub prefix: Option<PrefixStatus>,
    /// Echo cancellation.
    #[serde(default)]
    pub echo: EchoStatus,
    /// The last change of the backend that was asked for here.
    #[serde(default)]
    pub change: Option<ChangeStatus>,
    /// Whether the ear is closed until it is unmuted.
    pub muted: bool,
    /// Whether nothing of what is said is written.
    pub off_record: bool,
    /// Seconds since the start.
    pub uptime_s: u64,
    /// Turns since the start.
    pub turns: u64,
    /// What starts a turn.
    pub wake: WakeStatus,
    /// Hark's version.
    pub version: String,
    /// The daemon's process.
    pub pid: u32,
}

/// The backend in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendStatus {
    /// Its kind: `ollama`, `mlx`, `openai`.
    pub name: String,
    /// The model, where it is known.
    pub model: Option<String>,
    /// Memory that it holds, where that is known.
    pub resident_bytes: Option<u64>,
}

/// Memory, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MemoryStatus {
    /// Of the machine.
    pub total_bytes: Option<u64>,
    /// Held by the daemon itself, speech model included.
    pub daemon_bytes: Option<u64>,
    /// That could be had without swapping.
    #[serde(default)]
    pub available_bytes: Option<u64>,
    /// `normal`, `warning` or `critical`, where the system tells.
    #[serde(default)]
    pub pressure: Option<String>,
    /// What is given up for want of memory, the first step first: `drop_prompt_caches`, `refuse_background`,
    /// `smaller_whisper`, `unload_llm`.
    #[serde(default)]
    pub given_up: Vec<String>,
    /// What the plan of this machine gives the models of the settings (`hark plan` has its terms).
    #[serde(default)]
    pub planned_bytes: Option<u64>,
    /// Whether that fits.
    #[serde(default)]
    pub fits: Option<bool>,
    /// What a backend that was not started would have needed.
    #[serde(default)]
    pub short_of_bytes: Option<u64>,
}

/// How often the model's cache held what a turn began with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PrefixStatus {
    /// Turns that found it.
    pub reused: u32,
    /// Turns that did not.
    pub missed: u32,
    /// The same by cause: `cold_start`, `swap`, `prompt_changed`, `history_cut`, `other_client`, `evicted`.
    pub misses: BTreeMap<String, u32>,
    /// The cause of the last one.
    pub last_miss: Option<String>,
}

/// A change of the backend.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ChangeStatus {
    /// Its number, from 1.
    pub number: u64,
    /// How it ended; `None` while it is under way.
    pub ended: Option<ChangeEnd>,
}

/// How a change of the backend ended.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ChangeEnd {
    /// What serves now, warm; `None` where nothing does.
    pub serving: Option<String>,
    /// What went wrong, with the next step.
    pub trouble: Option<String>,
    /// Milliseconds until the memory of the one before was back.
    pub unload_ms: f64,
    /// Until the first token.
    pub load_ms: f64,
    /// For the static prompt.
    pub warm_ms: f64,
    /// All together, without the time in which requests were let end.
    pub total_ms: f64,
    /// Of that, what is Hark's own.
    pub overhead_ms: f64,
}

/// How the canceller of our own voice fares.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct EchoStatus {
    /// `off`, `learning`, `converged`, `inaudible` (the microphone does not hear the loudspeaker) or `not_converged`.
    pub state: String,
    /// Decibels of our own voice that were taken out of the microphone.
    pub removed_db: f32,
    /// From the loudspeaker to the microphone, as estimated.
    pub delay_ms: u32,
}

/// What starts a turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WakeStatus {
    /// The wake phrase; `None` where it is switched off.
    pub phrase: Option<String>,
    /// The global push-to-talk key and how it is: `ctrl+alt+space`, or why there is none.
    pub hotkey: HotkeyStatus,
}

/// The global push-to-talk key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HotkeyStatus {
    /// As in the settings; `None` where it is switched off.
    pub key: Option<String>,
    /// Whether pressing it reaches the daemon.
    pub works: bool,
    /// Why not, with what to do.
    pub problem: Option<String>,
}

/// The name of a key's action in requests, answers and events.
#[must_use]
pub const fn key_name(key: Key) -> &'static str {
    match key {
        Key::Press => "press",
        Key::Release => "release",
        Key::Toggle => "toggle",
    }
}
