//! What can be wrong with the store, by what the caller will do about it.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing has been recorded yet. Not a failure for a reader.
    #[error(
        "there is no transcript log at {path} yet; it is made with the first turn of `hark run`"
    )]
    Absent {
        /// Where it would be.
        path: PathBuf,
    },
    /// A later version of Hark wrote it. Update Hark; nothing was changed.
    #[error(
        "the transcript log {path} has schema {found}, and this version of hark knows {known}; update hark"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// It is no database, or a broken one. The writer sets it aside and begins a new one.
    #[error(
        "the transcript log {path} is damaged ({reason}); `hark doctor` tells more, and moving the file away starts a new one"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// SQLite's words about the structure.
        reason: String,
    },
    /// The disk is full. Make room; nothing was changed.
    #[error(
        "there is no room to write the transcript log {path}; make room on that disk and try again"
    )]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// The file or its folder may not be written (or read). Mend its owner and mode.
    #[error(
        "the transcript log {path} may not be opened or written; check owner and mode with `ls -ld {path}` and of its folder"
    )]
    Denied {
        /// The file.
        path: PathBuf,
    },
    /// Another process holds it for long. Try again.
    #[error("the transcript log {path} is in use by another process; try again in a moment")]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// The words are deleted, but remains may lie in the file because it could not be rewritten. Do it again.
    #[error(
        "the turns are deleted, but the file {path} could not be rewritten ({reason}), so traces may be left in it; \
         run the same command again"
    )]
    Unscrubbed {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Reading or writing failed otherwise. Retrying later may help.
    #[error("the transcript log {path} failed: {reason}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What SQLite or the system calls it.
        reason: String,
    },
}

impl StoreError {
    /// Sorts an error of SQLite. Its message is not kept where it could quote a statement's values.
    pub(super) fn from_sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        let path = path.to_owned();
        let rusqlite::Error::SqliteFailure(failure, _) = error else {
            let reason = match error {
                rusqlite::Error::FromSqlConversionFailure(column, kind, _) => {
                    format!("column {column} holds an unreadable {kind}")
                }
                rusqlite::Error::InvalidColumnType(_, name, kind) => {
                    format!("column {name} holds a {kind}")
                }
                _ => "unexpected answer of the database".to_owned(),
            };
            return Self::Io { path, reason };
        };
        match failure.code {
            ErrorCode::DiskFull => Self::Full { path },
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Busy { path },
            ErrorCode::ReadOnly
            | ErrorCode::PermissionDenied
            | ErrorCode::AuthorizationForStatementDenied
            | ErrorCode::CannotOpen => Self::Denied { path },
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Self::Damaged {
                path,
                reason: failure.to_string(),
            },
            _ => Self::Io {
                path,
                reason: failure.to_string(),
            },
        }
    }

    /// Sorts an error of the file system.
    pub(super) fn from_io(path: &Path, error: &std::io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            std::io::ErrorKind::NotFound => Self::Absent { path },
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                Self::Denied { path }
            }
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                Self::Full { path }
            }
            _ => Self::Io {
                path,
                reason: error.to_string(),
            },
        }
    }
}
