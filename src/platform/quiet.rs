//! Keeps C libraries from writing to our standard error.
//!
//! ALSA, JACK and OSS print a screenful for every device that they do not find while cpal lists what there is (measured:
//! 60 lines on a machine without a sound card); what matters comes back as an error. Called by whoever opens or lists
//! devices, never from a callback.

/// Runs `work` while standard error of the whole process goes nowhere; our own log lines of that moment are lost, too.
pub fn quietly<T>(work: impl FnOnce() -> T) -> T {
    #[cfg(target_os = "linux")]
    let _restored_at_the_end = Silence::begin();
    work()
}

#[cfg(target_os = "linux")]
struct Silence {
    /// A copy of the real standard error.
    saved: std::os::fd::OwnedFd,
    /// One at a time: two that overlap would restore in the wrong order.
    _turn: std::sync::MutexGuard<'static, ()>,
}

#[cfg(target_os = "linux")]
static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());

#[cfg(target_os = "linux")]
impl Silence {
    fn begin() -> Option<Self> {
        use std::os::fd::{AsFd, AsRawFd};
        let turn = TURN
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let saved = std::io::stderr().as_fd().try_clone_to_owned().ok()?;
        let nowhere = std::fs::OpenOptions::new()
            .write(true)
            .open("/dev/null")
            .ok()?;
        // SAFETY: both descriptors are open; `dup2` replaces descriptor 2 as a whole and touches no memory.
        let replaced = unsafe { libc::dup2(nowhere.as_raw_fd(), libc::STDERR_FILENO) };
        (replaced >= 0).then_some(Self { saved, _turn: turn })
    }
}

#[cfg(target_os = "linux")]
impl Drop for Silence {
    fn drop(&mut self) {
        use std::os::fd::AsRawFd;
        // SAFETY: as above; `saved` is open until after this.
        let restored = unsafe { libc::dup2(self.saved.as_raw_fd(), libc::STDERR_FILENO) };
        if restored < 0 {
            tracing::error!("standard error could not be restored");
        }
    }
}
