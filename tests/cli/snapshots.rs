//! What each verb prints in a home of its own, without a daemon, a model server or a sound card: one golden file.
//!
//! `UPDATE_GOLDEN=1 cargo test --test cli snapshots` writes it anew; look at the difference before it is committed. Help
//! texts are not in it: each is looked at by its own test.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::Path;

use crate::support::{Home, data};

/// The verbs in the order in which they run; later ones see what earlier ones have left.
const RUNS: &[&[&str]] = &[
    &["--version"],
    &["status"],
    &["status", "--json"],
    &["status", "--socket"],
    &["mute"],
    &["unmute"],
    &["off-record", "on"],
    &["events"],
    &["ptt", "press"],
    &["stop"],
    &["config", "path"],
    &["config", "check"],
    &["config", "show", "tts", "--sources"],
    &["config", "init", "--yes"],
    &["config", "init"],
    &["config", "reload"],
    &["config", "show", "tts.voise"],
    &["models", "path", "starter.en"],
    &["models", "path", "base.en"],
    &["models", "verify", "smal.en"],
    &["models", "remove", "base.en"],
    &["facts", "list"],
    &["facts", "add", "the car is red"],
    &["facts", "list"],
    &["facts", "remove", "7"],
    &["transcripts", "list"],
    &["transcripts", "search", "car"],
    &["transcripts", "show", "3"],
    &["transcripts", "why"],
    &["transcripts", "export"],
    &["transcripts", "forget"],
    &["transcripts", "forget", "--all"],
    &["ask", "what is twelve plus thirty"],
    &["ask", "tell me about badgers"],
    &["transcribe", "CLIP"],
    &["transcribe", "nowhere.wav"],
    &["say", "--out", "hello.wav", "hello"],
    &["listen", "--input", "nowhere.wav"],
    &["run", "--input", "nowhere.wav"],
    &["run", "--fast"],
    &["demo", "--wav", "nowhere.wav", "--out", "answer.wav"],
    &["backend", "list"],
    &["backend", "stop"],
    &["backend", "warm"],
    &["tools", "call", "frobnicate", "{}"],
    &["bench", "asr", "no-such-model", "nowhere"],
    &["completions", "tcsh"],
    &["man", "frobnicate"],
    &["frobnicate"],
];

fn nobody() -> String {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", socket.local_addr().unwrap())
}

/// Takes out what differs from run to run: ports, times, and where the repository lies.
fn steady(text: &str, ports: &[String]) -> String {
    let mut text = text.replace(env!("CARGO_MANIFEST_DIR"), "REPOSITORY");
    for url in ports {
        text = text.replace(url, "http://127.0.0.1:PORT");
    }
    let time = regex::Regex::new(r"\d+(\.\d+)? (ms|s)\b").unwrap();
    time.replace_all(&text, "TIME").into_owned()
}

#[test]
fn each_verb_prints_what_it_printed() {
    let ports = [nobody(), nobody()];
    let home = Home::new()
        .with("HARK_LLM_MLX_URL", &ports[0])
        .with("HARK_LLM_OLLAMA_URL", &ports[1]);
    let clip = data("clip.wav");
    let mut found = String::new();
    for run in RUNS {
        let words: Vec<&str> = run
            .iter()
            .map(|word| if *word == "CLIP" { clip.as_str() } else { word })
            .collect();
        let ran = home.hark(&words);
        writeln!(found, "$ hark {}", run.join(" ")).unwrap();
        for line in ran.out.lines() {
            writeln!(found, "{line}").unwrap();
        }
        // A log line has a time of its own; what is logged is looked at elsewhere.
        for line in ran.err.lines().filter(|line| !line.starts_with("20")) {
            writeln!(found, "! {line}").unwrap();
        }
        writeln!(found, "= {}\n", ran.code).unwrap();
    }
    let found = steady(&found, &ports);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/verbs.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, &found).unwrap();
    }
    let kept = std::fs::read_to_string(&golden).unwrap_or_default();
    let differing = found
        .lines()
        .zip(kept.lines())
        .find(|(now, before)| now != before);
    assert!(
        found == kept,
        "the first difference (now, before): {differing:#?}; UPDATE_GOLDEN=1 writes {} anew",
        golden.display()
    );
}
