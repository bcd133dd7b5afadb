//! What the user's voice does to the conversation: speech, utterances, words.

use crate::flow::{Outcome, Speculation, Transcript, Utterance};
use crate::ids::{Revision, TurnId};
use crate::private::Private;
use crate::time::{Mono, Span};

use super::effect::{Effect, Ignored, Stage, UtteranceRef};
use super::guess::Guesses;
use super::interrupt::{Doubt, resembles};
use super::live::{Kind, Live, record};
use super::machine::Dialogue;
use super::phase::{Closed, Gate, Next, Pending, Phase, Rest, User};
use super::policy::{BargeIn, Start};
use super::wake::{WakeMatch, after_misheard, match_wake, takes_back};

impl Dialogue {
    pub(super) fn speech_started(&mut self, now: Mono, when: Mono, out: &mut Vec<Effect>) {
        let by = now + self.policy.longest_utterance;
        let gate = self.resting_gate();
        match &mut self.phase {
            // Nobody has pressed the key: it is not for us.
            Phase::Idle if self.policy.start == Start::Key => {}
            Phase::Idle => {
                self.phase = Phase::Hearing {
                    gate,
                    rest: Rest::Idle,
                    by,
                    guesses: Guesses::default(),
                }
            }
            Phase::Listening { until } => {
                let rest = Rest::Listening { until: *until };
                self.phase = Phase::Hearing {
                    gate: Gate::Open,
                    rest,
                    by,
                    guesses: Guesses::default(),
                };
            }
            Phase::Hearing { guesses, .. } => guesses.resume(when, out),
            Phase::Speaking { .. } => self.speech_into_ours(now, when, out),
            Phase::Holding { spoke, .. }
            | Phase::Hushing {
                user: User::Holding { spoke, .. },
                ..
            } => *spoke = true,
            Phase::Hushing { user, .. } => *user = User::Speaking,
            _ => {}
        }
    }

    pub(super) fn speech_dropped(&mut self, now: Mono, out: &mut Vec<Effect>) {
        self.believe_nothing(out);
        match &mut self.phase {
            Phase::Hearing { rest, guesses, .. } => {
                guesses.discard(out);
                let rest = *rest;
                out.push(Effect::Ignore(Ignored::Noise));
                self.rest(now, rest);
            }
            Phase::Hushing {
                user: user @ User::Speaking,
                ..
            } => *user = User::Quiet,
            _ => {}
        }
    }

    pub(super) fn input_lost(&mut self, out: &mut Vec<Effect>) {
        self.believe_nothing(out);
        match &mut self.phase {
            Phase::Hearing { guesses, .. } => {
                guesses.discard(out);
                self.phase = Phase::Idle;
            }
            Phase::Holding { .. } => self.phase = Phase::Idle,
            Phase::Hushing { user, .. } => *user = User::Quiet,
            _ => {}
        }
    }

    pub(super) fn utterance(
        &mut self,
        now: Mono,
        utterance: Utterance,
        ended: Mono,
        out: &mut Vec<Effect>,
    ) {
        let closed = Closed { utterance, ended };
        match self.take() {
            Phase::Idle if self.policy.start == Start::Key => {
                out.push(Effect::Ignore(Ignored::NoWake));
            }
            Phase::Idle => {
                let gate = self.resting_gate();
                self.transcribe(now, closed, gate, Rest::Idle, out);
            }
            Phase::Listening { until } => {
                self.transcribe(now, closed, Gate::Open, Rest::Listening { until }, out)
            }
            Phase::Hearing {
                gate,
                rest,
                guesses,
                ..
            } => self.conclude(now, closed, (gate, rest), guesses, out),
            // It was closed before the ear saw the key: what is said with the key held comes as `Event::Held`.
            held @ Phase::Holding { .. } => {
                out.push(Effect::Ignore(Ignored::NoWake));
                self.phase = held;
            }
            Phase::Transcribing { pending, rest, .. } => {
                self.phase = Phase::Transcribing {
                    pending,
                    rest,
                    next: Some(closed),
                };
            }
            Phase::Answering { live, aside, by } => {
                if let Some(older) = aside {
                    out.push(Effect::Abandon { turn: older.turn });
                }
                // Whether it is meant for us is judged by its words, see `not_for_us`.
                let aside = Some(self.pend(now, closed, Gate::Open, out));
                self.phase = Phase::Answering { live, aside, by };
            }
            Phase::Speaking {
                live,
                doubt,
                aside,
                by,
            } => self.utterance_while_speaking(now, closed, (live, doubt, aside, by), out),
            Phase::Hushing {
                live,
                outcome,
                next,
                by,
                user,
            } => {
                let (next, user) = match user {
                    User::Holding { .. } => (next, user),
                    _ => (Some(Next::Utterance(closed)), User::Quiet),
                };
                self.phase = Phase::Hushing {
                    live,
                    outcome,
                    next,
                    user,
                    by,
                };
            }
            settling @ Phase::Settling { .. } => {
                out.push(Effect::Ignore(Ignored::Echo));
                self.phase = settling;
            }
            Phase::Closed => self.phase = Phase::Closed,
        }
    }

    /// Something was said into our answer. It goes on, or stays held, until the words are known: a cough has none.
    fn utterance_while_speaking(
        &mut self,
        now: Mono,
        closed: Closed,
        (live, doubt, aside, by): (Box<Live>, Option<Doubt>, Option<Pending>, Mono),
        out: &mut Vec<Effect>,
    ) {
        if self.policy.barge_in == BargeIn::Off {
            out.push(Effect::Ignore(Ignored::Echo));
            self.phase = Phase::Speaking {
                live,
                doubt,
                aside,
                by,
            };
            return;
        }
        if let Some(older) = aside {
            out.push(Effect::Abandon { turn: older.turn });
        }
        let pending = self.pend(now, closed, Gate::Open, out);
        let doubt = match doubt {
            Some(Doubt::Held { since, .. }) => Some(Doubt::Held {
                since,
                voiced: false,
                until: pending.by,
            }),
            Some(_) => {
                out.push(Effect::Resume { turn: live.turn });
                None
            }
            None => None,
        };
        let aside = Some(pending);
        self.phase = Phase::Speaking {
            live,
            doubt,
            aside,
            by,
        };
    }

    pub(super) fn transcribe(
        &mut self,
        now: Mono,
        closed: Closed,
        gate: Gate,
        rest: Rest,
        out: &mut Vec<Effect>,
    ) {
        if gate == Gate::Wake && self.policy.not_called(&closed.utterance) {
            out.push(Effect::Ignore(Ignored::NoWake));
            return self.rest(now, rest);
        }
        let pending = self.pend(now, closed, gate, out);
        self.phase = Phase::Transcribing {
            pending,
            rest,
            next: None,
        };
    }

    pub(super) fn pend(
        &mut self,
        now: Mono,
        closed: Closed,
        gate: Gate,
        out: &mut Vec<Effect>,
    ) -> Pending {
        let turn = self.new_turn();
        let span = closed.utterance.span;
        let called = self.policy.called(&closed.utterance);
        out.push(Effect::Transcribe {
            turn,
            revision: Revision(0),
            utterance: UtteranceRef(closed.utterance),
            stage: Stage::Final,
        });
        Pending {
            turn,
            span,
            ended: closed.ended,
            endpoint: now,
            gate,
            called,
            by: now + self.policy.transcribe_limit,
            missed: false,
        }
    }

    pub(super) fn transcribed(&mut self, now: Mono, transcript: Transcript, out: &mut Vec<Effect>) {
        if self.guessed_turn() == Some(transcript.turn) {
            return self.guessed(now, transcript, out);
        }
        match self.take() {
            Phase::Transcribing {
                pending,
                rest,
                next,
            } if pending.turn == transcript.turn => {
                self.words(now, pending, transcript, rest, out);
                self.take_up(now, next, out);
            }
            Phase::Answering {
                live,
                aside: Some(aside),
                by,
            } if aside.turn == transcript.turn => {
                if let Some(reason) = self.not_for_us(transcript.text.as_str(), &aside) {
                    out.push(Effect::Ignore(reason));
                    self.phase = Phase::Answering {
                        live,
                        aside: None,
                        by,
                    };
                } else {
                    out.push(Effect::Abandon { turn: live.turn });
                    record(*live, Outcome::Cancelled, out);
                    self.words(now, aside, transcript, Rest::Idle, out);
                }
            }
            Phase::Speaking {
                live,
                doubt,
                aside: Some(aside),
                by,
            } if aside.turn == transcript.turn => {
                let proved = self.proved(doubt, aside.ended);
                if let Some(reason) = self.no_interruption(&live, transcript.text.as_str(), proved)
                {
                    out.push(Effect::Ignore(reason));
                    self.phase = Phase::Speaking {
                        live,
                        doubt,
                        aside: None,
                        by,
                    };
                    self.believe_nothing(out);
                } else {
                    let next = Some(Next::Words(aside, transcript));
                    self.hush(now, live, Outcome::Interrupted, next, User::Quiet, out);
                }
            }
            other => self.phase = other,
        }
    }

    /// Why words said while a question is being answered do not replace it: there are none, or, where a wake phrase is
    /// needed, they neither begin with it nor take the question back. A television must not cost the answer.
    fn not_for_us(&self, text: &str, aside: &Pending) -> Option<Ignored> {
        match &self.policy.start {
            _ if text.trim().is_empty() => Some(Ignored::Empty),
            Start::Key if !takes_back(text) => Some(Ignored::NoWake),
            Start::Phrase(phrase)
                if aside.called.is_none()
                    && match_wake(text, phrase) == WakeMatch::Absent
                    && !takes_back(text) =>
            {
                Some(Ignored::NoWake)
            }
            _ => None,
        }
    }

    /// Turns to what was said while the previous utterance was being transcribed.
    pub(super) fn take_up(&mut self, now: Mono, next: Option<Closed>, out: &mut Vec<Effect>) {
        if let Some(Closed { utterance, ended }) = next {
            self.utterance(now, utterance, ended, out);
        }
    }

    pub(super) fn words(
        &mut self,
        now: Mono,
        pending: Pending,
        transcript: Transcript,
        rest: Rest,
        out: &mut Vec<Effect>,
    ) {
        let text = transcript.text.as_str().trim();
        // The phrase alone, of which a small model may make nothing, opens the ear.
        if text.is_empty() && (pending.called.is_none() || pending.gate == Gate::Open) {
            out.push(Effect::Ignore(Ignored::Empty));
            return self.rest(now, rest);
        }
        if self.is_our_echo(pending.ended, pending.span, text) {
            out.push(Effect::Ignore(Ignored::Echo));
            return self.rest(now, rest);
        }
        let question = match (&self.policy.start, pending.gate) {
            (Start::Every | Start::Key, _) => text.to_owned(),
            (Start::Phrase(phrase), gate) => match (match_wake(text, phrase), gate) {
                (WakeMatch::Said(after), _) => {
                    let score = pending.called.unwrap_or(transcript.confidence);
                    out.push(Effect::Woke { score });
                    after
                }
                (WakeMatch::Absent, Gate::Open) => text.to_owned(),
                (WakeMatch::Absent, Gate::Wake) if let Some(score) = pending.called => {
                    out.push(Effect::Woke { score });
                    after_misheard(text, phrase)
                }
                (WakeMatch::Absent, Gate::Wake) => {
                    out.push(Effect::Ignore(Ignored::NoWake));
                    return self.rest(now, rest);
                }
            },
        };
        if question.is_empty() {
            return self.rest(
                now,
                Rest::Listening {
                    until: now + self.policy.no_speech,
                },
            );
        }
        let kind = if takes_back(&question) {
            Kind::Dismissal
        } else {
            Kind::Asked
        };
        let question = Private::new(question);
        let mut live = Live::new(pending.turn, kind, pending.span, pending.ended, question);
        live.language = transcript.language;
        live.confidence = transcript.confidence;
        live.receipt.endpoint_ms = live.after_speech(pending.endpoint);
        live.receipt.transcript_ms = live.after_speech(now);
        if pending.missed {
            live.receipt.speculation = Speculation::Miss;
        }
        self.ask(now, live, out);
    }

    /// Whether these are our own words, which the segmenter closed only after we had ended.
    pub(super) fn is_our_echo(&self, ended: Mono, span: Span, text: &str) -> bool {
        let began = ended - span.duration();
        self.policy.barge_in != BargeIn::Off
            && self.said.as_ref().is_some_and(|(said, ended)| {
                began < *ended + self.policy.settle && resembles(said.as_str(), text)
            })
    }

    pub(super) fn ask(&mut self, now: Mono, live: Live, out: &mut Vec<Effect>) {
        out.push(Effect::Ask {
            turn: live.turn,
            question: live.asked.clone(),
        });
        self.phase = Phase::Answering {
            live: Box::new(live),
            aside: None,
            by: now + self.policy.answer_limit,
        };
    }

    pub(super) fn transcribe_failed(&mut self, now: Mono, turn: TurnId, out: &mut Vec<Effect>) {
        self.guess_failed(turn);
        match self.take() {
            Phase::Transcribing {
                pending,
                rest,
                next,
            } if pending.turn == turn => {
                out.push(Effect::Ignore(Ignored::Empty));
                self.rest(now, rest);
                self.take_up(now, next, out);
            }
            Phase::Answering {
                live,
                aside: Some(aside),
                by,
            } if aside.turn == turn => {
                self.phase = Phase::Answering {
                    live,
                    aside: None,
                    by,
                };
            }
            Phase::Speaking {
                live,
                doubt,
                aside: Some(aside),
                by,
            } if aside.turn == turn => {
                self.phase = Phase::Speaking {
                    live,
                    doubt,
                    aside: None,
                    by,
                };
                self.believe_nothing(out);
            }
            other => self.phase = other,
        }
    }
}
