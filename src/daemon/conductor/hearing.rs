//! What the conductor does with what is heard: the ear's events, the utterance so far, and its words.

use std::time::Duration;

use super::{Conductor, Manner, News, Understood};
use crate::audio::echo::meter::EchoReport;
use crate::dialogue::Event;
use crate::flow::Utterance;
use crate::hearing::listen::EarEvent;
use crate::ids::TurnId;
use crate::private::Private;
use crate::time::{Anchor, SamplePos};
use crate::transcribe::thread::Answer;

impl Conductor {
    pub(super) fn ear(&mut self, event: EarEvent, anchor: Anchor) {
        self.input_at = self.input_at.max(anchor.at);
        self.anchor = anchor;
        match event {
            EarEvent::Ready { format } => {
                tracing::info!(
                    rate = format.rate,
                    channels = format.channels,
                    "the ear hears"
                );
                self.remote.source_hears();
                self.note_state();
                let news = self.effectors.ready_news(self.desk.backend());
                self.emit(None, news);
                self.greet();
            }
            EarEvent::Onset { .. } => self.dispatch(Event::SpeechOnset),
            EarEvent::Echo(report) => self.echo(report),
            EarEvent::Progress { .. } => {
                if self.dialogue.hears_for_us() && self.partials.wants(self.clock.now()) {
                    self.effectors.request_snapshot();
                }
            }
            EarEvent::Snapshot(so_far) => self.snapshot(so_far),
            EarEvent::SpeechStarted { at } => {
                self.emit(None, News::SpeechStart);
                self.dispatch(Event::SpeechStarted {
                    when: anchor.mono(at),
                });
            }
            EarEvent::SpeechResumed { at } => self.dispatch(Event::SpeechStarted {
                when: anchor.mono(at),
            }),
            EarEvent::SpeechPaused { so_far } => {
                self.pauses += 1;
                let ended = anchor.mono(so_far.speech.end);
                self.dispatch(Event::SpeechPaused { so_far, ended });
            }
            EarEvent::Dropped { .. } => {
                self.partials.over();
                self.dispatch(Event::SpeechDropped);
            }
            EarEvent::Utterance(utterance) => {
                self.utterances += 1;
                self.partials.over();
                self.emit(None, News::SpeechEnd);
                let ended = anchor.mono(utterance.speech.end);
                self.dispatch(Event::Utterance { utterance, ended });
            }
            EarEvent::Held(utterance) => {
                self.partials.over();
                let speech_end = utterance.as_ref().map(|utterance| utterance.speech.end);
                if speech_end.is_some() {
                    self.utterances += 1;
                    self.emit(None, News::SpeechEnd);
                }
                let ended = anchor.mono(speech_end.unwrap_or(anchor.at));
                self.dispatch(Event::Held { utterance, ended });
            }
            EarEvent::Zeros { .. } => self.emit(None, crate::daemon::words::microphone_silent()),
            EarEvent::Faint { peak } => {
                let peak_db = (20.0 * peak.max(1e-6).log10()) as i32;
                self.emit(None, crate::daemon::words::microphone_faint(peak_db));
            }
            EarEvent::ZerosEnded { .. } => self.emit(
                None,
                News::Device {
                    change: "the microphone has sound again".to_owned(),
                },
            ),
            EarEvent::Reformatted { format } => {
                let change = format!(
                    "the input goes on at {} Hz, {} channels",
                    format.rate, format.channels
                );
                self.emit(None, News::Device { change });
            }
            EarEvent::Lost { reason } => {
                self.remote.source_lost();
                self.partials.over();
                self.emit(
                    None,
                    News::Device {
                        change: format!("the input was lost: {reason}"),
                    },
                );
                self.dispatch(Event::InputLost);
            }
            EarEvent::StillLost { error } => {
                self.emit(None, crate::daemon::words::input_error(&error))
            }
            EarEvent::Ended => self.input_ended = true,
            EarEvent::Failed(error) => {
                self.emit(None, crate::daemon::words::input_error(&error));
                self.done.input_failed = Some(error);
            }
        }
    }

    /// While another program listens the user is in a call: we do not wake, and what we have to say unasked waits.
    pub(super) fn neighbours(&mut self, listen: bool) {
        self.effectors.yield_ear(listen);
        self.dispatch(Event::Yield(listen));
        let change = if listen {
            "another program uses the microphone: Hark does not wake, and timers wait (audio.yield_to_calls)"
        } else {
            "no other program uses the microphone any more: Hark listens again"
        };
        self.emit(
            None,
            News::Device {
                change: change.to_owned(),
            },
        );
    }

    /// Whether our own voice can be told from the user's has changed: who may interrupt follows from it.
    fn echo(&mut self, report: EchoReport) {
        tracing::info!(
            state = ?report.state,
            removed_db = report.removed_db,
            delay_ms = report.delay_ms,
            "echo cancellation"
        );
        if let Some(mode) = self.effectors.echo(report) {
            self.dispatch(Event::BargeIn(mode));
        }
        let words =
            crate::daemon::echo::words(report.state, report.removed_db as i32, report.delay_ms);
        if let Some(change) = words {
            self.emit(None, News::Device { change });
        }
    }

    /// The utterance so far: read it if the model has nothing else to do.
    fn snapshot(&mut self, so_far: Option<Utterance>) {
        let now = self.clock.now();
        if let Some(so_far) = self.partials.snapshot(now, so_far)
            && !self.effectors.read_in_spare_time(so_far)
        {
            self.partials.refused(now);
        }
    }

    /// Words while the user still speaks.
    fn partial(&mut self, of: SamplePos, text: &Private<String>, elapsed: Duration) {
        let now = self.clock.now();
        let Some(words) = self.partials.read(now, of, text.as_str(), elapsed) else {
            return;
        };
        if self.partials.fills(&words)
            && let Some(question) = self.dialogue.question_in(&words)
            && let Some(work) = self.desk.prefill(&question)
        {
            self.partials.fill(work);
        }
        let private = self.remote.switches.hides(of);
        let text = Private::new(words);
        self.tell(None, News::Partial { text }, private);
    }

    pub(super) fn whisper(&mut self, answer: Answer) {
        match answer {
            Answer::Partial { of, text, elapsed } => self.partial(of, &text, elapsed),
            Answer::Transcript(transcript) => {
                if let Some(reading) = self.spans.get_mut(&transcript.turn) {
                    reading.words = Some(Understood {
                        text: transcript.text.clone(),
                        language: transcript.language.clone(),
                        confidence: transcript.confidence,
                    });
                    self.tell_words(transcript.turn);
                }
                self.dispatch(Event::Transcribed(transcript));
            }
            Answer::Failed {
                turn,
                revision,
                error,
            } => {
                let reading = self.spans.remove(&turn);
                tracing::error!(%turn, %error, "no transcript");
                // What was read in a pause is read again when it has ended.
                if reading.is_none_or(|reading| reading.counts) {
                    self.emit(
                        Some(turn),
                        News::Error {
                            kind: "transcription".to_owned(),
                            message: error.to_string(),
                        },
                    );
                }
                self.dispatch(Event::TranscribeFailed {
                    turn,
                    revision,
                    kind: "transcription".to_owned(),
                });
            }
        }
    }

    /// Tells what was understood, once it counts and is known.
    pub(super) fn tell_words(&mut self, turn: TurnId) {
        let Some(reading) = self.spans.get(&turn).filter(|reading| reading.counts) else {
            return;
        };
        let Some(understood) = &reading.words else {
            return;
        };
        let news = News::Transcript {
            text: understood.text.clone(),
            start: reading.span.start.seconds(),
            end: reading.speech.end.seconds(),
            confidence: understood.confidence,
        };
        self.note_manner(turn);
        self.spans.remove(&turn);
        self.emit(Some(turn), news);
    }

    /// Tells the desk how the words of a turn were said, before it gets them.
    pub(super) fn note_manner(&mut self, turn: TurnId) {
        let Some(reading) = self.spans.get(&turn) else {
            return;
        };
        if let Some(understood) = &reading.words {
            self.desk.said_like(Manner {
                turn,
                language: understood.language.clone(),
                began: reading.speech.start,
            });
        }
    }
}
