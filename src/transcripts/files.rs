//! The folder and the files of the store: private from the first byte, and the same ones as a moment ago.
//!
//! SQLite gives its side files (`-wal`, `-shm`) the mode of the database, so the database is made here before SQLite
//! sees it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// Makes the folder of `path` (0700) and an empty file (0600) where they are missing, and closes them to others where
/// they are open.
pub(super) fn make_private(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        make_private_folder(folder)?;
    }
    if !path.try_exists()? {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        private_file_mode(&mut options);
        options.open(path)?.sync_all()?;
        sync_folders(path);
    }
    tighten(path, 0o600)
}

/// Makes a folder (0700) where it is missing, and closes it to others where it is open.
pub(super) fn make_private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    private_folder_mode(&mut builder);
    builder.create(folder)?;
    tighten(folder, 0o700)
}

/// Makes the new names last: SQLite syncs what it writes into the file, and nobody else syncs that there is one.
fn sync_folders(path: &Path) {
    for folder in path.ancestors().skip(1).take(3) {
        if let Err(error) = File::open(folder).and_then(|folder| folder.sync_all()) {
            tracing::debug!(folder = %folder.display(), %error, "the folder's entries cannot be synced");
        }
    }
}

/// A new file for writing that only the user can read, replacing an old one.
pub(super) fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    private_file_mode(&mut options);
    options.open(path)
}

/// A file for appending that only the user can read.
pub(super) fn append_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    private_file_mode(&mut options);
    options.open(path)
}

/// Renames the database and its side files, so that a new one can be begun; the old one's new name.
pub(super) fn set_aside(path: &Path, stamp: &str) -> io::Result<PathBuf> {
    let renamed = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".damaged-{stamp}{suffix}"));
        PathBuf::from(name)
    };
    // The write-ahead log goes first: a database without its log is older, a log beside a foreign database is poison.
    for suffix in ["-wal", "-shm", ""] {
        let mut from = path.as_os_str().to_owned();
        from.push(suffix);
        match std::fs::rename(&from, renamed(suffix)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => result?,
        }
    }
    // The new log counts from 1 again: sounds of the old one must not be taken for its.
    let sounds = super::audio::folder(path);
    let beside = sounds.with_extension(format!("damaged-{stamp}"));
    match std::fs::rename(&sounds, beside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        result => result?,
    }
    Ok(renamed(""))
}

/// What tells one file from another that took its name; `None` where there is none.
#[cfg(unix)]
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Without inodes a file that exists is taken for the same.
#[cfg(not(unix))]
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|_| (0, 0))
}

#[cfg(unix)]
fn private_folder_mode(builder: &mut DirBuilder) {
    use std::os::unix::fs::DirBuilderExt as _;
    builder.mode(0o700);
}

#[cfg(unix)]
fn private_file_mode(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt as _;
    options.mode(0o600);
}

/// Takes away the rights of group and others. Not being allowed to is no reason not to record.
#[cfg(unix)]
fn tighten(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let permissions = std::fs::metadata(path)?.permissions();
    if permissions.mode() & 0o077 == 0 {
        return Ok(());
    }
    match std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            tracing::warn!(path = %path.display(), "others may read this, and its mode cannot be changed");
            Ok(())
        }
        result => result,
    }
}

#[cfg(not(unix))]
fn private_folder_mode(_: &mut DirBuilder) {}

#[cfg(not(unix))]
fn private_file_mode(_: &mut OpenOptions) {}

#[cfg(not(unix))]
fn tighten(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}
