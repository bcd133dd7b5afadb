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

use crate::ids::{ChunkSeq, TurnId};
use crate::platform::clock::Clock;
use crate::private::Private;
use crate::speak::resample::SpeechResampler;
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
    queue: VecDeque<Job>,
    jobs: SyncSender<Job>,
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
        self.queue.push_back(job);
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
        self.queue.retain(|job| job.turn > turn);
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
}

impl Maker {
    fn run(&mut self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            if self.silenced.is_silenced(job.turn) {
                continue;
            }
            let made = match self.make(&job) {
                None => Made::Ended,
                Some(kind) => Made::Failed(kind),
            };
            if !give(&self.made, &job, made) {
                return;
            }
        }
    }

    /// Makes one clause; tells what failed.
    fn make(&mut self, job: &Job) -> Option<SpeakFailure> {
        let (rate, clock, silenced) = (
            self.rate.load(Ordering::Acquire),
            self.clock,
            &self.silenced,
        );
        let given = &self.made;
        let mut resampler: Option<(u32, SpeechResampler)> = None;
        let mut failure = None;
        let mut on_piece = |piece: SpeechPiece<'_>| {
            if silenced.is_silenced(job.turn) {
                return ControlFlow::Break(());
            }
            let mut samples = Vec::new();
            match &mut resampler {
                Some((from, resampler)) if *from == piece.rate => {
                    resampler.push(piece.samples, &mut samples);
                }
                changed => {
                    let first = changed.is_none();
                    if let Some((_, old)) = changed {
                        old.finish(&mut samples);
                    }
                    let new = match SpeechResampler::new(piece.rate, rate) {
                        Ok(new) => new,
                        Err(error) => {
                            tracing::error!(%error, "unusable speech");
                            failure = Some(SpeakFailure::Voice);
                            return ControlFlow::Break(());
                        }
                    };
                    changed
                        .insert((piece.rate, new))
                        .1
                        .push(piece.samples, &mut samples);
                    let begun = Made::Begun { when: clock.now() };
                    if first && !give(given, job, begun) {
                        return ControlFlow::Break(());
                    }
                }
            }
            if samples.is_empty() || give(given, job, Made::Samples(samples)) {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        };
        if let Err(error) = self
            .synthesizer
            .synthesize(job.text.as_str(), &mut on_piece)
        {
            tracing::warn!(turn = %job.turn, %error, "a clause could not be said");
            failure = Some(SpeakFailure::from(&error));
        }
        let mut rest = Vec::new();
        if let Some((_, resampler)) = &mut resampler {
            resampler.finish(&mut rest);
        }
        if !rest.is_empty()
            && !silenced.is_silenced(job.turn)
            && !give(given, job, Made::Samples(rest))
        {
            return failure;
        }
        failure
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
