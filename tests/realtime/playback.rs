//! The output callback and its ring.

use std::time::Duration;

use hark::audio::playback::{PlaybackReader, PlaybackWriter, playback_ring};

use crate::guard::allocations_in;

const RATE: u32 = 48_000;
const BLOCK: usize = 960;

fn ring() -> (PlaybackWriter, PlaybackReader) {
    playback_ring(RATE, 2, Duration::from_secs(1))
}

/// What the device would play next, first channel.
fn play(reader: &mut PlaybackReader, delay: u64) -> Vec<f32> {
    let mut block = vec![9.0_f32; BLOCK * 2];
    reader.fill(&mut block, delay);
    assert!(
        block.chunks(2).all(|frame| frame[0] == frame[1]),
        "both channels are alike"
    );
    block.chunks(2).map(|frame| frame[0]).collect()
}

#[test]
fn the_callback_allocates_nothing_while_it_plays_runs_dry_and_flushes() {
    let (mut writer, mut reader) = ring();
    let (mut float, mut short, mut byte) = ([0.0_f32; 1_920], [0_i16; 1_920], [0_u8; 1_920]);
    for round in 0..30 {
        writer.try_write(&[0.5; 2_500]);
        if round % 5 == 4 {
            writer.request_flush();
        }
        assert_eq!(allocations_in(|| reader.fill(&mut float, 100)), 0);
        assert_eq!(allocations_in(|| reader.fill(&mut short, 100)), 0);
        assert_eq!(allocations_in(|| reader.fill(&mut byte, 100)), 0);
    }
    assert!(byte.iter().any(|sample| *sample != 0));
}

#[test]
fn writing_allocates_nothing() {
    let (mut writer, _reader) = ring();
    let samples = [0.1; 4_800];
    assert_eq!(
        allocations_in(|| assert_eq!(writer.try_write(&samples), 4_800)),
        0
    );
}

#[test]
fn silence_is_the_middle_of_every_format_and_loud_samples_do_not_wrap() {
    let (mut writer, mut reader) = ring();
    let mut byte = [7_u8; 4];
    reader.fill(&mut byte, 0);
    assert_eq!(byte, [128; 4]);
    writer.try_write(&[2.0, -2.0]);
    let mut short = [0_i16; 4];
    reader.fill(&mut short, 0);
    assert_eq!(short, [i16::MAX, i16::MAX, i16::MIN, i16::MIN]);
}

#[test]
fn a_flush_empties_the_ring_in_the_next_block_and_nothing_old_follows() {
    let (mut writer, mut reader) = ring();
    writer.try_write(&vec![0.5; 20_000]);
    assert!(play(&mut reader, 0).iter().all(|sample| *sample == 0.5));
    writer.request_flush();
    assert!(!writer.flushed(), "not before the callback has run");
    assert!(
        play(&mut reader, 0).iter().all(|sample| *sample == 0.0),
        "silent in the very next block"
    );
    assert!(writer.flushed());
    assert_eq!(
        writer.played(),
        writer.written(),
        "flushed samples have left"
    );
    writer.try_write(&[0.25; BLOCK]);
    assert!(
        play(&mut reader, 0).iter().all(|sample| *sample == 0.25),
        "the new reply alone"
    );
}

#[test]
fn two_flushes_before_one_block_are_acknowledged_together() {
    let (mut writer, mut reader) = ring();
    writer.try_write(&[0.5; 5_000]);
    writer.request_flush();
    writer.request_flush();
    play(&mut reader, 0);
    assert!(writer.flushed());
}

#[test]
fn played_counts_what_has_left_the_device_and_not_what_is_inside_it() {
    let (mut writer, mut reader) = ring();
    // The device holds two blocks ahead of the ear.
    let delay = 2 * BLOCK as u64;
    writer.try_write(&[0.5; 3 * BLOCK]);
    let mut played = Vec::new();
    for _ in 0..6 {
        play(&mut reader, delay);
        played.push(writer.played());
    }
    let block = BLOCK as u64;
    assert_eq!(played, [0, 0, 0, block, 2 * block, 3 * block]);
    assert_eq!(writer.played(), writer.written());
}

#[test]
fn a_short_hole_within_speech_is_starvation_and_a_pause_between_clauses_is_not() {
    let (mut writer, mut reader) = ring();
    for _ in 0..10 {
        play(&mut reader, 0);
    }
    writer.try_write(&[0.5; BLOCK + 100]);
    play(&mut reader, 0);
    assert_eq!(writer.starved(), 0, "silence before the first word is none");
    play(&mut reader, 0);
    play(&mut reader, 0);
    assert_eq!(writer.starved(), 0, "not known yet: it may be the end");
    writer.try_write(&[0.5; BLOCK]);
    play(&mut reader, 0);
    assert_eq!(writer.starved(), (2 * BLOCK - 100) as u64);

    // 260 ms: a pause.
    for _ in 0..13 {
        play(&mut reader, 0);
    }
    writer.try_write(&[0.5; BLOCK]);
    play(&mut reader, 0);
    assert_eq!(writer.starved(), (2 * BLOCK - 100) as u64);

    // A flush is no hole either.
    writer.request_flush();
    play(&mut reader, 0);
    writer.try_write(&[0.5; BLOCK]);
    play(&mut reader, 0);
    assert_eq!(writer.starved(), (2 * BLOCK - 100) as u64);
}

#[test]
fn a_full_ring_takes_no_more_and_loses_nothing() {
    let (mut writer, mut reader) = ring();
    let ramp: Vec<f32> = (0..60_000).map(|n| n as f32 / 60_000.0).collect();
    let mut given = writer.try_write(&ramp);
    assert_eq!(given, RATE as usize, "one second fits");
    let mut heard = Vec::new();
    while heard.len() < ramp.len() {
        heard.extend(play(&mut reader, 0));
        given += writer.try_write(&ramp[given..]);
    }
    assert!(heard[..ramp.len()] == ramp);
}

#[test]
fn under_two_threads_flushes_and_writes_keep_their_order() {
    let (mut writer, mut reader) = ring();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = std::sync::Arc::clone(&stop);
    let device = std::thread::spawn(move || {
        let mut heard = Vec::new();
        while !seen.load(std::sync::atomic::Ordering::Acquire) {
            let mut block = [0.0_f32; 128];
            reader.fill(&mut block, 0);
            heard.extend(
                block
                    .chunks(2)
                    .map(|frame| frame[0])
                    .filter(|sample| *sample != 0.0),
            );
            std::thread::yield_now();
        }
        heard
    });
    // Each reply has its own level; after the acknowledgement of its flush it must never be heard again.
    for reply in 1..=200_u16 {
        writer.try_write(&[f32::from(reply) / 1_000.0; 3_000]);
        std::thread::yield_now();
        writer.request_flush();
        while !writer.flushed() {
            std::thread::yield_now();
        }
    }
    stop.store(true, std::sync::atomic::Ordering::Release);
    let heard = device.join().unwrap();
    assert!(
        heard.windows(2).all(|pair| pair[0] <= pair[1]),
        "an old reply came back"
    );
    assert_eq!(writer.played(), writer.written());
}
