//! A turn as a row, and back.
//!
//! Used by the store thread (in) and by [`super::Reader`] (out). What a column means stands in the schema.

use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ZonedDateTime};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde_json::{Value, json};

use super::redact::{Secret, blot, secrets};
use crate::flow::{Outcome, Receipt, ToolUse, Turn};
use crate::ids::TurnId;
use crate::private::Private;
use crate::time::{SamplePos, Span};

/// The number of a turn in the log, as commands take it. Only grows; never given twice, also not after forgetting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(pub i64);

impl std::fmt::Display for RecordId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// An instant with the offset that the user's clock had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wall {
    /// UTC, milliseconds since 1970.
    pub ms: i64,
    /// Seconds that local time was ahead.
    pub offset_s: i32,
}

impl Wall {
    /// The same instant with the rules of a zone, for display.
    #[must_use]
    pub fn zoned(self) -> ZonedDateTime {
        let offset = Offset::from_seconds(self.offset_s).unwrap_or(Offset::UTC);
        let instant = Timestamp::from_millisecond(self.ms).unwrap_or(Timestamp::UNIX_EPOCH);
        instant.to_zoned_datetime(TimeZone::fixed(offset))
    }

    /// As RFC 3339 spells it, with the offset.
    #[must_use]
    pub fn rfc3339(self) -> String {
        self.zoned()
            .strftime("%Y-%m-%dT%H:%M:%S%.3f%:z")
            .to_string()
    }
}

impl From<&ZonedDateTime> for Wall {
    fn from(zoned: &ZonedDateTime) -> Self {
        Self {
            ms: zoned.timestamp().as_millisecond(),
            offset_s: zoned.offset().seconds(),
        }
    }
}

/// What is known of a run of the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SessionInfo {
    /// Hark's version.
    pub version: String,
    /// The microphone or file.
    pub input: Option<String>,
    /// The loudspeaker or file.
    pub output: Option<String>,
    /// The speech model.
    pub stt_model: Option<String>,
    /// The backend in use at the start.
    pub backend: Option<String>,
}

/// A turn as it lies in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredTurn {
    /// Its number in the log.
    pub id: RecordId,
    /// The run of the daemon that it belongs to.
    pub session: i64,
    /// When its question began.
    pub began: Wall,
    /// Everything else, as the dialogue made it, secrets blotted out.
    pub turn: Turn,
    /// How many secrets were blotted out.
    pub redacted: u32,
}

impl StoredTurn {
    /// The turn as scripts read it: the keys are a contract, add and never rename.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let turn = &self.turn;
        json!({
            "id": self.id.0,
            "session": self.session,
            "turn": turn.id.0,
            "time": self.began.rfc3339(),
            "asked": turn.asked,
            "language": turn.language,
            "confidence": tidy(turn.confidence),
            "replied": turn.replied,
            "heard": turn.heard,
            "outcome": turn.outcome,
            "failure": turn.failure,
            "tools": turn.tools,
            "start": turn.span.start.seconds(),
            "end": turn.span.end.seconds(),
            "redacted": self.redacted,
            "receipt": turn.receipt,
        })
    }

    /// Whether the whole reply left the loudspeaker.
    #[must_use]
    pub fn heard_all(&self) -> bool {
        self.turn.heard == self.turn.replied
    }
}

/// A share without the digits that binary fractions add.
fn tidy(share: f32) -> f64 {
    (f64::from(share) * 10_000.0).round() / 10_000.0
}

/// Adds the session where it is not there yet, and gives its number. Repeating it is harmless.
///
/// # Errors
/// SQLite's.
pub fn insert_session(
    connection: &Connection,
    key: &str,
    started: Wall,
    info: &SessionInfo,
) -> rusqlite::Result<i64> {
    let known = connection
        .prepare_cached("SELECT id FROM sessions WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()?;
    if let Some(id) = known {
        return Ok(id);
    }
    connection.execute(
        "INSERT INTO sessions (key, started_ms, offset_s, version, input, output, stt_model, backend) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            key,
            started.ms,
            started.offset_s,
            info.version,
            info.input,
            info.output,
            info.stt_model,
            info.backend
        ],
    )?;
    Ok(connection.last_insert_rowid())
}

/// Adds a turn where it is not there yet, and gives its number. Repeating it is harmless: this is what makes a turn whose
/// commit was in doubt stand there once.
///
/// # Errors
/// SQLite's.
pub fn insert_turn(
    connection: &Connection,
    session: i64,
    began: Wall,
    turn: &Turn,
    hide_secrets: bool,
) -> rusqlite::Result<RecordId> {
    let words = Words::of(turn, hide_secrets);
    let id = connection
        .prepare_cached(INSERT_TURN)?
        .query_row(
            params![
                session,
                clamp(turn.id.0),
                began.ms,
                began.offset_s,
                words.asked,
                turn.language,
                tidy(turn.confidence),
                words.replied,
                words.heard,
                outcome_name(turn.outcome),
                turn.failure,
                to_json(&turn.tools)?,
                clamp(turn.span.start.0),
                clamp(turn.span.end.0),
                to_json(&turn.receipt)?,
                words.redacted,
            ],
            |row| row.get(0),
        )
        .optional()?;
    if let Some(id) = id {
        return Ok(RecordId(id));
    }
    connection
        .prepare_cached("SELECT id FROM turns WHERE session = ?1 AND turn = ?2")?
        .query_row(params![session, clamp(turn.id.0)], |row| row.get(0))
        .map(RecordId)
}

const INSERT_TURN: &str = "\
    INSERT INTO turns (session, turn, began_ms, offset_s, asked, language, confidence, replied, heard, outcome, failure, \
                       tools, span_start, span_end, receipt, redacted) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16) \
    ON CONFLICT (session, turn) DO NOTHING RETURNING id";

/// The words of a turn as they are written.
struct Words {
    asked: String,
    replied: String,
    /// Absent where all of the reply was heard.
    heard: Option<String>,
    redacted: u32,
}

impl Words {
    fn of(turn: &Turn, hide_secrets: bool) -> Self {
        let find = |text: &str| {
            if hide_secrets {
                secrets(text)
            } else {
                Vec::new()
            }
        };
        let (asked, replied, heard) = (
            turn.asked.as_str(),
            turn.replied.as_str(),
            turn.heard.as_str(),
        );
        let (in_question, in_reply) = (find(asked), find(replied));
        // A secret that was cut in the middle no longer looks like one, so what was heard is blotted by the whole reply.
        let in_heard: Vec<Secret> = if replied.starts_with(heard) {
            in_reply
                .iter()
                .filter_map(|secret| secret.clipped(heard.len()))
                .collect()
        } else {
            find(heard)
        };
        Self {
            asked: blot(asked, &in_question),
            replied: blot(replied, &in_reply),
            heard: (heard != replied).then(|| blot(heard, &in_heard)),
            redacted: u32::try_from(in_question.len() + in_reply.len()).unwrap_or(u32::MAX),
        }
    }
}

/// The columns that [`read_turn`] takes, in its order, of the table `turns` under the name `t`.
pub(super) const COLUMNS: &str = "t.id, t.session, t.turn, t.began_ms, t.offset_s, t.asked, t.language, t.confidence, \
     t.replied, t.heard, t.outcome, t.failure, t.tools, t.span_start, t.span_end, t.receipt, t.redacted";

/// A row of [`COLUMNS`] as a turn.
pub(super) fn read_turn(row: &Row<'_>) -> rusqlite::Result<StoredTurn> {
    let replied: String = row.get(8)?;
    let heard: Option<String> = row.get(9)?;
    let position = |column| {
        row.get(column)
            .map(|samples: i64| SamplePos(samples.unsigned_abs()))
    };
    let turn = Turn {
        id: TurnId(row.get::<_, i64>(2)?.unsigned_abs()),
        span: Span {
            start: position(13)?,
            end: position(14)?,
        },
        asked: Private::new(row.get(5)?),
        language: row.get(6)?,
        confidence: row.get::<_, f64>(7)? as f32,
        heard: Private::new(heard.unwrap_or_else(|| replied.clone())),
        replied: Private::new(replied),
        outcome: from_json(10, &format!("\"{}\"", row.get_ref(10)?.as_str()?))?,
        failure: row.get(11)?,
        tools: from_json::<Vec<ToolUse>>(12, row.get_ref(12)?.as_str()?)?,
        receipt: from_json::<Receipt>(15, row.get_ref(15)?.as_str()?)?,
    };
    Ok(StoredTurn {
        id: RecordId(row.get(0)?),
        session: row.get(1)?,
        began: Wall {
            ms: row.get(3)?,
            offset_s: row.get(4)?,
        },
        turn,
        redacted: row.get(16)?,
    })
}

/// The name of an outcome, as in events and JSON.
pub(super) const fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Completed => "completed",
        Outcome::Interrupted => "interrupted",
        Outcome::Cancelled => "cancelled",
        Outcome::Failed => "failed",
        Outcome::ShutDown => "shut_down",
    }
}

fn to_json<T: serde::Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

fn from_json<T: serde::de::DeserializeOwned>(column: usize, text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
    })
}

/// SQLite's integers are signed; no run of Hark reaches the difference.
fn clamp(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
