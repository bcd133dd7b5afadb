//! The calendar and the list of reminders of macOS. On Linux there is no calendar that every desktop has.

use std::sync::Arc;

use jiff::civil::{Date, DateTime};
use jiff::{Timestamp, ToSpan, ZonedDateTime};
use serde_json::{Value, json};

use super::super::arguments::{Arguments, spoken, wrong};
use super::super::argv::macos;
use super::{Offer, Words, act, done, found, number, object, read, text};
use super::{ToolError, ToolOutput};
use crate::agent::schedule::words::when;
use crate::agent::tools::host::Host;
use crate::platform::{System, clock};

pub(super) fn offers(host: &Arc<Host>) -> Vec<Offer> {
    let events = Words {
        name: "read_calendar",
        description: "List the user's appointments.",
        parameters: object(
            &[
                ("date", text("first day, YYYY-MM-DD; today if missing")),
                ("days", number("how many days, 1 if missing")),
            ],
            &[],
        ),
        class: read,
        filler: |_| "Looking at your calendar.".to_owned(),
        confirmation: |_| "Look at your calendar?".to_owned(),
    };
    let add_event = Words {
        name: "add_event",
        description: "Add an appointment to the user's calendar.",
        parameters: object(
            &[
                ("title", text("title")),
                ("start", text("local, YYYY-MM-DDTHH:MM")),
                ("minutes", number("how long, 60 if missing")),
                ("place", text("place")),
            ],
            &["title", "start"],
        ),
        class: act,
        filler: |arguments| {
            format!(
                "Adding {} to your calendar.",
                spoken(arguments, "title", "it")
            )
        },
        confirmation: |arguments| {
            format!(
                "Add {} at {} to your calendar?",
                spoken(arguments, "title", "an appointment"),
                spoken(arguments, "start", "that time").replace('T', ", ")
            )
        },
    };
    let todos = Words {
        name: "read_reminders",
        description: "List the open items of the Reminders app.",
        parameters: object(&[], &[]),
        class: read,
        filler: |_| "Looking at your reminders.".to_owned(),
        confirmation: |_| "Look at your reminders?".to_owned(),
    };
    let add_todo = Words {
        name: "add_reminder",
        description: "Add an item to the Reminders app, for lists and things without a ring.",
        parameters: object(
            &[
                ("text", text("the item")),
                ("due", text("local, YYYY-MM-DDTHH:MM; may be missing")),
            ],
            &["text"],
        ),
        class: act,
        filler: |arguments| {
            format!(
                "Adding {} to your reminders.",
                spoken(arguments, "text", "it")
            )
        },
        confirmation: |arguments| {
            format!(
                "Add {} to your reminders?",
                spoken(arguments, "text", "an item")
            )
        },
    };
    let why_not = || {
        (host.system != System::MacOs)
            .then(|| "this system has no calendar that programs can rely on".to_owned())
            .or_else(|| super::opening::missing(host, "osascript", "it is part of macOS"))
    };
    vec![
        events
            .with(host, read_calendar)
            .within(35)
            .unless(why_not()),
        add_event
            .with(host, add_event_to)
            .within(35)
            .unless(why_not()),
        todos
            .with(host, read_reminders)
            .within(35)
            .unless(why_not()),
        add_todo
            .with(host, add_reminder)
            .within(35)
            .unless(why_not()),
    ]
}

async fn read_calendar(host: Arc<Host>, arguments: Value) -> Result<ToolOutput, ToolError> {
    let read = Arguments::new(&arguments, &["date", "days"])?;
    let now = clock::wall();
    let first: Date = match read.text("date")? {
        None => now.date(),
        Some(date) => date
            .parse()
            .map_err(|_| wrong(&format!("date must be YYYY-MM-DD, not {date}")))?,
    };
    let days = read.integer("days", 1, 62)?.unwrap_or(1);
    let from = moment(first.at(0, 0, 0, 0), &now, "date")?;
    let last = first
        .checked_add(days.days())
        .map_err(|_| wrong("date lies too far away"))?;
    let until = moment(last.at(0, 0, 0, 0), &now, "date")?;
    let printed = host
        .run(macos::events(from.as_millisecond(), until.as_millisecond()))
        .await?;
    let mut events: Vec<(i64, String)> = printed
        .lines()
        .filter_map(|line| event(line, &now))
        .collect();
    if events.is_empty() {
        return found("There are no appointments then.");
    }
    events.sort();
    let lines: Vec<String> = events.into_iter().map(|(_, line)| line).collect();
    found(lines.join("\n"))
}

/// One line of [`macos::events`] as the model gets it.
fn event(line: &str, now: &ZonedDateTime) -> Option<(i64, String)> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [start, end, whole, title, place, calendar] = fields.as_slice() else {
        return None;
    };
    let start: i64 = start.parse().ok()?;
    let at = |milliseconds: i64| {
        let moment = Timestamp::from_millisecond(milliseconds).ok()?;
        let local = moment.to_zoned_datetime(now.time_zone().clone());
        Some(local.strftime("%A %Y-%m-%d %H:%M").to_string())
    };
    let mut event = json!({"start": at(start)?, "title": title, "calendar": calendar});
    if *whole == "true" {
        event["whole_day"] = json!(true);
    } else {
        event["end"] = json!(at(end.parse().ok()?)?);
    }
    if !place.is_empty() {
        event["place"] = json!(place);
    }
    Some((start, event.to_string()))
}

async fn add_event_to(host: Arc<Host>, arguments: Value) -> Result<ToolOutput, ToolError> {
    let read = Arguments::new(&arguments, &["title", "start", "minutes", "place"])?;
    let now = clock::wall();
    let title = read.required("title")?;
    let start = local(read.required("start")?, &now, "start")?;
    let minutes = read
        .number("minutes", 1.0, 60.0 * 24.0 * 14.0)?
        .unwrap_or(60.0);
    let end = start.as_millisecond() + (minutes * 60_000.0) as i64;
    let place = read.text("place")?.unwrap_or_default();
    let line = macos::add_event(title, start.as_millisecond(), end, place);
    let calendar = host.run(line).await?;
    done(format!(
        "{title} is in your {} calendar {}.",
        calendar.trim(),
        when(start, &now)
    ))
}

async fn read_reminders(host: Arc<Host>, arguments: Value) -> Result<ToolOutput, ToolError> {
    Arguments::new(&arguments, &[])?;
    let now = clock::wall();
    let printed = host.run(macos::reminders()).await?;
    let lines: Vec<String> = printed
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            let [due, list, name] = fields.as_slice() else {
                return None;
            };
            let mut item = json!({"what": name, "list": list});
            let due = due
                .parse()
                .ok()
                .and_then(|due| Timestamp::from_millisecond(due).ok());
            if let Some(due) = due {
                item["due"] = json!(when(due, &now));
            }
            Some(item.to_string())
        })
        .collect();
    if lines.is_empty() {
        return found("There are no open reminders.");
    }
    found(lines.join("\n"))
}

async fn add_reminder(host: Arc<Host>, arguments: Value) -> Result<ToolOutput, ToolError> {
    let read = Arguments::new(&arguments, &["text", "due"])?;
    let now = clock::wall();
    let name = read.required("text")?;
    let due = read
        .text("due")?
        .map(|due| local(due, &now, "due"))
        .transpose()?;
    let line = macos::add_reminder(name, due.map(Timestamp::as_millisecond));
    let list = host.run(line).await?;
    done(format!("{name} is on your list {}.", list.trim()))
}

/// "2026-11-24T07:30" in the user's time zone.
fn local(written: &str, now: &ZonedDateTime, argument: &str) -> Result<Timestamp, ToolError> {
    let at: DateTime = written.parse().map_err(|_| {
        wrong(&format!(
            "{argument} must be YYYY-MM-DDTHH:MM, not {written}"
        ))
    })?;
    moment(at, now, argument)
}

fn moment(at: DateTime, now: &ZonedDateTime, argument: &str) -> Result<Timestamp, ToolError> {
    let zoned = at.to_zoned_datetime(now.time_zone().clone());
    zoned
        .map(|zoned| zoned.timestamp())
        .map_err(|_| wrong(&format!("{argument} does not exist in this time zone")))
}
