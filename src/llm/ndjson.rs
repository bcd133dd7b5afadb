//! JSON Lines: bytes in, one JSON value a line out, whatever the cuts.
//!
//! Core: owned by one decoder. Blank lines are skipped. A finished line that is no JSON is an error; a last line without
//! an ending is given out only if it is whole JSON, for otherwise the stream was cut inside it, and that is for the caller
//! to say. Memory is bounded by [`super::lines::MAX_LINE_BYTES`].

use serde::de::DeserializeOwned;

use super::lines::{LineTooLong, Lines};

/// Why a stream cannot be read on. Give it up.
#[derive(Debug, thiserror::Error)]
pub enum NdjsonError {
    /// A line passed the limit.
    #[error(transparent)]
    TooLong(#[from] LineTooLong),
    /// A finished line is not JSON, or not of the expected shape.
    #[error("a line that is not the expected JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// Splits a byte stream into JSON values.
#[derive(Debug, Default)]
pub struct NdjsonParser {
    lines: Lines,
}

impl NdjsonParser {
    /// Takes the next piece of the stream and appends the values that it completes to `values`.
    ///
    /// # Errors
    /// [`NdjsonError`]; the values before the bad line have been appended.
    pub fn push<T: DeserializeOwned>(
        &mut self,
        bytes: &[u8],
        values: &mut Vec<T>,
    ) -> Result<(), NdjsonError> {
        let mut lines = Vec::new();
        let split = self.lines.push(bytes, &mut lines);
        for line in lines.iter().filter(|line| !line.trim().is_empty()) {
            values.push(serde_json::from_str(line)?);
        }
        Ok(split?)
    }

    /// The stream has ended: the value of a last line without an ending, if it is whole.
    pub fn finish<T: DeserializeOwned>(&mut self) -> Option<T> {
        serde_json::from_str(&self.lines.finish()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn values_survive_every_cut() {
        let text = "{\"a\":\"né\"}\r\n\n{\"b\":[1,2]}\n{\"c\":3}".as_bytes();
        for cut in 0..=text.len() {
            let (mut parser, mut values) = (NdjsonParser::default(), Vec::<Value>::new());
            parser.push(&text[..cut], &mut values).expect("good lines");
            parser.push(&text[cut..], &mut values).expect("good lines");
            values.extend(parser.finish::<Value>());
            assert_eq!(
                values,
                [json!({"a":"né"}), json!({"b":[1,2]}), json!({"c":3})],
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn a_half_line_at_the_end_is_no_value_and_a_bad_line_is_an_error_after_the_good_ones() {
        let (mut parser, mut values) = (NdjsonParser::default(), Vec::<Value>::new());
        parser
            .push(b"{\"a\":1}\n{\"b\":", &mut values)
            .expect("one good line");
        assert!(parser.finish::<Value>().is_none());
        let refused = NdjsonParser::default().push(b"{}\n<html>\n", &mut values);
        assert!(matches!(refused, Err(NdjsonError::Json(_))));
        assert_eq!(values, [json!({"a":1}), json!({})]);
    }
}
