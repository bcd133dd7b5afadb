//! Notes in the notebook: short texts that the user dictated.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{Notebook, NotebookError, Trouble};
use crate::private::Private;

/// Notes that are kept; more belong into another program.
pub const MOST_NOTES: usize = 10_000;

/// One note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Its name, never used twice.
    pub id: i64,
    /// When it was made.
    pub made: Timestamp,
    /// The words.
    pub text: Private<String>,
}

impl Notebook {
    /// Keeps a note.
    ///
    /// # Errors
    /// See [`NotebookError`].
    pub fn add_note(&self, text: &str, now: Timestamp) -> Result<Note, NotebookError> {
        self.write(|connection| {
            let count: i64 =
                connection.query_row("SELECT count(*) FROM notes", [], |row| row.get(0))?;
            if usize::try_from(count).unwrap_or(usize::MAX) >= MOST_NOTES {
                return Err(Trouble::Full { most: MOST_NOTES });
            }
            connection.execute(
                "INSERT INTO notes (made_ms, text) VALUES (?, ?)",
                params![now.as_millisecond(), text],
            )?;
            Ok(Note {
                id: connection.last_insert_rowid(),
                made: now,
                text: text.into(),
            })
        })
    }

    /// The newest notes that hold every word of `query`; all where it is empty.
    ///
    /// # Errors
    /// See [`NotebookError`].
    pub fn notes(&self, query: &str, most: usize) -> Result<Vec<Note>, NotebookError> {
        let words: Vec<String> = query
            .split(|letter: char| !letter.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect();
        let all = self.read(read)?;
        let holds = |note: &Note| {
            let text = note.text.as_str().to_lowercase();
            words.iter().all(|word| text.contains(word.as_str()))
        };
        Ok(all.into_iter().filter(holds).take(most).collect())
    }

    /// One note.
    ///
    /// # Errors
    /// See [`NotebookError`].
    pub fn note(&self, id: i64) -> Result<Option<Note>, NotebookError> {
        self.read(|connection| {
            connection
                .query_row(
                    "SELECT id, made_ms, text FROM notes WHERE id = ?",
                    [id],
                    note,
                )
                .optional()
        })
    }

    /// Deletes a note for good; what it was.
    ///
    /// # Errors
    /// See [`NotebookError`].
    pub fn delete_note(&self, id: i64) -> Result<Option<Note>, NotebookError> {
        self.write(|connection| {
            let gone = connection
                .query_row(
                    "DELETE FROM notes WHERE id = ? RETURNING id, made_ms, text",
                    [id],
                    note,
                )
                .optional()?;
            Ok(gone)
        })
    }
}

fn read(connection: &Connection) -> rusqlite::Result<Vec<Note>> {
    let mut statement =
        connection.prepare("SELECT id, made_ms, text FROM notes ORDER BY id DESC")?;
    let notes = statement.query_map([], note)?;
    notes.collect()
}

fn note(row: &Row<'_>) -> rusqlite::Result<Note> {
    Ok(Note {
        id: row.get(0)?,
        made: Timestamp::from_millisecond(row.get(1)?).unwrap_or(Timestamp::UNIX_EPOCH),
        text: Private::new(row.get(2)?),
    })
}
