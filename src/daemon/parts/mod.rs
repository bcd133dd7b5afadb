//! Builds the parts from the settings: each function opens one edge and says in its error what to do when it cannot.

mod clip;
mod log;
mod model;
mod sound;

use crate::cli::failure::Failure;
use crate::config::Config;
use crate::config::resolved::{Engine, Manage};

pub use clip::{QUESTION, QUESTION_WORDS, question_for_transcriber};
pub use log::{StoreHandle, keep_one, store};
pub use model::{
    backend, is_starter, library, llm_settings, speech_memory, speech_model, transcriber, whisper,
};
pub use sound::{
    Source, Speaker, SpeakerHandle, SpeechWriter, decode_bytes, ear, ear_with, has_loudspeaker,
    has_microphone, sink, source, speaker, voice, wanted,
};

/// Events of an agent that may wait for whoever shows them.
pub const AGENT_EVENTS: usize = 64;

/// What the parts are called, for people and events.
#[derive(Debug, Clone)]
pub struct Names {
    /// The microphone or file.
    pub input: String,
    /// The loudspeaker or file.
    pub output: String,
    /// The speech model.
    pub model: String,
    /// The wake phrase.
    pub phrase: String,
}

/// Settings that differ from their defaults and have no effect yet, in words.
///
/// # Errors
/// A setting that would change who answers: going on without it would be a lie.
pub fn without_effect(config: &Config) -> anyhow::Result<Vec<&'static str>> {
    if let Engine::OpenClaw { .. } = config.agent {
        let next = "set agent.engine = \"builtin\" until this version of Hark can hand over to it";
        return Err(
            Failure::usage("agent.engine = \"openclaw\" is not supported yet", next).into(),
        );
    }
    let set = [
        (
            config.wake.threshold.is_some(),
            "wake.threshold (there is no acoustic wake word yet)",
        ),
        (
            config.transcripts.keep_audio,
            "transcripts.keep_audio (sound is never stored yet)",
        ),
        (
            config.memory.os_reserve.is_some(),
            "memory.os_reserve (there is no memory plan yet)",
        ),
        (
            config.memory.voice_reserve.is_some(),
            "memory.voice_reserve (there is no memory plan yet)",
        ),
        (
            config.llm.manage == Manage::Yes,
            "llm.manage (Hark does not start servers yet)",
        ),
    ];
    Ok(set
        .into_iter()
        .filter_map(|(set, name)| set.then_some(name))
        .collect())
}
