//! `hark transcribe` on files, with its text, JSON, subtitles, errors and exit codes.

use std::path::{Path, PathBuf};

use clap::Parser;
use hark::cli::transcribe::{Args, Defaults, Streams, TranscribeCommandError, transcribe_files};
use hark::models::Library;

use crate::support::{SAID, data, model, plain};

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: Args,
}

struct Outcome {
    output: String,
    messages: String,
    result: Result<(), TranscribeCommandError>,
}

fn run_with_input(arguments: &[&str], input: &[u8]) -> Outcome {
    let args =
        Command::parse_from(std::iter::once("transcribe").chain(arguments.iter().copied())).args;
    let library = Library::only(PathBuf::from("/no/such/folder"), Vec::new());
    let model = model().display().to_string();
    let defaults = Defaults {
        hints: Vec::new(),
        model,
        language: "en".to_owned(),
        memory_bytes: 1 << 30,
    };
    let (mut output, mut messages) = (Vec::new(), Vec::new());
    let mut input = input;
    let mut streams = Streams {
        input: &mut input,
        output: &mut output,
        messages: &mut messages,
        screen: false,
    };
    let result = transcribe_files(&args, &library, &defaults, &mut streams);
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Outcome {
        output: text(output),
        messages: text(messages),
        result,
    }
}

fn run(arguments: &[&str]) -> Outcome {
    run_with_input(arguments, b"")
}

fn file(name: &str) -> String {
    data(name).display().to_string()
}

#[test]
fn the_same_clip_in_five_formats_gives_the_same_text() {
    for name in ["clip.wav", "clip.flac", "clip.mp3", "clip.m4a", "clip.ogg"] {
        let outcome = run(&[&file(name)]);
        assert!(outcome.result.is_ok(), "{name}: {}", outcome.messages);
        assert_eq!(plain(&outcome.output), SAID, "{name}");
        assert_eq!(outcome.messages, "", "{name}");
    }
}

#[test]
fn standard_input_works_like_a_file() {
    let bytes = std::fs::read(data("clip.ogg")).expect("the clip");
    let outcome = run_with_input(&["-"], &bytes);
    assert!(outcome.result.is_ok(), "{}", outcome.messages);
    assert_eq!(plain(&outcome.output), SAID);
}

#[test]
fn json_has_the_promised_keys() {
    let outcome = run(&[&file("clip.wav"), "--format", "json"]);
    let documents: serde_json::Value =
        serde_json::from_str(&outcome.output).expect("one JSON document");
    let one = documents
        .as_array()
        .and_then(|all| all.first())
        .and_then(|one| one.as_object())
        .expect("an array");
    let keys: Vec<&str> = one.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
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
    assert_eq!(one["seconds"], 2.281);
    assert_eq!(plain(one["text"].as_str().expect("a text")), SAID);
    let segment = one["segments"][0].as_object().expect("a segment");
    assert_eq!(
        segment.keys().map(String::as_str).collect::<Vec<_>>(),
        ["start", "end", "text", "confidence"]
    );
    assert!(
        segment["end"].as_f64() <= Some(2.281) && segment["end"].as_f64() > Some(1.5),
        "{segment:?}"
    );
}

#[test]
fn subtitles_are_subtitles() {
    let outcome = run(&[&file("clip.wav"), "--format", "srt"]);
    assert!(
        outcome.output.starts_with("1\n00:00:00,"),
        "{}",
        outcome.output
    );
    let outcome = run(&[&file("clip.wav"), "--format", "vtt"]);
    assert!(
        outcome.output.starts_with("WEBVTT\n\n00:00:00."),
        "{}",
        outcome.output
    );
    let two = run(&[&file("clip.wav"), &file("clip.mp3"), "--format", "srt"]);
    let error = two.result.expect_err("two files are no subtitles");
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("for f in"), "{error}");
}

#[test]
fn a_bad_file_among_good_ones_does_not_stop_them() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let diary = folder.path().join("diary.txt");
    std::fs::write(&diary, "no sound at all").expect("writes");
    let missing = folder.path().join("missing.wav");
    let outcome = run(&[
        &file("clip.mp3"),
        &diary.display().to_string(),
        &missing.display().to_string(),
        &file("clip.flac"),
    ]);
    let lines: Vec<&str> = outcome.output.lines().collect();
    assert_eq!(lines.len(), 2, "{}", outcome.output);
    assert!(
        lines[0].starts_with(&format!("{}: ", file("clip.mp3"))),
        "{}",
        lines[0]
    );
    assert!(
        lines.iter().all(|line| plain(line).ends_with(SAID)),
        "{}",
        outcome.output
    );
    assert!(
        outcome.messages.contains("diary.txt is not audio"),
        "{}",
        outcome.messages
    );
    assert!(
        outcome.messages.contains("missing.wav: "),
        "{}",
        outcome.messages
    );
    let error = outcome.result.expect_err("two failed");
    assert_eq!(error.exit_code(), 1);
    assert_eq!(
        error.to_string(),
        "2 of 4 files could not be transcribed completely; see above"
    );
}

#[test]
fn a_truncated_file_is_transcribed_as_far_as_it_goes_and_said() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let cut = folder.path().join("cut.wav");
    let whole = std::fs::read(data("clip.wav")).expect("the clip");
    std::fs::write(&cut, &whole[..whole.len() * 9 / 10]).expect("writes");
    let outcome = run(&[&cut.display().to_string()]);
    assert!(
        plain(&outcome.output).starts_with("set a timer"),
        "{} {}",
        outcome.output,
        outcome.messages
    );
    assert!(
        outcome.messages.contains("cut.wav is damaged after 2."),
        "{}",
        outcome.messages
    );
    assert_eq!(outcome.result.expect_err("it is damaged").exit_code(), 1);
}

#[test]
fn silence_is_an_empty_text_and_a_note() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let silent = folder.path().join("silent.wav");
    let spec = hound::WavSpec {
        channels: 6,
        sample_rate: 8_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(&silent, spec).expect("writes");
    for _ in 0..6 * 8_000 {
        writer.write_sample(0_i16).expect("writes");
    }
    writer.finalize().expect("writes");
    let outcome = run(&[&silent.display().to_string()]);
    assert!(outcome.result.is_ok());
    assert_eq!(outcome.output, "\n");
    assert!(
        outcome.messages.contains("no speech was understood"),
        "{}",
        outcome.messages
    );
}

#[test]
fn wrong_models_and_languages_end_with_what_to_do() {
    let clip = file("clip.wav");
    let error = |arguments: &[&str]| run(arguments).result.expect_err("it fails");
    let unknown = error(&[&clip, "--model", "tinny.en"]);
    assert_eq!(
        (
            unknown.exit_code(),
            unknown.to_string().contains("did you mean \"tiny.en\"")
        ),
        (2, true),
        "{unknown}"
    );
    let absent = error(&[&clip, "--model", "base"]);
    assert_eq!(
        (
            absent.exit_code(),
            absent.to_string().contains("hark models pull base")
        ),
        (1, true),
        "{absent}"
    );
    let no_model = error(&[&clip, "--model", &clip]);
    assert_eq!(
        (
            no_model.exit_code(),
            no_model.to_string().contains("hark models verify")
        ),
        (1, true),
        "{no_model}"
    );
    let language = error(&[&clip, "--language", "klingon"]);
    assert_eq!(language.exit_code(), 2, "{language}");
    assert!(
        !Path::new("/no/such/folder").exists(),
        "nothing is made for a failed command"
    );
}
