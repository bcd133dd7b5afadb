//! The speaking thread: clauses in, sound out, and an exact account of what was heard.
//!
//! [`Speaking`] is the handle that the wiring holds. The thread `speak` owns the sink and the account; a second one,
//! `speak-voice`, owns the synthesizer, because that blocks: so a hush takes effect at once, and the next clause is made
//! while the current one plays. At most [`LEAD`] of sound is handed to the sink ahead of what it has played, so that a
//! pause is heard soon and little is thrown away.
//!
//! Promises: clauses are played in the order of their commands; after a [`SpeakCommand::Hush`] nothing of that turn or of
//! an earlier one is played, whatever was or will be queued; every hush is answered by one [`SpeakEvent::Hushed`], which is the last event of
//! its turn; what was prepared sounds only after its [`SpeakCommand::Play`]; a turn ends with exactly one of `Finished`, `Hushed`, `Failed`. Turn ids must only grow. A soft end of the
//! sound at a hush is the sink's matter: only the device knows which sample it is playing.

mod account;
mod messages;
mod voice;

pub use messages::{Refused, SpeakCommand, SpeakEvent, SpeakFailure};

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{
    Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel,
};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crate::audio::{AudioSink, Level, PlaybackError};
use crate::flow::{Heard, ReplyChunk};
use crate::ids::TurnId;
use crate::platform::clock::Clock;
use crate::time::Mono;

use super::{Synthesizer, earcon};
use account::ClauseAccount;
use voice::{Job, Made, Output, Voice};

/// What the thread is made of.
pub struct SpeakingParts {
    /// The engine.
    pub synthesizer: Box<dyn Synthesizer>,
    /// The loudspeaker.
    pub sink: Box<dyn AudioSink>,
    /// How long what is being said waits for another loudspeaker after one was lost; zero where none can come.
    pub grace: Duration,
    /// For the times in the events.
    pub clock: Clock,
    /// Receives the events, on the thread `speak`.
    pub on_event: Box<dyn FnMut(SpeakEvent) + Send>,
}

/// The handle of the speaking thread.
pub struct Speaking {
    commands: SyncSender<SpeakCommand>,
    silenced: voice::Silenced,
    thread: JoinHandle<Result<(), PlaybackError>>,
}

impl Speaking {
    /// Starts the two threads.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(parts: SpeakingParts) -> io::Result<Self> {
        let silenced = voice::Silenced::default();
        let (commands, receiver) = sync_channel(COMMANDS);
        let voice = Voice::start(
            parts.synthesizer,
            parts.sink.rate(),
            parts.clock,
            silenced.clone(),
        )?;
        let speaker = Speaker {
            sink: Some(parts.sink),
            grace: parts.grace,
            lost: None,
            clock: parts.clock,
            on_event: parts.on_event,
            silenced: silenced.clone(),
            voice: Some(voice),
            clauses: VecDeque::new(),
            open: Vec::new(),
            paused: false,
            earcon_ends: 0,
            held: None,
        };
        let thread = Builder::new().name("speak".to_owned()).spawn(move || {
            crate::platform::priority::raise_this_thread("speak");
            speaker.run(&receiver)
        })?;
        Ok(Self {
            commands,
            silenced,
            thread,
        })
    }

    /// Gives a command without waiting.
    ///
    /// # Errors
    /// [`Refused`]; a refused hush has still silenced the turn's synthesis.
    pub fn try_send(&self, command: SpeakCommand) -> Result<(), Refused> {
        if let SpeakCommand::Hush { turn } = &command {
            self.silenced.silence(*turn);
        }
        self.commands
            .try_send(command)
            .map_err(|error| match error {
                TrySendError::Full(_) => Refused::Full,
                TrySendError::Disconnected(_) => Refused::Ended,
            })
    }

    /// Stops and waits for the threads; at most as long as the synthesizer works on a piece.
    ///
    /// # Errors
    /// [`PlaybackError`] when the sink could not be closed.
    pub fn stop(self) -> Result<(), PlaybackError> {
        self.silenced.silence(TurnId(u64::MAX - 1));
        // An error means that the thread has ended already; joining it tells how.
        if self.commands.send(SpeakCommand::Stop).is_err() {
            tracing::debug!("the speaking thread had already ended");
        }
        match self.thread.join() {
            Ok(closed) => closed,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// The thread's own state.
struct Speaker {
    /// `None` after it was lost, until another one comes.
    sink: Option<Box<dyn AudioSink>>,
    grace: Duration,
    /// When the sink was lost, while its successor may still come in time.
    lost: Option<Mono>,
    clock: Clock,
    on_event: Box<dyn FnMut(SpeakEvent) + Send>,
    silenced: voice::Silenced,
    /// `None` after its thread has died.
    voice: Option<Voice>,
    /// Queued, being made, or playing; in order.
    clauses: VecDeque<ClauseAccount>,
    /// Turns that are spoken about, oldest first, and whether their end was announced.
    open: Vec<(TurnId, bool)>,
    paused: bool,
    /// Where the newest earcon ends in the sink's count of samples; 0 once nobody need care.
    earcon_ends: u64,
    /// The turn whose sound is made and kept back.
    held: Option<TurnId>,
}

impl Speaker {
    fn run(mut self, commands: &Receiver<SpeakCommand>) -> Result<(), PlaybackError> {
        while self.wait(commands) {
            self.take_made();
            if let Err(error) = self.feed() {
                self.lose_sink(&error);
            }
            self.settle();
            self.despair();
        }
        self.hush(TurnId(u64::MAX - 1), false);
        let closed = self.sink.as_mut().map_or(Ok(()), |sink| sink.close());
        if let Some(voice) = self.voice.take() {
            voice.stop();
        }
        closed
    }

    /// Waits for a command or for the next look at the loudspeaker; false when it is time to end.
    fn wait(&mut self, commands: &Receiver<SpeakCommand>) -> bool {
        let waits_for_voice = self.clauses.iter().all(|clause| clause.is_unmade());
        let first = if self.clauses.is_empty() {
            commands.recv_timeout(IDLE)
        } else if let (true, Some(voice)) = (waits_for_voice, &self.voice) {
            // The first samples are on their way: look for them, and for commands in between.
            if let Ok(output) = voice.made.recv_timeout(TICK) {
                self.take(output);
            }
            Err(RecvTimeoutError::Timeout)
        } else {
            commands.recv_timeout(TICK)
        };
        let mut next = match first {
            Ok(command) => Some(command),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return false,
        };
        loop {
            match next {
                Some(SpeakCommand::Stop) => return false,
                Some(command) => self.apply(command),
                None => {}
            }
            next = match commands.try_recv() {
                Ok(command) => Some(command),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            };
        }
    }

    fn apply(&mut self, command: SpeakCommand) {
        match command {
            SpeakCommand::Say(chunk) => self.say(chunk),
            SpeakCommand::Earcon => self.play_earcon(),
            SpeakCommand::Prepare(chunk) => {
                self.held = Some(chunk.turn);
                self.say(chunk);
            }
            SpeakCommand::Play { turn } => {
                self.held.take_if(|held| *held == turn);
            }
            SpeakCommand::End { turn } => {
                if !self.silenced.is_silenced(turn) {
                    self.open_turn(turn).1 = true;
                }
            }
            SpeakCommand::Hush { turn } => self.hush(turn, true),
            SpeakCommand::Duck => self.set_level(Level::Ducked),
            SpeakCommand::Pause => {
                self.paused = true;
                self.set_level(Level::Held);
            }
            SpeakCommand::Resume => {
                self.paused = false;
                self.set_level(Level::Full);
            }
            SpeakCommand::Sink(sink) => self.replace_sink(sink),
            SpeakCommand::Voice(voice) => self.change_voice(voice),
            SpeakCommand::Stop => {}
        }
        self.settle();
    }

    /// A voice whose thread has died gets a new one.
    fn change_voice(&mut self, synthesizer: Box<dyn Synthesizer>) {
        if let Some(voice) = &mut self.voice {
            voice.change(synthesizer);
            return;
        }
        let rate = self.sink.as_ref().map_or(USUAL_RATE, |sink| sink.rate());
        match Voice::start(synthesizer, rate, self.clock, self.silenced.clone()) {
            Ok(voice) => self.voice = Some(voice),
            Err(error) => tracing::error!(%error, "no thread for the new voice"),
        }
    }

    fn play_earcon(&mut self) {
        let idle = self.clauses.is_empty() && !self.paused;
        let Some(sink) = self.sink.as_mut().filter(|_| idle) else {
            return;
        };
        let samples = earcon::taken(sink.rate());
        match sink.write(&samples, Duration::ZERO) {
            Ok(_) => self.earcon_ends = sink.written(),
            Err(error) => self.lose_sink(&error),
        }
    }

    fn set_level(&mut self, level: Level) {
        if let Some(sink) = &mut self.sink {
            sink.set_level(level);
        }
    }

    fn say(&mut self, chunk: ReplyChunk) {
        let turn = chunk.turn;
        if self.silenced.is_silenced(turn) {
            return;
        }
        self.open_turn(turn);
        if self.sink.is_none() && self.lost.is_none() {
            self.fail(turn, SpeakFailure::Output);
            return;
        }
        if self.clauses.len() >= CLAUSES {
            self.fail(turn, SpeakFailure::Backlog);
            return;
        }
        let Some(voice) = &mut self.voice else {
            self.fail(turn, SpeakFailure::Unavailable);
            return;
        };
        self.clauses.push_back(ClauseAccount::new(&chunk));
        voice.enqueue(Job {
            turn,
            seq: chunk.seq,
            text: chunk.text,
            language: chunk.language,
        });
    }

    fn open_turn(&mut self, turn: TurnId) -> &mut (TurnId, bool) {
        let at = match self.open.iter().position(|(open, _)| *open == turn) {
            Some(at) => at,
            None => {
                self.open.push((turn, false));
                self.open.len() - 1
            }
        };
        &mut self.open[at]
    }

    /// Accepts what the synthesizer has made, as long as there is room for it.
    fn take_made(&mut self) {
        loop {
            // What was made while there is no loudspeaker is kept for the next one.
            let rate = self.sink.as_ref().map_or(USUAL_RATE, |sink| sink.rate());
            let limit = rate as usize * AHEAD_S;
            let ahead: usize = self.clauses.iter().map(ClauseAccount::unwritten).sum();
            let Some(voice) = &mut self.voice else { return };
            voice.feed();
            if ahead > limit {
                return;
            }
            match voice.made.try_recv() {
                Ok(output) => self.take(output),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    tracing::error!("the synthesis thread has died");
                    self.voice = None;
                    self.fail_all(SpeakFailure::Unavailable);
                }
            }
        }
    }

    fn take(&mut self, output: Output) {
        let Output { turn, seq, made } = output;
        // Outputs of hushed turns have no clause any more.
        let clause = self.clauses.iter_mut().find(|clause| clause.is(turn, seq));
        let Some(clause) = clause else { return };
        match made {
            Made::Begun { when } => (self.on_event)(SpeakEvent::Synthesised { turn, seq, when }),
            Made::Samples(samples) => clause.add(&samples),
            Made::Ended => clause.end(None),
            Made::Failed(kind) => clause.end(Some(kind)),
        }
    }

    /// Hands samples to the sink, never more than [`LEAD`] ahead of what it has played.
    fn feed(&mut self) -> Result<(), PlaybackError> {
        let Some(sink) = &mut self.sink else {
            return Ok(());
        };
        sink.check()?;
        if self.paused {
            return Ok(());
        }
        let lead = u64::from(sink.rate()) * LEAD.as_millis() as u64 / 1_000;
        let front = self.clauses.front().map(ClauseAccount::turn);
        // The first words do not wait for the rest of an earcon.
        let ready = self.clauses.front().is_some_and(|c| c.unwritten() > 0);
        if ready && std::mem::take(&mut self.earcon_ends) > sink.played() {
            sink.flush()?;
        }
        for clause in &mut self.clauses {
            if Some(clause.turn()) == self.held {
                break;
            }
            // The next turn waits until this one has been heard, so that a hush discards samples of one turn only.
            if Some(clause.turn()) != front {
                break;
            }
            loop {
                let queued = sink.written().saturating_sub(sink.played());
                let room = lead.saturating_sub(queued) as usize;
                if !clause.write(sink.as_mut(), room)? {
                    break;
                }
            }
            // After a failure nothing of the turn follows.
            if !clause.is_written() || clause.failure().is_some() {
                break;
            }
        }
        Ok(())
    }

    /// Reports what has been heard meanwhile and closes what is over.
    fn settle(&mut self) {
        // Without a loudspeaker nothing leaves; what its successor will play is counted from there.
        if self.sink.is_none() {
            return self.finish_turns();
        }
        let rate = self.sink.as_ref().map_or(1, |sink| sink.rate());
        let position = self.sink.as_ref().map_or(0, |sink| sink.played());
        while let Some(clause) = self.clauses.front_mut() {
            let (turn, seq) = (clause.turn(), clause.seq());
            if let Some(since) = clause.becomes_audible(position) {
                let when =
                    self.clock.now() - Duration::from_secs_f64(since as f64 / f64::from(rate));
                (self.on_event)(SpeakEvent::Audible { turn, seq, when });
            }
            if !clause.is_over(position) {
                break;
            }
            let (failure, heard) = (clause.failure(), clause.heard(position, rate));
            self.clauses.pop_front();
            if let Some(extent) = heard {
                (self.on_event)(SpeakEvent::Heard(Heard { turn, seq, extent }));
            }
            if let Some(kind) = failure {
                self.fail(turn, kind);
            }
        }
        self.finish_turns();
    }

    fn finish_turns(&mut self) {
        let clauses = &self.clauses;
        let finished = |(turn, ended): &(TurnId, bool)| {
            *ended && clauses.iter().all(|clause| clause.turn() != *turn)
        };
        while let Some(at) = self.open.iter().position(finished) {
            let (turn, _) = self.open.remove(at);
            (self.on_event)(SpeakEvent::Finished { turn });
        }
    }

    /// Silences `turn` and all before it.
    fn hush(&mut self, turn: TurnId, answer: bool) {
        self.silenced.silence(turn);
        self.paused = false;
        self.held.take_if(|held| *held <= turn);
        self.open.retain(|(open, _)| *open > turn);
        let (mut in_sink, mut heard) = (false, Vec::new());
        if let Some(sink) = &self.sink {
            let (position, rate) = (sink.played(), sink.rate());
            for clause in self.clauses.iter().filter(|clause| clause.turn() <= turn) {
                in_sink |= clause.is_in_sink(position);
                heard.extend(clause.heard(position, rate).map(|extent| Heard {
                    turn: clause.turn(),
                    seq: clause.seq(),
                    extent,
                }));
            }
        }
        self.clauses.retain(|clause| clause.turn() > turn);
        if let Some(voice) = &mut self.voice {
            voice.forget(turn);
        }
        let flushed = match &mut self.sink {
            Some(sink) if in_sink => sink.flush(),
            _ => Ok(()),
        };
        self.set_level(Level::Full);
        for heard in heard {
            (self.on_event)(SpeakEvent::Heard(heard));
        }
        if answer {
            (self.on_event)(SpeakEvent::Hushed { turn });
        }
        if let Err(error) = flushed {
            self.lose_sink(&error);
        }
    }

    fn replace_sink(&mut self, sink: Box<dyn AudioSink>) {
        if let Some(voice) = &self.voice {
            voice.set_rate(sink.rate());
        }
        for clause in &mut self.clauses {
            clause.move_to(sink.written());
        }
        self.earcon_ends = 0;
        let old = self.sink.replace(sink);
        self.lost = None;
        if self.paused {
            self.set_level(Level::Held);
        }
        if let Some(Err(error)) = old.map(|mut old| old.close()) {
            tracing::warn!(%error, "the old output was not closed cleanly");
        }
    }

    fn lose_sink(&mut self, error: &PlaybackError) {
        tracing::warn!(%error, "the output was lost");
        self.sink = None;
        (self.on_event)(SpeakEvent::SinkLost);
        if self.grace.is_zero() {
            self.fail_all(SpeakFailure::Output);
        } else {
            self.lost = Some(self.clock.now());
        }
    }

    /// No other loudspeaker has come in time.
    fn despair(&mut self) {
        let grace = self.grace;
        let now = self.clock.now();
        if self
            .lost
            .take_if(|since| now.since(*since) >= grace)
            .is_some()
        {
            self.fail_all(SpeakFailure::Output);
        }
    }

    fn fail_all(&mut self, kind: SpeakFailure) {
        for (turn, _) in self.open.clone() {
            self.fail(turn, kind);
        }
    }

    fn fail(&mut self, turn: TurnId, kind: SpeakFailure) {
        self.silenced.silence(turn);
        self.clauses.retain(|clause| clause.turn() != turn);
        if let Some(voice) = &mut self.voice {
            voice.forget(turn);
        }
        if self.open.iter().any(|(open, _)| *open == turn) {
            self.open.retain(|(open, _)| *open != turn);
            (self.on_event)(SpeakEvent::Failed { turn, kind });
        }
    }
}

/// Sound that is handed to the sink ahead of what it has played. Larger than the device's buffers and than any wait of
/// this thread on a loaded machine, small enough that a pause is heard at once.
pub const LEAD: Duration = Duration::from_millis(250);

/// How often the loudspeaker is looked at while something is being said.
const TICK: Duration = Duration::from_millis(3);

/// How often the loudspeaker is looked at while nothing is said.
const IDLE: Duration = Duration::from_millis(500);

/// Seconds of sound that are kept beyond [`LEAD`]: the next clauses are made while the current one plays.
const AHEAD_S: usize = 4;

/// A loudspeaker's rate where none is known.
const USUAL_RATE: u32 = 48_000;

/// Clauses that may wait: a quarter of an hour of speech.
const CLAUSES: usize = 256;

/// Commands that may wait; the thread empties the queue every few milliseconds.
const COMMANDS: usize = 64;
