//! Where Hark keeps its files.
//!
//! `HARK_HOME` puts everything below one folder; otherwise the system's usual places are taken. The environment is passed
//! in, so that tests and `hark doctor` can ask about another one; nothing is created here.

use std::ffi::OsString;
use std::path::PathBuf;

use super::system;

/// The folders; none need exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directories {
    /// `config.toml`.
    pub config: PathBuf,
    /// The transcript log, models, tokens: what must outlive a restart.
    pub state: PathBuf,
    /// Log files.
    pub logs: PathBuf,
    /// The control socket: what must not outlive the session, where the system has a place for that.
    pub runtime: PathBuf,
}

/// Neither `HARK_HOME` nor `HOME` says where to write. Set one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("neither HARK_HOME nor HOME is set")]
pub struct NoHome;

/// The folders for an environment, of which `variable` gives a value by name.
///
/// # Errors
/// [`NoHome`].
pub fn directories(variable: impl Fn(&str) -> Option<OsString>) -> Result<Directories, NoHome> {
    let path = |name: &str| {
        variable(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if let Some(root) = path("HARK_HOME") {
        return Ok(Directories {
            config: root.clone(),
            logs: root.join("logs"),
            runtime: root.clone(),
            state: root,
        });
    }
    system::directories(&path).ok_or(NoHome)
}

/// The folders for the environment of this process.
///
/// # Errors
/// [`NoHome`].
pub fn from_environment() -> Result<Directories, NoHome> {
    directories(|name| std::env::var_os(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hark_home_wins_over_everything() {
        let found = directories(|name| match name {
            "HARK_HOME" => Some("/tmp/h".into()),
            _ => Some("/elsewhere".into()),
        });
        let found = found.unwrap();
        assert_eq!(found.state, PathBuf::from("/tmp/h"));
        assert_eq!(found.config, PathBuf::from("/tmp/h"));
        assert_eq!(found.logs, PathBuf::from("/tmp/h/logs"));
    }

    #[test]
    fn without_any_home_there_is_an_error_and_an_empty_value_counts_as_none() {
        assert_eq!(directories(|_| None), Err(NoHome));
        assert_eq!(directories(|_| Some(OsString::new())), Err(NoHome));
    }
}
