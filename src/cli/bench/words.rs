//! Compares what was heard with what was said: normalised words, and the edits between two texts.

/// Word errors of one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WordErrors {
    /// Words put in, left out or replaced: the least number of edits.
    pub errors: usize,
    /// Words of what was said.
    pub words: usize,
}

impl WordErrors {
    /// Counts the edits that make `heard` of `said`, both normalised.
    #[must_use]
    pub fn between(said: &str, heard: &str) -> Self {
        let said: Vec<String> = normal(said);
        let heard: Vec<String> = normal(heard);
        Self {
            errors: edits(&said, &heard),
            words: said.len(),
        }
    }
}

/// Words as they are compared: lower case, without punctuation, whole numbers spelt out.
///
/// Models differ in how they write ("5" or "five", "what's" or "What’s"), and that is no error of hearing.
#[must_use]
pub fn normal(text: &str) -> Vec<String> {
    let mut plain = String::with_capacity(text.len());
    for c in text.to_lowercase().chars() {
        match c {
            '’' => plain.push('\''),
            // "1,000" is one number.
            ',' if plain.ends_with(|c: char| c.is_ascii_digit()) => plain.push(','),
            c if c.is_alphanumeric() || c == '\'' => plain.push(c),
            _ => plain.push(' '),
        }
    }
    plain
        .split_whitespace()
        .flat_map(|word| {
            let word = word.trim_matches([',', '\'']);
            let digits = word.replace(',', "");
            match digits.parse::<u32>() {
                Ok(number) if number < 1_000_000 => spelt(number),
                _ => word
                    .split(',')
                    .filter(|w| !w.is_empty())
                    .map(str::to_owned)
                    .collect(),
            }
        })
        .collect()
}

/// A whole number below a million in words.
fn spelt(number: u32) -> Vec<String> {
    const ONES: [&str; 20] = [
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
    const TENS: [&str; 10] = [
        "", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
    ];
    let word = |index: u32, table: &[&str]| table[index as usize].to_owned();
    match number {
        0..20 => vec![word(number, &ONES)],
        20..100 => {
            let mut words = vec![word(number / 10, &TENS)];
            words.extend((!number.is_multiple_of(10)).then(|| word(number % 10, &ONES)));
            words
        }
        100..1_000 => with_rest(number, 100, "hundred"),
        _ => with_rest(number, 1_000, "thousand"),
    }
}

fn with_rest(number: u32, unit: u32, name: &str) -> Vec<String> {
    let mut words = spelt(number / unit);
    words.push(name.to_owned());
    if !number.is_multiple_of(unit) {
        words.extend(spelt(number % unit));
    }
    words
}

/// The least number of insertions, deletions and replacements from `a` to `b`.
fn edits(a: &[String], b: &[String]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_a_model_writes_is_no_error() {
        for (said, heard) in [
            ("what's twenty five plus three", "What’s 25 plus 3?"),
            ("one thousand two hundred", "1,200"),
            ("set a timer", "Set a timer."),
            ("well-known", "well known"),
            ("yes, five, six", "Yes, 5, 6"),
        ] {
            let found = WordErrors::between(said, heard);
            assert_eq!(found.errors, 0, "{said} / {heard}: {:?}", normal(heard));
        }
    }

    #[test]
    fn each_kind_of_edit_counts_one() {
        let errors = |said, heard| WordErrors::between(said, heard).errors;
        assert_eq!(errors("a b c", "a c"), 1);
        assert_eq!(errors("a b c", "a b x c"), 1);
        assert_eq!(errors("a b c", "a x c"), 1);
        assert_eq!(errors("a b c", ""), 3);
        assert_eq!(
            WordErrors::between("", "noise words"),
            WordErrors {
                errors: 2,
                words: 0
            }
        );
    }
}
