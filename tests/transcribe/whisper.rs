//! The model itself: loading, silence, abort, languages, long audio.

use std::time::Duration;

use hark::transcribe::whisper::{EncoderContext, Whisper, WhisperSettings};
use hark::transcribe::{Abort, TranscribeError, TranscribeOptions, Transcriber};

use crate::support::{SAID, clip, model, noise, plain, settings, whisper};

fn load(bytes: &[u8]) -> Result<Whisper, String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("model.bin");
    std::fs::write(&path, bytes).expect("writes");
    let from_file = Whisper::load("broken", &path, settings());
    let from_memory = Whisper::from_bytes("broken", bytes, settings());
    assert_eq!(
        from_file.is_ok(),
        from_memory.is_ok(),
        "file and memory disagree"
    );
    from_file.map_err(|error| error.to_string())
}

#[test]
fn a_known_sentence_is_understood() {
    let mut whisper = whisper(settings());
    let result = whisper
        .transcribe(
            &clip("clip.wav"),
            &TranscribeOptions::default(),
            &Abort::default(),
        )
        .expect("transcribes");
    assert_eq!(plain(result.text.as_str()), SAID);
    assert_eq!(result.language, "en");
    assert!(result.confidence > 0.6, "confidence {}", result.confidence);
    assert_eq!(result.segments.len(), 1);
    assert!(whisper.timings().warm_up > Duration::ZERO);
}

#[test]
fn a_model_in_memory_is_the_same_model() {
    let bytes = std::fs::read(model()).expect("the model");
    let mut whisper = Whisper::from_bytes("memory", &bytes, settings()).expect("loads");
    let result = whisper
        .transcribe(
            &clip("clip.wav"),
            &TranscribeOptions::default(),
            &Abort::default(),
        )
        .expect("transcribes");
    assert_eq!(plain(result.text.as_str()), SAID);
}

#[test]
fn no_damaged_model_file_is_loaded_and_none_stops_the_process() {
    let whole = std::fs::read(model()).expect("the model");
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", Vec::new(), "empty"),
        ("magic only", whole[..4].to_vec(), "cut off"),
        ("header only", whole[..48].to_vec(), "cut off"),
        ("in the vocabulary", whole[..200_000].to_vec(), "cut off"),
        ("half", whole[..whole.len() / 2].to_vec(), "cut off"),
        (
            "all but a byte",
            whole[..whole.len() - 1].to_vec(),
            "cut off",
        ),
        (
            "a byte too many",
            [whole.as_slice(), &[0]].concat(),
            "unexpected bytes",
        ),
        (
            "random",
            noise(1.0, 1.0, 3)
                .iter()
                .flat_map(|s| s.to_le_bytes())
                .collect(),
            "not a Whisper model",
        ),
        ("a web page", b"<html>sign in</html>".to_vec(), "web page"),
    ];
    for (what, bytes, expected) in cases {
        let error = load(&bytes).expect_err(what);
        assert!(error.contains(expected), "{what}: {error}");
    }
    let missing = Whisper::load("x", std::path::Path::new("/no/such/model.bin"), settings())
        .expect_err("missing");
    assert!(
        matches!(missing, TranscribeError::Model { .. }),
        "{missing}"
    );
    let folder = Whisper::load("x", &std::env::temp_dir(), settings()).expect_err("a folder");
    assert!(matches!(folder, TranscribeError::Model { .. }), "{folder}");
}

#[test]
fn flipped_bytes_in_the_structure_are_refused_or_harmless() {
    let whole = std::fs::read(model()).expect("the model");
    let mut state = 11_u32;
    let mut random = |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below
    };
    for round in 0..60 {
        let mut bytes = whole.clone();
        // The header, then the vocabulary: what the C++ loader believes.
        let below = if round % 2 == 0 { 64 } else { 400_000 };
        let at = random(below);
        bytes[at] ^= 1 << random(8);
        // No crash is the assertion; a flipped letter of the vocabulary may load.
        drop(Whisper::from_bytes("flipped", &bytes, settings()));
    }
}

#[test]
fn silence_and_noise_give_no_text() {
    let mut whisper = whisper(settings());
    let hum: Vec<f32> = (0..32_000)
        .map(|n| 0.02 * (n as f32 * 0.0196).sin())
        .collect();
    let cases = [
        ("nothing at all", Vec::new()),
        ("one sample", vec![0.1]),
        ("digital silence", vec![0.0; 48_000]),
        ("not numbers", vec![f32::NAN; 16_000]),
        ("a quiet room", noise(3.0, 0.001, 1)),
        ("white noise", noise(3.0, 0.01, 2)),
        ("hum", hum),
    ];
    for (what, audio) in cases {
        let result = whisper
            .transcribe(&audio, &TranscribeOptions::default(), &Abort::default())
            .expect(what);
        assert_eq!(result.text.as_str(), "", "{what}");
        assert_eq!(result.confidence, 0.0, "{what}");
    }
}

#[test]
fn an_abort_before_the_start_and_during_the_work_is_aborted_and_the_next_call_works() {
    let mut whisper = whisper(settings());
    let audio = clip("clip.wav");
    let abort = Abort::default();
    abort.request();
    let before = whisper.transcribe(&audio, &TranscribeOptions::default(), &abort);
    assert!(
        matches!(before, Err(TranscribeError::Aborted)),
        "{before:?}"
    );

    // One piece of 20 s, so that only the callback inside whisper.cpp can end it early.
    let long: Vec<f32> = audio.iter().copied().cycle().take(16_000 * 20).collect();
    let abort = Abort::default();
    let asker = abort.clone();
    let asking = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(30));
        asker.request();
    });
    let during = whisper.transcribe(&long, &TranscribeOptions::default(), &abort);
    asking.join().expect("the asking thread");
    assert!(
        matches!(during, Err(TranscribeError::Aborted)),
        "{during:?}"
    );
    assert!(
        whisper.last_tokens().is_empty(),
        "it ran to its end before it looked at the flag"
    );

    let after = whisper
        .transcribe(&audio, &TranscribeOptions::default(), &Abort::default())
        .expect("works again");
    assert_eq!(plain(after.text.as_str()), SAID);
}

#[test]
fn an_english_model_says_what_to_do_about_another_language() {
    let mut whisper = whisper(settings());
    if whisper.is_multilingual() {
        eprintln!("skipped: the test model is multilingual");
        return;
    }
    let in_language = |language: &str| TranscribeOptions {
        language: language.to_owned(),
        timestamps: false,
    };
    let german = whisper
        .transcribe(&clip("clip.wav"), &in_language("de"), &Abort::default())
        .expect_err("no German");
    assert!(
        german.to_string().contains("hark models pull base"),
        "{german}"
    );
    let unknown = whisper
        .transcribe(&clip("clip.wav"), &in_language("xx"), &Abort::default())
        .expect_err("no language");
    assert!(
        unknown.to_string().contains("no language code"),
        "{unknown}"
    );
    assert!(whisper.check_language("auto").is_ok() && whisper.check_language("a\0b").is_err());
}

#[test]
fn long_audio_is_cut_in_its_pauses_and_understood_to_its_end() {
    let mut whisper = whisper(settings());
    let once = [clip("clip.wav"), vec![0.0; 16_000]].concat();
    let long: Vec<f32> = once.iter().copied().cycle().take(once.len() * 10).collect();
    let options = TranscribeOptions {
        timestamps: true,
        ..TranscribeOptions::default()
    };
    let mut steps = Vec::new();
    let result = whisper
        .transcribe_long(&long, &options, &Abort::default(), &mut |done| {
            steps.push(done)
        })
        .expect("transcribes");
    assert_eq!(result.segments.len(), 10);
    for (index, segment) in result.segments.iter().enumerate() {
        assert_eq!(plain(segment.text.as_str()), SAID, "segment {index}");
        let begin = once.len() as f64 / 16_000.0 * index as f64;
        assert!(
            (segment.start.as_secs_f64() - begin).abs() < 0.3,
            "segment {index} starts at {:?}",
            segment.start
        );
        assert!(
            (segment.end.as_secs_f64() - begin - 2.2).abs() < 0.5,
            "segment {index} ends at {:?}",
            segment.end
        );
    }
    assert!(
        steps.windows(2).all(|pair| pair[0] < pair[1]) && steps.len() == 10,
        "{steps:?}"
    );
}

#[test]
fn a_fitted_context_is_several_times_faster_than_the_full_one() {
    let silence = vec![0.0; 16_000];
    let audio: Vec<f32> = clip("clip.wav")
        .into_iter()
        .chain(silence)
        .take(48_000)
        .collect();
    let time = |context, runs| {
        let mut whisper = whisper(WhisperSettings {
            context,
            ..settings()
        });
        let mut best = Duration::MAX;
        for _ in 0..runs {
            let result = whisper
                .transcribe(&audio, &TranscribeOptions::default(), &Abort::default())
                .expect("transcribes");
            assert_eq!(plain(result.text.as_str()), SAID);
            best = best.min(result.elapsed);
        }
        best
    };
    let (fitted, full) = (
        time(EncoderContext::Fitted, 3),
        time(EncoderContext::Full, 1),
    );
    eprintln!("3 s of audio, one thread: {fitted:?} at 256 positions, {full:?} at 1500");
    assert!(fitted * 2 < full, "{fitted:?} against {full:?}");
}

#[test]
fn the_c_library_writes_nothing_to_the_terminal() {
    // This test program again, running two of its tests that load, fail to load and transcribe.
    let program = std::env::current_exe().expect("this program");
    for name in [
        "whisper::a_known_sentence_is_understood",
        "whisper::no_damaged_model_file_is_loaded_and_none_stops_the_process",
    ] {
        let run = std::process::Command::new(&program)
            .args([name, "--exact", "--nocapture"])
            .output()
            .expect("it runs");
        assert!(run.status.success(), "{name}");
        let printed = String::from_utf8_lossy(&[run.stdout, run.stderr].concat()).to_lowercase();
        assert!(printed.contains("1 passed"), "{printed}");
        for word in ["whisper_", "ggml", "model size"] {
            assert!(!printed.contains(word), "{name}: {printed}");
        }
    }
}
