//! The values that pass between the parts, from a frame of sound to the record of a turn.
//!
//! Core: plain data, no behaviour beyond arithmetic on itself. Whoever makes or consumes each value is named on it.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{ChunkSeq, Revision, TurnId};
use crate::private::Private;
use crate::time::{FRAME_SAMPLES, SamplePos, Span};

/// 32 ms of mono audio at 16 kHz, made by the listening thread from device samples; it never leaves that thread.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Position of the first sample.
    pub at: SamplePos,
    /// Amplitudes in −1..1.
    pub samples: [f32; FRAME_SAMPLES],
}

/// One stretch of speech with the pre-roll before it, made by the segmenter and consumed by the transcriber.
#[derive(Clone)]
pub struct Utterance {
    /// The whole stretch, pre-roll and trailing silence included: `samples` lie exactly here.
    pub span: Span,
    /// The voiced part alone, from the first to the last frame that was taken for speech.
    pub speech: Span,
    /// Amplitudes in −1..1, mono, 16 kHz.
    pub samples: Arc<[f32]>,
    /// Samples that the device lost inside the span (overruns); they were filled with silence.
    pub lost: u32,
    /// Where it sounded most like the wake phrase; `None` where no wake model listens.
    pub wake: Option<WakeScore>,
}

/// How much a stretch of sound is like the wake phrase; made by a wake model, judged by the dialogue.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WakeScore {
    /// 0..1; what it means stands in the model's own table.
    pub score: f32,
    /// End of the frame with this score: the phrase ended shortly before.
    pub at: SamplePos,
}

impl std::fmt::Debug for Utterance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Utterance")
            .field("span", &self.span)
            .field("speech", &self.speech)
            .field("lost", &self.lost)
            .field("wake", &self.wake)
            .finish()
    }
}

/// What was understood of an utterance; made by the transcriber, consumed by the dialogue and the store.
#[derive(Debug, Clone, PartialEq)]
pub struct Transcript {
    /// The turn whose utterance this is.
    pub turn: TurnId,
    /// The state of that utterance.
    pub revision: Revision,
    /// The words; empty when there were none (noise, silence, a guard that refused them).
    pub text: Private<String>,
    /// ISO 639-1 code of the language.
    pub language: String,
    /// Mean probability of the text tokens, 0..1.
    pub confidence: f32,
    /// How long the transcriber worked.
    pub elapsed: Duration,
}

/// One clause of a reply, ready to be said; made by the agent, consumed by the dialogue and the speaking thread.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplyChunk {
    /// The turn that it answers.
    pub turn: TurnId,
    /// Its place in the reply.
    pub seq: ChunkSeq,
    /// What is said: no markup, emoji, address or code.
    pub text: Private<String>,
    /// ISO 639-1 code of the words; `None` for Hark's own sentences, which the voice of the settings says.
    pub language: Option<Arc<str>>,
}

/// How much of a clause left the loudspeaker.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// To its end.
    Whole,
    /// The speaker was hushed within it: the share of its samples that had been played, 0..1.
    Cut(f32),
}

/// What the user heard of one clause; made by the speaking thread, consumed by the dialogue.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Heard {
    /// The turn.
    pub turn: TurnId,
    /// The clause.
    pub seq: ChunkSeq,
    /// How much of it.
    pub extent: Extent,
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Answered, and the answer was heard to its end.
    Completed,
    /// The user spoke into the answer; only a part was heard.
    Interrupted,
    /// The user took it back before there was an answer ("never mind", a new question while it was thinking).
    Cancelled,
    /// Something failed: backend, voice, time limit. What was said about it is in the reply.
    Failed,
    /// The daemon was stopped before the answer ended.
    ShutDown,
}

/// Whether a reply that was begun before the turn was decided could be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speculation {
    /// Its transcript was the final one: the reply that had been begun was used.
    Hit,
    /// More speech came; it was discarded.
    Miss,
    /// There was none.
    #[default]
    None,
}

/// Where the time of a turn went: milliseconds from the end of the user's speech, `None` where it did not happen.
///
/// The keys are a contract with scripts (`CLI`): add, never rename. A value can be negative where work began before the
/// speech had ended.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Receipt {
    /// The decision that the turn had ended.
    pub endpoint_ms: Option<i64>,
    /// The final transcript.
    pub transcript_ms: Option<i64>,
    /// The request left for the model.
    pub llm_request_ms: Option<i64>,
    /// The first content from the model.
    pub first_token_ms: Option<i64>,
    /// The first speakable clause.
    pub first_clause_ms: Option<i64>,
    /// The first synthesised sample.
    pub first_sample_ms: Option<i64>,
    /// The first sample played: this is voice-to-voice.
    pub first_audio_ms: Option<i64>,
    /// Tokens of the prompt, as the backend counted them.
    pub prompt_tokens: Option<u32>,
    /// Tokens of the prompt that its cache already held.
    pub cached_tokens: Option<u32>,
    /// Whether the model's cache of the prompt was used: `reused`, or why not (`cold_start`, `swap`, `prompt_changed`,
    /// `history_cut`, `other_client`, `evicted`).
    #[serde(default)]
    pub prefix: Option<String>,
    /// Whether a reply begun early was used.
    pub speculation: Speculation,
    /// The model that answered; for a local intent the intent's name.
    pub model: Option<String>,
    /// The backend that answered, or `intents`.
    pub backend: Option<String>,
}

/// What a tool did within a turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolUse {
    /// The tool's name.
    pub name: String,
    /// `ok`, or the kind of failure.
    pub outcome: String,
}

/// The record of one exchange: exactly one for each turn that was asked; made by the dialogue, consumed by the store.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// Its id within this run.
    pub id: TurnId,
    /// Where in the captured audio the question lies.
    pub span: Span,
    /// What was understood.
    pub asked: Private<String>,
    /// ISO 639-1 code of the question's language.
    pub language: String,
    /// Confidence of the transcript, 0..1.
    pub confidence: f32,
    /// The whole reply, as far as it had been made.
    pub replied: Private<String>,
    /// The part of the reply that left the loudspeaker.
    pub heard: Private<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// What went wrong, if something did: a kind, never words of the user.
    pub failure: Option<String>,
    /// The tools that were used, in order.
    pub tools: Vec<ToolUse>,
    /// Where the time went.
    pub receipt: Receipt,
}
