//! What the user asked to be remembered, in the user's own words; it is part of the prompt.
//!
//! Pure; [`super::notebook`] keeps it on disk.

use jiff::Timestamp;

use crate::private::Private;

/// Facts that are kept.
pub const MOST_FACTS: usize = 50;

/// Bytes of all facts together: what they add to the prompt, some 500 tokens, is read at every cold start and taken from the
/// tools' share.
pub const MOST_BYTES: usize = 2_000;

/// Characters of one fact.
pub const LONGEST_FACT: usize = 200;

/// One thing to be remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// Its name, never used twice.
    pub id: i64,
    /// When it was told.
    pub made: Timestamp,
    /// The user's words.
    pub text: Private<String>,
}

/// The facts as a paragraph of the prompt, the oldest first; `None` where there are none. It changes only when the user
/// adds or removes one, and a new one is appended, so the prompt's prefix before it holds. The words are the user's; line
/// breaks are taken out, so that one fact stays one line.
#[must_use]
pub fn prompt(facts: &[Fact]) -> Option<String> {
    if facts.is_empty() {
        return None;
    }
    let lines: Vec<String> = facts
        .iter()
        .map(|fact| {
            let words: Vec<&str> = fact.text.as_str().split_whitespace().collect();
            format!("- {}", words.join(" "))
        })
        .collect();
    Some(format!(
        "The user asked you to remember, in the user's own words (\"I\" is the user):\n{}",
        lines.join("\n")
    ))
}

/// The fact that is meant by `said`: the same words, or the one with which it shares most, and more than half of both.
#[must_use]
pub fn find<'a>(facts: &'a [Fact], said: &str) -> Option<&'a Fact> {
    let said = plain(said);
    if said.is_empty() {
        return None;
    }
    facts
        .iter()
        .map(|fact| (fact, likeness(&words(fact), &said)))
        .filter(|(_, likeness)| *likeness >= 0.5)
        // Of two equal ones the newer.
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(fact, _)| fact)
}

/// Shared words by all words; where one is contained in the other, the share of the longer that it makes up, but at least
/// one half when it has three words or more: "forget that my dentist is Doctor Brown" may be said shorter than it was told.
fn likeness(one: &[String], other: &[String]) -> f64 {
    let shared = other.iter().filter(|word| one.contains(word)).count();
    let all = one.len() + other.iter().filter(|word| !one.contains(word)).count();
    let plain = shared as f64 / all.max(1) as f64;
    if shared == other.len() && shared >= 3 {
        return plain.max(0.5);
    }
    plain
}

/// The words of a fact in a common form.
#[must_use]
pub fn words(fact: &Fact) -> Vec<String> {
    plain(fact.text.as_str())
}

/// Lower case, without punctuation and without the words that carry nothing.
#[must_use]
pub fn plain(text: &str) -> Vec<String> {
    text.to_lowercase()
        .split(|letter: char| !letter.is_alphanumeric() && letter != '\'')
        .filter(|word| !word.is_empty() && !matches!(*word, "a" | "an" | "the"))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn facts(texts: &[&str]) -> Vec<Fact> {
        let fact = |(id, text): (usize, &&str)| Fact {
            id: i64::try_from(id).unwrap(),
            made: Timestamp::UNIX_EPOCH,
            text: Private::from(*text),
        };
        texts.iter().enumerate().map(fact).collect()
    }

    #[test]
    fn the_fact_that_is_meant_is_found_and_no_other() {
        let facts = facts(&[
            "my wife is called Anna",
            "my dentist is Doctor Brown in the High Street",
            "I am allergic to nuts",
        ]);
        let found = |said: &str| find(&facts, said).map(|fact| fact.id);
        assert_eq!(found("My wife is called Anna."), Some(0));
        assert_eq!(found("my wife's called Anna"), Some(0));
        assert_eq!(found("my dentist is Doctor Brown"), Some(1));
        assert_eq!(found("I'm allergic to nuts"), Some(2));
        assert_eq!(found("my husband is a fool"), None);
        assert_eq!(found(""), None);
    }

    #[test]
    fn the_paragraph_of_the_prompt_only_grows_when_a_fact_is_added() {
        let three = facts(&["one", "two\nlines", "three"]);
        let two = prompt(&three[..2]).unwrap();
        let all = prompt(&three).unwrap();
        assert!(all.starts_with(&two));
        assert!(all.ends_with("- two lines\n- three"));
        assert_eq!(prompt(&[]), None);
    }
}
