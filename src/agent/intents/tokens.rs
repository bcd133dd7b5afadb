//! An utterance as words in a common form.
//!
//! Pure. Lower case, no punctuation but what belongs to numbers and sums; contractions written out; a figure is one word
//! ("1,000.5" becomes `1000.5`, "7:30" stays), a sign is a word of its own.

/// The words of `text`.
pub(super) fn tokens(text: &str) -> Vec<String> {
    let text = text.to_lowercase().replace(['’', '‘'], "'");
    let mut words = Vec::new();
    let chars: Vec<char> = text.chars().collect();
    let mut at = 0;
    while at < chars.len() {
        let c = chars[at];
        if c.is_ascii_digit() {
            let end = figure_end(&chars, at);
            words.push(chars[at..end].iter().filter(|c| **c != ',').collect());
            at = end;
        } else if c.is_alphabetic() {
            let end = word_end(&chars, at);
            words.extend(written_out(&chars[at..end].iter().collect::<String>()));
            at = end;
        } else {
            let sign = sign(&chars, at);
            words.extend(sign.map(str::to_owned));
            at += 1;
        }
    }
    words
}

fn figure_end(chars: &[char], start: usize) -> usize {
    let digit = |at: usize| chars.get(at).is_some_and(char::is_ascii_digit);
    let mut end = start;
    while digit(end) || (matches!(chars.get(end), Some('.' | ',' | ':')) && digit(end + 1)) {
        end += 1;
    }
    end
}

fn word_end(chars: &[char], start: usize) -> usize {
    let letter = |at: usize| chars.get(at).is_some_and(|c| c.is_alphabetic());
    let mut end = start;
    while letter(end) || (matches!(chars.get(end), Some('\'' | '.')) && letter(end + 1)) {
        end += 1;
    }
    end
}

/// The sign at `at` if it has a meaning in a sum; a hyphen has one only before a figure that is not part of a word.
fn sign(chars: &[char], at: usize) -> Option<&'static str> {
    let joined = at > 0 && chars[at - 1].is_alphabetic();
    let spaced = chars.get(at + 1).is_none_or(|c| c.is_whitespace());
    Some(match chars[at] {
        '+' => "+",
        '−' | '–' => "-",
        '-' if joined || (spaced && at == 0) => return None,
        '-' if chars.get(at + 1).is_some_and(|c| c.is_alphabetic()) => return None,
        '-' => "-",
        '*' | '×' => "*",
        '/' | '÷' => "/",
        '^' => "^",
        '=' => "=",
        '%' => "percent",
        '(' => "(",
        ')' => ")",
        '√' => "√",
        '.' if chars.get(at + 1).is_some_and(char::is_ascii_digit) => "point",
        _ => return None,
    })
}

fn written_out(word: &str) -> Vec<String> {
    let word = word.replace('.', "");
    let parts: &[&str] = match word.as_str() {
        "what's" | "whats" => &["what", "is"],
        "it's" => &["it", "is"],
        "that's" | "thats" => &["that", "is"],
        "today's" | "todays" => &["today", "is"],
        "tomorrow's" | "tomorrows" => &["tomorrow", "is"],
        "yesterday's" | "yesterdays" => &["yesterday", "is"],
        "how's" => &["how", "is"],
        "who's" => &["who", "is"],
        "i'm" => &["i", "am"],
        "i'd" => &["i", "would"],
        "you're" => &["you", "are"],
        "don't" | "dont" => &["do", "not"],
        "let's" => &["let", "us"],
        "nevermind" => &["never", "mind"],
        "ok" => &["okay"],
        "mins" | "min" => &["minutes"],
        "secs" | "sec" => &["seconds"],
        "hrs" | "hr" => &["hours"],
        _ => return vec![word],
    };
    parts.iter().map(|part| (*part).to_owned()).collect()
}

/// The words without the address and the courtesies around a request.
pub(super) fn without_courtesy<'a, 'w>(mut words: &'a [&'w str]) -> &'a [&'w str] {
    loop {
        let before = words.len();
        for opening in OPENINGS {
            // A greeting alone is not an opening.
            if words.len() > opening.len() && words.starts_with(opening) {
                words = &words[opening.len()..];
            }
        }
        for closing in CLOSINGS {
            if words.len() > closing.len() && words.ends_with(closing) {
                words = &words[..words.len() - closing.len()];
            }
        }
        if words.len() == before {
            return words;
        }
    }
}

const OPENINGS: &[&[&str]] = &[
    &["hey", "hark"],
    &["okay", "hark"],
    &["hark"],
    &["please"],
    &["um"],
    &["uh"],
    &["so"],
    &["okay"],
    &["could", "you"],
    &["can", "you"],
    &["would", "you"],
    &["will", "you"],
    &["i", "would", "like", "you", "to"],
    &["i", "want", "you", "to"],
    &["let", "us"],
];

const CLOSINGS: &[&[&str]] = &[
    &["please"],
    &["for", "me"],
    &["hark"],
    &["now"],
    &["thank", "you"],
    &["thanks"],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_signs_and_contractions_become_words() {
        for (text, words) in [
            ("What's 12 + 30?", "what is 12 + 30"),
            ("1,000.5 - 3", "1000.5 - 3"),
            ("a twenty-five-minute timer", "a twenty five minute timer"),
            ("a 5-minute timer.", "a 5 minute timer"),
            ("20% of 50", "20 percent of 50"),
            ("5-3", "5 - 3"),
            ("at 7:30 a.m.", "at 7:30 am"),
            (".5 times 4", "point 5 times 4"),
        ] {
            assert_eq!(tokens(text).join(" "), words, "{text}");
        }
    }
}
