//! The store thread: takes turns, writes them, tells when they are safe.
//!
//! [`Writer`] is the handle that the conductor holds; its calls never block. The thread (named `store`) owns the only
//! writing connection of the daemon. What it cannot write it keeps in memory and tries again, so a full disk, a read-only
//! folder or a lock never touches the conversation; the user is told once an outage. A turn's callback runs on the store
//! thread after the commit that made it durable, and must be quick (send it on).

mod backlog;
mod keeper;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::ZonedDateTime;

use super::forget::Retention;
use super::record::{RecordId, SessionInfo, Wall};
use crate::flow::Turn;
use crate::platform::clock::{self, Clock};

use backlog::{Entry, KeptEvent, KeptTurn};
use keeper::Keeper;

/// How the writer works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriterOptions {
    /// Whether secrets are blotted out.
    pub redact: bool,
    /// How long turns are kept.
    pub retention: Retention,
    /// Days that the sound of a question is kept; `None` is as long as its turn.
    pub audio_days: Option<u32>,
    /// Turns that wait in memory while the store cannot be written; later ones are lost, and said so.
    pub keep_in_memory: usize,
    /// The file's limit in pages of 4 KiB; reaching it is like a full disk.
    pub max_pages: Option<u32>,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            redact: true,
            retention: Retention::default(),
            audio_days: None,
            // A busy week, a few megabytes.
            keep_in_memory: 10_000,
            max_pages: None,
        }
    }
}

/// What became of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ack {
    /// It is in the file, and the disk says so too.
    Recorded(RecordId),
    /// It is not and will not be: memory for waiting turns was used up, or the daemon ended before it could be written.
    Lost,
}

/// Why the store cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// No room. Making room ends it.
    DiskFull,
    /// Owner, mode or a read-only file system.
    Denied,
    /// Another process has held the file for long.
    Locked,
    /// The file is of a later version of Hark.
    Newer,
    /// The disk or the file failed.
    Broken,
}

impl Trouble {
    /// What the user is told, with the remedy.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::DiskFull => {
                "the disk is full; I will write down what we say when there is room again"
            }
            Self::Denied => {
                "I may not write to my transcript folder; `hark doctor` tells how to mend it"
            }
            Self::Locked => {
                "another program holds my transcripts; I will write down what we say when it is done"
            }
            Self::Newer => {
                "a later version of hark wrote my transcripts; update hark to go on recording"
            }
            Self::Broken => "my transcripts cannot be written; `hark doctor` tells more",
        }
    }
}

/// Something that the user or `status` should know; each is told once an outage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Turns wait in memory from now on.
    Unwritable(Trouble),
    /// All that waited is written.
    Recovered {
        /// How many turns that were.
        turns: usize,
    },
    /// Memory for waiting turns is used up; turns are lost from now on.
    Overflow,
    /// The file was damaged; it lies there now, and a new one was begun.
    SetAside(PathBuf),
}

/// The turn could not even be queued; it is counted and lost. Cannot happen unless the store thread has hung for hundreds
/// of turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the transcript log has fallen behind; the turn is not recorded")]
pub struct QueueFull;

/// How the end went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed {
    /// Turns that could not be written.
    pub lost: usize,
    /// Whether the thread was still busy after the grace, and was left behind.
    pub stuck: bool,
}

/// Called on the store thread with what became of a turn.
pub type OnRecorded = Box<dyn FnOnce(Ack) + Send>;

/// The handle of the store thread.
pub struct Writer {
    queue: SyncSender<Message>,
    finished: Receiver<usize>,
    thread: JoinHandle<()>,
    refused: Arc<AtomicU64>,
}

/// What the handle sends to the thread.
pub(super) enum Message {
    Keep(Entry),
    Close { grace: Duration },
}

/// Turns that may be on their way to the thread; it takes them in microseconds unless a write hangs.
const QUEUE: usize = 256;

impl Writer {
    /// Starts the thread. It opens the store itself, so that a slow or broken disk does not delay the start; whether it
    /// can be written is told to `notify`, on the store thread.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn spawn(
        path: PathBuf,
        session: SessionInfo,
        options: WriterOptions,
        clock: Clock,
        notify: impl FnMut(Notice) + Send + 'static,
    ) -> io::Result<Self> {
        let (queue, messages) = sync_channel(QUEUE);
        let (finish, finished) = sync_channel(1);
        let keeper = Keeper::new(path, session, options, clock, Box::new(notify));
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || {
                let lost = keeper.run(&messages);
                // Nobody listens where the handle was dropped without `close`.
                finish.try_send(lost).ok();
            })?;
        Ok(Self {
            queue,
            finished,
            thread,
            refused: Arc::default(),
        })
    }

    /// Records a turn whose question began `ago` before now. The wall time is stamped here.
    ///
    /// # Errors
    /// [`QueueFull`]; `on_recorded` is not called then.
    pub fn try_record(
        &self,
        turn: Turn,
        ago: Duration,
        on_recorded: impl FnOnce(Ack) + Send + 'static,
    ) -> Result<(), QueueFull> {
        let now = clock::wall();
        let began = now.checked_sub(ago).unwrap_or(now);
        self.try_record_at(turn, &began, on_recorded)
    }

    /// Records a turn whose question began at a known wall time.
    ///
    /// # Errors
    /// [`QueueFull`]; `on_recorded` is not called then.
    pub fn try_record_at(
        &self,
        turn: Turn,
        began: &ZonedDateTime,
        on_recorded: impl FnOnce(Ack) + Send + 'static,
    ) -> Result<(), QueueFull> {
        self.try_send(Entry::Turn(Box::new(KeptTurn {
            turn,
            began: Wall::from(began),
            on_recorded: Box::new(on_recorded),
        })))
    }

    /// Records something that happened beside the turns: `device`, `backend`, `memory`, `error`. `detail` never holds
    /// words of the user.
    ///
    /// # Errors
    /// [`QueueFull`].
    pub fn try_event(
        &self,
        kind: &'static str,
        detail: serde_json::Value,
    ) -> Result<(), QueueFull> {
        self.try_send(Entry::Event(KeptEvent {
            at: Wall::from(&clock::wall()),
            kind,
            detail,
        }))
    }

    /// Turns and events that could not be queued since the start.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Writes what is waiting and ends the thread, within `grace`.
    #[must_use]
    pub fn close(self, grace: Duration) -> Closed {
        // A full queue means that the thread is busy; dropping our end tells it to finish as well.
        let told = self.queue.try_send(Message::Close { grace }).is_ok();
        drop(self.queue);
        match self
            .finished
            .recv_timeout(grace + Duration::from_millis(200))
        {
            Ok(lost) => {
                let stuck = self.thread.join().is_err();
                Closed { lost, stuck }
            }
            Err(_) => {
                tracing::error!(told, "the store thread did not end in time");
                Closed {
                    lost: 0,
                    stuck: true,
                }
            }
        }
    }

    fn try_send(&self, entry: Entry) -> Result<(), QueueFull> {
        self.queue.try_send(Message::Keep(entry)).map_err(|error| {
            let before = self.refused.fetch_add(1, Ordering::Relaxed);
            if before == 0 {
                let ended = matches!(error, TrySendError::Disconnected(_));
                tracing::error!(ended, "the transcript log cannot take more");
            }
            QueueFull
        })
    }
}
