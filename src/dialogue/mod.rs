//! The conversation as a pure machine: events in, effects out, no clock, no I/O.
//!
//! Owned by the conductor task, which sleeps until [`Dialogue::deadline`], hands every event to [`Dialogue::handle`] and
//! executes every effect. Tests drive the same loop on simulated time.
//!
//! ```text
//!            speech                 utterance              words
//!  Idle ───────────────▶ Hearing ───────────▶ Transcribing ───────▶ Answering
//!   ▲  ▲                   │ ▲                    │   no words,        │ first clause
//!   │  └── too long ───────┘ │ speech             ▼   no wake phrase   ▼
//!   │                        └───── Listening ◀───────────────────  Speaking ──▶ Settling ──▶ Idle, Listening
//!   │        nobody spoke ────────────┘  (after the wake phrase      │ speech that lasts
//!   └─────────────────────────────────    alone, after an answer)    ▼
//!                                                                 Hushing ──▶ Hearing (the words already begun)
//!
//!  any of them ── key down ──▶ Holding ── key up ──▶ Hearing (until the ear has closed the utterance)
//!                                      ── tap ─────▶ Listening
//! ```
//!
//! Promises, held by `tests/dialogue/`: at most one turn has been asked and not recorded; ids only grow; each
//! [`Effect::Ask`] is followed by exactly one [`Effect::Record`] of that turn, also on failure and shutdown; nothing is
//! said for a turn after its [`Effect::Hush`] or [`Effect::Abandon`]; of a reply begun in a pause ([`Effect::Speculate`])
//! nothing is said before [`Effect::Adopt`], which counts as an ask; an event of a dead turn has no effects; after a due
//! [`Event::Tick`] the deadline has moved; idle has no deadline and every other open phase is bounded.

mod control;
mod ear;
mod effect;
pub mod ending;
mod event;
mod guess;
mod interrupt;
mod key;
mod live;
mod machine;
mod phase;
mod policy;
mod reply;
mod wake;

pub use effect::{Effect, Ignored, Stage};
pub use event::{AgentEvent, Event, Key, SpeakerEvent};
pub use machine::Dialogue;
pub use phase::{Gate, WaitReason};
pub use policy::{BargeIn, Policy, Start, WakeLevels};
pub use wake::{WakeMatch, after_misheard, match_wake, takes_back};
