//! What is begun while the user pauses: the words so far, and a reply to them, of which nothing is audible.
//!
//! A guess belongs to [`Phase::Hearing`]. It is made at each pause, under a turn id of its own; more speech discards it, and
//! results for a discarded one find nobody. When the utterance ends where the guess stood, what was begun is adopted: its
//! transcript is the final one, and a reply that has been begun becomes the answer ([`Effect::Adopt`], which counts as
//! [`Effect::Ask`]). Local intents are decided and not executed, and the agent calls no tool before that.

use std::time::Duration;

use crate::flow::{ReplyChunk, Speculation, Transcript, Utterance};
use crate::ids::{Revision, TurnId};
use crate::private::Private;
use crate::time::{Mono, SamplePos};

use super::effect::{Effect, Ignored, Stage, UtteranceRef};
use super::ending::{self, Prosody, Words};
use super::event::{AgentEvent, SpeakerEvent};
use super::live::{Kind, Live, note};
use super::machine::Dialogue;
use super::phase::{Closed, Gate, Pending, Phase, Rest};
use super::policy::Start;
use super::wake::{WakeMatch, after_misheard, match_wake, takes_back};

/// What was begun in one pause.
#[derive(Debug, Clone)]
pub(super) struct Guess {
    turn: TurnId,
    utterance: Utterance,
    ended: Mono,
    prosody: Option<Prosody>,
    draft: Draft,
}

#[derive(Debug, Clone)]
enum Draft {
    /// The words are awaited.
    Words,
    /// They are known; no reply was begun.
    Known(Transcript),
    /// A reply was begun.
    Reply(Box<Reply>),
}

#[derive(Debug, Clone)]
struct Reply {
    transcript: Transcript,
    live: Live,
    /// Clauses that have come; the first one is being made into sound.
    chunks: Vec<ReplyChunk>,
}

/// The guesses of one utterance.
#[derive(Debug, Clone, Default)]
pub(super) struct Guesses {
    now: Option<Box<Guess>>,
    /// Pauses so far.
    revision: Revision,
    /// Replies that were begun and discarded.
    missed: u8,
    /// When the speech before the newest pause ended.
    paused: Option<Mono>,
    /// The longest pause after which more was said.
    longest: Duration,
    /// The words so far do not begin with the wake phrase, and there are enough of them to be sure.
    not_for_us: bool,
}

impl Guesses {
    /// The turn whose words are awaited: until they are known, how long the silence must last is undecided.
    pub(super) fn undecided(&self) -> bool {
        self.now
            .as_ref()
            .is_some_and(|guess| matches!(guess.draft, Draft::Words))
    }

    pub(super) fn turn(&self) -> Option<TurnId> {
        self.now.as_ref().map(|guess| guess.turn)
    }

    /// More is said: the pause was none. Gives up what was begun.
    pub(super) fn resume(&mut self, when: Mono, out: &mut Vec<Effect>) {
        if let Some(paused) = self.paused.take() {
            self.longest = self.longest.max(when.since(paused));
        }
        self.discard(out);
    }

    /// Gives up what was begun.
    pub(super) fn discard(&mut self, out: &mut Vec<Effect>) {
        let Some(guess) = self.now.take() else { return };
        out.push(Effect::Abandon { turn: guess.turn });
        if let Draft::Reply(reply) = guess.draft {
            self.missed = self.missed.saturating_add(1);
            if !reply.chunks.is_empty() {
                out.push(Effect::Hush { turn: guess.turn });
            }
        }
    }
}

impl Dialogue {
    /// The user pauses. Tells how long the silence must last by the sound alone, and has the words so far read.
    pub(super) fn guess(&mut self, so_far: Utterance, ended: Mono, out: &mut Vec<Effect>) {
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        let prosody = Prosody::of(voiced(&so_far));
        let pause = so_far.speech.end;
        let before = match &mut self.phase {
            Phase::Hearing { guesses, .. } => {
                guesses.paused = Some(ended);
                guesses.longest
            }
            _ => Duration::ZERO,
        };
        let completeness = ending::completeness(None, prosody.as_ref());
        self.end_after(pause, completeness, before, out);
        let turn = self.next_turn;
        let not_called = self.policy.not_called(&so_far);
        let Phase::Hearing { guesses, gate, .. } = &mut self.phase else {
            return;
        };
        guesses.discard(out);
        // Where a wake model has not heard its phrase nobody need look at the words.
        let uncalled = *gate == Gate::Wake && not_called;
        if guesses.not_for_us || uncalled || !self.policy.speculate {
            return;
        }
        self.next_turn = turn.next();
        guesses.revision = Revision(guesses.revision.0.saturating_add(1));
        out.push(Effect::Transcribe {
            turn,
            revision: guesses.revision,
            utterance: UtteranceRef(so_far.clone()),
            stage: Stage::Guess,
        });
        guesses.now = Some(Box::new(Guess {
            turn,
            utterance: so_far,
            ended,
            prosody,
            draft: Draft::Words,
        }));
    }

    /// The words of a pause: how long the silence must last is decided again, and a reply may be begun.
    pub(super) fn guessed(&mut self, now: Mono, transcript: Transcript, out: &mut Vec<Effect>) {
        let policy = self.policy.clone();
        let ours = self.sounds_like_us(&transcript);
        let Phase::Hearing { gate, guesses, .. } = &mut self.phase else {
            return;
        };
        let Some(guess) = guesses
            .now
            .as_mut()
            // A result that comes twice must not begin a reply twice.
            .filter(|guess| guess.turn == transcript.turn && matches!(guess.draft, Draft::Words))
        else {
            return;
        };
        let text = transcript.text.as_str().trim().to_owned();
        let called = policy.called(&guess.utterance);
        let question = question(&policy.start, (*gate, called), &text);
        if question.is_none() && text.split_whitespace().count() >= ENOUGH_WORDS {
            guesses.not_for_us = true;
        }
        let question = question.unwrap_or_default();
        let words = Words {
            text: &question,
            confidence: transcript.confidence,
        };
        let completeness = ending::completeness(Some(words), guess.prosody.as_ref());
        let (pause, before) = (guess.utterance.speech.end, guesses.longest);
        let begin = !ours
            && guesses.missed < policy.most_guesses
            && !question.is_empty()
            && completeness > UNFINISHED;
        if begin {
            let mut live = Live::new(
                guess.turn,
                if takes_back(&question) {
                    Kind::Dismissal
                } else {
                    Kind::Asked
                },
                guess.utterance.span,
                guess.ended,
                Private::new(question),
            );
            live.language.clone_from(&transcript.language);
            live.confidence = transcript.confidence;
            live.receipt.transcript_ms = live.after_speech(now);
            out.push(Effect::Speculate {
                turn: guess.turn,
                question: live.asked.clone(),
            });
            guess.draft = Draft::Reply(Box::new(Reply {
                transcript,
                live,
                chunks: Vec::new(),
            }));
        } else {
            guess.draft = Draft::Known(transcript);
        }
        self.end_after(pause, completeness, before, out);
    }

    /// Whether the words of this pause are our own, see [`Self::is_our_echo`].
    fn sounds_like_us(&self, transcript: &Transcript) -> bool {
        let Phase::Hearing { guesses, .. } = &self.phase else {
            return false;
        };
        guesses.now.as_ref().is_some_and(|guess| {
            self.is_our_echo(guess.ended, guess.utterance.span, transcript.text.as_str())
        })
    }

    /// The words of a pause cannot be had: the final ones will be asked for.
    pub(super) fn guess_failed(&mut self, turn: TurnId) {
        if let Phase::Hearing { guesses, .. } = &mut self.phase
            && guesses.turn() == Some(turn)
        {
            guesses.now = None;
        }
    }

    /// The agent's news of a reply that may never be heard.
    pub(super) fn draft(&mut self, now: Mono, event: AgentEvent, out: &mut Vec<Effect>) {
        let Phase::Hearing { guesses, .. } = &mut self.phase else {
            return;
        };
        if let Some(Draft::Reply(reply)) = guesses.now.as_mut().map(|guess| &mut guess.draft)
            && let Some(chunk) = reply.live.agent(now, event)
        {
            if reply.chunks.is_empty() {
                out.push(Effect::Prepare(chunk.clone()));
            }
            reply.chunks.push(chunk);
        }
    }

    /// The speaker's news of it. What cannot be said is asked again when the turn has ended, and fails then.
    pub(super) fn draft_made(&mut self, event: SpeakerEvent, out: &mut Vec<Effect>) {
        let Phase::Hearing { guesses, .. } = &mut self.phase else {
            return;
        };
        if matches!(event, SpeakerEvent::Failed { .. }) {
            guesses.discard(out);
        } else if let Some(Draft::Reply(reply)) = guesses.now.as_mut().map(|guess| &mut guess.draft)
        {
            note(&mut reply.live, event);
        }
    }

    /// What was begun in a pause was begun under rules that no longer hold: it does not count.
    pub(super) fn outdated(&mut self, out: &mut Vec<Effect>) {
        if let Phase::Hearing { guesses, .. } = &mut self.phase {
            guesses.discard(out);
        }
    }

    /// The question in the words so far of somebody who is heard for us, wake phrase removed.
    #[must_use]
    pub fn question_in(&self, text: &str) -> Option<String> {
        question(&self.policy.start, (Gate::Open, None), text.trim())
            .filter(|question| !question.is_empty())
    }

    /// The utterance has ended. Where the guess stands at its very end, what was begun counts; else it is discarded and
    /// the whole is read.
    pub(super) fn conclude(
        &mut self,
        now: Mono,
        closed: Closed,
        (gate, rest): (Gate, Rest),
        mut guesses: Guesses,
        out: &mut Vec<Effect>,
    ) {
        let end = closed.utterance.speech.end;
        if guesses
            .now
            .as_ref()
            .is_none_or(|guess| guess.utterance.speech.end != end)
        {
            guesses.discard(out);
            if guesses.not_for_us {
                out.push(Effect::Ignore(Ignored::NoWake));
                return self.rest(now, rest);
            }
            self.transcribe(now, closed, gate, rest, out);
            if let Phase::Transcribing { pending, .. } = &mut self.phase {
                pending.missed = guesses.missed > 0;
            }
            return;
        }
        let Some(guess) = guesses.now.take() else {
            return;
        };
        let span = closed.utterance.span;
        let pending = Pending {
            turn: guess.turn,
            span,
            ended: closed.ended,
            endpoint: now,
            gate,
            called: self.policy.called(&closed.utterance),
            by: now + self.policy.transcribe_limit,
            missed: guesses.missed > 0,
        };
        out.push(Effect::Keep {
            turn: guess.turn,
            utterance: UtteranceRef(closed.utterance),
        });
        match guess.draft {
            Draft::Words => {
                self.phase = Phase::Transcribing {
                    pending,
                    rest,
                    next: None,
                };
            }
            Draft::Known(transcript) => self.words(now, pending, transcript, rest, out),
            Draft::Reply(reply) => self.adopt(now, pending, *reply, out),
        }
    }

    /// The reply that was begun becomes the answer.
    fn adopt(&mut self, now: Mono, pending: Pending, reply: Reply, out: &mut Vec<Effect>) {
        let Reply {
            transcript,
            mut live,
            chunks,
        } = reply;
        if let Start::Phrase(phrase) = &self.policy.start {
            let said = match_wake(transcript.text.as_str(), phrase) != WakeMatch::Absent;
            if said || pending.gate == Gate::Wake {
                let score = pending.called.unwrap_or(transcript.confidence);
                out.push(Effect::Woke { score });
            }
        }
        live.span = pending.span;
        live.receipt.endpoint_ms = live.after_speech(pending.endpoint);
        live.receipt.speculation = Speculation::Hit;
        out.push(Effect::Adopt { turn: live.turn });
        self.answer_with(now, Box::new(live), chunks, out);
    }

    /// Tells the ear how long the silence after `pause` must last; `before` is the longest one that did not end it.
    fn end_after(
        &self,
        pause: SamplePos,
        completeness: f32,
        before: Duration,
        out: &mut Vec<Effect>,
    ) {
        out.push(Effect::EndAfter {
            pause,
            silence: self.policy.end.window_after(completeness, before),
        });
    }
}

/// The question in `text`, wake phrase removed; `None` where it must begin with that and does not. `called` is the score of
/// a wake model that is certain.
fn question(start: &Start, (gate, called): (Gate, Option<f32>), text: &str) -> Option<String> {
    match start {
        Start::Every => Some(text.to_owned()),
        Start::Key => (gate == Gate::Open).then(|| text.to_owned()),
        Start::Phrase(phrase) => match match_wake(text, phrase) {
            WakeMatch::Said(after) => Some(after),
            WakeMatch::Absent if gate == Gate::Open => Some(text.to_owned()),
            WakeMatch::Absent if called.is_some() => Some(after_misheard(text, phrase)),
            WakeMatch::Absent => None,
        },
    }
}

/// The part of an utterance that ends with its last voiced sample.
fn voiced(utterance: &Utterance) -> &[f32] {
    let end = utterance.speech.end.since(utterance.span.start);
    let end = usize::try_from(end)
        .unwrap_or(usize::MAX)
        .min(utterance.samples.len());
    &utterance.samples[..end]
}

/// With so many words and no wake phrase at their beginning, more words will not make it one.
const ENOUGH_WORDS: usize = 5;

/// A reply to words that surely go on would be thrown away.
const UNFINISHED: f32 = -1.0;
