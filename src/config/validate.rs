//! Takes values out of a [`Raw`] one by one and notes what is wrong with them.
//!
//! Core; used by `resolved` only. A value that is not allowed gives a [`Problem`] and a stand-in, so that all problems are
//! found in one go; [`Check::finish`] then hands out the problems and no configuration.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::Places;
use super::raw::{Origin, Problem, Problems, Raw, Setting, Value, nearest};
use super::size;

/// A check of one [`Raw`].
pub(super) struct Check<'a> {
    raw: &'a Raw,
    places: &'a Places,
    problems: Vec<Problem>,
    read: BTreeSet<&'static str>,
}

impl<'a> Check<'a> {
    pub(super) fn new(raw: &'a Raw, places: &'a Places) -> Self {
        Self {
            raw,
            places,
            problems: Vec::new(),
            read: BTreeSet::new(),
        }
    }

    /// The keys that were asked for, or what is wrong.
    pub(super) fn finish(self) -> Result<BTreeSet<&'static str>, Problems> {
        if self.problems.is_empty() {
            Ok(self.read)
        } else {
            Err(Problems(self.problems))
        }
    }

    /// Notes a problem of a key whose value is of the right kind but not possible.
    pub(super) fn reject(&mut self, key: &'static str, allowed: &str) {
        let setting = self.setting(key);
        let (value, origin) = (setting.value.clone(), setting.origin.clone());
        self.problems.push(Problem {
            remedy: next_step(key, &origin),
            what: format!("is {value}, but must be {allowed}"),
            key: key.to_owned(),
            origin,
        });
    }

    /// The settings under a table in which users name the keys, with their full names.
    pub(super) fn opened(&self, prefix: &str) -> Vec<(String, Setting)> {
        self.raw
            .opened(prefix)
            .map(|(name, setting)| (name.to_owned(), setting.clone()))
            .collect()
    }

    /// As [`Self::reject`], for a key that the user named.
    pub(super) fn reject_opened(&mut self, key: &str, allowed: &str) {
        let Some(setting) = self.raw.get(key) else {
            return;
        };
        let value = if super::raw::is_secret(key) {
            "a hidden value".to_owned()
        } else {
            setting.value.to_string()
        };
        self.problems.push(Problem {
            remedy: next_step(key, &setting.origin),
            what: format!("is {value}, but must be {allowed}"),
            key: key.to_owned(),
            origin: setting.origin.clone(),
        });
    }

    /// A string under a name of the user's; `None` where it is missing or empty.
    pub(super) fn opened_text(&mut self, key: &str) -> Option<String> {
        match &self.raw.get(key)?.value {
            Value::Text(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
            _ => {
                self.reject_opened(key, "a string in quotes, not empty");
                None
            }
        }
    }

    /// A list under a name of the user's.
    pub(super) fn opened_list(&mut self, key: &str) -> Option<Vec<String>> {
        match &self.raw.get(key)?.value {
            Value::List(items) => Some(items.clone()),
            _ => {
                self.reject_opened(key, "a list like [\"one\", \"two\"]");
                None
            }
        }
    }

    /// A switch under a name of the user's.
    pub(super) fn opened_truth(&mut self, key: &str) -> Option<bool> {
        match &self.raw.get(key)?.value {
            Value::Truth(truth) => Some(*truth),
            _ => {
                self.reject_opened(key, "true or false");
                None
            }
        }
    }

    fn setting(&mut self, key: &'static str) -> &'a Setting {
        self.read.insert(key);
        self.raw
            .get(key)
            .expect("resolved asks for keys of defaults.toml only: a test resolves the defaults")
    }

    pub(super) fn text(&mut self, key: &'static str) -> String {
        if let Value::Text(text) = &self.setting(key).value {
            return text.trim().to_owned();
        }
        self.reject(key, "a string in quotes");
        String::new()
    }

    /// A string that must not be empty.
    pub(super) fn name(&mut self, key: &'static str) -> String {
        let text = self.text(key);
        if text.is_empty() && matches!(self.setting(key).value, Value::Text(_)) {
            self.reject(key, "a name, not empty");
        }
        text
    }

    /// A string of which `stand_in` (`""` or `"auto"`) means none.
    pub(super) fn optional(&mut self, key: &'static str, stand_in: &str) -> Option<String> {
        let text = self.text(key);
        (!text.is_empty() && text != stand_in).then_some(text)
    }

    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, choices: &[(&str, T)]) -> T {
        let written = match &self.setting(key).value {
            Value::Text(text) => text.trim().to_lowercase(),
            // `llm.manage = true` is what a person writes who has "yes" in mind.
            Value::Truth(true) => "yes".to_owned(),
            Value::Truth(false) => "no".to_owned(),
            _ => String::new(),
        };
        if let Some((_, choice)) = choices.iter().find(|(name, _)| *name == written) {
            return *choice;
        }
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let mut allowed = format!("one of {}", names.join(", "));
        if let Some(near) = nearest(&written, names.iter().copied()) {
            allowed.push_str(&format!(" (did you mean \"{near}\"?)"));
        }
        self.reject(key, &allowed);
        choices[0].1
    }

    pub(super) fn truth(&mut self, key: &'static str) -> bool {
        match &self.setting(key).value {
            Value::Truth(truth) => return *truth,
            Value::Text(text) => match text.trim().to_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => return true,
                "false" | "no" | "off" | "0" => return false,
                _ => {}
            },
            _ => {}
        }
        self.reject(key, "true or false");
        false
    }

    pub(super) fn integer(&mut self, key: &'static str, range: RangeInclusive<i64>) -> i64 {
        let number = match &self.setting(key).value {
            Value::Integer(number) => Some(*number),
            Value::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        match number.filter(|number| range.contains(number)) {
            Some(number) => number,
            None => {
                self.reject(key, &between("a whole number", &range));
                *range.start()
            }
        }
    }

    /// A whole number, or "auto" for none.
    pub(super) fn integer_or_auto(
        &mut self,
        key: &'static str,
        range: RangeInclusive<i64>,
    ) -> Option<i64> {
        if self.is_text(key, "auto") {
            return None;
        }
        let number = match &self.setting(key).value {
            Value::Integer(number) => Some(*number),
            Value::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            self.reject(
                key,
                &format!("\"auto\" or {}", between("a whole number", &range)),
            );
        }
        number
    }

    pub(super) fn millis(&mut self, key: &'static str, range: RangeInclusive<i64>) -> Duration {
        Duration::from_millis(self.integer(key, range).unsigned_abs())
    }

    pub(super) fn seconds(&mut self, key: &'static str, range: RangeInclusive<i64>) -> Duration {
        Duration::from_secs(self.integer(key, range).unsigned_abs())
    }

    pub(super) fn number(&mut self, key: &'static str, range: RangeInclusive<f64>) -> f64 {
        match self.as_number(key).filter(|number| range.contains(number)) {
            Some(number) => number,
            None => {
                self.reject(key, &between("a number", &range));
                *range.start()
            }
        }
    }

    /// A number, or "auto" for none.
    pub(super) fn number_or_auto(
        &mut self,
        key: &'static str,
        range: RangeInclusive<f64>,
    ) -> Option<f64> {
        if self.is_text(key, "auto") {
            return None;
        }
        let number = self.as_number(key).filter(|number| range.contains(number));
        if number.is_none() {
            self.reject(key, &format!("\"auto\" or {}", between("a number", &range)));
        }
        number
    }

    /// Bytes, or "auto" for none.
    pub(super) fn size_or_auto(&mut self, key: &'static str) -> Option<u64> {
        if self.is_text(key, "auto") {
            return None;
        }
        let bytes = match &self.setting(key).value {
            Value::Text(text) => size::bytes(text),
            Value::Integer(bytes) => u64::try_from(*bytes).ok(),
            _ => None,
        };
        if bytes.is_none() {
            self.reject(key, &format!("\"auto\" or {}", size::SIZE_FORM));
        }
        bytes
    }

    /// A size within `range`; the least of it where it is wrong.
    pub(super) fn size(&mut self, key: &'static str, range: RangeInclusive<u64>) -> u64 {
        let bytes = match &self.setting(key).value {
            Value::Text(text) => size::bytes(text),
            Value::Integer(number) => u64::try_from(*number).ok(),
            _ => None,
        };
        match bytes.filter(|bytes| range.contains(bytes)) {
            Some(bytes) => bytes,
            None => {
                let (least, most) = (range.start() >> 10, range.end() >> 10);
                self.reject(
                    key,
                    &format!("{}, {least}KiB to {most}KiB", size::SIZE_FORM),
                );
                *range.start()
            }
        }
    }

    /// Seconds, a duration in words, or `None` for ever (−1).
    pub(super) fn duration_or_forever(&mut self, key: &'static str) -> Option<Duration> {
        let written = match &self.setting(key).value {
            Value::Integer(seconds) => Some(seconds.to_string()),
            Value::Text(text) => Some(text.trim().to_owned()),
            _ => None,
        };
        let written = written.unwrap_or_default();
        if written == "-1" {
            return None;
        }
        let seconds = written.parse().ok().map(Duration::from_secs);
        let duration = seconds.or_else(|| size::duration(&written));
        if duration.is_none() {
            let allowed = format!(
                "-1 (for ever), a number of seconds or {}",
                size::DURATION_FORM
            );
            self.reject(key, &allowed);
        }
        duration
    }

    /// A list of strings; as text they are separated by commas.
    pub(super) fn list(&mut self, key: &'static str) -> Vec<String> {
        match &self.setting(key).value {
            Value::List(items) => return items.clone(),
            Value::Text(text) => {
                let items = text
                    .split(',')
                    .map(str::trim)
                    .filter(|item| !item.is_empty());
                return items.map(str::to_owned).collect();
            }
            _ => {}
        }
        self.reject(key, "a list like [\"one\", \"two\"]");
        Vec::new()
    }

    /// An address of a server without a trailing slash; `None` where it is empty.
    pub(super) fn url(&mut self, key: &'static str) -> Option<String> {
        let url = self.optional(key, "")?;
        if url.contains('@') {
            // The message of a rejected value shows it; a key that was put into the address must not be shown.
            let origin = self.setting(key).origin.clone();
            self.problems.push(Problem {
                remedy: next_step(key, &origin),
                what: "holds a user name or password; put the key into a file and name that"
                    .to_owned(),
                key: key.to_owned(),
                origin,
            });
            return None;
        }
        let rest = url
            .strip_prefix("http://")
            .or_else(|| url.strip_prefix("https://"));
        let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
        let valid = host.is_some_and(is_host) && !url.contains(char::is_whitespace);
        if !valid {
            self.reject(key, "an address like \"http://127.0.0.1:8080/v1\"");
            return None;
        }
        Some(url.trim_end_matches('/').to_owned())
    }

    /// A path: `~/` is the home folder, a relative one starts at the configuration file's folder.
    pub(super) fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        let written = self.optional(key, "")?;
        if let Some(rest) = written.strip_prefix("~/") {
            return Some(self.places.home.join(rest));
        }
        let folder = self.places.config_file.parent();
        Some(folder.map_or_else(|| PathBuf::from(&written), |folder| folder.join(&written)))
    }

    fn as_number(&mut self, key: &'static str) -> Option<f64> {
        match &self.setting(key).value {
            Value::Number(number) => Some(*number),
            Value::Integer(number) => Some(*number as f64),
            Value::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    fn is_text(&mut self, key: &'static str, wanted: &str) -> bool {
        matches!(&self.setting(key).value, Value::Text(text) if text.trim().eq_ignore_ascii_case(wanted))
    }
}

/// Whether it is a host with an optional port, as far as that can be told without asking anybody.
fn is_host(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    !name.is_empty() && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0))
}

fn between<T: Display + PartialEq + Bound>(kind: &str, range: &RangeInclusive<T>) -> String {
    if range.end().is_open() {
        format!("{kind} from {}", range.start())
    } else {
        format!("{kind} from {} to {}", range.start(), range.end())
    }
}

/// Whether an upper bound stands for "any".
trait Bound {
    fn is_open(&self) -> bool;
}

impl Bound for i64 {
    fn is_open(&self) -> bool {
        *self == i64::MAX
    }
}

impl Bound for f64 {
    fn is_open(&self) -> bool {
        self.is_infinite()
    }
}

/// The exact thing to do about a wrong value.
fn next_step(key: &str, origin: &Origin) -> String {
    match origin {
        // A default that another setting makes insufficient: a chosen backend or engine that needs an address.
        Origin::Default => {
            format!("set {key} in the configuration file: `hark config path` tells where it lies")
        }
        Origin::File { line, .. } => {
            format!("mend line {line} or remove it, then run `hark config check`")
        }
        Origin::Environment { name } => format!("set it right, or `unset {name}`"),
        Origin::Flag { name } => format!("give {name} another value"),
    }
}
