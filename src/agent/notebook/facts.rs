//! What the user asked to be remembered, in the notebook.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{Notebook, NotebookError, Trouble};
use crate::agent::facts::{Fact, LONGEST_FACT, MOST_BYTES, MOST_FACTS, plain, words};
use crate::private::Private;

impl Notebook {
    /// Remembers `text`; one that is known already is not kept twice. The fact, and whether it is new.
    ///
    /// # Errors
    /// See [`NotebookError`].
    pub fn remember(&self, text: &str, now: Timestamp) -> Result<(Fact, bool), NotebookError> {
        let text: String = text.trim().chars().take(LONGEST_FACT).collect();
        self.write(|connection| {
            let all = read(connection)?;
            let same = all.iter().find(|fact| words(fact) == plain(&text));
            if let Some(known) = same {
                return Ok((known.clone(), false));
            }
            let bytes: usize = all.iter().map(|fact| fact.text.as_str().len()).sum();
            if all.len() >= MOST_FACTS || bytes + text.len() > MOST_BYTES {
                return Err(Trouble::Full { most: all.len() });
            }
            connection.execute(
                "INSERT INTO facts (made_ms, text) VALUES (?, ?)",
                params![now.as_millisecond(), text],
            )?;
            let fact = Fact {
                id: connection.last_insert_rowid(),
                made: now,
                text: text.into(),
            };
            Ok((fact, true))
        })
    }

    /// Forgets one for good; what it was.
    ///
    /// # Errors
    /// See [`NotebookError`].
    pub fn forget(&self, id: i64) -> Result<Option<Fact>, NotebookError> {
        self.write(|connection| {
            let gone = connection
                .query_row(
                    "DELETE FROM facts WHERE id = ? RETURNING id, made_ms, text",
                    [id],
                    fact,
                )
                .optional()?;
            Ok(gone)
        })
    }

    /// Forgets all for good; how many there were.
    ///
    /// # Errors
    /// See [`NotebookError`].
    pub fn forget_all(&self) -> Result<usize, NotebookError> {
        self.write(|connection| Ok(connection.execute("DELETE FROM facts", [])?))
    }
}

pub(super) fn read(connection: &Connection) -> rusqlite::Result<Vec<Fact>> {
    let mut statement = connection.prepare("SELECT id, made_ms, text FROM facts ORDER BY id")?;
    let facts = statement.query_map([], fact)?;
    facts.collect()
}

fn fact(row: &Row<'_>) -> rusqlite::Result<Fact> {
    Ok(Fact {
        id: row.get(0)?,
        made: Timestamp::from_millisecond(row.get(1)?).unwrap_or(Timestamp::UNIX_EPOCH),
        text: Private::new(row.get(2)?),
    })
}
