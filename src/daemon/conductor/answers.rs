//! What the conductor does with what becomes of an answer: the agent's news and the loudspeaker's.

use super::{Conductor, News};
use crate::dialogue::{AgentEvent, Event, SpeakerEvent};
use crate::flow::Extent;
use crate::ids::TurnId;
use crate::speak::thread::{SpeakEvent, SpeakFailure};

impl Conductor {
    pub(super) fn agent(&mut self, turn: TurnId, event: AgentEvent) {
        // News of a turn that is no longer live says nothing to anyone; of one that may become so, it waits.
        let live = self.dialogue.live_turn() == Some(turn);
        if (live || self.dialogue.guessed_turn() == Some(turn))
            && let Some(news) = told_of(&event)
        {
            if live {
                self.emit(Some(turn), news);
            } else {
                self.untold.push((turn, news));
            }
        }
        self.dispatch(Event::Agent { turn, event });
    }

    pub(super) fn speaker(&mut self, event: SpeakEvent) {
        let event = match event {
            SpeakEvent::Synthesised { turn, seq, when } => {
                SpeakerEvent::Synthesised { turn, seq, when }
            }
            SpeakEvent::Audible { turn, seq, when } => SpeakerEvent::Audible { turn, seq, when },
            SpeakEvent::Heard(heard) => {
                if let Some(text) = self.clauses.remove(&(heard.turn, heard.seq)) {
                    self.emit(
                        Some(heard.turn),
                        News::Heard {
                            text,
                            cut: heard.extent != Extent::Whole,
                        },
                    );
                }
                SpeakerEvent::Heard(heard)
            }
            SpeakEvent::Finished { turn } | SpeakEvent::Hushed { turn } => {
                SpeakerEvent::Finished { turn }
            }
            SpeakEvent::SinkLost => return self.sink_lost(),
            SpeakEvent::Failed { turn, kind } => {
                let words =
                    crate::daemon::words::speaker_failure(kind, self.effectors.output_file());
                if kind == SpeakFailure::Output {
                    self.output_lost(&words.message);
                }
                self.emit(
                    Some(turn),
                    News::Error {
                        kind: words.kind.to_owned(),
                        message: words.message,
                    },
                );
                SpeakerEvent::Failed {
                    turn,
                    kind: words.kind.to_owned(),
                }
            }
        };
        let audible = match &event {
            SpeakerEvent::Audible { turn, .. } => Some(*turn),
            _ => None,
        };
        let first_audio = |conductor: &Self| conductor.dialogue.live_receipt()?.first_audio_ms;
        let before = first_audio(self);
        self.dispatch(Event::Speaker(event));
        // Words that only bridge a silence are no answer, and do not set it.
        if let (Some(turn), None, Some(start)) = (audible, before, first_audio(self)) {
            self.emit(Some(turn), News::Speaking { start: Some(start) });
        }
    }

    /// A loudspeaker is looked for at once; the turn that is being said waits for it.
    fn sink_lost(&mut self) {
        if self.effectors.output_file().is_none() {
            let change = "the loudspeaker was lost; looking for another".to_owned();
            self.emit(None, News::Device { change });
            self.effectors.mend_speaker();
        }
    }

    /// A loudspeaker is looked for; a file does not come back, and its loss is told once more at the end, when it counts.
    fn output_lost(&mut self, message: &str) {
        if self.effectors.output_file().is_none() {
            self.effectors.mend_speaker();
        } else if !self.done.trouble.iter().any(|told| told == message) {
            self.done.trouble.push(message.to_owned());
        }
    }
}

/// What the event stream tells of the agent's news.
fn told_of(event: &AgentEvent) -> Option<News> {
    match event {
        AgentEvent::Chunk(chunk) | AgentEvent::Filler(chunk) => Some(News::Reply {
            text: chunk.text.clone(),
        }),
        AgentEvent::Tool(tool) => Some(News::tool(tool)),
        AgentEvent::Done {
            backend,
            model,
            prompt_tokens,
            cached_tokens,
        } if backend != crate::daemon::desk::INTENTS => Some(News::Llm {
            backend: backend.clone(),
            model: model.clone(),
            prompt_tokens: *prompt_tokens,
            cached_tokens: *cached_tokens,
        }),
        AgentEvent::Failed { kind } => Some(News::Error {
            kind: kind.clone(),
            message: crate::daemon::words::agent_failure(kind),
        }),
        _ => None,
    }
}
