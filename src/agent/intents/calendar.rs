//! The time of day and the date.
//!
//! Pure. Only whole questions are matched: a place, another date or an event in the question makes it somebody else's.

use jiff::{ToSpan, ZonedDateTime};

use super::{Intent, IntentKind};

/// The answer to a question about the present time or a near day.
pub(super) fn answer(words: &[&str], now: &ZonedDateTime) -> Option<Intent> {
    let words = words.strip_prefix(&["tell", "me"]).unwrap_or(words);
    let words = words.strip_prefix(&["do", "you", "know"]).unwrap_or(words);
    let asked = words.join(" ");
    if TIME.contains(&asked.as_str()) {
        return Some(Intent::say(IntentKind::Time, time_text(now)));
    }
    let say = match asked.as_str() {
        "what year is it" | "what is the year" | "what year it is" | "which year is it" => {
            format!("It is {}.", now.year())
        }
        "what month is it" | "what month it is" | "which month is it" => {
            format!("It is {}.", now.strftime("%B"))
        }
        _ => {
            let (days, name) = day_asked(&asked)?;
            let day = now.checked_add(days.days()).ok()?;
            let verb = if days < 0 { "was" } else { "is" };
            format!("{name} {verb} {}.", day.strftime("%A, %B %-d, %Y"))
        }
    };
    Some(Intent::say(IntentKind::Date, say))
}

/// "It is 7:05 PM."; the way it is said is the business of text to speech.
fn time_text(now: &ZonedDateTime) -> String {
    match (now.hour(), now.minute()) {
        (0, 0) => "It is midnight.".to_owned(),
        (12, 0) => "It is noon.".to_owned(),
        (_, 0) => format!("It is {}.", now.strftime("%-I %p")),
        _ => format!("It is {}.", now.strftime("%-I:%M %p")),
    }
}

/// The day that is asked for, counted from today, and its name.
fn day_asked(asked: &str) -> Option<(i32, &'static str)> {
    let day = |word: &str| match word {
        "today" => Some((0, "Today")),
        "tomorrow" => Some((1, "Tomorrow")),
        "yesterday" => Some((-1, "Yesterday")),
        "the day after tomorrow" => Some((2, "The day after tomorrow")),
        "the day before yesterday" => Some((-2, "The day before yesterday")),
        _ => None,
    };
    if TODAY.contains(&asked) {
        return day("today");
    }
    if let Some(rest) = asked.strip_suffix(" is date") {
        return day(rest.strip_prefix("what is ").unwrap_or(rest));
    }
    let openings = [
        "what day is it ",
        "what day is ",
        "what day was ",
        "what day will be ",
        "what date is it ",
        "what date is ",
        "what date was ",
        "what is the date ",
        "what was the date ",
        "what is the day ",
        "what weekday is ",
        "what day of the week is it ",
        "what day of the week is ",
        "what day of the week was ",
        "which day is ",
        "what is ",
        "the date ",
    ];
    openings
        .iter()
        .find_map(|opening| asked.strip_prefix(opening).and_then(day))
}

const TIME: &[&str] = &[
    "time",
    "the time",
    "current time",
    "the current time",
    "what time is it",
    "what time it is",
    "what time is it right",
    "what is the time",
    "what the time is",
    "what is the time right",
    "what is the current time",
    "what time do we have",
    "what time have you got",
    "do you have the time",
    "have you got the time",
    "how late is it",
    "the time is what",
];

const TODAY: &[&str] = &[
    "date",
    "the date",
    "today is date",
    "what date is it",
    "what date it is",
    "what is the date",
    "what the date is",
    "what is the current date",
    "what is the day",
    "what is today",
    "what day is it",
    "what day it is",
    "what day of the week is it",
    "what weekday is it",
    "which day is it",
    "what day do we have",
];
