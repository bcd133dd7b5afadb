//! Signs to words: alone between blanks, or inside a token.
//!
//! Core.

/// A token that is one sign.
pub(super) fn alone(token: &str, before: Option<&str>, after: Option<&str>) -> Option<String> {
    let starts_with_digit = |word: &str| {
        word.trim_start_matches(['-', '$', '€', '£', '(', '√'])
            .starts_with(|c: char| c.is_ascii_digit())
    };
    let between_numbers = before
        .is_some_and(|word| word.ends_with(|c: char| c.is_ascii_digit() || c == ')'))
        && after.is_some_and(starts_with_digit);
    let words = match token {
        "&" => "and",
        "+" => "plus",
        "=" | "==" => "equals",
        "×" => "times",
        "*" | "x" if between_numbers => "times",
        "÷" => "divided by",
        "/" if between_numbers => "divided by",
        "/" => "or",
        "-" | "–" if between_numbers => "minus",
        "-" | "–" | "--" => ",",
        "<" => "is less than",
        ">" => "is greater than",
        "≤" | "<=" => "is at most",
        "≥" | ">=" => "is at least",
        "≠" | "!=" => "is not equal to",
        "≈" | "~" => "about",
        "±" => "plus or minus",
        "%" => "percent",
        "@" => "at",
        "→" | "->" | "=>" | "⇒" => "to",
        "€" => "euros",
        "$" => "dollars",
        "£" => "pounds",
        "°C" | "℃" => "degrees Celsius",
        "°F" | "℉" => "degrees Fahrenheit",
        "°" => "degrees",
        "§" => "section",
        _ => return None,
    };
    Some(words.to_owned())
}

/// A token with signs in it that is not a figure.
pub(super) fn within(core: &str) -> Option<String> {
    let known = match core {
        "C#" => Some("C sharp"),
        "F#" => Some("F sharp"),
        "C++" => Some("C plus plus"),
        "and/or" => Some("and or"),
        "w/o" => Some("without"),
        "n/a" | "N/A" => Some("not applicable"),
        _ => None,
    };
    if let Some(words) = known {
        return Some(words.to_owned());
    }
    if let Some(name) = core.strip_prefix('#')
        && name.starts_with(char::is_alphabetic)
    {
        return Some(name.to_owned());
    }
    if core.starts_with('/') || core.starts_with("~/") {
        let path = core.trim_start_matches('~').trim_matches('/');
        return path
            .contains(char::is_alphanumeric)
            .then(|| path.replace('/', " slash "));
    }
    let mut out = core.to_owned();
    for (sign, words) in SIGNS {
        if out.contains(*sign) {
            out = out.replace(*sign, words);
        }
    }
    (out != core).then(|| out.trim().to_owned())
}

const SIGNS: &[(char, &str)] = &[
    ('&', " and "),
    ('/', " "),
    ('=', " equals "),
    ('+', " plus "),
    ('→', " to "),
    ('×', " times "),
    ('÷', " divided by "),
    ('≈', " about "),
    ('²', " squared"),
    ('³', " cubed"),
    ('½', " one half"),
    ('¼', " one quarter"),
    ('¾', " three quarters"),
    ('%', " percent"),
    ('°', " degrees"),
    ('–', ", "),
    ('@', " at "),
    ('€', " euros "),
    ('£', " pounds "),
    ('§', " section "),
    ('√', " the square root of "),
    ('π', " pi "),
];
