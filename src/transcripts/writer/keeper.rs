//! What the store thread does: takes, writes, waits, tries again.
//!
//! Runs on the thread `store` alone. An entry leaves memory only after the commit that holds it; a commit whose answer was
//! lost is repeated, and the unique key of a turn makes that harmless.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior, params};

use super::backlog::{Backlog, Entry};
use super::{Ack, Message, Notice, Trouble, WriterOptions};
use crate::platform::clock::{self, Clock};
use crate::time::Mono;
use crate::transcripts::error::StoreError;
use crate::transcripts::forget::{has_traces, is_full_step, prune, scrub};
use crate::transcripts::record::{RecordId, SessionInfo, Wall, insert_session, insert_turn};
use crate::transcripts::{audio, files, schema};

/// The state of the store thread.
pub(super) struct Keeper {
    path: PathBuf,
    session: SessionInfo,
    /// Names this run in the log: its start and the process, so that no other run has it.
    key: String,
    started: Wall,
    options: WriterOptions,
    clock: Clock,
    notify: Box<dyn FnMut(Notice) + Send>,
    open: Option<Open>,
    backlog: Backlog,
    outage: Option<Outage>,
    next_prune: Mono,
    /// When a damaged file was set aside; a second one so soon means that the disk is broken, not the file.
    set_aside: Option<Mono>,
}

/// A connection with the file that it was made to.
struct Open {
    connection: Connection,
    file: Option<(u64, u64)>,
}

/// A time in which the store cannot be written.
struct Outage {
    since: Mono,
    retry: Mono,
    pause: Duration,
    told: bool,
    overflowed: bool,
}

/// How long a write waits for another process before it counts as locked.
const PATIENCE: Duration = Duration::from_secs(1);

/// Entries in one transaction: a sync costs as much as hundreds of rows.
const BATCH: usize = 64;

/// First and longest pause between attempts.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A lock is normal (`forget` rewrites the file) and told only when it lasts.
const LOCK_IS_NORMAL: Duration = Duration::from_secs(10);

/// Retention is counted in days. Each time ends in a rewrite of the file if there was something to delete.
const DAY_MS: i64 = 86_400_000;

const PRUNE_EVERY: Duration = Duration::from_secs(24 * 3_600);

impl Keeper {
    pub(super) fn new(
        path: PathBuf,
        session: SessionInfo,
        options: WriterOptions,
        clock: Clock,
        notify: Box<dyn FnMut(Notice) + Send>,
    ) -> Self {
        let now = clock::wall();
        Self {
            key: format!("{}/{}", now.timestamp(), std::process::id()),
            started: Wall::from(&now),
            backlog: Backlog::new(options.keep_in_memory),
            next_prune: clock.now(),
            path,
            session,
            options,
            clock,
            notify,
            open: None,
            outage: None,
            set_aside: None,
        }
    }

    /// Works until the handle is closed or dropped; how many turns were lost at the end.
    pub(super) fn run(mut self, messages: &Receiver<Message>) -> usize {
        // The file is made at the start, so that trouble shows before the first turn is at stake.
        self.write();
        let grace = loop {
            self.prune_when_due();
            match messages.recv_timeout(self.pause()) {
                Ok(Message::Keep(entry)) => self.keep(entry),
                Ok(Message::Close { grace }) => break grace,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break Duration::ZERO,
            }
            let mut closing = None;
            while let Ok(message) = messages.try_recv() {
                match message {
                    Message::Keep(entry) => self.keep(entry),
                    Message::Close { grace } => closing = Some(grace),
                }
            }
            if let Some(grace) = closing {
                break grace;
            }
            self.write_when_due();
        };
        self.finish(grace)
    }

    /// How long nothing needs to be done unless a message comes.
    fn pause(&self) -> Duration {
        let now = self.clock.now();
        let retry = match &self.outage {
            Some(outage) if !self.backlog.is_empty() || self.open.is_none() => {
                outage.retry.since(now)
            }
            _ => PRUNE_EVERY,
        };
        match self.open {
            Some(_) => retry.min(self.next_prune.since(now)),
            None => retry,
        }
    }

    fn keep(&mut self, entry: Entry) {
        let Err(refused) = self.backlog.push(entry) else {
            return;
        };
        if let Entry::Turn(kept) = refused {
            (kept.on_recorded)(Ack::Lost);
            let first = self
                .outage
                .as_mut()
                .is_none_or(|outage| !std::mem::replace(&mut outage.overflowed, true));
            if first {
                tracing::error!(
                    waiting = self.backlog.turns(),
                    "too many turns wait to be recorded; new ones are lost"
                );
                (self.notify)(Notice::Overflow);
            }
        }
    }

    fn write_when_due(&mut self) {
        let now = self.clock.now();
        if self
            .outage
            .as_ref()
            .is_none_or(|outage| outage.retry <= now)
        {
            self.write();
        }
    }

    /// Writes all that waits, or notes that it cannot.
    fn write(&mut self) {
        let waiting = self.backlog.turns();
        loop {
            match self.write_batch() {
                Ok(written) => {
                    self.acknowledge(&written);
                    if self.backlog.is_empty() {
                        self.end_outage(waiting);
                        return;
                    }
                }
                Err(error) => {
                    if self.replace_damaged(&error) {
                        continue;
                    }
                    self.note(&error);
                    return;
                }
            }
        }
    }

    /// One transaction; the numbers of the oldest entries, in their order (`None` for an event).
    fn write_batch(&mut self) -> Result<Vec<Option<RecordId>>, StoreError> {
        self.reopen_if_replaced();
        if self.open.is_none() {
            self.open = Some(self.connect()?);
        }
        if self.backlog.is_empty() {
            return Ok(Vec::new());
        }
        let connection = &mut self.open.as_mut().expect("it was opened above").connection;
        let mut write = || -> rusqlite::Result<Vec<Option<RecordId>>> {
            let batch = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            // Each time: somebody may have forgotten everything, sessions included.
            let session = insert_session(&batch, &self.key, self.started, &self.session)?;
            let entries = self.backlog.oldest(BATCH);
            let written = entries
                .map(|entry| insert(&batch, session, entry, self.options.redact))
                .collect::<rusqlite::Result<_>>()?;
            batch.commit()?;
            Ok(written)
        };
        write().map_err(|error| StoreError::from_sqlite(&self.path, &error))
    }

    fn connect(&self) -> Result<Open, StoreError> {
        let connection = schema::open_writable(&self.path, PATIENCE)?;
        if let Some(pages) = self.options.max_pages {
            connection
                .query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
                .map_err(|error| StoreError::from_sqlite(&self.path, &error))?;
        }
        Ok(Open {
            connection,
            file: files::identity(&self.path),
        })
    }

    /// A file that was deleted or replaced under our feet takes writes and keeps nothing.
    fn reopen_if_replaced(&mut self) {
        let replaced = self
            .open
            .as_ref()
            .is_some_and(|open| open.file != files::identity(&self.path));
        if replaced {
            tracing::warn!("the transcript log was moved or deleted; a new one is begun");
            self.open = None;
        }
    }

    fn acknowledge(&mut self, written: &[Option<RecordId>]) {
        for id in written {
            match (self.backlog.pop(), id) {
                (Some(Entry::Turn(kept)), Some(id)) => (kept.on_recorded)(Ack::Recorded(*id)),
                (Some(Entry::Event(_)), None) => {}
                _ => unreachable!("the entries are popped in the order in which they were written"),
            }
        }
    }

    /// Sets a damaged file aside, once a day at most; whether that was done.
    fn replace_damaged(&mut self, error: &StoreError) -> bool {
        let StoreError::Damaged { reason, .. } = error else {
            return false;
        };
        let now = self.clock.now();
        if self
            .set_aside
            .is_some_and(|before| now.since(before) < PRUNE_EVERY)
        {
            return false;
        }
        self.set_aside = Some(now);
        self.open = None;
        let stamp = clock::wall().strftime("%Y%m%dT%H%M%S").to_string();
        match files::set_aside(&self.path, &stamp) {
            Ok(moved) => {
                tracing::error!(reason, moved = %moved.display(), "the transcript log was damaged; a new one is begun");
                (self.notify)(Notice::SetAside(moved));
                true
            }
            Err(error) => {
                tracing::error!(reason, %error, "the transcript log is damaged and cannot be moved");
                false
            }
        }
    }

    /// Begins or goes on with an outage.
    fn note(&mut self, error: &StoreError) {
        let now = self.clock.now();
        let trouble = match error {
            StoreError::Full { .. } => Trouble::DiskFull,
            StoreError::Denied { .. } => Trouble::Denied,
            StoreError::Busy { .. } => Trouble::Locked,
            StoreError::Newer { .. } => Trouble::Newer,
            _ => Trouble::Broken,
        };
        if trouble != Trouble::Locked {
            // Whatever it was, a fresh connection starts without it.
            self.open = None;
        }
        let outage = self.outage.get_or_insert_with(|| {
            tracing::warn!(%error, "the transcript log cannot be written; turns wait in memory");
            Outage {
                since: now,
                retry: now,
                pause: PAUSE,
                told: false,
                overflowed: false,
            }
        });
        outage.retry = now + outage.pause;
        outage.pause = (outage.pause * 2).min(LONGEST_PAUSE);
        let lasting = trouble != Trouble::Locked || now.since(outage.since) >= LOCK_IS_NORMAL;
        if lasting && !outage.told {
            outage.told = true;
            (self.notify)(Notice::Unwritable(trouble));
        }
    }

    fn end_outage(&mut self, turns: usize) {
        let Some(outage) = self.outage.take() else {
            return;
        };
        let lasted_ms = self.clock.now().millis_from(outage.since);
        tracing::info!(turns, lasted_ms, "the transcript log is written again");
        if outage.told {
            (self.notify)(Notice::Recovered { turns });
        }
    }

    /// Once a day: forgets what is too old, and removes what this or a deletion that was cut short has left.
    fn prune_when_due(&mut self) {
        let now = self.clock.now();
        let Some(open) = self.open.as_mut().filter(|_| self.next_prune <= now) else {
            return;
        };
        self.next_prune = now + PRUNE_EVERY;
        let today = Wall::from(&clock::wall()).ms;
        let before = self.options.audio_days.map_or(i64::MIN, |days| {
            today.saturating_sub(i64::from(days) * DAY_MS)
        });
        let mut work = || -> rusqlite::Result<()> {
            let deleted = prune(&mut open.connection, self.options.retention, today)?;
            if is_full_step(deleted) {
                // More next time around, after whatever has come in meanwhile.
                self.next_prune = now;
            } else if has_traces(&open.connection)? {
                let done = scrub(&open.connection)?;
                tracing::info!(done, "old turns were forgotten");
            }
            Ok(())
        };
        if let Err(error) = work() {
            let error = StoreError::from_sqlite(&self.path, &error);
            tracing::warn!(%error, "old turns could not be forgotten; tried again tomorrow");
        }
        match audio::sweep(&open.connection, &self.path, before) {
            Ok(0) => {}
            Ok(deleted) => tracing::info!(deleted, "old sounds were deleted"),
            Err(error) => {
                tracing::warn!(%error, "old sounds could not be deleted; tried again tomorrow");
            }
        }
    }

    /// The last attempts, the end of the session, and what is lost.
    fn finish(mut self, grace: Duration) -> usize {
        let end = self.clock.now() + grace;
        self.write();
        while !self.backlog.is_empty() && self.clock.now() < end {
            std::thread::sleep(PAUSE.min(end.since(self.clock.now())));
            self.write();
        }
        let mut lost = 0;
        while let Some(entry) = self.backlog.pop() {
            if let Entry::Turn(kept) = entry {
                lost += 1;
                (kept.on_recorded)(Ack::Lost);
            }
        }
        if lost > 0 {
            tracing::error!(lost, "the daemon ends before these turns could be recorded");
        }
        if let Some(open) = &self.open {
            let now = Wall::from(&clock::wall()).ms;
            let ended = open.connection.execute(
                "UPDATE sessions SET ended_ms = ?1 WHERE key = ?2",
                params![now, self.key],
            );
            if let Err(error) = ended {
                let error = StoreError::from_sqlite(&self.path, &error);
                tracing::warn!(%error, "the end of the session could not be recorded");
            }
        }
        lost
    }
}

/// Adds one entry; the number of a turn.
fn insert(
    batch: &Connection,
    session: i64,
    entry: &Entry,
    redact: bool,
) -> rusqlite::Result<Option<RecordId>> {
    match entry {
        Entry::Turn(kept) => insert_turn(batch, session, kept.began, &kept.turn, redact).map(Some),
        Entry::Event(event) => {
            batch.prepare_cached(INSERT_EVENT)?.execute(params![
                session,
                event.at.ms,
                event.at.offset_s,
                event.kind,
                event.detail.to_string()
            ])?;
            Ok(None)
        }
    }
}

const INSERT_EVENT: &str =
    "INSERT INTO events (session, at_ms, offset_s, kind, detail) VALUES (?1, ?2, ?3, ?4, ?5)";
