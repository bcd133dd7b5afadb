//! Reads the settings: defaults, then the file, then the environment, then flags.
//!
//! Edge: the only part of `config` that touches the file system and the environment. Called once at start by whoever needs
//! settings; promises that a wrong setting changes nothing and is told completely.

use std::io;
use std::path::{Path, PathBuf};

use super::Places;
use super::raw::{Origin, Problem, Problems, Raw, keys, nearest};
use super::resolved::Config;

/// What is asked of [`load`] beside the places.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Flags that were given: name as written (`--model`), key, value.
    pub flags: Vec<(String, &'static str, String)>,
    /// The environment; [`Request::from_environment`] takes the process's.
    pub environment: Vec<(String, String)>,
}

impl Request {
    /// No flags, and the process's environment. A variable that is not Unicode cannot hold a setting and is passed over.
    #[must_use]
    pub fn from_environment() -> Self {
        let pairs = std::env::vars_os();
        let environment = pairs
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self {
            flags: Vec::new(),
            environment,
        }
    }

    /// Adds a flag that sets `key`.
    #[must_use]
    pub fn with_flag(mut self, name: &str, key: &'static str, value: impl Into<String>) -> Self {
        self.flags.push((name.to_owned(), key, value.into()));
        self
    }
}

/// Why there are no settings. All of these are exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file is there and cannot be read: mend its permissions, or name another with `HARK_HOME`.
    #[error(
        "the configuration {path} cannot be read: {source}; check its owner and mode with `ls -l {path}`"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Settings are wrong; each problem names its remedy.
    #[error(transparent)]
    Invalid(#[from] Problems),
}

/// Reads and checks all settings. A file that does not exist is as good as an empty one.
///
/// # Errors
/// See [`LoadError`].
pub fn load(places: &Places, request: &Request) -> Result<(Config, Raw), LoadError> {
    let raw = layers(places, request)?;
    let config = Config::resolve(&raw, places)?;
    Ok((config, raw))
}

/// Reads all settings without checking their values.
///
/// # Errors
/// See [`LoadError`].
pub fn layers(places: &Places, request: &Request) -> Result<Raw, LoadError> {
    let mut raw = Raw::default();
    if let Some(text) = read(&places.config_file)? {
        raw.overlay_file(&places.config_file, &text)?;
    }
    let mut problems = Vec::new();
    for (name, value) in environment_settings(request) {
        let key = keys().iter().find(|key| key.variable() == *name);
        let Some(key) = key else { continue };
        let origin = Origin::Environment {
            name: name.to_owned(),
        };
        problems.extend(raw.overlay(&key.name, value, origin).err());
    }
    for (name, key, value) in &request.flags {
        let origin = Origin::Flag { name: name.clone() };
        problems.extend(raw.overlay(key, value, origin).err());
    }
    if problems.is_empty() {
        Ok(raw)
    } else {
        Err(Problems(problems).into())
    }
}

/// Variables that look like settings and are none: most likely a slip. They stop nothing, because another version of Hark
/// may know them.
#[must_use]
pub fn stray_variables(request: &Request) -> Vec<Problem> {
    let variables: Vec<String> = keys().iter().map(super::raw::Key::variable).collect();
    environment_settings(request)
        .filter(|(name, _)| !variables.iter().any(|variable| variable == name))
        .map(|(name, _)| Problem {
            origin: Origin::Environment {
                name: name.to_owned(),
            },
            key: String::new(),
            what: "is no setting".to_owned(),
            remedy: match nearest(name, variables.iter().map(String::as_str)) {
                Some(known) => format!("did you mean {known}?"),
                None => format!("`unset {name}`"),
            },
        })
        .collect()
}

/// The variables that may be settings: named `HARK_…` and not one of those with a meaning of their own.
fn environment_settings(request: &Request) -> impl Iterator<Item = (&str, &str)> {
    let own = |name: &str| {
        OWN_VARIABLES.contains(&name)
            || name.starts_with("HARK_TEST_")
            || name.starts_with("HARK_LONG_")
            || name.starts_with("HARK_BENCH_")
    };
    request
        .environment
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .filter(move |(name, _)| name.starts_with("HARK_") && !own(name))
}

/// Variables of Hark that are no settings.
const OWN_VARIABLES: &[&str] = &[
    "HARK_HOME",
    "HARK_LOG",
    "HARK_MODELS_DIR",
    "HARK_CACHE",
    "HARK_SERVICE",
];

fn read(path: &Path) -> Result<Option<String>, LoadError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(LoadError::Unreadable {
            path: path.to_owned(),
            source,
        }),
    }
}
