//! Where a clause of prose may end.
//!
//! Core. Called by the splitter from left to right; it may look any distance back, and ahead only to the next character
//! that is not a blank. Without that character it answers [`Boundary::Undecided`], which is what makes the cuts independent
//! of how the text arrived.

/// The verdict on one position.
pub(super) enum Boundary {
    /// A clause ends at this byte.
    Here(usize),
    /// More text is needed to tell.
    Undecided,
    /// None here; go on at byte `next`.
    Not {
        /// Where.
        next: usize,
    },
}

/// What follows a position, as far as it matters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ahead {
    /// Nothing has come yet.
    Unknown,
    /// The text ends, or the line does.
    End,
    /// Blanks, then this character.
    Next(char),
    /// A character follows at once.
    Joined,
}

/// Judges the character at byte `at`. Before the first clause has `begun` to be spoken, a comma is enough.
pub(super) fn boundary(text: &str, at: usize, begun: bool, ended: bool) -> Boundary {
    let c = text[at..].chars().next().expect("at lies before the end");
    let next = at + c.len_utf8();
    match c {
        '\n' => line_end(text, at, ended),
        '.' | '!' | '?' | '…' | '。' | '！' | '？' => sentence_end(text, at, ended),
        ',' | ';' | ':' | '—' | '–' | '-' | '，' | '；' => {
            let early = !begun && words_before(text, at) >= FIRST_CLAUSE_WORDS;
            if early || at >= LONG_BYTES {
                pause(text, at, c, ended)
            } else {
                Boundary::Not { next }
            }
        }
        _ if c.is_whitespace() && at >= LONGEST_BYTES => Boundary::Here(at),
        _ => Boundary::Not { next },
    }
}

fn line_end(text: &str, at: usize, ended: bool) -> Boundary {
    let before = &text[..at];
    let next = at + 1;
    if before.trim().is_empty() {
        return Boundary::Not { next };
    }
    let line = before.rsplit('\n').next().unwrap_or_default();
    let last = line.trim_end().trim_end_matches(is_closer).chars().last();
    if is_block_line(line) || matches!(last, Some('.' | '!' | '?' | '…' | ':')) {
        return Boundary::Here(next);
    }
    match text[next..].trim_start_matches([' ', '\t']).chars().next() {
        None if ended => Boundary::Not { next },
        None => Boundary::Undecided,
        Some('\n' | '#' | '>' | '|' | '-' | '*' | '+' | '•' | '`' | '~' | '$' | '0'..='9') => {
            Boundary::Here(next)
        }
        Some(_) => Boundary::Not { next },
    }
}

fn sentence_end(text: &str, at: usize, ended: bool) -> Boundary {
    let run_end = at + prefix_len(&text[at..], is_terminal);
    let end = run_end + prefix_len(&text[run_end..], is_closer);
    let run = &text[at..run_end];
    let not = Boundary::Not { next: end };
    let ahead = ahead(text, end, ended);
    if ahead == Ahead::Unknown && end == text.len() {
        return Boundary::Undecided;
    }
    if run.contains(['。', '！', '？']) {
        return Boundary::Here(end);
    }
    if ahead == Ahead::Joined || inside_span(&text[..end]) {
        return not;
    }
    let word = last_word(&text[..at]);
    if run == "." && opens_line(text, at, word) && is_list_number(word) {
        return not;
    }
    let lower_follows = match ahead {
        Ahead::End => return Boundary::Here(end),
        // A question mark ends a sentence whatever follows, unless it was a quotation's.
        Ahead::Unknown | Ahead::Next(_) if run.contains(['!', '?']) && end == run_end => {
            return Boundary::Here(end);
        }
        Ahead::Unknown => return Boundary::Undecided,
        Ahead::Next(c) => c.is_lowercase(),
        Ahead::Joined => true,
    };
    if lower_follows || (run == "." && is_abbreviation(word, ahead)) {
        return not;
    }
    Boundary::Here(end)
}

/// A comma, semicolon, colon or dash.
fn pause(text: &str, at: usize, c: char, ended: bool) -> Boundary {
    let end = at + c.len_utf8();
    let not = Boundary::Not { next: end };
    let line = text[..at].rsplit('\n').next().unwrap_or_default();
    if inside_span(&text[..at]) || line.trim_start().starts_with(['|', '#']) {
        return not;
    }
    let blank_before = text[..at].ends_with(char::is_whitespace);
    match c {
        '—' | '，' | '；' => return Boundary::Here(end),
        '–' | '-' if !blank_before => return not,
        _ => {}
    }
    let digit_before = text[..at].ends_with(|c: char| c.is_ascii_digit());
    match ahead(text, end, ended) {
        Ahead::Joined => not,
        Ahead::Unknown if end == text.len() || digit_before => Boundary::Undecided,
        // A date or a list of numbers: "March 3, 2025".
        Ahead::Next(next) if digit_before && next.is_ascii_digit() => not,
        Ahead::Unknown | Ahead::End | Ahead::Next(_) => Boundary::Here(end),
    }
}

fn ahead(text: &str, end: usize, ended: bool) -> Ahead {
    let rest = &text[end..];
    let blank = prefix_len(rest, char::is_whitespace);
    if rest[..blank].contains('\n') {
        return Ahead::End;
    }
    match rest[blank..].chars().next() {
        None if ended => Ahead::End,
        None => Ahead::Unknown,
        Some(_) if blank == 0 => Ahead::Joined,
        Some(_) => match rest[blank..].chars().find(|c| !is_opener(*c)) {
            Some(c) => Ahead::Next(c),
            None if ended => Ahead::End,
            None => Ahead::Unknown,
        },
    }
}

/// Inside a code span or the text of a link, where a cut would tear the markup.
fn inside_span(before: &str) -> bool {
    let line = before.rsplit('\n').next().unwrap_or_default();
    let in_code = line.matches('`').count() % 2 == 1;
    let in_link = match (line.rfind('['), line.rfind(']')) {
        (Some(open), Some(close)) => open > close,
        (Some(_), None) => true,
        _ => false,
    };
    in_code || in_link
}

fn is_block_line(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with(['#', '>', '|', '•'])
        || ["- ", "* ", "+ "].iter().any(|mark| line.starts_with(mark))
        || line
            .split_once(['.', ')'])
            .is_some_and(|(number, rest)| is_list_number(number) && rest.starts_with(' '))
}

fn is_list_number(word: &str) -> bool {
    (1..=3).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_digit())
}

fn last_word(before: &str) -> &str {
    before
        .rsplit(|c: char| c.is_whitespace() || matches!(c, '(' | '[' | '"' | '“' | '*' | '_' | '—'))
        .next()
        .unwrap_or_default()
}

/// Whether `word`, which ends at `at`, is the first of its line.
fn opens_line(text: &str, at: usize, word: &str) -> bool {
    let line = text[..at].rsplit('\n').next().unwrap_or_default();
    let before = &line[..line.len() - word.len()];
    before
        .chars()
        .all(|c| c.is_whitespace() || matches!(c, '*' | '_' | '>'))
}

fn is_abbreviation(word: &str, ahead: Ahead) -> bool {
    let initial =
        word.len() == 1 && word != "I" && word.starts_with(|c: char| c.is_ascii_uppercase());
    let acronym = word.contains('.') && word.split('.').all(|part| part.chars().count() == 1);
    let lower = word.to_lowercase();
    if matches!(lower.as_str(), "a.m" | "p.m") {
        return false;
    }
    let before_digit = matches!(ahead, Ahead::Next(c) if c.is_ascii_digit());
    initial
        || acronym
        || ABBREVIATIONS.contains(&lower.as_str())
        || (before_digit && BEFORE_NUMBERS.contains(&lower.as_str()))
}

fn words_before(text: &str, at: usize) -> usize {
    text[..at]
        .split_whitespace()
        .filter(|word| word.contains(char::is_alphanumeric))
        .count()
}

fn prefix_len(text: &str, test: impl Fn(char) -> bool) -> usize {
    text.find(|c| !test(c)).unwrap_or(text.len())
}

fn is_terminal(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | '…' | '。' | '！' | '？')
}

fn is_closer(c: char) -> bool {
    matches!(
        c,
        '"' | '\'' | '”' | '’' | '»' | ')' | ']' | '}' | '*' | '_' | '`'
    )
}

fn is_opener(c: char) -> bool {
    matches!(c, '"' | '\'' | '“' | '‘' | '«' | '(' | '[' | '*' | '_')
}

/// Words before a comma from which the first clause may end there: fewer sound clipped.
const FIRST_CLAUSE_WORDS: usize = 3;

/// From this length on a clause ends at the next comma, about ten seconds of speech.
const LONG_BYTES: usize = 160;

/// From this length on it ends at the next blank.
const LONGEST_BYTES: usize = 300;

/// Never the end of a sentence.
const ABBREVIATIONS: &[&str] = &[
    "mr", "mrs", "ms", "dr", "prof", "st", "vs", "approx", "jr", "sr", "rev", "gen", "col", "lt",
    "sgt", "capt", "gov", "sen", "rep", "hon", "mt", "ca", "cf", "al", "viz",
];

/// Not the end of a sentence when a number follows.
const BEFORE_NUMBERS: &[&str] = &[
    "no", "nos", "fig", "figs", "vol", "ch", "chap", "sec", "p", "pp", "eq", "art", "jan", "feb",
    "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec",
];
