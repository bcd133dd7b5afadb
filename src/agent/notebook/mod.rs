//! What the assistant keeps for its user: timers, alarms and reminders, notes, and what it was asked to remember.
//!
//! One SQLite file under the state folder, mode 0600. Shared by the daemon's ring, the local intents, the tools and the
//! verbs, also across processes: a timer that `hark ask` sets is rung by the running daemon, which looks for the other's
//! writes in [`Notebook::refresh`]. Every write is on disk when its function returns (6 ms as a rule, seconds on a busy
//! disk): call them on a blocking thread. [`Notebook::schedule`] and [`Notebook::facts`] read a copy in memory and may be
//! called anywhere.

mod check;
mod facts;
pub mod notes;
mod schedule;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};
use tokio::sync::Notify;

pub use check::check;
pub use notes::Note;

use super::facts::Fact;
use super::schedule::Schedule;
use crate::platform::private_file;

/// Why the notebook could not be used, by what the caller will do.
#[derive(Debug, thiserror::Error)]
pub enum NotebookError {
    /// It is no database of ours or is damaged. Move it away; [`Notebook::open_or_renew`] does.
    #[error("the notebook {path} is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// A later version of Hark wrote it. Use that version.
    #[error("the notebook {path} was written by a later version of Hark")]
    Newer {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be read or written: check the folder's permissions and the disk's space.
    #[error("the notebook {path} cannot be written: {reason}")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// There is no room for more of this kind. Remove some.
    #[error("there are {most} already, and there is no room for more")]
    Full {
        /// How many there are.
        most: usize,
    },
}

/// See the module.
pub struct Notebook {
    path: PathBuf,
    connection: Mutex<Connection>,
    copy: Mutex<Copy>,
    changed: Notify,
}

/// What is read without waiting for the disk.
#[derive(Default)]
struct Copy {
    schedule: Schedule,
    facts: Vec<Fact>,
    /// SQLite's counter of other connections' writes, as of this copy.
    version: i64,
}

impl std::fmt::Debug for Notebook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notebook")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Notebook {
    /// Opens it, and makes it where it is missing.
    ///
    /// # Errors
    /// See [`NotebookError`].
    pub fn open(path: &Path) -> Result<Self, NotebookError> {
        let unwritable = |reason: std::io::Error| NotebookError::Unwritable {
            path: path.to_owned(),
            reason: reason.to_string(),
        };
        private_file::make(path).map_err(unwritable)?;
        let connection = Connection::open(path).map_err(|error| judge(path, &error))?;
        Self::begin(path.to_owned(), connection)
    }

    /// Opens it; one that is damaged is renamed, and a new one begun. The second value is the old one's new name.
    ///
    /// # Errors
    /// See [`NotebookError`].
    pub fn open_or_renew(path: &Path) -> Result<(Self, Option<PathBuf>), NotebookError> {
        match Self::open(path) {
            Err(NotebookError::Damaged { .. }) => {}
            other => return other.map(|notebook| (notebook, None)),
        }
        let aside = (1..)
            .map(|number| path.with_extension(format!("damaged-{number}")))
            .find(|name| !name.exists())
            .expect("numbers do not end");
        std::fs::rename(path, &aside).map_err(|error| NotebookError::Unwritable {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        Ok((Self::open(path)?, Some(aside)))
    }

    /// One that ends with the process, for when the disk takes nothing.
    ///
    /// # Errors
    /// There is no memory.
    pub fn in_memory() -> Result<Self, NotebookError> {
        let path = PathBuf::from(":memory:");
        let connection = Connection::open_in_memory().map_err(|error| judge(&path, &error))?;
        Self::begin(path, connection)
    }

    fn begin(path: PathBuf, mut connection: Connection) -> Result<Self, NotebookError> {
        prepare(&mut connection, &path)?;
        let notebook = Self {
            path,
            connection: Mutex::new(connection),
            copy: Mutex::default(),
            changed: Notify::new(),
        };
        notebook.read_again()?;
        Ok(notebook)
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is set, as of the last write here or [`Self::refresh`].
    #[must_use]
    pub fn schedule(&self) -> Schedule {
        self.copy().schedule.clone()
    }

    /// What it was asked to remember, the oldest first; as fresh as [`Self::schedule`].
    #[must_use]
    pub fn facts(&self) -> Vec<Fact> {
        self.copy().facts.clone()
    }

    /// Takes in what another process has written.
    ///
    /// # Errors
    /// See [`NotebookError`].
    pub fn refresh(&self) -> Result<(), NotebookError> {
        let version = self.version(&self.connection())?;
        if version != self.copy().version {
            self.read_again()?;
        }
        Ok(())
    }

    /// Waits for the next write of this process.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    fn version(&self, connection: &Connection) -> Result<i64, NotebookError> {
        connection
            .query_row("PRAGMA data_version", [], |row| row.get(0))
            .map_err(|error| self.judge(&error))
    }

    fn read_again(&self) -> Result<(), NotebookError> {
        let connection = self.connection();
        let version = self.version(&connection)?;
        let schedule = schedule::read(&connection).map_err(|error| self.judge(&error))?;
        let facts = facts::read(&connection).map_err(|error| self.judge(&error))?;
        *self.copy() = Copy {
            schedule,
            facts,
            version,
        };
        Ok(())
    }

    /// Runs `work` as one transaction, then brings the copy up to date and tells who waits.
    fn write<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Trouble>,
    ) -> Result<T, NotebookError> {
        let done = {
            let mut connection = self.connection();
            let transaction = connection
                .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
                .map_err(|error| self.judge(&error))?;
            let done = work(&transaction).map_err(|trouble| match trouble {
                Trouble::Sqlite(error) => self.judge(&error),
                Trouble::Full { most } => NotebookError::Full { most },
            })?;
            transaction.commit().map_err(|error| self.judge(&error))?;
            done
        };
        self.read_again()?;
        self.changed.notify_waiters();
        Ok(done)
    }

    fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, NotebookError> {
        work(&self.connection()).map_err(|error| self.judge(&error))
    }

    fn judge(&self, error: &rusqlite::Error) -> NotebookError {
        judge(&self.path, error)
    }

    /// Nothing panics while it holds these locks but a bug, and a transaction that a bug broke off is rolled back.
    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn copy(&self) -> MutexGuard<'_, Copy> {
        self.copy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What can go wrong inside a write.
enum Trouble {
    Sqlite(rusqlite::Error),
    Full { most: usize },
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Settings, schema, and whether it is ours.
fn prepare(connection: &mut Connection, path: &Path) -> Result<(), NotebookError> {
    let judged = |error: rusqlite::Error| judge(path, &error);
    connection.busy_timeout(PATIENCE).map_err(judged)?;
    let version: i64 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(judged)?;
    if version > VERSION {
        return Err(NotebookError::Newer {
            path: path.to_owned(),
        });
    }
    connection.execute_batch(SETTINGS).map_err(judged)?;
    if version == 0 {
        let transaction = connection
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
            .map_err(judged)?;
        transaction.execute_batch(SCHEMA).map_err(judged)?;
        transaction.commit().map_err(judged)?;
    }
    Ok(())
}

fn judge(path: &Path, error: &rusqlite::Error) -> NotebookError {
    let path = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            NotebookError::Damaged { path }
        }
        code => NotebookError::Unwritable {
            path,
            // SQLite's own message may quote what was written.
            reason: code.map_or_else(
                || "an unexpected answer".to_owned(),
                |code| format!("{code:?}"),
            ),
        },
    }
}

/// How long another process's write is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// The schema that this version writes.
const VERSION: i64 = 1;

/// Durable at each commit (an alarm that was confirmed must ring), nothing left behind of what was deleted, no temporary
/// files in public folders.
const SETTINGS: &str = "
    PRAGMA synchronous = FULL;
    PRAGMA fullfsync = ON;
    PRAGMA secure_delete = ON;
    PRAGMA temp_store = MEMORY;
    PRAGMA trusted_schema = OFF;
";

/// Times are milliseconds since 1970, UTC. `AUTOINCREMENT`, because a name that comes again would be taken for another's.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS schedule (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        due_ms INTEGER NOT NULL,
        length_ms INTEGER,
        label TEXT,
        repeat_days INTEGER,
        repeat_minute INTEGER,
        rings INTEGER,
        rang_ms INTEGER
    ) STRICT;
    CREATE TABLE IF NOT EXISTS notes (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        made_ms INTEGER NOT NULL,
        text TEXT NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS facts (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        made_ms INTEGER NOT NULL,
        text TEXT NOT NULL
    ) STRICT;
    PRAGMA user_version = 1;
";
