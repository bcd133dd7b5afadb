//! The verb itself, with a recording `systemctl` (the binary of a Mac would call `launchctl`, see `launchd.rs`).

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A home folder and a `systemctl` that writes down what it is asked and answers from a file.
struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        let home = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        std::fs::create_dir(home.path("bin")).unwrap();
        home.script(
            "systemctl",
            r#"echo "$*" >> "$HOME/asked"
case "$*" in
  *show*) if [ -e "$HOME/up" ]; then printf 'LoadState=loaded\nActiveState=active\nSubState=running\nMainPID=%s\nExecMainStatus=0\n' "$(cat "$HOME/up")"
          else printf 'LoadState=loaded\nActiveState=failed\nSubState=failed\nMainPID=0\nExecMainStatus=2\n'; fi ;;
  *restart*|*" start"*) [ -e "$HOME/broken" ] || echo 4711 > "$HOME/up" ;;
  *stop*|*disable*) rm -f "$HOME/up" ;;
esac"#,
        );
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn script(&self, name: &str, text: &str) {
        let path = self.path("bin").join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn hark(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_hark"))
            .args(arguments)
            .env_clear()
            .env("HOME", self.folder.path())
            .env(
                "PATH",
                format!("{}:/usr/bin:/bin", self.path("bin").display()),
            )
            .output()
            .unwrap()
    }

    fn asked(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("asked")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn unit(&self) -> PathBuf {
        self.path(".config/systemd/user/hark.service")
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn install_writes_the_unit_runs_it_and_says_so() {
    if cfg!(target_os = "macos") {
        println!("skipped: this machine's service manager is launchd, see launchd.rs");
        return;
    }
    let home = Home::new();
    let done = home.hark(&["service", "install"]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(
        text(&done.stdout).starts_with("Hark, the local voice assistant runs (process 4711).\n")
    );
    let unit = std::fs::read_to_string(home.unit()).unwrap();
    assert!(unit.contains("\"HARK_SERVICE=1\"") && unit.contains(" \"run\"\n"));
    assert_eq!(mode(&home.unit()), 0o644);
    let asked = home.asked();
    assert_eq!(
        asked[..4],
        [
            "--user daemon-reload",
            "--user enable --quiet hark.service",
            "--user reset-failed hark.service",
            "--user restart hark.service",
        ]
    );
    let again = home.hark(&["service", "install"]);
    assert!(again.status.success(), "a second time is no failure");
}

#[test]
fn a_service_that_does_not_stay_up_is_a_failure_with_its_last_words() {
    if cfg!(target_os = "macos") {
        println!("skipped: this machine's service manager is launchd, see launchd.rs");
        return;
    }
    let home = Home::new();
    std::fs::write(home.path("broken"), "").unwrap();
    let logs = home.path(".local/state/hark/logs");
    std::fs::create_dir_all(&logs).unwrap();
    std::fs::write(logs.join("hark.stderr.log"), "hark: no microphone\n").unwrap();
    let done = home.hark(&["service", "install"]);
    assert_eq!(done.status.code(), Some(1));
    let words = text(&done.stderr);
    assert!(
        words.contains("did not stay up; it said: hark: no microphone"),
        "{words}"
    );
    assert!(words.contains("next: see `hark service logs`"), "{words}");
}

#[test]
fn uninstall_leaves_nothing_of_the_service_and_everything_of_the_user() {
    if cfg!(target_os = "macos") {
        println!("skipped: this machine's service manager is launchd, see launchd.rs");
        return;
    }
    let home = Home::new();
    assert!(home.hark(&["service", "install"]).status.success());
    std::fs::create_dir_all(home.path(".config/hark")).unwrap();
    std::fs::write(home.path(".config/hark/config.toml"), "").unwrap();
    let done = home.hark(&["service", "uninstall"]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(!home.unit().exists() && home.path(".config/hark/config.toml").exists());
    let again = home.hark(&["service", "uninstall"]);
    assert_eq!(
        (again.status.code(), text(&again.stdout)),
        (Some(0), "Nothing was installed.\n".to_owned())
    );
}

#[test]
fn status_tells_scripts_by_its_exit_code_and_document() {
    if cfg!(target_os = "macos") {
        println!("skipped: this machine's service manager is launchd, see launchd.rs");
        return;
    }
    let home = Home::new();
    assert!(home.hark(&["service", "install"]).status.success());
    let up = home.hark(&["service", "status", "--json"]);
    let document: serde_json::Value = serde_json::from_slice(&up.stdout).unwrap();
    assert_eq!(up.status.code(), Some(0));
    assert_eq!(document["jobs"][0]["state"], "running");
    assert_eq!(document["jobs"][0]["pid"], 4711);
    std::fs::remove_file(home.path("up")).unwrap();
    let down = home.hark(&["service", "status"]);
    assert_eq!(down.status.code(), Some(3));
    assert!(text(&down.stdout).contains("fails again and again (it ended with code 2)"));
}

#[test]
fn without_a_service_manager_or_an_installation_the_next_step_is_named() {
    if cfg!(target_os = "macos") {
        println!("skipped: this machine's service manager is launchd, see launchd.rs");
        return;
    }
    let home = Home::new();
    let none = home.hark(&["service", "start"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(text(&none.stderr).contains("next: hark service install"));
    home.script(
        "systemctl",
        "echo 'Failed to connect to bus: No such file or directory' >&2; exit 1",
    );
    let refused = home.hark(&["service", "install"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        text(&refused.stderr).contains("XDG_RUNTIME_DIR"),
        "{}",
        text(&refused.stderr)
    );
}

#[test]
fn a_file_that_the_service_manager_has_not_loaded_is_told_as_that() {
    if cfg!(target_os = "macos") {
        println!("skipped: this machine's service manager is launchd, see launchd.rs");
        return;
    }
    let home = Home::new();
    home.script(
        "systemctl",
        "echo 'Failed to connect to bus: No such file or directory' >&2; exit 1",
    );
    assert_eq!(home.hark(&["service", "install"]).status.code(), Some(1));
    let told = home.hark(&["service", "status"]);
    assert_eq!(told.status.code(), Some(3));
    assert!(
        text(&told.stdout).contains("installed, and not loaded"),
        "{}",
        text(&told.stdout)
    );
    let doctor = text(&home.hark(&["doctor"]).stdout);
    assert!(doctor.contains("has not loaded it"), "{doctor}");
}

#[test]
fn print_shows_either_file_on_any_system_and_a_dry_run_changes_nothing() {
    let home = Home::new();
    let plist = home.hark(&["service", "print", "--platform", "launchd"]);
    assert!(text(&plist.stdout).contains("<string>dev.hark.daemon</string>"));
    let unit = home.hark(&["service", "print", "--platform", "systemd"]);
    assert!(text(&unit.stdout).contains("Restart=on-failure"));
    let dry = home.hark(&["service", "install", "--dry-run"]);
    assert!(dry.status.success(), "{}", text(&dry.stderr));
    assert!(!home.unit().exists() && home.asked().is_empty());
}

#[test]
fn a_model_server_needs_its_program_a_model_and_an_address_of_this_machine() {
    let home = Home::new();
    let missing = home.hark(&["service", "install", "--with", "ollama"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(
        text(&missing.stderr).contains("ollama is not on your PATH"),
        "{}",
        text(&missing.stderr)
    );
    home.script("mlx_lm.server", "exec sleep 60");
    let model = home.hark(&["service", "install", "--with", "mlx", "--dry-run"]);
    assert_eq!(model.status.code(), Some(2));
    assert!(text(&model.stderr).contains("llm.mlx.model"));
    let elsewhere = Command::new(env!("CARGO_BIN_EXE_hark"))
        .args([
            "service",
            "print",
            "--with",
            "ollama",
            "--platform",
            "launchd",
        ])
        .env_clear()
        .env("HOME", home.folder.path())
        .env("HARK_LLM_OLLAMA_URL", "http://10.0.0.9:11434")
        .output()
        .unwrap();
    assert_eq!(elsewhere.status.code(), Some(2));
    assert!(text(&elsewhere.stderr).contains("is not on this machine"));
}

#[test]
fn logs_are_shown_for_people_and_as_they_are_oldest_first() {
    let home = Home::new();
    let none = home.hark(&["service", "logs"]);
    assert_eq!(none.status.code(), Some(1));
    let logs = home.path(".local/state/hark/logs");
    let logs = if cfg!(target_os = "macos") {
        home.path("Library/Logs/hark")
    } else {
        logs
    };
    std::fs::create_dir_all(&logs).unwrap();
    let line = |n: u32| {
        format!(
            "{{\"timestamp\":\"2026-01-02T03:04:0{n}.5Z\",\"level\":\"INFO\",\"message\":\"line {n}\",\"turn\":{n}}}\n"
        )
    };
    std::fs::write(logs.join("hark.log.2"), line(1)).unwrap();
    std::fs::write(logs.join("hark.log.1"), line(2)).unwrap();
    std::fs::write(logs.join("hark.log"), line(3) + &line(4)).unwrap();
    let shown = text(&home.hark(&["service", "logs", "-n", "3"]).stdout);
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[0].ends_with("INFO  line 2 turn=2"), "{shown}");
    assert!(lines[2].ends_with("INFO  line 4 turn=4"), "{shown}");
    let raw = text(&home.hark(&["service", "logs", "--json"]).stdout);
    assert_eq!(raw, (1..=4).map(line).collect::<String>());
}
