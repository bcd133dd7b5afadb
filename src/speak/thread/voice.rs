//! The thread `speak-voice`: makes the samples, clause after clause, in the rate of the loudspeaker.
//!
//! It blocks in the synthesizer and in handing pieces over; the thread `speak` never waits for it. Which turns are no
//! longer wanted it learns from [`Silenced`], which it looks at for every piece.

use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{Builder, JoinHandle};

use crate::audio::Format;
use crate::audio::resample::Resampler;
use crate::ids::{ChunkSeq, TurnId};
use crate::platform::clock::Clock;
use crate::private::Private;
use crate::speak::{SpeechPiece, Synthesizer};
use crate::time::Mono;

use super::SpeakFailure;

/// The turns about which nothing is said any more: all up to one. Copies share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Silenced(Arc<AtomicU64>);

impl Silenced {
    /// Adds `turn` and all before it.
    pub(super) fn silence(&self, turn: TurnId) {
        self.0.fetch_max(turn.0.saturating_add(1), Ordering::AcqRel);
    }

    pub(super) fn is_silenced(&self, turn: TurnId) -> bool {
        turn.0 < self.0.load(Ordering::Acquire)
    }
}

/// A clause to be made.
pub(super) struct Job {
    pub(super) turn: TurnId,
    pub(super) seq: ChunkSeq,
    pub(super) text: Private<String>,
    /// See [`crate::flow::ReplyChunk::language`].
    pub(super) language: Option<Arc<str>>,
}

/// What the thread is told.
enum Order {
    Make(Job),
    /// From here on with this one.
    Change(Box<dyn Synthesizer>),
}

/// What was made of a clause.
pub(super) struct Output {
    pub(super) turn: TurnId,
    pub(super) seq: ChunkSeq,
    pub(super) made: Made,
}

pub(super) enum Made {
    /// The engine has given its first sample.
    Begun {
        when: Mono,
    },
    /// The next samples, in the sink's rate.
    Samples(Vec<f32>),
    Ended,
    Failed(SpeakFailure),
}

/// The handle, owned by the thread `speak`.
pub(super) struct Voice {
    /// Clauses that the thread has not been given yet: it takes one at a time and has one waiting.
    queue: VecDeque<Order>,
    jobs: SyncSender<Order>,
    pub(super) made: Receiver<Output>,
    rate: Arc<AtomicU32>,
    thread: JoinHandle<()>,
}

impl Voice {
    pub(super) fn start(
        synthesizer: Box<dyn Synthesizer>,
        rate: u32,
        clock: Clock,
        silenced: Silenced,
    ) -> io::Result<Self> {
        let (jobs, receiver) = sync_channel(1);
        let (sender, made) = sync_channel(PIECES);
        let rate = Arc::new(AtomicU32::new(rate));
        let mut maker = Maker {
            synthesizer,
            rate: Arc::clone(&rate),
            clock,
            silenced,
            made: sender,
            language: None,
        };
        let thread = Builder::new()
            .name("speak-voice".to_owned())
            .spawn(move || maker.run(&receiver))?;
        Ok(Self {
            queue: VecDeque::new(),
            jobs,
            made,
            rate,
            thread,
        })
    }

    pub(super) fn enqueue(&mut self, job: Job) {
        self.queue.push_back(Order::Make(job));
        self.feed();
    }

    /// What was enqueued before is still made with the old voice.
    pub(super) fn change(&mut self, synthesizer: Box<dyn Synthesizer>) {
        self.queue.push_back(Order::Change(synthesizer));
        self.feed();
    }

    /// Hands clauses over as long as the thread takes them.
    pub(super) fn feed(&mut self) {
        while let Some(job) = self.queue.pop_front() {
            match self.jobs.try_send(job) {
                Ok(()) => {}
                // Disconnected: the closed channel of outputs tells it to the caller.
                Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => {
                    self.queue.push_front(job);
                    return;
                }
            }
        }
    }

    /// Drops what is queued of the silenced turns up to `turn`.
    pub(super) fn forget(&mut self, turn: TurnId) {
        self.queue
            .retain(|order| !matches!(order, Order::Make(job) if job.turn <= turn));
    }

    /// The rate of a new loudspeaker: holds from the next clause on.
    pub(super) fn set_rate(&self, rate: u32) {
        self.rate.store(rate, Ordering::Release);
    }

    /// Ends the thread; closing the channels makes it give up.
    pub(super) fn stop(self) {
        drop(self.jobs);
        drop(self.made);
        if self.thread.join().is_err() {
            tracing::error!("the synthesis thread panicked");
        }
    }
}

struct Maker {
    synthesizer: Box<dyn Synthesizer>,
    rate: Arc<AtomicU32>,
    clock: Clock,
    silenced: Silenced,
    made: SyncSender<Output>,
    /// What the synthesizer was last told to speak.
    language: Option<Arc<str>>,
}

impl Maker {
    fn run(&mut self, jobs: &Receiver<Order>) {
        while let Ok(order) = jobs.recv() {
            let job = match order {
                Order::Make(job) => job,
                Order::Change(synthesizer) => {
                    self.synthesizer = synthesizer;
                    // It speaks its own language until it is told another.
                    self.language = None;
                    continue;
                }
            };
            if self.silenced.is_silenced(job.turn) {
                continue;
            }
            let made = match self.make(&job) {
                None => Made::Ended,
                Some(kind) => Made::Failed(kind),
            };
            // What a hush broke off has not ended: the account of what was heard must not take it for whole.
            if !self.silenced.is_silenced(job.turn) && !give(&self.made, &job, made) {
                return;
            }
        }
    }

    /// Makes one clause; tells what failed.
    fn make(&mut self, job: &Job) -> Option<SpeakFailure> {
        if job.language != self.language {
            self.language.clone_from(&job.language);
            let known = self.synthesizer.set_language(job.language.as_deref());
            tracing::debug!(
                language = job.language.as_deref(),
                known,
                "the voice changes its language"
            );
        }
        let mut clause = ClauseMaker {
            job,
            made: &self.made,
            clock: self.clock,
            rate: self.rate.load(Ordering::Acquire),
            converter: None,
            unusable: false,
        };
        let silenced = &self.silenced;
        let said = self
            .synthesizer
            .synthesize(job.text.as_str(), &mut |piece| {
                if !silenced.is_silenced(job.turn) && clause.take(piece) {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            });
        if !silenced.is_silenced(job.turn) {
            clause.finish();
        }
        match said {
            Ok(()) => clause.unusable.then_some(SpeakFailure::Voice),
            Err(error) => {
                tracing::warn!(turn = %job.turn, %error, "a clause could not be said");
                Some(SpeakFailure::from(&error))
            }
        }
    }
}

/// Turns the pieces of one clause into samples of the sink's rate.
struct ClauseMaker<'a> {
    job: &'a Job,
    made: &'a SyncSender<Output>,
    clock: Clock,
    rate: u32,
    /// The engine's rate and the resampler for it; an engine may change its rate from piece to piece.
    converter: Option<(u32, Resampler)>,
    /// The engine gave a rate that cannot be converted.
    unusable: bool,
}

impl ClauseMaker<'_> {
    /// Takes a piece; false when no more are wanted.
    fn take(&mut self, piece: SpeechPiece<'_>) -> bool {
        let mut samples = Vec::new();
        if self
            .converter
            .as_ref()
            .is_none_or(|(from, _)| *from != piece.rate)
        {
            let begun = Made::Begun {
                when: self.clock.now(),
            };
            match &mut self.converter {
                Some((_, old)) => old.finish(&mut samples),
                None if !give(self.made, self.job, begun) => return false,
                None => {}
            }
            match Resampler::new(
                Format {
                    rate: piece.rate,
                    channels: 1,
                },
                self.rate,
            ) {
                Ok(new) => self.converter = Some((piece.rate, new)),
                Err(error) => {
                    tracing::error!(%error, "unusable speech");
                    self.unusable = true;
                    return false;
                }
            }
        }
        if let Some((_, converter)) = &mut self.converter {
            converter.push(piece.samples, &mut samples);
        }
        samples.is_empty() || give(self.made, self.job, Made::Samples(samples))
    }

    /// Gives what the resampler still holds.
    fn finish(&mut self) {
        let mut rest = Vec::new();
        if let Some((_, converter)) = &mut self.converter {
            converter.finish(&mut rest);
        }
        if !rest.is_empty() && !give(self.made, self.job, Made::Samples(rest)) {
            tracing::debug!("the speaking thread has ended within a clause");
        }
    }
}

/// False when nobody listens any more.
fn give(made: &SyncSender<Output>, job: &Job, what: Made) -> bool {
    made.send(Output {
        turn: job.turn,
        seq: job.seq,
        made: what,
    })
    .is_ok()
}

/// Pieces that may wait for the thread `speak`.
const PIECES: usize = 16;
