//! What the local intents write into the notebook. Writing waits for the disk, so it is a task's work and not the
//! conductor's; only what is on disk is confirmed.

use std::sync::Arc;

use jiff::ZonedDateTime;

use super::conductor::Report;
use super::desk::{Work, said};
use crate::agent::intents::{Action, IntentKind};
use crate::agent::notebook::{Notebook, NotebookError};
use crate::agent::schedule::{Change, EntryId, Kind, NewEntry};
use crate::ids::TurnId;
use crate::platform::clock;

/// The work of doing `action`; then `say` is said, or what went wrong.
pub(super) fn write(
    turn: TurnId,
    notebook: Arc<Notebook>,
    action: Action,
    kind: IntentKind,
    say: String,
) -> Work {
    Box::new(move |_cancel, out, _raw| {
        Box::pin(async move {
            let now = clock::wall();
            let done = tokio::task::spawn_blocking(move || apply(&notebook, action, &now)).await;
            let say = match done {
                Ok(Ok(())) => say,
                Ok(Err(error)) => {
                    tracing::error!(%error, "the notebook was not written");
                    trouble(&error)
                }
                Err(error) => {
                    tracing::error!(%error, "writing the notebook failed");
                    "Something went wrong, and I could not keep that.".to_owned()
                }
            };
            for event in said(turn, kind, &say) {
                if out.send(Report::Agent(turn, event)).await.is_err() {
                    return;
                }
            }
        })
    })
}

/// Whether carrying it out writes words of the user to the disk.
pub(super) fn keeps_words(action: &Action) -> bool {
    matches!(
        action,
        Action::SetTimer { .. } | Action::Set(_) | Action::Remember(_)
    )
}

/// Ends the rings under way, in the background.
pub(super) fn silence(notebook: &Arc<Notebook>) {
    let now = clock::wall();
    let changes = notebook.schedule().silenced(&now);
    if changes.is_empty() {
        return;
    }
    let notebook = Arc::clone(notebook);
    tokio::task::spawn_blocking(move || keep(&notebook, &changes));
}

/// Keeps what has become of entries; where the disk takes nothing, for as long as this process lives.
pub(super) fn keep(notebook: &Notebook, changes: &[Change]) {
    if let Err(error) = notebook.apply(changes) {
        tracing::error!(%error, "the notebook was not written; what rang may ring again after a restart");
        notebook.apply_in_memory(changes);
    }
}

fn apply(notebook: &Notebook, action: Action, now: &ZonedDateTime) -> Result<(), NotebookError> {
    match action {
        Action::SetTimer { length, label } => {
            let due = now
                .timestamp()
                .saturating_add(length)
                .unwrap_or(jiff::Timestamp::MAX);
            notebook.set(NewEntry {
                kind: Kind::Timer { length },
                due,
                label,
                repeat: None,
            })?;
        }
        Action::Set(new) => {
            notebook.set(new)?;
        }
        Action::CancelTimer(id) => {
            notebook.cancel(&[id])?;
        }
        Action::CancelTimers => {
            let ids: Vec<EntryId> = notebook
                .schedule()
                .timers()
                .iter()
                .map(|timer| timer.id)
                .collect();
            notebook.cancel(&ids)?;
        }
        Action::Cancel(ids) => {
            notebook.cancel(&ids)?;
        }
        Action::Remember(fact) => {
            notebook.remember(&fact, now.timestamp())?;
        }
        Action::Forget(id) => {
            notebook.forget(id)?;
        }
        Action::ForgetAll => {
            notebook.forget_all()?;
        }
        Action::None
        | Action::Stop
        | Action::Ask(_)
        | Action::Volume(_)
        | Action::Repeat
        | Action::OffRecord(_)
        | Action::StopListening => {}
    }
    Ok(())
}

fn trouble(error: &NotebookError) -> String {
    match error {
        NotebookError::Full { most } => {
            format!("I keep {most} of these already. Remove some, and tell me again.")
        }
        NotebookError::Damaged { .. }
        | NotebookError::Newer { .. }
        | NotebookError::Unwritable { .. } => {
            "I could not write that down. Run hark doctor to see what is wrong with the disk."
                .to_owned()
        }
    }
}
