//! The loudness of the system's output.
//!
//! Blocking: each call runs a small command of the system (5 to 100 ms). Called from the agent's blocking work, never from
//! the conductor.

use super::command::CommandError;
use super::system;

/// Why the loudness is unknown or unchanged.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// Nothing here can set it. Tell the user to use the keys of the machine.
    #[error("the volume cannot be set on this machine")]
    Unsupported,
    /// The command for it failed. Tell the user.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// Its answer was not understood. A bug or a new version; report it.
    #[error("the volume could not be read")]
    Unreadable,
}

/// The loudness of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Volume {
    /// 0 to 100.
    pub percent: u8,
    /// Switched off, whatever the percentage.
    pub muted: bool,
}

/// Reads it.
///
/// # Errors
/// See [`VolumeError`].
pub fn get() -> Result<Volume, VolumeError> {
    system::volume()
}

/// Sets the percentage; more than 100 counts as 100.
///
/// # Errors
/// See [`VolumeError`].
pub fn set(percent: u8) -> Result<(), VolumeError> {
    system::set_volume(percent.min(100))
}

/// Switches the output off or on again.
///
/// # Errors
/// See [`VolumeError`].
pub fn set_muted(muted: bool) -> Result<(), VolumeError> {
    system::set_muted(muted)
}
