//! The input callback and its ring.

use std::time::Duration;

use hark::audio::Format;
use hark::audio::capture::{CaptureReader, capture_ring};

use crate::guard::allocations_in;

const STEREO: Format = Format {
    rate: 48_000,
    channels: 2,
};

fn ramp(from: usize, frames: usize) -> Vec<f32> {
    (from..from + frames)
        .flat_map(|n| [n as f32, -(n as f32)])
        .collect()
}

#[test]
fn the_callback_allocates_nothing_in_any_sample_format_full_or_not() {
    let (mut writer, mut reader) = capture_ring(STEREO, Duration::from_millis(100));
    let (float, short, byte) = (vec![0.5_f32; 960], vec![100_i16; 960], vec![128_u8; 960]);
    let long = vec![cpal::I24::new(5).unwrap(); 960];
    let mut into = Vec::new();
    for _ in 0..50 {
        assert_eq!(allocations_in(|| writer.take(&float)), 0);
        assert_eq!(allocations_in(|| writer.take(&short)), 0);
        assert_eq!(allocations_in(|| writer.take(&byte)), 0);
        assert_eq!(allocations_in(|| writer.take(&long)), 0);
        if into.len() < 9_600 {
            reader.read(&mut into);
        }
    }
}

#[test]
fn reading_allocates_nothing_once_the_buffer_has_grown() {
    let (mut writer, mut reader) = capture_ring(STEREO, Duration::from_secs(2));
    let block = vec![0.5_f32; 1_920];
    let mut into = Vec::with_capacity(1_920);
    for _ in 0..200 {
        writer.take(&block);
        into.clear();
        assert_eq!(
            allocations_in(|| assert!(reader.read(&mut into).is_some())),
            0
        );
        assert_eq!(into.len(), 1_920);
    }
}

#[test]
fn samples_come_out_in_order_and_scaled() {
    let (mut writer, mut reader) = capture_ring(STEREO, Duration::from_secs(1));
    writer.take(&[i16::MIN, 0, 16_384, -16_384]);
    let mut into = Vec::new();
    assert_eq!(reader.read(&mut into), Some(0));
    assert_eq!(into, [-1.0, 0.0, 0.5, -0.5]);
    assert_eq!(reader.read(&mut into), None);
}

#[test]
fn an_overrun_is_counted_in_frames_and_told_where_the_hole_lies() {
    // Room for 10 blocks of 480 frames; 25 come while nobody reads.
    let (mut writer, mut reader) = capture_ring(STEREO, Duration::from_millis(100));
    for block in 0..25 {
        writer.take(&ramp(block * 480, 480));
    }
    let mut before = Vec::new();
    assert_eq!(
        reader.read(&mut before),
        Some(0),
        "what was in the ring came before the hole"
    );
    assert!(before == ramp(0, 4_800));
    let mut after = Vec::new();
    assert_eq!(reader.read(&mut after), None);
    writer.take(&ramp(25 * 480, 480));
    assert_eq!(
        reader.read(&mut after),
        Some(15 * 480),
        "told with the first block after it"
    );
    assert!(after == ramp(25 * 480, 480));
}

#[test]
fn once_it_overflowed_nothing_is_let_in_before_the_reader_has_come() {
    let (mut writer, mut reader) = capture_ring(STEREO, Duration::from_millis(100));
    for block in 0..9 {
        writer.take(&ramp(block * 480, 480));
    }
    // There is room for 480 frames: 600 do not fit, and 100 that would must not get in behind the hole.
    writer.take(&ramp(4_320, 600));
    writer.take(&ramp(4_920, 100));
    let mut into = Vec::new();
    assert_eq!(reader.read(&mut into), Some(0));
    assert!(into == ramp(0, 4_320));
    writer.take(&ramp(5_020, 480));
    into.clear();
    assert_eq!(reader.read(&mut into), Some(700));
    assert!(into == ramp(5_020, 480));
}

#[test]
fn under_a_reader_on_another_thread_every_frame_is_delivered_or_counted() {
    let (mut writer, mut reader) = capture_ring(STEREO, Duration::from_millis(20));
    let blocks = 20_000_u64;
    let device = std::thread::spawn(move || {
        let block = [0.25_f32; 64];
        for n in 0..blocks {
            writer.take(&block);
            if n % 64 == 0 {
                std::thread::yield_now();
            }
        }
        writer
    });
    let (mut got, mut lost) = (0_u64, 0_u64);
    let mut into = Vec::new();
    let mut read = |reader: &mut CaptureReader| -> bool {
        into.clear();
        let missing = reader.read(&mut into);
        got += into.len() as u64 / 2;
        lost += missing.unwrap_or(0);
        missing.is_some()
    };
    while !device.is_finished() {
        if !read(&mut reader) {
            std::thread::yield_now();
        }
    }
    let mut writer = device.join().unwrap();
    while read(&mut reader) {}
    // What was dropped at the very end is told with the next block that gets in.
    writer.take(&[0.25_f32; 64]);
    while read(&mut reader) {}
    assert_eq!(
        got + lost,
        (blocks + 1) * 32,
        "{got} delivered, {lost} lost"
    );
}
