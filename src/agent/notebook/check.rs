//! Examines a notebook without changing it, for `hark doctor`.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::{NotebookError, PATIENCE, VERSION, judge};

/// How many timers, notes and facts there are; `None` where there is no notebook. Reads all of it.
///
/// # Errors
/// It is damaged, of a later version, or cannot be read.
pub fn check(path: &Path) -> Result<Option<u64>, NotebookError> {
    if !path.exists() {
        return Ok(None);
    }
    let judged = |error: rusqlite::Error| judge(path, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(judged)?;
    connection.busy_timeout(PATIENCE).map_err(judged)?;
    let version: i64 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(judged)?;
    if version > VERSION {
        return Err(NotebookError::Newer {
            path: path.to_owned(),
        });
    }
    let found: String = connection
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(judged)?;
    if found != "ok" {
        return Err(NotebookError::Damaged {
            path: path.to_owned(),
        });
    }
    if version == 0 {
        return Ok(None);
    }
    let entries: i64 = connection
        .query_row(
            "SELECT (SELECT count(*) FROM schedule) + (SELECT count(*) FROM notes) + (SELECT count(*) FROM facts)",
            [],
            |row| row.get(0),
        )
        .map_err(judged)?;
    Ok(Some(entries.unsigned_abs()))
}
