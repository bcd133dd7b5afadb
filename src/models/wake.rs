//! Wake models: one file for a phrase, with the table of what its scores mean beside it.
//!
//! `wake-hey-hark.onnx` and `wake-hey-hark.toml` are looked for in the places of [`Library`]. Two come with Hark;
//! `make train-wake PHRASE="…"` makes one for another phrase. A phrase without a model is no error: the transcript finds it.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Library, hash_file};

/// Why a wake model cannot be trusted.
#[derive(Debug, thiserror::Error)]
pub enum WakeFileError {
    /// A model and the table beside it do not belong together, or the table is none. Install or train it again.
    #[error(
        "{} is damaged: {reason}; install Hark again, or train it again: make train-wake PHRASE=\"...\"", .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The system refused, or the table is missing.
    #[error("{}: {reason}; a wake model needs its table (.toml) beside it", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
}

/// What is known of a wake model; the file beside it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WakeInfo {
    /// What it listens for, in lower case.
    pub phrase: String,
    /// Score below which the phrase was not said: as low as leaves hardly any real one out.
    pub propose: f32,
    /// Score from which the phrase counts as said, whatever the transcript says.
    pub threshold: f32,
    /// SHA-256 of the model file, hexadecimal.
    pub sha256: String,
    /// What was measured at these values, for people.
    #[serde(default)]
    pub measured: String,
}

/// A wake model of this machine.
#[derive(Debug, Clone, PartialEq)]
pub struct WakeEntry {
    /// What is known of it.
    pub info: WakeInfo,
    /// The model.
    pub path: PathBuf,
}

impl Library {
    /// The model for `phrase`, `None` where there is none.
    ///
    /// # Errors
    /// [`WakeFileError`] when model and table do not belong together or cannot be read.
    pub fn wake(&self, phrase: &str) -> Result<Option<WakeEntry>, WakeFileError> {
        let name = format!("wake-{}", slug(phrase));
        let found = self
            .places
            .iter()
            .map(|place| place.join(format!("{name}.onnx")))
            .find(|path| path.is_file());
        found.map(|path| wake_at(&path)).transpose()
    }
}

/// The wake model in the file `path`, with the table beside it.
///
/// # Errors
/// See [`Library::wake`].
pub fn wake_at(path: &Path) -> Result<WakeEntry, WakeFileError> {
    let table = path.with_extension("toml");
    let damaged = |path: &Path, reason: String| WakeFileError::Damaged {
        path: path.to_owned(),
        reason,
    };
    let refused = |path: &Path, reason: std::io::Error| WakeFileError::Io {
        path: path.to_owned(),
        reason,
    };
    let text = fs::read_to_string(&table).map_err(|reason| refused(&table, reason))?;
    let info: WakeInfo =
        toml::from_str(&text).map_err(|error| damaged(&table, error.message().to_owned()))?;
    let hash = hash_file(path, &mut |_| {}).map_err(|reason| refused(path, reason))?;
    if hash != info.sha256 {
        let reason = format!("it has the hash {hash}, not that of {}", table.display());
        return Err(damaged(path, reason));
    }
    Ok(WakeEntry {
        info,
        path: path.to_owned(),
    })
}

/// A phrase as a part of a file's name: "Hey Hark" is "hey-hark".
fn slug(phrase: &str) -> String {
    let words: Vec<String> = phrase
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    words.join("-")
}
