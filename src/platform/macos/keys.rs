//! macOS: the main loop's part in the global key, and Secure Input.
//!
//! `RegisterEventHotKey` posts to the event queue of the main thread. A program without an application object must take its
//! events from there and dispatch them itself: [`serve`], called by the main loop after every slice.

use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, Ordering};

use dispatch2::DispatchQueue;

use super::super::hotkey::HotkeyError;

type EventRef = *mut c_void;

#[link(name = "Carbon", kind = "framework")]
unsafe extern "C" {
    fn ReceiveNextEvent(
        types: usize,
        list: *const c_void,
        timeout_s: f64,
        pull: u8,
        event: *mut EventRef,
    ) -> i32;
    fn GetEventDispatcherTarget() -> *mut c_void;
    fn SendEventToEventTarget(event: EventRef, target: *mut c_void) -> i32;
    fn ReleaseEvent(event: EventRef);
    fn IsSecureEventInputEnabled() -> u8;
}

/// Set once a key is asked for: before that, a command must not connect to the window server for nothing.
static WANTED: AtomicBool = AtomicBool::new(false);

/// Whether the main loop has keys to serve.
pub(super) fn are_wanted() -> bool {
    WANTED.load(Ordering::Relaxed)
}

/// Dispatches the events that wait for the main thread. To be called there.
pub(super) fn serve() {
    if !are_wanted() {
        return;
    }
    let mut event: EventRef = std::ptr::null_mut();
    // SAFETY: no types are listed, so every event is taken; `event` outlives the call.
    while unsafe { ReceiveNextEvent(0, std::ptr::null(), 0.0, 1, &raw mut event) } == 0 {
        // SAFETY: the event was pulled above, so it is ours until it is released, which happens once.
        let status = unsafe {
            let status = SendEventToEventTarget(event, GetEventDispatcherTarget());
            ReleaseEvent(event);
            status
        };
        tracing::trace!(status, "an event of the system was passed on");
    }
}

/// Every Mac session that lets a process register a key says so at registration.
pub(in crate::platform) fn hotkey_display() -> Result<(), HotkeyError> {
    WANTED.store(true, Ordering::Relaxed);
    Ok(())
}

/// Does the work on the main thread, which must be in its loop, and waits for it.
pub(in crate::platform) fn on_main_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let mut done = None;
    DispatchQueue::main().exec_sync(|| done = Some(work()));
    done.expect("the queue has done the work before it returned")
}

/// Whether a password field or a terminal keeps the keyboard from programs that watch it.
pub(in crate::platform) fn secure_input() -> Option<bool> {
    // SAFETY: the call takes nothing and only reads a state of the session.
    Some(unsafe { IsSecureEventInputEnabled() } != 0)
}
