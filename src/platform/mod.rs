//! Everything that differs from system to system, behind the same functions: the only place with `target_os`.
//!
//! Each system has one module with the same set of functions, of which exactly one is compiled; the functions here give
//! them their names and documentation. [`clock`] and [`directories`] decide nothing by system. Any thread may call
//! anything here, except [`run_main_loop`], which belongs to the main thread.

pub mod audio;
pub mod child;
pub mod clock;
pub mod command;
pub mod cpu;
pub mod directories;
pub mod disk;
pub mod gpu;
pub mod hotkey;
pub mod memory;
pub mod ports;
pub mod priority;
pub mod private_file;
pub mod process;
pub mod quiet;
pub mod speech;
pub mod tls;
pub mod user;
pub mod volume;

#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "macos")]
use macos as system;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as system;

#[cfg(not(any(target_os = "macos", target_os = "linux")))]
mod other;
#[cfg(not(any(target_os = "macos", target_os = "linux")))]
use other as system;

/// Whether this process may open the microphone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// It may.
    Granted,
    /// The user said no: see [`microphone_settings_hint`].
    Denied,
    /// The administrator of the machine said no.
    Restricted,
    /// Nobody has been asked yet: the system asks when a stream is opened.
    NotAsked,
    /// This system has no such switch.
    NotApplicable,
}

/// Whether this process may open the microphone. Asks nobody.
#[must_use]
pub fn microphone_permission() -> Permission {
    system::microphone_permission()
}

/// Asks the user for the microphone where nobody has been asked yet, and waits for the answer: at most `limit`. The system
/// shows the question once for each program and remembers the answer.
#[must_use]
pub fn ask_for_microphone(limit: std::time::Duration) -> Permission {
    if microphone_permission() == Permission::NotAsked {
        system::ask_for_microphone(limit);
    }
    microphone_permission()
}

/// Where the user can change [`microphone_permission`], as a sentence.
#[must_use]
pub fn microphone_settings_hint() -> &'static str {
    system::MICROPHONE_SETTINGS_HINT
}

/// The user id of this process, for the service manager's session.
#[must_use]
pub fn user_id() -> u32 {
    // SAFETY: getuid has no preconditions and cannot fail.
    unsafe { libc::getuid() }
}

/// Who runs the services of a user's session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceKind {
    /// `launchctl`.
    Launchd,
    /// `systemctl --user`.
    Systemd,
    /// Nobody that we know.
    Nobody,
}

/// Who runs the services of a user's session on this system.
#[must_use]
pub fn service_kind() -> ServiceKind {
    system::SERVICE_KIND
}

/// Where programs of this system lie: a service reads no shell profile.
#[must_use]
pub fn program_path() -> &'static str {
    system::PROGRAM_PATH
}

/// The machine's memory in bytes; `None` if the system does not tell.
#[must_use]
pub fn total_memory_bytes() -> Option<u64> {
    system::total_memory_bytes()
}

/// What the processor calls itself; `None` if the system does not tell.
#[must_use]
pub fn processor_name() -> Option<String> {
    system::processor_name()
}

/// Memory that this process holds, in bytes: its physical footprint on macOS, its resident set on Linux; `None` if the
/// system does not tell.
#[must_use]
pub fn own_memory_bytes() -> Option<u64> {
    system::own_memory_bytes()
}

/// Whether a password field (or a terminal that protects itself) keeps the keyboard from programs that watch it; `None`
/// where the system has no such state. The key of [`hotkey`] works all the same.
#[must_use]
pub fn secure_input() -> Option<bool> {
    system::secure_input()
}

/// The command with which a package is installed here, for remedies.
#[must_use]
pub fn install_command(package: &str) -> String {
    format!("{} {package}", system::INSTALL_COMMAND)
}

/// The systems for which there are tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// macOS.
    MacOs,
    /// Linux.
    Linux,
    /// Another.
    Other,
}

/// Which system this is, for tables that are kept for all of them and tested on each.
#[must_use]
pub fn system() -> System {
    system::SYSTEM
}

/// The name of this system as users know it.
#[must_use]
pub fn system_name() -> &'static str {
    system::NAME
}

/// Runs `work` on a thread of its own while the main thread serves the system's event loop, where there is one: macOS
/// delivers speech buffers, hotkeys and permission dialogs there. Elsewhere `work` simply runs. Call it once, from the
/// main thread; a panic of `work` is passed on.
///
/// # Errors
/// When the system gives no thread.
pub fn run_main_loop<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<T> {
    system::run_main_loop(work)
}

#[cfg(all(test, not(target_os = "macos")))]
mod tests {
    #[test]
    fn without_an_event_loop_the_work_simply_runs() {
        let caller = std::thread::current().id();
        let ran = super::run_main_loop(|| std::thread::current().id());
        assert_eq!(ran.unwrap(), caller);
    }
}
