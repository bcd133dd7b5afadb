//! The command lines of macOS and Linux, as they are. Built on any system; what the user says is never part of a script.

use hark::agent::tools::argv::{CommandLine, Media, linux, macos};

fn words(line: &CommandLine) -> Vec<&str> {
    std::iter::once(line.program)
        .chain(line.arguments.iter().map(String::as_str))
        .collect()
}

#[test]
fn macos() {
    for (line, expected) in [
        (
            macos::open("/Users/me/a.pdf"),
            vec!["open", "/Users/me/a.pdf"],
        ),
        (macos::open_app("Safari"), vec!["open", "-a", "Safari"]),
        (macos::paste(), vec!["pbpaste", "-Prefer", "txt"]),
        (macos::copy("x"), vec!["pbcopy"]),
        (macos::brightness(), vec!["brightness", "-l"]),
        (macos::set_brightness(40), vec!["brightness", "0.40"]),
        (macos::shortcuts(), vec!["shortcuts", "list"]),
        (
            macos::shortcut("Lights", None),
            vec!["shortcuts", "run", "Lights"],
        ),
        (
            macos::shortcut("Lights", Some("on")),
            vec!["shortcuts", "run", "Lights", "--input-path", "-"],
        ),
        (macos::battery(), vec!["pmset", "-g", "batt"]),
        (macos::network(), vec!["scutil", "--nwi"]),
        (
            macos::find_by_name("/Users/me", "tax letter"),
            vec!["mdfind", "-onlyin", "/Users/me", "-name", "tax letter"],
        ),
        (
            macos::find_by_words("/Users/me", "tax"),
            vec!["mdfind", "-onlyin", "/Users/me", "-interpret", "tax"],
        ),
    ] {
        assert_eq!(words(&line), expected);
    }
    assert_eq!(macos::copy("Grüße").input.as_deref(), Some("Grüße"));
    assert_eq!(
        macos::shortcut("Lights", Some("on")).input.as_deref(),
        Some("on")
    );
}

/// Whatever is said stands behind the word that ends osascript's own options, as an argument of its own.
#[test]
fn what_is_said_never_becomes_part_of_a_script_or_an_option() {
    let nasty = "-e do shell script \"rm -rf ~\" \n'); $(x) `y`";
    for (line, expected) in [
        (macos::volume(), vec![]),
        (macos::set_volume(40), vec!["40"]),
        (macos::set_muted(true), vec!["true"]),
        (macos::media(Media::Next), vec!["nextTrack"]),
        (macos::events(1, 2), vec!["1", "2"]),
        (
            macos::add_event(nasty, 1, 2, nasty),
            vec![nasty, "1", "2", nasty],
        ),
        (macos::reminders(), vec![]),
        (macos::add_reminder(nasty, None), vec![nasty, ""]),
        (macos::add_reminder(nasty, Some(5)), vec![nasty, "5"]),
        (macos::notify(nasty, nasty), vec![nasty, nasty]),
    ] {
        let words = words(&line);
        assert_eq!(words[..4], ["osascript", "-l", "JavaScript", "-e"]);
        assert!(words[4].starts_with("function run(") && !words[4].contains("rm -rf"));
        assert_eq!(words[5], "hark");
        assert_eq!(words[6..], expected);
        // The script takes as many arguments as it gets, from the second on.
        let wanted = (1..9)
            .filter(|at| words[4].contains(&format!("argv[{at}]")))
            .max();
        assert_eq!(wanted.unwrap_or(0), expected.len(), "{}", words[4]);
        assert!(!words[4].contains("argv[0]"));
    }
}

#[test]
fn linux() {
    for (line, expected) in [
        (
            linux::open("/home/me/a.pdf"),
            vec!["xdg-open", "/home/me/a.pdf"],
        ),
        (
            linux::open_app("org.gnome.Maps"),
            vec!["gtk-launch", "org.gnome.Maps"],
        ),
        (
            linux::wayland_copy("x"),
            vec!["wl-copy", "--type", "text/plain"],
        ),
        (
            linux::x11_copy("x"),
            vec!["xclip", "-selection", "clipboard", "-in"],
        ),
        (
            linux::wpctl_set_volume(40),
            vec!["wpctl", "set-volume", "@DEFAULT_AUDIO_SINK@", "40%"],
        ),
        (
            linux::pactl_set_muted(true),
            vec!["pactl", "set-sink-mute", "@DEFAULT_SINK@", "1"],
        ),
        (
            linux::set_brightness(7),
            vec!["brightnessctl", "--class=backlight", "set", "7%"],
        ),
        (linux::media(Media::Toggle), vec!["playerctl", "play-pause"]),
        (
            linux::dunst_quiet(true),
            vec!["dunstctl", "set-paused", "true"],
        ),
        (
            linux::gnome_quiet(true),
            vec![
                "gsettings",
                "set",
                "org.gnome.desktop.notifications",
                "show-banners",
                "false",
            ],
        ),
        (
            linux::notify("-t", "--help"),
            vec!["notify-send", "--app-name=Hark", "--", "-t", "--help"],
        ),
    ] {
        assert_eq!(words(&line), expected);
    }
}

#[test]
fn the_answers_of_programs_are_understood() {
    assert_eq!(macos::read_volume("45 false\n"), Some((45, false)));
    assert_eq!(macos::read_volume("null null\n"), None);
    let battery = "Now drawing from 'Battery Power'\n -InternalBattery-0 (id=1)\t76%; discharging; 4:02 remaining\n";
    assert_eq!(macos::read_battery(battery), Some((76, false)));
    assert_eq!(macos::read_battery("Now drawing from 'AC Power'\n"), None);
    assert_eq!(
        macos::read_brightness("display 0: brightness 0.75\n"),
        Some(75)
    );
    assert_eq!(
        linux::read_wpctl("Volume: 0.45 [MUTED]\n"),
        Some((45, true))
    );
    assert_eq!(
        linux::read_brightness("intel,backlight,600,63%,960\n"),
        Some(63)
    );
}
