//! Lengths of time in words, read and said.
//!
//! Pure.

use std::time::Duration;

use super::numbers;

/// The longest length of time at the start of `words`, and how many words it took.
pub(crate) fn duration(words: &[&str]) -> Option<(Duration, usize)> {
    let (mut seconds, mut taken) = part(words)?;
    loop {
        let joined = usize::from(words.get(taken) == Some(&"and"));
        match part(&words[taken + joined..]) {
            Some((more, length)) => {
                seconds += more;
                taken += joined + length;
            }
            None => break,
        }
    }
    let duration = Duration::try_from_secs_f64(seconds).ok()?;
    Some((duration, taken))
}

/// One number with its unit.
fn part(words: &[&str]) -> Option<(f64, usize)> {
    let (count, taken) = match words {
        ["half", "an", ..] | ["half", "a", ..] => (0.5, 2),
        ["a", "half", ..] => (0.5, 2),
        ["a", "quarter", "of", "an", ..] | ["a", "quarter", "of", "a", ..] => (0.25, 4),
        ["quarter", "of", "an", ..] | ["quarter", "of", "a", ..] => (0.25, 3),
        ["three", "quarters", "of", "an", ..] | ["three", "quarters", "of", "a", ..] => (0.75, 4),
        ["a", "couple", "of", ..] => (2.0, 3),
        _ => match numbers::number(words) {
            Some(read) => read,
            None if matches!(words.first(), Some(&("a" | "an"))) => (1.0, 1),
            None => return None,
        },
    };
    let unit = unit(words.get(taken)?)?;
    let mut end = taken + 1;
    let mut count = count;
    // "an hour and a half"
    match words[end..] {
        ["and", "a", "half", ..] => (count, end) = (count + 0.5, end + 3),
        ["and", "a", "quarter", ..] => (count, end) = (count + 0.25, end + 3),
        _ => {}
    }
    Some((count * unit, end))
}

fn unit(word: &str) -> Option<f64> {
    match word {
        "second" | "seconds" => Some(1.0),
        "minute" | "minutes" => Some(60.0),
        "hour" | "hours" => Some(3_600.0),
        "day" | "days" => Some(86_400.0),
        _ => None,
    }
}

/// "1 hour and 30 minutes", rounded to seconds.
pub(crate) fn say(duration: Duration) -> String {
    let seconds = duration.as_secs() + u64::from(duration.subsec_millis() >= 500);
    let parts: Vec<String> = [
        (seconds / 86_400, "day"),
        (seconds / 3_600 % 24, "hour"),
        (seconds / 60 % 60, "minute"),
        (seconds % 60, "second"),
    ]
    .iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, unit)| format!("{count} {unit}{}", if *count == 1 { "" } else { "s" }))
    .collect();
    list(&parts).unwrap_or_else(|| "0 seconds".to_owned())
}

/// The same before a noun: "90 second", "1 hour 30 minute".
pub(crate) fn say_before_noun(duration: Duration) -> String {
    say(duration)
        .replace(" and ", " ")
        .replace(", ", " ")
        .replace("days", "day")
        .replace("hours", "hour")
        .replace("minutes", "minute")
        .replace("seconds", "second")
}

/// "a, b and c".
pub(crate) fn list(parts: &[String]) -> Option<String> {
    match parts {
        [] => None,
        [one] => Some(one.clone()),
        [first @ .., last] => Some(format!("{} and {last}", first.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_whole() {
        for (text, seconds) in [
            ("five minutes", 300),
            ("an hour and a half", 5_400),
            ("one and a half hours", 5_400),
            ("half an hour", 1_800),
            ("a quarter of an hour", 900),
            ("three quarters of an hour", 2_700),
            ("1 hour 30 minutes", 5_400),
            ("one hour twenty minutes and ten seconds", 4_810),
            ("90 seconds", 90),
            ("two and a half minutes", 150),
            ("ten minute", 600),
            ("a couple of minutes", 120),
            ("a minute", 60),
            ("2.5 hours", 9_000),
        ] {
            let words: Vec<&str> = text.split(' ').collect();
            assert_eq!(
                duration(&words),
                Some((Duration::from_secs(seconds), words.len())),
                "{text}"
            );
        }
    }

    #[test]
    fn lengths_of_time_are_said() {
        for (seconds, said) in [
            (60, "1 minute"),
            (5_400, "1 hour and 30 minutes"),
            (3_661, "1 hour, 1 minute and 1 second"),
            (0, "0 seconds"),
        ] {
            assert_eq!(say(Duration::from_secs(seconds)), said);
        }
        assert_eq!(
            say_before_noun(Duration::from_secs(5_400)),
            "1 hour 30 minute"
        );
    }
}
