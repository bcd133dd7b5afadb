//! A wrapper for what was said, heard or passed to a tool: it cannot reach a log line, an error or a span by accident.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Holds a value whose `Debug` and `Display` show only its length.
///
/// Serialisation is transparent: the transcript log and the event stream, which exist to hold the words, may hold them.
#[derive(Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Private<T>(T);

impl<T> Private<T> {
    /// Wraps `value`.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself; the caller takes care that it stays out of logs and errors.
    pub const fn expose(&self) -> &T {
        &self.0
    }

    /// Unwraps; the same care.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl Private<String> {
    /// The words as a slice.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Private<String> {
    fn from(value: &str) -> Self {
        Self(value.to_owned())
    }
}

impl From<String> for Private<String> {
    fn from(value: String) -> Self {
        Self(value)
    }
}

impl<T: AsRef<str>> fmt::Debug for Private<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} chars>", self.0.as_ref().chars().count())
    }
}

impl<T: AsRef<str>> fmt::Display for Private<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_debug_nor_display_shows_the_words() {
        let said = Private::new("my pin is 1234".to_owned());
        assert_eq!(format!("{said:?} {said}"), "<14 chars> <14 chars>");
    }
}
