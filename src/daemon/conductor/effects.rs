//! What the conductor does with each effect of the dialogue.

use std::sync::Arc;

use super::{Conductor, News, Reading, SOUNDS_HELD, Until};
use crate::dialogue::{AgentEvent, Effect, Event, SpeakerEvent, Stage};
use crate::flow::{ReplyChunk, Turn, Utterance};
use crate::ids::TurnId;
use crate::speak::thread::SpeakCommand;
use crate::time::Anchor;

/// What there is of an answer when its turn is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    Nothing,
    /// A clause was made ready in a pause.
    Clause,
}

impl Conductor {
    pub(super) fn execute(&mut self, effect: Effect) {
        match effect {
            Effect::Transcribe {
                turn,
                revision,
                utterance,
                stage,
            } => {
                let utterance = utterance.0;
                let counts = stage == Stage::Final;
                let reading = Reading {
                    span: utterance.span,
                    speech: utterance.speech,
                    counts,
                    words: None,
                };
                self.spans.insert(turn, reading);
                self.remote.switches.heard(turn, utterance.span);
                if counts {
                    self.keep_sound(turn, &utterance);
                }
                self.partials.refused(self.clock.now());
                if let Some(kind) = self.effectors.transcribe(turn, revision, utterance) {
                    self.dispatch(Event::TranscribeFailed {
                        turn,
                        revision,
                        kind,
                    });
                }
            }
            Effect::Ask { turn, question } => {
                self.asked(turn);
                let known = self.effectors.ask(&mut self.desk, turn, &question);
                self.begun(turn, known, Start::Nothing);
            }
            Effect::Keep { turn, utterance } => self.keep(turn, &utterance.0),
            Effect::Speculate { turn, question } => {
                self.note_manner(turn);
                for event in self.effectors.speculate(&mut self.desk, turn, &question) {
                    self.agent(turn, event);
                }
            }
            Effect::Prepare(chunk) => self.say(chunk, SpeakCommand::Prepare),
            Effect::Adopt { turn } => {
                self.asked(turn);
                for (of, news) in std::mem::take(&mut self.untold) {
                    if of == turn {
                        self.emit(Some(turn), news);
                    }
                }
                let known = self.effectors.adopt(&mut self.desk, turn);
                let start = if self.clauses.keys().any(|(of, _)| *of == turn) {
                    Start::Clause
                } else {
                    Start::Nothing
                };
                self.begun(turn, known, start);
            }
            Effect::Play { turn } => self.speak(turn, SpeakCommand::Play { turn }),
            Effect::EndAfter { pause, silence } => self.effectors.end_after(pause, silence),
            Effect::Abandon { turn } => {
                self.untold.retain(|(of, _)| *of != turn);
                if self.spans.remove(&turn).is_some() {
                    self.remote.switches.over(turn);
                }
                self.effectors.abandon(turn);
            }
            Effect::Say(chunk) => self.say(chunk, SpeakCommand::Say),
            Effect::EndSpeech { turn } => self.speak(turn, SpeakCommand::End { turn }),
            Effect::Hush { turn } => {
                self.speak(turn, SpeakCommand::Hush { turn });
                self.speak(turn, SpeakCommand::Resume);
            }
            Effect::Duck { turn } => {
                tracing::debug!(%turn, "ducked");
                self.speak(turn, SpeakCommand::Duck);
            }
            Effect::Pause { turn } => {
                tracing::debug!(%turn, "held");
                self.speak(turn, SpeakCommand::Pause);
            }
            Effect::Resume { turn } => self.speak(turn, SpeakCommand::Resume),
            Effect::CloseEar => self.effectors.close_ear(),
            Effect::OpenEar => self.effectors.open_ear(),
            Effect::Hold => self.effectors.hold_ear(),
            Effect::EndHold => self.effectors.end_hold(),
            Effect::LetGo => self.effectors.let_go(),
            Effect::Woke { score } => {
                self.effectors.turn_begins();
                let phrase = self.effectors.wake_phrase();
                self.emit(None, News::Wake { phrase, score });
            }
            Effect::Ignore(reason) => {
                self.effectors.turn_is_over();
                self.emit(None, News::Ignored { reason });
            }
            Effect::BargeIn { turn } => self.emit(Some(turn), News::BargeIn),
            Effect::Record(turn) => self.record(*turn),
        }
    }

    fn asked(&mut self, turn: TurnId) {
        self.asked_at = self.clock.now();
        self.remote.switches.asked(turn);
    }

    /// A turn was asked, and this is known of its answer.
    fn begun(&mut self, turn: TurnId, known: Vec<AgentEvent>, start: Start) {
        if let Some(wish) = self.desk.take_wish() {
            self.grant(wish);
        }
        // What is known at once, or was made ready in a pause, is its own sign that the question was taken.
        if known.is_empty() && start == Start::Nothing {
            self.effectors.earcon();
        }
        for event in known {
            self.agent(turn, event);
        }
    }

    /// What was read in a pause is all: it counts from now on.
    fn keep(&mut self, turn: TurnId, utterance: &Utterance) {
        self.remote.switches.heard(turn, utterance.span);
        self.keep_sound(turn, utterance);
        if let Some(reading) = self.spans.get_mut(&turn) {
            reading.span = utterance.span;
            reading.counts = true;
            self.tell_words(turn);
        }
    }

    fn say(&mut self, chunk: ReplyChunk, command: fn(ReplyChunk) -> SpeakCommand) {
        self.clauses
            .insert((chunk.turn, chunk.seq), chunk.text.clone());
        self.speak(chunk.turn, command(chunk));
    }

    /// What the speaking thread does not take is a failure of the turn.
    fn speak(&mut self, turn: TurnId, command: SpeakCommand) {
        if !self.effectors.speak(command) {
            self.dispatch(Event::Speaker(SpeakerEvent::Failed {
                turn,
                kind: "speaker_refused".to_owned(),
            }));
        }
    }

    /// Holds the sound of an utterance until its turn is recorded. Most come to nothing: only the newest are held.
    fn keep_sound(&mut self, turn: TurnId, utterance: &Utterance) {
        if self.keep_sounds && !self.remote.switches.is_private(Some(turn)) {
            self.sounds.insert(turn, Arc::clone(&utterance.samples));
            while self.sounds.len() > SOUNDS_HELD {
                self.sounds.pop_first();
            }
        }
    }

    fn record(&mut self, mut turn: Turn) {
        turn.receipt.prefix = self.desk.judge_prefix(&turn).map(str::to_owned);
        // Ids only grow: what is left of older ones was prepared and never said.
        self.clauses.retain(|(of, _), _| *of > turn.id);
        // A tool that was cut off had no chance to tell.
        for tool in turn
            .tools
            .iter()
            .filter(|tool| tool.outcome == "interrupted")
        {
            self.emit(Some(turn.id), News::tool(tool));
        }
        self.effectors.settled(turn.id);
        let now = self.present();
        self.desk.remember(&turn, now);
        self.remote.count_turn();
        self.unstored.insert(turn.id, turn.clone());
        let sound = self.sounds.remove(&turn.id);
        let private = self.remote.switches.is_private(Some(turn.id));
        let ago = self.clock.now().since(self.asked_at);
        let queued = !private && self.effectors.record(turn.clone(), ago, sound);
        if !(queued && self.log_works) {
            self.stored(turn.id, false);
        }
    }

    /// Where input and time stand. A fast file stands still while a turn is under way; a microphone does not.
    fn present(&self) -> Anchor {
        match self.hold {
            Some(_) => Anchor {
                at: self.input_at,
                when: self.clock.now(),
            },
            None => self.anchor.until(self.clock.now()),
        }
    }

    pub(super) fn stored(&mut self, id: TurnId, recorded: bool) {
        if let Some(turn) = self.unstored.remove(&id) {
            let news = News::Turn {
                outcome: turn.outcome,
                receipt: turn.receipt.clone(),
                recorded,
            };
            self.emit(Some(id), news);
            self.remote.switches.over(id);
            // A daemon that runs for months keeps no turn in memory: the log has them.
            if self.until != Until::Stopped {
                self.done.turns.push(turn);
            }
        }
        self.release();
    }
}
