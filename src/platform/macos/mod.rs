//! macOS: folders, memory, the main loop, the microphone's permission, devices, the volume, and the system's voice.

mod audio;
mod keys;
mod memory;
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
pub(super) use keys::{hotkey_display, on_main_thread, secure_input};
pub(super) use memory::{
    available_bytes, footprint_bytes, gpu_limit_bytes, group_lives, listener, listening, pressure,
    processes, started,
};
pub(super) use speech::Voice;

pub(super) const SYSTEM: super::System = super::System::MacOs;
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

/// The scheduler's highest class below real time, which callbacks have.
pub(super) fn raise_this_thread() -> bool {
    // SAFETY: the call takes plain numbers, acts on the calling thread, and reports a failure by its result.
    unsafe {
        libc::pthread_set_qos_class_self_np(libc::qos_class_t::QOS_CLASS_USER_INTERACTIVE, 0) == 0
    }
}

/// The answer comes on a queue of the system's; the main thread need not run for it.
pub(super) fn ask_for_microphone(limit: Duration) {
    // SAFETY: a constant string of AVFoundation, which is linked.
    let Some(audio) = (unsafe { AVMediaTypeAudio }) else {
        return;
    };
    let (answered, answer) = std::sync::mpsc::sync_channel(1);
    let on_answer = block2::RcBlock::new(move |granted: objc2::runtime::Bool| {
        if answered.try_send(granted.as_bool()).is_err() {
            tracing::debug!("the answer about the microphone came after the wait for it");
        }
    });
    // SAFETY: `audio` is one of the two media types that it accepts; the system copies the block, which owns what it uses.
    unsafe { AVCaptureDevice::requestAccessForMediaType_completionHandler(audio, &on_answer) };
    match answer.recv_timeout(limit) {
        Ok(granted) => tracing::info!(granted, "the user was asked for the microphone"),
        Err(_) => tracing::warn!("nobody has answered the question for the microphone yet"),
    }
}

pub(super) fn own_memory_bytes() -> Option<u64> {
    let mut usage = std::mem::MaybeUninit::<libc::rusage_info_v0>::zeroed();
    // SAFETY: the flavour says that the buffer is a `rusage_info_v0`, which it is, and it outlives the call.
    let status = unsafe {
        libc::proc_pid_rusage(
            libc::getpid(),
            libc::RUSAGE_INFO_V0,
            usage.as_mut_ptr().cast(),
        )
    };
    if status != 0 {
        return None;
    }
    // SAFETY: zeros are a value of this plain structure, and the call has filled it.
    Some(unsafe { usage.assume_init() }.ri_phys_footprint)
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
        // A stroke of the hotkey wakes it at once.
        let result =
            CFRunLoop::run_in_mode(default_mode(), SLICE.as_secs_f64(), keys::are_wanted());
        keys::serve();
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
