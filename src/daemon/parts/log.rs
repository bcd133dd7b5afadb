//! The transcript log: the store's thread with its acknowledgements turned into reports.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::mpsc;

use super::super::conductor::Report;
use super::Names;
use crate::config::{Config, Places};
use crate::flow::Turn;
use crate::platform::clock::Clock;
use crate::transcripts::Retention;
use crate::transcripts::SessionInfo;
use crate::transcripts::audio;
use crate::transcripts::{Ack, Notice, Reader, StoreError, StoredTurn, Writer, WriterOptions};

/// How long the store may take to write what is left at shutdown.
const GRACE: Duration = Duration::from_secs(2);

/// The store's thread.
pub struct StoreHandle {
    writer: Writer,
    reports: mpsc::Sender<Report>,
    log: PathBuf,
}

/// Starts the store's thread.
///
/// # Errors
/// The system gives no thread. A store that cannot be written is told later, as a report.
pub fn store(
    config: &Config,
    places: &Places,
    names: &Names,
    backend: Option<String>,
    clock: Clock,
    reports: mpsc::Sender<Report>,
) -> anyhow::Result<StoreHandle> {
    let notices = reports.clone();
    let notify = move |notice| {
        let report = match notice {
            Notice::Unwritable(trouble) => Report::LogUnwritable(trouble.advice().to_owned()),
            Notice::Recovered { turns } => Report::LogRecovered { turns },
            Notice::Overflow => Report::LogTrouble(
                "the transcript log has run out of memory; turns are lost from now on".to_owned(),
            ),
            Notice::SetAside(path) => Report::LogTrouble(format!(
                "the transcript log was damaged; it lies at {} now, and a new one was begun",
                path.display()
            )),
        };
        // At shutdown nobody reads reports any more, and nobody needs them.
        notices.blocking_send(report).ok();
    };
    let session = SessionInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        input: Some(names.input.clone()),
        output: Some(names.output.clone()),
        stt_model: Some(names.model.clone()),
        backend,
    };
    let writer = Writer::spawn(
        places.transcripts(),
        session,
        options(config),
        clock,
        notify,
    )
    .context("no thread for the transcript log")?;
    Ok(StoreHandle {
        writer,
        reports,
        log: places.transcripts(),
    })
}

fn options(config: &Config) -> WriterOptions {
    let retention = Retention {
        days: config.transcripts.keep_days,
        turns: config.transcripts.keep_turns,
    };
    WriterOptions {
        redact: config.transcripts.redact,
        retention,
        audio_days: config.transcripts.audio_days,
        ..WriterOptions::default()
    }
}

impl StoreHandle {
    /// Queues a turn that was asked `ago`, with the sound of its question where that is kept; its acknowledgement comes as a report. `false` when the store has fallen behind
    /// so far that it takes nothing.
    pub fn record(&self, turn: Turn, ago: Duration, sound: Option<Arc<[f32]>>) -> bool {
        let (id, reports) = (turn.id, self.reports.clone());
        let log = self.log.clone();
        let acknowledge = move |ack| {
            let report = Report::Stored(id, matches!(ack, Ack::Recorded(_)));
            reports.blocking_send(report).ok();
            if let (Ack::Recorded(record), Some(samples)) = (ack, sound)
                && let Err(error) = audio::write(&log, record, &samples)
            {
                tracing::warn!(turn = %record, %error, "the sound of a question could not be kept");
            }
        };
        self.writer.try_record(turn, ago, acknowledge).is_ok()
    }

    /// Keeps a device's or backend's change beside the turns; a log that takes nothing has told so already.
    pub fn event(&self, kind: &'static str, change: &str) {
        self.writer
            .try_event(kind, serde_json::json!({ "change": change }))
            .ok();
    }

    /// Writes what is left and ends the thread.
    ///
    /// # Errors
    /// What could not be written, in words.
    pub fn close(self) -> Result<(), String> {
        let Self {
            writer, reports, ..
        } = self;
        drop(reports);
        let closed = writer.close(GRACE);
        match (closed.lost, closed.stuck) {
            (0, false) => Ok(()),
            (0, true) => Err("the transcript log is still busy".to_owned()),
            (lost, _) => Err(format!(
                "{lost} turns could not be written to the transcript log"
            )),
        }
    }
}

/// The newest turns of earlier runs, newest first, as far as a conversation may go on with them. A log that cannot be read
/// costs the memory, not the start.
#[must_use]
pub fn last_turns(config: &Config, places: &Places) -> Vec<StoredTurn> {
    if config.persona.resume.is_zero() {
        return Vec::new();
    }
    match Reader::open(&places.transcripts()).and_then(|log| log.spoken(MOST_RESUMED)) {
        Ok(turns) => turns,
        Err(StoreError::Absent { .. }) => Vec::new(),
        Err(error) => {
            tracing::warn!(%error, "the last conversation cannot be read from the transcript log");
            Vec::new()
        }
    }
}

/// Turns that a restarted daemon may know: more than the prompt has room for.
const MOST_RESUMED: usize = 40;

/// Writes a single turn, for a verb that has no daemon.
///
/// # Errors
/// It could not be written in time.
pub fn keep_one(config: &Config, places: &Places, turn: Turn) -> anyhow::Result<()> {
    let session = SessionInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..SessionInfo::default()
    };
    let writer = Writer::spawn(
        places.transcripts(),
        session,
        options(config),
        Clock::start(),
        |_| {},
    )
    .context("no thread for the transcript log")?;
    let (told, acknowledged) = std::sync::mpsc::sync_channel(1);
    writer.try_record(turn, Duration::ZERO, move |ack| {
        told.try_send(ack).ok();
    })?;
    let ack = acknowledged.recv_timeout(GRACE);
    let closed = writer.close(GRACE);
    match ack {
        Ok(Ack::Recorded(_)) if !closed.stuck => Ok(()),
        _ => anyhow::bail!("the transcript log could not be written"),
    }
}
