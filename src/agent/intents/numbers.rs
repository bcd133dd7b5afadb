//! Numbers in words and figures, read and said.
//!
//! Pure. Reading takes the longest number at the start of a list of words and tells how many words that was.

/// A number and the words it took.
pub(super) type Read = (f64, usize);

/// The number that `words` start with.
pub(super) fn number(words: &[&str]) -> Option<Read> {
    let (mut value, mut taken) = magnitudes(words).or_else(|| point_first(words))?;
    if let Some((half, more)) = and_a_half(&words[taken..]) {
        value += half;
        taken += more;
    }
    Some((value, taken))
}

fn and_a_half(words: &[&str]) -> Option<Read> {
    match words {
        ["and", "a", "half", ..] => Some((0.5, 3)),
        ["and", "a", "quarter", ..] => Some((0.25, 3)),
        ["and", "three", "quarters", ..] => Some((0.75, 3)),
        _ => None,
    }
}

/// "two million three hundred thousand and five point two".
fn magnitudes(words: &[&str]) -> Option<Read> {
    let mut total = 0.0;
    let mut taken = 0;
    let mut smallest = f64::INFINITY;
    loop {
        let joined = usize::from(taken > 0 && words.get(taken) == Some(&"and"));
        let Some((group, length)) = hundreds(&words[taken + joined..]) else {
            break;
        };
        let mut end = taken + joined + length;
        let scale = words.get(end).and_then(|word| magnitude(word));
        end += usize::from(scale.is_some());
        let scale = scale.unwrap_or(1.0);
        // "twenty twenty" and "five two" are not one number; "two thousand and five" is.
        if scale >= smallest || (taken > 0 && group * scale >= smallest) {
            break;
        }
        total += group * scale;
        smallest = scale;
        taken = end;
        if scale == 1.0 {
            break;
        }
    }
    if taken == 0 {
        return None;
    }
    if let Some((fraction, length)) = decimals(&words[taken..]) {
        total += fraction;
        taken += length;
        if let Some(scale) = words.get(taken).and_then(|word| magnitude(word)) {
            total *= scale;
            taken += 1;
        }
    }
    Some((total, taken))
}

/// "one hundred and seven", "a hundred", "twenty five", "25".
fn hundreds(words: &[&str]) -> Option<Read> {
    if let Some(value) = words.first().and_then(|word| figure(word)) {
        let hundred = words.get(1) == Some(&"hundred");
        return Some(if hundred {
            (value * 100.0, 2)
        } else {
            (value, 1)
        });
    }
    let (first, taken) = match words {
        [
            "a" | "an",
            "hundred" | "thousand" | "million" | "billion" | "dozen",
            ..,
        ] => (1.0, 1),
        _ => tens(words)?,
    };
    match words.get(taken) {
        Some(&"hundred") => {
            let rest = &words[taken + 1..];
            let joined = usize::from(rest.first() == Some(&"and"));
            match tens(&rest[joined..]) {
                Some((more, length)) => Some((first * 100.0 + more, taken + 1 + joined + length)),
                None => Some((first * 100.0, taken + 1)),
            }
        }
        Some(&"dozen") => Some((first * 12.0, taken + 1)),
        _ => Some((first, taken)),
    }
}

fn tens(words: &[&str]) -> Option<Read> {
    let first = *words.first()?;
    if let Some(tens) = TENS.iter().position(|word| *word == first) {
        let tens = (tens + 2) as f64 * 10.0;
        let unit = words.get(1).and_then(|word| small(word));
        return Some(match unit.filter(|unit| (1.0..10.0).contains(unit)) {
            Some(unit) => (tens + unit, 2),
            None => (tens, 1),
        });
    }
    small(first).map(|value| (value, 1))
}

fn small(word: &str) -> Option<f64> {
    SMALL
        .iter()
        .position(|known| *known == word)
        .map(|value| value as f64)
}

/// "point one four".
fn decimals(words: &[&str]) -> Option<Read> {
    if words.first() != Some(&"point") {
        return None;
    }
    let mut digits = String::from("0.");
    let mut taken = 1;
    while let Some(word) = words.get(taken) {
        match small(word).filter(|digit| *digit < 10.0) {
            Some(digit) => digits.push_str(&digit.to_string()),
            None if word.bytes().all(|b| b.is_ascii_digit()) => digits.push_str(word),
            None if *word == "oh" => digits.push('0'),
            None => break,
        }
        taken += 1;
    }
    (taken > 1)
        .then(|| digits.parse().ok())
        .flatten()
        .map(|value| (value, taken))
}

fn point_first(words: &[&str]) -> Option<Read> {
    decimals(words)
}

fn figure(word: &str) -> Option<f64> {
    word.starts_with(|c: char| c.is_ascii_digit())
        .then(|| word.parse().ok())
        .flatten()
}

fn magnitude(word: &str) -> Option<f64> {
    match word {
        "thousand" => Some(1e3),
        "million" => Some(1e6),
        "billion" => Some(1e9),
        "trillion" => Some(1e12),
        _ => None,
    }
}

/// A number as it is said: whole numbers as they are, others to a sensible number of places, with "about" where that
/// left something out.
pub(super) fn say(value: f64) -> String {
    if value < 0.0 {
        let positive = say(-value);
        return match positive.strip_prefix("about ") {
            Some(rest) => format!("about minus {rest}"),
            None if positive == "0" => positive,
            None => format!("minus {positive}"),
        };
    }
    if value >= LARGEST_EXACT {
        let power = value.log10().floor();
        let (factor, power) = (value / 10_f64.powf(power), power as i32);
        return format!(
            "about {} times 10 to the power of {power}",
            trimmed(factor, 2)
        );
    }
    let places = match value {
        _ if value >= 1.0 || value == 0.0 => 2,
        // Three significant digits for small numbers: 0.00123.
        _ => (2 - value.log10().floor() as i32).clamp(2, 12) as usize,
    };
    let text = trimmed(value, places);
    let shown: f64 = text.parse().unwrap_or(value);
    // What floating point adds ("0.30000000000000004") is not a rounding that anybody must hear of.
    if (shown - value).abs() <= value.abs() * 1e-12 {
        text
    } else {
        format!("about {text}")
    }
}

fn trimmed(value: f64, places: usize) -> String {
    let text = format!("{value:.places$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

const SMALL: &[&str] = &[
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
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
];

const TENS: &[&str] = &[
    "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
];

/// Beyond this, `f64` has no units.
const LARGEST_EXACT: f64 = 9.007_199_254_740_992e15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_words_are_read() {
        for (text, value) in [
            ("twenty five", 25.0),
            ("one hundred and seven", 107.0),
            ("two thousand", 2_000.0),
            ("two thousand and five", 2_005.0),
            ("two thousand five hundred", 2_500.0),
            ("a hundred", 100.0),
            ("three million two hundred thousand and one", 3_200_001.0),
            ("point five", 0.5),
            ("three point two five", 3.25),
            ("two point five million", 2_500_000.0),
            ("2 million", 2_000_000.0),
            ("two and a half", 2.5),
            ("nineteen hundred", 1_900.0),
            ("1250.75", 1_250.75),
            ("two dozen", 24.0),
            ("zero", 0.0),
        ] {
            let words: Vec<&str> = text.split(' ').collect();
            let (read, taken) = number(&words).unwrap();
            assert!((read - value).abs() < 1e-9, "{text}: {read}");
            assert_eq!(taken, words.len(), "{text}");
        }
    }

    #[test]
    fn a_number_ends_where_the_next_begins() {
        for (text, taken) in [
            ("twenty twenty", 1),
            ("five two", 1),
            ("7:30", 0),
            ("and", 0),
            ("a", 0),
        ] {
            let words: Vec<&str> = text.split(' ').collect();
            assert_eq!(
                number(&words).map_or(0, |(_, taken)| taken),
                taken,
                "{text}"
            );
        }
    }

    #[test]
    fn numbers_are_said_with_sensible_rounding() {
        for (value, said) in [
            (42.0, "42"),
            (-5.0, "minus 5"),
            (0.1 + 0.2, "0.3"),
            (10.0 / 3.0, "about 3.33"),
            (-10.0 / 3.0, "about minus 3.33"),
            (0.001_234_5, "about 0.00123"),
            (2.5, "2.5"),
            (1e20, "about 1 times 10 to the power of 20"),
            (123_456_789.0, "123456789"),
        ] {
            assert_eq!(say(value), said);
        }
    }
}
