//! What has become of one clause: made, handed to the sink, played.
//!
//! Owned by the thread `speak`. All positions are samples of the sink, counted by the sink itself.

use std::time::Duration;

use crate::audio::{AudioSink, PlaybackError};
use crate::flow::{Extent, ReplyChunk};
use crate::ids::{ChunkSeq, TurnId};

use super::SpeakFailure;

/// The account of one clause.
pub(super) struct ClauseAccount {
    turn: TurnId,
    seq: ChunkSeq,
    /// For an estimate of its length while it is not all made.
    characters: usize,
    /// All samples made so far.
    samples: Vec<f32>,
    /// How many of them the sinks have taken.
    written: usize,
    /// The sink's position of the sample `moved`.
    start: Option<u64>,
    /// Samples that went to an earlier sink.
    moved: usize,
    /// It is all made; with the failure that ended it.
    ended: Option<Option<SpeakFailure>>,
    audible: bool,
}

impl ClauseAccount {
    pub(super) fn new(chunk: &ReplyChunk) -> Self {
        Self {
            turn: chunk.turn,
            seq: chunk.seq,
            characters: chunk.text.as_str().chars().count(),
            samples: Vec::new(),
            written: 0,
            start: None,
            moved: 0,
            ended: None,
            audible: false,
        }
    }

    pub(super) fn is(&self, turn: TurnId, seq: ChunkSeq) -> bool {
        self.turn == turn && self.seq == seq && self.ended.is_none()
    }

    pub(super) fn turn(&self) -> TurnId {
        self.turn
    }

    pub(super) fn seq(&self) -> ChunkSeq {
        self.seq
    }

    pub(super) fn failure(&self) -> Option<SpeakFailure> {
        self.ended.flatten()
    }

    pub(super) fn add(&mut self, samples: &[f32]) {
        self.samples.extend_from_slice(samples);
    }

    pub(super) fn end(&mut self, failure: Option<SpeakFailure>) {
        self.ended = Some(failure);
    }

    pub(super) fn unwritten(&self) -> usize {
        self.samples.len() - self.written
    }

    /// Nothing of it is there yet.
    pub(super) fn is_unmade(&self) -> bool {
        self.samples.is_empty() && self.ended.is_none()
    }

    /// The sink has all of it.
    pub(super) fn is_written(&self) -> bool {
        self.ended.is_some() && self.unwritten() == 0
    }

    /// Hands at most `room` samples over; whether the sink took any.
    pub(super) fn write(
        &mut self,
        sink: &mut dyn AudioSink,
        room: usize,
    ) -> Result<bool, PlaybackError> {
        let end = self.samples.len().min(self.written + room);
        if end == self.written {
            return Ok(false);
        }
        if self.start.is_none() {
            self.start = Some(sink.written());
        }
        let taken = sink.write(&self.samples[self.written..end], Duration::ZERO)?;
        self.written += taken;
        Ok(taken > 0)
    }

    /// What went to the old sink counts as played; the rest goes to a new one that has taken `written` samples so far.
    pub(super) fn move_to(&mut self, written: u64) {
        if self.start.is_some() {
            self.moved = self.written;
            self.start = Some(written);
        }
    }

    /// Some of it lies in the sink and has not been played.
    pub(super) fn is_in_sink(&self, position: u64) -> bool {
        self.played(position) < self.written
    }

    /// Samples of it that have been played when the sink has played `position` in all.
    fn played(&self, position: u64) -> usize {
        let Some(start) = self.start else { return 0 };
        let since = usize::try_from(position.saturating_sub(start)).unwrap_or(usize::MAX);
        self.moved.saturating_add(since).min(self.written)
    }

    /// The first time that some of it has been played: how much.
    pub(super) fn becomes_audible(&mut self, position: u64) -> Option<usize> {
        let played = self.played(position);
        let now = played > 0 && !self.audible;
        self.audible |= now;
        now.then_some(played)
    }

    pub(super) fn is_over(&self, position: u64) -> bool {
        self.is_written() && self.played(position) == self.samples.len()
    }

    /// How much of it was heard; `None` if nothing was. A clause without any sound counts as heard.
    pub(super) fn heard(&self, position: u64, rate: u32) -> Option<Extent> {
        let played = self.played(position);
        if self.is_over(position) && self.failure().is_none() {
            return Some(Extent::Whole);
        }
        if played == 0 {
            return None;
        }
        let estimate = self.characters as f32 * SECONDS_A_CHARACTER * rate as f32;
        let whole = match self.ended {
            Some(None) => self.samples.len() as f32,
            Some(Some(_)) | None => estimate.max(self.samples.len() as f32),
        };
        Some(Extent::Cut((played as f32 / whole).min(1.0)))
    }
}

/// English at a usual speed: 150 words of six characters a minute.
const SECONDS_A_CHARACTER: f32 = 0.066;
