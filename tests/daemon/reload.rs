//! Settings that change while the daemon runs: what is taken over, what needs a restart, and a file that is wrong.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

use crate::process::{hark, output, signal, text, wait};
use crate::support::{Home, PATIENCE};

/// A daemon that hears two minutes of silence in real time.
struct Daemon {
    child: Child,
    lines: Receiver<Value>,
}

impl Daemon {
    fn start(home: &Home) -> Self {
        let silence = home.path("silence.wav");
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 16_000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(&silence, spec).unwrap();
        for _ in 0..120 * 16_000 {
            writer.write_sample(0_i16).unwrap();
        }
        writer.finalize().unwrap();
        let (input, answer) = (text(&silence), text(&home.answer()));
        let arguments = [
            "run", "--input", &input, "--output", &answer, "--events", "-",
        ];
        let mut child = hark(home, &[], &arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line).expect("JSON Lines and nothing else");
                if tell.send(event).is_err() {
                    return;
                }
            }
        });
        let daemon = Self { child, lines };
        daemon.next("ready");
        daemon
    }

    /// The next event, which must be of this name.
    fn next(&self, name: &str) -> Value {
        let event = self.lines.recv_timeout(PATIENCE).expect("an event comes");
        assert_eq!(event["event"], name, "{event}");
        event
    }

    fn end(mut self) {
        signal(self.child.id(), "TERM");
        let status = wait(&mut self.child, Duration::from_secs(20)).expect("it ends");
        assert_eq!(status.code(), Some(0));
    }
}

/// As an editor writes it: beside its place first.
fn write(home: &Home, settings: &str) {
    let draft = home.path("config.toml.draft");
    std::fs::write(&draft, settings).unwrap();
    std::fs::rename(draft, home.path("config.toml")).unwrap();
}

fn names(event: &Value, key: &str) -> Vec<String> {
    let list = event[key].as_array().unwrap_or_else(|| panic!("{event}"));
    list.iter()
        .map(|name| name.as_str().unwrap().to_owned())
        .collect()
}

fn log_has(home: &Home, words: &str) -> bool {
    std::fs::read_to_string(home.path("logs/hark.log"))
        .unwrap_or_default()
        .contains(words)
}

#[test]
fn what_can_change_takes_effect_and_what_cannot_is_named() {
    let home = Home::new();
    let first = "[tts]\nengine = \"espeak\"\n[log]\nlevel = \"error\"\n";
    write(&home, first);
    let daemon = Daemon::start(&home);
    write(
        &home,
        "[tts]\nengine = \"espeak\"\nrate = 1.5\n[turn]\nfollow_up_s = 9\n[wake]\nphrase = \"computer\"\n[log]\nlevel = \"info\"\n",
    );
    let told = daemon.next("config");
    assert_eq!(
        names(&told, "applied"),
        ["log.level", "tts.rate", "turn.follow_up_s"]
    );
    assert_eq!(names(&told, "restart"), ["wake.phrase"]);
    // Each change is a line of the log, which begins to have them with this one.
    assert!(log_has(&home, "turn.follow_up_s"), "the log follows");
    let again = output(hark(&home, &[], &["config", "reload"]));
    let said = String::from_utf8_lossy(&again.stdout).into_owned();
    assert_eq!(again.status.code(), Some(0), "{said}");
    assert!(
        said.contains("need a restart") && said.contains("wake.phrase"),
        "{said}"
    );
    write(&home, first);
    let back = daemon.next("config");
    assert_eq!(
        names(&back, "applied"),
        ["log.level", "tts.rate", "turn.follow_up_s"]
    );
    assert_eq!(
        names(&back, "restart"),
        Vec::<String>::new(),
        "it runs with the old phrase, which is wanted again"
    );
    let nothing = output(hark(&home, &[], &["config", "reload", "--json"]));
    let answer: Value = serde_json::from_slice(&nothing.stdout).unwrap();
    assert_eq!(answer, serde_json::json!({"applied": [], "restart": []}));
    daemon.end();
}

#[test]
fn a_broken_file_keeps_the_old_settings_and_is_told_once_with_what_is_wrong() {
    let home = Home::new();
    let daemon = Daemon::start(&home);
    let broken = "[tts]\nvoise = \"x\"\n";
    write(&home, broken);
    let told = daemon.next("error");
    assert_eq!(told["kind"], "configuration");
    let message = told["message"].as_str().unwrap();
    assert!(
        message.contains("config.toml:2") && message.contains("did you mean tts.voice?"),
        "{message}"
    );
    assert!(message.contains("the old settings stay"), "{message}");
    let asked = output(hark(&home, &[], &["config", "reload"]));
    let err = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert_eq!(asked.status.code(), Some(1), "{err}");
    assert!(
        err.contains("did you mean tts.voice?") && err.contains("`hark config check`"),
        "{err}"
    );
    // The same mistake saved once more is no news; the next event is the mended file.
    write(&home, &format!("{broken}\n"));
    std::thread::sleep(Duration::from_secs(2));
    write(&home, "[agent]\nname = \"Ann\"\n");
    let mended = daemon.next("config");
    assert_eq!(names(&mended, "applied"), ["agent.name"]);
    daemon.end();
}

#[test]
fn a_voice_that_does_not_exist_is_told_and_the_old_one_stays() {
    let home = Home::new();
    write(&home, "[tts]\nengine = \"espeak\"\n");
    let daemon = Daemon::start(&home);
    write(&home, "[tts]\nengine = \"espeak\"\nvoice = \"xyzzy\"\n");
    let told = daemon.next("error");
    let message = told["message"].as_str().unwrap();
    assert!(
        message.contains("xyzzy") && message.contains("the old voice stays"),
        "{message}"
    );
    let config = daemon.next("config");
    assert_eq!(names(&config, "applied"), Vec::<String>::new());
    write(&home, "[tts]\nengine = \"espeak\"\nvoice = \"en-gb\"\n");
    assert_eq!(names(&daemon.next("config"), "applied"), ["tts.voice"]);
    daemon.end();
}

#[test]
fn without_a_daemon_reload_says_so() {
    let home = Home::new();
    let asked = output(hark(&home, &[], &["config", "reload"]));
    assert_eq!(asked.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&asked.stderr).contains("hark is not running"));
    assert!(!Path::new(&home.path("config.toml")).exists());
}
