//! Opens the database: privately, durably, at the right schema.
//!
//! Called by the store thread and, for `forget`, by commands. Promises that a connection it hands out has the current
//! schema and the settings below; that a file of a later version is left alone; that a migration happens whole or not at
//! all.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::error::StoreError;
use super::files;

/// The steps from schema to schema; the number of steps done is the file's `user_version`.
const MIGRATIONS: &[&str] = &[include_str!("migrations/0001.sql")];

/// The schema that this version writes.
fn known() -> i64 {
    i64::try_from(MIGRATIONS.len()).expect("a handful")
}

/// "Hark" in ASCII, in the file's header: another program's database is not taken for ours.
const APPLICATION_ID: i64 = 0x4861_726b;

/// Settings of every writing connection.
///
/// `synchronous=FULL` syncs the log at each commit: with `NORMAL` WAL keeps the file sound but may lose the last turns at
/// a loss of power, and an acknowledged turn must not be lost. The price of a commit, measured by
/// `tests/bench/transcripts.rs` on a virtual machine with a virtual disk: 6 ms (95th percentile 12) instead of 0.07 (0.3);
/// it is paid on the store thread, where nobody waits. `fullfsync` makes macOS
/// flush the drive's cache too; elsewhere it does nothing. `secure_delete` overwrites what is deleted. `temp_store=MEMORY`
/// keeps words out of temporary files, which lie in a public folder.
const SETTINGS: &str = "
    PRAGMA synchronous = FULL;
    PRAGMA fullfsync = ON;
    PRAGMA checkpoint_fullfsync = ON;
    PRAGMA secure_delete = ON;
    PRAGMA temp_store = MEMORY;
    PRAGMA foreign_keys = ON;
    PRAGMA trusted_schema = OFF;
    PRAGMA cell_size_check = ON;
";

/// Opens for writing; makes folder, file and schema where they are missing.
///
/// # Errors
/// See [`StoreError`]; the file is unchanged then.
pub fn open_writable(path: &Path, patience: Duration) -> Result<Connection, StoreError> {
    files::make_private(path).map_err(|error| StoreError::from_io(path, &error))?;
    let sqlite = |error| StoreError::from_sqlite(path, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(sqlite)?;
    connection.busy_timeout(patience).map_err(sqlite)?;
    version(&connection, path)?;
    let mode: String = connection
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        .map_err(sqlite)?;
    if mode != "wal" {
        // A file system without shared memory; the roll-back journal is as safe, only slower beside readers.
        tracing::warn!(mode, "the transcript log runs without a write-ahead log");
    }
    connection.execute_batch(SETTINGS).map_err(sqlite)?;
    migrate(&mut connection, MIGRATIONS).map_err(sqlite)?;
    Ok(connection)
}

/// Opens for reading, also while the daemon writes, and also where nothing may be written.
pub(super) fn open_readable(path: &Path) -> Result<Connection, StoreError> {
    if !path
        .try_exists()
        .map_err(|error| StoreError::from_io(path, &error))?
    {
        return Err(StoreError::Absent {
            path: path.to_owned(),
        });
    }
    let connection = connect_readable(path)?;
    let found = version(&connection, path)?;
    if found == 0 {
        return Err(StoreError::Absent {
            path: path.to_owned(),
        });
    }
    if found < known() {
        drop(connection);
        return open_writable(path, READ_PATIENCE);
    }
    Ok(connection)
}

/// Tries the ways from the best to the last: a reader that can recover the log after a crash needs to write beside the
/// file; one in a read-only folder reads what was last checkpointed.
fn connect_readable(path: &Path) -> Result<Connection, StoreError> {
    let attempt = |target: &Path, flags: OpenFlags| -> Result<Connection, rusqlite::Error> {
        let connection =
            Connection::open_with_flags(target, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(READ_PATIENCE)?;
        connection.execute_batch("PRAGMA query_only = ON; PRAGMA temp_store = MEMORY;")?;
        // Opening reads nothing; this does.
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(connection)
    };
    let first = match attempt(path, OpenFlags::SQLITE_OPEN_READ_WRITE) {
        Ok(connection) => return Ok(connection),
        Err(error) => StoreError::from_sqlite(path, &error),
    };
    if !matches!(first, StoreError::Denied { .. }) {
        return Err(first);
    }
    if let Ok(connection) = attempt(path, OpenFlags::SQLITE_OPEN_READ_ONLY) {
        return Ok(connection);
    }
    let escaped = path
        .to_string_lossy()
        .replace('%', "%25")
        .replace('?', "%3f")
        .replace('#', "%23");
    let uri = format!("file:{escaped}?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    attempt(Path::new(&uri), flags).map_err(|_| first)
}

/// How long a reader waits for a lock; readers meet one only while the file is rewritten.
const READ_PATIENCE: Duration = Duration::from_secs(5);

/// The schema of the file: 0 for an empty one.
fn version(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    let pragma = |name: &str| {
        connection
            .query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0))
            .map_err(|error| StoreError::from_sqlite(path, &error))
    };
    let (version, application) = (pragma("user_version")?, pragma("application_id")?);
    if version > known() {
        return Err(StoreError::Newer {
            path: path.to_owned(),
            found: version,
            known: known(),
        });
    }
    let foreign = application != 0 && application != APPLICATION_ID;
    // Ours has its number from the moment when it has a table.
    let unnumbered = version == 0 && pragma("schema_version")? != 0;
    if foreign || unnumbered || (version > 0 && application == 0) {
        return Err(StoreError::Damaged {
            path: path.to_owned(),
            reason: "it is the database of another program".to_owned(),
        });
    }
    Ok(version)
}

/// Does the steps that the file lacks, each in a transaction of its own with its number.
fn migrate(connection: &mut Connection, steps: &[&str]) -> rusqlite::Result<()> {
    loop {
        // Immediate: two processes that start at once do it one after the other, and the second finds it done.
        let step = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done: u32 = step.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        let Some(sql) = steps.get(done as usize) else {
            return Ok(());
        };
        step.execute_batch(sql)?;
        step.execute_batch(&format!(
            "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {};",
            done + 1
        ))?;
        step.commit()?;
    }
}

/// What an examination of the store found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Integrity {
    /// What is wrong; empty where nothing is.
    pub findings: Vec<String>,
    /// Of these, how many are damage of the file or its index: what remains can be mended in place.
    pub damaged: usize,
    /// Whether a deletion was cut short: [`super::forget::finish`] ends it.
    pub unfinished: bool,
    /// Turns in it.
    pub turns: u64,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Its schema.
    pub schema: i64,
}

/// Examines the file, the full-text index against the turns, and the modes of file and folder. Reads all of it: about a
/// second for each gigabyte.
///
/// # Errors
/// It cannot be opened at all.
pub fn check(path: &Path) -> Result<Integrity, StoreError> {
    let connection = open_readable(path)?;
    let sqlite = |error| StoreError::from_sqlite(path, &error);
    let mut findings: Vec<String> = connection
        .prepare("PRAGMA integrity_check(20)")
        .and_then(|mut statement| {
            let rows = statement.query_map([], |row| row.get(0))?;
            rows.collect()
        })
        .map_err(sqlite)?;
    findings.retain(|line| line != "ok");
    if !index_matches(&connection, path)? {
        findings.push("the search index does not match the turns".to_owned());
    }
    let damaged = findings.len();
    let unfinished = super::forget::has_traces(&connection).map_err(sqlite)?;
    if unfinished {
        findings.push(
            "a deletion was cut short and may have left traces: `hark doctor --fix` finishes it, and so does a restart \
             of the daemon"
                .to_owned(),
        );
    }
    findings.extend(loose_modes(path));
    Ok(Integrity {
        findings,
        damaged,
        unfinished,
        turns: connection
            .query_row("SELECT count(*) FROM turns", [], |row| row.get::<_, i64>(0))
            .map_err(sqlite)?
            .unsigned_abs(),
        bytes: std::fs::metadata(path).map_or(0, |metadata| metadata.len()),
        schema: version(&connection, path)?,
    })
}

/// Compares the index with the turns; where nothing may be written that cannot be done, and counts as a match.
fn index_matches(connection: &Connection, path: &Path) -> Result<bool, StoreError> {
    // The index's own check is spelled as an insert; it changes nothing.
    let compared = connection.execute_batch(
        "PRAGMA query_only = OFF; INSERT INTO turns_text (turns_text, rank) VALUES ('integrity-check', 1);",
    );
    let Err(error) = compared else {
        return Ok(true);
    };
    match StoreError::from_sqlite(path, &error) {
        StoreError::Denied { .. } => Ok(true),
        StoreError::Damaged { .. } => Ok(false),
        other => Err(other),
    }
}

#[cfg(unix)]
fn loose_modes(path: &Path) -> Vec<String> {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = path.parent().map(|folder| (folder, "700"));
    folder
        .into_iter()
        .chain([(path, "600")])
        .filter_map(|(place, wanted)| {
            let mode = std::fs::metadata(place).ok()?.permissions().mode() & 0o777;
            let place = place.display();
            (mode & 0o077 != 0).then(|| {
                format!("others may read {place} (mode {mode:o}): `chmod {wanted} {place}`")
            })
        })
        .collect()
}

#[cfg(not(unix))]
fn loose_modes(_: &Path) -> Vec<String> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user_version(connection: &Connection) -> i64 {
        let read = connection.query_row("PRAGMA user_version", [], |row| row.get(0));
        read.expect("every database has one")
    }

    #[test]
    fn a_migration_that_fails_leaves_the_schema_before_it() {
        let mut connection = Connection::open_in_memory().expect("memory");
        let steps = [
            "CREATE TABLE a (x)",
            "CREATE TABLE b (x); CREATE TABLE a (x)",
        ];
        assert!(migrate(&mut connection, &steps).is_err());
        assert_eq!(user_version(&connection), 1);
        let tables: i64 = connection
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .expect("a count");
        assert_eq!(tables, 1);
    }

    #[test]
    fn migrations_that_are_done_are_not_done_again() {
        let mut connection = Connection::open_in_memory().expect("memory");
        migrate(&mut connection, &["CREATE TABLE a (x)"]).expect("the first time");
        let steps = ["CREATE TABLE a (x)", "CREATE TABLE b (x)"];
        migrate(&mut connection, &steps).expect("only the second step");
        assert_eq!(user_version(&connection), 2);
    }
}
