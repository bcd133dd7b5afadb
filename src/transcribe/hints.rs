//! Words of the user that a model does not know: how it is told of them, and how it is kept from inventing them.
//!
//! Core. A model that was trained with prompts gets the words as one; every model's text is looked through for words that it
//! doubts and that differ from one of ours by a letter or two. A prompt can come back as the text of a silence or a noise:
//! [`echoes`] tells when that is likely.

/// The prompt for a model that takes one; `None` without hints.
#[must_use]
pub fn prompt(hints: &[String]) -> Option<String> {
    // A NUL would end the C string early.
    let kept: Vec<&str> = hints
        .iter()
        .map(|hint| hint.trim())
        .filter(|hint| !hint.is_empty() && !hint.contains('\0'))
        .collect();
    (!kept.is_empty()).then(|| format!("{}.", kept.join(", ")))
}

/// The text with its doubtful words set right. `words` are the words of the text with the lowest probability of their
/// tokens; where they are not the words of the text (a guard has cleaned it) it stays as it is.
#[must_use]
pub fn apply(text: &str, words: &[(String, f32)], hints: &[String]) -> String {
    let said: Vec<&str> = text.split_whitespace().collect();
    if hints.is_empty() || said.len() != words.len() {
        return text.to_owned();
    }
    let set_right = said.iter().zip(words).map(|(word, (_, probability))| {
        let meant = (*probability < DOUBTFUL)
            .then(|| nearest(word, hints))
            .flatten();
        meant.map_or_else(|| (*word).to_owned(), |hint| dressed(hint, word))
    });
    set_right.collect::<Vec<_>>().join(" ")
}

/// Whether the text holds nothing but hints, as a model repeats its prompt when it hears nothing.
#[must_use]
pub fn echoes(text: &str, hints: &[String]) -> bool {
    let known: Vec<String> = hints
        .iter()
        .flat_map(|hint| hint.split_whitespace().map(plain))
        .collect();
    let mut words = text
        .split_whitespace()
        .map(plain)
        .filter(|word| !word.is_empty())
        .peekable();
    words.peek().is_some() && words.all(|word| known.contains(&word))
}

/// The hint that the word was probably meant to be: of one word, not the word itself, and near enough for its length.
fn nearest<'a>(word: &str, hints: &'a [String]) -> Option<&'a str> {
    let word = plain(word);
    if word.chars().count() < SHORTEST || hints.iter().any(|hint| plain(hint) == word) {
        return None;
    }
    let near = hints
        .iter()
        .filter(|hint| hint.split_whitespace().count() == 1)
        .map(|hint| (strsim::levenshtein(&plain(hint), &word), hint.trim()))
        .filter(|(distance, hint)| {
            let length = hint.chars().count();
            length >= SHORTEST && *distance <= if length >= LONG { 2 } else { 1 }
        });
    near.min_by_key(|(distance, _)| *distance)
        .map(|(_, hint)| hint)
}

/// The hint with the marks that stood after the word.
fn dressed(hint: &str, word: &str) -> String {
    let marks: String = word
        .chars()
        .rev()
        .take_while(|c| !c.is_alphanumeric())
        .collect();
    let marks: String = marks.chars().rev().collect();
    format!("{hint}{marks}")
}

fn plain(word: &str) -> String {
    let letters = word.chars().filter(|letter| letter.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

/// A word whose least probable token lies below this was guessed.
const DOUBTFUL: f32 = 0.6;
/// Shorter words are a letter away from too many others.
const SHORTEST: usize = 4;
/// From this length on two letters may be wrong.
const LONG: usize = 7;

#[cfg(test)]
mod tests {
    use super::*;

    fn hints() -> Vec<String> {
        ["Hark", "Anneliese", "Home Assistant", "Bo"]
            .map(str::to_owned)
            .to_vec()
    }

    fn words(text: &str, probability: f32) -> Vec<(String, f32)> {
        text.split_whitespace()
            .map(|word| (word.to_owned(), probability))
            .collect()
    }

    #[test]
    fn a_doubtful_word_near_a_hint_becomes_the_hint() {
        let text = "hey mark, call annalise!";
        assert_eq!(
            apply(text, &words(text, 0.3), &hints()),
            "hey Hark, call Anneliese!"
        );
        assert_eq!(
            apply(text, &words(text, 0.9), &hints()),
            text,
            "what the model is sure of stays"
        );
    }

    #[test]
    fn short_words_other_words_and_hints_themselves_stay() {
        for text in [
            "go to bo",
            "hark hark",
            "my home assistance",
            "the weather tomorrow",
            "",
        ] {
            assert_eq!(apply(text, &words(text, 0.1), &hints()), text);
        }
        assert_eq!(
            apply("mark", &words("mark my words", 0.1), &hints()),
            "mark"
        );
    }

    #[test]
    fn the_prompt_is_recognised_when_it_comes_back() {
        assert_eq!(
            prompt(&hints()).as_deref(),
            Some("Hark, Anneliese, Home Assistant, Bo.")
        );
        assert_eq!(prompt(&["".to_owned(), "a\0b".to_owned()]), None);
        assert!(echoes("Hark, Anneliese, Home Assistant.", &hints()));
        assert!(!echoes("Hark, call Anneliese.", &hints()));
        assert!(!echoes("...", &hints()));
    }
}
