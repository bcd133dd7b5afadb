//! The transcript log: the real SQLite in a temporary folder, the real thread, the real verbs.
#![allow(clippy::unwrap_used)]

mod crash;
mod exporting;
mod forgetting;
mod outage;
mod reading;
mod secrets;
mod times;
mod verbs;
mod writing;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use hark::config::Places;
use hark::flow::{Outcome, Receipt, Turn};
use hark::ids::TurnId;
use hark::platform::clock::Clock;
use hark::time::{SamplePos, Span};
use hark::transcripts::{Ack, Notice, RecordId, SessionInfo, Writer, WriterOptions};
use jiff::ZonedDateTime;
use tempfile::TempDir;

/// Longer than anything here takes on a busy machine; reached only where something hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A state folder of its own.
pub(crate) struct State {
    folder: TempDir,
}

impl State {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// A log with these turns, the first one at noon of 20 November 2026 in Berlin and each a minute after the last.
    pub(crate) fn with(turns: Vec<Turn>) -> Self {
        let state = Self::new();
        let running = state.running();
        for (minutes, turn) in (0_i64..).zip(turns) {
            let began = at("2026-11-20T12:00:00+01:00[Europe/Berlin]");
            running.record_at(
                turn,
                &began
                    .checked_add(jiff::Span::new().minutes(minutes))
                    .unwrap(),
            );
        }
        running.close();
        state
    }

    pub(crate) fn places(&self) -> Places {
        Places {
            config_file: self.folder.path().join("config.toml"),
            state: self.folder.path().to_owned(),
            home: self.folder.path().to_owned(),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.places().transcripts()
    }

    pub(crate) fn running(&self) -> Running {
        Running::start(&self.log(), WriterOptions::default())
    }

    /// Whether `words` stand anywhere in the raw bytes of the log's files.
    pub(crate) fn holds_bytes(&self, words: &str) -> bool {
        let files = std::fs::read_dir(self.log().parent().unwrap()).unwrap();
        files.into_iter().any(|file| {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            let mut windows = bytes.windows(words.len());
            windows.any(|window| window.eq_ignore_ascii_case(words.as_bytes()))
        })
    }
}

/// A store thread that is running.
pub(crate) struct Running {
    pub(crate) writer: Writer,
    answer: Sender<(u64, Ack)>,
    answers: Receiver<(u64, Ack)>,
    pub(crate) notices: Receiver<Notice>,
}

impl Running {
    pub(crate) fn start(log: &Path, options: WriterOptions) -> Self {
        let (told, notices) = channel();
        let session = SessionInfo {
            version: "0.1.0".to_owned(),
            input: Some("microphone".to_owned()),
            ..SessionInfo::default()
        };
        let notify = move |notice| told.send(notice).unwrap_or(());
        let (answer, answers) = channel();
        let writer = Writer::spawn(log.to_owned(), session, options, Clock::start(), notify);
        Self {
            writer: writer.unwrap(),
            answer,
            answers,
            notices,
        }
    }

    /// Hands a turn over and does not wait.
    pub(crate) fn send(&self, turn: Turn) {
        let sender = self.answer.clone();
        let id = turn.id.0;
        let on_recorded = move |ack| sender.send((id, ack)).unwrap_or(());
        self.writer
            .try_record(turn, Duration::ZERO, on_recorded)
            .unwrap();
    }

    /// The next acknowledgement.
    pub(crate) fn acknowledged(&self) -> (u64, Ack) {
        self.answers.recv_timeout(PATIENCE).unwrap()
    }

    /// Whether an acknowledgement has come already.
    pub(crate) fn acknowledged_so_far(&self) -> Option<(u64, Ack)> {
        self.answers.try_recv().ok()
    }

    pub(crate) fn notice(&self) -> Notice {
        self.notices.recv_timeout(PATIENCE).unwrap()
    }

    /// Records and waits until it is safe.
    pub(crate) fn record(&self, turn: Turn) -> RecordId {
        self.send(turn);
        match self.acknowledged().1 {
            Ack::Recorded(id) => id,
            Ack::Lost => panic!("the turn was lost"),
        }
    }

    pub(crate) fn record_at(&self, turn: Turn, began: &ZonedDateTime) -> RecordId {
        let sender = self.answer.clone();
        let on_recorded = move |ack| sender.send((0, ack)).unwrap_or(());
        self.writer.try_record_at(turn, began, on_recorded).unwrap();
        match self.acknowledged().1 {
            Ack::Recorded(id) => id,
            Ack::Lost => panic!("the turn was lost"),
        }
    }

    pub(crate) fn close(self) -> usize {
        let closed = self.writer.close(PATIENCE);
        assert!(!closed.stuck);
        closed.lost
    }
}

/// A wall time.
pub(crate) fn at(written: &str) -> ZonedDateTime {
    written.parse().unwrap()
}

/// A turn that went well.
pub(crate) fn turn(id: u64, asked: &str, replied: &str) -> Turn {
    Turn {
        id: TurnId(id),
        span: Span {
            start: SamplePos(16_000 * id),
            end: SamplePos(16_000 * id + 40_000),
        },
        asked: asked.into(),
        language: "en".to_owned(),
        confidence: 0.93,
        replied: replied.into(),
        heard: replied.into(),
        outcome: Outcome::Completed,
        failure: None,
        tools: Vec::new(),
        receipt: Receipt {
            endpoint_ms: Some(520),
            transcript_ms: Some(810),
            first_audio_ms: Some(1_240),
            ..Receipt::default()
        },
    }
}
