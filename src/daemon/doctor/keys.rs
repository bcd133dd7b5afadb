//! The running daemon, as far as it answers, and the global push-to-talk key.

use std::time::Duration;

use super::bounded::within;
use super::{Check, Setup};
use crate::control::client::{Client, ClientError};
use crate::control::{HotkeyStatus, Status, socket};
use crate::platform::hotkey::{self, HotkeyError};
use crate::platform::{self, directories};

/// All checks of this group.
#[must_use]
pub fn checks(setup: &Setup) -> Vec<Check> {
    let running = within(ASKING, ask).unwrap_or_else(|stuck| Asked::Silent(stuck.to_string()));
    let key = setup.config.push_to_talk.clone();
    let state = match (&key, &running) {
        (None, _) => KeyState::Off,
        // The daemon has it, or knows why not; trying again would only find it taken.
        (Some(_), Asked::Answers(status)) => KeyState::Told(status.wake.hotkey.clone()),
        (Some(key), _) => {
            let key = key.clone();
            match within(ASKING, move || hotkey::register(&key, |_| {}).map(drop)) {
                Ok(Ok(())) => KeyState::Free,
                Ok(Err(error @ HotkeyError::NoDisplay { .. })) => {
                    KeyState::NoDisplay(error.to_string())
                }
                Ok(Err(error)) => KeyState::Problem(error.to_string(), error.remedy()),
                Err(stuck) => {
                    KeyState::Problem(stuck.to_string(), "run `hark doctor` again".to_owned())
                }
            }
        }
    };
    vec![
        daemon(&running),
        push_to_talk(key.as_deref(), &state, platform::secure_input()),
    ]
}

/// What the daemon says.
#[derive(Debug)]
pub enum Asked {
    /// This.
    Answers(Box<Status>),
    /// There is none.
    Gone,
    /// Nothing, for this reason.
    Silent(String),
}

fn ask() -> Asked {
    let Ok(found) = directories::from_environment() else {
        return Asked::Gone;
    };
    let client = Client::new(socket::place(&found.runtime));
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    else {
        return Asked::Silent("this system gives no sockets".to_owned());
    };
    match runtime.block_on(client.get("/v1/status")) {
        Ok(status) => serde_json::from_value(status).map_or_else(
            |error| Asked::Silent(error.to_string()),
            |status| Asked::Answers(Box::new(status)),
        ),
        Err(ClientError::NotRunning { .. }) => Asked::Gone,
        Err(error) => Asked::Silent(error.to_string()),
    }
}

/// Whether a daemon runs here and somebody speaks with it now.
pub(super) async fn is_in_conversation() -> bool {
    let Ok(found) = directories::from_environment() else {
        return false;
    };
    let client = Client::new(socket::place(&found.runtime));
    let status = client.get("/v1/status").await.unwrap_or_default();
    let state = status.get("state").and_then(serde_json::Value::as_str);
    matches!(
        state,
        Some("hearing" | "transcribing" | "answering" | "speaking")
    )
}

/// The process of the daemon that runs here, if one answers.
#[must_use]
pub fn daemon_process() -> Option<u32> {
    match within(ASKING, ask) {
        Ok(Asked::Answers(status)) => Some(status.pid),
        _ => None,
    }
}

/// Whether a daemon runs, and hears.
#[must_use]
pub fn daemon(running: &Asked) -> Check {
    const NAME: &str = "daemon";
    match running {
        Asked::Gone => Check::skip(NAME, "no daemon is running; `hark run` starts one"),
        Asked::Silent(why) => Check::warn(
            NAME,
            why.clone(),
            "end it and start it again: `hark status` names its process",
        ),
        Asked::Answers(status) if status.version != env!("CARGO_PKG_VERSION") => Check::warn(
            NAME,
            format!(
                "the daemon that runs is hark {}, and this is {}: it was started before the update",
                status.version,
                env!("CARGO_PKG_VERSION")
            ),
            "`hark service restart`, or end it and start it again: `hark run`",
        ),
        Asked::Answers(status) if status.muted => Check::warn(
            NAME,
            "the daemon is running and its ear is closed",
            "open it: `hark unmute`",
        ),
        Asked::Answers(status) => Check::ok(
            NAME,
            format!(
                "running for {} minutes, {}{}",
                status.uptime_s / 60,
                status.state,
                if status.off_record {
                    ", off the record"
                } else {
                    ""
                }
            ),
        ),
    }
}

/// What is known of the key.
#[derive(Debug)]
pub enum KeyState {
    /// It is switched off.
    Off,
    /// Nobody has it.
    Free,
    /// What the running daemon says.
    Told(HotkeyStatus),
    /// There is no screen, so nobody has keys.
    NoDisplay(String),
    /// It cannot be had: why, and what to do.
    Problem(String, String),
}

/// Whether the push-to-talk key works.
#[must_use]
pub fn push_to_talk(key: Option<&str>, state: &KeyState, secure_input: Option<bool>) -> Check {
    const NAME: &str = "hotkey";
    let key = key.unwrap_or("none");
    let note = if secure_input == Some(true) {
        ". Secure Input is on (a password field, or a terminal that protects its keyboard): this key works all the same, \
         but tools that watch the keyboard and call `hark ptt` do not"
    } else {
        ""
    };
    match state {
        KeyState::Off => Check::skip(NAME, "hotkey.push_to_talk is switched off"),
        KeyState::Free => Check::ok(NAME, format!("{key} can be registered{note}")),
        KeyState::Told(status) if status.works => {
            Check::ok(NAME, format!("the daemon has {key}{note}"))
        }
        KeyState::Told(status) => match &status.problem {
            Some(problem) => Check::warn(
                NAME,
                format!("the daemon does not have {key}: {problem}"),
                "then restart the daemon; until then `hark ptt toggle` from a script does the same",
            ),
            None => Check::warn(
                NAME,
                format!("the daemon was started without {key}"),
                "end the daemon and start it again: `hark run`",
            ),
        },
        KeyState::NoDisplay(why) => Check::skip(
            NAME,
            format!("{why}; without one, `hark ptt toggle` from a script does the same"),
        ),
        KeyState::Problem(why, remedy) => Check::warn(NAME, why.clone(), remedy.clone()),
    }
}

/// The display or the daemon may hang.
const ASKING: Duration = Duration::from_secs(5);
