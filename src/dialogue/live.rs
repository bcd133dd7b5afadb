//! The turn that has been asked and not yet recorded: what it holds, and how it becomes a record.

use crate::flow::{Extent, Heard, Outcome, Receipt, ReplyChunk, ToolUse, Turn};
use crate::ids::{ChunkSeq, TurnId};
use crate::private::Private;
use crate::time::{Mono, Span};

use super::effect::Effect;
use super::event::{AgentEvent, SpeakerEvent};

/// Whether a turn leaves a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The user asked.
    Asked,
    /// We speak unasked: a timer rings. Nothing to record.
    Announcement,
    /// The user took the question back or wants silence ("never mind", "go to sleep"): recorded like a question, and no
    /// follow-up is waited for.
    Dismissal,
}

/// A clause that was queued, and what became of it.
#[derive(Debug, Clone)]
struct Said {
    seq: ChunkSeq,
    text: Private<String>,
    extent: Option<Extent>,
    /// It bridges a silence: neither the record nor the receipt takes it for the answer.
    filler: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Live {
    pub turn: TurnId,
    pub kind: Kind,
    pub span: Span,
    /// End of the user's speech: the zero of the receipt.
    pub ended: Mono,
    pub asked: Private<String>,
    pub language: String,
    pub confidence: f32,
    said: Vec<Said>,
    /// The agent has nothing more to add.
    pub complete: bool,
    pub failure: Option<String>,
    pub tools: Vec<ToolUse>,
    /// Tools that have begun and not ended.
    working: Vec<String>,
    /// The answer ends with a question of consent.
    pub asked_back: bool,
    pub receipt: Receipt,
}

impl Live {
    pub fn new(turn: TurnId, kind: Kind, span: Span, ended: Mono, asked: Private<String>) -> Self {
        Self {
            turn,
            kind,
            span,
            ended,
            asked,
            language: "en".to_owned(),
            confidence: 1.0,
            said: Vec::new(),
            complete: false,
            failure: None,
            tools: Vec::new(),
            working: Vec::new(),
            asked_back: false,
            receipt: Receipt::default(),
        }
    }

    /// Milliseconds from the end of the user's speech to `when`.
    pub fn after_speech(&self, when: Mono) -> Option<i64> {
        Some(when.millis_from(self.ended))
    }

    /// Takes over what the agent tells; returns the clause to be said, if it is one.
    pub fn agent(&mut self, now: Mono, event: AgentEvent) -> Option<ReplyChunk> {
        match event {
            AgentEvent::Requested { backend, model } => {
                self.receipt.llm_request_ms =
                    self.receipt.llm_request_ms.or(self.after_speech(now));
                self.receipt.backend = Some(backend);
                self.receipt.model = model;
            }
            AgentEvent::FirstToken => {
                self.receipt.first_token_ms =
                    self.receipt.first_token_ms.or(self.after_speech(now));
            }
            AgentEvent::Chunk(chunk) => {
                self.receipt.first_clause_ms =
                    self.receipt.first_clause_ms.or(self.after_speech(now));
                self.queue(&chunk, false);
                return Some(chunk);
            }
            AgentEvent::Filler(chunk) => {
                self.queue(&chunk, true);
                return Some(chunk);
            }
            AgentEvent::ToolBegun { name } => self.working.push(name),
            AgentEvent::Tool(tool) => {
                if let Some(at) = self.working.iter().position(|name| *name == tool.name) {
                    self.working.remove(at);
                }
                self.tools.push(tool);
            }
            AgentEvent::AskedBack => self.asked_back = true,
            AgentEvent::Done {
                backend,
                model,
                prompt_tokens,
                cached_tokens,
            } => {
                self.complete = true;
                self.receipt.backend = Some(backend);
                self.receipt.model = model.or(self.receipt.model.take());
                self.receipt.prompt_tokens = prompt_tokens;
                self.receipt.cached_tokens = cached_tokens;
            }
            AgentEvent::Failed { kind } => {
                self.complete = true;
                self.failure = Some(kind);
            }
        }
        None
    }

    fn queue(&mut self, chunk: &ReplyChunk, filler: bool) {
        self.said.push(Said {
            seq: chunk.seq,
            text: chunk.text.clone(),
            extent: None,
            filler,
        });
    }

    fn is_filler(&self, seq: ChunkSeq) -> bool {
        self.said.iter().any(|said| said.seq == seq && said.filler)
    }

    pub fn synthesised(&mut self, when: Mono) {
        self.receipt.first_sample_ms = self.receipt.first_sample_ms.or(self.after_speech(when));
    }

    /// A file takes a clause in no time, and by its own clock has then played it for as long as it lasts: nothing is heard
    /// before it was made.
    pub fn audible(&mut self, when: Mono) {
        let heard = self.after_speech(when).max(self.receipt.first_sample_ms);
        self.receipt.first_audio_ms = self.receipt.first_audio_ms.or(heard);
    }

    /// All words of the reply so far.
    pub fn words(&self) -> String {
        join(self.said.iter().map(|said| said.text.as_str().to_owned()))
    }

    pub fn heard(&mut self, heard: Heard) {
        if let Some(said) = self.said.iter_mut().find(|said| said.seq == heard.seq) {
            said.extent = Some(heard.extent);
        }
    }

    /// The record of this turn.
    pub fn into_turn(self, outcome: Outcome) -> Turn {
        let answer = || self.said.iter().filter(|said| !said.filler);
        let replied = join(answer().map(|said| said.text.as_str().to_owned()));
        let heard = join(answer().filter_map(heard_part));
        // What was under way when the turn was cut off.
        let cut = self.working.into_iter().map(|name| ToolUse {
            name,
            outcome: "interrupted".to_owned(),
        });
        let mut tools = self.tools;
        tools.extend(cut);
        Turn {
            id: self.turn,
            span: self.span,
            asked: self.asked,
            language: self.language,
            confidence: self.confidence,
            replied: Private::new(replied),
            heard: Private::new(heard),
            outcome,
            failure: self.failure,
            tools,
            receipt: self.receipt,
        }
    }
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// The words of a clause that left the loudspeaker: whole words in proportion to its samples, since engines give no word
/// times; rounded down, so that nothing enters the history that was not heard.
fn heard_part(said: &Said) -> Option<String> {
    match said.extent? {
        Extent::Whole => Some(said.text.as_str().to_owned()),
        Extent::Cut(share) => {
            let words: Vec<&str> = said.text.as_str().split_whitespace().collect();
            let count = (f64::from(share.clamp(0.0, 1.0)) * words.len() as f64).floor() as usize;
            (count > 0).then(|| words[..count].join(" "))
        }
    }
}

/// How a turn ended that nobody interrupted.
pub(super) fn finished(live: &Live) -> Outcome {
    if live.failure.is_some() {
        Outcome::Failed
    } else {
        Outcome::Completed
    }
}

pub(super) fn record(live: Live, outcome: Outcome, out: &mut Vec<Effect>) {
    if live.kind != Kind::Announcement {
        out.push(Effect::Record(Box::new(live.into_turn(outcome))));
    }
}

/// Takes over what the speaker tells without ending anything.
pub(super) fn note(live: &mut Live, event: SpeakerEvent) {
    match event {
        SpeakerEvent::Synthesised { seq, when, .. } if !live.is_filler(seq) => {
            live.synthesised(when)
        }
        SpeakerEvent::Audible { seq, when, .. } if !live.is_filler(seq) => live.audible(when),
        SpeakerEvent::Heard(heard) => live.heard(heard),
        SpeakerEvent::Synthesised { .. }
        | SpeakerEvent::Audible { .. }
        | SpeakerEvent::Finished { .. }
        | SpeakerEvent::Failed { .. } => {}
    }
}
