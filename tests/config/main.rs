//! Settings: layers, checks, messages, and the verbs of `hark config`, each on a folder of its own and an environment that
//! the test wrote.
#![allow(clippy::unwrap_used)]

mod layers;
mod tools;
mod verbs;

use std::path::PathBuf;

use hark::config::{Config, LoadError, Places, Raw, Request, load};
use tempfile::TempDir;

/// A home folder with a configuration file.
pub(crate) struct Home {
    folder: TempDir,
    pub(crate) request: Request,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            request: Request::default(),
        }
    }

    pub(crate) fn with_file(text: &str) -> Self {
        let home = Self::new();
        std::fs::write(home.places().config_file, text).unwrap();
        home
    }

    pub(crate) fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.request
            .environment
            .push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn places(&self) -> Places {
        Places {
            config_file: self.folder.path().join("config.toml"),
            state: self.folder.path().join("state"),
            home: PathBuf::from("/home/somebody"),
        }
    }

    pub(crate) fn load(&self) -> Result<(Config, Raw), LoadError> {
        load(&self.places(), &self.request)
    }

    pub(crate) fn config(&self) -> Config {
        self.load().unwrap().0
    }

    /// The message of the failure, with the folder's name taken out.
    pub(crate) fn complaint(&self) -> String {
        let message = self.load().unwrap_err().to_string();
        self.without_folder(&message)
    }

    pub(crate) fn without_folder(&self, text: &str) -> String {
        text.replace(&self.folder.path().display().to_string(), "~")
    }
}
