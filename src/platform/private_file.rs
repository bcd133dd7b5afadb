//! Files that only their owner may read.
//!
//! Blocking; called before a database or a token is opened. SQLite gives its side files the mode of the database, so the
//! file is made here before SQLite sees it.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::path::Path;

/// Makes the folder of `path` (0700) and an empty file (0600) where they are missing; an existing file is closed to others.
///
/// # Errors
/// The folder or the file cannot be made.
pub fn make(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        modes::folder(&mut builder);
        builder.create(folder)?;
    }
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    modes::file(&mut options);
    modes::tighten(&options.open(path)?)
}

#[cfg(unix)]
mod modes {
    use std::fs::{DirBuilder, File, OpenOptions, Permissions};
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};

    pub(super) fn folder(builder: &mut DirBuilder) {
        builder.mode(0o700);
    }

    pub(super) fn file(options: &mut OpenOptions) {
        options.mode(0o600);
    }

    pub(super) fn tighten(file: &File) -> std::io::Result<()> {
        if file.metadata()?.permissions().mode() & 0o077 == 0 {
            return Ok(());
        }
        file.set_permissions(Permissions::from_mode(0o600))
    }
}

#[cfg(not(unix))]
mod modes {
    use std::fs::{DirBuilder, File, OpenOptions};

    pub(super) fn folder(_: &mut DirBuilder) {}

    pub(super) fn file(_: &mut OpenOptions) {}

    pub(super) fn tighten(_: &File) -> std::io::Result<()> {
        Ok(())
    }
}
