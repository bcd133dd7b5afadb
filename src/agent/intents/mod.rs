//! Answers that need no model: time, date, timers, what is remembered, arithmetic, volume, repeat, stop, help, greetings.
//!
//! Pure: [`match_intent`] gets everything it needs in [`Context`], and what it decides is a value, so the agent's task can
//! ask it before it asks the model. It answers only what it understands as a whole: a question of which some words are
//! left over ("what time is it in Tokyo") is `None` and belongs to the model. [`trouble`] puts into words what is wrong
//! with a backend. English; transcripts with or without capitals and punctuation, numbers as words or digits.

mod arithmetic;
mod calendar;
pub(crate) mod durations;
mod memory_talk;
mod numbers;
mod phrases;
mod timer_talk;
mod tokens;
pub mod trouble;

use std::time::Duration;

use jiff::ZonedDateTime;

use super::facts::Fact;
use super::schedule::{EntryId, NewEntry, Schedule};

/// What an answer may depend on.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Wall time, for "what time is it" and for timers.
    pub now: &'a ZonedDateTime,
    /// The timers, alarms and reminders that are set.
    pub schedule: &'a Schedule,
    /// What the user asked to be remembered.
    pub facts: &'a [Fact],
    /// What was last said to the user, for "say that again".
    pub last_reply: Option<&'a str>,
    /// What our last answer asked back; the next utterance is first taken as the answer to that.
    pub asked: Option<Question>,
    /// The last reply came from the model: a bare "yes", "no" or "thanks" answers that, not us.
    pub in_conversation: bool,
}

/// What an intent asked back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// How long a timer is to run.
    TimerLength,
    /// Which of several timers is to be cancelled.
    WhichTimer,
    /// Whether everything that was remembered is to be forgotten.
    ForgetAll,
}

/// An utterance that was understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Intent {
    /// Its kind, for the receipt and the transcript log.
    pub kind: IntentKind,
    /// What the wiring must do, besides speaking.
    pub action: Action,
    /// What is said; empty where silence is the answer.
    pub say: String,
}

/// The kinds of intents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IntentKind {
    /// The time of day.
    Time,
    /// A day, a date, a month or a year.
    Date,
    /// Anything about timers, alarms and reminders.
    Timer,
    /// What the user asked to be remembered.
    Memory,
    /// A calculation.
    Arithmetic,
    /// The loudness.
    Volume,
    /// "Say that again".
    Repeat,
    /// "Stop", "never mind".
    Stop,
    /// "What can you do".
    Help,
    /// Greetings and thanks.
    SmallTalk,
    /// The assistant itself: off the record, stop listening.
    Control,
}

/// What the wiring must do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Nothing but speak.
    None,
    /// Start a timer.
    SetTimer {
        /// How long it runs.
        length: Duration,
        /// What it is for, if that was said.
        label: Option<String>,
    },
    /// End one timer.
    CancelTimer(EntryId),
    /// End all timers.
    CancelTimers,
    /// Set an alarm or a reminder.
    Set(NewEntry),
    /// Take out alarms or reminders.
    Cancel(Vec<EntryId>),
    /// Keep a fact about the user, in the user's words.
    Remember(String),
    /// Drop a fact.
    Forget(i64),
    /// Drop all facts.
    ForgetAll,
    /// Remember the question for the next utterance ([`Context::asked`]); listen without the wake word.
    Ask(Question),
    /// Change the loudness or tell it.
    Volume(VolumeChange),
    /// Say the last reply again; it is in [`field@Intent::say`].
    Repeat,
    /// Write nothing of what is said (`true`), or go on writing.
    OffRecord(bool),
    /// Close the ear until it is opened by hand.
    StopListening,
    /// Be silent, end what runs for this user (a reply, a ringing timer) and listen no further.
    Stop,
}

/// A change of the loudness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VolumeChange {
    /// By this many percent points, up or down.
    By(i8),
    /// To this percentage.
    To(u8),
    /// Off.
    Mute,
    /// On again.
    Unmute,
    /// No change: say it with [`volume_text`].
    Tell,
}

impl Intent {
    fn say(kind: IntentKind, say: impl Into<String>) -> Self {
        Self::act(kind, Action::None, say)
    }

    fn act(kind: IntentKind, action: Action, say: impl Into<String>) -> Self {
        Self {
            kind,
            action,
            say: say.into(),
        }
    }
}

/// The intent behind `text`, if it is one of ours.
#[must_use]
pub fn match_intent(text: &str, context: &Context<'_>) -> Option<Intent> {
    let words = tokens::tokens(text);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let words = tokens::without_courtesy(&words);
    if words.is_empty() {
        return None;
    }
    context
        .asked
        .and_then(|asked| answer_back(asked, words, context))
        .or_else(|| memory_talk::answer(text, words, context))
        .or_else(|| phrases::answer(words, context))
        .or_else(|| calendar::answer(words, context.now))
        .or_else(|| timer_talk::match_words(words, context))
        .or_else(|| arithmetic::answer(words))
}

/// Takes `words` as the answer to what was asked back.
fn answer_back(asked: Question, words: &[&str], context: &Context<'_>) -> Option<Intent> {
    match asked {
        Question::TimerLength | Question::WhichTimer => timer_talk::answer(asked, words, context),
        Question::ForgetAll => memory_talk::confirmed(words),
    }
}

/// What is said after [`VolumeChange::Tell`], and for a loudness of 0 to 100 in general.
#[must_use]
pub fn volume_text(percent: u8, muted: bool) -> String {
    if muted {
        "The sound is muted.".to_owned()
    } else {
        format!("The volume is at {percent} percent.")
    }
}
