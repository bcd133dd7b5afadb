//! Finds the wake phrase at the start of a transcript, forgiving what small models do to an invented name.

/// What the start of a transcript says about the wake phrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WakeMatch {
    /// It is there; these are the words after it (possibly none), as the transcriber wrote them.
    Said(String),
    /// It is not.
    Absent,
}

/// Looks for `phrase` in the first words of `text`.
///
/// Words are compared without case and punctuation. A phrase of two or more words may be off by one letter in each word
/// of four letters or more ("hey mark" is "hey hark"; a phrase of a single word must be exact), and its first word may be
/// missing or misheard if the rest is exact: the onset is what a segmenter loses first.
#[must_use]
pub fn match_wake(text: &str, phrase: &str) -> WakeMatch {
    let wanted: Vec<String> = phrase
        .split_whitespace()
        .map(plain)
        .filter(|w| !w.is_empty())
        .collect();
    if wanted.is_empty() {
        return WakeMatch::Absent;
    }
    let said: Vec<&str> = text.split_whitespace().collect();
    let heard: Vec<String> = said.iter().map(|w| plain(w)).collect();
    let rest = |from: usize| WakeMatch::Said(said[from..].join(" "));
    if heard.len() >= wanted.len()
        && wanted
            .iter()
            .zip(&heard)
            .all(|(w, h)| same_word(w, h, wanted.len()))
    {
        return rest(wanted.len());
    }
    let tail = &wanted[1..];
    let distinctive = tail.iter().any(|w| w.len() >= 4);
    for skipped in [0, 1] {
        if distinctive && heard.len() >= skipped + tail.len() && heard[skipped..].starts_with(tail)
        {
            return rest(skipped + tail.len());
        }
    }
    WakeMatch::Absent
}

/// The words after the wake phrase where its sound was certain but its spelling is wrong: what follows those first words that
/// together look most like the phrase ("hay heart what time is it" is "what time is it"); nothing is cut off where they look
/// more unlike it than like it.
#[must_use]
pub fn after_misheard(text: &str, phrase: &str) -> String {
    let joined = |words: &[&str]| words.iter().map(|word| plain(word)).collect::<String>();
    let phrase: Vec<&str> = phrase.split_whitespace().collect();
    let wanted = joined(&phrase);
    let said: Vec<&str> = text.split_whitespace().collect();
    let most = (phrase.len() + 2).min(said.len());
    let unlike = |count: usize| strsim::levenshtein(&wanted, &joined(&said[..count]));
    // Of two beginnings that are equally like it the longer one: what is left begins with a word of the question.
    let skipped = (0..=most)
        .min_by_key(|count| (unlike(*count), most - count))
        .filter(|count| unlike(*count) * 5 <= wanted.chars().count() * 3)
        .unwrap_or(0);
    said[skipped..].join(" ")
}

/// Whether `text` takes a question back or wants silence: understood in every phase, without a wake phrase. A question may
/// also end so ("what is the weather in, oh, never mind").
#[must_use]
pub fn takes_back(text: &str) -> bool {
    const BEFORE: &[&str] = &[
        "oh", "ok", "okay", "no", "please", "hark", "well", "just", "uh", "um",
    ];
    const AFTER: &[&str] = &["please", "hark", "now", "thanks"];
    let words: Vec<String> = text.split_whitespace().map(plain).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if words.ends_with(&["never", "mind"]) || words.ends_with(&["nevermind"]) {
        return true;
    }
    let mut words = words.as_slice();
    while let Some((first, rest)) = words.split_first()
        && BEFORE.contains(first)
    {
        words = rest;
    }
    while let Some((last, rest)) = words.split_last()
        && AFTER.contains(last)
    {
        words = rest;
    }
    const PHRASES: &[&str] = &[
        "stop",
        "stop it",
        "stop that",
        "stop talking",
        "stop speaking",
        "cancel",
        "cancel that",
        "cancel it",
        "forget it",
        "forget that",
        "be quiet",
        "quiet",
        "shut up",
        "go to sleep",
    ];
    PHRASES.contains(&words.join(" ").as_str())
}

/// Whether `text` only shows that one listens: it takes nothing back and asks nothing.
#[must_use]
pub fn is_backchannel(text: &str) -> bool {
    const WORDS: &[&str] = &[
        "mhm", "mm", "mmm", "mmhm", "hm", "hmm", "uh", "um", "ah", "aha", "oh", "huh", "uhhuh",
        "yeah", "yep", "yup", "okay", "ok", "right", "sure", "wow",
    ];
    const PAIRS: &[&str] = &["i see", "uh huh", "mm hmm", "mm hm", "oh okay", "oh i see"];
    let words: Vec<String> = text
        .replace('-', "")
        .split_whitespace()
        .map(plain)
        .filter(|word| !word.is_empty())
        .collect();
    !words.is_empty()
        && (PAIRS.contains(&words.join(" ").as_str())
            || words.len() <= 3 && words.iter().all(|word| WORDS.contains(&word.as_str())))
}

/// Whether all the words of `part` stand in `text`, one after the other.
#[must_use]
pub fn says_within(text: &str, part: &str) -> bool {
    let words = |text: &str| -> Vec<String> {
        text.split_whitespace()
            .map(plain)
            .filter(|word| !word.is_empty())
            .collect()
    };
    let (text, part) = (words(text), words(part));
    !part.is_empty() && text.windows(part.len()).any(|window| window == part)
}

pub(super) fn plain(word: &str) -> String {
    word.chars()
        .filter(|c| c.is_alphanumeric() || *c == '\'')
        .flat_map(char::to_lowercase)
        .collect()
}

fn same_word(wanted: &str, heard: &str, phrase_words: usize) -> bool {
    wanted == heard
        || (phrase_words > 1
            && wanted.chars().count() >= 4
            && strsim::levenshtein(wanted, heard) <= 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(rest: &str) -> WakeMatch {
        WakeMatch::Said(rest.to_owned())
    }

    #[test]
    fn the_phrase_and_the_question_in_one_breath() {
        assert_eq!(
            match_wake("Hey, Hark! What time is it?", "hey hark"),
            said("What time is it?")
        );
        assert_eq!(match_wake("hey hark", "hey hark"), said(""));
        assert_eq!(
            match_wake("computer lights off", "computer"),
            said("lights off")
        );
    }

    #[test]
    fn one_wrong_letter_or_a_lost_first_word_is_forgiven() {
        for text in [
            "hey mark stop",
            "hey hart stop",
            "hark stop",
            "a hark stop",
            "hay hark stop",
        ] {
            assert_eq!(match_wake(text, "hey hark"), said("stop"), "{text}");
        }
    }

    #[test]
    fn what_takes_a_question_back_is_told_from_what_only_sounds_like_it() {
        for text in [
            "Stop.",
            "okay, stop",
            "Oh, never mind!",
            "what is the weather in never mind",
            "Cancel that, please.",
            "Go to sleep, Hark.",
            "nevermind",
        ] {
            assert!(takes_back(text), "{text}");
        }
        for text in [
            "",
            "no",
            "please",
            "stop the timer",
            "cancel my timer",
            "never mind the gap what time is it",
            "when do owls go to sleep",
        ] {
            assert!(!takes_back(text), "{text}");
        }
    }

    #[test]
    fn a_misspelt_phrase_is_cut_off_where_it_looks_to_end() {
        for (text, phrase, rest) in [
            ("hay heart what time is it", "hey hark", "what time is it"),
            ("a hard what time is it", "hey hark", "what time is it"),
            ("Commuter, lights off.", "computer", "lights off."),
            ("compute a what is that", "computer", "what is that"),
            ("hey", "hey hark", ""),
            ("", "hey hark", ""),
            ("what time is it", "hey hark", "what time is it"),
        ] {
            assert_eq!(after_misheard(text, phrase), rest, "{text}");
        }
    }

    #[test]
    fn other_words_do_not_wake() {
        for text in [
            "",
            "hey",
            "hey there what time is it",
            "what time is it",
            "hey mary stop",
            "commuter traffic",
            "so hey hark",
        ] {
            assert_eq!(
                match_wake(
                    text,
                    if text.starts_with("comm") {
                        "computer"
                    } else {
                        "hey hark"
                    }
                ),
                WakeMatch::Absent,
                "{text}"
            );
        }
    }
}
