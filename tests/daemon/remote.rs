//! The running program and the commands that talk to it: status, mute, push-to-talk, off the record, stop, events.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use hark::flow::Outcome;
use serde_json::{Value, json};

use crate::process::{hark, output, signal, text, wait};
use crate::support::{Home, PATIENCE, data, plain, samples};

/// A WAV of the sentences, each at its second, until `seconds` are full.
pub fn timeline(home: &Home, sentences: &[(f64, &str)], seconds: f64) -> PathBuf {
    let mut whole: Vec<i16> = Vec::new();
    let mut rate = 22_050;
    for (at, sentence) in sentences {
        let clip = home.spoken(&[sentence], Duration::ZERO);
        rate = hound::WavReader::open(&clip).unwrap().spec().sample_rate;
        whole.resize((at * f64::from(rate)) as usize, 0);
        whole.extend(samples(&clip));
    }
    whole.resize((seconds * f64::from(rate)) as usize, 0);
    let path = home.path("timeline.wav");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(&path, spec).unwrap();
    for sample in whole {
        writer.write_sample(sample).unwrap();
    }
    writer.finalize().unwrap();
    path
}

/// The program, hearing a file in real time, with its events on a pipe.
pub struct Daemon<'a> {
    home: &'a Home,
    more: Vec<(&'static str, String)>,
    child: Child,
    lines: Receiver<Value>,
    pub seen: Vec<Value>,
}

impl<'a> Daemon<'a> {
    pub fn start(
        home: &'a Home,
        input: &Path,
        extra: &[&str],
        more: &[(&'static str, String)],
    ) -> Self {
        let (input, answer) = (text(input), text(&home.answer()));
        let mut arguments = vec![
            "run", "--input", &input, "--output", &answer, "--events", "-",
        ];
        arguments.extend(extra);
        let mut child = hark(home, more, &arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).expect("JSON Lines and nothing else");
                if tell.send(line).is_err() {
                    break;
                }
            }
        });
        Self {
            home,
            more: more.to_vec(),
            child,
            lines,
            seen: Vec::new(),
        }
    }

    /// Waits for the next event of that name.
    pub fn next(&mut self, name: &str) -> Value {
        let by = Instant::now() + PATIENCE;
        loop {
            let left = by.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).unwrap_or_else(|_| {
                self.child.kill().ok();
                panic!("no {name} came; what came: {:#?}", self.seen)
            });
            self.seen.push(line.clone());
            if line["event"] == name {
                return line;
            }
        }
    }

    pub fn ask(&self, arguments: &[&str]) -> Output {
        output(hark(self.home, &self.more, arguments))
    }

    /// A command that must work; what it prints.
    pub fn told(&self, arguments: &[&str]) -> String {
        let ran = self.ask(arguments);
        let err = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(0), "{arguments:?}: {err}");
        String::from_utf8(ran.stdout).unwrap()
    }

    pub fn status(&self) -> Value {
        serde_json::from_str(&self.told(&["status", "--json"])).unwrap()
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Ends it and gives what it wrote to standard error.
    pub fn stop(mut self) -> (String, Vec<Value>) {
        signal(self.child.id(), "TERM");
        let status = wait(&mut self.child, Duration::from_secs(20)).expect("it ends");
        assert_eq!(status.code(), Some(0));
        let mut err = String::new();
        std::io::Read::read_to_string(&mut self.child.stderr.take().unwrap(), &mut err).unwrap();
        self.seen.extend(self.lines.iter());
        (err, std::mem::take(&mut self.seen))
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

#[test]
fn commands_reach_the_daemon_and_a_second_one_leaves_it_alone() {
    let home = Home::new();
    let input = timeline(&home, &[], 120.0);
    let mut daemon = Daemon::start(&home, &input, &["--wake"], &[]);
    daemon.next("ready");
    let status = daemon.status();
    assert_eq!(status["state"], "idle");
    assert_eq!(
        (&status["muted"], &status["off_record"], &status["turns"]),
        (&json!(false), &json!(false), &json!(0))
    );
    assert_eq!(status["wake"]["phrase"], "hey hark");
    assert_eq!(status["pid"], daemon.process());
    assert!(status["memory"]["daemon_bytes"].as_u64().unwrap() > 1_000_000);
    assert!(status["input"].as_str().unwrap().ends_with("timeline.wav"));
    let words = daemon.told(&["status"]);
    assert!(
        words.starts_with("state      idle since ") && words.contains("\nmuted      no"),
        "{words}"
    );
    let socket = daemon.told(&["status", "--socket"]);
    assert_eq!(socket.trim(), home.path("hark.sock").display().to_string());

    assert_eq!(
        daemon.told(&["mute"]),
        "The ear is closed until `hark unmute`.\n"
    );
    assert_eq!(daemon.next("muted")["muted"], true);
    assert_eq!(daemon.status()["state"], "muted");
    let pressed = daemon.ask(&["ptt", "press"]);
    let err = String::from_utf8_lossy(&pressed.stderr).into_owned();
    assert_eq!(pressed.status.code(), Some(1));
    assert!(
        err.contains("muted") && err.contains("next: open it: `hark unmute`"),
        "{err}"
    );
    assert_eq!(daemon.told(&["unmute", "--json"]), "{\"muted\":false}\n");
    assert_eq!(
        daemon.told(&["off-record", "on", "--json"]),
        "{\"off_record\":true}\n"
    );
    assert_eq!(daemon.status()["off_record"], true);
    assert_eq!(
        daemon.told(&["off-record", "off"]),
        "On the record again.\n"
    );
    assert_eq!(daemon.told(&["stop"]), "");

    // Another one for a room does not start; it has no microphone here either, but that it must not even try.
    let second = output(hark(&home, &[], &["run", "--input", "default"]));
    let err = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{err}");
    assert!(
        err.contains(&format!(
            "already running here (process {})",
            daemon.process()
        )),
        "{err}"
    );
    assert!(
        err.contains("next: see what it does with `hark status`"),
        "{err}"
    );
    // One for a file does, and leaves the socket alone.
    let clip = text(&data("question.wav"));
    let third = output(hark(
        &home,
        &[],
        &[
            "run",
            "--input",
            &clip,
            "--output",
            &text(&home.path("b.wav")),
        ],
    ));
    assert_eq!(third.status.code(), Some(0));
    let state = daemon.status()["state"].clone();
    assert!(state == "idle" || state == "listening", "{state}");
    daemon.stop();
    assert!(!home.path("hark.sock").exists());
}

#[test]
fn a_daemon_that_is_stopped_or_killed_is_exit_code_3_and_no_hang() {
    let home = Home::new();
    let input = timeline(&home, &[], 120.0);
    let mut daemon = Daemon::start(&home, &input, &["--wake"], &[]);
    daemon.next("ready");
    signal(daemon.process(), "STOP");
    for arguments in [
        &["status"][..],
        &["mute"],
        &["off-record", "on"],
        &["ptt", "press"],
        &["stop"],
        &["config", "reload"],
        &["events"],
    ] {
        let before = Instant::now();
        let ran = daemon.ask(arguments);
        let took = before.elapsed();
        let err = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(3), "{arguments:?}: {err}");
        assert!(
            err.contains("does not answer")
                && err.contains(&format!("kill -9 {}", daemon.process())),
            "{err}"
        );
        // 1.5 s of patience and the start of a program; the rest is for the machine.
        assert!(
            took < Duration::from_secs(15),
            "{arguments:?} took {took:?}"
        );
    }
    signal(daemon.process(), "CONT");
    signal(daemon.process(), "KILL");
    daemon.child.wait().unwrap();
    assert!(
        home.path("hark.sock").exists(),
        "a killed daemon leaves its socket"
    );
    let ran = daemon.ask(&["status"]);
    let err = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(3), "{err}");
    assert!(
        err.contains("is not running") && err.contains("next: start it: `hark run`"),
        "{err}"
    );
    // The next one takes over.
    let mut daemon = Daemon::start(&home, &input, &["--wake"], &[]);
    daemon.next("ready");
    assert_eq!(daemon.status()["state"], "idle");
    daemon.stop();
}

#[test]
fn a_follower_notices_that_the_daemon_hangs_and_when_it_ends() {
    let home = Home::new();
    let input = timeline(&home, &[], 120.0);
    let mut daemon = Daemon::start(&home, &input, &["--wake"], &[]);
    daemon.next("ready");
    let follow = || {
        let mut child = hark(&home, &[], &["events"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        // Whatever is switched is told to it once it follows.
        let mut line = String::new();
        let by = Instant::now() + PATIENCE;
        let (tell, told) = channel();
        let reader = std::thread::spawn(move || {
            out.read_line(&mut line).unwrap();
            tell.send(line).ok();
        });
        while told
            .recv_timeout(Duration::from_millis(300))
            .map(|line| assert!(line.contains("muted")))
            .is_err()
        {
            assert!(Instant::now() < by, "nothing is told");
            daemon.told(&["unmute"]);
        }
        reader.join().unwrap();
        child
    };
    let mut first = follow();
    signal(daemon.process(), "STOP");
    let ended = wait(&mut first, Duration::from_secs(20)).expect("it notices");
    assert_eq!(ended.code(), Some(3));
    signal(daemon.process(), "CONT");
    let mut second = follow();
    daemon.stop();
    let ended = wait(&mut second, Duration::from_secs(20)).expect("it ends with the daemon");
    assert_eq!(ended.code(), Some(0));
}

#[test]
fn a_held_key_asks_without_the_wake_phrase_and_no_silence_ends_it() {
    let home = Home::new();
    let question = "what is twelve plus thirty";
    let input = timeline(&home, &[(7.0, question)], 60.0);
    let mut daemon = Daemon::start(&home, &input, &["--wake"], &[]);
    daemon.next("ready");
    daemon.told(&["ptt", "press"]);
    assert_eq!(daemon.next("ptt")["action"], "press");
    assert_eq!(daemon.status()["state"], "hearing");
    daemon.next("speech_start");
    // The question lasts 1.6 s and the key is held 3.5 s: longer than the silence that would end it.
    std::thread::sleep(Duration::from_millis(3_500));
    assert!(
        daemon
            .lines
            .try_iter()
            .all(|line| line["event"] != "speech_end"),
        "no silence ends it"
    );
    daemon.told(&["ptt", "release"]);
    let transcript = daemon.next("transcript");
    assert_eq!(plain(transcript["text"].as_str().unwrap()), question);
    let turn = daemon.next("turn");
    assert_eq!(turn["outcome"], "completed");
    assert_eq!(daemon.status()["turns"], 1);
    daemon.stop();
    let records = home.records();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].turn.outcome, Outcome::Completed);
}

#[test]
fn a_muted_ear_hears_nothing_until_it_is_opened() {
    let home = Home::new();
    let question = "what is twelve plus thirty";
    let sentences: Vec<(f64, &str)> = [7.0, 15.0, 23.0, 31.0, 39.0]
        .map(|at| (at, question))
        .to_vec();
    let input = timeline(&home, &sentences, 60.0);
    let mut daemon = Daemon::start(&home, &input, &["--wake"], &[]);
    daemon.next("ready");
    daemon.told(&["mute"]);
    wait_until(&mut daemon, 10.5);
    daemon.told(&["unmute"]);
    assert!(
        daemon
            .seen
            .iter()
            .all(|line| line["event"] != "speech_start"),
        "{:#?}",
        daemon.seen
    );
    let heard = daemon.next("speech_start");
    assert!(heard["at"].as_f64().unwrap() > 14.0, "{heard}");
    assert_eq!(daemon.next("ignored")["reason"], "no_wake");
    daemon.stop();
}

/// Waits until so many seconds of input have been heard, by what the switches' events say.
fn wait_until(daemon: &mut Daemon<'_>, second: f64) {
    let by = Instant::now() + PATIENCE;
    loop {
        daemon.told(&["off-record", "off"]);
        let at = daemon.next("off_record")["at"].as_f64().unwrap();
        if at >= second {
            return;
        }
        assert!(Instant::now() < by, "the input stands still at {at}");
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// A key for the whole of a test: what `hark ptt` and curl do to the daemon is the same.
#[test]
fn curl_presses_the_key() {
    if Command::new("curl").arg("--version").output().is_err() {
        println!("skipped: there is no curl here");
        return;
    }
    let home = Home::new();
    let input = timeline(&home, &[], 60.0);
    let mut daemon = Daemon::start(&home, &input, &["--wake"], &[]);
    daemon.next("ready");
    let socket = daemon.told(&["status", "--socket"]);
    let output = Command::new("curl")
        .args([
            "-sS",
            "--max-time",
            "20",
            "-d",
            "{\"action\": \"toggle\"}",
            "--unix-socket",
            socket.trim(),
        ])
        .arg("http://hark/v1/ptt")
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "{\"ptt\":\"toggle\"}\n"
    );
    assert_eq!(daemon.next("ptt")["action"], "toggle");
    daemon.stop();
}
