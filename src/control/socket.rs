//! Where the socket lies, and who may have it.
//!
//! The socket is `hark.sock` in the runtime folder (0700), itself 0600. Whoever holds the lock on `hark.sock.lock` owns it:
//! the system gives the lock back when a daemon dies, however it dies, so a socket that was left behind is replaced, and one
//! of a daemon that lives (hung ones too) never is. Used by the daemon at its start and by every client.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::platform::user;

/// The socket's name in the runtime folder.
const NAME: &str = "hark.sock";

/// Bytes that the address of a unix socket may have on every system: macOS has room for 104 with the final zero, Linux for
/// 108.
const LONGEST: usize = 103;

/// The socket cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// A daemon has it. Stop that one, or give this one another home.
    #[error("hark is already running here{}, with the control socket {}", of(*.process), .path.display())]
    Taken {
        /// The socket.
        path: PathBuf,
        /// Its process, where that is known.
        process: Option<u32>,
    },
    /// The folder is somebody else's or open to others and cannot be closed: nobody may put a socket there that others
    /// could replace.
    #[error("{} cannot be used for the control socket: {reason}", .path.display())]
    Unsafe {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The system refused. Its message says why.
    #[error("the control socket {} cannot be made: {source}", .path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn of(process: Option<u32>) -> String {
    process.map_or_else(String::new, |process| format!(" (process {process})"))
}

/// Where the socket of a daemon with this runtime folder lies. A path that is too long for a socket's address is replaced by
/// a short one in a folder of the user under `/tmp`, the same for daemon and clients.
#[must_use]
pub fn place(runtime: &Path) -> PathBuf {
    let path = runtime.join(NAME);
    if path.as_os_str().len() <= LONGEST {
        return path;
    }
    let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
    let name: String = digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    PathBuf::from(format!("/tmp/hark-{}", user::id())).join(format!("{name}.sock"))
}

/// The process that owns the socket at `path`, where one does.
#[must_use]
pub fn owner(path: &Path) -> Option<u32> {
    let mut file = File::open(lock_path(path)).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => read_process(&mut file),
        // Nobody holds it: what stands there is of a daemon that has ended.
        _ => None,
    }
}

/// The right to the socket, and the socket itself. Dropping it removes the socket.
#[derive(Debug)]
pub struct Lease {
    path: PathBuf,
    listener: UnixListener,
    /// Held until the end.
    _lock: File,
}

impl Lease {
    /// Takes the socket at `path`: its folder is made or closed to others, a socket without an owner is replaced.
    ///
    /// # Errors
    /// See [`SocketError`].
    pub fn take(path: &Path) -> Result<Self, SocketError> {
        let io = |source| SocketError::Io {
            path: path.to_owned(),
            source,
        };
        if let Some(folder) = path.parent() {
            make_private(folder)?;
        }
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(lock_path(path))
            .map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(SocketError::Taken {
                    path: path.to_owned(),
                    process: read_process(&mut lock),
                });
            }
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        lock.set_len(0).map_err(io)?;
        write!(lock, "{}", std::process::id()).map_err(io)?;
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(io)?;
        // Between the two calls only the folder's mode protects it, and the server asks every peer who it is.
        std::fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(io)?;
        listener.set_nonblocking(true).map_err(io)?;
        Ok(Self {
            path: path.to_owned(),
            listener,
            _lock: lock,
        })
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Another hand on the listening socket.
    ///
    /// # Errors
    /// The process has no descriptors left.
    pub(super) fn listener(&self) -> io::Result<UnixListener> {
        self.listener.try_clone()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "the control socket was gone already");
        }
    }
}

fn lock_path(path: &Path) -> PathBuf {
    path.with_extension("sock.lock")
}

fn read_process(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    // Enough for any process number; the file is ours, but its length need not be trusted.
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Makes the folder with mode 0700, or closes the one that is there.
fn make_private(folder: &Path) -> Result<(), SocketError> {
    let refuse = |reason: String| SocketError::Unsafe {
        path: folder.to_owned(),
        reason,
    };
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder
        .create(folder)
        .map_err(|error| refuse(error.to_string()))?;
    let metadata = std::fs::symlink_metadata(folder).map_err(|error| refuse(error.to_string()))?;
    if metadata.file_type().is_symlink() && folder.starts_with("/tmp") {
        return Err(refuse(
            "it is a link, which somebody else may have made".to_owned(),
        ));
    }
    let metadata = std::fs::metadata(folder).map_err(|error| refuse(error.to_string()))?;
    if metadata.uid() != user::id() {
        return Err(refuse(format!("it belongs to user {}", metadata.uid())));
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        std::fs::set_permissions(folder, Permissions::from_mode(0o700))
            .map_err(|error| refuse(format!("others may use it: {error}")))?;
        tracing::info!(folder = %folder.display(), "closed to other users");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_is_replaced_by_a_short_one_that_is_always_the_same() {
        let short = Path::new("/run/user/1000/hark");
        assert_eq!(place(short), short.join("hark.sock"));
        let long = PathBuf::from(format!("/{}", "folder/".repeat(20)));
        let found = place(&long);
        assert!(found.as_os_str().len() <= LONGEST, "{}", found.display());
        assert_eq!(found, place(&long));
        assert_ne!(found, place(&long.join("other")));
    }
}
