//! The whole daemon on real parts: voice activity, Whisper, dialogue, intents or a language model, espeak-ng, the
//! transcript log; a sound file as microphone and a WAV as loudspeaker. Needs espeak-ng and a speech model (see `support`).

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod agreement;
mod alarms;
mod change;
mod conversation;
mod held;
mod hotkey;
mod keeping;
mod model;
mod outages;
mod privacy;
mod process;
mod reload;
mod remote;
mod resident;
mod server;
mod support;
mod welcome;
