//! The transitions. One function an event kind; each takes the phase out, and puts the next one in.

use std::collections::VecDeque;
use std::time::Duration;

use crate::flow::Receipt;
use crate::ids::TurnId;
use crate::private::Private;
use crate::time::Mono;

use super::effect::Effect;
use super::event::Event;
use super::interrupt::Doubt;
use super::live::Live;
use super::phase::{Gate, Phase, Rest, WaitReason};
use super::policy::{BargeIn, Policy, Start};

/// Announcements that wait for the conversation to rest. More than this at once are of no use to anyone.
pub(super) const MAX_ANNOUNCEMENTS: usize = 8;

/// The conversation. See the module's picture.
#[derive(Debug)]
pub struct Dialogue {
    pub(super) policy: Policy,
    pub(super) phase: Phase,
    /// The next id to be given.
    pub(super) next_turn: TurnId,
    /// Things to say as soon as nobody is speaking.
    pub(super) announcements: VecDeque<Private<String>>,
    /// The user is in a call: announcements wait.
    pub(super) yields: bool,
    /// What we said last, and when it ended: an echo of it may still come out of the transcriber.
    pub(super) said: Option<(Private<String>, Mono)>,
}

impl Dialogue {
    /// A conversation at rest.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            phase: Phase::Idle,
            next_turn: TurnId(1),
            announcements: VecDeque::new(),
            yields: false,
            said: None,
        }
    }

    /// Applies one event. Total: never panics, blocks, or reads a clock.
    pub fn handle(&mut self, now: Mono, event: Event) -> Vec<Effect> {
        let mut out = Vec::new();
        match event {
            Event::Tick => self.tick(now, &mut out),
            Event::SpeechOnset => self.speech_onset(now, &mut out),
            Event::SpeechStarted { when } => self.speech_started(now, when, &mut out),
            Event::SpeechPaused { so_far, ended } => {
                self.speech_paused(now, &mut out);
                self.guess(so_far, ended, &mut out);
            }
            Event::SpeechDropped => self.speech_dropped(now, &mut out),
            Event::Utterance { utterance, ended } => {
                self.utterance(now, utterance, ended, &mut out)
            }
            Event::InputLost => self.input_lost(&mut out),
            Event::Key(key) => self.key(now, key, &mut out),
            Event::Held { utterance, ended } => self.held(now, utterance, ended, &mut out),
            Event::Transcribed(transcript) => self.transcribed(now, transcript, &mut out),
            Event::TranscribeFailed { turn, .. } => self.transcribe_failed(now, turn, &mut out),
            Event::Agent { turn, event } => self.agent(now, turn, event, &mut out),
            Event::Speaker(event) => self.speaker(now, event, &mut out),
            Event::BargeIn(mode) => self.set_barge_in(mode),
            Event::Yield(yields) => self.yields = yields,
            Event::Outdated => self.outdated(&mut out),
            Event::Announce(text) => self.announce(text),
            Event::Typed(question) => self.typed(now, question, &mut out),
            Event::Stop => self.stop(now, &mut out),
            Event::Shutdown => self.shutdown(&mut out),
        }
        if !self.yields && matches!(self.phase, Phase::Idle | Phase::Listening { .. }) {
            self.next_announcement(now, &mut out);
        }
        out
    }

    /// When [`Event::Tick`] would next matter. Derived from the phase, so it cannot be stale.
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        match &self.phase {
            Phase::Idle | Phase::Closed => None,
            Phase::Listening { until } | Phase::Settling { until, .. } => Some(*until),
            Phase::Hearing { by, .. } | Phase::Holding { by, .. } | Phase::Hushing { by, .. } => {
                Some(*by)
            }
            Phase::Transcribing { pending, .. } => Some(pending.by),
            Phase::Answering { aside, by, .. } => {
                Some(aside.as_ref().map_or(*by, |aside| aside.by.min(*by)))
            }
            Phase::Speaking {
                doubt, aside, by, ..
            } => {
                let aside = aside.as_ref().map(|aside| aside.by);
                let doubt = doubt.map(Doubt::deadline);
                [Some(*by), doubt, aside].into_iter().flatten().min()
            }
        }
    }

    /// Why that deadline exists; for `status` and logs.
    #[must_use]
    pub fn waiting_for(&self) -> WaitReason {
        match &self.phase {
            Phase::Idle | Phase::Closed => WaitReason::Nothing,
            Phase::Listening { .. } => WaitReason::UserToSpeak,
            Phase::Hearing { .. } | Phase::Holding { .. } => WaitReason::UserToFinish,
            Phase::Transcribing { .. } => WaitReason::Transcript,
            Phase::Answering { .. } => WaitReason::Answer,
            Phase::Speaking { doubt: Some(_), .. } => WaitReason::Doubt,
            Phase::Speaking { .. } | Phase::Hushing { .. } => WaitReason::Speaker,
            Phase::Settling { .. } => WaitReason::Room,
        }
    }

    /// Whether nothing of a turn is under way: a file that has ended may be left.
    #[must_use]
    pub fn at_rest(&self) -> bool {
        matches!(
            self.phase,
            Phase::Idle | Phase::Listening { .. } | Phase::Closed
        ) && self.announcements.is_empty()
    }

    /// The turn that has been asked and not recorded.
    #[must_use]
    pub fn live_turn(&self) -> Option<TurnId> {
        match &self.phase {
            Phase::Answering { live, .. }
            | Phase::Speaking { live, .. }
            | Phase::Hushing { live, .. } => Some(live.turn),
            _ => None,
        }
    }

    /// The receipt of that turn as far as it is written.
    #[must_use]
    pub fn live_receipt(&self) -> Option<&Receipt> {
        match &self.phase {
            Phase::Answering { live, .. }
            | Phase::Speaking { live, .. }
            | Phase::Hushing { live, .. } => Some(&live.receipt),
            _ => None,
        }
    }

    /// Switches between interrupting by any speech and by the wake phrase. A closed ear stays closed: opening and closing it
    /// belongs to the phases.
    fn set_barge_in(&mut self, mode: BargeIn) {
        if self.policy.barge_in != BargeIn::Off && mode != BargeIn::Off {
            self.policy.barge_in = mode;
        }
    }

    /// Another length of follow-ups, from the next answer on.
    pub const fn follow_ups(&mut self, follow_up: Duration) {
        self.policy.follow_up = follow_up;
    }

    /// Whether the words of a pause are awaited, on which depends how long its silence must last. A driver that reads a
    /// file faster than real time waits here.
    #[must_use]
    pub fn undecided(&self) -> bool {
        matches!(&self.phase, Phase::Hearing { guesses, .. } if guesses.undecided())
    }

    /// Whether somebody is speaking to us at this moment: words that are worth showing.
    #[must_use]
    pub fn hears_for_us(&self) -> bool {
        match &self.phase {
            Phase::Hearing { gate, guesses, .. } => *gate == Gate::Open && guesses.turn().is_none(),
            Phase::Holding { spoke, .. } => *spoke,
            _ => false,
        }
    }

    /// The turn of the reply that may have been begun in this pause.
    #[must_use]
    pub fn guessed_turn(&self) -> Option<TurnId> {
        match &self.phase {
            Phase::Hearing { guesses, .. } => guesses.turn(),
            _ => None,
        }
    }

    pub(super) fn take(&mut self) -> Phase {
        std::mem::replace(&mut self.phase, Phase::Idle)
    }

    pub(super) fn new_turn(&mut self) -> TurnId {
        let turn = self.next_turn;
        self.next_turn = turn.next();
        turn
    }

    pub(super) fn resting_gate(&self) -> Gate {
        match self.policy.start {
            Start::Every => Gate::Open,
            Start::Phrase(_) | Start::Key => Gate::Wake,
        }
    }

    pub(super) fn rest(&mut self, now: Mono, rest: Rest) {
        self.phase = match rest {
            Rest::Listening { until } if until > now => Phase::Listening { until },
            Rest::Listening { .. } | Rest::Idle => Phase::Idle,
        };
    }

    /// How long a follow-up to this answer needs no wake phrase.
    pub(super) fn window(&self, live: &Live) -> Duration {
        match (live.asked_back, self.policy.follow_up) {
            (true, follow_up) if follow_up > Duration::ZERO => follow_up.max(self.policy.consent),
            (_, follow_up) => follow_up,
        }
    }

    /// Where to rest after an answer: a follow-up needs no wake phrase for a while.
    pub(super) fn rest_after_answer(&self, now: Mono, window: Duration) -> Rest {
        match self.policy.start {
            Start::Phrase(_) | Start::Key if window > Duration::ZERO => Rest::Listening {
                until: now + window,
            },
            _ => Rest::Idle,
        }
    }
}
