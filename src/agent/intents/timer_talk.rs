//! What can be said about timers: set, list, how long, cancel.
//!
//! Pure. A request is taken apart into a length of time, a label and words that may stand around them; any other word makes
//! it somebody else's ("how do I set a timer", "set a timer and play music").

use std::time::Duration;

use super::super::schedule::{Entry, Kind, LONGEST_TIMER, words as say_of};
use super::{Action, Context, Intent, IntentKind, Question, durations};

/// The intent, if `words` are about timers as a whole.
pub(super) fn match_words(words: &[&str], context: &Context<'_>) -> Option<Intent> {
    let phrase = words.join(" ");
    let about_timers = words.iter().any(|word| matches!(*word, "timer" | "timers"));
    if LEFT.contains(&phrase.as_str()) {
        return (about_timers || !context.schedule.timers().is_empty()).then(|| left(context));
    }
    if !about_timers {
        return None;
    }
    if LIST.contains(&phrase.as_str()) {
        return Some(left(context));
    }
    let (verb, rest) = words.split_first()?;
    match *verb {
        "cancel" | "stop" | "delete" | "clear" | "remove" | "end" | "kill" => cancel(rest, context),
        _ => set(words),
    }
}

/// Takes `words` as the answer to what was asked back.
pub(super) fn answer(asked: Question, words: &[&str], context: &Context<'_>) -> Option<Intent> {
    match asked {
        Question::TimerLength => {
            let words = words.strip_prefix(&["for"]).unwrap_or(words);
            let (length, taken) = durations::duration(words)?;
            (taken == words.len()).then(|| start(length, None))
        }
        Question::WhichTimer => {
            let all = [
                "all",
                "all of them",
                "both",
                "both of them",
                "every one",
                "everything",
            ];
            if all.contains(&words.join(" ").as_str()) {
                return Some(cancel_all());
            }
            let words = words.strip_suffix(&["one"]).unwrap_or(words);
            cancel(words, context)
        }
        Question::ForgetAll => None,
    }
}

fn set(words: &[&str]) -> Option<Intent> {
    let mut length = None;
    let mut label: Vec<&str> = Vec::new();
    let (mut named, mut asked) = (false, false);
    let mut at = 0;
    while at < words.len() {
        let word = words[at];
        if length.is_none()
            && let Some((duration, taken)) = durations::duration(&words[at..])
        {
            length = Some(duration);
            at += taken;
            continue;
        }
        match word {
            "timer" => named = true,
            word if VERBS.contains(&word) => asked = true,
            word if FILLERS.contains(&word) => {}
            "called" | "named" if named => {
                label.extend(&words[at + 1..]);
                break;
            }
            // "a pasta timer": one word directly before it.
            _ if words.get(at + 1) == Some(&"timer")
                && label.is_empty()
                && !STRANGE.contains(&word) =>
            {
                label.push(word);
            }
            _ => return None,
        }
        at += 1;
    }
    let label = (!label.is_empty() && label.len() <= 3).then(|| label.join(" "));
    match length {
        Some(length) if named => Some(start(length, label)),
        None if named && asked => Some(Intent::act(
            IntentKind::Timer,
            Action::Ask(Question::TimerLength),
            "For how long?",
        )),
        _ => None,
    }
}

fn start(length: Duration, label: Option<String>) -> Intent {
    if length < Duration::from_secs(1) {
        return Intent::say(IntentKind::Timer, "That is too short for a timer.");
    }
    if length > LONGEST_TIMER {
        return Intent::say(IntentKind::Timer, "I can set timers for up to a week.");
    }
    let what = label
        .as_ref()
        .map(|label| format!("{label} timer: "))
        .unwrap_or_default();
    let say = format!("{what}{}, starting now.", durations::say(length));
    let say = say[..1].to_uppercase() + &say[1..];
    Intent::act(IntentKind::Timer, Action::SetTimer { length, label }, say)
}

/// What runs and for how much longer.
fn left(context: &Context<'_>) -> Intent {
    let now = context.now;
    let say = match context.schedule.timers().as_slice() {
        [] => return none_running(),
        [one] => format!(
            "{} left on your {}.",
            say_of::left(one.due, now),
            say_of::name(one, now)
        ),
        several => {
            let parts: Vec<String> = several
                .iter()
                .map(|timer| say_of::listed(timer, now))
                .collect();
            let list = parts.join("; ");
            format!("You have {} timers: {list}.", several.len())
        }
    };
    Intent::say(IntentKind::Timer, say)
}

fn cancel(words: &[&str], context: &Context<'_>) -> Option<Intent> {
    let running = context.schedule.timers();
    let said = match choose(words, &running)? {
        Choice::All if running.is_empty() => return Some(none_running()),
        Choice::All => return Some(cancel_all()),
        Choice::These(timers) => timers,
    };
    Some(match said.as_slice() {
        [] if running.is_empty() => none_running(),
        [] => Intent::say(IntentKind::Timer, "There is no such timer."),
        [one] => Intent::act(
            IntentKind::Timer,
            Action::CancelTimer(one.id),
            format!("The {} is cancelled.", say_of::name(one, context.now)),
        ),
        several => {
            let names: Vec<String> = several
                .iter()
                .map(|timer| format!("the {}", say_of::name(timer, context.now)))
                .collect();
            let names = durations::list(&names).unwrap_or_default();
            Intent::act(
                IntentKind::Timer,
                Action::Ask(Question::WhichTimer),
                format!("Which one: {names}?"),
            )
        }
    })
}

/// The timers that a request means.
enum Choice<'a> {
    All,
    These(Vec<&'a Entry>),
}

/// `None` where `words` name no timer at all: the request is about something else.
fn choose<'a>(words: &[&str], running: &[&'a Entry]) -> Option<Choice<'a>> {
    let plural = words.contains(&"timers");
    let fillers = ["timer", "timers", "the", "my", "for", "of", "that"];
    let words: Vec<&str> = words
        .iter()
        .copied()
        .filter(|word| !fillers.contains(word))
        .collect();
    let named = match words.as_slice() {
        ["all" | "every" | "both"] => return Some(Choice::All),
        [] if plural => return Some(Choice::All),
        [] => running.to_vec(),
        ["last"] => running
            .iter()
            .max_by_key(|timer| timer.id)
            .into_iter()
            .copied()
            .collect(),
        ["first"] => running
            .iter()
            .min_by_key(|timer| timer.id)
            .into_iter()
            .copied()
            .collect(),
        words => {
            let length = durations::duration(words)
                .filter(|(_, taken)| *taken == words.len())
                .map(|(length, _)| length);
            let label = words.join(" ");
            let named: Vec<&Entry> = running
                .iter()
                .copied()
                .filter(|timer| {
                    let same_length =
                        matches!(timer.kind, Kind::Timer { length: set } if Some(set) == length);
                    same_length || timer.label.as_ref() == Some(&label)
                })
                .collect();
            if length.is_none() && named.is_empty() {
                return None;
            }
            named
        }
    };
    Some(Choice::These(named))
}

fn none_running() -> Intent {
    Intent::say(IntentKind::Timer, "No timer is running.")
}

fn cancel_all() -> Intent {
    Intent::act(
        IntentKind::Timer,
        Action::CancelTimers,
        "All timers are cancelled.",
    )
}

/// Words that ask for a timer.
const VERBS: &[&str] = &[
    "set", "start", "create", "make", "begin", "add", "give", "want", "need",
];

/// Words that may stand around a length of time and "timer".
const FILLERS: &[&str] = &[
    "a", "an", "the", "me", "my", "i", "for", "of", "new", "another", "to", "up", "on", "at",
    "with", "would", "like",
];

/// Words that are no label when they stand before "timer".
const STRANGE: &[&str] = &[
    "what",
    "which",
    "is",
    "does",
    "how",
    "no",
    "and",
    "or",
    "that",
    "this",
    "egg-timer",
    "in",
    "about",
    "any",
];

const LEFT: &[&str] = &[
    "how much time is left",
    "how much time is left on the timer",
    "how much time is left on my timer",
    "how long is left",
    "how long is left on the timer",
    "how long is left on my timer",
    "how much longer",
    "how much time is remaining",
    "how much time do i have left",
    "how much time remains",
    "time left",
    "how long left",
    "how much is left",
    "how much is left on the timer",
    "how much is left on my timer",
    "how many minutes are left",
    "how long until the timer rings",
    "how long until the timer goes off",
    "how long does the timer have",
    "when does the timer ring",
    "when does the timer go off",
    "how much time is on the timer",
    "how much time is left on the timers",
];

const LIST: &[&str] = &[
    "list timers",
    "list my timers",
    "list the timers",
    "list all timers",
    "show timers",
    "show my timers",
    "what timers are running",
    "which timers are running",
    "what timers do i have",
    "which timers do i have",
    "what are my timers",
    "how many timers are running",
    "how many timers do i have",
    "are there any timers",
    "are any timers running",
    "is a timer running",
    "is there a timer running",
    "do i have any timers",
    "check the timer",
    "check my timer",
    "check timers",
    "check my timers",
    "timer status",
    "what timers are set",
    "tell me my timers",
    "what is on the timer",
];
