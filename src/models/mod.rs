//! Speech model files: which there are, where they lie, whether they are whole.
//!
//! [`manifest`] holds what is known of each model, [`Library`] the files of this machine, [`pull`] brings new ones. Called
//! by commands and at the start of the daemon, blocking (a hash of a large file takes seconds); nothing here loads a model.
//!
//! A file is looked for, in this order, in: the folder in `$HARK_MODELS_DIR` (whoever sets it means it), the models folder
//! of the state (what was pulled), `../share/hark/models` next to the binary (an installed package), and the `models` folder
//! of the source tree that the binary was built from (development). Downloads go to the state's folder only.

pub mod manifest;
mod part;
pub mod pull;
pub mod wake;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use manifest::{Languages, ModelInfo};

/// The name of the model that comes with Hark.
pub const STARTER: &str = "starter.en";

/// Why a model file cannot be had or trusted.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// There is no model of this name, and no file either. Exit code 2.
    #[error("there is no speech model \"{name}\"{}; see: hark models list", .like.as_ref().map(|like| format!("; did you mean \"{like}\"?")).unwrap_or_default())]
    Unknown {
        /// What was asked for.
        name: String,
        /// The most similar name.
        like: Option<String>,
    },
    /// It is known, but its file is not here.
    #[error("the speech model {name} is not on this machine; get it with: hark models pull {name}")]
    NotHere {
        /// Its name.
        name: String,
    },
    /// The bundled model's file is missing: the installation is incomplete.
    #[error(
        "the bundled speech model {file} is missing from the installation; install Hark again, or set HARK_MODELS_DIR to the folder that holds it"
    )]
    StarterMissing {
        /// The file.
        file: String,
    },
    /// The file differs from what it should be. Exit code 1.
    #[error("{} is damaged: {reason}; get it again with: hark models remove {name} && hark models pull {name}", .path.display())]
    Damaged {
        /// The model.
        name: String,
        /// Its file.
        path: PathBuf,
        /// What differs.
        reason: String,
    },
    /// The bundled model cannot be pulled or removed. Exit code 2.
    #[error("{name} comes with Hark; it is neither pulled nor removed")]
    Bundled {
        /// Its name.
        name: String,
    },
    /// The system refused.
    #[error("{}: {reason}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
}

/// The hash that a file had when it was first downloaded, for models whose hash the manifest does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// SHA-256, hexadecimal.
    pub sha256: String,
    /// Size of the file.
    pub bytes: u64,
    /// Where it came from.
    pub source: String,
}

/// What checking a file showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verified {
    /// It has the hash of the manifest.
    Known,
    /// The manifest has none; it has the hash that it had at its first download.
    Pinned,
    /// Nothing is known to compare with; this is its hash.
    Unknown {
        /// SHA-256, hexadecimal.
        sha256: String,
    },
}

/// A model of the manifest, and its file on this machine if there is one.
#[derive(Debug, Clone)]
pub struct Entry {
    /// What is known of it.
    pub info: &'static ModelInfo,
    /// Its file.
    pub path: Option<PathBuf>,
}

/// The model files of this machine.
#[derive(Debug, Clone)]
pub struct Library {
    /// Where downloads and pins go.
    folder: PathBuf,
    /// Where files are looked for, the above included, first match first.
    places: Vec<PathBuf>,
}

impl Library {
    /// The library whose downloads lie in `folder` (`<state>/models`), with the usual places around it.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        let named = std::env::var_os("HARK_MODELS_DIR")
            .filter(|dir| !dir.is_empty())
            .map(PathBuf::from);
        let exe = std::env::current_exe().and_then(fs::canonicalize).ok();
        let installed = exe
            .as_deref()
            .and_then(Path::parent)
            .map(|bin| bin.join("../share/hark/models"));
        // In an app the program lies in `Contents/MacOS`.
        let bundle = exe
            .as_deref()
            .and_then(Path::parent)
            .filter(|folder| folder.ends_with("Contents/MacOS"))
            .map(|folder| folder.join("../Resources/models"));
        let source = Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("models"));
        let places = [named, Some(folder.clone()), bundle, installed, source];
        Self {
            folder,
            places: places.into_iter().flatten().collect(),
        }
    }

    /// A library that looks into `folder` and then into `others` only.
    #[must_use]
    pub fn only(folder: PathBuf, others: Vec<PathBuf>) -> Self {
        let mut places = vec![folder.clone()];
        places.extend(others);
        Self { folder, places }
    }

    /// The folder of downloads.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// All models, in the order of the manifest.
    #[must_use]
    pub fn list(&self) -> Vec<Entry> {
        manifest::all()
            .iter()
            .map(|info| Entry {
                info,
                path: self.find(info),
            })
            .collect()
    }

    /// The file of the model `name`; a path to an existing file is taken as it is.
    ///
    /// # Errors
    /// [`ModelError::Unknown`], [`ModelError::NotHere`] or [`ModelError::StarterMissing`].
    pub fn path(&self, name: &str) -> Result<PathBuf, ModelError> {
        let Some(info) = manifest::find(name) else {
            let file = Path::new(name);
            return if file.is_file() {
                Ok(file.to_owned())
            } else {
                Err(unknown(name))
            };
        };
        self.find(info).ok_or_else(|| {
            if info.bundled {
                ModelError::StarterMissing {
                    file: info.file.clone(),
                }
            } else {
                ModelError::NotHere {
                    name: name.to_owned(),
                }
            }
        })
    }

    /// The file of the bundled model.
    ///
    /// # Errors
    /// [`ModelError::StarterMissing`].
    pub fn starter(&self) -> Result<PathBuf, ModelError> {
        self.path(STARTER)
    }

    /// The best model on this machine for `language` that needs at most `memory_bytes`, else the starter.
    ///
    /// # Errors
    /// [`ModelError::StarterMissing`] when there is none at all.
    pub fn best(
        &self,
        language: &str,
        memory_bytes: u64,
    ) -> Result<(&'static ModelInfo, PathBuf), ModelError> {
        let here = self.list();
        let chosen = best(
            here.iter()
                .filter(|entry| entry.path.is_some())
                .map(|entry| entry.info),
            language,
            memory_bytes,
        );
        match chosen {
            Some(info) => Ok((info, self.path(&info.name)?)),
            None => {
                let info = manifest::find(STARTER)
                    .expect("the manifest holds the starter; a test says so");
                Ok((info, self.starter()?))
            }
        }
    }

    /// Compares the file of `name` with what is known of it.
    ///
    /// # Errors
    /// [`ModelError::Damaged`] when it differs, and as [`Self::path`].
    pub fn verify(
        &self,
        name: &str,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Verified, ModelError> {
        let path = self.path(name)?;
        let info = manifest::find(name);
        let bytes = fs::metadata(&path)
            .map_err(|reason| io_error(&path, reason))?
            .len();
        let pins = self.pins()?;
        let pin = info
            .and_then(|info| pins.get(&info.name))
            .filter(|_| path.starts_with(&self.folder));
        let known = info.and_then(|info| info.sha256.as_deref());
        let size = info
            .and_then(|info| info.bytes)
            .or(pin.map(|pin| pin.bytes));
        let damaged = |reason| ModelError::Damaged {
            name: name.to_owned(),
            path: path.clone(),
            reason,
        };
        if let Some(size) = size.filter(|size| *size != bytes) {
            return Err(damaged(format!("it has {bytes} bytes instead of {size}")));
        }
        let found = hash_file(&path, &mut |done| progress(done, bytes))
            .map_err(|reason| io_error(&path, reason))?;
        match known.or(pin.map(|pin| pin.sha256.as_str())) {
            Some(expected) if !expected.eq_ignore_ascii_case(&found) => Err(damaged(format!(
                "its SHA-256 is {found} instead of {expected}"
            ))),
            Some(_) if known.is_some() => Ok(Verified::Known),
            Some(_) => Ok(Verified::Pinned),
            None => Ok(Verified::Unknown { sha256: found }),
        }
    }

    /// Deletes the downloaded file of `name` with its pin and what is left of an unfinished download; returns the bytes
    /// that became free.
    ///
    /// # Errors
    /// [`ModelError::Bundled`], [`ModelError::NotHere`] when there is nothing in the downloads, or [`ModelError::Io`].
    pub fn remove(&self, name: &str) -> Result<u64, ModelError> {
        let info = manifest::find(name).ok_or_else(|| unknown(name))?;
        if info.bundled {
            return Err(ModelError::Bundled {
                name: name.to_owned(),
            });
        }
        let file = self.folder.join(&info.file);
        let mut freed = 0;
        let mut found = false;
        for path in [
            file.clone(),
            with_suffix(&file, ".part"),
            with_suffix(&file, ".part.toml"),
            with_suffix(&file, ".rejected"),
        ] {
            let bytes = fs::metadata(&path).map(|meta| meta.len()).unwrap_or(0);
            match fs::remove_file(&path) {
                Ok(()) => {
                    freed += bytes;
                    found = true;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(reason) => return Err(io_error(&path, reason)),
            }
        }
        if !found {
            return Err(ModelError::NotHere {
                name: name.to_owned(),
            });
        }
        let mut pins = self.pins()?;
        if pins.remove(name).is_some() {
            self.write_pins(&pins)?;
        }
        Ok(freed)
    }

    fn find(&self, info: &ModelInfo) -> Option<PathBuf> {
        self.places
            .iter()
            .map(|place| place.join(&info.file))
            .find(|path| path.is_file())
    }

    /// The pins by model name.
    fn pins(&self) -> Result<BTreeMap<String, Pin>, ModelError> {
        let path = self.folder.join("pins.toml");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(reason) => return Err(io_error(&path, reason)),
        };
        toml::from_str(&text)
            .map_err(|error| io_error(&path, io::Error::new(io::ErrorKind::InvalidData, error)))
    }

    fn write_pins(&self, pins: &BTreeMap<String, Pin>) -> Result<(), ModelError> {
        let path = self.folder.join("pins.toml");
        let part = with_suffix(&path, ".part");
        let text = toml::to_string(pins).expect("strings and numbers can always be written");
        let written = fs::write(&part, text).and_then(|()| fs::rename(&part, &path));
        written.map_err(|reason| io_error(&path, reason))
    }
}

/// Which of `models` (those on the machine) is best for `language` within `memory_bytes`: the highest rank that knows the
/// language. `None` when none fits.
pub fn best<'a>(
    models: impl IntoIterator<Item = &'a ModelInfo>,
    language: &str,
    memory_bytes: u64,
) -> Option<&'a ModelInfo> {
    models
        .into_iter()
        .filter(|model| model.memory_bytes <= memory_bytes)
        .filter(|model| language == "en" || model.languages == Languages::Many)
        .max_by_key(|model| model.rank)
}

/// SHA-256 of a file, hexadecimal; `progress` gets the bytes read.
fn hash_file(path: &Path, progress: &mut dyn FnMut(u64)) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut done = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hex(&hash.finalize())),
            Ok(read) => {
                hash.update(&buffer[..read]);
                done += read as u64;
                progress(done);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}

fn unknown(name: &str) -> ModelError {
    let like = manifest::all()
        .iter()
        .map(|info| (strsim::jaro_winkler(&info.name, name), &info.name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, like)| like.clone());
    ModelError::Unknown {
        name: name.to_owned(),
        like,
    }
}

fn io_error(path: &Path, reason: io::Error) -> ModelError {
    ModelError::Io {
        path: path.to_owned(),
        reason,
    }
}

/// The path with `suffix` behind its file name.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(models: &[&str]) -> Vec<&'static ModelInfo> {
        models
            .iter()
            .map(|name| manifest::find(name).expect("in the manifest"))
            .collect()
    }

    #[test]
    fn the_best_model_is_the_largest_that_fits_and_knows_the_language() {
        let here = names(&[
            "starter.en",
            "tiny",
            "tiny.en",
            "base.en-q5_1",
            "small",
            "large-v3-turbo-q5_0",
        ]);
        let chosen = |language: &str, memory: u64| {
            best(here.iter().copied(), language, memory).map(|m| m.name.as_str())
        };
        assert_eq!(chosen("en", 2_000_000_000), Some("large-v3-turbo-q5_0"));
        assert_eq!(chosen("en", 1_000_000_000), Some("small"));
        assert_eq!(chosen("en", 500_000_000), Some("base.en-q5_1"));
        assert_eq!(chosen("en", 300_000_000), Some("tiny.en"));
        assert_eq!(chosen("de", 500_000_000), Some("tiny"));
        assert_eq!(chosen("auto", 1_000_000_000), Some("small"));
        assert_eq!(chosen("en", 100_000_000), Some("starter.en"));
        assert_eq!(chosen("de", 100_000_000), None);
        assert_eq!(chosen("en", 1_000), None);
    }

    #[test]
    fn a_misspelt_name_gets_a_proposal() {
        assert_eq!(
            unknown("tinny.en").to_string(),
            "there is no speech model \"tinny.en\"; did you mean \"tiny.en\"?; see: hark models list"
        );
        assert!(
            unknown("qwertz")
                .to_string()
                .starts_with("there is no speech model \"qwertz\"; see")
        );
    }

    #[test]
    fn hashes_are_written_in_lower_case_hexadecimal() {
        assert_eq!(hex(&[0x00, 0xAB, 0x09]), "00ab09");
    }
}
