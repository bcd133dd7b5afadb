//! Rings timers, alarms and reminders: the one task that watches the notebook.
//!
//! It sleeps until something is due, until this process writes, or for two seconds, after which it looks for what another
//! process has written (`hark ask`, `hark tools call`) and whether the wall clock has jumped. What rings is kept as ringing
//! before it is said: a daemon that is killed in that moment says it again after its restart, and nothing is lost.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::conductor::Report;
use super::pad::keep;
use crate::agent::notebook::{Notebook, NotebookError};
use crate::agent::schedule::{Change, words};
use crate::platform::clock;
use crate::private::Private;

/// Watches `notebook` until the inbox closes.
pub fn watch(notebook: Arc<Notebook>, reports: mpsc::Sender<Report>) {
    let started = clock::wall().timestamp();
    tokio::spawn(async move {
        let mut told = false;
        loop {
            let book = Arc::clone(&notebook);
            let looked = tokio::task::spawn_blocking(move || look(&book, started)).await;
            match looked {
                Ok(Ok(texts)) => {
                    told = false;
                    for text in texts {
                        if reports.send(Report::Announce(text)).await.is_err() {
                            return;
                        }
                    }
                }
                Ok(Err(error)) if !told => {
                    tracing::error!(%error, "the notebook cannot be read; timers may not ring");
                    told = true;
                }
                Ok(Err(_)) => {}
                Err(error) => tracing::error!(%error, "ringing failed"),
            }
            tokio::select! {
                () = reports.closed() => return,
                () = notebook.changed() => {}
                () = tokio::time::sleep(nap(&notebook)) => {}
            }
        }
    });
}

/// What is to be said now; it is kept as said.
fn look(notebook: &Notebook, started: Timestamp) -> Result<Vec<Private<String>>, NotebookError> {
    notebook.refresh()?;
    let now = clock::wall();
    let changes = notebook.schedule().due(&now, started);
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    keep(notebook, &changes);
    let ring = |change: &Change| match change {
        Change::Ring(entry, ring) => Some(Private::new(words::ringing(entry, *ring, &now))),
        Change::Over(_) | Change::Again(_) => None,
    };
    Ok(changes.iter().filter_map(ring).collect())
}

/// Until the next entry, but no longer than [`LOOK`].
fn nap(notebook: &Notebook) -> Duration {
    let Some(next) = notebook.schedule().next() else {
        return LOOK;
    };
    let left = next.duration_since(clock::wall().timestamp());
    Duration::try_from(left).map_or(Duration::ZERO, |left| left.min(LOOK))
}

/// How long another process's write or a jump of the clock may go unnoticed.
const LOOK: Duration = Duration::from_secs(2);
