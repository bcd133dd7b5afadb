//! Files as devices: pace, silence between the clauses, flush, and what happens when the disk is full.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use hark::audio::file::{Pace, WavSink, WavSource, WavSourceSettings};
use hark::audio::{AudioSink, AudioSource, CaptureError, Captured, Format, PlaybackError};
use hark::platform::clock::Clock;

use crate::contract;

const WAIT: Duration = Duration::from_millis(20);

fn samples_of(path: &Path) -> Vec<f32> {
    let mut reader = hound::WavReader::open(path).unwrap();
    assert_eq!(reader.spec().channels, 1);
    reader
        .samples::<i16>()
        .map(|sample| f32::from(sample.unwrap()) / 32_767.0)
        .collect()
}

fn write_all(sink: &mut dyn AudioSink, mut samples: &[f32]) -> Result<(), PlaybackError> {
    while !samples.is_empty() {
        let taken = sink.write(samples, WAIT)?;
        samples = &samples[taken..];
    }
    Ok(())
}

#[test]
fn a_fast_sink_holds_exactly_what_was_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.wav");
    let said: Vec<f32> = (0..30_000).map(|n| (n as f32 / 50.0).sin() * 0.7).collect();
    let mut sink = WavSink::create(&path, 22_050, Pace::Fast).unwrap();
    write_all(&mut sink, &said).unwrap();
    assert_eq!(
        (sink.written(), sink.played(), sink.starved()),
        (30_000, 30_000, 0)
    );
    // Whoever opens it before the end finds what has been saved.
    assert!(samples_of(&path).len() >= 22_050);
    sink.close().unwrap();
    sink.close().unwrap();
    let read = samples_of(&path);
    assert_eq!(read.len(), said.len());
    assert!(read.iter().zip(&said).all(|(a, b)| (a - b).abs() < 1e-4));
}

#[test]
fn a_sink_in_real_time_follows_the_clock_and_keeps_the_silence_between_clauses() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.wav");
    let clock = Clock::start();
    let mut sink = WavSink::create(&path, 8_000, Pace::RealTime(clock)).unwrap();
    let begun = clock.now();
    write_all(&mut sink, &[0.5; 1_600]).unwrap();
    assert!(sink.played() < 1_600, "200 ms are not played at once");
    while sink.played() < sink.written() {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(clock.now().since(begun) >= Duration::from_millis(200));
    std::thread::sleep(Duration::from_millis(400));
    write_all(&mut sink, &[0.25; 800]).unwrap();
    let second = clock.now().since(begun);
    while sink.played() < sink.written() {
        std::thread::sleep(Duration::from_millis(5));
    }
    sink.close().unwrap();
    assert_eq!(sink.starved(), 0, "a pause of 400 ms is a pause");
    let read = samples_of(&path);
    let first_of_second = read
        .iter()
        .position(|sample| (*sample - 0.25).abs() < 0.01)
        .unwrap();
    let expected = second.as_secs_f64() * 8_000.0;
    assert!(
        (first_of_second as f64 - expected).abs() < 400.0,
        "{first_of_second}, expected {expected}"
    );
    assert_eq!(
        read.len(),
        first_of_second + 800,
        "no silence after the last word"
    );
}

#[test]
fn a_flush_in_real_time_takes_out_what_had_not_been_heard() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.wav");
    let mut sink = WavSink::create(&path, 8_000, Pace::RealTime(Clock::start())).unwrap();
    write_all(&mut sink, &[0.5; 16_000]).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let heard = sink.played();
    sink.flush().unwrap();
    assert_eq!(sink.played(), sink.written());
    sink.close().unwrap();
    let read = samples_of(&path).len() as u64;
    assert!(
        read >= heard && read < heard + 4_000,
        "{read} in the file, {heard} heard"
    );
}

#[test]
fn an_unwritable_file_is_told_before_anybody_speaks() {
    for path in ["/dev/full", "/nonexistent/a.wav"] {
        let error = WavSink::create(Path::new(path), 16_000, Pace::Fast)
            .err()
            .unwrap();
        assert!(matches!(error, PlaybackError::Write { .. }), "{error}");
        assert!(error.to_string().contains(path), "{error}");
    }
}

/// The disk is full after 64 KiB: played by the file-size limit of a child of this very test, with the signal ignored, so
/// that the write fails as on a full disk (`EFBIG` in place of `ENOSPC`). Needs no rights.
#[test]
fn a_disk_that_fills_up_is_told_and_what_was_written_before_plays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.wav");
    if let Ok(path) = std::env::var("HARK_TEST_FULL_DISK") {
        fill_the_disk(Path::new(&path));
        return;
    }
    let itself = std::env::current_exe().unwrap();
    let output = Command::new("sh")
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 128; exec \"$0\" --exact --nocapture \"$1\"",
        ])
        .arg(itself)
        .arg("wav::a_disk_that_fills_up_is_told_and_what_was_written_before_plays")
        .env("HARK_TEST_FULL_DISK", &path)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("cannot write"),
        "the child met the limit"
    );
    let saved = samples_of(&path);
    assert!(saved.len() >= 20_000, "{} samples survived", saved.len());
    assert!(saved.iter().all(|sample| (sample - 0.5).abs() < 1e-3));
}

fn fill_the_disk(path: &Path) {
    let mut sink = WavSink::create(path, 16_000, Pace::Fast).unwrap();
    let error = (0..100)
        .find_map(|_| write_all(&mut sink, &[0.5; 16_000]).err())
        .expect("the limit is reached within 100 s of sound");
    assert!(matches!(error, PlaybackError::Write { .. }));
    assert!(
        sink.close().is_err(),
        "closing does not pretend that all is well"
    );
    eprintln!("{error}");
}

const STEREO: Format = Format {
    rate: 44_100,
    channels: 2,
};

#[test]
fn a_file_as_microphone_gives_its_samples_then_silence_then_the_end() {
    let samples: Vec<f32> = (0..44_100 * 2).map(|n| n as f32).collect();
    let settings = WavSourceSettings {
        trailing_silence: Duration::from_millis(500),
        ..WavSourceSettings::default()
    };
    let mut source = WavSource::new("x", samples.clone(), STEREO, settings).unwrap();
    let mut read = Vec::new();
    while source.read(&mut read, WAIT).unwrap() != Captured::Ended {}
    assert!(read[..samples.len()] == samples);
    assert_eq!(read.len(), samples.len() + 22_050 * 2);
    assert!(read[samples.len()..].iter().all(|sample| *sample == 0.0));
}

#[test]
fn a_file_in_real_time_takes_its_time() {
    let clock = Clock::start();
    let settings = WavSourceSettings {
        pace: Pace::RealTime(clock),
        trailing_silence: Duration::ZERO,
        hold: None,
    };
    let mut source = WavSource::new("x", vec![0.1; 44_100 / 5 * 2], STEREO, settings).unwrap();
    let begun = clock.now();
    let mut read = Vec::new();
    while source.read(&mut read, Duration::from_millis(8)).unwrap() != Captured::Ended {
        let passed = clock.now().since(begun).as_secs_f64();
        assert!(
            read.len() as f64 / 2.0 <= passed * 44_100.0 + 1.0,
            "never ahead of the clock"
        );
    }
    assert!(clock.now().since(begun) >= Duration::from_millis(195));
}

#[test]
fn a_file_without_sound_and_a_file_that_is_none_are_unusable() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.wav");
    std::fs::write(&text, "not a sound").unwrap();
    let empty = WavSource::new("x", Vec::new(), STEREO, WavSourceSettings::default());
    assert!(matches!(empty, Err(CaptureError::Unusable { .. })));
    for path in [text.as_path(), Path::new("/nonexistent.wav")] {
        let error = WavSource::open(path, WavSourceSettings::default())
            .err()
            .unwrap();
        assert!(matches!(&error, CaptureError::Unusable { .. }), "{error}");
        assert!(error.to_string().contains(&path.display().to_string()));
    }
}

#[test]
fn every_depth_of_wav_reads_at_its_scale() {
    let folder = tempfile::tempdir().unwrap();
    for (bits, sample_format) in [
        (8, hound::SampleFormat::Int),
        (16, hound::SampleFormat::Int),
        (24, hound::SampleFormat::Int),
        (32, hound::SampleFormat::Int),
        (32, hound::SampleFormat::Float),
    ] {
        let path = folder.path().join("x.wav");
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 16_000,
            bits_per_sample: bits,
            sample_format,
        };
        let mut writer = hound::WavWriter::create(&path, spec).unwrap();
        for _ in 0..100 {
            match sample_format {
                hound::SampleFormat::Float => writer.write_sample(0.5_f32).unwrap(),
                hound::SampleFormat::Int => writer.write_sample(1_i32 << (bits - 2)).unwrap(),
            }
        }
        writer.finalize().unwrap();
        let mut source = WavSource::open(&path, WavSourceSettings::default()).unwrap();
        let mut read = Vec::new();
        source.read(&mut read, WAIT).unwrap();
        assert!(
            read[..100]
                .iter()
                .all(|sample| (sample - 0.5).abs() < 0.005),
            "{bits} bits: {}",
            read[0]
        );
    }
}

#[test]
fn files_keep_the_contract_of_a_source_and_of_a_sink_at_either_pace() {
    let folder = tempfile::tempdir().unwrap();
    for pace in [Pace::Fast, Pace::RealTime(Clock::start())] {
        let settings = WavSourceSettings {
            pace,
            ..WavSourceSettings::default()
        };
        let mut source = WavSource::new("x", vec![0.1; 88_200], STEREO, settings).unwrap();
        contract::keeps_the_contract_of_a_source(&mut source);
        let mut sink = WavSink::create(&folder.path().join("x.wav"), 16_000, pace).unwrap();
        contract::keeps_the_contract_of_a_sink(&mut sink);
    }
}
