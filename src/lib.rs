//! Hark: a voice-first local assistant. This library is what the `hark` command is made of.
//!
//! # How a question becomes an answer
//!
//! ```text
//!  device ──▶ ring ──▶ [listen]                                     [conductor]
//!            2 s        Framer → Vad → Segmenter ──EarEvent──▶  Dialogue::handle(now, event) -> effects
//!                                                                   │  ▲  │  ▲  │  ▲        │
//!                                                   Transcribe ─────┘  │  │  │  │  │        └─▶ [store] one record a turn
//!                                                   [whisper] ─────────┘  │  │  │  │
//!                                                   Ask ──────────────────┘  │  │  │
//!                                                   [agent task] intents,    │  │  │
//!                                                   model → clauses ─────────┘  │  │
//!                                                   Say, Hush ──────────────────┘  │
//!  device ◀── ring ◀── [speak] ◀── [speak-voice] synthesizer                       │
//!                       └── Synthesised, Audible, Heard ───────────────────────────┘
//! ```
//!
//! # Who runs where
//!
//! | thread or task | owns | waits on | when its queue is full |
//! |---|---|---|---|
//! | input callback (real time) | the ring's producer | nothing | drops the block and counts it as lost |
//! | `listen` | the ring's consumer, resampler, voice activity, segmenter | at most 8 ms | the ring absorbs 2 s |
//! | conductor (task) | [`dialogue::Dialogue`], the live turn, history, timers | inbox, deadline, shutdown | its inbox holds 256 |
//! | `whisper` | the speech model | its slot | one slot, newest wins |
//! | agent (task, one a turn) | the model's stream | the backend | awaits: this is the back-pressure |
//! | `speak`, `speak-voice` | the sink; the synthesizer | the command queue | the turn fails and is recorded |
//! | output callback (real time) | the ring's consumer | nothing | plays silence and counts it |
//! | control (tasks) | the control socket, the queues of those who follow the events | clients | a slow reader is dropped |
//! | `gateway` | its clients' connections and their replies | clients, the backend | admission says "busy, retry after" |
//! | `store` | the SQLite connection | its queue | keeps turns in memory, tells once |
//!
//! # Layers
//!
//! **core** (pure, synchronous: [`time`], [`ids`], [`private`], [`flow`], [`dialogue`], and the files that `tests/house.rs`
//! lists) ← **edge** ([`audio`], [`hearing`], [`transcribe`], [`llm`], [`agent`], [`gateway`], [`speak`], [`transcripts`],
//! [`models`], [`config`], [`control`], [`platform`]) ← **wiring** ([`daemon`], [`cli`]). Three clocks are never mixed: [`time::SamplePos`] measures
//! speech, [`time::Mono`] measures waiting, wall time is stamped once, by the store.

pub mod agent;
pub mod audio;
pub mod cli;
pub mod config;
pub mod control;
pub mod daemon;
pub mod dialogue;
pub mod flow;
pub mod gateway;
pub mod hearing;
pub mod ids;
pub mod llm;
pub mod memory;
pub mod models;
pub mod platform;
pub mod private;
pub mod service;
pub mod speak;
pub mod time;
pub mod transcribe;
pub mod transcripts;
