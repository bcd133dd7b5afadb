//! What the words so far say about whether more will come.
//!
//! Pure; English, as the local intents are: text in another language ends in none of these words and is neutral. Small
//! models write no punctuation and large ones put a full stop at every pause, so a full stop says nothing.

/// Log-odds that a person who has said `text` and pauses has finished. Zero where the words tell nothing.
#[must_use]
pub fn score(text: &str) -> f32 {
    let marks = mark(text);
    let words: Vec<String> = text.split_whitespace().map(plain).collect();
    let words: Vec<&str> = words
        .iter()
        .map(String::as_str)
        .filter(|word| !word.is_empty())
        .collect();
    let words = without_opening(&words);
    let Some(last) = words.last() else {
        return marks;
    };
    if WHOLE.contains(&words.join(" ").as_str()) {
        return WHOLE_SCORE;
    }
    let kind = kind(words);
    let dangling = dangling(words, last, kind);
    if dangling < 0.0 {
        return dangling + marks.min(0.0);
    }
    whole(words, kind) + marks
}

/// What kind of utterance the first words begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// "what …", "how …".
    Wh,
    /// "is it …", "can you …".
    YesNo,
    /// "turn …", "set …".
    Command,
    /// "if …", "when I …": a clause that another one follows.
    Subordinate,
    /// Anything else.
    Statement,
}

fn kind(words: &[&str]) -> Kind {
    let (first, second) = (words[0], words.get(1).copied().unwrap_or_default());
    let third = words.get(2).copied().unwrap_or_default();
    if WH.contains(&first) {
        // "when is the train" asks; "when I come home" only begins.
        let noun_first = [second, third].iter().any(|word| AUXILIARY.contains(word))
            || matches!(first, "what" | "which" | "how" | "who" | "whose");
        return if first.contains('\'') || noun_first {
            Kind::Wh
        } else if matches!(first, "when" | "where") {
            Kind::Subordinate
        } else {
            Kind::Wh
        };
    }
    if AUXILIARY.contains(&first) && !second.is_empty() {
        return Kind::YesNo;
    }
    if SUBORDINATE.contains(&first) {
        return Kind::Subordinate;
    }
    let told = matches!(first, "please" | "let's") || (first == "tell" && second == "me");
    if told || COMMAND.contains(&first) {
        return Kind::Command;
    }
    Kind::Statement
}

/// How strongly the end of the words asks for more; zero where it does not.
fn dangling(words: &[&str], last: &str, kind: Kind) -> f32 {
    let question = matches!(kind, Kind::Wh | Kind::YesNo);
    let before = words.len().checked_sub(2).map_or("", |at| words[at]);
    if FILLER.contains(&last) || ARTICLE.contains(&last) || CONJUNCTION.contains(&last) {
        return HANGING;
    }
    // "what is it for", "where are you from"; not "what is the capital of".
    let stranded = kind == Kind::Wh
        && (OBJECT.contains(&before) || SUBJECT.contains(&before) || before.ends_with("ing"));
    if last == "to" || last == "of" {
        return if stranded { 0.0 } else { HANGING };
    }
    if PREPOSITION.contains(&last) || (last == "in" && question) {
        return if stranded { 0.0 } else { -2.0 };
    }
    if PARTICLE.contains(&last) {
        let moved = words.iter().any(|word| MOVES.contains(word));
        return if moved || question { 0.0 } else { -1.5 };
    }
    let clock = last == "am" && is_number(before);
    if !clock && (AUXILIARY.contains(&last) || OPEN_VERB.contains(&last)) {
        // "do you know what time it is" ends in its verb; "what is" and "the weather is" do not end there.
        let subject = SUBJECT.contains(&before) || matches!(before, "it" | "that" | "this" | "you");
        let inner = words.iter().skip(1).any(|word| WH.contains(word));
        return if subject && (inner || kind == Kind::Wh) && words.len() > 3 {
            0.0
        } else {
            -2.0
        };
    }
    if SUBJECT.contains(&last) {
        return if question { 0.0 } else { -2.0 };
    }
    if WH.contains(&last) && words.len() > 1 && before != "or" {
        return -1.0;
    }
    if words.len() == 1 && TRANSITIVE.contains(&last) {
        return -2.0;
    }
    number(words, last)
}

/// A number that a unit or more digits should follow.
fn number(words: &[&str], last: &str) -> f32 {
    if !is_number(last) {
        return 0.0;
    }
    let run = words
        .iter()
        .rev()
        .take_while(|word| is_number(word))
        .count();
    let timed = words
        .iter()
        .any(|word| matches!(*word, "timer" | "minutes" | "remind"));
    let before = words.len().checked_sub(run + 1).map_or("", |at| words[at]);
    if timed && matches!(before, "for" | "in" | "a" | "timer") {
        return -2.0;
    }
    // Digits one by one: a telephone number, a code.
    if run >= 2 && words.iter().rev().take(run).all(|word| is_digit(word)) {
        return -1.0;
    }
    if TENS.contains(&last) { -0.5 } else { 0.0 }
}

/// How surely words that end well are a whole utterance.
fn whole(words: &[&str], kind: Kind) -> f32 {
    match kind {
        Kind::Wh if words.len() >= 3 || (words.len() == 2 && words[0].contains('\'')) => 2.0,
        Kind::Wh => -0.5,
        Kind::YesNo if words.len() >= 3 => 1.5,
        Kind::YesNo => -0.5,
        Kind::Command if words.len() >= 3 => 1.5,
        Kind::Command if words.len() == 2 => 0.8,
        Kind::Command => 0.0,
        Kind::Subordinate if words.len() < 7 => -1.5,
        Kind::Subordinate => -0.5,
        // Somebody who tells something longer is likely to go on with it; few words are an answer or a name.
        Kind::Statement if words.len() >= 5 => -0.5,
        Kind::Statement => 0.0,
    }
}

/// What the last mark says. A question mark is written for the words and the tone; dots and commas for an open end.
fn mark(text: &str) -> f32 {
    let text = text.trim_end();
    if text.ends_with("...") || text.ends_with(['…', ',', '-', '–', '—', ':']) {
        -1.5
    } else if text.ends_with('?') {
        1.0
    } else if listing(text) {
        -1.0
    } else {
        0.0
    }
}

/// "milk, eggs, bread": a list of which the last item has no "and" before it.
fn listing(text: &str) -> bool {
    let parts: Vec<&str> = text.trim_end_matches('.').split(',').collect();
    parts.len() >= 3
        && parts[1..]
            .iter()
            .all(|part| part.split_whitespace().count() <= 2)
        && !parts.last().is_some_and(|part| {
            part.split_whitespace()
                .next()
                .is_some_and(|word| matches!(word, "and" | "or"))
        })
}

/// Words without which the rest says the same: greetings of the machine, hesitation.
fn without_opening<'a, 'b>(words: &'a [&'b str]) -> &'a [&'b str] {
    let opening = |word: &&&str| {
        matches!(
            **word,
            "please" | "ok" | "okay" | "so" | "well" | "now" | "and" | "um" | "uh" | "hey"
        )
    };
    let skip = words.iter().take_while(opening).count();
    if skip == words.len() {
        words
    } else {
        &words[skip..]
    }
}

fn plain(word: &str) -> String {
    let letters = word.chars().filter(|c| c.is_alphanumeric() || *c == '\'');
    letters.flat_map(char::to_lowercase).collect()
}

fn is_digit(word: &str) -> bool {
    DIGITS.contains(&word) || (word.len() == 1 && word.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_number(word: &str) -> bool {
    is_digit(word)
        || TENS.contains(&word)
        || NUMBERS.contains(&word)
        || word.bytes().all(|byte| byte.is_ascii_digit())
}

const HANGING: f32 = -3.0;
const WHOLE_SCORE: f32 = 2.5;

const WHOLE: &[&str] = &[
    "yes",
    "no",
    "yeah",
    "nope",
    "stop",
    "cancel",
    "pause",
    "resume",
    "continue",
    "thanks",
    "thank you",
    "never mind",
    "nevermind",
    "louder",
    "quieter",
    "help",
    "hello",
    "goodbye",
    "good night",
    "good morning",
    "what",
    "why",
    "how",
    "say that again",
    "repeat that",
    "stop it",
    "cancel that",
    "be quiet",
    "go to sleep",
    "yes please",
    "no thanks",
    "that's all",
    "go on",
    "turn it up",
    "turn it down",
    "turn it on",
    "turn it off",
    "what's up",
    "i don't know",
];
const FILLER: &[&str] = &[
    "um", "uh", "er", "erm", "uhm", "umm", "hmm", "mm", "ah", "eh",
];
const ARTICLE: &[&str] = &[
    "a", "an", "the", "my", "your", "our", "their", "its", "every", "each", "another", "very",
    "really", "quite",
];
const CONJUNCTION: &[&str] = &[
    "and", "or", "but", "because", "if", "unless", "while", "although", "than", "as", "whether",
    "until", "nor", "plus", "minus", "times", "divided", "then",
];
const PREPOSITION: &[&str] = &[
    "for", "from", "with", "at", "by", "into", "onto", "about", "between", "during", "without",
    "under", "near", "after", "before", "against", "towards", "called", "named", "saying",
];
const PARTICLE: &[&str] = &["in", "on", "off", "up", "down", "out", "over"];
const MOVES: &[&str] = &[
    "turn", "switch", "put", "pick", "shut", "come", "go", "wake", "get", "move", "log", "sign",
    "hang", "speed", "slow", "turned", "keep", "bring", "take", "hold",
];
const AUXILIARY: &[&str] = &[
    "is", "are", "was", "were", "am", "do", "does", "did", "can", "could", "will", "would",
    "should", "has", "have", "had", "may", "might", "shall", "must", "isn't", "aren't", "don't",
    "doesn't", "didn't", "can't", "won't",
];
const OPEN_VERB: &[&str] = &[
    "want", "need", "i'm", "i'd", "i'll", "it's", "there's", "what's", "who's", "where's", "how's",
    "that's", "let's", "let", "says", "like",
];
const OBJECT: &[&str] = &[
    "it", "that", "this", "you", "me", "him", "her", "them", "us", "go", "come", "live",
];
const SUBJECT: &[&str] = &["i", "we", "he", "she", "they"];
const WH: &[&str] = &[
    "what", "what's", "which", "who", "who's", "whose", "when", "when's", "where", "where's",
    "why", "how", "how's",
];
const SUBORDINATE: &[&str] = &[
    "if", "because", "while", "although", "after", "before", "since", "once", "unless", "as",
];
const COMMAND: &[&str] = &[
    "turn",
    "switch",
    "set",
    "play",
    "start",
    "call",
    "remind",
    "open",
    "close",
    "show",
    "find",
    "send",
    "make",
    "give",
    "add",
    "put",
    "read",
    "write",
    "tell",
    "take",
    "search",
    "look",
    "create",
    "delete",
    "remove",
    "cancel",
    "stop",
    "pause",
    "skip",
    "dim",
    "raise",
    "lower",
    "lock",
    "unlock",
    "book",
    "order",
    "go",
    "wake",
    "mute",
    "unmute",
    "repeat",
    "translate",
    "spell",
    "define",
    "say",
    "count",
    "calculate",
    "convert",
    "schedule",
    "snooze",
    "note",
];
const TRANSITIVE: &[&str] = &[
    "turn",
    "switch",
    "set",
    "call",
    "remind",
    "open",
    "close",
    "show",
    "find",
    "send",
    "make",
    "give",
    "add",
    "put",
    "tell",
    "search",
    "create",
    "delete",
    "remove",
    "book",
    "order",
    "translate",
    "spell",
    "define",
    "convert",
    "schedule",
    "dim",
    "read",
    "write",
    "take",
    "computer",
];
const DIGITS: &[&str] = &[
    "zero", "oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
];
const TENS: &[&str] = &[
    "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety", "hundred",
];
const NUMBERS: &[&str] = &[
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
    "half",
    "thousand",
    "million",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_questions_and_commands_end_quickly() {
        for text in [
            "what time is it",
            "What's the weather like tomorrow?",
            "who is ada lovelace",
            "how are you",
            "turn on the kitchen light",
            "turn the light off",
            "set a timer for five minutes",
            "stop",
            "never mind",
            "is it raining",
            "can you hear me",
            "what is it for",
            "where are you from",
            "tell me a joke",
            "do you know what time it is",
            "okay what day is it",
            "set the alarm for seven thirty am",
        ] {
            assert!(score(text) >= 1.0, "{text}: {}", score(text));
        }
    }

    #[test]
    fn unfinished_sentences_wait() {
        for text in [
            "turn on the",
            "set a timer for",
            "set a timer for ten",
            "what is",
            "what is the weather in",
            "remind me to",
            "i want to",
            "um",
            "and then we",
            "play something by",
            "my number is four one seven",
            "how much is five plus",
            "if it rains tomorrow",
            "when i come home",
            "I bought milk, eggs, bread",
            "It was...",
            "call",
            "put milk and",
            "what is the capital of",
        ] {
            assert!(score(text) < 0.0, "{text}: {}", score(text));
        }
    }

    #[test]
    fn what_tells_nothing_is_neutral() {
        for text in ["", "the red one", "tomorrow at five", "wie spät ist es"] {
            assert_eq!(score(text), 0.0, "{text}");
        }
        assert_eq!(score("the cat sat on the mat"), -0.5);
    }

    #[test]
    fn no_text_makes_it_panic() {
        for text in [
            "'",
            ",,,",
            "...",
            "?",
            "a",
            "is",
            "\u{0}",
            "é é",
            "for for for",
        ] {
            assert!(score(text).is_finite());
        }
    }
}
