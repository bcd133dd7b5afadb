//! The global push-to-talk key: told when it goes down and when it comes up, whatever program has the keyboard.
//!
//! macOS by `RegisterEventHotKey`, which needs no permission and goes on under Secure Input; its events are served by
//! [`super::run_main_loop`]. Linux by a grab on the X server; a Wayland compositor hands its keys to nobody. The callback
//! runs on a thread of the system's and must be quick.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use global_hotkey::hotkey::{HotKey, HotKeyParseError};
use global_hotkey::{GlobalHotKeyEvent, GlobalHotKeyManager, HotKeyState};

use super::system;

/// What the key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stroke {
    /// It goes down; a keyboard's repetition is not told.
    Down,
    /// It comes up.
    Up,
}

/// There is no such key. Everything else works without it, and so does `hark ptt`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HotkeyError {
    /// The name cannot be read. Write modifiers and one key, like `ctrl+alt+space`.
    #[error("\"{key}\" names no key: {reason}")]
    Unreadable {
        /// As written.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no screen to take keys from. Start Hark within the graphical session.
    #[error("there is no display to take keys from: {reason}")]
    NoDisplay {
        /// What the system said.
        reason: String,
    },
    /// The compositor gives keys to nobody. Bind the key there, to `hark ptt toggle`.
    #[error("a Wayland session does not hand its keys to programs")]
    Wayland,
    /// Another program has it. Choose another key.
    #[error("another program has taken {key} already")]
    Taken {
        /// As written.
        key: String,
    },
    /// The system refused for another reason.
    #[error("the system does not give {key}: {reason}")]
    Refused {
        /// As written.
        key: String,
        /// What the system said.
        reason: String,
    },
}

impl HotkeyError {
    /// What to do next.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Unreadable { .. } => "set hotkey.push_to_talk to modifiers and a key, like \"ctrl+alt+space\" or \
                 \"cmd+shift+F5\" (`hark config path` tells where)"
                .to_owned(),
            Self::NoDisplay { .. } => "start hark within the graphical session (for systemd: `systemctl --user \
                 import-environment DISPLAY XAUTHORITY`), bind a key of your desktop to `hark ptt toggle`, or switch the \
                 key off: hotkey.push_to_talk = \"\""
                .to_owned(),
            Self::Wayland => "bind a key in the settings of your desktop to `hark ptt toggle`, and set \
                 hotkey.push_to_talk = \"\""
                .to_owned(),
            Self::Taken { .. } | Self::Refused { .. } => {
                "set hotkey.push_to_talk to another key (`hark config path` tells where), or quit the program that has this one"
                    .to_owned()
            }
        }
    }
}

/// A key that is registered; dropping it gives it back.
pub struct Hotkey {
    manager: Option<GlobalHotKeyManager>,
    key: HotKey,
}

impl std::fmt::Debug for Hotkey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hotkey")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// Who is told of which key.
type Listeners = Mutex<Vec<(u32, Arc<dyn Fn(Stroke) + Send + Sync>)>>;

fn listeners() -> &'static Listeners {
    static LISTENERS: OnceLock<Listeners> = OnceLock::new();
    LISTENERS.get_or_init(|| {
        // The crate takes one handler in the life of a process; it stays, and the list behind it changes.
        GlobalHotKeyEvent::set_event_handler(Some(tell));
        Mutex::default()
    })
}

fn tell(event: GlobalHotKeyEvent) {
    let stroke = match event.state {
        HotKeyState::Pressed => Stroke::Down,
        HotKeyState::Released => Stroke::Up,
    };
    let found = listeners()
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .iter()
        .find(|(id, _)| *id == event.id)
        .map(|(_, listener)| Arc::clone(listener));
    if let Some(listener) = found {
        listener(stroke);
    }
}

/// Whether `key` can be read.
///
/// # Errors
/// [`HotkeyError::Unreadable`].
pub fn check(key: &str) -> Result<(), HotkeyError> {
    parse(key).map(drop)
}

fn parse(key: &str) -> Result<HotKey, HotkeyError> {
    key.parse()
        .map_err(|error: HotKeyParseError| HotkeyError::Unreadable {
            key: key.to_owned(),
            reason: match error {
                HotKeyParseError::UnsupportedKey(name) => format!("there is no key {name}"),
                HotKeyParseError::EmptyToken(_) => "a part of it is empty".to_owned(),
                HotKeyParseError::InvalidFormat(_) => {
                    "one key comes after the modifiers".to_owned()
                }
            },
        })
}

/// Registers `key` and tells `listener` of every stroke. Not to be called on the main thread: on macOS the work is done
/// there, while the caller waits.
///
/// # Errors
/// See [`HotkeyError`].
pub fn register(
    key: &str,
    listener: impl Fn(Stroke) + Send + Sync + 'static,
) -> Result<Hotkey, HotkeyError> {
    let hotkey = parse(key)?;
    system::hotkey_display()?;
    let registry = listeners();
    let refused = |reason: String| HotkeyError::Refused {
        key: key.to_owned(),
        reason,
    };
    let made = system::on_main_thread(move || {
        let manager = GlobalHotKeyManager::new()?;
        manager.register(hotkey)?;
        Ok(manager)
    });
    let manager = made.map_err(|error: global_hotkey::Error| match error {
        global_hotkey::Error::AlreadyRegistered(_) => HotkeyError::Taken {
            key: key.to_owned(),
        },
        other => refused(other.to_string()),
    })?;
    registry
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push((hotkey.id(), Arc::new(listener)));
    Ok(Hotkey {
        manager: Some(manager),
        key: hotkey,
    })
}

impl Drop for Hotkey {
    fn drop(&mut self) {
        let id = self.key.id();
        listeners()
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|(other, _)| *other != id);
        let (manager, key) = (self.manager.take(), self.key);
        system::on_main_thread(move || {
            if let Some(Err(error)) = manager.map(|manager| manager.unregister(key)) {
                tracing::debug!(%error, "the hotkey was not given back");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_people_write_them() {
        for key in [
            "ctrl+alt+space",
            "Cmd+Shift+F5",
            "F13",
            "alt+KeyQ",
            "ctrl+alt+h",
        ] {
            assert_eq!(check(key), Ok(()), "{key}");
        }
        for key in ["", "ctrl+", "ctrl+alt", "space+ctrl", "ctrl+nonsense"] {
            let error = check(key).unwrap_err();
            assert!(matches!(error, HotkeyError::Unreadable { .. }), "{key}");
            assert!(error.remedy().contains("ctrl+alt+space"));
        }
    }
}
