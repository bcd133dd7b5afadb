//! Timers outlive the daemon: one that was set by voice rings after the process was killed without warning.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use hark::agent::notebook::Notebook;
use hark::agent::schedule::{Kind, NewEntry};
use serde_json::Value;

use crate::process::{hark, signal, text, wait};
use crate::support::{Home, PATIENCE, rms, samples};

/// Half a minute of silence to listen to.
fn silence(home: &Home) -> String {
    let path = home.path("silence.wav");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(&path, spec).unwrap();
    for _ in 0..16_000 * 30 {
        writer.write_sample(0_i16).unwrap();
    }
    writer.finalize().unwrap();
    text(&path)
}

/// A daemon as a process, and its events.
struct Daemon {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Daemon {
    fn run(home: &Home, input: &str) -> Self {
        let answer = text(&home.answer());
        let arguments = [
            "run", "--input", input, "--output", &answer, "--events", "-",
        ];
        let mut child = hark(home, &[], &arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Waits for an event; the input ends after a while, and with it the lines.
    fn event(&mut self, what: &str, matches: impl Fn(&Value) -> bool) -> Value {
        let mut seen = Vec::new();
        for line in &mut self.lines {
            let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
            if matches(&event) {
                return event;
            }
            seen.push(event);
        }
        panic!("{what} did not come; what came: {seen:#?}");
    }

    fn end(mut self, name: &str) -> ExitStatus {
        signal(self.child.id(), name);
        wait(&mut self.child, PATIENCE).expect("it ends")
    }
}

#[test]
fn a_timer_rings_after_the_daemon_was_killed_and_restarted() {
    let home = Home::new();
    let mut sound = home.spoken(&["set a timer for two seconds"], Duration::ZERO);
    // Silence after the question, so that the daemon is still there when it has answered.
    let mut reader = hound::WavReader::open(&sound).unwrap();
    let (spec, mut all) = (
        reader.spec(),
        reader
            .samples::<i16>()
            .map(Result::unwrap)
            .collect::<Vec<_>>(),
    );
    all.resize(all.len() + spec.sample_rate as usize * 20, 0);
    sound = home.path("question-and-silence.wav");
    let mut writer = hound::WavWriter::create(&sound, spec).unwrap();
    for sample in all {
        writer.write_sample(sample).unwrap();
    }
    writer.finalize().unwrap();

    let mut first = Daemon::run(&home, &text(&sound));
    first.event("the confirmation", |event| {
        event["event"] == "reply"
            && event["text"]
                .as_str()
                .unwrap_or_default()
                .contains("starting now")
    });
    assert!(!first.end("KILL").success());

    let due = Notebook::open(&home.places().notebook())
        .unwrap()
        .schedule()
        .entries()[0]
        .due;
    let by = Instant::now() + PATIENCE;
    while jiff::Timestamp::now() <= due && Instant::now() < by {
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut second = Daemon::run(&home, &silence(&home));
    let heard = second.event("the ring", |event| event["event"] == "heard");
    assert_eq!(
        heard["text"],
        "While I was away, your 2 second timer was up."
    );
    let status = second.end("INT");
    assert!(status.success(), "{status}");
    assert!(
        rms(&samples(&home.answer())) > 0.01,
        "the ring is in the sound"
    );
    let left = Notebook::open(&home.places().notebook())
        .unwrap()
        .schedule();
    assert!(
        left.entries().iter().all(|entry| entry.ringing.is_some()),
        "{left:?}"
    );
}

#[test]
fn a_reminder_that_another_process_sets_rings_in_the_running_daemon() {
    let home = Home::new();
    let mut daemon = Daemon::run(&home, &silence(&home));
    daemon.event("the start", |event| event["event"] == "ready");
    let other = Notebook::open(&home.places().notebook()).unwrap();
    other
        .set(NewEntry {
            kind: Kind::Reminder,
            due: jiff::Timestamp::now(),
            label: Some("water the plants".to_owned()),
            repeat: None,
        })
        .unwrap();
    let heard = daemon.event("the reminder", |event| event["event"] == "heard");
    assert_eq!(heard["text"], "Reminder: water the plants.");
    assert!(daemon.end("INT").success());
}
