//! The whole path through real devices: a question played into the microphone, the answer recorded from the loudspeaker.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::rig::Rig;
use crate::tone;

/// The program with the rig's environment (this process has it) and a home of its own.
fn hark(home: &Path, arguments: &[&str]) -> Command {
    // Not its first run: it would greet into the conversation.
    std::fs::write(home.join("welcomed"), "").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hark"));
    command
        .args(arguments)
        .env("HARK_HOME", home)
        .env("HARK_LLM_BACKEND", "none")
        .stdin(Stdio::null());
    command
}

/// Ends the program with the test, whatever the test does.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            self.0.kill().unwrap_or_default();
            self.0.wait().map(drop).unwrap_or_default();
        }
    }
}

impl Running {
    /// Waits for the end, at most 30 s.
    fn end(&mut self) -> i32 {
        for _ in 0..3_000 {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("hark does not end");
    }
}

/// What `hark say` makes of `text`, at the loudspeaker's rate.
fn spoken(home: &Path, text: &str) -> Vec<f32> {
    let wav = home.join("said.wav");
    let status = hark(home, &["say", text, "--out"])
        .arg(&wav)
        .status()
        .unwrap();
    assert!(status.success());
    let mut reader = hound::WavReader::open(&wav).unwrap();
    let format = hark::audio::Format {
        rate: reader.spec().sample_rate,
        channels: 1,
    };
    let samples: Vec<f32> = reader
        .samples::<i16>()
        .map(|sample| f32::from(sample.unwrap()) / 32_768.0)
        .collect();
    let mut resampler = hark::audio::resample::Resampler::new(format, 48_000).unwrap();
    let mut speech = Vec::new();
    resampler.push(&samples, &mut speech);
    resampler.finish(&mut speech);
    speech
}

/// One conversation; returns how well the recording fits what should have been said, 1 being sample for sample.
fn converse(rig: &Rig) -> f64 {
    let home = tempfile::tempdir().unwrap();
    let question = rig.clip("what is twelve plus thirty");
    let mut command = hark(
        home.path(),
        &["run", "--no-wake", "--once", "--events", "-"],
    );
    let mut running = Running(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(running.0.stdout.take().unwrap()).lines();
    let mut events: Vec<Value> = Vec::new();
    let mut next = || -> Value {
        serde_json::from_str(&lines.next().expect("the stream goes on").unwrap()).unwrap()
    };
    let ready = next();
    assert_eq!(ready["event"], "ready");
    assert_eq!(
        (&ready["input"], &ready["output"]),
        (&Value::from("RigMicrophone"), &Value::from("RigSpeaker"))
    );
    let recording = rig.record();
    rig.speak(&question, "mic_in");
    while events.last().is_none_or(|event| event["event"] != "turn") {
        events.push(next());
    }
    assert_eq!(running.end(), 0);
    let recorded = recording.end_after(300);

    let find = |name: &str| {
        events
            .iter()
            .find(|event| event["event"] == name)
            .unwrap_or_else(|| panic!("no {name} in {events:?}"))
    };
    assert_eq!(find("transcript")["text"], "what is twelve plus thirty");
    let reply = find("reply")["text"].as_str().unwrap().to_owned();
    assert!(reply.contains("42"), "{reply}");
    let turn = find("turn");
    assert_eq!(
        (&turn["outcome"], &turn["recorded"]),
        (&Value::from("completed"), &Value::from(true))
    );
    assert!(
        turn["receipt"]["first_audio_ms"].as_i64().unwrap()
            > turn["receipt"]["endpoint_ms"].as_i64().unwrap()
    );
    assert_eq!(
        events
            .iter()
            .filter(|event| event["event"] == "transcript")
            .count(),
        1,
        "it did not hear itself: {events:?}"
    );

    let loudest = recorded
        .iter()
        .fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
    assert!(
        loudest > 0.05,
        "the loudspeaker stayed silent: peak {loudest}"
    );
    let expected = spoken(home.path(), &reply);
    // The answer begins somewhere around the first sound that is recorded.
    let first = recorded
        .iter()
        .position(|sample| sample.abs() > 1e-3)
        .expect("it is not silent");
    let start = first.saturating_sub(9_600);
    let most = (recorded.len() - start)
        .saturating_sub(expected.len())
        .min(19_200);
    tone::find(&expected, &recorded[start..], 0..most + 1).1
}

/// Drop-outs are counted by comparison: a gap, a repeated or a missing block anywhere in the answer lowers the fit with what
/// `hark say` makes of the same words. The machine's own hiccups do that, too, so one clean conversation in three is asked.
#[test]
fn a_question_into_the_microphone_is_answered_from_the_loudspeaker_without_drop_outs() {
    let rig = Rig::up();
    let mut fits = Vec::new();
    while fits.len() < 3 && fits.last().is_none_or(|fit| *fit < CLEAN) {
        fits.push(converse(&rig));
    }
    assert!(
        fits.last().is_some_and(|fit| *fit >= CLEAN),
        "fits {fits:?}"
    );
}

/// Correlation from which an answer counts as whole: the two resamplers of the paths differ by less.
const CLEAN: f64 = 0.999;

#[test]
fn the_demonstration_uses_the_microphone_that_is_there() {
    let rig = Rig::up();
    let home = tempfile::tempdir().unwrap();
    let question = rig.clip("what day is it today");
    let mut command = hark(home.path(), &["demo"]);
    let mut running = Running(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut out = BufReader::new(running.0.stdout.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("speech model") {
        line.clear();
        assert!(
            out.read_line(&mut line).unwrap() > 0,
            "it ended before it listened"
        );
    }
    rig.speak(&question, "mic_in");
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(running.end(), 0);
    assert!(rest.contains("heard:    what day is it today"), "{rest}");
    assert!(rest.contains("first sound heard"), "{rest}");
}
