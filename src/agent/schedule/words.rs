//! Timers, alarms and reminders in words, as they are said.
//!
//! Pure. The way a time of day is pronounced is the business of text to speech.

use jiff::{Timestamp, ToSpan, ZonedDateTime};

use super::{Entry, Kind, Ring};
use crate::agent::intents::durations;

/// "5 minute timer", "pasta timer", "7:30 AM alarm", "reminder to call Anna".
#[must_use]
pub fn name(entry: &Entry, now: &ZonedDateTime) -> String {
    match (entry.kind, &entry.label) {
        (Kind::Timer { .. }, Some(label)) => format!("{label} timer"),
        (Kind::Timer { length }, None) => {
            format!("{} timer", durations::say_before_noun(length))
        }
        (Kind::Alarm, Some(label)) => format!("{label} alarm"),
        (Kind::Alarm, None) => format!("{} alarm", time_of(entry.due, now)),
        (Kind::Reminder, label) => {
            format!("reminder: {}", label.as_deref().unwrap_or("something"))
        }
    }
}

/// What is said when it rings.
#[must_use]
pub fn ringing(entry: &Entry, ring: Ring, now: &ZonedDateTime) -> String {
    let what = match (entry.kind, &entry.label) {
        (Kind::Timer { .. }, _) if ring == Ring::Missed => {
            format!("your {} was up", name(entry, now))
        }
        (Kind::Timer { .. }, _) => format!("your {} is up", name(entry, now)),
        (Kind::Alarm, Some(label)) if ring == Ring::Missed => {
            format!("your {} alarm went off: {label}", time_of(entry.due, now))
        }
        (Kind::Alarm, None) if ring == Ring::Missed => {
            format!("your {} alarm went off", time_of(entry.due, now))
        }
        (Kind::Alarm, Some(label)) => format!("it is {}: {label}", time_of(entry.due, now)),
        (Kind::Alarm, None) => {
            format!("it is {}, and this is your alarm", time_of(entry.due, now))
        }
        (Kind::Reminder, label) => {
            let label = label.as_deref().unwrap_or("something");
            if ring == Ring::Missed {
                format!("you wanted to be reminded: {label}")
            } else {
                format!("reminder: {label}")
            }
        }
    };
    match ring {
        Ring::Now | Ring::Still => format!("{}.", capital(&what)),
        Ring::Missed => format!("While I was away, {what}{}.", ago(entry.due, now)),
    }
}

/// " 12 minutes ago", "" for what was due within the last minute.
fn ago(due: Timestamp, now: &ZonedDateTime) -> String {
    let minutes = now.timestamp().duration_since(due).as_secs() / 60;
    match minutes {
        ..1 => String::new(),
        1..120 => format!(", {minutes} minute{} ago", plural(minutes)),
        _ => format!(", {}", when(due, now)),
    }
}

fn plural(count: i64) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// "at 7:30 AM", "tomorrow at 7 AM", "on Friday at noon", "on December 24 at 6 PM".
#[must_use]
pub fn when(due: Timestamp, now: &ZonedDateTime) -> String {
    let due = due.to_zoned_datetime(now.time_zone().clone());
    let time = format!("at {}", clock(&due));
    let days = now
        .date()
        .until(due.date())
        .map_or(i64::MAX, |span| i64::from(span.get_days()));
    match days {
        0 => time,
        1 => format!("tomorrow {time}"),
        -1 => format!("yesterday {time}"),
        2..7 => format!("on {} {time}", due.strftime("%A")),
        _ if due.year() == now.year() => format!("on {} {time}", due.strftime("%B %-d")),
        _ => format!("on {} {time}", due.strftime("%B %-d, %Y")),
    }
}

fn time_of(due: Timestamp, now: &ZonedDateTime) -> String {
    clock(&due.to_zoned_datetime(now.time_zone().clone()))
}

/// "7:05 PM", "7 PM", "noon", "midnight".
fn clock(at: &ZonedDateTime) -> String {
    match (at.hour(), at.minute()) {
        (0, 0) => "midnight".to_owned(),
        (12, 0) => "noon".to_owned(),
        (_, 0) => at.strftime("%-I %p").to_string(),
        _ => at.strftime("%-I:%M %p").to_string(),
    }
}

/// "1 minute and 30 seconds"; seconds are of no interest while hours are left.
#[must_use]
pub fn left(due: Timestamp, now: &ZonedDateTime) -> String {
    let left = due.duration_since(now.timestamp()).as_millis().max(0);
    let step = if left >= 3_600_000 { 60_000 } else { 1_000 };
    let rounded = u64::try_from(left).unwrap_or(u64::MAX).div_ceil(step) * step;
    durations::say(std::time::Duration::from_millis(rounded))
}

/// One entry in a list: "the tea timer, with 2 minutes left", "the 7 AM alarm, tomorrow at 7 AM".
#[must_use]
pub fn listed(entry: &Entry, now: &ZonedDateTime) -> String {
    let repeat = entry
        .repeat
        .map(|repeat| format!(", {}", repeat.days.words()))
        .unwrap_or_default();
    match entry.kind {
        Kind::Timer { .. } => format!(
            "the {}, with {} left",
            name(entry, now),
            left(entry.due, now)
        ),
        Kind::Alarm | Kind::Reminder => {
            format!("the {}, {}{repeat}", name(entry, now), when(entry.due, now))
        }
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

/// The next moment at which a clock shows this time of day, today or tomorrow; `None` where it does not exist.
#[must_use]
pub fn next_time_of_day(time: jiff::civil::Time, now: &ZonedDateTime) -> Option<Timestamp> {
    [0, 1].into_iter().find_map(|days| {
        let day = now.date().checked_add(days.days()).ok()?;
        let at = day
            .to_datetime(time)
            .to_zoned_datetime(now.time_zone().clone())
            .ok()?
            .timestamp();
        (at > now.timestamp()).then_some(at)
    })
}
