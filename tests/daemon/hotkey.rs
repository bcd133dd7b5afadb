//! The global key: real key events on a virtual X display, through the real program.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::process::{hark, output};
use crate::remote::{Daemon, timeline};
use crate::support::{Home, plain};

/// An X server of its own, whose screen nobody sees.
struct Display {
    server: Child,
    name: String,
}

impl Display {
    /// `None` where Xvfb or xdotool are not installed.
    fn start() -> Option<Self> {
        // Two that look for a free number at one instant may take the same one, and each other's keys.
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let server = Command::new("Xvfb")
            .args([
                "-displayfd",
                "1",
                "-screen",
                "0",
                "320x240x24",
                "-nolisten",
                "tcp",
                // Else it forgets its clients' grabs whenever the last client leaves, in the middle of a start.
                "-noreset",
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let there = Command::new("xdotool").arg("version").output().is_ok();
        let (Ok(mut server), true) = (server, there) else {
            println!("skipped: install xvfb and xdotool");
            return None;
        };
        // It chooses a free number, and tells it once it takes connections.
        let mut number = String::new();
        let mut told = BufReader::new(server.stdout.take().unwrap());
        told.read_line(&mut number).unwrap();
        assert!(!number.trim().is_empty(), "the display did not come up");
        let name = format!(":{}", number.trim());
        Some(Self { server, name })
    }

    fn keys(&self, arguments: &[&str]) {
        let status = Command::new("xdotool")
            .env("DISPLAY", &self.name)
            .args(arguments)
            .status()
            .unwrap();
        assert!(status.success());
    }

    fn settings(&self, key: &str) -> Vec<(&'static str, String)> {
        vec![
            ("DISPLAY", self.name.clone()),
            ("HARK_HOTKEY_PUSH_TO_TALK", key.to_owned()),
        ]
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.server.kill().ok();
        self.server.wait().ok();
    }
}

#[test]
fn a_key_that_is_held_asks_and_its_release_ends_the_question() {
    let Some(display) = Display::start() else {
        return;
    };
    let home = Home::new();
    let question = "what is twelve plus thirty";
    let input = timeline(&home, &[(8.0, question)], 60.0);
    let mut daemon = Daemon::start(
        &home,
        &input,
        &["--wake"],
        &display.settings("ctrl+alt+space"),
    );
    daemon.next("ready");
    let hotkey = daemon.status()["wake"]["hotkey"].clone();
    assert_eq!(
        (&hotkey["key"], &hotkey["works"]),
        (&"ctrl+alt+space".into(), &true.into()),
        "{hotkey}"
    );
    display.keys(&["keydown", "ctrl", "keydown", "alt", "keydown", "space"]);
    assert_eq!(daemon.next("ptt")["action"], "press");
    daemon.next("speech_start");
    std::thread::sleep(Duration::from_millis(3_000));
    // As people do it: the modifiers go up in any order.
    display.keys(&["keyup", "ctrl", "keyup", "space", "keyup", "alt"]);
    assert_eq!(daemon.next("ptt")["action"], "release");
    let transcript = daemon.next("transcript");
    assert_eq!(plain(transcript["text"].as_str().unwrap()), question);
    assert_eq!(daemon.next("turn")["outcome"], "completed");
    let (_, seen) = daemon.stop();
    let strokes = seen.iter().filter(|line| line["event"] == "ptt").count();
    assert_eq!(strokes, 2, "a keyboard's repetition is no second press");
    assert_eq!(home.records().len(), 1);
}

#[test]
fn a_key_that_cannot_be_had_is_told_and_hark_runs_on() {
    let Some(display) = Display::start() else {
        return;
    };
    let home = Home::new();
    let input = timeline(&home, &[], 120.0);
    let mut first = Daemon::start(
        &home,
        &input,
        &["--wake"],
        &display.settings("ctrl+alt+space"),
    );
    first.next("ready");
    assert_eq!(first.status()["wake"]["hotkey"]["works"], true);

    let wayland = vec![
        ("DISPLAY", display.name.clone()),
        ("WAYLAND_DISPLAY", "wayland-0".to_owned()),
    ];
    let headless = vec![("HARK_HOTKEY_PUSH_TO_TALK", "ctrl+alt+space".to_owned())];
    let nobody = vec![("DISPLAY", ":9999".to_owned())];
    let cases = [
        (
            display.settings("ctrl+alt+space"),
            "another program has taken ctrl+alt+space",
        ),
        (
            display.settings("ctrl+alt+nonsense"),
            "\"ctrl+alt+nonsense\" names no key",
        ),
        (wayland, "a Wayland session"),
        (headless, "DISPLAY is not set"),
        (nobody, "there is no display to take keys from"),
    ];
    for (settings, problem) in cases {
        let other = Home::new();
        let input = timeline(&other, &[], 60.0);
        let mut daemon = Daemon::start(&other, &input, &["--wake"], &settings);
        daemon.next("ready");
        let hotkey = daemon.status()["wake"]["hotkey"].clone();
        assert_eq!(hotkey["works"], false);
        let told = hotkey["problem"].as_str().unwrap();
        assert!(told.contains(problem) && told.contains("; "), "{told}");
        let words = daemon.told(&["status"]);
        assert!(words.contains("does not work"), "{words}");
        daemon.told(&["ptt", "toggle"]);
        assert_eq!(
            daemon.next("ptt")["action"],
            "toggle",
            "commands work all the same"
        );
        let (err, _) = daemon.stop();
        assert!(err.contains(problem), "the log says so, too: {err}");
    }
    // Switched off, nobody asks for a display.
    let other = Home::new();
    let input = timeline(&other, &[], 60.0);
    let mut daemon = Daemon::start(
        &other,
        &input,
        &["--wake"],
        &[("HARK_HOTKEY_PUSH_TO_TALK", String::new())],
    );
    daemon.next("ready");
    assert_eq!(
        daemon.status()["wake"]["hotkey"]["key"],
        serde_json::Value::Null
    );
    daemon.stop();
    // The doctor asks the daemon that has it.
    let found = output(hark(
        &home,
        &display.settings("ctrl+alt+space"),
        &["doctor", "--json"],
    ));
    let found: serde_json::Value = serde_json::from_slice(&found.stdout).unwrap();
    let checks = found["checks"].as_array().unwrap();
    let check = |name: &str| checks.iter().find(|check| check["name"] == name).unwrap();
    assert_eq!(check("hotkey")["status"], "ok", "{}", check("hotkey"));
    assert_eq!(check("daemon")["status"], "ok", "{}", check("daemon"));
    first.stop();
}
