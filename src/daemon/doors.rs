//! The ways into a running daemon beside the ear: the control socket with its event stream, and the global key.
//!
//! Opened by [`super::serve`] before the ear and closed after it. Neither can make the daemon wait: what comes in is a
//! report in the conductor's inbox, and what goes out is queued for each client within bounds.

use std::path::PathBuf;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::conductor::Report;
use super::events::{Line, Sink};
use crate::cli::failure::Failure;
use crate::config::Config;
use crate::control::hub::Hub;
use crate::control::server::Server;
use crate::control::socket::{self, Lease, SocketError};
use crate::control::{Call, HotkeyStatus, Refused};
use crate::dialogue::Key;
use crate::platform::hotkey::{self, Hotkey, HotkeyError, Stroke};

/// Which ways in there are.
#[derive(Debug, Clone, Default)]
pub struct Doors {
    /// The runtime folder, for the control socket; `None` makes none.
    pub runtime: Option<PathBuf>,
    /// What happens when another daemon has the socket.
    pub taken: Taken,
    /// Whether the push-to-talk key of the settings is registered.
    pub hotkey: bool,
    /// What the settings were made of, where they are to be followed while the daemon runs.
    pub settings: Option<super::reload::Origin>,
    /// Whether the first run greets.
    pub greets: bool,
}

/// What happens when another daemon has the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Taken {
    /// The daemon does not start: two that listen to the same room would both answer.
    #[default]
    Refuse,
    /// It goes on without a socket: it answers a file.
    GoOn,
}

/// Calls that may wait for the conductor.
const CALLS: usize = 64;

/// The control socket of a running daemon.
pub struct ControlDoor {
    server: JoinHandle<std::io::Result<()>>,
    stop: CancellationToken,
    started: CancellationToken,
}

/// Takes the socket; to be done before any device is opened, so that a second daemon disturbs nothing.
///
/// # Errors
/// Another daemon has it and [`Taken::Refuse`] holds.
pub fn lease(doors: &Doors) -> anyhow::Result<Option<Lease>> {
    let Some(runtime) = &doors.runtime else {
        return Ok(None);
    };
    match Lease::take(&socket::place(runtime)) {
        Ok(lease) => Ok(Some(lease)),
        Err(error @ SocketError::Taken { .. }) if doors.taken == Taken::Refuse => {
            let SocketError::Taken { process, .. } = &error else {
                unreachable!("it was matched above");
            };
            let next = match process {
                Some(process) => format!(
                    "see what it does with `hark status`, end it with `kill {process}`, or give this one another home: \
                     set HARK_HOME"
                ),
                None => "see what it does with `hark status`, or give this one another home: set HARK_HOME".to_owned(),
            };
            Err(Failure::failed(error.to_string(), next).into())
        }
        Err(error) => {
            // The conversation needs no socket.
            tracing::warn!(%error, "commands like `hark status` cannot reach this daemon");
            Ok(None)
        }
    }
}

impl ControlDoor {
    /// Serves the socket; what clients want goes into the inbox once the conductor reads it. Until then they are told that
    /// the daemon is starting: loading a model takes longer than they wait.
    #[must_use]
    pub fn open(lease: Lease, hub: Hub, reports: mpsc::Sender<Report>) -> Self {
        let (calls, mut waiting) = mpsc::channel::<Call>(CALLS);
        tracing::info!(socket = %lease.path().display(), "commands are taken");
        let (stop, started) = (CancellationToken::new(), CancellationToken::new());
        let begun = started.clone();
        let server = Server { lease, calls, hub }.run(stop.clone());
        tokio::spawn(async move {
            while let Some(call) = waiting.recv().await {
                if !begun.is_cancelled() {
                    call.reply.send(Err(starting())).ok();
                } else if reports.send(Report::Call(call)).await.is_err() {
                    break;
                }
            }
        });
        Self {
            server: tokio::spawn(server),
            stop,
            started,
        }
    }

    /// The conductor reads its inbox from now on.
    pub fn started(&self) {
        self.started.cancel();
    }

    /// Ends the streams and removes the socket.
    pub async fn close(self) {
        self.stop.cancel();
        match self.server.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the control socket could not be served"),
            Err(error) => tracing::error!(%error, "the control socket failed"),
        }
    }
}

fn starting() -> Refused {
    Refused {
        kind: "starting".to_owned(),
        message: "hark is starting: its models are being loaded".to_owned(),
        next: "try again in a moment".to_owned(),
    }
}

/// A sink that also feeds those who follow the events over the socket.
#[must_use]
pub fn spread(hub: Hub, mut sink: Sink) -> Sink {
    Box::new(move |line: &Line| {
        if hub.is_followed() {
            let mut json =
                serde_json::to_vec(line).expect("a line has only string keys and finite numbers");
            json.push(b'\n');
            hub.publish(&Bytes::from(json));
        }
        sink(line);
    })
}

/// Registers the push-to-talk key of the settings. Without it Hark runs on, and says why.
pub async fn hotkey(
    config: &Config,
    doors: &Doors,
    reports: mpsc::Sender<Report>,
) -> (Option<Hotkey>, HotkeyStatus) {
    let mut status = HotkeyStatus::default();
    let Some(key) = config.push_to_talk.clone().filter(|_| doors.hotkey) else {
        return (None, status);
    };
    status.key = Some(key.clone());
    let listener = move |stroke| {
        let key = match stroke {
            Stroke::Down => Key::Press,
            Stroke::Up => Key::Release,
        };
        // An inbox that is full for a key stroke is a daemon that hangs; the thread of the keyboard must not.
        if reports.try_send(Report::Key(key)).is_err() {
            tracing::warn!("a stroke of the push-to-talk key was lost");
        }
    };
    // Asking the display may wait for it.
    let registered = tokio::task::spawn_blocking(move || hotkey::register(&key, listener)).await;
    match registered {
        Ok(Ok(hotkey)) => {
            status.works = true;
            tracing::info!("the push-to-talk key is registered");
            (Some(hotkey), status)
        }
        Ok(Err(error)) => {
            let problem = format!("{error}; {}", error.remedy());
            if matches!(error, HotkeyError::NoDisplay { .. }) {
                // On a machine without a screen nobody misses it.
                tracing::info!(%problem, "there is no push-to-talk key");
            } else {
                tracing::warn!(%problem, "there is no push-to-talk key");
            }
            status.problem = Some(problem);
            (None, status)
        }
        Err(error) => {
            tracing::error!(%error, "registering the push-to-talk key failed");
            status.problem = Some("registering it failed; see the log".to_owned());
            (None, status)
        }
    }
}
