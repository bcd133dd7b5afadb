//! Deletes for good: from the table, the index, the free pages and the write-ahead log.
//!
//! [`forget`] is called by commands, on a connection of its own beside the daemon's; `prune` and `scrub` by the store
//! thread for retention. Deleting is one thing, leaving no byte is another: every writing connection overwrites what it
//! deletes (`secure_delete`, also in the index), but that leaves single words where a page of the index began with them
//! (found by the tests here), so the index is built anew from what is left and the file is rewritten.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior, params};

use super::error::StoreError;
use super::schema::open_writable;
use super::when::When;

/// What is to be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The turns from the first to the last number, both included.
    Turns(i64, i64),
    /// The turns and events of a stretch of time.
    When(When),
    /// Everything, sessions too.
    All,
}

/// What was forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forgotten {
    /// Turns.
    pub turns: usize,
}

/// How long turns are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// Days; `None` is for ever.
    pub days: Option<u32>,
    /// Number of turns, the newest; `None` is all.
    pub turns: Option<u32>,
}

/// How many turns [`forget`] would delete.
///
/// # Errors
/// See [`StoreError`].
pub fn count(path: &Path, which: &[Which]) -> Result<usize, StoreError> {
    let connection = super::schema::open_readable(path)?;
    let sql = format!("SELECT count(*) FROM turns WHERE {}", condition(which));
    let count: u32 = connection
        .query_row(&sql, [], |row| row.get(0))
        .map_err(|error| StoreError::from_sqlite(path, &error))?;
    Ok(count as usize)
}

/// Deletes and leaves no trace. Writes file and index anew: measured 0.6 s for 20,000 turns that stay, 83 s for a million.
///
/// # Errors
/// [`StoreError::Unscrubbed`] when the deletion is done but not the rewrite; with every other error nothing was deleted.
pub fn forget(path: &Path, which: &[Which]) -> Result<Forgotten, StoreError> {
    if !path
        .try_exists()
        .map_err(|error| StoreError::from_io(path, &error))?
    {
        return Err(StoreError::Absent {
            path: path.to_owned(),
        });
    }
    let mut connection = open_writable(path, PATIENCE)?;
    let turns =
        delete(&mut connection, which).map_err(|error| StoreError::from_sqlite(path, &error))?;
    rewrite_at(&connection, path)?;
    Ok(Forgotten { turns })
}

/// Whether an earlier deletion was cut short (a crash, a full disk, a reader in its way) and may have left traces.
///
/// # Errors
/// See [`StoreError`].
pub fn is_unfinished(path: &Path) -> Result<bool, StoreError> {
    let connection = super::schema::open_readable(path)?;
    has_traces(&connection).map_err(|error| StoreError::from_sqlite(path, &error))
}

/// Removes the traces of a deletion that was cut short.
///
/// # Errors
/// As [`forget`].
pub fn finish(path: &Path) -> Result<(), StoreError> {
    let connection = open_writable(path, PATIENCE)?;
    rewrite_at(&connection, path)
}

/// Removes what a deletion leaves: sounds of turns that are gone, then every trace in the file.
fn rewrite_at(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    super::audio::sweep(connection, path, i64::MIN).map_err(|error| StoreError::Unscrubbed {
        path: path.to_owned(),
        reason: format!("the sound of a question could not be deleted: {error}"),
    })?;
    let reason = match rewrite(connection) {
        Ok(true) => return Ok(()),
        Ok(false) => "another process is reading it".to_owned(),
        Err(error) => StoreError::from_sqlite(path, &error).to_string(),
    };
    Err(StoreError::Unscrubbed {
        path: path.to_owned(),
        reason,
    })
}

/// How long [`forget`] waits for the daemon or a reader to let go.
const PATIENCE: Duration = Duration::from_secs(5);

fn delete(connection: &mut Connection, which: &[Which]) -> rusqlite::Result<usize> {
    let work = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // The index is built anew below; taking each turn out of it first would be work for nothing.
    let trigger: String = work.query_row(
        "SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND name = 'turns_unindexed'",
        [],
        |row| row.get(0),
    )?;
    work.execute_batch("DROP TRIGGER turns_unindexed")?;
    let deleted = work.execute(&format!("DELETE FROM turns WHERE {}", condition(which)), [])?;
    for which in which {
        match which {
            Which::Turns(..) => {}
            Which::When(when) => {
                let bounds = params![when.from_ms, when.until_ms];
                work.execute(
                    "DELETE FROM events WHERE at_ms >= ?1 AND at_ms < ?2",
                    bounds,
                )?;
            }
            Which::All => work.execute_batch("DELETE FROM events; DELETE FROM sessions;")?,
        }
    }
    work.execute_batch(&trigger)?;
    remove_traces(&work)?;
    note_traces(&work)?;
    work.commit()?;
    Ok(deleted)
}

/// Writes the index anew from the turns that there are, and forgets on which days there were others.
fn remove_traces(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("INSERT INTO turns_text (turns_text) VALUES ('rebuild')")?;
    connection.execute(
        "DELETE FROM days WHERE NOT EXISTS \
         (SELECT 1 FROM turns WHERE began_ms >= day * ?1 AND began_ms < (day + 1) * ?1)",
        [DAY_MS],
    )?;
    Ok(())
}

/// Writes the file anew, without free space, and empties the write-ahead log; `false` where a reader holds that back.
fn rewrite(connection: &Connection) -> rusqlite::Result<bool> {
    connection.execute_batch("VACUUM")?;
    let emptied = empty_log(connection)?;
    if emptied {
        connection.execute("DELETE FROM upkeep WHERE task = 'scrub'", [])?;
    }
    Ok(emptied)
}

/// Notes, with the deletion itself, that its traces are to be removed.
fn note_traces(connection: &Connection) -> rusqlite::Result<usize> {
    connection.execute("INSERT OR IGNORE INTO upkeep (task) VALUES ('scrub')", [])
}

/// Whether there may be traces.
pub(super) fn has_traces(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM upkeep WHERE task = 'scrub')";
    connection.query_row(sql, [], |row| row.get(0))
}

/// The condition on `turns` that any of `which` makes. Only numbers go into it.
fn condition(which: &[Which]) -> String {
    let conditions = which.iter().map(|which| match which {
        Which::Turns(first, last) => format!("id BETWEEN {first} AND {last}"),
        Which::When(when) => {
            format!(
                "began_ms >= {} AND began_ms < {}",
                when.from_ms, when.until_ms
            )
        }
        Which::All => "true".to_owned(),
    });
    conditions.collect::<Vec<_>>().join(" OR ")
}

/// Moves the write-ahead log into the file and cuts it to nothing; `false` where a reader holds it back.
fn empty_log(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
        row.get::<_, i64>(0).map(|busy| busy == 0)
    })
}

/// Deletes up to `STEP` turns that are older than `now_ms` allows, or more than are kept; how many it deleted. The caller
/// repeats it until that is less than it could have been ([`is_full_step`]).
///
/// # Errors
/// SQLite's; the step is undone.
pub(super) fn prune(
    connection: &mut Connection,
    retention: Retention,
    now_ms: i64,
) -> rusqlite::Result<usize> {
    let work = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut deleted = 0;
    if let Some(days) = retention.days {
        let before = now_ms.saturating_sub(i64::from(days) * DAY_MS);
        deleted += work.execute(
            "DELETE FROM turns WHERE id IN (SELECT id FROM turns WHERE began_ms < ?1 ORDER BY began_ms LIMIT ?2)",
            params![before, STEP],
        )?;
        work.execute("DELETE FROM events WHERE at_ms < ?1", [before])?;
    }
    if let Some(turns) = retention.turns {
        let surplus: i64 = work.query_row("SELECT count(*) FROM turns", [], |row| row.get(0))?;
        let surplus = (surplus - i64::from(turns)).clamp(0, STEP);
        deleted += work.execute(
            "DELETE FROM turns WHERE id IN (SELECT id FROM turns ORDER BY began_ms, id LIMIT ?1)",
            [surplus],
        )?;
    }
    if deleted > 0 {
        note_traces(&work)?;
    }
    work.commit()?;
    Ok(deleted)
}

/// Removes the traces that deletions left, as [`forget`] does; `false` where a reader holds the end of it back.
///
/// # Errors
/// SQLite's; the log is sound, and traces may be left.
pub(super) fn scrub(connection: &Connection) -> rusqlite::Result<bool> {
    remove_traces(connection)?;
    rewrite(connection)
}

/// Whether a step of [`prune`] deleted so much that there may be more.
pub(super) const fn is_full_step(deleted: usize) -> bool {
    deleted >= STEP as usize
}

/// Turns that one step of [`prune`] deletes: about 50 ms, so that a new turn never waits long.
const STEP: i64 = 200;

const DAY_MS: i64 = 86_400_000;
