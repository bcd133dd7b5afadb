//! Builds the parts from the settings: each function opens one edge and says in its error what to do when it cannot.

mod clip;
mod hold;
mod log;
pub mod memory;
mod model;
mod notebook;
mod sound;

pub use clip::{QUESTION, QUESTION_WORDS, question_for_transcriber};
pub use hold::Hold;
pub use log::{StoreHandle, keep_one, last_turns, store};
pub use memory::speech_memory;
pub use model::{
    WakeWord, backend, is_starter, library, lighter_speech_model, llm_settings, speech_loader,
    speech_model, transcriber, wake_word, whisper,
};
pub use notebook::notebook;
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
