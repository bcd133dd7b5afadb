//! What can be mended without asking: missing folders, modes that are too open, a deletion that was cut short.
//!
//! Nothing is deleted, moved, downloaded, started or stopped. Modes are tightened below the state folder only: a key
//! elsewhere may be shared on purpose.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use super::Setup;
use super::files::{loose, private_places};
use crate::transcripts::{StoreError, forget};

/// Something that was mended, or could not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mended {
    /// What.
    pub what: String,
    /// Why it could not be done.
    pub failed: Option<String>,
}

/// Mends what is safe; empty where there was nothing to do.
#[must_use]
pub fn mend(setup: &Setup) -> Vec<Mended> {
    let mut done = folders(setup);
    done.extend(modes(setup));
    done.extend(deletion(&setup.places.transcripts()));
    done
}

fn mended<E: std::fmt::Display>(what: String, result: Result<(), E>) -> Mended {
    Mended {
        what,
        failed: result.err().map(|error| error.to_string()),
    }
}

fn folders(setup: &Setup) -> Vec<Mended> {
    let places = &setup.places;
    let log = places.transcripts();
    let wanted = [
        places.config_file.parent(),
        Some(places.state.as_path()),
        log.parent(),
    ];
    let mut done = Vec::new();
    for folder in wanted.into_iter().flatten() {
        if !folder.exists() {
            let what = format!("made the folder {} (mode 700)", folder.display());
            done.push(mended(what, make(folder)));
        }
    }
    done
}

fn make(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn modes(setup: &Setup) -> Vec<Mended> {
    let places = private_places(setup);
    let ours = places
        .iter()
        .filter(|place| place.path.starts_with(&setup.places.state));
    ours.filter_map(|place| {
        let before = loose(place)?;
        let what = format!(
            "closed {} to others (mode {before:o} → {:o})",
            place.path.display(),
            place.mode
        );
        let permissions = fs::Permissions::from_mode(place.mode);
        Some(mended(what, fs::set_permissions(&place.path, permissions)))
    })
    .collect()
}

fn deletion(log: &Path) -> Option<Mended> {
    // A log that cannot be opened is told by its own check.
    let unfinished: Result<bool, StoreError> = forget::is_unfinished(log);
    if !unfinished.is_ok_and(|unfinished| unfinished) {
        return None;
    }
    let what = "finished a deletion that had been cut short".to_owned();
    Some(mended(what, forget::finish(log)))
}
