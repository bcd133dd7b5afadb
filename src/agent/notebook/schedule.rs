//! Timers, alarms and reminders in the notebook.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Time;
use rusqlite::{Connection, Row, params};

use super::{Notebook, NotebookError, Trouble};
use crate::agent::schedule::{
    Change, Days, Entry, EntryId, Kind, MOST_ENTRIES, NewEntry, Repeat, Ringing, Schedule,
};

impl Notebook {
    /// Sets a timer, an alarm or a reminder.
    ///
    /// # Errors
    /// See [`NotebookError`].
    pub fn set(&self, new: NewEntry) -> Result<Entry, NotebookError> {
        self.write(|connection| {
            let count: i64 =
                connection.query_row("SELECT count(*) FROM schedule", [], |row| row.get(0))?;
            if usize::try_from(count).unwrap_or(usize::MAX) >= MOST_ENTRIES {
                return Err(Trouble::Full { most: MOST_ENTRIES });
            }
            connection.execute(
                "INSERT INTO schedule (kind, due_ms) VALUES (?, ?)",
                params![kind_name(new.kind), new.due.as_millisecond()],
            )?;
            let entry = Entry {
                id: EntryId(connection.last_insert_rowid()),
                kind: new.kind,
                due: new.due,
                label: new.label,
                repeat: new.repeat,
                ringing: None,
            };
            put(connection, &entry)?;
            Ok(entry)
        })
    }

    /// Takes entries out; those that were there.
    ///
    /// # Errors
    /// See [`NotebookError`].
    pub fn cancel(&self, ids: &[EntryId]) -> Result<Vec<Entry>, NotebookError> {
        self.write(|connection| {
            let (gone, _) = read(connection)?
                .entries()
                .iter()
                .cloned()
                .partition::<Vec<Entry>, _>(|entry| ids.contains(&entry.id));
            for entry in &gone {
                remove(connection, entry.id)?;
            }
            Ok(gone)
        })
    }

    /// Keeps what has become of entries; one that was cancelled meanwhile stays away.
    ///
    /// # Errors
    /// See [`NotebookError`].
    pub fn apply(&self, changes: &[Change]) -> Result<(), NotebookError> {
        self.write(|connection| {
            for change in changes {
                match change {
                    Change::Ring(entry, _) | Change::Again(entry) => put(connection, entry)?,
                    Change::Over(id) => remove(connection, *id)?,
                }
            }
            Ok(())
        })
    }

    /// As [`Self::apply`], but only in memory: the disk takes nothing, and what has rung must not ring for ever.
    pub fn apply_in_memory(&self, changes: &[Change]) {
        let schedule = &mut self.copy().schedule;
        for change in changes {
            match change {
                Change::Ring(entry, _) | Change::Again(entry) => schedule.put(entry.clone()),
                Change::Over(id) => drop(schedule.remove(*id)),
            }
        }
    }
}

fn put(connection: &Connection, entry: &Entry) -> rusqlite::Result<()> {
    let length = match entry.kind {
        Kind::Timer { length } => Some(i64::try_from(length.as_millis()).unwrap_or(i64::MAX)),
        Kind::Alarm | Kind::Reminder => None,
    };
    let minute = |time: Time| i64::from(time.hour()) * 60 + i64::from(time.minute());
    connection.execute(
        "UPDATE schedule SET kind = ?2, due_ms = ?3, length_ms = ?4, label = ?5, repeat_days = ?6, repeat_minute = ?7,
         rings = ?8, rang_ms = ?9 WHERE id = ?1",
        params![
            entry.id.0,
            kind_name(entry.kind),
            entry.due.as_millisecond(),
            length,
            entry.label,
            entry.repeat.map(|repeat| repeat.days.bits()),
            entry.repeat.map(|repeat| minute(repeat.time)),
            entry.ringing.map(|ringing| ringing.times),
            entry.ringing.map(|ringing| ringing.last.as_millisecond()),
        ],
    )?;
    Ok(())
}

fn remove(connection: &Connection, id: EntryId) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM schedule WHERE id = ?", [id.0])?;
    Ok(())
}

/// Everything that is set. A row that makes no sense (somebody edited the file) is passed over.
pub(super) fn read(connection: &Connection) -> rusqlite::Result<Schedule> {
    let mut statement = connection.prepare(
        "SELECT id, kind, due_ms, length_ms, label, repeat_days, repeat_minute, rings, rang_ms FROM schedule",
    )?;
    let rows = statement.query_map([], |row| Ok(entry(row)))?;
    let entries: Vec<Option<Entry>> = rows.collect::<rusqlite::Result<_>>()?;
    Ok(Schedule::from_entries(
        entries.into_iter().flatten().collect(),
    ))
}

fn entry(row: &Row<'_>) -> Option<Entry> {
    let time = |column: usize| -> Option<Timestamp> {
        let milliseconds: Option<i64> = row.get(column).ok()?;
        Timestamp::from_millisecond(milliseconds?).ok()
    };
    let kind: String = row.get(1).ok()?;
    let kind = match kind.as_str() {
        "timer" => Kind::Timer {
            length: Duration::from_millis(row.get::<_, i64>(3).ok()?.unsigned_abs()),
        },
        "alarm" => Kind::Alarm,
        "reminder" => Kind::Reminder,
        _ => return None,
    };
    let ringing = match (row.get::<_, Option<u32>>(7).ok()?, time(8)) {
        (Some(times), Some(last)) => Some(Ringing { times, last }),
        _ => None,
    };
    Some(Entry {
        id: EntryId(row.get(0).ok()?),
        kind,
        due: time(2)?,
        label: row.get(4).ok()?,
        repeat: repeat(row),
        ringing,
    })
}

fn repeat(row: &Row<'_>) -> Option<Repeat> {
    let days = Days::from_bits(row.get::<_, Option<u8>>(5).ok()??)?;
    let minute: i64 = row.get::<_, Option<i64>>(6).ok()??;
    let part = |value: i64| i8::try_from(value).ok();
    let time = Time::new(part(minute / 60)?, part(minute % 60)?, 0, 0).ok()?;
    Some(Repeat { days, time })
}

const fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Timer { .. } => "timer",
        Kind::Alarm => "alarm",
        Kind::Reminder => "reminder",
    }
}
