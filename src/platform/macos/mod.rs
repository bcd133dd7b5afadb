//! macOS: folders, memory, the main loop, the microphone's permission, devices, the volume, and the system's voice.

mod audio;
mod speech;

use std::path::PathBuf;
use std::time::Duration;

use objc2_av_foundation::{AVAuthorizationStatus, AVCaptureDevice, AVMediaTypeAudio};
use objc2_core_foundation::{CFRunLoop, CFRunLoopMode, CFRunLoopRunResult, kCFRunLoopDefaultMode};

use super::Permission;
use super::command::run;
use super::directories::Directories;
use super::volume::{Volume, VolumeError};

pub(super) use audio::{another_program_listens, attachment};
pub(super) use speech::Voice;

pub(super) const NAME: &str = "macOS";
pub(super) const INSTALL_COMMAND: &str = "brew install";
pub(super) const SERVICE_KIND: super::ServiceKind = super::ServiceKind::Launchd;
pub(super) const PROGRAM_PATH: &str =
    "/opt/homebrew/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";
pub(super) const MICROPHONE_SETTINGS_HINT: &str = "Open System Settings, Privacy & Security, Microphone, and switch Hark on \
     (or the terminal that starts it). If it is on and Hark still hears nothing, switch it off and on again.";

pub(super) fn microphone_permission() -> Permission {
    // SAFETY: a constant string of AVFoundation, which is linked.
    let Some(audio) = (unsafe { AVMediaTypeAudio }) else {
        return Permission::NotApplicable;
    };
    // SAFETY: a class method without side effects; `audio` is one of the two media types that it accepts.
    match unsafe { AVCaptureDevice::authorizationStatusForMediaType(audio) } {
        AVAuthorizationStatus::Authorized => Permission::Granted,
        AVAuthorizationStatus::Denied => Permission::Denied,
        AVAuthorizationStatus::Restricted => Permission::Restricted,
        _ => Permission::NotAsked,
    }
}

pub(super) fn processor_name() -> Option<String> {
    let mut name = [0_u8; 128];
    let mut size = name.len();
    // SAFETY: the name of the value is a C string; `name` and `size` outlive the call, and `size` says how large `name` is.
    let status = unsafe {
        libc::sysctlbyname(
            c"machdep.cpu.brand_string".as_ptr(),
            name.as_mut_ptr().cast(),
            &raw mut size,
            std::ptr::null_mut(),
            0,
        )
    };
    if status != 0 {
        return None;
    }
    let text = std::ffi::CStr::from_bytes_until_nul(&name).ok()?;
    Some(text.to_str().ok()?.to_owned())
}

pub(super) fn total_memory_bytes() -> Option<u64> {
    let mut bytes: u64 = 0;
    let mut size = std::mem::size_of::<u64>();
    // SAFETY: the name is a C string; `bytes` and `size` outlive the call, and `size` says how large `bytes` is.
    let status = unsafe {
        libc::sysctlbyname(
            c"hw.memsize".as_ptr(),
            (&raw mut bytes).cast(),
            &raw mut size,
            std::ptr::null_mut(),
            0,
        )
    };
    (status == 0 && size == std::mem::size_of::<u64>()).then_some(bytes)
}

/// The main thread serves the main queue until `work` has ended; without it `AVSpeechSynthesizer` delivers nothing.
pub(super) fn run_main_loop<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<T> {
    let worker = std::thread::Builder::new()
        .name("work".to_owned())
        .spawn(work)?;
    while !worker.is_finished() {
        // A slice of time instead of an endless run: no stop can then be lost, and the loop also returns at once when
        // it has nothing to wait for yet.
        let result = CFRunLoop::run_in_mode(default_mode(), SLICE.as_secs_f64(), false);
        if result == CFRunLoopRunResult::Finished {
            std::thread::sleep(SLICE);
        }
    }
    match worker.join() {
        Ok(value) => Ok(value),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn default_mode() -> Option<&'static CFRunLoopMode> {
    // SAFETY: a constant string of CoreFoundation, which is linked.
    unsafe { kCFRunLoopDefaultMode }
}

pub(super) fn directories(path: &dyn Fn(&str) -> Option<PathBuf>) -> Option<Directories> {
    let library = path("HOME")?.join("Library");
    let root = library.join("Application Support/hark");
    Some(Directories {
        config: root.clone(),
        logs: library.join("Logs/hark"),
        runtime: root.clone(),
        state: root,
    })
}

pub(super) fn volume() -> Result<Volume, VolumeError> {
    let script = "set v to get volume settings\nreturn (output volume of v as text) & \" \" & (output muted of v as text)";
    let printed = osascript(script)?;
    let mut words = printed.split_whitespace();
    let percent = words.next().and_then(|word| word.parse().ok());
    // Devices that set their own loudness (HDMI, many interfaces) answer "missing value".
    let percent = percent.ok_or(VolumeError::Unsupported)?;
    Ok(Volume {
        percent,
        muted: words.next() == Some("true"),
    })
}

pub(super) fn set_volume(percent: u8) -> Result<(), VolumeError> {
    osascript(&format!("set volume output volume {percent}")).map(drop)
}

pub(super) fn set_muted(muted: bool) -> Result<(), VolumeError> {
    osascript(&format!("set volume output muted {muted}")).map(drop)
}

fn osascript(script: &str) -> Result<String, VolumeError> {
    Ok(run("osascript", &["-e", script], LIMIT)?)
}

/// osascript starts in about 50 ms; it hangs when the session has no window server.
const LIMIT: Duration = Duration::from_secs(3);

/// How long the end of the work may go unnoticed.
const SLICE: Duration = Duration::from_millis(50);
