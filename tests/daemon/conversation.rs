//! Questions with local answers: order, events, receipts, records, sound.

use std::path::Path;
use std::time::Duration;

use hark::daemon::conductor::Until;
use hark::daemon::{Input, Output, Pace, say};
use hark::flow::Outcome;
use serde_json::Value;

use crate::support::{Ended, Home, Running, assert_in_order, data, plain, rms, samples, times};

const ASKED: [&str; 3] = [
    "what time is it",
    "what is twelve plus thirty",
    "what day is it today",
];

/// What each turn of a local answer tells, in this order.
const LIFE: [&str; 7] = [
    "speech_start",
    "speech_end",
    "transcript",
    "reply",
    "speaking",
    "heard",
    "turn",
];

/// Everything that must hold of the three questions, however fast they were asked.
fn assert_three_turns(home: &Home, ended: &Ended) {
    let heard: Vec<String> = ended.texts("transcript").into_iter().map(plain).collect();
    assert_eq!(heard, ASKED);
    // Words while somebody still speaks come where the machine has time for them.
    let told: Vec<_> = ended
        .events
        .iter()
        .filter(|seen| seen.name() != "partial")
        .collect();
    let names: Vec<&str> = told.iter().map(|seen| seen.name()).collect();
    assert_eq!(names[0], "ready");
    for (number, events) in told[1..].chunks(LIFE.len()).enumerate() {
        let names: Vec<&str> = events.iter().map(|seen| seen.name()).collect();
        assert_eq!(names, LIFE, "turn {}", number + 1);
        let turn = Value::from(number + 1);
        assert!(events[2..].iter().all(|seen| seen.json["turn"] == turn));
    }
    assert_eq!(names.len(), 1 + 3 * LIFE.len(), "{names:?}");
    for turn in ended.named("turn") {
        let receipt = &turn.json["receipt"];
        assert_eq!(turn.json["outcome"], "completed");
        assert_eq!(turn.json["recorded"], true);
        assert_eq!(receipt["backend"], "intents");
        assert_eq!(times(receipt).len(), 5, "{receipt}");
        assert_in_order(receipt);
        // A receipt counts from the end of the speech. Of the silence that ends a turn the first 128 ms have passed when the
        // reply is begun; a fast file gives the rest of it in no time, so that no more than that is sure to be in here.
        for (stage, ms) in times(receipt) {
            assert!((100..20_000).contains(&ms), "{stage} {ms}");
        }
    }
    let records = home.records();
    assert_eq!(records.len(), 3, "exactly one record a turn");
    for (record, asked) in records.iter().zip(ASKED) {
        assert_eq!(plain(record.turn.asked.as_str()), asked);
        assert_eq!(record.turn.outcome, Outcome::Completed);
        assert_eq!(record.turn.heard, record.turn.replied);
        assert!(!record.turn.replied.as_str().is_empty());
    }
    assert!(records[1].turn.replied.as_str().contains("42"));
    let spans: Vec<f64> = records
        .iter()
        .map(|record| record.turn.span.start.seconds())
        .collect();
    assert!(spans.is_sorted(), "{spans:?}");
    assert!(ended.summary.trouble.is_empty());
    assert_eq!(ended.summary.turns.len(), 3);
}

/// The texts said by themselves, each as samples without the silence around it.
fn references(home: &Home, texts: &[&str]) -> Vec<Vec<i16>> {
    let path = home.path("reference.wav");
    let output = Output::File {
        path: path.clone(),
        pace: Pace::Fast,
    };
    texts
        .iter()
        .map(|text| {
            say(&home.config(&[]), &output, text).unwrap();
            trimmed(&samples(&path)).to_vec()
        })
        .collect()
}

fn trimmed(samples: &[i16]) -> &[i16] {
    let start = samples.iter().position(|sample| *sample != 0).unwrap_or(0);
    let end = samples
        .iter()
        .rposition(|sample| *sample != 0)
        .map_or(0, |last| last + 1);
    &samples[start.min(end)..end]
}

/// The stretches of sound between at least `gap` samples of digital silence.
fn stretches(samples: &[i16], gap: usize) -> Vec<&[i16]> {
    let mut found = Vec::new();
    let (mut start, mut silent) = (None, 0);
    for (at, sample) in samples.iter().enumerate() {
        if *sample != 0 {
            start = start.or(Some(at));
            silent = 0;
            continue;
        }
        silent += 1;
        if let (Some(from), true) = (start, silent == gap) {
            found.push(trimmed(&samples[from..at]));
            start = None;
        }
    }
    found.extend(start.map(|from| trimmed(&samples[from..])));
    found
}

#[test]
fn three_questions_in_a_fast_file_are_three_turns_with_one_record_each() {
    let home = Home::new();
    let plan = home.plan(home.config(&[]), &data("questions3.wav"));
    let ended = Running::start(plan).ended();
    assert_three_turns(&home, &ended);
    let answers = samples(&home.answer());
    let replies = ended.texts("reply");
    let seconds = answers.len() as f64 / 22_050.0;
    assert!((3.0..20.0).contains(&seconds), "{seconds} s");
    assert!((0.01..0.5).contains(&rms(&answers)), "{}", rms(&answers));
    let said: Vec<i16> = references(&home, &replies).concat();
    let shown = said.iter().filter(|sample| **sample != 0).count();
    let kept = answers.iter().filter(|sample| **sample != 0).count();
    assert_eq!(
        kept, shown,
        "not one sample of the speech is lost or made up"
    );
}

#[test]
fn three_questions_in_real_time_are_answered_as_they_come_without_drop_outs() {
    let home = Home::new();
    let mut plan = home.plan(home.config(&[]), &data("questions3.wav"));
    plan.input = Input::File {
        path: data("questions3.wav"),
        pace: Pace::RealTime,
    };
    plan.output = Output::File {
        path: home.answer(),
        pace: Pace::RealTime,
    };
    let ended = Running::start(plan).ended();
    assert_three_turns(&home, &ended);
    let took = ended.events.last().unwrap().when - ended.events[0].when;
    assert!(
        took > Duration::from_secs(9),
        "real time takes its time: {took:?}"
    );
    let answers = samples(&home.answer());
    // Answers are seconds apart; within one espeak-ng pauses for less than half a second.
    let played = stretches(&answers, 22_050 / 2);
    let expected = references(&home, &ended.texts("reply"));
    assert_eq!(played.len(), 3, "three answers");
    for (played, expected) in played.iter().zip(&expected) {
        // A drop-out is silence within the speech, which makes it longer than the same words said in one go.
        assert_eq!(played.len(), expected.len(), "an answer with a hole");
        assert!((rms(played) / rms(expected) - 1.0).abs() < 0.01);
    }
}

#[test]
fn one_turn_was_wanted_and_one_is_had() {
    let home = Home::new();
    let mut plan = home.plan(home.config(&[]), &data("questions3.wav"));
    plan.until = Until::OneTurn;
    let ended = Running::start(plan).ended();
    assert_eq!(ended.summary.turns.len(), 1);
    assert_eq!(home.records().len(), 1);
    assert_eq!(plain(ended.texts("transcript")[0]), ASKED[0]);
}

#[test]
fn nothing_is_recorded_where_that_was_not_wanted() {
    let home = Home::new();
    let mut plan = home.plan(home.config(&[]), &data("question.wav"));
    plan.keep_records = false;
    let ended = Running::start(plan).ended();
    assert_eq!(ended.summary.turns.len(), 1);
    assert_eq!(ended.named("turn")[0].json["recorded"], false);
    assert!(!home.places().transcripts().exists());
}

/// A question at another rate, on the `place`th of some channels.
fn rewritten(home: &Home, from: &Path, rate: u32, channels: u16, place: u16) -> std::path::PathBuf {
    let whole =
        hark::audio::decode::decode_mono(hark::audio::decode::Input::File(from), &mut |_| {})
            .unwrap()
            .samples;
    let path = home.path("rewritten.wav");
    let spec = hound::WavSpec {
        channels,
        sample_rate: rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(&path, spec).unwrap();
    let step = 16_000 / rate as usize;
    for group in whole.chunks(step) {
        let mean = group.iter().sum::<f32>() / group.len() as f32;
        for channel in 0..channels {
            let value = if channel == place { mean } else { 0.0 };
            writer.write_sample((value * 32_767.0) as i16).unwrap();
        }
    }
    writer.finalize().unwrap();
    path
}

#[test]
fn a_question_at_8_khz_in_one_of_six_channels_is_understood() {
    let home = Home::new();
    let question = rewritten(&home, &data("clip.wav"), 8_000, 6, 4);
    let ended = Running::start(home.plan(home.config(&[]), &question)).ended();
    let heard: Vec<String> = ended.texts("transcript").into_iter().map(plain).collect();
    assert_eq!(heard, ["set a timer for five minutes"]);
    assert_eq!(home.records().len(), 1);
}

#[test]
fn silence_and_noise_are_no_turns() {
    let home = Home::new();
    let path = home.path("noise.wav");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(&path, spec).unwrap();
    let mut state = 1_u32;
    for at in 0..16_000 * 4 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = ((state >> 16) as i32 - 32_768) / 100;
        writer
            .write_sample(if at < 32_000 { 0 } else { noise as i16 })
            .unwrap();
    }
    writer.finalize().unwrap();
    let ended = Running::start(home.plan(home.config(&[]), &path)).ended();
    assert!(ended.summary.turns.is_empty(), "{:?}", ended.events);
    assert!(ended.named("reply").is_empty());
}

#[test]
fn a_timer_set_by_voice_rings_aloud_and_is_no_turn() {
    let home = Home::new();
    let question = home.spoken(&["set a timer for two seconds"], Duration::ZERO);
    let mut plan = home.plan(home.config(&[]), &question);
    plan.until = Until::Stopped;
    let daemon = Running::start(plan);
    let turn = daemon.wait_for("the turn", |seen| seen.name() == "turn");
    let quiet = samples(&home.answer()).len();
    let rung = daemon.wait_for("the timer", |seen| {
        seen.name() == "heard" && seen.json["turn"] != turn.json["turn"]
    });
    daemon.stop();
    let ended = daemon.ended();
    assert!(
        rung.text().to_lowercase().contains("timer"),
        "{}",
        rung.text()
    );
    let waited = rung.when - turn.when;
    assert!(waited < Duration::from_secs(10), "{waited:?}");
    assert_eq!(ended.named("turn").len(), 1);
    assert_eq!(home.records().len(), 1, "an announcement leaves no record");
    let answers = samples(&home.answer());
    assert!(rms(&answers[quiet..]) > 0.01, "the ring is in the sound");
}
