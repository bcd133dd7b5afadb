//! What the push-to-talk key does to the conversation.
//!
//! A key that is held opens the gate at once, in every phase: no wake phrase is needed, an answer that is being made is
//! given up, one that is being said is hushed. While it is down silence ends nothing; when it comes up the utterance is
//! over at once. A short tap works like the wake phrase: the ear is open for a question that silence ends. A repeated press
//! (keyboards repeat) does nothing, and a release that never comes is bounded.

use std::time::Duration;

use crate::flow::{Outcome, Utterance};
use crate::time::Mono;

use super::effect::{Effect, Ignored};
use super::event::Key;
use super::guess::Guesses;
use super::live::{Kind, record};
use super::machine::Dialogue;
use super::phase::{Closed, Gate, Next, Phase, Rest, User};
use super::policy::BargeIn;

impl Dialogue {
    pub(super) fn key(&mut self, now: Mono, key: Key, out: &mut Vec<Effect>) {
        let down = matches!(
            self.phase,
            Phase::Holding { .. }
                | Phase::Hushing {
                    user: User::Holding { .. },
                    ..
                }
        );
        match (key, down) {
            (Key::Press | Key::Toggle, false) => self.pressed(now, out),
            (Key::Release | Key::Toggle, true) => self.released(now, out),
            (Key::Press, true) | (Key::Release, false) => {}
        }
    }

    fn pressed(&mut self, now: Mono, out: &mut Vec<Effect>) {
        match self.take() {
            Phase::Closed => {
                self.phase = Phase::Closed;
                return;
            }
            Phase::Transcribing { pending, .. } => out.push(Effect::Abandon { turn: pending.turn }),
            Phase::Answering { live, aside, .. } => {
                out.push(Effect::Abandon { turn: live.turn });
                out.extend(aside.map(|aside| Effect::Abandon { turn: aside.turn }));
                record(*live, Outcome::Cancelled, out);
            }
            Phase::Speaking { live, aside, .. } => {
                out.extend(aside.map(|aside| Effect::Abandon { turn: aside.turn }));
                self.open_ear(out);
                let outcome = match live.kind {
                    Kind::Announcement => Outcome::Completed,
                    Kind::Asked | Kind::Dismissal => Outcome::Interrupted,
                };
                let user = User::Holding {
                    since: now,
                    spoke: false,
                };
                self.hush(now, live, outcome, None, user, out);
                out.push(Effect::Hold);
                return;
            }
            Phase::Hushing {
                live,
                outcome,
                next,
                by,
                ..
            } => {
                if let Some(Next::Words(pending, _)) = next {
                    out.push(Effect::Abandon { turn: pending.turn });
                }
                self.open_ear(out);
                out.push(Effect::Hold);
                self.phase = Phase::Hushing {
                    live,
                    outcome,
                    next: None,
                    user: User::Holding {
                        since: now,
                        spoke: false,
                    },
                    by,
                };
                return;
            }
            Phase::Settling { .. } => self.open_ear(out),
            Phase::Hearing { mut guesses, .. } => guesses.discard(out),
            Phase::Idle | Phase::Listening { .. } | Phase::Holding { .. } => {}
        }
        out.push(Effect::Hold);
        self.hold(now, now, false);
    }

    /// The key is down since then.
    pub(super) fn hold(&mut self, now: Mono, since: Mono, spoke: bool) {
        self.phase = Phase::Holding {
            since,
            spoke,
            by: now + self.policy.longest_utterance,
        };
    }

    fn released(&mut self, now: Mono, out: &mut Vec<Effect>) {
        match &mut self.phase {
            Phase::Holding { since, spoke, .. } => {
                let (tapped, spoke) = (now.since(*since) < self.policy.tap, *spoke);
                if tapped {
                    self.tapped(now, spoke, out);
                } else {
                    self.end_hold(now, out);
                }
            }
            Phase::Hushing { user, .. } => {
                let User::Holding { since, spoke } = *user else {
                    return;
                };
                if now.since(since) < self.policy.tap {
                    *user = if spoke { User::Speaking } else { User::Tapped };
                    out.push(Effect::LetGo);
                } else {
                    *user = User::Speaking;
                    out.push(Effect::EndHold);
                }
            }
            _ => {}
        }
    }

    /// The key was up again at once: the question comes now, and silence will end it.
    fn tapped(&mut self, now: Mono, spoke: bool, out: &mut Vec<Effect>) {
        out.push(Effect::LetGo);
        let until = now + self.policy.no_speech;
        self.phase = if spoke {
            Phase::Hearing {
                gate: Gate::Open,
                rest: Rest::Listening { until },
                by: now + self.policy.longest_utterance,
                guesses: Guesses::default(),
            }
        } else {
            Phase::Listening { until }
        };
    }

    /// The key is up, or was down for too long: the ear closes the utterance and tells.
    pub(super) fn end_hold(&mut self, now: Mono, out: &mut Vec<Effect>) {
        out.push(Effect::EndHold);
        self.phase = Phase::Hearing {
            gate: Gate::Open,
            rest: Rest::Idle,
            by: now + LAST_WORD,
            guesses: Guesses::default(),
        };
    }

    /// The utterance that was held.
    pub(super) fn held(
        &mut self,
        now: Mono,
        utterance: Option<Utterance>,
        ended: Mono,
        out: &mut Vec<Effect>,
    ) {
        let closed = utterance.map(|utterance| Closed { utterance, ended });
        match self.take() {
            Phase::Holding { .. } => self.held_words(now, closed, Rest::Idle, out),
            Phase::Hearing {
                rest, mut guesses, ..
            } => {
                guesses.discard(out);
                self.held_words(now, closed, rest, out);
            }
            Phase::Hushing {
                live, outcome, by, ..
            } => {
                self.phase = Phase::Hushing {
                    live,
                    outcome,
                    next: closed.map(Next::Utterance),
                    user: User::Quiet,
                    by,
                };
            }
            other => self.phase = other,
        }
    }

    fn held_words(&mut self, now: Mono, closed: Option<Closed>, rest: Rest, out: &mut Vec<Effect>) {
        match closed {
            Some(closed) => self.transcribe(now, closed, Gate::Open, rest, out),
            None => {
                out.push(Effect::Ignore(Ignored::Noise));
                self.rest(now, rest);
            }
        }
    }

    /// Hears again although we may still be audible: the user has asked for it.
    pub(super) fn open_ear(&self, out: &mut Vec<Effect>) {
        if self.policy.barge_in == BargeIn::Off {
            out.push(Effect::OpenEar);
        }
    }
}

/// How long the ear may take to hand out what was held: it does so within two blocks.
const LAST_WORD: Duration = Duration::from_secs(2);
