//! What time and commands do to the conversation: deadlines, announcements, typed questions, stop, shutdown.

use crate::flow::{Outcome, ReplyChunk};
use crate::ids::ChunkSeq;
use crate::private::Private;
use crate::time::{Mono, SamplePos, Span};

use super::effect::{Effect, Ignored};
use super::interrupt::Doubt;
use super::live::{Kind, Live, record};
use super::machine::{Dialogue, MAX_ANNOUNCEMENTS};
use super::phase::{Pending, Phase, User};
use super::policy::BargeIn;

/// More things are never due at one instant: a doubt, words that are awaited, the speaker, the room.
const MOST_DUE: usize = 8;

impl Dialogue {
    pub(super) fn announce(&mut self, text: Private<String>) {
        if self.announcements.len() < MAX_ANNOUNCEMENTS && !matches!(self.phase, Phase::Closed) {
            self.announcements.push_back(text);
        }
    }

    pub(super) fn next_announcement(&mut self, now: Mono, out: &mut Vec<Effect>) {
        if let Some(text) = self.announcements.pop_front() {
            let turn = self.new_turn();
            let mut live = Live::new(
                turn,
                Kind::Announcement,
                Span::default(),
                now,
                Private::default(),
            );
            live.complete = true;
            let chunk = ReplyChunk {
                turn,
                seq: ChunkSeq(0),
                text,
                language: None,
            };
            self.start_speaking(now, Box::new(live), None, chunk, out);
        }
    }

    pub(super) fn typed(&mut self, now: Mono, question: Private<String>, out: &mut Vec<Effect>) {
        match self.take() {
            Phase::Closed => self.phase = Phase::Closed,
            Phase::Answering { live, aside, .. } => {
                out.push(Effect::Abandon { turn: live.turn });
                abandon(aside, out);
                record(*live, Outcome::Cancelled, out);
                self.ask_typed(now, question, out);
            }
            Phase::Speaking { live, aside, .. } => {
                abandon(aside, out);
                out.push(Effect::Hush { turn: live.turn });
                out.push(Effect::Abandon { turn: live.turn });
                record(*live, Outcome::Interrupted, out);
                if self.policy.barge_in == BargeIn::Off {
                    out.push(Effect::OpenEar);
                }
                self.ask_typed(now, question, out);
            }
            Phase::Hushing {
                live,
                outcome,
                user,
                ..
            } => {
                record(*live, outcome, out);
                if let User::Holding { .. } = user {
                    out.push(Effect::LetGo);
                }
                if self.policy.barge_in == BargeIn::Off {
                    out.push(Effect::OpenEar);
                }
                self.ask_typed(now, question, out);
            }
            Phase::Transcribing { pending, .. } => {
                out.push(Effect::Abandon { turn: pending.turn });
                self.ask_typed(now, question, out);
            }
            Phase::Settling { .. } => {
                out.push(Effect::OpenEar);
                self.ask_typed(now, question, out);
            }
            Phase::Holding { .. } => {
                out.push(Effect::LetGo);
                self.ask_typed(now, question, out);
            }
            Phase::Hearing { mut guesses, .. } => {
                guesses.discard(out);
                self.ask_typed(now, question, out);
            }
            Phase::Idle | Phase::Listening { .. } => self.ask_typed(now, question, out),
        }
    }

    pub(super) fn ask_typed(
        &mut self,
        now: Mono,
        question: Private<String>,
        out: &mut Vec<Effect>,
    ) {
        let turn = self.new_turn();
        let span = Span {
            start: SamplePos(0),
            end: SamplePos(0),
        };
        self.ask(now, Live::new(turn, Kind::Asked, span, now, question), out);
    }

    pub(super) fn stop(&mut self, now: Mono, out: &mut Vec<Effect>) {
        match self.take() {
            Phase::Transcribing { pending, .. } => out.push(Effect::Abandon { turn: pending.turn }),
            Phase::Answering { live, aside, .. } => {
                out.push(Effect::Abandon { turn: live.turn });
                abandon(aside, out);
                record(*live, Outcome::Cancelled, out);
            }
            Phase::Speaking { live, aside, .. } => {
                abandon(aside, out);
                let outcome = match live.kind {
                    Kind::Asked | Kind::Dismissal => Outcome::Cancelled,
                    Kind::Announcement => Outcome::Completed,
                };
                self.hush(now, live, outcome, None, User::Quiet, out);
            }
            Phase::Holding { .. } => out.push(Effect::LetGo),
            Phase::Hearing { mut guesses, .. } => guesses.discard(out),
            Phase::Idle | Phase::Listening { .. } => {}
            other => self.phase = other,
        }
    }

    pub(super) fn shutdown(&mut self, out: &mut Vec<Effect>) {
        match self.take() {
            Phase::Answering { live, aside, .. } => {
                out.push(Effect::Abandon { turn: live.turn });
                abandon(aside, out);
                record(*live, Outcome::ShutDown, out);
            }
            Phase::Speaking { live, aside, .. } => {
                abandon(aside, out);
                out.push(Effect::Hush { turn: live.turn });
                out.push(Effect::Abandon { turn: live.turn });
                record(*live, Outcome::ShutDown, out);
            }
            Phase::Hushing { live, outcome, .. } => record(*live, outcome, out),
            Phase::Transcribing { pending, .. } => out.push(Effect::Abandon { turn: pending.turn }),
            Phase::Hearing { mut guesses, .. } => guesses.discard(out),
            Phase::Idle
            | Phase::Listening { .. }
            | Phase::Holding { .. }
            | Phase::Settling { .. }
            | Phase::Closed => {}
        }
        self.announcements.clear();
        self.phase = Phase::Closed;
    }

    /// Does all that is due. Two things may be due at one instant (a doubt and the words that would have ended it), and after
    /// one tick nothing is due any more; the bound only keeps a policy of zero durations from going round for ever.
    pub(super) fn tick(&mut self, now: Mono, out: &mut Vec<Effect>) {
        for _ in 0..MOST_DUE {
            if self.deadline().is_none_or(|deadline| deadline > now) {
                return;
            }
            self.due(now, out);
        }
    }

    /// Does the first thing that is due.
    fn due(&mut self, now: Mono, out: &mut Vec<Effect>) {
        match self.take() {
            Phase::Idle | Phase::Listening { .. } => {}
            Phase::Closed => self.phase = Phase::Closed,
            Phase::Hearing {
                rest, mut guesses, ..
            } => {
                guesses.discard(out);
                self.rest(now, rest);
            }
            Phase::Holding { .. } => self.end_hold(now, out),
            Phase::Transcribing {
                pending,
                rest,
                next,
            } => {
                out.push(Effect::Abandon { turn: pending.turn });
                out.push(Effect::Ignore(Ignored::Empty));
                self.rest(now, rest);
                self.take_up(now, next, out);
            }
            Phase::Answering {
                live,
                aside: Some(aside),
                by,
            } if by > now => {
                out.push(Effect::Abandon { turn: aside.turn });
                self.phase = Phase::Answering {
                    live,
                    aside: None,
                    by,
                };
            }
            Phase::Answering {
                mut live, aside, ..
            } => {
                out.push(Effect::Abandon { turn: live.turn });
                abandon(aside, out);
                live.failure = Some("answer_timeout".to_owned());
                record(*live, Outcome::Failed, out);
            }
            Phase::Speaking {
                live,
                doubt: Some(doubt),
                aside,
                by,
            } if doubt.deadline() <= now && by > now => {
                self.phase = Phase::Speaking {
                    live,
                    doubt: Some(doubt),
                    aside,
                    by,
                };
                if self.doubt_due(now, out)
                    && let Phase::Speaking { live, aside, .. } = self.take()
                {
                    abandon(aside, out);
                    self.hush(now, live, Outcome::Interrupted, None, User::Speaking, out);
                }
            }
            Phase::Speaking {
                live,
                doubt,
                aside,
                by,
            } if by > now => {
                abandon(aside, out);
                self.phase = Phase::Speaking {
                    live,
                    doubt,
                    aside: None,
                    by,
                };
                // Only the doubt that waited for these words: the user may be speaking again.
                if matches!(doubt, Some(Doubt::Held { voiced: false, .. })) {
                    self.believe_nothing(out);
                }
            }
            Phase::Speaking {
                mut live, aside, ..
            } => {
                abandon(aside, out);
                live.failure = Some("speaker_timeout".to_owned());
                self.hush(now, live, Outcome::Failed, None, User::Quiet, out);
            }
            Phase::Hushing {
                live,
                outcome,
                next,
                user,
                ..
            } => {
                self.hushed(now, *live, outcome, next, user, out);
            }
            Phase::Settling { window, .. } => self.settled(now, window, out),
        }
    }
}

/// Gives up on words that are still awaited.
fn abandon(aside: Option<Pending>, out: &mut Vec<Effect>) {
    out.extend(aside.map(|aside| Effect::Abandon { turn: aside.turn }));
}
