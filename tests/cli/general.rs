//! Usage, help, settings, devices, completions, colour, closed pipes.

use std::process::{Command, Stdio};

use crate::support::{Home, data, json, keys};

/// Every command that does something, with its words.
const VERBS: &[&str] = &[
    "run",
    "demo",
    "ask",
    "say",
    "transcribe",
    "listen",
    "devices",
    "bench",
    "bench asr",
    "bench gateway",
    "bench wake",
    "doctor",
    "gateway",
    "gateway config",
    "status",
    "mute",
    "unmute",
    "off-record",
    "events",
    "ptt",
    "stop",
    "plan",
    "backend list",
    "backend use",
    "backend warm",
    "backend stop",
    "backend bench",
    "completions",
    "man",
    "config path",
    "config show",
    "config check",
    "config init",
    "config reload",
    "tools list",
    "tools call",
    "facts list",
    "facts add",
    "facts remove",
    "transcripts list",
    "transcripts show",
    "transcripts search",
    "transcripts export",
    "transcripts forget",
    "transcripts why",
    "service install",
    "service uninstall",
    "service start",
    "service stop",
    "service restart",
    "service status",
    "service logs",
    "service print",
];

#[test]
fn an_unknown_verb_is_wrong_usage() {
    let ran = Home::new().hark(&["frobnicate"]);
    assert_eq!(ran.code, 2);
    assert_eq!(ran.out, "");
    assert!(
        ran.err.contains("'frobnicate'") && ran.err.contains("--help"),
        "{}",
        ran.err
    );
    assert_eq!(Home::new().hark(&[]).code, 2);
}

#[test]
fn help_is_printed_for_every_verb_with_an_example() {
    let home = Home::new();
    for verb in VERBS.iter().copied().chain(["models"]) {
        let mut words: Vec<&str> = verb.split(' ').collect();
        words.push("--help");
        let ran = home.hark(&words);
        assert_eq!(ran.code, 0, "{verb}");
        assert!(
            ran.out.contains("Example"),
            "{verb} has no example:\n{}",
            ran.out
        );
        assert!(
            ran.out.contains(&format!("hark {verb}")),
            "{verb}:\n{}",
            ran.out
        );
        assert_eq!(ran.err, "", "{verb}");
    }
    let version = home.hark(&["--version"]);
    assert_eq!(
        (version.code, version.out.trim()),
        (0, concat!("hark ", env!("CARGO_PKG_VERSION")))
    );
}

#[test]
fn the_list_of_verbs_here_is_the_programs() {
    let help = Home::new().hark(&["--help"]).out;
    let listed: Vec<&str> = help
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|verb| !verb.is_empty() && *verb != "help" && *verb != "models")
        .collect();
    for verb in &listed {
        assert!(
            VERBS
                .iter()
                .any(|known| known.split(' ').next() == Some(verb)),
            "{verb} is not tested"
        );
    }
    assert!(listed.len() > 8, "{help}");
}

#[test]
fn a_misspelt_setting_stops_every_verb_with_a_suggestion() {
    let home = Home::new();
    home.write("config.toml", "[audio]\ninputt = \"x\"\n");
    for words in [&["config", "check"][..], &["ask", "hello"], &["demo"]] {
        let ran = home.hark(words);
        assert_eq!(ran.code, 2, "{words:?}");
        let expected = "~/config.toml:2: audio.inputt is no setting; did you mean audio.input?";
        assert!(ran.err.contains(expected), "{}", ran.err);
        assert_eq!(ran.out, "");
    }
    home.write("config.toml", "[llm]\nbackend = \"olama\"\n");
    let home = home.with("HARK_LLM_BACKEND", "mlxx");
    let ran = home.hark(&["ask", "hello"]);
    assert_eq!(ran.code, 2);
    assert!(
        ran.err.contains("HARK_LLM_BACKEND") && ran.err.contains("did you mean \"mlx\"?"),
        "{}",
        ran.err
    );
}

#[test]
fn correct_settings_pass_and_are_shown_with_where_they_come_from() {
    let home = Home::new();
    home.write("config.toml", "[turn]\nend_silence_ms = 700\n");
    assert_eq!(home.hark(&["config", "check"]).code, 0);
    let shown = home.hark(&["config", "show", "--sources"]);
    assert_eq!(shown.code, 0);
    let line = shown
        .out
        .lines()
        .find(|line| line.contains("end_silence_ms"))
        .expect("it is shown");
    assert!(
        line.contains("700") && line.contains("config.toml:2"),
        "{line}"
    );
    assert_eq!(home.hark(&["config", "path"]).out, "~/config.toml\n");
}

#[test]
fn without_a_home_hark_says_what_to_set() {
    let home = Home::new();
    let output = home
        .command(&["devices"])
        .env_remove("HARK_HOME")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("set HARK_HOME"));
}

#[test]
fn devices_are_listed_and_none_is_no_failure() {
    let home = Home::new();
    let ran = home.hark(&["devices", "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let devices = json(&ran.out);
    assert_eq!(
        keys(&devices),
        ["host", "inputs", "outputs", "input", "output"]
    );
    let told = home.hark(&["devices"]);
    assert_eq!((told.code, told.err.as_str()), (0, ""));
    let inputs = devices["inputs"].as_array().unwrap();
    let section = told.out.split("loudspeakers:").next().unwrap();
    if inputs.is_empty() {
        assert!(
            section.contains("microphones:\n  none\n  none is used: "),
            "{}",
            told.out
        );
        assert_eq!(devices["input"]["id"], serde_json::Value::Null);
    } else {
        let name = inputs[0]["name"].as_str().unwrap();
        assert!(section.contains(name), "{}", told.out);
    }
}

#[test]
fn completions_and_the_manual_are_printed() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        let ran = home.hark(&["completions", shell]);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""));
        assert!(
            ran.out.contains("transcribe") && ran.out.contains("transcripts"),
            "{shell}"
        );
    }
    let script = home.path("hark.bash");
    std::fs::write(&script, home.hark(&["completions", "bash"]).out).unwrap();
    let read = Command::new("bash")
        .arg("-n")
        .arg(&script)
        .status()
        .unwrap();
    assert!(read.success(), "bash reads its completions");
    let manual = home.hark(&["man"]);
    assert_eq!(manual.code, 0);
    assert!(
        manual.out.contains(".TH hark 1") && manual.out.contains("transcribe"),
        "{}",
        manual.out
    );
    assert_eq!(home.hark(&["completions", "tcsh"]).code, 2);
    let page = home.hark(&["man", "service", "install"]);
    assert_eq!(page.code, 0, "{}", page.err);
    assert!(
        page.out.contains(".TH hark-service-install 1") && page.out.contains("dry"),
        "{}",
        page.out
    );
    assert_eq!(home.hark(&["man", "service", "frobnicate"]).code, 2);
}

/// Every page is read by the real `man`, which complains of what it does not understand.
#[test]
fn the_manual_pages_are_without_fault() {
    let home = Home::new();
    for verb in VERBS.iter().copied().chain([""]) {
        let words: Vec<&str> = ["man"].into_iter().chain(verb.split_whitespace()).collect();
        let page = home.hark(&words);
        assert_eq!(page.code, 0, "{verb}: {}", page.err);
        let file = home.path("page.1");
        std::fs::write(&file, &page.out).unwrap();
        let read = Command::new("groff")
            .args(["-K", "utf8", "-man", "-ww", "-z", "-Tutf8"])
            .arg(&file)
            .output();
        let Ok(read) = read else {
            println!("skipped: groff is not installed");
            return;
        };
        let complaints = String::from_utf8_lossy(&read.stderr).into_owned();
        assert_eq!(complaints, "", "{verb}");
    }
}

#[test]
fn nothing_is_coloured_in_a_pipe_or_under_no_color() {
    let (plain, _) = Home::after_a_demo();
    for home in [plain, Home::after_a_demo().0.with("NO_COLOR", "1")] {
        let clip = data("clip.wav");
        for words in [
            &["transcripts", "list"][..],
            &["transcripts", "search", "time"],
            &["transcripts", "why"],
            &["transcribe", &clip],
            &["run", "--input", &clip, "--output", "o.wav", "--fast"],
            &["devices"],
            &["--help"],
        ] {
            let ran = home.hark(words);
            assert_eq!(ran.code, 0, "{words:?} {}", ran.err);
            assert!(
                !ran.out.contains('\x1b') && !ran.err.contains('\x1b'),
                "{words:?}"
            );
        }
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let (home, _) = Home::after_a_demo();
    let clip = data("clip.wav");
    for words in [
        &["transcripts", "list"][..],
        &["transcripts", "list", "--json"],
        &["transcripts", "export"],
        &["config", "show"],
        &["models", "list"],
        &["devices"],
        &["man"],
        &["completions", "bash"],
        &["ask", "what time is it"],
        &["transcribe", &clip],
        &["demo", "--wav", &clip, "--out", "b.wav"],
        &[
            "run", "--input", &clip, "--output", "b.wav", "--fast", "--events", "-",
        ],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let template = home.command(words);
        let mut command = Command::new(template.get_program());
        command
            .args(template.get_args())
            .current_dir(home.path(""))
            .env_clear();
        for (name, value) in template.get_envs() {
            command.envs(value.map(|value| (name, value)));
        }
        let output = command
            .stdin(Stdio::null())
            .stdout(Stdio::from(std::os::fd::OwnedFd::from(writer)))
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(
            !err.contains("a bug in Hark") && !err.contains("panicked"),
            "{words:?}: {err}"
        );
        assert_eq!(output.status.code(), Some(0), "{words:?}: {err}");
    }
}
