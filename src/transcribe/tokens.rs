//! From the tokens of one run of Whisper to stretches of text with their place, probability and confidence.
//!
//! Core: values in, values out. Called by [`super::whisper`] after each piece.

use std::ops::Range;

use crate::private::Private;
use crate::time::SAMPLE_RATE;

/// Samples that one time token, and one position of the encoder, stand for: 20 ms.
pub const SAMPLES_A_POSITION: usize = SAMPLE_RATE as usize / 50;

/// One token of a result, for tests and measurements.
#[derive(Clone, PartialEq)]
pub struct Token {
    /// Its number in the vocabulary.
    pub id: i32,
    /// Its probability, 0..1.
    pub probability: f32,
    /// The natural logarithm of its probability.
    pub logprob: f32,
    /// Its bytes; a letter of more than one byte can be spread over tokens.
    pub bytes: Private<Vec<u8>>,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token")
            .field("probability", &self.probability)
            .finish_non_exhaustive()
    }
}

/// Text between two time tokens, or all of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Stretch {
    /// Its words as the model wrote them.
    pub text: String,
    /// Samples within the piece.
    pub range: Range<usize>,
    /// Mean log-probability, the end token included where it follows.
    pub logprob: f32,
    /// Mean probability of the text tokens, 0..1.
    pub confidence: f32,
    /// Its words, each with the lowest probability of its tokens.
    pub words: Vec<(String, f32)>,
}

/// Cuts the tokens of one run at its time tokens (20 ms each), which come in pairs: the end of one stretch and the start
/// of the next. Times that run backwards or beyond the audio are clamped: the model invents those too.
///
/// `end` and `first_time` are the numbers of the end token and of the time 0; `samples` is the length of the piece.
#[must_use]
pub fn stretches(tokens: &[Token], end: i32, first_time: i32, samples: usize) -> Vec<Stretch> {
    let mut stretches = Vec::new();
    let mut words: Vec<&Token> = Vec::new();
    let mut ending: Option<&Token> = None;
    let mut start = 0;
    for token in tokens {
        if token.id < end {
            words.push(token);
        } else if token.id >= first_time {
            let time = usize::try_from(token.id - first_time).unwrap_or(0) * SAMPLES_A_POSITION;
            let at = time.clamp(start, samples.max(start));
            stretches.extend(stretch(&words, None, start..at));
            words.clear();
            start = at;
        } else if token.id == end {
            ending = Some(token);
        }
    }
    stretches.extend(stretch(&words, ending, start..samples.max(start)));
    stretches
}

fn stretch(words: &[&Token], ending: Option<&Token>, range: Range<usize>) -> Option<Stretch> {
    if words.is_empty() {
        return None;
    }
    let bytes: Vec<u8> = words
        .iter()
        .flat_map(|token| token.bytes.expose().iter().copied())
        .collect();
    let counted = words.len() + usize::from(ending.is_some());
    let logprob = words
        .iter()
        .copied()
        .chain(ending)
        .map(|token| token.logprob)
        .sum::<f32>()
        / counted as f32;
    let confidence = words.iter().map(|token| token.probability).sum::<f32>() / words.len() as f32;
    Some(Stretch {
        text: String::from_utf8_lossy(&bytes).into_owned(),
        range,
        logprob,
        confidence,
        words: doubts(words),
    })
}

/// The words of the tokens, each with the lowest probability of its own.
fn doubts(tokens: &[&Token]) -> Vec<(String, f32)> {
    let mut words: Vec<(Vec<u8>, f32)> = Vec::new();
    for token in tokens {
        let bytes = token.bytes.expose();
        match words.last_mut() {
            Some((word, lowest)) if !bytes.starts_with(b" ") => {
                word.extend_from_slice(bytes);
                *lowest = lowest.min(token.probability);
            }
            _ => words.push((bytes.clone(), token.probability)),
        }
    }
    let named = words
        .into_iter()
        .map(|(bytes, lowest)| (String::from_utf8_lossy(&bytes).trim().to_owned(), lowest));
    named.filter(|(word, _)| !word.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: i32 = 100;
    const TIME: i32 = 200;

    fn token(id: i32, text: &str) -> Token {
        Token {
            id,
            probability: 0.5,
            logprob: -0.7,
            bytes: Private::new(text.as_bytes().to_vec()),
        }
    }

    #[test]
    fn tokens_without_times_are_one_stretch() {
        let tokens = [
            token(1, " set"),
            token(2, " a"),
            token(3, " timer"),
            token(END, ""),
        ];
        let found = stretches(&tokens, END, TIME, 32_000);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].text.as_str(), found[0].range.clone()),
            (" set a timer", 0..32_000)
        );
    }

    #[test]
    fn time_tokens_cut_and_place_the_text() {
        let tokens = [
            token(TIME, ""),
            token(1, " one"),
            token(TIME + 50, ""),
            token(TIME + 75, ""),
            token(2, " two"),
            token(TIME + 900, ""),
            token(END, ""),
        ];
        let found: Vec<_> = stretches(&tokens, END, TIME, 32_000)
            .into_iter()
            .map(|s| (s.text, s.range))
            .collect();
        assert_eq!(
            found,
            [
                (" one".to_owned(), 0..16_000),
                (" two".to_owned(), 24_000..32_000)
            ]
        );
    }

    #[test]
    fn times_that_run_backwards_do_not() {
        let tokens = [
            token(TIME + 80, ""),
            token(1, " one"),
            token(TIME + 20, ""),
            token(2, " two"),
            token(END, ""),
        ];
        let found = stretches(&tokens, END, TIME, 32_000);
        assert!(
            found
                .iter()
                .all(|s| s.range.start <= s.range.end && s.range.end <= 32_000),
            "{found:?}"
        );
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn a_letter_spread_over_two_tokens_is_whole_again() {
        let mut halves = [token(1, ""), token(2, "")];
        halves[0].bytes = Private::new(vec![b' ', 0xC3]);
        halves[1].bytes = Private::new(vec![0xA9]);
        assert_eq!(stretches(&halves, END, TIME, 16_000)[0].text, " é");
    }
}
