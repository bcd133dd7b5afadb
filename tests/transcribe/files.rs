//! Audio files of every kind, whole, odd, false and damaged.

use std::io::Cursor;
use std::path::Path;

use hark::audio::Format;
use hark::audio::decode::{DecodeError, Input, decode_mono, decode_native};
use hound::{SampleFormat, WavSpec, WavWriter};

use crate::support::{clip, data, noise};

fn mono(name: &str, bytes: Vec<u8>) -> Result<hark::audio::decode::Mono, DecodeError> {
    decode_mono(Input::Bytes(name, bytes), &mut |_| {})
}

/// A WAV file in memory.
fn wav(rate: u32, channels: u16, bits: u16, format: SampleFormat, samples: &[f32]) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let spec = WavSpec {
        channels,
        sample_rate: rate,
        bits_per_sample: bits,
        sample_format: format,
    };
    let mut writer = WavWriter::new(&mut bytes, spec).expect("writes to memory");
    for sample in samples {
        match format {
            SampleFormat::Float => writer.write_sample(*sample).expect("writes to memory"),
            SampleFormat::Int => {
                let scale = f64::from(1_u32 << (bits - 1)) - 1.0;
                writer
                    .write_sample((f64::from(*sample) * scale) as i32)
                    .expect("writes to memory");
            }
        }
    }
    writer.finalize().expect("writes to memory");
    bytes.into_inner()
}

/// Root mean square of the difference, at the best of the shifts up to 4 ms either way.
fn difference(a: &[f32], b: &[f32]) -> f32 {
    let from = |a: &[f32], b: &[f32]| {
        let pairs = a.iter().zip(b);
        let sum: f32 = pairs.map(|(a, b)| (a - b).powi(2)).sum();
        (sum / a.len() as f32).sqrt()
    };
    (0..64)
        .flat_map(|shift| [from(a, &b[shift..]), from(&a[shift..], b)])
        .fold(f32::INFINITY, f32::min)
}

#[test]
fn every_container_holds_the_same_sound_at_the_same_place() {
    let reference = clip("clip.wav");
    assert_eq!(reference.len(), 36_499);
    for name in ["clip.flac", "clip.mp3", "clip.m4a", "clip.ogg"] {
        let found = clip(name);
        let difference = difference(&reference, &found);
        // The clip's own root mean square is about 0.15; at 32 kbit/s the codecs stay far below it.
        let most = if name == "clip.flac" { 1e-6 } else { 0.05 };
        assert!(difference < most, "{name} differs by {difference}");
        let longer = found.len().abs_diff(reference.len());
        assert!(longer < 1_200, "{name} has {} samples", found.len());
    }
}

#[test]
fn every_width_of_sample_is_read() {
    let sound = noise(0.5, 0.8, 1);
    for (bits, format) in [
        (8, SampleFormat::Int),
        (16, SampleFormat::Int),
        (24, SampleFormat::Int),
        (32, SampleFormat::Int),
        (32, SampleFormat::Float),
    ] {
        let read = mono("x.wav", wav(16_000, 1, bits, format, &sound)).expect("a plain WAV file");
        assert_eq!(read.damage, None);
        assert_eq!(read.samples.len(), sound.len());
        let most = 2.5 / (1_u64 << (bits - 1)).min(1 << 20) as f32;
        let worst = sound
            .iter()
            .zip(&read.samples)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        assert!(worst <= most, "{bits} bits {format:?}: {worst}");
    }
}

#[test]
fn rates_and_channels_are_converted() {
    for rate in [8_000, 22_050, 44_100, 48_000] {
        for channels in [1, 2, 6] {
            let frames = rate as usize;
            let samples = vec![0.25; frames * usize::from(channels)];
            let read = mono(
                "x.wav",
                wav(rate, channels, 16, SampleFormat::Int, &samples),
            )
            .expect("a plain WAV file");
            assert!(
                read.samples.len().abs_diff(16_000) <= 1,
                "{rate} Hz, {channels} channels"
            );
            assert!(
                read.samples[4_000..12_000]
                    .iter()
                    .all(|s| (s - 0.25).abs() < 0.01),
                "{rate} Hz, {channels} channels"
            );
        }
    }
}

#[test]
fn the_native_format_keeps_rate_and_channels() {
    let bytes = wav(44_100, 2, 16, SampleFormat::Int, &[0.5, -0.5, 0.25, -0.25]);
    let read = decode_native(Input::Bytes("x.wav", bytes), &mut |_| {}).expect("a plain WAV file");
    assert_eq!(
        read.format,
        Format {
            rate: 44_100,
            channels: 2
        }
    );
    assert_eq!(
        read.samples
            .iter()
            .map(|s| (s * 100.0).round() as i32)
            .collect::<Vec<_>>(),
        [50, -50, 25, -25]
    );
}

#[test]
fn progress_reaches_the_end_of_the_file() {
    let mut last = None;
    decode_mono(Input::File(&data("clip.mp3")), &mut |progress| {
        last = Some(progress)
    })
    .expect("decodes");
    let last = last.expect("progress was told");
    assert_eq!((last.done, last.total), (9_704, 9_704));
}

#[test]
fn a_stream_that_lies_about_its_length_is_read_to_its_end() {
    let whole = std::fs::read(data("clip.wav")).expect("the clip");
    let data_at = whole
        .windows(4)
        .position(|tag| tag == b"data")
        .expect("a data chunk")
        + 4;
    // espeak-ng, ffmpeg, and a recorder that was killed.
    for (riff, length) in [
        (0x7fff_f024_u32, 0x7fff_f000_u32),
        (u32::MAX, u32::MAX),
        (0, 0),
    ] {
        let mut bytes = whole.clone();
        bytes[4..8].copy_from_slice(&riff.to_le_bytes());
        bytes[data_at..data_at + 4].copy_from_slice(&length.to_le_bytes());
        let read = mono("stream", bytes).expect("a stream");
        assert_eq!(read.damage, None, "{riff:x}");
        assert_eq!(read.samples, clip("clip.wav"), "{riff:x}");
    }
}

#[test]
fn a_missing_file_is_unreadable() {
    let error = decode_mono(Input::File(Path::new("/no/such/file.wav")), &mut |_| {})
        .expect_err("it is missing");
    assert!(matches!(error, DecodeError::Unreadable { .. }), "{error}");
    assert!(
        error
            .to_string()
            .starts_with("cannot read /no/such/file.wav: "),
        "{error}"
    );
    let error =
        decode_mono(Input::File(&std::env::temp_dir()), &mut |_| {}).expect_err("it is a folder");
    assert!(matches!(error, DecodeError::Unreadable { .. }), "{error}");
}

#[test]
fn what_is_no_audio_is_said_with_the_command_that_converts() {
    let text = b"Dear diary, this is plain text and no sound at all. ".repeat(50);
    for (name, bytes) in [
        ("diary.txt", text),
        ("page.html", b"<!DOCTYPE html>".to_vec()),
        ("zip.mp3", b"PK\x03\x04abc".repeat(99)),
    ] {
        let error = mono(name, bytes).expect_err("it is no audio");
        assert!(matches!(error, DecodeError::NotAudio { .. }), "{error}");
        assert!(
            error.to_string().contains(&format!("ffmpeg -i {name}")),
            "{error}"
        );
    }
}

#[test]
fn opus_is_named_as_something_to_convert() {
    // The first page of an Ogg Opus file: capture pattern, one segment of 19 bytes, OpusHead.
    let head = b"OpusHead\x01\x01\x38\x01\x80\xbb\0\0\0\0\0";
    let mut page = b"OggS\0\x02\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\x01\x13".to_vec();
    page.extend(head);
    let error = mono("note.opus", page).expect_err("Opus is not decoded");
    assert!(matches!(error, DecodeError::NotAudio { .. }), "{error}");
    assert!(error.to_string().contains("ffmpeg -i note.opus"), "{error}");
}

#[test]
fn nothing_and_a_header_alone_are_empty() {
    for bytes in [Vec::new(), wav(16_000, 1, 16, SampleFormat::Int, &[])] {
        let error = mono("x.wav", bytes).expect_err("no sound");
        assert!(matches!(error, DecodeError::Empty { .. }), "{error}");
    }
}

#[test]
fn what_precedes_the_damage_is_kept_and_said() {
    for name in ["clip.wav", "clip.flac"] {
        let whole = std::fs::read(data(name)).expect("the clip");
        let half = whole[..whole.len() / 2].to_vec();
        let read = mono(name, half).expect("half a file is something");
        let damage = read
            .damage
            .unwrap_or_else(|| panic!("{name}: the damage is not said"));
        let after = read.samples.len() as f32 / 16_000.0;
        assert!(
            damage
                .to_string()
                .starts_with(&format!("damaged after {after:.1} s")),
            "{name}: {damage}"
        );
        let reference = clip("clip.wav");
        assert!(
            (8_000..24_500).contains(&read.samples.len()),
            "{name}: {}",
            read.samples.len()
        );
        assert!(
            read.samples
                .iter()
                .zip(&reference)
                .all(|(a, b)| (a - b).abs() < 1e-6),
            "{name}"
        );
    }
}

#[test]
fn no_cut_or_garbled_file_makes_the_decoder_panic_or_hang() {
    for name in ["clip.wav", "clip.flac", "clip.mp3", "clip.m4a", "clip.ogg"] {
        let whole = std::fs::read(data(name)).expect("the clip");
        let mut state = 7_u32;
        let mut random = |below: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as usize % below
        };
        for _ in 0..40 {
            let mut bytes = whole[..1 + random(whole.len())].to_vec();
            for _ in 0..random(20) {
                let at = random(bytes.len().min(400));
                bytes[at] = random(256) as u8;
            }
            if let Ok(read) = mono(name, bytes) {
                assert!(!read.samples.is_empty());
            }
        }
    }
}
