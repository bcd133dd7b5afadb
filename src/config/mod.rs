//! Settings: one list of keys, four layers, one valid result.
//!
//! `defaults.toml` is compiled in and is the single source of the keys, their defaults and their documentation. [`raw`]
//! holds the layers as they were written and knows where each value comes from; [`resolved`] checks them and leaves
//! nothing optional that has a default. Both are core: text in, values out. [`mod@load`] is edge: it reads the file and the
//! environment. [`template`] (core) renders the commented file that `hark config init` writes.
//!
//! Called once at start by `cli` and `daemon`; the resolved value is plain data and is shared freely. Where the file lies
//! is the business of `platform`; it comes in as [`Places`].

pub mod changes;
pub mod load;
pub mod raw;
pub mod resolved;
mod size;
pub mod template;
pub mod tools;
mod validate;

use std::path::PathBuf;

pub use load::{LoadError, Request, load};
pub use raw::{Origin, Problem, Problems, Raw, Value};
pub use resolved::Config;

/// Bytes of a size as settings and flags write it (`8GiB`, `1.5 GB`, `4096`); `None` where it is none.
#[must_use]
pub fn size_in_bytes(text: &str) -> Option<u64> {
    size::bytes(text)
}

/// The folders and files that settings refer to, as `platform` found them (or `HARK_HOME` moved them).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The configuration file; it need not exist.
    pub config_file: PathBuf,
    /// The folder of what Hark writes: transcripts, token, models.
    pub state: PathBuf,
    /// The user's home folder, for `~/` in paths.
    pub home: PathBuf,
}

impl Places {
    /// The file of the transcript log.
    #[must_use]
    pub fn transcripts(&self) -> PathBuf {
        self.state.join("transcripts").join("transcripts.db")
    }

    /// The file with timers, notes and facts.
    #[must_use]
    pub fn notebook(&self) -> PathBuf {
        self.state.join("notebook.db")
    }
}
