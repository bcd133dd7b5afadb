//! The file with the gateway's token: made at the first start, used as it is afterwards.
//!
//! Edge: called once at start. The file is 0600 from its first moment and appears whole (it is linked into its place), so
//! that two gateways that start at once agree on one token. One that others may read is refused: they may have read it.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::private::Private;

/// Why there is no token. Nothing listens then: exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Others may read it. Change its mode, or remove the file and have a new token made.
    #[error(
        "{} may be read by others (mode {mode:03o}); run `chmod 600 {}`, or remove it and start again for a new token",
        .path.display(), .path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It holds no token. Write one line into it, or remove it.
    #[error(
        "{} holds no token; remove it and start again for a new one, or write one word of printable characters into it",
        .path.display()
    )]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be read or made.
    #[error("the token file {} cannot be used: {source}; name another with gateway.token_file", .path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// The token in `path`, which is made where there is none.
///
/// # Errors
/// See [`TokenError`].
pub fn read_or_make(path: &Path) -> Result<Private<String>, TokenError> {
    match read(path) {
        Err(TokenError::Unusable { source, .. }) if source.kind() == ErrorKind::NotFound => {
            make(path).map_err(|source| unusable(path, source))?;
            tracing::info!(path = %path.display(), "made the gateway's token");
            read(path)
        }
        other => other,
    }
}

/// The token in `path`.
///
/// # Errors
/// See [`TokenError`].
pub fn read(path: &Path) -> Result<Private<String>, TokenError> {
    let mode = fs::metadata(path)
        .map_err(|source| unusable(path, source))?
        .mode()
        & 0o777;
    if mode & 0o077 != 0 {
        let path = path.to_owned();
        return Err(TokenError::Open { path, mode });
    }
    let text = fs::read_to_string(path).map_err(|source| unusable(path, source))?;
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let path = path.to_owned();
        return Err(TokenError::Empty { path });
    }
    Ok(token.to_owned().into())
}

fn make(path: &Path) -> std::io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.exists()) {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let beside = PathBuf::from(name);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut file| {
            file.write_all(format!("{}\n", random_token()?).as_bytes())?;
            file.sync_all()
        })
        .and_then(|()| match fs::hard_link(&beside, path) {
            // Another gateway was quicker: its token counts.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            other => other,
        });
    let removed = fs::remove_file(&beside);
    written.and(removed)
}

/// 256 random bits in hexadecimal.
fn random_token() -> std::io::Result<String> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn unusable(path: &Path, source: std::io::Error) -> TokenError {
    TokenError::Unusable {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_first_start_makes_a_token_that_only_the_user_can_read_and_later_starts_keep_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/gateway.token");
        let token = read_or_make(&path).unwrap();
        assert_eq!(token.as_str().len(), 64);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(
            fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777,
            0o700
        );
        assert_eq!(read_or_make(&path).unwrap(), token);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn the_users_own_token_is_used_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine");
        fs::write(&path, "sk-my.own_token\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert_eq!(read_or_make(&path).unwrap().as_str(), "sk-my.own_token");
        assert_eq!(fs::read_to_string(&path).unwrap(), "sk-my.own_token\n");
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_with_the_command_that_helps() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("open");
        fs::write(&path, "token").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let words = read_or_make(&path).unwrap_err().to_string();
        assert!(words.contains("mode 640"), "{words}");
        assert!(
            words.contains(&format!("chmod 600 {}", path.display())),
            "{words}"
        );
    }

    #[test]
    fn an_empty_file_is_no_token() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("empty");
        fs::write(&path, " \n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(read_or_make(&path), Err(TokenError::Empty { .. })));
    }
}
