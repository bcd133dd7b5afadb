//! The control socket: real sockets, real bytes, a scripted conductor behind it.

#![allow(
    clippy::new_without_default,
    clippy::print_stdout,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test may panic, and its support is read and not documented"
)]

mod hanging;
mod lease;
mod requests;
mod streams;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hark::control::client::Client;
use hark::control::hub::Hub;
use hark::control::server::Server;
use hark::control::socket::{self, Lease};
use hark::control::{
    Answer, Call, Command, HotkeyStatus, MemoryStatus, Refused, Status, WakeStatus, key_name,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes on a busy machine; reached only where something hangs.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A folder that stands for the runtime folder.
pub struct Runtime {
    folder: tempfile::TempDir,
}

impl Runtime {
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub fn folder(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    pub fn socket(&self) -> PathBuf {
        socket::place(&self.folder())
    }

    pub fn client(&self) -> Client {
        Client::new(self.socket())
    }
}

pub fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path)
        .unwrap()
        .permissions()
        .mode()
        & 0o777
}

/// A server with a conductor that does what it is told and notes it.
pub struct Running {
    pub hub: Hub,
    pub commands: Arc<Mutex<Vec<Command>>>,
    stop: CancellationToken,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Running {
    pub fn start(runtime: &Runtime) -> Self {
        let (calls, waiting) = mpsc::channel(8);
        let running = Self::over(runtime, calls);
        tokio::spawn(conduct(waiting, Arc::clone(&running.commands)));
        running
    }

    /// With nobody who answers.
    pub fn over(runtime: &Runtime, calls: mpsc::Sender<Call>) -> Self {
        let lease = Lease::take(&runtime.socket()).unwrap();
        let (hub, stop) = (Hub::default(), CancellationToken::new());
        let server = Server {
            lease,
            calls,
            hub: hub.clone(),
        };
        Self {
            hub,
            commands: Arc::default(),
            server: tokio::spawn(server.run(stop.clone())),
            stop,
        }
    }

    pub async fn stop(self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.server).await;
        ended.expect("it ends in time").unwrap().unwrap();
    }
}

async fn conduct(mut calls: mpsc::Receiver<Call>, commands: Arc<Mutex<Vec<Command>>>) {
    let mut muted = false;
    while let Some(call) = calls.recv().await {
        commands.lock().unwrap().push(call.command);
        let answer = match call.command {
            Command::Status => Ok(Answer::Status(Box::new(status(muted)))),
            Command::Mute(on) => {
                muted = on;
                Ok(Answer::Muted { muted })
            }
            Command::OffRecord(off_record) => Ok(Answer::OffRecord { off_record }),
            Command::Key(_) if muted => Err(Refused {
                kind: "muted".to_owned(),
                message: "the ear is closed".to_owned(),
                next: "open it: `hark unmute`".to_owned(),
            }),
            Command::Key(key) => Ok(Answer::Key { ptt: key_name(key) }),
            Command::Stop => Ok(Answer::Stopped { stopped: true }),
            Command::Reload => Ok(Answer::Settings {
                applied: vec!["tts.rate".to_owned()],
                restart: Vec::new(),
            }),
            Command::Backend(_) => Ok(Answer::Changing { change: 1 }),
        };
        call.reply.send(answer).ok();
    }
}

pub fn status(muted: bool) -> Status {
    Status {
        state: "idle".to_owned(),
        since: "2026-11-24T10:00:00.000+01:00".to_owned(),
        input: "microphone".to_owned(),
        output: "speaker".to_owned(),
        stt_model: "base.en".to_owned(),
        backend: None,
        memory: MemoryStatus::default(),
        prefix: None,
        echo: Default::default(),
        change: None,
        muted,
        off_record: false,
        uptime_s: 5,
        turns: 2,
        wake: WakeStatus {
            phrase: Some("hey hark".to_owned()),
            hotkey: HotkeyStatus::default(),
        },
        version: "0.1.0".to_owned(),
        pid: 1,
    }
}
