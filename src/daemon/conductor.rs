//! The conductor: the one task that owns the dialogue and the live turn.
//!
//! It waits for one thing (its inbox, the dialogue's deadline, shutdown), hands it to the dialogue, executes every effect,
//! and repeats; nothing here blocks. What threads and tasks report comes through the inbox (256 entries; a sender waits
//! when it is full, and the rings behind the senders absorb that). What comes from keys and commands is in `remote`.

mod remote;
mod settings;
mod status;
mod welcome;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::desk::{Desk, Manner};
use super::effectors::Effectors;
use super::events::{Line, News, Sink};
use super::reload::Fresh;
use super::welcome::Welcome;
use crate::audio::echo::meter::EchoReport;
use crate::control::Call;
use crate::dialogue::{AgentEvent, Dialogue, Effect, Event, Key, Policy, SpeakerEvent};
use crate::flow::{Extent, Turn, Utterance};
use crate::hearing::listen::EarEvent;
use crate::ids::{ChunkSeq, TurnId};
use crate::platform::clock::Clock;
use crate::private::Private;
use crate::speak::thread::{SpeakCommand, SpeakEvent, SpeakFailure};
use crate::time::{Anchor, Mono, SamplePos, Span};
use crate::transcribe::thread::Answer;

pub use remote::Remote;

/// Entries of the inbox.
pub const INBOX: usize = 256;

/// What the parts report.
#[derive(Debug)]
pub enum Report {
    /// The listening thread.
    Ear(EarEvent, Anchor),
    /// The whisper thread.
    Whisper(Answer),
    /// The agent's task of a turn.
    Agent(TurnId, AgentEvent),
    /// The speaking thread.
    Speaker(SpeakEvent),
    /// The store: this turn is on disk (`true`), or kept in memory because the log cannot be written.
    Stored(TurnId, bool),
    /// The log cannot be written: turns are kept in memory. The sentence for the user.
    LogUnwritable(String),
    /// All that waited is written.
    LogRecovered {
        /// How many turns that were.
        turns: usize,
    },
    /// Something is wrong with the log that the user should hear of.
    LogTrouble(String),
    /// A backend came, went or changed.
    Backend(String),
    /// The global push-to-talk key.
    Key(Key),
    /// A client of the control socket wants something.
    Call(Call),
    /// Something is to be said unasked: a timer rings.
    Announce(Private<String>),
    /// Memory ran short or is enough again, and what was done about it.
    Memory(String),
    /// A sentence for the user, said when nothing else is.
    Told(String),
    /// Another program listens, or none does any more.
    Neighbours(bool),
    /// The settings were changed: what is ready to be taken over.
    Settings(Box<Fresh>),
    /// The settings were changed and are wrong; the sentence for the user.
    SettingsWrong(String),
}

/// When the conductor ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// At shutdown.
    Stopped,
    /// When the input has ended and every turn in it is recorded.
    InputEnds,
    /// After the first turn.
    OneTurn,
}

/// Utterances whose sound is held while their words are awaited: at most 30 s each, so 8 MB in all.
const SOUNDS_HELD: usize = 4;

/// Why the conductor ended, and what it saw.
#[derive(Debug, Default)]
pub struct Summary {
    /// The turns, in order; none of a daemon that runs until it is stopped.
    pub turns: Vec<Turn>,
    /// The input failed for good; no use to go on.
    pub input_failed: Option<crate::audio::CaptureError>,
    /// What did not end cleanly: an output file that could not be finished, a thread that did not stop.
    pub trouble: Vec<String>,
}

/// What a conductor works with.
pub struct Parts {
    /// The daemon's clock.
    pub clock: Clock,
    /// What the parts report.
    pub inbox: mpsc::Receiver<Report>,
    /// The hands.
    pub effectors: Effectors,
    /// History, notebook, backend.
    pub desk: Desk,
    /// Where the event stream goes.
    pub sink: Sink,
    /// When it ends by itself.
    pub until: Until,
    /// Held by a fast file while a turn is under way, so that no question overtakes the answer before it.
    pub hold: Option<Arc<AtomicBool>>,
}

/// See the module.
pub struct Conductor {
    dialogue: Dialogue,
    clock: Clock,
    inbox: mpsc::Receiver<Report>,
    effectors: Effectors,
    desk: Desk,
    sink: Sink,
    until: Until,
    hold: Option<Arc<AtomicBool>>,
    /// One past the newest sample that the ear has looked at.
    input_at: SamplePos,
    input_ended: bool,
    /// Spans of utterances whose words are awaited.
    spans: HashMap<TurnId, (Span, Span)>,
    /// The newest block that the ear has told of.
    anchor: Anchor,
    /// When the live turn was asked.
    asked_at: Mono,
    /// Clauses of the live turn, for the `heard` lines.
    clauses: HashMap<(TurnId, ChunkSeq), Private<String>>,
    /// Records that wait for the store.
    unstored: HashMap<TurnId, Turn>,
    /// The sound of the newest utterances, where it is kept with their turns.
    sounds: BTreeMap<TurnId, Arc<[f32]>>,
    keep_sounds: bool,
    /// What is said at the first run.
    welcome: Option<Welcome>,
    /// Whether turns are recorded at all.
    keeps_records: bool,
    remote: Remote,
    /// Whether the store acknowledges; while it does not, turns are over without it.
    log_works: bool,
    done: Summary,
}

impl Conductor {
    /// Puts the parts together.
    pub fn new(policy: Policy, parts: Parts) -> Self {
        let Parts {
            clock,
            inbox,
            effectors,
            desk,
            sink,
            until,
            hold,
        } = parts;
        Self {
            dialogue: Dialogue::new(policy),
            clock,
            inbox,
            effectors,
            desk,
            sink,
            until,
            hold,
            input_at: SamplePos(0),
            input_ended: false,
            spans: HashMap::new(),
            anchor: Anchor {
                at: SamplePos(0),
                when: Mono::ZERO,
            },
            asked_at: Mono::ZERO,
            clauses: HashMap::new(),
            unstored: HashMap::new(),
            sounds: BTreeMap::new(),
            keep_sounds: false,
            welcome: None,
            keeps_records: false,
            remote: Remote::default(),
            log_works: true,
            done: Summary::default(),
        }
    }

    /// With what an earlier run has switched, and what `status` tells beside the conversation.
    #[must_use]
    pub fn with_remote(mut self, remote: Remote) -> Self {
        if remote.switches.muted() {
            self.effectors.mute(true);
        }
        self.desk.off_record(remote.switches.off_record());
        self.remote = remote;
        self
    }

    /// With records of turns, and where `sounds` is set the sound of each question beside its turn.
    #[must_use]
    pub const fn keeping(mut self, records: bool, sounds: bool) -> Self {
        self.keeps_records = records;
        self.keep_sounds = records && sounds;
        self
    }

    /// Runs until its end, see [`Until`], or until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) -> Summary {
        while !self.finished() {
            let deadline = self.dialogue.deadline();
            let sleep = async {
                match deadline {
                    Some(deadline) => {
                        tokio::time::sleep_until(self.clock.instant(deadline).into()).await
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                report = self.inbox.recv() => match report {
                    Some(report) => self.report(report),
                    None => break,
                },
                () = sleep => self.tick(),
            }
        }
        self.dispatch(Event::Shutdown);
        self.drain().await;
        let Self {
            inbox,
            effectors,
            mut done,
            ..
        } = self;
        // A thread that waits for room in the inbox must not keep the shutdown waiting.
        drop(inbox);
        done.trouble.extend(effectors.close().await);
        done
    }

    /// Whether nothing is left to do.
    fn finished(&self) -> bool {
        if self.done.input_failed.is_some() {
            return true;
        }
        let quiet = self.dialogue.at_rest() && self.unstored.is_empty();
        match self.until {
            Until::Stopped => false,
            Until::InputEnds => self.input_ended && quiet,
            Until::OneTurn => quiet && (self.input_ended || !self.done.turns.is_empty()),
        }
    }

    /// Waits for the store to acknowledge what has been recorded: a second at most.
    async fn drain(&mut self) {
        let limit = tokio::time::sleep(Duration::from_secs(2));
        tokio::pin!(limit);
        while !self.unstored.is_empty() {
            tokio::select! {
                report = self.inbox.recv() => match report {
                    Some(Report::Stored(turn, kept)) => self.stored(turn, kept),
                    Some(_) => {}
                    None => return,
                },
                () = &mut limit => {
                    tracing::error!(turns = self.unstored.len(), "the transcript log did not acknowledge in time");
                    return;
                }
            }
        }
    }

    fn tick(&mut self) {
        self.dispatch(Event::Tick);
    }

    fn report(&mut self, report: Report) {
        match report {
            Report::Ear(event, anchor) => self.ear(event, anchor),
            Report::Whisper(answer) => self.whisper(answer),
            Report::Agent(turn, event) => self.agent(turn, event),
            Report::Speaker(event) => self.speaker(event),
            Report::Stored(turn, kept) => self.stored(turn, kept),
            Report::LogUnwritable(advice) => {
                self.log_works = false;
                self.log_trouble(advice);
                for turn in self.unstored.keys().copied().collect::<Vec<_>>() {
                    self.stored(turn, false);
                }
            }
            Report::LogRecovered { turns } => {
                self.log_works = true;
                tracing::info!(turns, "the transcript log is written again");
            }
            Report::LogTrouble(message) => self.log_trouble(message),
            Report::Announce(text) => self.dispatch(Event::Announce(text)),
            Report::Backend(change) => self.emit(None, News::Backend { change }),
            Report::Key(key) => {
                // Why it did nothing has been told.
                self.key(key).ok();
            }
            Report::Call(call) => self.call(call),
            Report::Memory(change) => self.emit(None, News::Memory { change }),
            Report::Told(words) => self.dispatch(Event::Announce(Private::new(words))),
            Report::Neighbours(listen) => self.neighbours(listen),
            Report::Settings(fresh) => self.take_over(*fresh),
            Report::SettingsWrong(message) => self.settings_wrong(message),
        }
    }

    /// Tells once, aloud, what is wrong with the log.
    fn log_trouble(&mut self, message: String) {
        tracing::warn!(message, "transcript log");
        self.emit(
            None,
            News::Error {
                kind: "transcript_log".to_owned(),
                message: message.clone(),
            },
        );
        self.dispatch(Event::Announce(Private::new(message)));
    }

    fn dispatch(&mut self, event: Event) {
        let effects = self.dialogue.handle(self.clock.now(), event);
        for effect in effects {
            self.execute(effect);
        }
        self.note_state();
        self.release();
    }

    /// Lets a fast file go on when nothing is under way.
    fn release(&self) {
        if let Some(hold) = self
            .hold
            .as_ref()
            .filter(|_| self.dialogue.at_rest() && self.unstored.is_empty())
            // Where one turn was wanted and is had, the next question stays unheard.
            .filter(|_| self.until != Until::OneTurn || self.done.turns.is_empty())
        {
            hold.store(false, Ordering::Release);
        }
    }

    fn ear(&mut self, event: EarEvent, anchor: Anchor) {
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
            EarEvent::Snapshot(_) | EarEvent::Progress { .. } => {}
            EarEvent::SpeechStarted { at } => {
                self.emit(None, News::SpeechStart);
                self.dispatch(Event::SpeechStarted {
                    when: anchor.mono(at),
                });
            }
            EarEvent::SpeechResumed { at } => self.dispatch(Event::SpeechStarted {
                when: anchor.mono(at),
            }),
            EarEvent::SpeechPaused { .. } => self.dispatch(Event::SpeechPaused),
            EarEvent::Dropped { .. } => self.dispatch(Event::SpeechDropped),
            EarEvent::Utterance(utterance) => {
                self.emit(None, News::SpeechEnd);
                let ended = anchor.mono(utterance.speech.end);
                self.dispatch(Event::Utterance { utterance, ended });
            }
            EarEvent::Held(utterance) => {
                let speech_end = utterance.as_ref().map(|utterance| utterance.speech.end);
                if speech_end.is_some() {
                    self.emit(None, News::SpeechEnd);
                }
                let ended = anchor.mono(speech_end.unwrap_or(anchor.at));
                self.dispatch(Event::Held { utterance, ended });
            }
            EarEvent::Zeros { .. } => self.emit(None, super::words::microphone_silent()),
            EarEvent::Faint { peak } => {
                let peak_db = (20.0 * peak.max(1e-6).log10()) as i32;
                self.emit(None, super::words::microphone_faint(peak_db));
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
                self.emit(
                    None,
                    News::Device {
                        change: format!("the input was lost: {reason}"),
                    },
                );
                self.dispatch(Event::InputLost);
            }
            EarEvent::StillLost { error } => self.emit(None, super::words::input_error(&error)),
            EarEvent::Ended => self.input_ended = true,
            EarEvent::Failed(error) => {
                self.emit(None, super::words::input_error(&error));
                self.done.input_failed = Some(error);
            }
        }
    }

    /// While another program listens the user is in a call: we do not wake, and what we have to say unasked waits.
    fn neighbours(&mut self, listen: bool) {
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
        let words = super::echo::words(report.state, report.removed_db as i32, report.delay_ms);
        if let Some(change) = words {
            self.emit(None, News::Device { change });
        }
    }

    fn whisper(&mut self, answer: Answer) {
        match answer {
            Answer::Transcript(transcript) => {
                if let Some((span, speech)) = self.spans.remove(&transcript.turn) {
                    let news = News::Transcript {
                        text: transcript.text.clone(),
                        start: span.start.seconds(),
                        end: speech.end.seconds(),
                        confidence: transcript.confidence,
                    };
                    self.emit(Some(transcript.turn), news);
                    self.desk.said_like(Manner {
                        turn: transcript.turn,
                        language: transcript.language.clone(),
                        began: speech.start,
                    });
                }
                self.dispatch(Event::Transcribed(transcript));
            }
            Answer::Failed {
                turn,
                revision,
                error,
            } => {
                self.spans.remove(&turn);
                tracing::error!(%turn, %error, "no transcript");
                self.emit(
                    Some(turn),
                    News::Error {
                        kind: "transcription".to_owned(),
                        message: error.to_string(),
                    },
                );
                self.dispatch(Event::TranscribeFailed {
                    turn,
                    revision,
                    kind: "transcription".to_owned(),
                });
            }
        }
    }

    fn agent(&mut self, turn: TurnId, event: AgentEvent) {
        // News of a turn that is no longer live says nothing to anyone.
        if self.dialogue.live_turn() == Some(turn) {
            match &event {
                AgentEvent::Chunk(chunk) | AgentEvent::Filler(chunk) => self.emit(
                    Some(turn),
                    News::Reply {
                        text: chunk.text.clone(),
                    },
                ),
                AgentEvent::Done {
                    backend,
                    model,
                    prompt_tokens,
                    cached_tokens,
                } if backend != super::desk::INTENTS => {
                    let news = News::Llm {
                        backend: backend.clone(),
                        model: model.clone(),
                        prompt_tokens: *prompt_tokens,
                        cached_tokens: *cached_tokens,
                    };
                    self.emit(Some(turn), news);
                }
                AgentEvent::Tool(tool) => self.emit(Some(turn), News::tool(tool)),
                AgentEvent::Failed { kind } => {
                    let message = super::words::agent_failure(kind);
                    self.emit(
                        Some(turn),
                        News::Error {
                            kind: kind.clone(),
                            message,
                        },
                    );
                }
                _ => {}
            }
        }
        self.dispatch(Event::Agent { turn, event });
    }

    fn speaker(&mut self, event: SpeakEvent) {
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
                let words = super::words::speaker_failure(kind, self.effectors.output_file());
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

    fn execute(&mut self, effect: Effect) {
        match effect {
            Effect::Transcribe {
                turn,
                revision,
                utterance,
            } => {
                let utterance = utterance.0;
                self.spans.insert(turn, (utterance.span, utterance.speech));
                self.remote.switches.heard(turn, utterance.span);
                self.keep_sound(turn, &utterance);
                if let Some(kind) = self.effectors.transcribe(turn, revision, utterance) {
                    self.dispatch(Event::TranscribeFailed {
                        turn,
                        revision,
                        kind,
                    });
                }
            }
            Effect::Ask { turn, question } => {
                self.asked_at = self.clock.now();
                self.remote.switches.asked(turn);
                let known = self.effectors.ask(&mut self.desk, turn, &question);
                if let Some(wish) = self.desk.take_wish() {
                    self.grant(wish);
                }
                // What is known at once is its own sign that the question was taken.
                if known.is_empty() {
                    self.effectors.earcon();
                }
                for event in known {
                    self.agent(turn, event);
                }
            }
            Effect::Abandon { turn } => {
                if self.spans.remove(&turn).is_some() {
                    self.remote.switches.over(turn);
                }
                self.effectors.abandon(turn);
            }
            Effect::Say(chunk) => {
                self.clauses
                    .insert((chunk.turn, chunk.seq), chunk.text.clone());
                self.speak(chunk.turn, SpeakCommand::Say(chunk));
            }
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
        self.clauses.retain(|(of, _), _| *of != turn.id);
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

    fn stored(&mut self, id: TurnId, recorded: bool) {
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

    fn emit(&mut self, turn: Option<TurnId>, news: News) {
        match &news {
            News::Device { change } => self.effectors.keep_event("device", change),
            News::Backend { change } => self.effectors.keep_event("backend", change),
            News::Memory { change } => self.effectors.keep_event("memory", change),
            _ => {}
        }
        let private = self.remote.switches.is_private(turn);
        let line = Line {
            news: if private { news.without_words() } else { news },
            at: self.input_at.seconds(),
            turn,
            private,
        };
        (self.sink)(&line);
    }
}
