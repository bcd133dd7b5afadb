//! Reads the log: lists, shows, searches, follows.
//!
//! Used by commands and by the control socket, each with a connection of its own; works beside the writer (WAL) and sees
//! what was committed. Newest first, because that is what is asked for, and because it lets SQLite stop early: a million
//! turns are listed and searched within milliseconds (`tests/bench/transcripts.rs`).

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::error::StoreError;
use super::record::{COLUMNS, RecordId, StoredTurn, Wall, read_turn};
use super::schema::open_readable;
use super::when::{ALWAYS, When};
use crate::private::Private;

/// An open log.
pub struct Reader {
    connection: Connection,
    path: PathBuf,
}

/// Which turns are listed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ListRequest {
    /// Of which time.
    pub when: When,
    /// At most so many, the newest.
    pub limit: usize,
}

impl Default for ListRequest {
    fn default() -> Self {
        Self {
            when: ALWAYS,
            limit: 20,
        }
    }
}

/// Whose words are searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// The questions.
    User,
    /// The answers.
    Hark,
}

/// What is searched for.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchRequest {
    /// An expression of [`super::query`].
    pub expression: String,
    /// Whose words; `None` is both.
    pub speaker: Option<Speaker>,
    /// Of which time.
    pub when: When,
    /// At most so many, the newest.
    pub limit: usize,
}

/// A turn that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// The turn.
    pub turn: StoredTurn,
    /// The place in the question, found words between [`MARK`]s; absent where it holds none.
    pub asked: Option<Private<String>>,
    /// The place in the answer.
    pub replied: Option<Private<String>>,
}

/// Stands before and after a found word in a [`Hit`]: control characters that no transcript holds.
pub const MARK: [char; 2] = ['\u{2}', '\u{3}'];

/// Something that happened beside the turns.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredEvent {
    /// When.
    pub at: Wall,
    /// `device`, `backend`, `memory`, `error`.
    pub kind: String,
    /// What, without words of the user.
    pub detail: serde_json::Value,
}

impl Reader {
    /// Opens the log.
    ///
    /// # Errors
    /// [`StoreError::Absent`] where nothing has been recorded; else see [`StoreError`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self {
            connection: open_readable(path)?,
            path: path.to_owned(),
        })
    }

    /// Turns of a stretch of time, newest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn list(&self, request: &ListRequest) -> Result<Vec<StoredTurn>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM turns t WHERE t.began_ms >= ?1 AND t.began_ms < ?2 \
             ORDER BY t.began_ms DESC, t.id DESC LIMIT ?3"
        );
        let bounds = params![
            request.when.from_ms,
            request.when.until_ms,
            rows(request.limit)
        ];
        self.collect(&sql, bounds, read_turn)
    }

    /// The newest turns of runs that had an ear, newest first: typed questions outside a daemon are no conversation.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn spoken(&self, limit: usize) -> Result<Vec<StoredTurn>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM turns t JOIN sessions s ON s.id = t.session WHERE s.input IS NOT NULL \
             ORDER BY t.began_ms DESC, t.id DESC LIMIT ?1"
        );
        self.collect(&sql, params![rows(limit)], read_turn)
    }

    /// One turn; `None` where there is none of that number.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn show(&self, id: RecordId) -> Result<Option<StoredTurn>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM turns t WHERE t.id = ?1");
        self.one(&sql, params![id.0])
    }

    /// The turn that was recorded last.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn last(&self) -> Result<Option<StoredTurn>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM turns t ORDER BY t.id DESC LIMIT 1");
        self.one(&sql, params![])
    }

    /// Turns that hold what is searched for, newest first, with the places.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn search(&self, request: &SearchRequest) -> Result<Vec<Hit>, StoreError> {
        let expression = match request.speaker {
            None => request.expression.clone(),
            Some(Speaker::User) => format!("{{asked}} : ({})", request.expression),
            Some(Speaker::Hark) => format!("{{replied}} : ({})", request.expression),
        };
        let Some((first, last)) = self.ids_within(request.when)? else {
            return Ok(Vec::new());
        };
        // The index walks from the newest and stops at the limit; ordering by relevance would have to weigh every match.
        let sql = format!(
            "SELECT {COLUMNS}, snippet(turns_text, 0, char(2), char(3), '…', {SNIPPET_WORDS}), \
                    snippet(turns_text, 1, char(2), char(3), '…', {SNIPPET_WORDS}) \
             FROM turns_text JOIN turns t ON t.id = turns_text.rowid \
             WHERE turns_text MATCH ?1 AND turns_text.rowid BETWEEN ?2 AND ?3 AND t.began_ms >= ?4 AND t.began_ms < ?5 \
             ORDER BY turns_text.rowid DESC LIMIT ?6"
        );
        let bounds = params![
            expression,
            first,
            last,
            request.when.from_ms,
            request.when.until_ms,
            rows(request.limit)
        ];
        self.collect(&sql, bounds, |row| {
            let place = |column| {
                let text: String = row.get(column)?;
                Ok::<_, rusqlite::Error>(text.contains(MARK[0]).then(|| Private::new(text)))
            };
            Ok(Hit {
                turn: read_turn(row)?,
                asked: place(17)?,
                replied: place(18)?,
            })
        })
    }

    /// Gives the turns of a stretch of time after number `since` to `each`, oldest first, until it breaks.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn each(
        &self,
        when: When,
        since: RecordId,
        mut each: impl FnMut(StoredTurn) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM turns t WHERE t.id > ?1 AND t.began_ms >= ?2 AND t.began_ms < ?3 ORDER BY t.id"
        );
        let mut walk = || -> rusqlite::Result<()> {
            let mut statement = self.connection.prepare(&sql)?;
            let mut rows = statement.query(params![since.0, when.from_ms, when.until_ms])?;
            while let Some(row) = rows.next()? {
                if each(read_turn(row)?).is_break() {
                    break;
                }
            }
            Ok(())
        };
        walk().map_err(|error| StoreError::from_sqlite(&self.path, &error))
    }

    /// Events of a stretch of time, oldest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn events(&self, when: When) -> Result<Vec<StoredEvent>, StoreError> {
        let sql = "SELECT at_ms, offset_s, kind, detail FROM events WHERE at_ms >= ?1 AND at_ms < ?2 ORDER BY at_ms, id";
        self.collect(sql, params![when.from_ms, when.until_ms], |row| {
            Ok(StoredEvent {
                at: Wall {
                    ms: row.get(0)?,
                    offset_s: row.get(1)?,
                },
                kind: row.get(2)?,
                detail: serde_json::from_str(row.get_ref(3)?.as_str()?).unwrap_or_default(),
            })
        })
    }

    /// How many turns there are.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn count(&self) -> Result<u64, StoreError> {
        let count = self.collect("SELECT count(*) FROM turns", params![], |row| {
            row.get::<_, i64>(0)
        })?;
        Ok(count.first().map_or(0, |count| count.unsigned_abs()))
    }

    /// A number that changes whenever another connection has committed; cheap enough to ask four times a second.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn data_version(&self) -> Result<i64, StoreError> {
        let version = self.collect("PRAGMA data_version", params![], |row| row.get(0))?;
        Ok(version.first().copied().unwrap_or(0))
    }

    /// A span that holds the numbers of all turns of a stretch of time: what the index can search by. `None` where there is
    /// no turn. It may hold others too, so the search still compares the time itself.
    fn ids_within(&self, when: When) -> Result<Option<(i64, i64)>, StoreError> {
        if when == ALWAYS {
            return Ok(Some((i64::MIN, i64::MAX)));
        }
        let sql = "SELECT min(first_id), max(last_id) FROM days WHERE day BETWEEN ?1 AND ?2";
        let days = params![when.from_ms / DAY_MS, when.until_ms / DAY_MS];
        let found: Vec<(Option<i64>, Option<i64>)> =
            self.collect(sql, days, |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(found.first().and_then(|(first, last)| (*first).zip(*last)))
    }

    fn one(
        &self,
        sql: &str,
        bounds: &[&dyn rusqlite::ToSql],
    ) -> Result<Option<StoredTurn>, StoreError> {
        self.connection
            .query_row(sql, bounds, read_turn)
            .optional()
            .map_err(|error| StoreError::from_sqlite(&self.path, &error))
    }

    fn collect<T>(
        &self,
        sql: &str,
        bounds: &[&dyn rusqlite::ToSql],
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let fetch = || -> rusqlite::Result<Vec<T>> {
            let mut statement = self.connection.prepare_cached(sql)?;
            let rows = statement.query_map(bounds, read)?;
            rows.collect()
        };
        fetch().map_err(|error| StoreError::from_sqlite(&self.path, &error))
    }
}

const DAY_MS: i64 = 86_400_000;

/// Words of context around a find; the index allows 64.
const SNIPPET_WORDS: u32 = 16;

/// A limit as SQLite takes it.
fn rows(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
