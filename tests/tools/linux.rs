//! The tools of Linux on real programs: the clipboard of a real X server, the volume of a real sound server. Where a program
//! is missing, the test says so and is skipped.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hark::agent::tools::host::Host;
use hark::platform::System;
use serde_json::json;

use crate::support::{Home, PATIENCE, call, content};

/// A host with the programs of this machine.
fn host(home: &Home, environment: &[(&str, String)]) -> Host {
    let path = std::env::var_os("PATH").unwrap();
    Host {
        path: std::env::split_paths(&path).collect(),
        environment: environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect(),
        ..home.host(System::Linux)
    }
}

fn lacks(home: &Home, programs: &[&str]) -> bool {
    let host = host(home, &[]);
    let missing: Vec<&&str> = programs
        .iter()
        .filter(|program| !host.has(program))
        .collect();
    if !missing.is_empty() {
        println!("skipped: {missing:?} not installed (`.ci/setup test` installs them)");
    }
    !missing.is_empty()
}

/// A program that runs as long as the value lives.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// An X server on a display that it chose.
fn x_server() -> (Server, String) {
    let mut child = Command::new("Xvfb")
        .args([
            "-displayfd",
            "1",
            "-screen",
            "0",
            "64x64x24",
            "-nolisten",
            "tcp",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    std::thread::spawn(move || out.read_to_end(&mut Vec::new()));
    (Server(child), format!(":{}", line.trim()))
}

#[tokio::test]
async fn the_clipboard_of_a_real_x_server_holds_what_was_copied() {
    let home = Home::new();
    if lacks(&home, &["Xvfb", "xclip"]) {
        return;
    }
    let (server, display) = x_server();
    let host = host(
        &home,
        &[("DISPLAY", display), ("WAYLAND_DISPLAY", String::new())],
    );
    let (read, write) = (
        home.tool(host.clone(), "read_clipboard"),
        home.tool(host, "write_clipboard"),
    );
    assert_eq!(
        content(&read, json!({})).await,
        "The clipboard holds no text."
    );
    for text in ["Grüße, \"Anna\"; $(id) `x`\nsecond line", "-help"] {
        call(&write, json!({"text": text})).await.unwrap();
        assert_eq!(content(&read, json!({})).await, text);
    }
    drop(server);
}

/// A sound server of its own with one output.
fn sound_server(home: &Home) -> Option<(Server, PathBuf)> {
    let runtime = home.path("pulse");
    std::fs::create_dir_all(&runtime).unwrap();
    let socket = runtime.join("native");
    let child = Command::new("pulseaudio")
        .args([
            "--daemonize=no",
            "--exit-idle-time=-1",
            "-n",
            "--use-pid-file=no",
            "--disable-shm=yes",
        ])
        .arg(format!(
            "--load=module-native-protocol-unix auth-anonymous=1 socket={}",
            socket.display()
        ))
        .arg("--load=module-null-sink sink_name=out")
        .env("HOME", home.path("home"))
        .env("XDG_RUNTIME_DIR", &runtime)
        .env("PULSE_RUNTIME_PATH", &runtime)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let server = Server(child);
    let by = Instant::now() + PATIENCE;
    while Instant::now() < by {
        if std::os::unix::net::UnixStream::connect(&socket).is_ok() {
            return Some((server, socket));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    None
}

#[tokio::test]
async fn the_volume_of_a_real_sound_server_is_set_and_read() {
    let home = Home::new();
    if lacks(&home, &["pulseaudio", "pactl"]) {
        return;
    }
    let (server, socket) = sound_server(&home).expect("pulseaudio starts");
    let mut host = host(
        &home,
        &[("PULSE_SERVER", format!("unix:{}", socket.display()))],
    );
    // Where PipeWire's command is there, too, it would be asked first.
    let pactl = host.find("pactl").unwrap();
    std::os::unix::fs::symlink(pactl, home.path("bin/pactl")).unwrap();
    host.path = vec![home.path("bin")];
    let volume = home.tool(host, "set_volume");
    let did = call(&volume, json!({"percent": 37})).await.unwrap().did;
    assert_eq!(did.as_deref(), Some("The volume is at 37 percent."));
    assert_eq!(
        content(&volume, json!({})).await,
        "The volume is at 37 percent."
    );
    call(&volume, json!({"change": 20})).await.unwrap();
    assert_eq!(
        content(&volume, json!({})).await,
        "The volume is at 57 percent."
    );
    call(&volume, json!({"change": -90})).await.unwrap();
    assert_eq!(
        content(&volume, json!({})).await,
        "The volume is at 0 percent."
    );
    call(&volume, json!({"muted": true})).await.unwrap();
    assert!(
        content(&volume, json!({}))
            .await
            .ends_with("and the sound is off.")
    );
    drop(server);
}

#[tokio::test]
async fn a_player_that_is_not_there_is_told() {
    let home = Home::new();
    if lacks(&home, &["playerctl"]) {
        return;
    }
    let media = home.tool(host(&home, &[]), "control_media");
    let error = call(&media, json!({"action": "pause"})).await.unwrap_err();
    println!("playerctl without players or bus: {error}");
    assert!(!error.to_string().is_empty());
}
