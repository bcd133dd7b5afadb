//! The conductor: the one task that owns the dialogue and the live turn.
//!
//! It waits for one thing (its inbox, the dialogue's deadline, shutdown), hands it to the dialogue, executes every effect,
//! and repeats; nothing here blocks. What threads and tasks report comes through the inbox (256 entries; a sender waits
//! when it is full, and the rings behind the senders absorb that). What is heard is handled in `hearing`, what
//! becomes of an answer in `answers`, effects in `effects`, what comes from keys and commands in `remote`.

mod answers;
mod effects;
mod hearing;
mod remote;
mod settings;
mod status;
mod welcome;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::desk::{Desk, Manner};
use super::effectors::Effectors;
use super::events::{Line, News, Sink};
use super::partials::Partials;
use super::parts::Hold;
use super::reload::Fresh;
use super::welcome::Welcome;
use crate::control::Call;
use crate::dialogue::{AgentEvent, Dialogue, Event, Key, Policy};
use crate::flow::Turn;
use crate::hearing::listen::EarEvent;
use crate::ids::{ChunkSeq, TurnId};
use crate::platform::clock::Clock;
use crate::private::Private;
use crate::speak::thread::SpeakEvent;
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
    pub hold: Option<Arc<Hold>>,
    /// Words while the user speaks.
    pub partials: Partials,
}

/// An utterance whose words are awaited or not yet told.
struct Reading {
    span: Span,
    speech: Span,
    /// Whether it has ended: what was read in a pause is told only when it is all.
    counts: bool,
    words: Option<Understood>,
}

/// What the transcriber made of an utterance.
struct Understood {
    text: Private<String>,
    language: String,
    confidence: f32,
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
    hold: Option<Arc<Hold>>,
    partials: Partials,
    /// Pauses that the ear has told of.
    pauses: u64,
    /// Utterances that the ear has told of.
    utterances: u64,
    /// One past the newest sample that the ear has looked at.
    input_at: SamplePos,
    input_ended: bool,
    /// Spans of utterances whose words are awaited.
    spans: HashMap<TurnId, Reading>,
    /// What is to be told of a reply that was begun in a pause, once it counts.
    untold: Vec<(TurnId, News)>,
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
            partials,
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
            partials,
            pauses: 0,
            utterances: 0,
            spans: HashMap::new(),
            untold: Vec::new(),
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
        if let Some(hold) = self.hold.as_ref().filter(|_| !self.dialogue.undecided()) {
            hold.decided(self.pauses);
        }
        if let Some(hold) = self
            .hold
            .as_ref()
            .filter(|_| self.dialogue.at_rest() && self.unstored.is_empty())
            // Where one turn was wanted and is had, the next question stays unheard.
            .filter(|_| self.until != Until::OneTurn || self.done.turns.is_empty())
        {
            hold.turns_over(self.utterances);
        }
    }

    fn emit(&mut self, turn: Option<TurnId>, news: News) {
        let private = self.remote.switches.is_private(turn);
        self.tell(turn, news, private);
    }

    fn tell(&mut self, turn: Option<TurnId>, news: News, private: bool) {
        match &news {
            News::Device { change } => self.effectors.keep_event("device", change),
            News::Backend { change } => self.effectors.keep_event("backend", change),
            News::Memory { change } => self.effectors.keep_event("memory", change),
            _ => {}
        }
        let line = Line {
            news: if private { news.without_words() } else { news },
            at: self.input_at.seconds(),
            turn,
            private,
        };
        (self.sink)(&line);
    }
}
