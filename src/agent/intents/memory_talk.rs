//! "Remember that…", "forget that…", "what do you remember": facts about the user, kept in the user's own words.
//!
//! Pure. The words that are kept are cut out of the utterance as it was written; whether it is meant for us is decided on
//! the common form, as everywhere here.

use super::super::facts;
use super::{Action, Context, Intent, IntentKind, Question};

/// The answer, if the utterance is about what is remembered.
pub(super) fn answer(text: &str, words: &[&str], context: &Context<'_>) -> Option<Intent> {
    let phrase = words.join(" ");
    if LIST.contains(&phrase.as_str()) {
        return Some(list(context));
    }
    if FORGET_ALL.contains(&phrase.as_str()) {
        return Some(forget_all(context));
    }
    match words {
        ["remember", "that", _, _, ..] => remember(after(text, "remember that")?),
        ["keep", "in", "mind", "that", _, _, ..] => remember(after(text, "keep in mind that")?),
        ["forget", "that", _, _, ..] => forget(after(text, "forget that")?, context),
        _ => None,
    }
}

/// The answer to "Shall I forget everything?"
pub(super) fn confirmed(words: &[&str]) -> Option<Intent> {
    match words {
        ["yes"] | ["yes", "forget", ..] | ["yeah"] | ["yep"] | ["sure"] | ["do", "it"] => {
            Some(Intent::act(
                IntentKind::Memory,
                Action::ForgetAll,
                "I have forgotten all of it.",
            ))
        }
        ["no", ..] | ["nope"] => Some(Intent::say(IntentKind::Memory, "I keep it.")),
        _ => None,
    }
}

/// What follows `opening` in the text as it was written, whatever stands before it.
fn after<'a>(text: &'a str, opening: &str) -> Option<&'a str> {
    // ASCII lower case keeps the length, so that places in one are places in the other.
    let at = text.to_ascii_lowercase().find(opening)?;
    let rest = text[at + opening.len()..].trim();
    let rest = rest.trim_end_matches(['.', '!', '?', ',', ' ']);
    let lower = rest.to_ascii_lowercase();
    let rest = [", please", " please"]
        .iter()
        .find(|end| lower.ends_with(*end))
        .map_or(rest, |end| &rest[..rest.len() - end.len()]);
    (!rest.is_empty()).then_some(rest)
}

fn remember(fact: &str) -> Option<Intent> {
    if fact.chars().count() > facts::LONGEST_FACT {
        return Some(Intent::say(
            IntentKind::Memory,
            "That is too long for me to remember. Tell me in one short sentence.",
        ));
    }
    Some(Intent::act(
        IntentKind::Memory,
        Action::Remember(fact.to_owned()),
        format!("I'll remember: {fact}."),
    ))
}

fn forget(said: &str, context: &Context<'_>) -> Option<Intent> {
    Some(match facts::find(context.facts, said) {
        Some(fact) => Intent::act(
            IntentKind::Memory,
            Action::Forget(fact.id),
            format!("I have forgotten: {}.", fact.text.as_str()),
        ),
        None => Intent::say(
            IntentKind::Memory,
            "That is nothing that you asked me to remember.",
        ),
    })
}

fn list(context: &Context<'_>) -> Intent {
    let say = match context.facts {
        [] => "You have not asked me to remember anything.".to_owned(),
        [one] => format!("You asked me to remember: {}.", one.text.as_str()),
        several => {
            let all: Vec<&str> = several.iter().map(|fact| fact.text.as_str()).collect();
            format!(
                "You asked me to remember {} things: {}.",
                several.len(),
                all.join("; ")
            )
        }
    };
    Intent::say(IntentKind::Memory, say)
}

fn forget_all(context: &Context<'_>) -> Intent {
    match context.facts.len() {
        0 => Intent::say(IntentKind::Memory, "There is nothing to forget."),
        1 => Intent::act(
            IntentKind::Memory,
            Action::Ask(Question::ForgetAll),
            "Shall I forget the one thing that you asked me to remember?",
        ),
        count => Intent::act(
            IntentKind::Memory,
            Action::Ask(Question::ForgetAll),
            format!("Shall I forget all {count} things that you asked me to remember?"),
        ),
    }
}

const LIST: &[&str] = &[
    "what do you remember",
    "what do you remember about me",
    "what do you know about me",
    "what did i ask you to remember",
    "what did i tell you to remember",
    "what have i asked you to remember",
    "list what you remember",
    "tell me what you remember",
    "tell me what you remember about me",
    "tell me what you know about me",
    "list the facts",
    "list my facts",
];

const FORGET_ALL: &[&str] = &[
    "forget everything",
    "forget everything about me",
    "forget everything you know about me",
    "forget everything that you know about me",
    "forget everything you remember",
    "forget all you know about me",
    "forget what you know about me",
    "forget all facts",
];
