//! The hands of the conductor: each effect of the dialogue becomes one call here, and none of them waits.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::conductor::Report;
use super::desk::{Answering, Desk};
use super::echo::EchoCare;
use super::events::News;
use super::gateway::Seats;
use super::neighbours::Neighbours;
use super::parts::{Names, SpeakerHandle, StoreHandle};
use crate::audio::echo::meter::EchoReport;
use crate::dialogue::{AgentEvent, BargeIn};
use crate::flow::{Turn, Utterance};
use crate::hearing::listen::{Ear, PauseReason};
use crate::ids::{Revision, TurnId};
use crate::private::Private;
use crate::speak::thread::SpeakCommand;
use crate::time::SamplePos;
use crate::transcribe::TranscribeOptions;
use crate::transcribe::thread::{Exchange, Request, Spare, Submitted, WhisperThread};

/// See the module.
pub struct Effectors {
    names: Names,
    language: String,
    reports: mpsc::Sender<Report>,
    whisper: WhisperThread,
    speaker: SpeakerHandle,
    ear: Ear,
    store: Option<StoreHandle>,
    /// Whether a sound tells that a question was taken.
    earcons: bool,
    /// Whether anybody would hear it: a file that is written as fast as it can be has no time in which a sound would tell
    /// anybody anything.
    earcons_heard: bool,
    /// Agent tasks that run, by turn.
    tasks: HashMap<TurnId, CancellationToken>,
    /// Where other programs use the model, too.
    seats: Option<Seats>,
    echo: Option<EchoCare>,
    neighbours: Option<Neighbours>,
}

impl Effectors {
    /// Takes the parts, all of them started.
    pub fn new(
        names: Names,
        language: String,
        reports: mpsc::Sender<Report>,
        whisper: WhisperThread,
        speaker: SpeakerHandle,
        ear: Ear,
        store: Option<StoreHandle>,
    ) -> Self {
        Self {
            names,
            language,
            reports,
            whisper,
            speaker,
            ear,
            store,
            earcons: false,
            earcons_heard: false,
            tasks: HashMap::new(),
            echo: None,
            neighbours: None,
            seats: None,
        }
    }

    /// The same, beside programs that use the model through the gateway.
    #[must_use]
    pub fn with_seats(self, seats: Option<Seats>) -> Self {
        Self { seats, ..self }
    }

    /// The user has woken us: other programs make room before the question is known.
    pub fn turn_begins(&self) {
        if let Some(seats) = &self.seats {
            seats.hold();
        }
    }

    /// Nothing comes of it, or it has been answered.
    pub fn turn_is_over(&self) {
        if let Some(seats) = &self.seats {
            seats.release();
        }
    }

    /// Switches the sound on that tells that a question was taken, where it would be `heard`.
    #[must_use]
    pub const fn with_earcons(mut self, earcons: bool, heard: bool) -> Self {
        self.earcons_heard = heard;
        self.set_earcons(earcons);
        self
    }

    /// Switches that sound off or on; where nobody would hear it, it stays off.
    pub const fn set_earcons(&mut self, earcons: bool) {
        self.earcons = earcons && self.earcons_heard;
    }

    /// Plays the sound that tells that a question was taken, where that is wanted.
    pub fn earcon(&self) {
        // One that the speaking thread has no room for is no loss.
        if self.earcons && !self.speaker.tell(SpeakCommand::Earcon) {
            tracing::debug!("no room for an earcon");
        }
    }

    /// What the parts are called.
    pub const fn names(&self) -> &Names {
        &self.names
    }

    /// Closes the ear for the user, or opens it; it stays so when the device changes.
    pub fn mute(&self, muted: bool) {
        if muted {
            self.ear.control.pause(PauseReason::Muted);
        } else {
            self.ear.control.resume(PauseReason::Muted);
        }
    }

    /// Adds the care for our own echo.
    #[must_use]
    pub fn with_echo(mut self, care: EchoCare) -> Self {
        self.echo = Some(care);
        self
    }

    /// Takes a verdict on our own echo; who may interrupt from now on, where that follows from it.
    pub fn echo(&mut self, report: EchoReport) -> Option<BargeIn> {
        let care = self.echo.as_mut()?;
        care.take(report, &self.names.input, &self.names.output)
    }

    /// The last verdict on our own echo, for `status`.
    #[must_use]
    pub fn last_echo(&self) -> EchoReport {
        self.echo.as_ref().map(EchoCare::last).unwrap_or_default()
    }

    /// What is told when the ear is ready.
    pub fn ready_news(&self, backend: Option<String>) -> News {
        News::Ready {
            input: self.names.input.clone(),
            output: self.names.output.clone(),
            stt_model: self.names.model.clone(),
            backend,
        }
    }

    /// The wake phrase, for the event stream.
    pub fn wake_phrase(&self) -> String {
        self.names.phrase.clone()
    }

    /// The way to another speech model.
    #[must_use]
    pub fn speech_exchange(&self) -> Exchange {
        self.whisper.exchange()
    }

    /// Gives an utterance to the whisper thread. What it refuses is told as a failure, so that the dialogue does not wait.
    #[must_use]
    pub fn transcribe(
        &self,
        turn: TurnId,
        revision: Revision,
        utterance: Utterance,
    ) -> Option<String> {
        let options = TranscribeOptions {
            language: self.language.clone(),
            timestamps: false,
        };
        match self.whisper.submit(Request {
            turn,
            revision,
            samples: utterance.samples,
            options,
        }) {
            Submitted::Accepted => None,
            Submitted::Stale => Some("stale".to_owned()),
            Submitted::ThreadGone => Some("whisper_gone".to_owned()),
        }
    }

    /// Starts to answer. What is known at once is returned, to be handled before anything else.
    #[must_use]
    pub fn ask(
        &mut self,
        desk: &mut Desk,
        turn: TurnId,
        question: &Private<String>,
    ) -> Vec<AgentEvent> {
        let answering = desk.answer(turn, question);
        self.begin(turn, answering)
    }

    fn begin(&mut self, turn: TurnId, answering: Answering) -> Vec<AgentEvent> {
        match answering {
            Answering::Now { events, .. } => {
                self.turn_is_over();
                events
            }
            Answering::Later(work) => {
                let cancel = CancellationToken::new();
                self.tasks.retain(|_, token| !token.is_cancelled());
                self.tasks.insert(turn, cancel.clone());
                let work = work(cancel, self.reports.clone(), None);
                let seats = self.seats.clone();
                tokio::spawn(async move {
                    work.await;
                    // While the answer is spoken the model is free.
                    if let Some(seats) = seats {
                        seats.release();
                    }
                });
                Vec::new()
            }
        }
    }

    /// Begins an answer that may never be heard, see [`Desk::speculate`].
    #[must_use]
    pub fn speculate(
        &mut self,
        desk: &mut Desk,
        turn: TurnId,
        question: &Private<String>,
    ) -> Vec<AgentEvent> {
        match desk.speculate(turn, question) {
            // Whether the model is needed is known when the turn is.
            Answering::Now { events, .. } => events,
            later => self.begin(turn, later),
        }
    }

    /// What was begun for this turn is its answer; returns what is known at once now that it may have effects.
    #[must_use]
    pub fn adopt(&mut self, desk: &mut Desk, turn: TurnId) -> Vec<AgentEvent> {
        match desk.adopt(turn) {
            Some(answering) => self.begin(turn, answering),
            None => Vec::new(),
        }
    }

    /// Asks the ear for the utterance so far.
    pub fn request_snapshot(&self) {
        self.ear.control.request_snapshot();
    }

    /// Has the utterance so far read, if the whisper thread has nothing to do; `false` when it has.
    #[must_use]
    pub fn read_in_spare_time(&self, so_far: Utterance) -> bool {
        let options = TranscribeOptions {
            language: self.language.clone(),
            timestamps: false,
        };
        self.whisper.try_spare(Spare {
            of: so_far.speech.start,
            samples: so_far.samples,
            options,
        })
    }

    /// Tells the ear how long a pause may last.
    pub fn end_after(&self, pause: SamplePos, silence: Duration) {
        self.ear.control.end_after(pause, silence);
    }

    /// Stops the work on a turn.
    pub fn abandon(&mut self, turn: TurnId) {
        self.whisper.cancel(turn);
        if let Some(token) = self.tasks.remove(&turn) {
            token.cancel();
        }
    }

    /// Forgets the task of a turn that is over.
    pub fn settled(&mut self, turn: TurnId) {
        self.turn_is_over();
        self.tasks.remove(&turn);
    }

    /// Tells the speaking thread; `false` when it takes nothing: the turn cannot be said.
    #[must_use]
    pub fn speak(&self, command: SpeakCommand) -> bool {
        self.speaker.tell(command)
    }

    /// The file that is spoken into, where it is one.
    #[must_use]
    pub fn output_file(&self) -> Option<&str> {
        self.speaker.is_file().then_some(self.names.output.as_str())
    }

    /// Looks for a lost loudspeaker.
    pub fn mend_speaker(&self) {
        self.speaker.mend();
    }

    /// Stops hearing while we speak.
    pub fn close_ear(&self) {
        self.ear.control.pause(PauseReason::Speaking);
    }

    /// Hears again.
    pub fn open_ear(&self) {
        self.ear.control.resume(PauseReason::Speaking);
    }

    /// The push-to-talk key is down.
    pub fn hold_ear(&self) {
        self.ear.control.hold();
    }

    /// It is up: what was said is over.
    pub fn end_hold(&self) {
        self.ear.control.release();
    }

    /// It was tapped, or is not wanted any more.
    pub fn let_go(&self) {
        self.ear.control.let_go();
    }

    /// Stops hearing while another program listens, or hears again.
    pub fn yield_ear(&self, yields: bool) {
        if yields {
            self.ear.control.pause(PauseReason::Yielding);
        } else {
            self.ear.control.resume(PauseReason::Yielding);
        }
    }

    /// Keeps the watch over other programs until the end.
    #[must_use]
    pub fn with_neighbours(mut self, watch: Option<Neighbours>) -> Self {
        self.neighbours = watch;
        self
    }

    /// Gives a record to the store, `ago` after the question was asked, with the question's sound where that is kept; `false` when there is none to take it.
    #[must_use]
    pub fn record(&self, turn: Turn, ago: Duration, sound: Option<Arc<[f32]>>) -> bool {
        self.store
            .as_ref()
            .is_some_and(|store| store.record(turn, ago, sound))
    }

    /// Keeps a change of device or backend in the transcript log, beside the turns.
    pub fn keep_event(&self, kind: &'static str, change: &str) {
        if let Some(store) = &self.store {
            store.event(kind, change);
        }
    }

    /// Ends every thread, the ear first: 5 s in all, then what did not stop is named.
    pub async fn close(self) -> Vec<String> {
        for token in self.tasks.into_values() {
            token.cancel();
        }
        drop(self.neighbours);
        self.ear.control.stop();
        let (whisper, speaker, ear, store) = (self.whisper, self.speaker, self.ear, self.store);
        let closing = tokio::task::spawn_blocking(move || {
            let mut trouble = Vec::new();
            if let Err(panic) = ear.stop() {
                trouble.push(format!("the listening thread: {panic}"));
            }
            if let Err(error) = speaker.close() {
                trouble.push(format!("the speaking thread: {error}"));
            }
            whisper.close();
            if let Some(Err(error)) = store.map(StoreHandle::close) {
                trouble.push(format!("the transcript log: {error}"));
            }
            trouble
        });
        match tokio::time::timeout(Duration::from_secs(5), closing).await {
            Ok(Ok(trouble)) => trouble,
            Ok(Err(panic)) => vec![format!("the shutdown panicked: {panic}")],
            Err(_) => vec!["some threads did not end within 5 s".to_owned()],
        }
    }
}
