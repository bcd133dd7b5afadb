//! The thread that runs a transcriber: one slot, newest wins.
//!
//! Whoever decides when to transcribe (the conductor) calls [`WhisperThread::submit`], which never blocks on inference; the
//! `whisper` thread delivers each answer through the function given at the start. Promises: at most one request waits; a
//! newer request replaces the waiting one and aborts the running one; a request that was replaced, aborted or cancelled
//! gets no answer; a panic of the transcriber is an answer, and the thread goes on; dropping the handle aborts and joins.
//! Which answer still matters is for the receiver to tell, by turn and revision.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Abort, TranscribeError, TranscribeOptions, Transcriber};
use crate::flow::Transcript;
use crate::ids::{Revision, TurnId};
use crate::private::Private;
use crate::time::SamplePos;

/// What shall be transcribed.
#[derive(Clone)]
pub struct Request {
    /// The turn that it belongs to.
    pub turn: TurnId,
    /// The state of that turn's utterance.
    pub revision: Revision,
    /// Mono, 16 kHz.
    pub samples: Arc<[f32]>,
    /// Language and times.
    pub options: TranscribeOptions,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("turn", &self.turn)
            .field("revision", &self.revision)
            .field("samples", &self.samples.len())
            .finish_non_exhaustive()
    }
}

/// What may be transcribed while there is nothing better to do: the utterance so far, for the eye.
#[derive(Debug, Clone)]
pub struct Spare {
    /// Where the speech begins, to tell one utterance from the next.
    pub of: SamplePos,
    /// Mono, 16 kHz.
    pub samples: Arc<[f32]>,
    /// Language and times.
    pub options: TranscribeOptions,
}

/// What became of a request that was neither replaced nor cancelled.
#[derive(Debug)]
pub enum Answer {
    /// It was transcribed; the text is empty where the guards refused it.
    Transcript(Transcript),
    /// What was read in spare time.
    Partial {
        /// Of the utterance that begins here.
        of: SamplePos,
        /// The words so far.
        text: Private<String>,
        /// How long it took.
        elapsed: Duration,
    },
    /// It was not. The next request may do better.
    Failed {
        /// The turn of the request.
        turn: TurnId,
        /// Its revision.
        revision: Revision,
        /// Why.
        error: TranscribeError,
    },
}

/// What [`WhisperThread::submit`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submitted {
    /// It runs, or waits for the aborted one to end.
    Accepted,
    /// A request of a newer turn or revision is waiting or running: this one is out of date.
    Stale,
    /// The thread has ended; the daemon is degraded and should restart.
    ThreadGone,
}

/// The handle of the thread. Dropping it ends the thread.
#[derive(Debug)]
pub struct WhisperThread {
    shared: Arc<Shared>,
    join: Option<JoinHandle<()>>,
}

impl WhisperThread {
    /// Starts the thread with a transcriber that is ready; `deliver` is called on it.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn spawn(
        transcriber: Box<dyn Transcriber>,
        deliver: impl FnMut(Answer) + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let for_thread = Arc::clone(&shared);
        let join = std::thread::Builder::new()
            .name("whisper".to_owned())
            .spawn(move || run(transcriber, &for_thread, deliver))?;
        Ok(Self {
            shared,
            join: Some(join),
        })
    }

    /// Hands over `request`; replaces what waits and aborts what runs, if they are not newer.
    pub fn submit(&self, request: Request) -> Submitted {
        let mut slot = self.shared.lock();
        if slot.gone {
            return Submitted::ThreadGone;
        }
        let age = (request.turn, request.revision);
        let waiting = slot
            .waiting
            .as_ref()
            .map(|waiting| (waiting.turn, waiting.revision));
        let running = slot
            .running
            .as_ref()
            .map(|running| (running.turn, running.revision));
        if waiting.max(running) > Some(age) {
            return Submitted::Stale;
        }
        if let Some(running) = &slot.running {
            running.abort.request();
        }
        slot.spare = None;
        slot.waiting = Some(request);
        drop(slot);
        self.shared.changed.notify_all();
        Submitted::Accepted
    }

    /// A way to give it another model while it works.
    #[must_use]
    pub fn exchange(&self) -> Exchange {
        Exchange(Arc::clone(&self.shared))
    }

    /// Hands over `spare` if the thread has nothing to do; every request comes before it and aborts it, and then it has no
    /// answer. `false` when it was not taken.
    pub fn try_spare(&self, spare: Spare) -> bool {
        let mut slot = self.shared.lock();
        let idle = slot.waiting.is_none() && slot.running.is_none() && slot.spare.is_none();
        if !idle || slot.gone || slot.closing {
            return false;
        }
        slot.spare = Some(spare);
        drop(slot);
        self.shared.changed.notify_all();
        true
    }

    /// Drops what waits and aborts what runs for `turn` or an older one; it gets no answer.
    pub fn cancel(&self, turn: TurnId) {
        let mut slot = self.shared.lock();
        if slot
            .waiting
            .as_ref()
            .is_some_and(|waiting| waiting.turn <= turn)
        {
            slot.waiting = None;
        }
        if let Some(running) = slot.running.as_ref().filter(|running| running.turn <= turn) {
            running.abort.request();
        }
    }

    /// Aborts and waits for the thread: at most one encoder pass.
    pub fn close(mut self) {
        self.end();
    }

    fn end(&mut self) {
        {
            let mut slot = self.shared.lock();
            slot.closing = true;
            slot.waiting = None;
            if let Some(running) = &slot.running {
                running.abort.request();
            }
        }
        self.shared.changed.notify_all();
        if let Some(join) = self.join.take()
            && join.join().is_err()
        {
            tracing::error!("the whisper thread had panicked in the receiver of its answers");
        }
    }
}

/// Loads a model; called on the whisper thread.
pub type Loader = Box<dyn FnOnce() -> Result<Box<dyn Transcriber>, TranscribeError> + Send>;

/// Gives the thread another model. Copies share it, and it does not keep the thread alive.
#[derive(Debug, Clone)]
pub struct Exchange(Arc<Shared>);

impl Exchange {
    /// Lets the thread load a model between two requests and drop the one that it had; `done` is told on the thread whether
    /// that worked. Until then, and where it fails, the old one hears: nobody is ever deaf for it. Of two that wait the
    /// newer counts; one that is never begun is dropped with its `done`.
    pub fn load(
        &self,
        loader: Loader,
        done: impl FnOnce(Result<(), TranscribeError>) + Send + 'static,
    ) {
        self.0.lock().exchange = Some(Wanted {
            loader,
            done: Box::new(done),
        });
        self.0.changed.notify_all();
    }
}

/// A model to be loaded.
struct Wanted {
    loader: Loader,
    done: Box<dyn FnOnce(Result<(), TranscribeError>) + Send>,
}

impl std::fmt::Debug for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wanted").finish_non_exhaustive()
    }
}

impl Drop for WhisperThread {
    fn drop(&mut self) {
        self.end();
    }
}

#[derive(Debug, Default)]
struct Shared {
    slot: Mutex<Slot>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Slot {
    waiting: Option<Request>,
    /// Served when nothing waits.
    spare: Option<Spare>,
    running: Option<Running>,
    /// A model to be loaded when nothing else is to be done.
    exchange: Option<Wanted>,
    /// The handle is being dropped.
    closing: bool,
    /// The thread has ended, by `closing` or by a panic of the receiver.
    gone: bool,
}

#[derive(Debug)]
struct Running {
    turn: TurnId,
    revision: Revision,
    abort: Abort,
}

impl Shared {
    /// No invariant spans several statements, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for work, and marks what is read as running; `None` when the handle is dropped.
    fn next(&self) -> Option<Work> {
        let mut slot = self.lock();
        loop {
            if slot.closing {
                return None;
            }
            if let Some(request) = slot.waiting.take() {
                let abort = Abort::default();
                slot.running = Some(Running {
                    turn: request.turn,
                    revision: request.revision,
                    abort: abort.clone(),
                });
                return Some(Work::Asked(request, abort));
            }
            if let Some(wanted) = slot.exchange.take() {
                return Some(Work::Exchange(wanted));
            }
            if let Some(spare) = slot.spare.take() {
                let abort = Abort::default();
                // Older than any request.
                slot.running = Some(Running {
                    turn: TurnId(0),
                    revision: Revision(0),
                    abort: abort.clone(),
                });
                return Some(Work::Spare(spare, abort));
            }
            slot = self
                .changed
                .wait(slot)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// What the thread does next.
enum Work {
    Asked(Request, Abort),
    Spare(Spare, Abort),
    Exchange(Wanted),
}

/// Tells `submit` that nobody will serve it, also when the receiver of the answers has panicked.
struct MarkGone<'a>(&'a Shared);

impl Drop for MarkGone<'_> {
    fn drop(&mut self) {
        let mut slot = self.0.lock();
        slot.gone = true;
        slot.waiting = None;
        slot.running = None;
    }
}

fn run(mut transcriber: Box<dyn Transcriber>, shared: &Shared, mut deliver: impl FnMut(Answer)) {
    let _mark = MarkGone(shared);
    while let Some(work) = shared.next() {
        let (answer, abort) = match work {
            Work::Asked(request, abort) => (answer(transcriber.as_mut(), &request, &abort), abort),
            Work::Spare(spare, abort) => (read_spare(transcriber.as_mut(), &spare, &abort), abort),
            Work::Exchange(wanted) => {
                exchange(&mut transcriber, wanted);
                continue;
            }
        };
        // The abort is looked at under the lock, so that a request that was replaced never gets an answer.
        let wanted = {
            let mut slot = shared.lock();
            slot.running = None;
            !abort.requested()
        };
        if wanted && let Some(answer) = answer {
            deliver(answer);
        }
    }
}

/// Takes the new model only when it is there. A loader that panics leaves the old one.
fn exchange(transcriber: &mut Box<dyn Transcriber>, wanted: Wanted) {
    let loaded = catch_unwind(AssertUnwindSafe(wanted.loader)).unwrap_or_else(|_| {
        Err(TranscribeError::Inference(
            "loading the speech model panicked; this is a bug in Hark".to_owned(),
        ))
    });
    (wanted.done)(loaded.map(|new| *transcriber = new));
}

/// Reads what is only for the eye; failures are not worth a word, the whole will be read again.
fn read_spare(transcriber: &mut dyn Transcriber, spare: &Spare, abort: &Abort) -> Option<Answer> {
    let work = AssertUnwindSafe(|| transcriber.transcribe(&spare.samples, &spare.options, abort));
    let done = catch_unwind(work).ok()?.ok()?;
    Some(Answer::Partial {
        of: spare.of,
        text: done.text,
        elapsed: done.elapsed,
    })
}

/// Transcribes; `None` when it was aborted.
fn answer(transcriber: &mut dyn Transcriber, request: &Request, abort: &Abort) -> Option<Answer> {
    let (turn, revision) = (request.turn, request.revision);
    let work =
        AssertUnwindSafe(|| transcriber.transcribe(&request.samples, &request.options, abort));
    let error = match catch_unwind(work) {
        Ok(Ok(done)) => {
            return Some(Answer::Transcript(Transcript {
                turn,
                revision,
                text: done.text,
                language: done.language,
                confidence: done.confidence,
                elapsed: done.elapsed,
            }));
        }
        Ok(Err(TranscribeError::Aborted)) => return None,
        Ok(Err(error)) => error,
        // The panic's message may quote what was said; the panic hook has its place in the code.
        Err(_) => {
            TranscribeError::Inference("the transcriber panicked; this is a bug in Hark".to_owned())
        }
    };
    tracing::warn!(%turn, %error, "transcription failed");
    Some(Answer::Failed {
        turn,
        revision,
        error,
    })
}
