//! Finds secrets in text before it is written: card and account numbers, keys, tokens, passwords, PINs.
//!
//! Called on the store thread for every turn unless `transcripts.redact` is off. Prefers a word too many over a secret
//! kept, but leaves what people say every day: telephone numbers, dates, sums, "the password is wrong".

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

/// A secret within a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// Its bytes.
    pub place: Range<usize>,
    /// What it is, for the mark that is left in its place.
    pub kind: &'static str,
}

impl Secret {
    /// The part of it that lies before `end`, where any does.
    #[must_use]
    pub fn clipped(&self, end: usize) -> Option<Self> {
        (self.place.start < end).then(|| Self {
            place: self.place.start..self.place.end.min(end),
            kind: self.kind,
        })
    }
}

/// The secrets in `text`, in order and without overlap.
#[must_use]
pub fn secrets(text: &str) -> Vec<Secret> {
    let mut found = Vec::new();
    for shape in shapes() {
        for captures in shape.pattern.captures_iter(text) {
            let whole = captures.get(0).map(|whole| whole.range());
            let secret = captures
                .name("secret")
                .map(|secret| secret.range())
                .or(whole);
            let Some(place) = secret else { continue };
            let (start, before) = (place.start, &text[..place.start]);
            if let Some(part) = (shape.judge)(&text[place], before) {
                found.push(Secret {
                    place: start + part.start..start + part.end,
                    kind: shape.kind,
                });
            }
        }
    }
    merged(found)
}

/// `text` with each of `secrets` replaced by a mark that says what was there.
#[must_use]
pub fn blot(text: &str, secrets: &[Secret]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for secret in secrets {
        out.push_str(&text[from..secret.place.start]);
        out.push_str(&format!("[{} removed]", secret.kind));
        from = secret.place.end;
    }
    out.push_str(&text[from..]);
    out
}

/// Overlapping finds become one, under the name of the first.
fn merged(mut found: Vec<Secret>) -> Vec<Secret> {
    found.sort_by_key(|secret| (secret.place.start, std::cmp::Reverse(secret.place.end)));
    let mut merged: Vec<Secret> = Vec::new();
    for secret in found {
        match merged.last_mut() {
            Some(last) if secret.place.start < last.place.end => {
                last.place.end = last.place.end.max(secret.place.end);
            }
            _ => merged.push(secret),
        }
    }
    merged
}

/// What one kind of secret looks like.
struct Shape {
    kind: &'static str,
    pattern: Regex,
    judge: Judge,
}

/// The part of a match that is a secret, given what stands before the match.
type Judge = fn(found: &str, before: &str) -> Option<Range<usize>>;

/// All shapes, compiled once.
fn shapes() -> &'static [Shape] {
    static SHAPES: LazyLock<Vec<Shape>> = LazyLock::new(|| {
        let always: Judge = |found, _| Some(0..found.len());
        let shape = |kind, pattern: &str, judge| Shape {
            kind,
            pattern: Regex::new(pattern)
                .expect("a constant pattern; every test of this module compiles it"),
            judge,
        };
        vec![
            shape(
                "private key",
                r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)",
                always,
            ),
            shape("token", KNOWN_TOKENS, always),
            shape(
                "token",
                r"(?i)\bbearer\s+(?P<secret>[a-z0-9._~+/=-]{16,})",
                always,
            ),
            shape(
                "password",
                r"(?i)\b[a-z][a-z0-9+.-]*://[^\s/@:]+:(?P<secret>[^\s/@]+)@",
                always,
            ),
            shape("password", SAID_PASSWORD, said_password),
            shape("key", SAID_KEY, said_key),
            shape("PIN", SAID_PIN, always),
            shape("card number", r"\b\d(?:[ -]?\d){11,}\b", card),
            shape("card number", SPELLED_DIGITS, spelled_card),
            shape(
                "account number",
                r"(?i)\b[a-z]{2}\d{2}(?: ?[a-z0-9]){11,30}\b",
                iban,
            ),
        ]
    });
    &SHAPES
}

/// Tokens that carry their own mark: of code hosts, clouds, chat and payment services, package registries, and JSON web
/// tokens. The prefixes are published by those who issue them, for this purpose.
const KNOWN_TOKENS: &str = r"(?x)
    \b(?:sk|pk|rk)[-_](?:[A-Za-z0-9]+[-_])*[A-Za-z0-9_-]{16,}
    | \bgh[opsur]_[A-Za-z0-9]{30,}
    | \bgithub_pat_[A-Za-z0-9_]{30,}
    | \bglpat-[A-Za-z0-9_-]{20,}
    | \bxox[abeoprs]-[A-Za-z0-9-]{10,}
    | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b
    | \bAIza[A-Za-z0-9_-]{35}
    | \bya29\.[A-Za-z0-9_-]{20,}
    | \bhf_[A-Za-z0-9]{20,}
    | \bnpm_[A-Za-z0-9]{30,}
    | \bpypi-[A-Za-z0-9_-]{40,}
    | \beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*";

/// "password is …" up to the end of the clause.
const SAID_PASSWORD: &str = r"(?i)\b(?:password|passphrase|passcode|passwort|kennwort|mot de passe|contraseña)s?\b(?: (?:for|to|of|für)(?: [^\s,.;:!?]+){1,4}?)?\s*(?:(?:is now|is called|is set to|is|ist|lautet|est|es)\b|=|:)\s*[:=]?\s*(?P<secret>(?:[^\s,;.!?]|[.,;!?]\S)(?:[^.,;!?\n]|[.,;!?]\S)*)";

/// "api key is …", "token: …": one word that looks like one.
const SAID_KEY: &str = r"(?i)\b(?:api[ -]?key|access[ -]?key|secret[ -]?key|license key|secret|token)s?\b\s*(?:is|=|:)\s*(?P<secret>[^\s,;]{8,})";

/// "pin is 1234", "security code: 123".
const SAID_PIN: &str = r"(?i)\b(?:pin|pin code|pin number|cvv|cvc|security code|one[- ]time code|verification code|unlock code|geheimzahl)\b\s*(?:is now|is|=|:|ist|lautet|number is)?\s*(?P<secret>\d(?:[ -]?\d){2,9})\b";

/// Twelve and more digits as words, as they are read aloud.
const SPELLED_DIGITS: &str = r"(?i)\b(?:zero|oh|one|two|three|four|five|six|seven|eight|nine)(?:[ ,-]+(?:zero|oh|one|two|three|four|five|six|seven|eight|nine)){11,18}\b";

/// Words after "the password is" that speak about it instead of telling it, where the clause ends or goes on like speech.
const ABOUT: &[&str] = &[
    "required",
    "wrong",
    "incorrect",
    "correct",
    "expired",
    "invalid",
    "valid",
    "missing",
    "needed",
    "optional",
    "weak",
    "strong",
    "empty",
    "stored",
    "saved",
    "hidden",
    "protected",
    "encrypted",
    "hashed",
    "changed",
    "reset",
    "secure",
    "safe",
    "unknown",
    "private",
    "case-sensitive",
    "used",
    "mandatory",
    "falsch",
    "richtig",
    "nötig",
];

/// Words after which "the password is" tells nothing in any case.
const NEVER: &[&str] = &[
    "not", "too", "also", "always", "never", "no", "being", "nicht", "zu",
];

/// Words that may follow one of [`ABOUT`].
const GOES_ON: &[&str] = &[
    "for", "and", "but", "or", "because", "so", "when", "if", "to", "in", "on", "by", "at",
    "please", "now", "again", "enough", "the", "a", "here", "there", "every", "after", "before",
    "with", "und", "aber",
];

fn said_password(found: &str, _: &str) -> Option<Range<usize>> {
    let mut words = found.split_whitespace().map(str::to_lowercase);
    let first = words.next()?;
    let mut goes_on = || {
        words
            .next()
            .is_none_or(|next| GOES_ON.contains(&next.as_str()))
    };
    let spoken_of =
        NEVER.contains(&first.as_str()) || (ABOUT.contains(&first.as_str()) && goes_on());
    (!spoken_of).then_some(0..found.len())
}

/// A key has digits among its letters, or is too long for a word.
fn said_key(found: &str, _: &str) -> Option<Range<usize>> {
    let digit = found.bytes().any(|byte| byte.is_ascii_digit());
    let letter = found.bytes().any(|byte| byte.is_ascii_alphabetic());
    ((digit && letter) || found.len() >= 24).then_some(0..found.len())
}

/// A number that an issuer could have given (its first digits and its length) and whose check digit is right. A leading
/// plus makes it a telephone number. Other numbers may stand before and after it, so each run of groups is tried, the
/// longest first.
fn card(found: &str, before: &str) -> Option<Range<usize>> {
    if before.trim_end().ends_with('+') {
        return None;
    }
    let is_separator = |byte: &u8| !byte.is_ascii_digit();
    let bytes = found.as_bytes();
    let starts: Vec<usize> = (0..bytes.len())
        .filter(|at| *at == 0 || is_separator(&bytes[at - 1]))
        .collect();
    let ends: Vec<usize> = (1..=bytes.len())
        .filter(|at| *at == bytes.len() || is_separator(&bytes[*at]))
        .collect();
    let mut runs: Vec<Range<usize>> = starts
        .iter()
        .flat_map(|start| ends.iter().map(move |end| *start..*end))
        .filter(|run| (LEAST_DIGITS..=MOST_BYTES).contains(&run.len()))
        .collect();
    runs.sort_by_key(|run| std::cmp::Reverse(run.len()));
    runs.into_iter().find(|run| {
        let digits = bytes[run.clone()]
            .iter()
            .filter(|byte| byte.is_ascii_digit());
        let digits: Vec<u8> = digits.map(|byte| byte - b'0').collect();
        is_issued(&digits) && luhn(&digits)
    })
}

/// The shortest card number, and the longest with a separator after each digit.
const LEAST_DIGITS: usize = 12;
const MOST_BYTES: usize = 37;

fn spelled_card(found: &str, _: &str) -> Option<Range<usize>> {
    let words = found.split([' ', ',', '-']).filter(|word| !word.is_empty());
    let digits: Vec<u8> = words
        .map(|word| match word.to_lowercase().as_str() {
            "one" => 1,
            "two" => 2,
            "three" => 3,
            "four" => 4,
            "five" => 5,
            "six" => 6,
            "seven" => 7,
            "eight" => 8,
            "nine" => 9,
            _ => 0,
        })
        .collect();
    (is_issued(&digits) && luhn(&digits)).then_some(0..found.len())
}

/// Whether the first digits and the length belong to a card scheme (ISO/IEC 7812 ranges as the schemes publish them).
fn is_issued(digits: &[u8]) -> bool {
    let head = |places: usize| {
        digits
            .iter()
            .take(places)
            .fold(0_u32, |number, digit| number * 10 + u32::from(*digit))
    };
    let length = digits.len();
    match (head(1), head(2), head(4)) {
        (4, ..) => matches!(length, 13 | 16 | 19),
        (_, 51..=55, _) | (_, _, 2_221..=2_720) => length == 16,
        (_, 34 | 37, _) => length == 15,
        (_, 30 | 36 | 38 | 39, _) => (14..=19).contains(&length),
        (_, 35 | 60 | 62 | 64 | 65 | 81, _) => (16..=19).contains(&length),
        (_, 50 | 56..=59 | 61 | 63 | 66..=69, _) => (12..=19).contains(&length),
        _ => false,
    }
}

/// The check digit of cards (ISO/IEC 7812-1, annex B).
fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let digit = u32::from(*digit);
            match (place % 2, digit * 2) {
                (0, _) => digit,
                (_, double) => double / 10 + double % 10,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// The check of account numbers (ISO 13616: the rearranged number is 1 modulo 97).
fn iban(found: &str, _: &str) -> Option<Range<usize>> {
    // Words may follow it; the longest run of groups that is one wins.
    let bytes = found.as_bytes();
    let ends = (1..=bytes.len())
        .rev()
        .filter(|at| *at == bytes.len() || bytes[*at] == b' ');
    ends.into_iter()
        .find(|end| is_iban(&bytes[..*end]))
        .map(|end| 0..end)
}

fn is_iban(written: &[u8]) -> bool {
    let letters = written.iter().filter(|byte| byte.is_ascii_alphanumeric());
    let plain: Vec<u8> = letters.copied().collect();
    if !(15..=34).contains(&plain.len()) {
        return false;
    }
    let rearranged = plain[4..].iter().chain(&plain[..4]);
    let remainder = rearranged.fold(0_u32, |remainder, byte| match byte {
        b'0'..=b'9' => (remainder * 10 + u32::from(byte - b'0')) % 97,
        letter => (remainder * 100 + u32::from(letter.to_ascii_uppercase() - b'A') + 10) % 97,
    });
    remainder == 1
}
