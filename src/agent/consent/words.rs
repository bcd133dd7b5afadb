//! Yes, no, or something else: the whole utterance decides.

/// What an utterance means as the answer to a question of consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Yes, and nothing but yes.
    Yes,
    /// A sound of agreement that people also make while they only listen ("okay", "mhm").
    Weak,
    /// No, and nothing but no.
    No,
    /// Anything else.
    Other,
}

/// Judges `words` as the answer to `question`, spoken in `language` (ISO 639-1).
#[must_use]
pub fn answer(words: &str, question: &str, language: &str) -> Answer {
    let said = plain(words);
    let said: Vec<&str> = said.iter().map(String::as_str).collect();
    let phrase = said.join(" ");
    let listed = |list: &[&str]| list.contains(&phrase.as_str());
    let foreign = FOREIGN.iter().find(|(code, ..)| *code == language);
    if let Some((_, yes, no)) = foreign {
        if yes.contains(&phrase.as_str()) {
            return Answer::Yes;
        }
        if no.contains(&phrase.as_str()) {
            return Answer::No;
        }
    }
    if listed(NO) || is_no_with_courtesy(&said) {
        return Answer::No;
    }
    if listed(YES) || is_yes_about(&said, question) {
        return Answer::Yes;
    }
    if listed(WEAK) {
        return Answer::Weak;
    }
    Answer::Other
}

/// "Yes, delete the note": after a yes only words of the question and a few that change nothing.
fn is_yes_about(said: &[&str], question: &str) -> bool {
    let Some((first, rest)) = said.split_first() else {
        return false;
    };
    let asked = plain(question);
    YES_WORDS.contains(first)
        && !rest.is_empty()
        && rest.iter().all(|word| {
            FILLING.contains(word)
                || (!TURNING.contains(word) && asked.iter().any(|of_question| of_question == word))
        })
}

/// "No, don't", "no thank you", "no please stop".
fn is_no_with_courtesy(said: &[&str]) -> bool {
    said.first()
        .is_some_and(|first| ["no", "nope", "nah"].contains(first))
        && said[1..].iter().all(|word| NO_FILLING.contains(word))
}

/// Lower case, letters and figures only.
fn plain(text: &str) -> Vec<String> {
    text.replace(['’', '‘'], "'")
        .split(|c: char| !(c.is_alphanumeric() || c == '\''))
        .map(|word| word.trim_matches('\'').to_lowercase())
        .filter(|word| !word.is_empty())
        .collect()
}

const YES_WORDS: &[&str] = &["yes", "yeah", "yep", "yup"];

/// Words that follow a yes and do not change it.
const FILLING: &[&str] = &[
    "please",
    "do",
    "it",
    "that",
    "this",
    "go",
    "ahead",
    "i'm",
    "i",
    "am",
    "sure",
    "confirm",
    "now",
    "yes",
    "certainly",
    "absolutely",
    "definitely",
    "thanks",
    "thank",
    "you",
];

/// Words that turn a yes around, even where the question holds them.
const TURNING: &[&str] = &[
    "no",
    "not",
    "don't",
    "but",
    "never",
    "except",
    "instead",
    "only",
    "wait",
    "unless",
    "all",
    "everything",
    "cancel",
    "stop",
];

const NO_FILLING: &[&str] = &[
    "no", "thanks", "thank", "you", "please", "don't", "do", "not", "stop", "it", "that", "cancel",
    "leave", "keep", "never", "mind", "way",
];

const YES: &[&str] = &[
    "yes",
    "yeah",
    "yep",
    "yup",
    "do it",
    "please do",
    "please do it",
    "go ahead",
    "go ahead please",
    "please go ahead",
    "confirm",
    "confirmed",
    "i confirm",
    "i'm sure",
    "i am sure",
    "absolutely",
    "definitely",
    "okay do it",
    "ok do it",
    "okay go ahead",
    "ok go ahead",
    "sure do it",
    "sure go ahead",
    "that's right",
    "correct",
];

const WEAK: &[&str] = &[
    "okay",
    "ok",
    "sure",
    "fine",
    "all right",
    "alright",
    "mhm",
    "mm hmm",
    "uh huh",
    "right",
    "i think so",
    "i guess",
    "i guess so",
    "maybe",
    "good",
];

const NO: &[&str] = &[
    "no",
    "nope",
    "nah",
    "don't",
    "don't do it",
    "don't do that",
    "do not",
    "do not do it",
    "do not do that",
    "please don't",
    "cancel",
    "cancel that",
    "cancel it",
    "stop",
    "stop it",
    "stop that",
    "never mind",
    "nevermind",
    "forget it",
    "forget that",
    "leave it",
    "keep it",
    "not now",
    "not yet",
    "wait",
    "hold on",
    "better not",
    "rather not",
    "absolutely not",
    "certainly not",
    "of course not",
    "i changed my mind",
    "i've changed my mind",
];

/// Code, yes, no: for voices of other languages.
const FOREIGN: &[(&str, &[&str], &[&str])] = &[
    (
        "de",
        &[
            "ja",
            "ja bitte",
            "ja mach das",
            "ja mach es",
            "mach das",
            "ja genau",
            "jawohl",
        ],
        &[
            "nein",
            "nein danke",
            "nein bitte nicht",
            "nicht",
            "lieber nicht",
            "stopp",
            "abbrechen",
        ],
    ),
    (
        "fr",
        &[
            "oui",
            "oui s'il te plaît",
            "oui s'il vous plaît",
            "vas y",
            "oui vas y",
            "allez y",
        ],
        &["non", "non merci", "surtout pas", "annule", "arrête"],
    ),
    (
        "es",
        &[
            "sí",
            "si",
            "sí por favor",
            "si por favor",
            "hazlo",
            "sí hazlo",
            "adelante",
        ],
        &["no", "no gracias", "mejor no", "cancela", "para"],
    ),
    (
        "it",
        &["sì", "si", "sì per favore", "fallo", "sì fallo", "procedi"],
        &["no", "no grazie", "meglio di no", "annulla", "ferma"],
    ),
    (
        "nl",
        &[
            "ja",
            "ja graag",
            "ja doe maar",
            "doe maar",
            "ja alsjeblieft",
        ],
        &["nee", "nee dank je", "liever niet", "niet doen", "stop"],
    ),
    (
        "pt",
        &["sim", "sim por favor", "pode", "faz isso", "sim faz isso"],
        &[
            "não",
            "não obrigado",
            "não obrigada",
            "melhor não",
            "cancela",
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTION: &str = "Delete the note called milk?";

    #[test]
    fn a_yes_is_a_whole_utterance_that_means_yes() {
        for words in [
            "Yes.",
            "Yeah!",
            "yes please",
            "Yes, do it.",
            "Yes, delete it.",
            "Yes, delete the note called milk.",
            "Go ahead.",
            "yes yes",
            "Okay, do it.",
            "Yes, I'm sure.",
        ] {
            assert_eq!(answer(words, QUESTION, "en"), Answer::Yes, "{words}");
        }
    }

    #[test]
    fn what_only_begins_like_a_yes_is_none() {
        for words in [
            "yes but not that one",
            "Yes, delete everything.",
            "yesterday",
            "yes I heard you said milk and bread",
            "and she said yes",
            "yes or no",
            "what does yes mean",
            "yes don't delete the note",
            "delete the note called milk",
            "Do you want me to delete it? Yes.",
            "",
            "the answer is yes",
            "yes, what time is it",
        ] {
            assert_eq!(answer(words, QUESTION, "en"), Answer::Other, "{words}");
        }
        let tricky = "Send the message yes but not now to everything?";
        assert_eq!(answer("yes but not", tricky, "en"), Answer::Other);
        assert_eq!(answer("yes everything", tricky, "en"), Answer::Other);
    }

    #[test]
    fn no_is_no_and_a_murmur_is_weak() {
        for words in [
            "No.",
            "no thanks",
            "No, don't.",
            "never mind",
            "stop",
            "No, please stop it!",
        ] {
            assert_eq!(answer(words, QUESTION, "en"), Answer::No, "{words}");
        }
        for words in ["Okay.", "sure", "Mhm."] {
            assert_eq!(answer(words, QUESTION, "en"), Answer::Weak, "{words}");
        }
    }

    #[test]
    fn another_languages_yes_counts_in_that_language_only() {
        assert_eq!(answer("Ja, bitte.", QUESTION, "de"), Answer::Yes);
        assert_eq!(answer("Ja, bitte.", QUESTION, "en"), Answer::Other);
        assert_eq!(answer("Non.", QUESTION, "fr"), Answer::No);
        assert_eq!(answer("Sí.", QUESTION, "es"), Answer::Yes);
        assert_eq!(answer("yes", QUESTION, "de"), Answer::Yes);
    }
}
