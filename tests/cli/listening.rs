//! `transcribe`, `listen` and `run` on files of all sorts.

use crate::support::{Home, data, json, keys};

const SAID: &str = "set a timer for five minutes";

/// The clip at 8 kHz and in six channels, written into the home.
fn variants(home: &Home) {
    let mut reader = hound::WavReader::open(data("clip.wav")).unwrap();
    let spec = reader.spec();
    let samples: Vec<i16> = reader.samples::<i16>().map(Result::unwrap).collect();
    let write = |name: &str, spec: hound::WavSpec, samples: &mut dyn Iterator<Item = i16>| {
        let mut writer = hound::WavWriter::create(home.path(name), spec).unwrap();
        for sample in samples {
            writer.write_sample(sample).unwrap();
        }
        writer.finalize().unwrap();
    };
    assert_eq!((spec.sample_rate, spec.channels), (16_000, 1));
    let halved = hound::WavSpec {
        sample_rate: 8_000,
        ..spec
    };
    let pairs = samples
        .chunks(2)
        .map(|two| (two.iter().map(|s| i32::from(*s)).sum::<i32>() / two.len() as i32) as i16);
    write("8khz.wav", halved, &mut pairs.into_iter());
    let six = hound::WavSpec {
        channels: 6,
        ..spec
    };
    write(
        "six.wav",
        six,
        &mut samples.iter().flat_map(|sample| [*sample; 6]),
    );
    write("empty.wav", spec, &mut std::iter::empty());
}

#[test]
fn transcribe_takes_any_rate_and_number_of_channels() {
    let home = Home::new();
    variants(&home);
    let ran = home.hark(&["transcribe", "8khz.wav", "six.wav"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(ran.out, format!("8khz.wav: {SAID}\nsix.wav: {SAID}\n"));
}

#[test]
fn transcribe_says_what_is_wrong_with_a_file() {
    let home = Home::new();
    variants(&home);
    home.write("text.txt", "hello\n");
    home.write("nothing.wav", "");
    for (file, says) in [
        ("missing.wav", "cannot read missing.wav: "),
        ("text.txt", "text.txt is not audio that Hark can read"),
        ("empty.wav", "empty.wav holds no sound"),
        ("nothing.wav", "nothing.wav holds no sound"),
        (".", "cannot read .: "),
    ] {
        let ran = home.hark(&["transcribe", file]);
        assert_eq!(ran.code, 1, "{file}");
        assert_eq!(ran.out, "", "{file}");
        assert!(ran.err.contains(says), "{file}: {}", ran.err);
    }
    let none = home.hark(&["transcribe"]);
    assert_eq!(none.code, 2, "{}", none.err);
}

#[test]
fn transcribe_writes_its_formats() {
    let home = Home::new();
    let clip = data("clip.wav");
    let printed = |format: &str| {
        let ran = home.hark(&["transcribe", &clip, "--format", format]);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{format}");
        ran.out
    };
    assert_eq!(printed("text"), format!("{SAID}\n"));
    let document = json(&printed("json"));
    let one = &document[0];
    assert_eq!(
        keys(one),
        [
            "file",
            "seconds",
            "text",
            "language",
            "model",
            "elapsed_ms",
            "segments"
        ]
    );
    assert_eq!(
        (one["text"].as_str(), one["model"].as_str()),
        (Some(SAID), Some("starter.en"))
    );
    assert_eq!(
        keys(&one["segments"][0]),
        ["start", "end", "text", "confidence"]
    );
    let redacted = |text: String| -> String {
        text.chars()
            .map(|c| if c.is_ascii_digit() { '0' } else { c })
            .collect()
    };
    insta::assert_snapshot!(redacted(printed("srt")), @r"
    0
    00:00:00,000 --> 00:00:00,000
    set a timer for five minutes
    ");
    insta::assert_snapshot!(redacted(printed("vtt")), @r"
    WEBVTT

    00:00:00.000 --> 00:00:00.000
    set a timer for five minutes
    ");
    assert_eq!(home.hark(&["transcribe", &clip, "--format", "pdf"]).code, 2);
}

#[test]
fn transcribe_reads_standard_input() {
    let home = Home::new();
    let output = home
        .command(&["transcribe", "-"])
        .write_stdin(std::fs::read(data("clip.flac")).unwrap())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{SAID}\n"));
}

#[test]
fn listen_writes_a_line_an_utterance_and_keeps_nothing() {
    let home = Home::new();
    let questions = data("questions3.wav");
    let ran = home.hark(&["listen", "--input", &questions, "--fast"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let words: Vec<&str> = ran
        .out
        .lines()
        .map(|line| line.trim_start_matches(|c: char| !c.is_alphabetic()))
        .collect();
    assert_eq!(
        words,
        [
            "what time is it",
            "what is twelve plus thirty",
            "what day is it today"
        ]
    );
    let ran = home.hark(&["listen", "--input", &questions, "--fast", "--json"]);
    for line in ran.out.lines() {
        let event = json(line);
        assert_eq!(
            keys(&event),
            ["event", "text", "start", "end", "confidence", "at"]
        );
        assert_eq!(event["event"], "transcript");
    }
    assert_eq!(ran.out.lines().count(), 3);
    assert!(!home.path("transcripts").exists());
}

#[test]
fn run_refuses_what_it_cannot_hear() {
    let home = Home::new();
    variants(&home);
    home.write("text.txt", "hello\n");
    home.write("fake.wav", "hello\n");
    for (file, says) in [
        ("missing.wav", "cannot read missing.wav: "),
        ("text.txt", "text.txt is not audio that Hark can read"),
        ("fake.wav", "fake.wav is not audio that Hark can read"),
        ("empty.wav", "empty.wav holds no sound"),
    ] {
        let ran = home.hark(&["run", "--input", file, "--output", "o.wav", "--fast"]);
        assert_eq!(ran.code, 1, "{file}: {}", ran.err);
        assert!(ran.err.contains(says), "{file}: {}", ran.err);
    }
    for verb in ["run", "listen"] {
        let ran = home.hark(&[verb, "--fast"]);
        assert_eq!(ran.code, 2, "{verb}");
        assert!(ran.err.contains("--fast is for files"), "{}", ran.err);
        assert!(
            ran.err.contains("next: give a file: --input FILE"),
            "{}",
            ran.err
        );
        let ran = home.hark(&[verb, "--input", "no such microphone"]);
        assert_eq!(ran.code, 1, "{verb}: {}", ran.err);
        assert!(ran.err.contains("hark devices"), "{}", ran.err);
    }
    assert_eq!(home.hark(&["run", "--no-wake", "--wake"]).code, 2);
}

#[test]
fn run_shows_the_conversation_or_its_events() {
    let home = Home::new();
    let questions = data("questions3.wav");
    let ran = home.hark(&["run", "--input", &questions, "--output", "o.wav", "--fast"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert!(
        lines.contains(&"you:  what is twelve plus thirty") && lines.contains(&"hark: That's 42."),
        "{}",
        ran.out
    );
    let ran = home.hark(&[
        "run",
        "--input",
        &questions,
        "--output",
        "o.wav",
        "--fast",
        "--once",
        "--events",
        "events.jsonl",
    ]);
    assert_eq!((ran.code, ran.out.as_str()), (0, ""));
    let written = std::fs::read_to_string(home.path("events.jsonl")).unwrap();
    let names: Vec<String> = written
        .lines()
        .map(|line| json(line)["event"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names[0], "ready");
    let turns = names.iter().filter(|name| *name == "turn").count();
    assert_eq!(turns, 1, "{names:?}");
}
