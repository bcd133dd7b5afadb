//! What the agent and the speaker do to the conversation: clauses, playback, hush.

use std::time::Duration;

use crate::flow::{Outcome, ReplyChunk};
use crate::ids::TurnId;
use crate::private::Private;
use crate::time::Mono;

use super::effect::Effect;
use super::event::{AgentEvent, SpeakerEvent};
use super::guess::Guesses;
use super::interrupt::Doubt;
use super::live::{Kind, Live, finished, note, record};
use super::machine::Dialogue;
use super::phase::{Gate, Next, Pending, Phase, Rest, User};
use super::policy::BargeIn;

impl Dialogue {
    pub(super) fn agent(
        &mut self,
        now: Mono,
        turn: TurnId,
        event: AgentEvent,
        out: &mut Vec<Effect>,
    ) {
        if self.guessed_turn() == Some(turn) {
            return self.draft(now, event, out);
        }
        match self.take() {
            Phase::Answering {
                mut live,
                aside,
                by,
            } if live.turn == turn => match live.agent(now, event) {
                Some(chunk) => self.start_speaking(now, live, aside, chunk, out),
                None => {
                    let by = by.max(now + self.policy.answer_limit);
                    self.phase = Phase::Answering { live, aside, by };
                    self.silent_answer(now, out);
                }
            },
            Phase::Speaking {
                mut live,
                doubt,
                aside,
                ..
            } if live.turn == turn && !live.complete => {
                if let Some(chunk) = live.agent(now, event) {
                    out.push(Effect::Say(chunk));
                }
                if live.complete {
                    out.push(Effect::EndSpeech { turn });
                }
                let by = now + self.speaking_limit(&live);
                self.phase = Phase::Speaking {
                    live,
                    doubt,
                    aside,
                    by,
                };
            }
            other => self.phase = other,
        }
    }

    /// Ends an answer without words ("stop"), or a failure that nobody could put into words, once it is whole.
    fn silent_answer(&mut self, now: Mono, out: &mut Vec<Effect>) {
        match self.take() {
            Phase::Answering { live, aside, .. } if live.complete => {
                let outcome = finished(&live);
                let rest = match live.kind {
                    Kind::Dismissal => Rest::Idle,
                    Kind::Asked | Kind::Announcement => {
                        self.rest_after_answer(now, self.window(&live))
                    }
                };
                record(*live, outcome, out);
                match aside {
                    Some(pending) => {
                        self.phase = Phase::Transcribing {
                            pending,
                            rest,
                            next: None,
                        }
                    }
                    None => self.rest(now, rest),
                }
            }
            other => self.phase = other,
        }
    }

    /// How long nothing may be heard of a turn that is being said.
    fn speaking_limit(&self, live: &Live) -> Duration {
        if live.complete {
            self.policy.clause_limit
        } else {
            self.policy.answer_limit
        }
    }

    pub(super) fn start_speaking(
        &mut self,
        now: Mono,
        live: Box<Live>,
        aside: Option<Pending>,
        chunk: ReplyChunk,
        out: &mut Vec<Effect>,
    ) {
        if self.policy.barge_in == BargeIn::Off {
            out.push(Effect::CloseEar);
        }
        out.push(Effect::Say(chunk));
        self.speaking(now, live, aside, out);
    }

    /// A reply that was begun in a pause goes on as any other: its first clause is ready to be heard.
    pub(super) fn answer_with(
        &mut self,
        now: Mono,
        live: Box<Live>,
        chunks: Vec<ReplyChunk>,
        out: &mut Vec<Effect>,
    ) {
        let turn = live.turn;
        let mut chunks = chunks.into_iter();
        if chunks.next().is_none() {
            self.phase = Phase::Answering {
                live,
                aside: None,
                by: now + self.policy.answer_limit,
            };
            self.silent_answer(now, out);
            return;
        }
        if self.policy.barge_in == BargeIn::Off {
            out.push(Effect::CloseEar);
        }
        out.push(Effect::Play { turn });
        out.extend(chunks.map(Effect::Say));
        self.speaking(now, live, None, out);
    }

    fn speaking(
        &mut self,
        now: Mono,
        live: Box<Live>,
        aside: Option<Pending>,
        out: &mut Vec<Effect>,
    ) {
        if live.complete {
            out.push(Effect::EndSpeech { turn: live.turn });
        }
        let by = now + self.speaking_limit(&live);
        self.phase = Phase::Speaking {
            live,
            doubt: None,
            aside,
            by,
        };
    }

    pub(super) fn speaker(&mut self, now: Mono, event: SpeakerEvent, out: &mut Vec<Effect>) {
        let turn = match &event {
            SpeakerEvent::Synthesised { turn, .. }
            | SpeakerEvent::Audible { turn, .. }
            | SpeakerEvent::Finished { turn }
            | SpeakerEvent::Failed { turn, .. } => *turn,
            SpeakerEvent::Heard(heard) => heard.turn,
        };
        if self.guessed_turn() == Some(turn) {
            return self.draft_made(event, out);
        }
        match self.take() {
            Phase::Speaking {
                mut live,
                doubt,
                aside,
                ..
            } if live.turn == turn => match event {
                SpeakerEvent::Finished { .. } if live.complete => {
                    self.remember_said(now, &live, doubt, out);
                    let (outcome, window) = (finished(&live), self.window(&live));
                    record(*live, outcome, out);
                    self.spoken(now, aside, window, out);
                }
                SpeakerEvent::Failed { kind, .. } => {
                    self.remember_said(now, &live, doubt, out);
                    out.push(Effect::Abandon { turn });
                    live.failure = Some(kind);
                    record(*live, Outcome::Failed, out);
                    self.spoken(now, aside, self.policy.follow_up, out);
                }
                news => {
                    note(&mut live, news);
                    let by = now + self.speaking_limit(&live);
                    self.phase = Phase::Speaking {
                        live,
                        doubt,
                        aside,
                        by,
                    };
                }
            },
            Phase::Hushing {
                mut live,
                outcome,
                next,
                user,
                by,
            } if live.turn == turn => match event {
                SpeakerEvent::Finished { .. } | SpeakerEvent::Failed { .. } => {
                    self.hushed(now, *live, outcome, next, user, out);
                }
                news => {
                    note(&mut live, news);
                    self.phase = Phase::Hushing {
                        live,
                        outcome,
                        next,
                        user,
                        by,
                    };
                }
            },
            other => self.phase = other,
        }
    }

    /// We have ended: the next answer starts at full level, and what we said may still echo.
    fn remember_said(
        &mut self,
        now: Mono,
        live: &Live,
        doubt: Option<Doubt>,
        out: &mut Vec<Effect>,
    ) {
        if doubt.is_some() {
            out.push(Effect::Resume { turn: live.turn });
        }
        self.said = Some((Private::new(live.words()), now));
    }

    /// The answer is over; what the user said meanwhile is looked at next.
    fn spoken(
        &mut self,
        now: Mono,
        aside: Option<Pending>,
        window: Duration,
        out: &mut Vec<Effect>,
    ) {
        match aside {
            None => self.settle(now, window, out),
            Some(pending) => {
                if self.policy.barge_in == BargeIn::Off {
                    out.push(Effect::OpenEar);
                }
                let rest = self.rest_after_answer(now, window);
                self.phase = Phase::Transcribing {
                    pending,
                    rest,
                    next: None,
                };
            }
        }
    }

    pub(super) fn settle(&mut self, now: Mono, window: Duration, out: &mut Vec<Effect>) {
        match self.policy.barge_in {
            BargeIn::Off => {
                self.phase = Phase::Settling {
                    until: now + self.policy.settle,
                    window,
                }
            }
            BargeIn::On | BargeIn::Wake => self.settled(now, window, out),
        }
    }

    pub(super) fn settled(&mut self, now: Mono, window: Duration, out: &mut Vec<Effect>) {
        if self.policy.barge_in == BargeIn::Off {
            out.push(Effect::OpenEar);
        }
        let rest = self.rest_after_answer(now, window);
        self.rest(now, rest);
    }

    pub(super) fn hush(
        &mut self,
        now: Mono,
        live: Box<Live>,
        outcome: Outcome,
        next: Option<Next>,
        user: User,
        out: &mut Vec<Effect>,
    ) {
        self.said = Some((Private::new(live.words()), now));
        if outcome == Outcome::Interrupted {
            out.push(Effect::BargeIn { turn: live.turn });
        }
        out.push(Effect::Hush { turn: live.turn });
        out.push(Effect::Abandon { turn: live.turn });
        self.phase = Phase::Hushing {
            live,
            outcome,
            next,
            user,
            by: now + self.policy.hush_limit,
        };
    }

    pub(super) fn hushed(
        &mut self,
        now: Mono,
        live: Live,
        outcome: Outcome,
        next: Option<Next>,
        user: User,
        out: &mut Vec<Effect>,
    ) {
        record(live, outcome, out);
        match (next, user) {
            // Words said into our answer belong to the new turn and need no wake phrase.
            (Some(Next::Utterance(closed)), _) => {
                self.transcribe(now, closed, Gate::Open, Rest::Idle, out)
            }
            (Some(Next::Words(pending, transcript)), _) => {
                self.words(now, pending, transcript, Rest::Idle, out)
            }
            (None, User::Holding { since, spoke }) => self.hold(now, since, spoke),
            (None, User::Tapped) => {
                let until = now + self.policy.no_speech;
                self.phase = Phase::Listening { until };
            }
            (None, User::Speaking) => {
                let by = now + self.policy.longest_utterance;
                self.phase = Phase::Hearing {
                    gate: Gate::Open,
                    rest: Rest::Idle,
                    by,
                    guesses: Guesses::default(),
                };
            }
            (None, User::Quiet) => self.settle(now, self.policy.follow_up, out),
        }
    }
}
