//! The real program as a process: signals, privacy of its log, a disk that fills up, a voice that dies.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hark::flow::Outcome;
use serde_json::Value;

use crate::server::{Gate, Server};
use crate::support::{Home, PATIENCE, data, model, plain};

/// `hark` in an environment of its own: this home, this model, no language model unless `more` says otherwise.
pub fn hark(home: &Home, more: &[(&str, String)], arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hark"));
    surround(&mut command, home, more);
    command.args(arguments);
    command
}

fn surround(command: &mut Command, home: &Home, more: &[(&str, String)]) {
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").expect("there is a PATH"))
        .env("HARK_HOME", home.root())
        .env("HARK_STT_MODEL", model())
        .env("HARK_LLM_BACKEND", "none")
        .envs(more.iter().map(|(name, value)| (*name, value)))
        .stdin(Stdio::null());
}

/// Runs it to its end, with everything that it printed.
pub fn output(mut command: Command) -> Output {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let id = child.id();
    let (told, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || told.send(child.wait_with_output()));
    match ended.recv_timeout(PATIENCE) {
        Ok(output) => output.expect("its output is read"),
        Err(_) => {
            signal(id, "KILL");
            panic!("the program did not end within {PATIENCE:?}");
        }
    }
}

pub fn signal(process: u32, name: &str) {
    let status = Command::new("kill")
        .args([format!("-{name}"), process.to_string()])
        .status()
        .expect("there is kill");
    assert!(status.success());
}

pub fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let by = Instant::now() + limit;
    while Instant::now() < by {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

pub fn text(path: &Path) -> String {
    path.display().to_string()
}

pub fn events(output: &[u8]) -> Vec<Value> {
    String::from_utf8_lossy(output)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON Lines and nothing else"))
        .collect()
}

/// Starts the daemon on three questions in real time, sends the signal after an event of that name, and tells how it ended.
fn signalled(home: &Home, name: &str, after: &str) -> ExitStatus {
    let (input, answer) = (text(&data("questions3.wav")), text(&home.answer()));
    let arguments = [
        "run", "--input", &input, "--output", &answer, "--events", "-",
    ];
    let mut child = hark(home, &[], &arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let wanted = format!("\"event\":\"{after}\"");
    let mut lines = lines.map(Result::unwrap);
    // The input ends after 12 s, and with it the lines: this cannot wait for ever.
    assert!(lines.any(|line| line.contains(&wanted)), "{after} comes");
    signal(child.id(), name);
    let status = wait(&mut child, Duration::from_secs(5)).expect("it ends within 5 s");
    assert!(
        hound::WavReader::open(home.answer()).is_ok(),
        "the output is a whole file"
    );
    status
}

#[test]
fn sigterm_ends_the_daemon_cleanly() {
    let home = Home::new();
    assert_eq!(signalled(&home, "TERM", "turn").code(), Some(0));
    let records = home.records();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].turn.outcome, Outcome::Completed);
}

#[test]
fn sigint_in_the_middle_of_speech_ends_the_daemon_cleanly() {
    let home = Home::new();
    assert_eq!(signalled(&home, "INT", "speech_start").code(), Some(0));
}

#[test]
fn the_log_never_holds_what_was_said() {
    let home = Home::new();
    let server = Server::start(|number, mut talk| {
        if talk.say("The secret word is pineapple. ") && number > 0 && talk.say("Marmalade.") {
            talk.done();
        }
    });
    let questions = home.spoken(
        &[
            "what is twelve plus thirty",
            "turn on the lights in the kitchen",
            "tell me a joke",
        ],
        Duration::from_secs(1),
    );
    let (input, answer) = (text(&questions), text(&home.answer()));
    let arguments = [
        "-vv", "run", "--input", &input, "--output", &answer, "--fast", "--events", "-",
    ];
    let ran = output(hark(&home, &server.settings(), &arguments));
    let log = String::from_utf8_lossy(&ran.stderr).to_lowercase();
    assert_eq!(ran.status.code(), Some(0), "{log}");
    let shown = String::from_utf8_lossy(&ran.stdout).to_lowercase();
    assert!(log.contains("speech model"), "there is a log: {log}");
    for word in ["twelve", "kitchen", "joke", "42", "pineapple", "marmalade"] {
        assert!(shown.contains(word), "{word} was said: {shown}");
        assert!(
            word == "42" || !log.contains(word),
            "{word} is in the log:\n{log}"
        );
    }
    assert!(!log.contains("that's"), "the answer is in the log:\n{log}");
}

#[test]
fn an_output_file_on_a_full_disk_is_told_and_the_turns_are_recorded() {
    let home = Home::new();
    // Half a minute of speech is 1.3 MB; the limit below stands for a disk that is full after 0.5 MB.
    let server = Server::start(|_, mut talk| {
        let sentence = "The fox walked along the bank of the wide and quiet river. ";
        if (0..8).all(|_| talk.say(sentence)) {
            talk.done();
        }
    });
    let questions = home.spoken(
        &["tell me a story", "what time is it"],
        Duration::from_secs(1),
    );
    let mut shell = Command::new("sh");
    surround(&mut shell, &home, &server.settings());
    shell
        .args(["-c", "trap '' XFSZ; ulimit -f 1024; exec \"$@\"", "sh"])
        .arg(env!("CARGO_BIN_EXE_hark"))
        .args(["run", "--input"])
        .arg(&questions)
        .arg("--output")
        .arg(home.answer())
        .args(["--fast", "--events", "-"]);
    let ran = output(shell);
    let told = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(ran.status.code(), Some(1), "{told}");
    assert!(told.contains("answer.wav"), "which file: {told}");
    assert!(told.contains("next: "), "and what to do: {told}");
    let records = home.records();
    assert_eq!(records.len(), 2, "{told}");
    assert_eq!(records[0].turn.outcome, Outcome::Failed);
    assert_eq!(records[0].turn.failure.as_deref(), Some("output_lost"));
    assert!(records[0].turn.replied.as_str().starts_with("The fox"));
    let errors: Vec<Value> = events(&ran.stdout)
        .into_iter()
        .filter(|event| event["event"] == "error")
        .collect();
    assert!(!errors.is_empty());
}

#[test]
fn a_voice_that_dies_costs_the_answer_and_not_the_conversation() {
    let home = Home::new();
    let folder = home.path("bin");
    std::fs::create_dir(&folder).unwrap();
    let real = std::env::split_paths(&std::env::var_os("PATH").unwrap())
        .map(|folder| folder.join("espeak-ng"))
        .find(|program| program.is_file())
        .expect("these tests speak with espeak-ng: install it");
    let once = home.path("dies-once");
    std::fs::write(&once, "").unwrap();
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *--stdout*) if rm '{}' 2>/dev/null; then kill -9 $$; fi;; esac\nexec '{}' \"$@\"\n",
        once.display(),
        real.display()
    );
    let voice = folder.join("espeak-ng");
    std::fs::write(&voice, script).unwrap();
    std::fs::set_permissions(&voice, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::join_paths(
        std::iter::once(folder).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    )
    .unwrap();
    let (input, answer) = (text(&data("questions3.wav")), text(&home.answer()));
    let arguments = [
        "run", "--input", &input, "--output", &answer, "--fast", "--events", "-",
    ];
    let more = [
        ("PATH", path.into_string().unwrap()),
        ("HARK_TTS_ENGINE", "espeak".to_owned()),
    ];
    let ran = output(hark(&home, &more, &arguments));
    let told = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(ran.status.code(), Some(0), "{told}");
    assert!(!once.exists(), "the voice died");
    let events = events(&ran.stdout);
    let errors: Vec<&Value> = events
        .iter()
        .filter(|event| event["event"] == "error")
        .collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(errors[0]["kind"], "voice_failed");
    let records = home.records();
    let outcomes: Vec<Outcome> = records.iter().map(|record| record.turn.outcome).collect();
    assert_eq!(
        outcomes,
        [Outcome::Failed, Outcome::Completed, Outcome::Completed]
    );
    assert_eq!(
        records[0].turn.heard.as_str(),
        "",
        "nobody heard the first answer"
    );
    assert_eq!(
        plain(records[2].turn.asked.as_str()),
        "what day is it today"
    );
}

#[test]
fn a_typed_question_is_answered_while_the_model_writes() {
    let gate = Arc::new(Gate::default());
    let wait = Arc::clone(&gate);
    let server = Server::start(move |_, mut talk| {
        talk.say("Badgers are *broad*, ");
        if wait.pass(PATIENCE) && talk.say("as they say.") {
            talk.done();
        }
    });
    let home = Home::new();
    let mut child = hark(&home, &server.settings(), &["ask", "tell me about badgers"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut shown = [0; 21];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut shown)
        .unwrap();
    assert_eq!(
        &shown, b"Badgers are *broad*, ",
        "the model's own text, for a screen"
    );
    gate.open();
    let rest = child.wait_with_output().unwrap();
    assert_eq!(rest.stdout, b"as they say.\n");
    let told = String::from_utf8_lossy(&rest.stderr);
    assert_eq!(rest.status.code(), Some(0), "{told}");
    assert!(
        told.starts_with("(first token after ") && told.contains(" ms, from openai)"),
        "{told}"
    );
    let record = &home.records()[0].turn;
    assert_eq!(record.replied.as_str(), "Badgers are *broad*, as they say.");
    assert!(record.receipt.first_token_ms.is_some());
}

#[test]
fn where_the_wake_phrase_is_needed_other_speech_starts_nothing() {
    let home = Home::new();
    let (input, answer) = (text(&data("questions3.wav")), text(&home.answer()));
    let arguments = [
        "run", "--wake", "--input", &input, "--output", &answer, "--fast", "--events", "-",
    ];
    let ran = output(hark(&home, &[], &arguments));
    assert_eq!(ran.status.code(), Some(0));
    let events = events(&ran.stdout);
    let reasons: Vec<&Value> = events
        .iter()
        .filter(|event| event["event"] == "ignored")
        .map(|event| &event["reason"])
        .collect();
    assert_eq!(reasons, ["no_wake"; 3]);
    assert!(
        events
            .iter()
            .all(|event| event["event"] != "reply" && event["event"] != "turn")
    );
    assert!(
        home.records().is_empty(),
        "what was not meant for Hark is not kept"
    );
}

#[test]
fn servers_that_bring_tools_are_gone_after_the_daemon() {
    let home = Home::new();
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/tools/misbehaving_server.py"
    );
    let pid = home.path("server.pid");
    let settings = format!(
        "[mcp.servers.bad]\ncommand = \"sh\"\nargs = [\"-c\", \"echo $$ >{}; exec python3 {script}\"]\n",
        text(&pid)
    );
    std::fs::write(home.path("config.toml"), settings).unwrap();
    assert_eq!(signalled(&home, "TERM", "turn").code(), Some(0));
    let pid = std::fs::read_to_string(pid).expect("the server was started");
    let left = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    assert!(left.is_err(), "{left:?}");
}
