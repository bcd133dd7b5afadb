//! Command lines of Linux desktops.

use super::{CommandLine, Media};

/// Opens a file or an address with the program that the desktop has for it.
#[must_use]
pub fn open(target: &str) -> CommandLine {
    CommandLine::new("xdg-open", &[target])
        .for_effect()
        .within(10)
}

/// Starts an application by the name of its desktop file.
#[must_use]
pub fn open_app(desktop_file: &str) -> CommandLine {
    CommandLine::new("gtk-launch", &[desktop_file])
        .for_effect()
        .within(10)
}

/// What the clipboard of Wayland holds.
#[must_use]
pub fn wayland_paste() -> CommandLine {
    let mut line = CommandLine::new("wl-paste", &["--no-newline", "--type", "text"]);
    // 1: it is empty, or holds no text.
    line.accepted = &[1];
    line
}

/// Puts a text into the clipboard of Wayland; the program stays to serve it.
#[must_use]
pub fn wayland_copy(text: &str) -> CommandLine {
    CommandLine::new("wl-copy", &["--type", "text/plain"])
        .reading(text)
        .for_effect()
}

/// What the clipboard of X11 holds.
#[must_use]
pub fn x11_paste() -> CommandLine {
    let mut line = CommandLine::new(
        "xclip",
        &["-selection", "clipboard", "-out", "-target", "UTF8_STRING"],
    );
    line.accepted = &[1];
    line
}

/// Puts a text into the clipboard of X11; the program stays to serve it.
#[must_use]
pub fn x11_copy(text: &str) -> CommandLine {
    CommandLine::new("xclip", &["-selection", "clipboard", "-in"])
        .reading(text)
        .for_effect()
}

/// The loudness, by PipeWire.
#[must_use]
pub fn wpctl_volume() -> CommandLine {
    CommandLine::new("wpctl", &["get-volume", "@DEFAULT_AUDIO_SINK@"])
}

/// Sets the loudness, by PipeWire.
#[must_use]
pub fn wpctl_set_volume(percent: u8) -> CommandLine {
    CommandLine::new(
        "wpctl",
        &["set-volume", "@DEFAULT_AUDIO_SINK@", &format!("{percent}%")],
    )
}

/// Switches the sound off or on, by PipeWire.
#[must_use]
pub fn wpctl_set_muted(muted: bool) -> CommandLine {
    CommandLine::new(
        "wpctl",
        &["set-mute", "@DEFAULT_AUDIO_SINK@", switch(muted)],
    )
}

/// The loudness, by PulseAudio.
#[must_use]
pub fn pactl_volume() -> CommandLine {
    CommandLine::new("pactl", &["get-sink-volume", "@DEFAULT_SINK@"])
}

/// Whether the sound is off, by PulseAudio.
#[must_use]
pub fn pactl_muted() -> CommandLine {
    CommandLine::new("pactl", &["get-sink-mute", "@DEFAULT_SINK@"])
}

/// Sets the loudness, by PulseAudio.
#[must_use]
pub fn pactl_set_volume(percent: u8) -> CommandLine {
    CommandLine::new(
        "pactl",
        &["set-sink-volume", "@DEFAULT_SINK@", &format!("{percent}%")],
    )
}

/// Switches the sound off or on, by PulseAudio.
#[must_use]
pub fn pactl_set_muted(muted: bool) -> CommandLine {
    CommandLine::new("pactl", &["set-sink-mute", "@DEFAULT_SINK@", switch(muted)])
}

fn switch(on: bool) -> &'static str {
    if on { "1" } else { "0" }
}

/// The brightness of the screen: "device,class,value,percent,maximum".
#[must_use]
pub fn brightness() -> CommandLine {
    CommandLine::new(
        "brightnessctl",
        &["--machine-readable", "--class=backlight", "info"],
    )
}

/// Sets the brightness.
#[must_use]
pub fn set_brightness(percent: u8) -> CommandLine {
    CommandLine::new(
        "brightnessctl",
        &["--class=backlight", "set", &format!("{percent}%")],
    )
}

/// Music and films, by MPRIS.
#[must_use]
pub fn media(action: Media) -> CommandLine {
    let words: &[&str] = match action {
        Media::Play => &["play"],
        Media::Pause => &["pause"],
        Media::Toggle => &["play-pause"],
        Media::Next => &["next"],
        Media::Previous => &["previous"],
        Media::Status => &[
            "metadata",
            "--format",
            "{{status}}: {{title}} by {{artist}} ({{playerName}})",
        ],
    };
    CommandLine::new("playerctl", words)
}

/// Do Not Disturb of the dunst notification daemon.
#[must_use]
pub fn dunst_quiet(on: bool) -> CommandLine {
    CommandLine::new(
        "dunstctl",
        &["set-paused", if on { "true" } else { "false" }],
    )
}

/// Do Not Disturb of GNOME.
#[must_use]
pub fn gnome_quiet(on: bool) -> CommandLine {
    CommandLine::new(
        "gsettings",
        &[
            "set",
            "org.gnome.desktop.notifications",
            "show-banners",
            if on { "false" } else { "true" },
        ],
    )
}

/// Shows a message on the desktop.
#[must_use]
pub fn notify(title: &str, text: &str) -> CommandLine {
    CommandLine::new("notify-send", &["--app-name=Hark", "--", title, text]).for_effect()
}

/// "Volume: 0.45 \[MUTED\]": percent, and whether the sound is off.
#[must_use]
pub fn read_wpctl(printed: &str) -> Option<(u8, bool)> {
    let level: f32 = printed.split_whitespace().nth(1)?.parse().ok()?;
    let percent = (level * 100.0).round().clamp(0.0, 100.0) as u8;
    Some((percent, printed.contains("[MUTED]")))
}

/// "Volume: front-left: 39322 /  60% / …" and "Mute: no".
#[must_use]
pub fn read_pactl(level: &str, mute: &str) -> Option<(u8, bool)> {
    let percent = level
        .split('/')
        .find_map(|part| part.trim().strip_suffix('%'))?;
    let percent: u32 = percent.parse().ok()?;
    Some((
        u8::try_from(percent.min(100)).ok()?,
        mute.trim_end().ends_with("yes"),
    ))
}

/// "intel_backlight,backlight,600,63%,960": percent.
#[must_use]
pub fn read_brightness(printed: &str) -> Option<u8> {
    let line = printed.lines().next()?;
    line.split(',')
        .find_map(|part| part.strip_suffix('%'))?
        .parse()
        .ok()
}
