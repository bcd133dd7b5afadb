//! Timers, alarms and reminders as tools, on the same notebook as the local intents.

use std::sync::Arc;
use std::time::Duration;

use jiff::civil::{Date, Time, Weekday};
use jiff::{SignedDuration, Timestamp, ZonedDateTime};
use serde_json::{Value, json};

use super::super::arguments::{Arguments, spoken, wrong};
use super::{Offer, Words, act, blocking, done, found, number, object, read, text};
use super::{ToolError, ToolOutput};
use crate::agent::notebook::Notebook;
use crate::agent::schedule::words::{left, listed, name, next_time_of_day, when};
use crate::agent::schedule::{Days, Entry, Kind, LONGEST_TIMER, NewEntry, Repeat};
use crate::platform::clock;

pub(super) fn offers(notebook: &Arc<Notebook>) -> Vec<Offer> {
    let timer = Words {
        name: "set_timer",
        description: "Start a timer that rings aloud.",
        parameters: object(
            &[
                ("hours", number("hours")),
                ("minutes", number("minutes")),
                ("seconds", number("seconds")),
                ("label", text("what it is for, one or two words")),
            ],
            &[],
        ),
        class: act,
        filler: |arguments| format!("Setting the {} timer.", length_words(arguments)),
        confirmation: |arguments| format!("Set a {} timer?", length_words(arguments)),
    };
    let alarm = Words {
        name: "set_alarm",
        description: "Set an alarm that rings at a time of day.",
        parameters: object(&when_schema("label", "what it is for"), &["time"]),
        class: act,
        filler: |arguments| {
            format!(
                "Setting the alarm for {}.",
                spoken(arguments, "time", "then")
            )
        },
        confirmation: |arguments| {
            format!("Set an alarm for {}?", spoken(arguments, "time", "then"))
        },
    };
    let mut reminder = when_schema("text", "what of: call mom");
    reminder.push(("in_minutes", number("instead of time")));
    let reminder = Words {
        name: "set_reminder",
        description: "Remind the user aloud, at a time or in some minutes.",
        parameters: object(&reminder, &["text"]),
        class: act,
        filler: |arguments| format!("Noting the reminder {}.", spoken(arguments, "text", "")),
        confirmation: |arguments| format!("Remind you: {}?", spoken(arguments, "text", "of this")),
    };
    let list = Words {
        name: "list_timers",
        description: "List the timers, alarms and reminders that are set, with their ids.",
        parameters: object(&[], &[]),
        class: read,
        filler: |_| "Looking at your timers.".to_owned(),
        confirmation: |_| "List your timers and alarms?".to_owned(),
    };
    let cancel = Words {
        name: "cancel_timer",
        description: "Cancel a timer, alarm or reminder by its id or label.",
        parameters: object(&[("which", text("id, label, or \"all\""))], &["which"]),
        class: act,
        filler: |arguments| format!("Cancelling {}.", which_words(arguments)),
        confirmation: |arguments| format!("Cancel {}?", which_words(arguments)),
    };
    vec![
        timer.with(notebook, set_timer).here(),
        alarm.with(notebook, set_alarm).here(),
        reminder.with(notebook, set_reminder).here(),
        list.with(notebook, list_entries).here(),
        cancel.with(notebook, cancel_entries).here(),
    ]
}

fn when_schema(label: &'static str, meaning: &str) -> Vec<(&'static str, Value)> {
    vec![
        ("time", text("HH:MM, 24 hours")),
        ("date", text("YYYY-MM-DD, if not the next time")),
        ("repeat", text("daily, weekdays, weekends or monday,friday")),
        (label, text(meaning)),
    ]
}

fn length_words(arguments: &Value) -> String {
    let parts: Vec<String> = ["hours", "minutes", "seconds"]
        .iter()
        .filter_map(|unit| {
            let count = spoken(arguments, unit, "");
            (!count.is_empty()).then(|| format!("{count} {}", unit.trim_end_matches('s')))
        })
        .collect();
    let label = spoken(arguments, "label", "");
    [parts.join(" "), label].join(" ").trim().to_owned()
}

fn which_words(arguments: &Value) -> String {
    match spoken(arguments, "which", "it").as_str() {
        "all" => "all timers, alarms and reminders".to_owned(),
        which if which.bytes().all(|byte| byte.is_ascii_digit()) => format!("number {which}"),
        which => format!("the one called {which}"),
    }
}

async fn set_timer(notebook: Arc<Notebook>, arguments: Value) -> Result<ToolOutput, ToolError> {
    let read = Arguments::new(&arguments, &["hours", "minutes", "seconds", "label"])?;
    let most = LONGEST_TIMER.as_secs_f64();
    let part = |name: &str, unit: f64| {
        let number = read.number(name, 0.0, most / unit)?;
        Ok::<f64, ToolError>(number.unwrap_or(0.0) * unit)
    };
    let seconds = part("hours", 3_600.0)? + part("minutes", 60.0)? + part("seconds", 1.0)?;
    if !(1.0..=most).contains(&seconds) {
        return Err(wrong(
            "minutes (or hours, seconds) must give from 1 second to 7 days",
        ));
    }
    let length = Duration::from_secs(seconds.round() as u64);
    let new = NewEntry {
        kind: Kind::Timer { length },
        due: after(clock::wall().timestamp(), length),
        label: label(&read, "label")?,
        repeat: None,
    };
    let entry = blocking(move || notebook.set(new)).await?;
    let now = clock::wall();
    done(format!(
        "The {} is set: {}.",
        name(&entry, &now),
        left(entry.due, &now)
    ))
}

async fn set_alarm(notebook: Arc<Notebook>, arguments: Value) -> Result<ToolOutput, ToolError> {
    let read = Arguments::new(&arguments, &["time", "date", "repeat", "label"])?;
    let now = clock::wall();
    read.required("time")?;
    let (due, repeat) = moment(&read, &now)?;
    let new = NewEntry {
        kind: Kind::Alarm,
        due,
        label: label(&read, "label")?,
        repeat,
    };
    set(notebook, new, "The alarm is set").await
}

async fn set_reminder(notebook: Arc<Notebook>, arguments: Value) -> Result<ToolOutput, ToolError> {
    let known = ["time", "date", "repeat", "text", "in_minutes"];
    let read = Arguments::new(&arguments, &known)?;
    let now = clock::wall();
    read.required("text")?;
    let label = label(&read, "text")?;
    let minutes = read.number("in_minutes", 0.1, 60.0 * 24.0 * 366.0)?;
    let (due, repeat) = match (minutes, read.text("time")?) {
        (Some(_), None) if read.text("date")?.is_some() || read.text("repeat")?.is_some() => {
            return Err(wrong("date and repeat need a time, not in_minutes"));
        }
        (Some(minutes), None) => {
            let length = Duration::from_secs_f64(minutes * 60.0);
            (after(now.timestamp(), length), None)
        }
        (None, Some(_)) => moment(&read, &now)?,
        _ => return Err(wrong("either time or in_minutes must be given")),
    };
    let new = NewEntry {
        kind: Kind::Reminder,
        due,
        label,
        repeat,
    };
    set(notebook, new, "I'll remind you").await
}

async fn set(
    notebook: Arc<Notebook>,
    new: NewEntry,
    opening: &str,
) -> Result<ToolOutput, ToolError> {
    let entry = blocking(move || notebook.set(new)).await?;
    let repeat = entry
        .repeat
        .map(|repeat| format!(", {}", repeat.days.words()))
        .unwrap_or_default();
    let at = when(entry.due, &clock::wall());
    done(format!("{opening} {at}{repeat}."))
}

async fn list_entries(notebook: Arc<Notebook>, arguments: Value) -> Result<ToolOutput, ToolError> {
    Arguments::new(&arguments, &[])?;
    let now = clock::wall();
    let lines: Vec<String> = notebook
        .schedule()
        .entries()
        .iter()
        .map(|entry| json!({"id": entry.id.0, "what": listed(entry, &now)}).to_string())
        .collect();
    if lines.is_empty() {
        return found("Nothing is set.");
    }
    found(lines.join("\n"))
}

async fn cancel_entries(
    notebook: Arc<Notebook>,
    arguments: Value,
) -> Result<ToolOutput, ToolError> {
    let read = Arguments::new(&arguments, &["which"])?;
    // Small models write the id as a number.
    let which = match arguments.get("which") {
        Some(Value::Number(id)) => id.to_string(),
        _ => read.required("which")?.to_lowercase(),
    };
    let schedule = notebook.schedule();
    let now = clock::wall();
    let meant: Vec<&Entry> = schedule
        .entries()
        .iter()
        .filter(|entry| which == "all" || is_meant(entry, &which, &now))
        .collect();
    if meant.is_empty() {
        return Err(wrong(&format!(
            "which is {which}, and nothing that is set has that id or label; list_timers tells them"
        )));
    }
    let ids: Vec<_> = meant.iter().map(|entry| entry.id).collect();
    let gone = blocking(move || notebook.cancel(&ids)).await?;
    match gone.as_slice() {
        [one] => done(format!("The {} is cancelled.", name(one, &now))),
        several => done(format!("{} of them are cancelled.", several.len())),
    }
}

fn is_meant(entry: &Entry, which: &str, now: &ZonedDateTime) -> bool {
    let label = entry.label.as_deref().map(str::to_lowercase);
    entry.id.0.to_string() == which
        || label.as_deref() == Some(which)
        || name(entry, now).to_lowercase() == which
}

/// A label is said and listed: one short line.
fn label(read: &Arguments<'_>, argument: &str) -> Result<Option<String>, ToolError> {
    let Some(text) = read.text(argument)? else {
        return Ok(None);
    };
    if text.chars().count() > 200 {
        return Err(wrong(&format!("{argument} is longer than 200 characters")));
    }
    Ok(Some(text.split_whitespace().collect::<Vec<_>>().join(" ")))
}

/// The moment of `time`, `date` and `repeat`.
fn moment(
    read: &Arguments<'_>,
    now: &ZonedDateTime,
) -> Result<(Timestamp, Option<Repeat>), ToolError> {
    let written = read.required("time")?;
    let time: Time = written
        .parse()
        .map_err(|_| wrong(&format!("time must be HH:MM, not {written}")))?;
    let days = read.text("repeat")?.map(days).transpose()?.flatten();
    let date = read.text("date")?;
    if let Some(days) = days {
        if date.is_some() {
            return Err(wrong("date and repeat cannot both be given"));
        }
        let repeat = Repeat { days, time };
        let due = repeat
            .after(now)
            .ok_or_else(|| wrong("time does not exist"))?;
        return Ok((due, Some(repeat)));
    }
    let due = match date {
        None => next_time_of_day(time, now),
        Some(date) => {
            let date: Date = date
                .parse()
                .map_err(|_| wrong(&format!("date must be YYYY-MM-DD, not {date}")))?;
            let zone = now.time_zone().clone();
            let at = date.to_datetime(time).to_zoned_datetime(zone);
            at.ok().map(|at| at.timestamp())
        }
    };
    let due = due.ok_or_else(|| wrong("time does not exist"))?;
    let latest = SignedDuration::from_hours(24 * 366 * 5);
    if due <= now.timestamp() || due.duration_since(now.timestamp()) > latest {
        return Err(wrong("date lies in the past or years away"));
    }
    Ok((due, None))
}

/// "weekdays", "monday,thursday"; "none" is none.
fn days(written: &str) -> Result<Option<Days>, ToolError> {
    let mut days: Option<Days> = None;
    for word in written
        .to_lowercase()
        .split([',', ' '])
        .filter(|word| !word.is_empty())
    {
        let more = match word {
            "none" | "never" | "once" | "no" => continue,
            "and" | "every" => continue,
            "daily" | "day" | "everyday" => Days::ALL,
            "weekdays" | "weekday" => Days::WEEKDAYS,
            "weekends" | "weekend" => Days::WEEKENDS,
            word => Days::one(weekday(word).ok_or_else(|| {
                wrong("repeat must be daily, weekdays, weekends, or names of days")
            })?),
        };
        days = Some(days.map_or(more, |days| days.and(more)));
    }
    Ok(days)
}

fn weekday(word: &str) -> Option<Weekday> {
    Some(match word.trim_end_matches('s') {
        "mon" | "monday" => Weekday::Monday,
        "tue" | "tuesday" => Weekday::Tuesday,
        "wed" | "wednesday" => Weekday::Wednesday,
        "thu" | "thursday" => Weekday::Thursday,
        "fri" | "friday" => Weekday::Friday,
        "sat" | "saturday" => Weekday::Saturday,
        "sun" | "sunday" => Weekday::Sunday,
        _ => return None,
    })
}

fn after(now: Timestamp, length: Duration) -> Timestamp {
    now.saturating_add(length).unwrap_or(Timestamp::MAX)
}
