//! The notebook: timers, notes and facts.

use crate::agent::notebook::{Notebook, NotebookError};
use crate::config::Places;

/// Opens the notebook. One that is damaged is moved away and told in the log; where the disk takes nothing, one in memory
/// is used, so that timers ring at least while this process lives.
///
/// # Errors
/// A later version of Hark wrote it: nothing of it may be lost.
pub fn notebook(places: &Places) -> anyhow::Result<Notebook> {
    let path = places.notebook();
    match Notebook::open_or_renew(&path) {
        Ok((notebook, None)) => Ok(notebook),
        Ok((notebook, Some(aside))) => {
            tracing::error!(
                old = %aside.display(),
                "the notebook was damaged: timers, notes and facts begin anew, and the old file is kept"
            );
            Ok(notebook)
        }
        Err(error @ NotebookError::Newer { .. }) => Err(error.into()),
        Err(error) => {
            tracing::error!(%error, "timers, notes and facts are kept in memory only");
            Ok(Notebook::in_memory()?)
        }
    }
}
