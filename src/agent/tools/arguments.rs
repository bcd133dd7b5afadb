//! The arguments of a call, read one by one: each complaint names the argument and says what is expected.
//!
//! Pure. Models write numbers as text and leave optional arguments as `null` or `""`: that is taken as it was meant.
//! Anything else that does not fit is told, so that the model can mend it.

use serde_json::{Map, Value};

use super::ToolError;

/// The arguments of one call.
#[derive(Debug)]
pub struct Arguments<'a> {
    values: &'a Map<String, Value>,
}

/// Characters of one text: more than anybody dictates, less than would fill the prompt.
pub const LONGEST_TEXT: usize = 4_000;

impl<'a> Arguments<'a> {
    /// The arguments, none of which may have another name than those `known`.
    ///
    /// # Errors
    /// It is no object, or has an argument that the tool does not have.
    pub fn new(value: &'a Value, known: &[&str]) -> Result<Self, ToolError> {
        let values = match value {
            Value::Object(values) => values,
            // A call without arguments.
            Value::Null => &EMPTY,
            _ => return Err(wrong("the arguments must be one JSON object")),
        };
        if let Some(name) = values.keys().find(|name| !known.contains(&name.as_str())) {
            let known = known.join(", ");
            let short: String = name.chars().take(40).collect();
            return Err(wrong(&format!(
                "there is no argument {short}; there are: {known}"
            )));
        }
        Ok(Self { values })
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        match self.values.get(name)? {
            Value::Null => None,
            Value::String(text) if text.trim().is_empty() => None,
            value => Some(value),
        }
    }

    /// A text that may be missing.
    ///
    /// # Errors
    /// It is no text, or too long.
    pub fn text(&self, name: &str) -> Result<Option<&'a str>, ToolError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.chars().count() > LONGEST_TEXT => Err(wrong(
                &format!("{name} is longer than {LONGEST_TEXT} characters"),
            )),
            Some(Value::String(text)) if text.contains('\0') => {
                Err(wrong(&format!("{name} holds a zero byte")))
            }
            Some(Value::String(text)) => Ok(Some(text.trim())),
            Some(_) => Err(wrong(&format!("{name} must be a text"))),
        }
    }

    /// A text that must be there.
    ///
    /// # Errors
    /// It is missing, no text, or too long.
    pub fn required(&self, name: &str) -> Result<&'a str, ToolError> {
        self.text(name)?
            .ok_or_else(|| wrong(&format!("{name} is missing")))
    }

    /// A number within bounds.
    ///
    /// # Errors
    /// It is no number or out of bounds.
    pub fn number(&self, name: &str, least: f64, most: f64) -> Result<Option<f64>, ToolError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let number = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().trim_end_matches('%').trim().parse().ok(),
            _ => None,
        };
        match number {
            Some(number) if (least..=most).contains(&number) => Ok(Some(number)),
            _ => Err(wrong(&format!(
                "{name} must be a number from {least} to {most}"
            ))),
        }
    }

    /// A whole number within bounds.
    ///
    /// # Errors
    /// It is no whole number or out of bounds.
    pub fn integer(&self, name: &str, least: i64, most: i64) -> Result<Option<i64>, ToolError> {
        match self.number(name, least as f64, most as f64)? {
            None => Ok(None),
            Some(number) if number.fract() == 0.0 => Ok(Some(number as i64)),
            Some(_) => Err(wrong(&format!("{name} must be a whole number"))),
        }
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// It is neither.
    pub fn truth(&self, name: &str) -> Result<Option<bool>, ToolError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Bool(truth)) => Ok(Some(*truth)),
            Some(Value::String(text)) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some(Value::String(text)) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some(_) => Err(wrong(&format!("{name} must be true or false"))),
        }
    }

    /// One of some words.
    ///
    /// # Errors
    /// It is another one, or missing.
    pub fn choice<T: Copy>(&self, name: &str, choices: &[(&str, T)]) -> Result<T, ToolError> {
        let written = self.required(name)?.to_lowercase();
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == written) {
            return Ok(*choice);
        }
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        Err(wrong(&format!(
            "{name} must be one of {}",
            words.join(", ")
        )))
    }

    /// A list of texts; missing is empty.
    ///
    /// # Errors
    /// It is no list of texts.
    pub fn list(&self, name: &str) -> Result<Vec<&'a str>, ToolError> {
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| item.as_str().filter(|text| !text.contains('\0')))
                .collect::<Option<_>>()
                .ok_or_else(|| wrong(&format!("{name} must be a list of texts"))),
            Some(_) => Err(wrong(&format!("{name} must be a list of texts"))),
        }
    }
}

/// What is said of an argument in a filler or a confirmation: one line, not too long, never empty.
#[must_use]
pub fn spoken(value: &Value, name: &str, otherwise: &str) -> String {
    let text = match value.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    let text = brief(&text, 60);
    if text.is_empty() {
        otherwise.to_owned()
    } else {
        text
    }
}

/// The first words of `text` in one line, at most so many characters.
#[must_use]
pub fn brief(text: &str, most: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= most {
        return line;
    }
    let cut: String = line.chars().take(most).collect();
    let whole = cut.rsplit_once(' ').map_or(cut.as_str(), |(head, _)| head);
    format!("{whole} and so on")
}

pub(super) fn wrong(what: &str) -> ToolError {
    ToolError::Arguments(what.to_owned())
}

static EMPTY: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_models_write_is_taken_as_it_was_meant() {
        let value = json!({"a": "12", "b": "", "c": null, "d": "TRUE", "e": "40%"});
        let read = Arguments::new(&value, &["a", "b", "c", "d", "e"]).unwrap();
        assert_eq!(read.integer("a", 0, 100).unwrap(), Some(12));
        assert_eq!(read.text("b").unwrap(), None);
        assert_eq!(read.text("c").unwrap(), None);
        assert_eq!(read.truth("d").unwrap(), Some(true));
        assert_eq!(read.number("e", 0.0, 100.0).unwrap(), Some(40.0));
    }

    #[test]
    fn every_complaint_names_the_argument() {
        let value = json!({"a": [], "n": 5.5, "w": "x", "long": "y".repeat(LONGEST_TEXT + 1)});
        let read = Arguments::new(&value, &["a", "n", "w", "long"]).unwrap();
        let told = |error: ToolError| error.to_string();
        assert!(told(read.text("a").unwrap_err()).contains(" a "));
        assert!(told(read.required("missing").unwrap_err()).contains("missing"));
        assert!(told(read.integer("n", 0, 9).unwrap_err()).contains("n must"));
        assert!(told(read.choice("w", &[("up", 1)]).unwrap_err()).contains("one of up"));
        assert!(told(read.text("long").unwrap_err()).contains("long is longer"));
        assert!(told(Arguments::new(&value, &["a"]).unwrap_err()).contains("no argument n"));
        assert!(told(Arguments::new(&json!("text"), &[]).unwrap_err()).contains("object"));
    }
}
