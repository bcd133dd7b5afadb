//! The first run: says once who this is and how to talk to it, by the settings as they are.
//!
//! Spoken and shown as soon as the ear hears; a file in the state folder remembers that it was done.

use std::path::{Path, PathBuf};

use super::{Plan, Wake, parts};
use crate::control::HotkeyStatus;
use crate::platform::private_file;

/// What is said and shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// For the ear: whole sentences, no signs.
    pub said: String,
    /// For a screen: with the commands.
    pub shown: String,
    /// Where it is remembered.
    marker: PathBuf,
}

/// What a user needs to know to begin.
#[derive(Debug, Clone, Copy)]
pub struct Way<'a> {
    /// The assistant's name.
    pub name: &'a str,
    /// What opens a turn.
    pub wake: Wake,
    /// The wake phrase.
    pub phrase: &'a str,
    /// The push-to-talk key, where it works.
    pub key: Option<&'a str>,
    /// Whether the speech model is the bundled one.
    pub starter: bool,
}

/// The welcome of this run; `None` where it was said before.
#[must_use]
pub fn due(plan: &Plan, hotkey: &HotkeyStatus) -> Option<Welcome> {
    let marker = marker(&plan.places.state);
    if marker.exists() {
        return None;
    }
    let way = Way {
        name: &plan.config.persona.name,
        wake: plan.wake,
        phrase: &plan.config.wake.phrase,
        key: hotkey.key.as_deref().filter(|_| hotkey.works),
        starter: parts::is_starter(&plan.config, &plan.places),
    };
    Some(Welcome {
        said: said(way),
        shown: shown(way),
        marker,
    })
}

impl Welcome {
    /// Remembers that it was said. Touches the disk.
    pub fn done(&self) {
        if let Err(error) = private_file::make(&self.marker) {
            tracing::warn!(file = %self.marker.display(), %error, "the welcome will be said again at the next start");
        }
    }
}

fn marker(state: &Path) -> PathBuf {
    state.join("welcomed")
}

/// The words for the ear.
#[must_use]
pub fn said(way: Way<'_>) -> String {
    let mut sentences = vec![format!("Hello, I am {}.", way.name)];
    let key = way.key.map(spoken_key);
    match (way.wake, key) {
        (Wake::Phrase, Some(key)) => sentences.push(format!(
            "Say {}, and then your question, or hold {key} while you speak.",
            way.phrase
        )),
        (Wake::Phrase, None) => {
            sentences.push(format!("Say {}, and then your question.", way.phrase));
        }
        (Wake::EveryUtterance, _) => sentences.push("Just ask me something.".to_owned()),
        (Wake::Key, Some(key)) => sentences.push(format!("Hold {key} while you speak.")),
        (Wake::Key, None) => sentences.push(
            "To speak with me, run hark ptt toggle, best from a key of your desktop.".to_owned(),
        ),
    }
    sentences.push("Say stop, and I am silent.".to_owned());
    if way.starter {
        sentences.push(
            "My hearing is a small starter model so far, which understands few voices. Hark doctor says how to get a better one."
                .to_owned(),
        );
    }
    sentences.join(" ")
}

/// The lines for a screen.
#[must_use]
pub fn shown(way: Way<'_>) -> String {
    let mut lines = vec![format!(
        "Hello, this is {}, for the first time on this machine.",
        way.name
    )];
    let phrase = way.phrase;
    match way.wake {
        Wake::Phrase => lines.push(format!(
            "  ask:      \"{phrase}, what time is it?\" or \"{phrase}, set a timer for five minutes\""
        )),
        Wake::EveryUtterance => lines.push("  ask:      just speak, for example: what time is it?".to_owned()),
        Wake::Key => {}
    }
    lines.push(match way.key {
        Some(key) => format!("  or hold:  {key} while you speak"),
        None => {
            "  or run:   hark ptt toggle (best from a key of your desktop), speak, and run it again"
                .to_owned()
        }
    });
    lines.push("  silence:  say \"stop\"; `hark mute` closes its ear, `hark off-record on` writes nothing down".to_owned());
    if way.starter {
        lines.push(
            "  hearing:  the bundled starter model, which understands few voices. For real use: hark models pull base.en"
                .to_owned(),
        );
    }
    lines.push("  trouble:  hark doctor".to_owned());
    lines.join("\n")
}

/// `ctrl+alt+space` as it is said.
fn spoken_key(key: &str) -> String {
    let words: Vec<&str> = key
        .split('+')
        .map(|part| match part.to_lowercase().as_str() {
            "ctrl" => "control",
            "cmd" | "super" => "command",
            "alt" => "alt",
            "shift" => "shift",
            "space" => "space",
            _ => part,
        })
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way() -> Way<'static> {
        Way {
            name: "Hark",
            wake: Wake::Phrase,
            phrase: "hey hark",
            key: Some("ctrl+alt+space"),
            starter: false,
        }
    }

    #[test]
    fn each_way_to_begin_is_told_as_it_is_set() {
        let with_key = said(way());
        assert!(
            with_key.contains("Say hey hark, and then your question, or hold control alt space")
        );
        let deaf = Way {
            wake: Wake::Key,
            ..way()
        };
        assert!(!said(deaf).contains("hey hark") && !shown(deaf).contains("hey hark"));
        let neither = Way { key: None, ..deaf };
        assert!(said(neither).contains("hark ptt toggle"));
        assert!(shown(neither).contains("hark ptt toggle"));
        let open = Way {
            wake: Wake::EveryUtterance,
            ..way()
        };
        assert!(said(open).contains("Just ask"));
        let named = Way {
            name: "Computer",
            ..way()
        };
        assert!(said(named).starts_with("Hello, I am Computer."));
    }

    #[test]
    fn the_starter_is_not_sold_as_more_than_it_is() {
        let starter = Way {
            starter: true,
            ..way()
        };
        assert!(said(starter).contains("understands few voices"));
        assert!(shown(starter).contains("hark models pull base.en"));
        assert!(!shown(way()).contains("pull"));
    }

    #[test]
    fn nothing_is_said_that_only_an_eye_can_read() {
        for way in [
            way(),
            Way {
                key: None,
                starter: true,
                ..way()
            },
        ] {
            let said = said(way);
            assert!(!said.contains(['`', '+', '"', '<']), "{said}");
        }
    }
}
