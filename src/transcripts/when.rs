//! Stretches of time and ranges of turns, as people write them.
//!
//! Pure: the present comes in as a value. A day is a day of the user's calendar, from midnight to midnight in the zone of
//! `now`, whatever the clock was put to in between.

use jiff::civil::Date;
use jiff::{Span, ToSpan as _, Unit, ZonedDateTime};

/// A half-open stretch in milliseconds since 1970, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct When {
    /// First millisecond.
    pub from_ms: i64,
    /// One past the last.
    pub until_ms: i64,
}

/// What was written is no time: exit code 2.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{written:?} is no {wanted}")]
pub struct WhenError {
    written: String,
    wanted: &'static str,
}

/// What a stretch may look like.
const STRETCH: &str = "time; write today, yesterday, a day (2026-11-24), a month (2026-11), \
     two of them (2026-11-01..2026-11-24), or an age (12h, 7d, 4w) for the time since then";

/// What an age may look like.
const AGE: &str = "age; write a number and h, d, w, months or y, like 90d";

/// Everything, as a stretch.
pub const ALWAYS: When = When {
    from_ms: i64::MIN,
    until_ms: i64::MAX,
};

/// The stretch that `written` means at `now`.
///
/// # Errors
/// It means none; the error says what may be written.
pub fn stretch(written: &str, now: &ZonedDateTime) -> Result<When, WhenError> {
    let fail = || WhenError {
        written: written.to_owned(),
        wanted: STRETCH,
    };
    let text = written.trim();
    if let Some((first, last)) = text.split_once("..") {
        let from_ms = if first.is_empty() {
            i64::MIN
        } else {
            piece(first, now).ok_or_else(fail)?.from_ms
        };
        let until_ms = if last.is_empty() {
            i64::MAX
        } else {
            piece(last, now).ok_or_else(fail)?.until_ms
        };
        let something = first.len() + last.len() > 0 && from_ms < until_ms;
        return something
            .then_some(When { from_ms, until_ms })
            .ok_or_else(fail);
    }
    if let Some(since) = before(text, now) {
        return Ok(When {
            from_ms: since,
            until_ms: i64::MAX,
        });
    }
    piece(text, now).ok_or_else(fail)
}

/// The instant, in milliseconds since 1970, that lies `written` (an age like `90d`) before `now`.
///
/// # Errors
/// It is no age.
pub fn age(written: &str, now: &ZonedDateTime) -> Result<i64, WhenError> {
    before(written.trim(), now).ok_or_else(|| WhenError {
        written: written.to_owned(),
        wanted: AGE,
    })
}

/// A first and a last turn, both included: `12` or `12..20`.
#[must_use]
pub fn turns(written: &str) -> Option<(i64, i64)> {
    let (first, last) = written.split_once("..").unwrap_or((written, written));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (0 < first && first <= last).then_some((first, last))
}

fn before(text: &str, now: &ZonedDateTime) -> Option<i64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: i64 = text[..digits].parse().ok()?;
    // Beyond this the calendar ends.
    if number > 100_000 {
        return None;
    }
    let span: Span = match text[digits..].trim() {
        "m" | "min" => number.minutes(),
        "h" | "hours" => number.hours(),
        "d" | "day" | "days" => number.days(),
        "w" | "week" | "weeks" => number.weeks(),
        "month" | "months" => number.months(),
        "y" | "year" | "years" => number.years(),
        _ => return None,
    };
    Some(now.checked_sub(span).ok()?.timestamp().as_millisecond())
}

/// One day, month or year.
fn piece(text: &str, now: &ZonedDateTime) -> Option<When> {
    let today = now.date();
    let (first, length) = match text.to_lowercase().as_str() {
        "today" | "now" => (today, 1.day()),
        "yesterday" => (today.yesterday().ok()?, 1.day()),
        other => written_date(other)?,
    };
    let midnight = |date: Date| {
        Some(
            date.to_zoned_datetime(now.time_zone().clone())
                .ok()?
                .timestamp(),
        )
    };
    Some(When {
        from_ms: midnight(first)?.as_millisecond(),
        until_ms: midnight(first.checked_add(length).ok()?)?.as_millisecond(),
    })
}

/// `2026-11-24`, `2026-11` or `2026`, with its length.
fn written_date(text: &str) -> Option<(Date, Span)> {
    let parts: Vec<&str> = text.split('-').collect();
    let plain = |part: &&str| part.bytes().all(|byte| byte.is_ascii_digit());
    if parts[0].len() != 4 || !parts.iter().all(plain) {
        return None;
    }
    let year = parts[0].parse().ok()?;
    let part = |index: usize| {
        parts
            .get(index)
            .map_or(Some(1), |part| part.parse::<i8>().ok())
    };
    let date = Date::new(year, part(1)?, part(2)?).ok()?;
    let length = match parts.len() {
        1 => 1.year(),
        2 => 1.month(),
        3 => 1.day(),
        _ => return None,
    };
    Some((date, length))
}

/// `day` as people call it at `now`: today, yesterday, a weekday of the last six days, or the date.
#[must_use]
pub fn day_name(day: Date, now: &ZonedDateTime) -> String {
    let ago = day
        .until((Unit::Day, now.date()))
        .map_or(i32::MAX, |span| span.get_days());
    match ago {
        0 => "today".to_owned(),
        1 => "yesterday".to_owned(),
        2..=6 => day.strftime("%A").to_string(),
        _ => day.strftime("%Y-%m-%d").to_string(),
    }
}
