//! Plain text to words: token by token, what an engine would stumble over is said another way.
//!
//! Core. The order of the rules in [`token`] matters: a date is looked for before a range, a range before a sign.

use unicode_properties::UnicodeEmoji;
use unicode_segmentation::UnicodeSegmentation;

use super::figures;
use super::symbols;

/// The words of `text`, emoji and leftover markup removed.
pub(super) fn normalise(text: &str) -> String {
    let text = characters(text);
    let tokens: Vec<&str> = text.split_whitespace().collect();
    let mut said: Vec<String> = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        let before = at.checked_sub(1).map(|i| tokens[i]);
        let after = tokens.get(at + 1).copied();
        let (words, taken) = token(tokens[at], before, after);
        at += taken;
        attach(scrub(&words), &mut said);
    }
    said.join(" ")
}

/// The text without emoji and leftover markup, its figures as they are.
pub(super) fn cleaned(text: &str) -> String {
    scrub(&characters(text))
}

/// Adds a token; punctuation alone goes to the word before it.
fn attach(words: String, said: &mut Vec<String>) {
    if words.is_empty() {
        return;
    }
    if words.contains(char::is_alphanumeric) {
        said.push(words);
    } else if let Some(last) = said.last_mut()
        && last.ends_with(|c: char| c.is_alphanumeric())
        && let Some(mark) = words
            .chars()
            .find(|c| matches!(c, ',' | '.' | '!' | '?' | ':' | ';'))
    {
        last.push(mark);
    }
}

/// Drops emoji and quotation marks and unifies the many forms of blanks, dashes and apostrophes.
fn characters(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for grapheme in text.graphemes(true) {
        let first = grapheme.chars().next().unwrap_or(' ');
        if is_emoji(grapheme) {
            // A keycap is a digit with a frame; a removed emoji leaves a gap, or two words would become one.
            out.push(if first.is_ascii_digit() { first } else { ' ' });
            continue;
        }
        match first {
            '“' | '”' | '„' | '«' | '»' | '"' | '\u{200b}' | '\u{feff}' | '\u{ad}' => {}
            '’' | '‘' => out.push('\''),
            '—' => out.push_str(", "),
            '…' => out.push_str("..."),
            '•' | '·' => out.push_str(", "),
            '−' | '‑' => out.push('-'),
            '\t' | '\u{a0}' | '\u{202f}' | '\u{2009}' => out.push(' '),
            _ => out.push_str(grapheme),
        }
    }
    out
}

fn is_emoji(grapheme: &str) -> bool {
    let keycap = grapheme.contains('\u{20e3}');
    keycap
        || grapheme.chars().any(|c| {
            let plain = c.is_ascii() || matches!(c, '©' | '®' | '™' | '↔' | '‼' | '⁉' | 'ℹ');
            let pictograph =
                matches!(u32::from(c), 0x2600..=0x27BF | 0x1F000..=0x1FAFF | 0x2B00..=0x2BFF);
            !plain && (c.is_emoji_char() || pictograph)
        }) && !grapheme.starts_with(['→', '←', '↑', '↓'])
}

/// What is said for `token`, and how many tokens that used up.
fn token(token: &str, before: Option<&str>, after: Option<&str>) -> (String, usize) {
    if let Some(words) = symbols::alone(token, before, after) {
        return (words, 1);
    }
    let (core, close) = split(token);
    if let Some(words) = web(core) {
        return (format!("{words}{close}"), 1);
    }
    if let Some((words, taken)) = figures::with_next(core, close, after) {
        return (words, taken);
    }
    if let Some(words) = figures::unit_after_number(core, before) {
        return (format!("{words}{close}"), 1);
    }
    if let Some(words) = abbreviation(core, close) {
        return (words, 1);
    }
    if let Some(words) = figures::figure(core).or_else(|| symbols::within(core)) {
        return (format!("{words}{close}"), 1);
    }
    (format!("{core}{close}"), 1)
}

/// Opening marks that are said as nothing are dropped; the rest of the token and its closing punctuation.
fn split(token: &str) -> (&str, &str) {
    let core = token.trim_start_matches(['(', '[', '{', '\'', '*', '_', '`']);
    let end = core.trim_end_matches([
        '.', ',', ';', ':', '!', '?', ')', ']', '}', '\'', '*', '_', '`',
    ]);
    let close = &core[end.len()..];
    // C++ and f() keep nothing of their brackets; of "word)." the stop is kept.
    let close = match close.find(['.', ',', ';', ':', '!', '?']) {
        Some(at) if close[at..].starts_with("...") => "...",
        Some(at) => &close[at..=at],
        None => "",
    };
    (end, close)
}

/// An address: the host is said, never the path.
fn web(core: &str) -> Option<String> {
    let address = core.split_once("://").map(|(scheme, rest)| {
        scheme
            .bytes()
            .all(|b| b.is_ascii_alphabetic())
            .then_some(rest)
    });
    let host = match address {
        Some(rest) => rest?.split(['/', '?', '#', ':']).next()?,
        None if core.starts_with("www.") => core.split(['/', '?', '#']).next()?,
        None if is_email(core) => return Some(core.replace('@', " at ").replace('.', " dot ")),
        None => {
            let host = core.split(['/', '?', '#']).next()?;
            let (name, ending) = host.rsplit_once('.')?;
            let known = DOMAINS.contains(&ending) && name.len() > 1;
            let clean = name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'));
            if !(known && clean) {
                return None;
            }
            host
        }
    };
    let host = host.rsplit('@').next()?.trim_start_matches("www.");
    let speakable = host.contains(|c: char| c.is_ascii_alphabetic()) && host.len() <= 40;
    Some(if speakable {
        host.replace('.', " dot ")
    } else {
        "a link".to_owned()
    })
}

fn is_email(core: &str) -> bool {
    core.split_once('@').is_some_and(|(user, host)| {
        !user.is_empty() && host.contains('.') && !host.contains(['@', '/'])
    })
}

fn abbreviation(core: &str, close: &str) -> Option<String> {
    if !close.starts_with('.') {
        return None;
    }
    let words = match core.to_lowercase().as_str() {
        "e.g" => "for example",
        "i.e" => "that is",
        "vs" => "versus",
        "approx" => "approximately",
        "etc" => return Some(format!("et cetera{}", &close[1..])),
        _ => return None,
    };
    Some(words.to_owned())
}

/// Removes what is left of markup and separates the parts of names in code.
fn scrub(words: &str) -> String {
    let out: String = words
        .chars()
        .filter_map(|c| match c {
            '*' | '`' | '~' | '#' | '\\' | '{' | '}' | '[' | ']' | '^' | '©' | '®' | '™' | '('
            | ')' | '<' | '>' => None,
            '_' | '|' => Some(' '),
            _ => Some(c),
        })
        .collect();
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Endings by which a bare host is recognised.
const DOMAINS: &[&str] = &[
    "com", "org", "net", "edu", "gov", "dev", "app", "uk", "de", "eu", "fr", "co", "info", "ai",
];
