//! What the keys of a keyboard's top row do: loudness, brightness, media, Do Not Disturb.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::arguments::{Arguments, spoken, wrong};
use super::super::argv::{CommandLine, Media, linux, macos};
use super::opening::missing;
use super::{Offer, Words, act, done, found, number, object, one_of};
use super::{ToolError, ToolOutput};
use crate::agent::tools::Class;
use crate::agent::tools::host::Host;
use crate::platform::System;

pub(super) fn offers(host: &Arc<Host>) -> Vec<Offer> {
    let volume = Words {
        name: "set_volume",
        description: "Set, change or read the loudness. Without arguments it only reads it.",
        parameters: object(
            &[
                ("percent", number("0 to 100")),
                ("change", number("points louder or, negative, quieter")),
                ("muted", json!({"type": "boolean"})),
            ],
            &[],
        ),
        class: level_class,
        filler: |_| "Setting the volume.".to_owned(),
        confirmation: |arguments| format!("Set the volume{}?", level_words(arguments)),
    };
    let brightness = Words {
        name: "set_brightness",
        description: "Set, change or read the brightness of the screen. Without arguments it only reads it.",
        parameters: object(
            &[
                ("percent", number("1 to 100")),
                ("change", number("points brighter or, negative, darker")),
            ],
            &[],
        ),
        class: level_class,
        filler: |_| "Setting the brightness.".to_owned(),
        confirmation: |arguments| format!("Set the brightness{}?", level_words(arguments)),
    };
    let media = Words {
        name: "control_media",
        description: "Control music and video: play, pause, next, previous; status tells what is played.",
        parameters: object(
            &[(
                "action",
                one_of(&["play", "pause", "toggle", "next", "previous", "status"]),
            )],
            &["action"],
        ),
        class: |arguments| {
            if arguments.get("action").and_then(Value::as_str) == Some("status") {
                Class::Read
            } else {
                Class::Act
            }
        },
        filler: |arguments| format!("The player: {}.", spoken(arguments, "action", "one moment")),
        confirmation: |arguments| {
            format!("Tell the player: {}?", spoken(arguments, "action", "that"))
        },
    };
    let quiet = Words {
        name: "do_not_disturb",
        description: "Switch Do Not Disturb on or off.",
        parameters: object(&[("on", json!({"type": "boolean"}))], &["on"]),
        class: act,
        filler: |arguments| format!("Switching Do Not Disturb {}.", on_words(arguments)),
        confirmation: |arguments| format!("Switch Do Not Disturb {}?", on_words(arguments)),
    };
    vec![
        volume.with(host, set_volume).unless(volume_missing(host)),
        brightness
            .with(host, set_brightness)
            .unless(brightness_missing(host)),
        media
            .with(host, control_media)
            .within(12)
            .unless(media_missing(host)),
        quiet
            .with(host, do_not_disturb)
            .within(60)
            .unless(quiet_missing(host)),
    ]
}

/// Without arguments nothing is changed; where they are not known yet, the worst is taken.
fn level_class(arguments: &Value) -> Class {
    if arguments.is_null() {
        return Class::Act;
    }
    let changes = ["percent", "change", "muted"]
        .iter()
        .any(|name| arguments.get(name).is_some_and(|value| !value.is_null()));
    if changes { Class::Act } else { Class::Read }
}

fn level_words(arguments: &Value) -> String {
    let (percent, change) = (
        spoken(arguments, "percent", ""),
        spoken(arguments, "change", ""),
    );
    match (percent.as_str(), change.as_str(), arguments.get("muted")) {
        ("", "", Some(Value::Bool(true))) => " to silence".to_owned(),
        ("", "", _) => String::new(),
        ("", change, _) => format!(", by {change} points"),
        (percent, ..) => format!(" to {percent} percent"),
    }
}

fn on_words(arguments: &Value) -> &'static str {
    match arguments.get("on") {
        Some(Value::Bool(false)) => "off",
        _ => "on",
    }
}

/// Which sound server is spoken to.
fn sound_program(host: &Host) -> Option<&'static str> {
    match host.system {
        System::MacOs => Some("osascript").filter(|program| host.has(program)),
        System::Linux | System::Other => ["wpctl", "pactl"]
            .into_iter()
            .find(|program| host.has(program)),
    }
}

fn volume_missing(host: &Host) -> Option<String> {
    sound_program(host).is_none().then(|| {
        "neither wpctl nor pactl is installed: install wireplumber or pulseaudio-utils".to_owned()
    })
}

async fn get_volume(host: &Host) -> Result<(u8, bool), ToolError> {
    let unreadable = || ToolError::Failed("this output has no loudness that can be set".to_owned());
    match sound_program(host) {
        Some("osascript") => {
            macos::read_volume(&host.run(macos::volume()).await?).ok_or_else(unreadable)
        }
        Some("wpctl") => {
            linux::read_wpctl(&host.run(linux::wpctl_volume()).await?).ok_or_else(unreadable)
        }
        Some(_) => {
            let level = host.run(linux::pactl_volume()).await?;
            let mute = host.run(linux::pactl_muted()).await?;
            linux::read_pactl(&level, &mute).ok_or_else(unreadable)
        }
        None => Err(ToolError::Gone("nothing here sets the volume".to_owned())),
    }
}

async fn set_volume(host: Arc<Host>, arguments: Value) -> Result<ToolOutput, ToolError> {
    let read = Arguments::new(&arguments, &["percent", "change", "muted"])?;
    let percent = read.number("percent", 0.0, 100.0)?;
    let change = read.number("change", -100.0, 100.0)?;
    let muted = read.truth("muted")?;
    if percent.is_none() && change.is_none() && muted.is_none() {
        let (percent, muted) = get_volume(&host).await?;
        let muted = if muted { ", and the sound is off" } else { "" };
        return found(format!("The volume is at {percent} percent{muted}."));
    }
    let program = sound_program(&host).unwrap_or("pactl");
    if let Some(muted) = muted {
        host.run(match program {
            "osascript" => macos::set_muted(muted),
            "wpctl" => linux::wpctl_set_muted(muted),
            _ => linux::pactl_set_muted(muted),
        })
        .await?;
    }
    let level = match (percent, change) {
        (None, None) => {
            let off = if muted == Some(true) { "off" } else { "on" };
            return done(format!("The sound is {off}."));
        }
        (Some(percent), None) => percent,
        (None, Some(change)) => f64::from(get_volume(&host).await?.0) + change,
        (Some(_), Some(_)) => return Err(wrong("percent and change cannot both be given")),
    };
    let level = level.round().clamp(0.0, 100.0) as u8;
    host.run(match program {
        "osascript" => macos::set_volume(level),
        "wpctl" => linux::wpctl_set_volume(level),
        _ => linux::pactl_set_volume(level),
    })
    .await?;
    done(format!("The volume is at {level} percent."))
}

fn brightness_missing(host: &Host) -> Option<String> {
    match host.system {
        System::MacOs => missing(host, "brightness", "`brew install brightness` brings it"),
        System::Linux | System::Other => missing(host, "brightnessctl", "install brightnessctl")
            .or_else(|| no_backlight().then(|| "this machine has no backlight".to_owned())),
    }
}

fn no_backlight() -> bool {
    std::fs::read_dir("/sys/class/backlight").map_or(true, |mut entries| entries.next().is_none())
}

async fn set_brightness(host: Arc<Host>, arguments: Value) -> Result<ToolOutput, ToolError> {
    let read = Arguments::new(&arguments, &["percent", "change"])?;
    let percent = read.number("percent", 1.0, 100.0)?;
    let change = read.number("change", -100.0, 100.0)?;
    if percent.is_some() && change.is_some() {
        return Err(wrong("percent and change cannot both be given"));
    }
    let mac = host.system == System::MacOs;
    let now = async {
        let (line, read): (CommandLine, fn(&str) -> Option<u8>) = if mac {
            (macos::brightness(), macos::read_brightness)
        } else {
            (linux::brightness(), linux::read_brightness)
        };
        read(&host.run(line).await?)
            .ok_or_else(|| ToolError::Failed("the brightness cannot be read".to_owned()))
    };
    let level = match (percent, change) {
        (Some(percent), _) => percent,
        (None, Some(change)) => f64::from(now.await?) + change,
        (None, None) => {
            let percent = now.await?;
            return found(format!("The brightness is at {percent} percent."));
        }
    };
    // At 0 some screens are dark altogether, and nobody sees how to get back.
    let level = level.round().clamp(1.0, 100.0) as u8;
    host.run(if mac {
        macos::set_brightness(level)
    } else {
        linux::set_brightness(level)
    })
    .await?;
    done(format!("The brightness is at {level} percent."))
}

fn media_missing(host: &Host) -> Option<String> {
    match host.system {
        System::MacOs => missing(host, "osascript", "it is part of macOS"),
        System::Linux | System::Other => missing(host, "playerctl", "install playerctl"),
    }
}

async fn control_media(host: Arc<Host>, arguments: Value) -> Result<ToolOutput, ToolError> {
    let action = Arguments::new(&arguments, &["action"])?.choice(
        "action",
        &[
            ("play", Media::Play),
            ("pause", Media::Pause),
            ("toggle", Media::Toggle),
            ("next", Media::Next),
            ("previous", Media::Previous),
            ("status", Media::Status),
        ],
    )?;
    let printed = host
        .run(if host.system == System::MacOs {
            macos::media(action)
        } else {
            linux::media(action)
        })
        .await
        .map_err(|error| match error {
            ToolError::Failed(words) if words.contains("No players found") => {
                ToolError::Failed("no program plays anything".to_owned())
            }
            error => error,
        })?;
    match action {
        Media::Status => found(printed.trim()),
        Media::Play => done("It plays."),
        Media::Pause => done("It is paused."),
        Media::Toggle => done("Done."),
        Media::Next => done("The next one."),
        Media::Previous => done("The one before."),
    }
}

/// The names of the two Shortcuts that switch a focus on macOS, which has no other way for programs.
const FOCUS: [&str; 2] = ["Do Not Disturb On", "Do Not Disturb Off"];

fn quiet_missing(host: &Host) -> Option<String> {
    match host.system {
        System::MacOs => missing(host, "shortcuts", "it comes with macOS 12"),
        System::Linux | System::Other => quiet_program(host).is_none().then(|| {
            "Do Not Disturb can be switched on desktops with dunst or GNOME only".to_owned()
        }),
    }
}

fn quiet_program(host: &Host) -> Option<&'static str> {
    let desktop = host.variable("XDG_CURRENT_DESKTOP").unwrap_or_default();
    let gnome = desktop.to_lowercase().contains("gnome");
    if gnome && host.has("gsettings") {
        return Some("gsettings");
    }
    Some("dunstctl").filter(|program| host.has(program))
}

async fn do_not_disturb(host: Arc<Host>, arguments: Value) -> Result<ToolOutput, ToolError> {
    let on = Arguments::new(&arguments, &["on"])?
        .truth("on")?
        .ok_or_else(|| wrong("on is missing"))?;
    if host.system == System::MacOs {
        let name = FOCUS[usize::from(!on)];
        let all = host.run(macos::shortcuts()).await?;
        if !all.lines().any(|line| line.trim() == name) {
            return Err(ToolError::Gone(format!(
                "there is no Shortcut named {name}: make one in the Shortcuts app with the action Set Focus"
            )));
        }
        host.run(macos::shortcut(name, None)).await?;
    } else if quiet_program(&host) == Some("gsettings") {
        host.run(linux::gnome_quiet(on)).await?;
    } else {
        host.run(linux::dunst_quiet(on)).await?;
    }
    done(format!("Do Not Disturb is {}.", on_words(&arguments)))
}
