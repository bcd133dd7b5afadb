//! The output callback and its ring.

use std::time::Duration;

use hark::audio::Level;
use hark::audio::playback::{PlaybackReader, PlaybackWriter, playback_ring};
use hark::audio::reference::reference_ring;

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
    let next = play(&mut reader, 0);
    let fade = RATE as usize * 5 / 1_000;
    assert!(
        next[..fade].windows(2).all(|pair| pair[1] < pair[0]),
        "softer and softer for 5 ms, without a click"
    );
    assert!(
        next[fade..].iter().all(|sample| *sample == 0.0),
        "silent within the very next block"
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
    // Each reply has its own level and sign: after the acknowledgement of its flush it must never be heard again. The fade
    // of a flush has the sign of its reply and any level below it.
    let level = |reply: u16| {
        let sign = if reply.is_multiple_of(2) { 1.0 } else { -1.0 };
        sign * (0.5 + f32::from(reply) / 1_000.0)
    };
    for reply in 1..=200_u16 {
        writer.try_write(&[level(reply); 3_000]);
        std::thread::yield_now();
        writer.request_flush();
        while !writer.flushed() {
            std::thread::yield_now();
        }
    }
    stop.store(true, std::sync::atomic::Ordering::Release);
    let heard = device.join().unwrap();
    // Two replies in a row have different signs, so the one before coming back would be two changes more.
    let mut changes = 0;
    for pair in heard.windows(2) {
        changes += u32::from(pair[0].signum() != pair[1].signum());
    }
    assert!(changes < 200, "{changes} changes of reply in 200 replies");
    assert_eq!(writer.played(), writer.written());
}

#[test]
fn ducking_is_a_ramp_of_less_than_60_ms_and_so_is_the_way_back() {
    let (mut writer, mut reader) = ring();
    writer.try_write(&vec![0.5; 40_000]);
    play(&mut reader, 0);
    writer.set_level(Level::Ducked);
    let mut ducked = play(&mut reader, 0);
    ducked.extend(play(&mut reader, 0));
    ducked.extend(play(&mut reader, 0));
    let step = ducked
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).abs())
        .fold(0.0, f32::max);
    assert!(step < 0.001, "no click: {step}");
    let reached = ducked.iter().position(|sample| *sample <= 0.1).unwrap();
    assert!(reached < 2_880, "{reached} samples");
    assert!(ducked[reached..].iter().all(|sample| *sample == 0.1));
    writer.set_level(Level::Full);
    let mut back = Vec::new();
    for _ in 0..5 {
        back.extend(play(&mut reader, 0));
    }
    assert_eq!(back.last(), Some(&0.5));
}

#[test]
fn held_sound_stops_within_10_ms_waits_and_goes_on_where_it_was() {
    let (mut writer, mut reader) = ring();
    let ramp: Vec<f32> = (0..20_000).map(|n| 0.2 + n as f32 / 100_000.0).collect();
    writer.try_write(&ramp);
    play(&mut reader, 0);
    writer.set_level(Level::Held);
    let held = play(&mut reader, 0);
    assert!(held[480..].iter().all(|sample| *sample == 0.0));
    let waiting = writer.played();
    for _ in 0..50 {
        assert!(play(&mut reader, 0).iter().all(|sample| *sample == 0.0));
    }
    assert!(writer.played() - waiting < 500, "nothing leaves meanwhile");
    assert_eq!(
        writer.starved(),
        0,
        "a silence that was asked for is no hole"
    );
    writer.set_level(Level::Full);
    let mut after = Vec::new();
    for _ in 0..6 {
        after.extend(play(&mut reader, 0));
    }
    // 960 samples were played before, and 384 in the ramp of 8 ms.
    let next = ramp[BLOCK + 384 + after.len() - 1];
    assert!(
        (after.last().unwrap() - next).abs() < 1e-4,
        "{:?} instead of {next}",
        after.last()
    );
}

#[test]
fn a_held_sound_that_is_flushed_is_never_heard_and_the_next_one_is_at_full_level() {
    let (mut writer, mut reader) = ring();
    writer.try_write(&vec![0.5; 20_000]);
    play(&mut reader, 0);
    writer.set_level(Level::Held);
    play(&mut reader, 0);
    writer.request_flush();
    writer.set_level(Level::Full);
    assert!(play(&mut reader, 0).iter().all(|sample| *sample == 0.0));
    assert!(writer.flushed());
    writer.try_write(&[0.25; BLOCK]);
    assert!(play(&mut reader, 0).iter().all(|sample| *sample == 0.25));
}

#[test]
fn the_reference_is_what_was_played_sample_for_sample_and_costs_no_allocation() {
    let (mut writer, mut reader) = ring();
    let (reference, mut heard) = reference_ring(RATE, Duration::from_secs(2));
    reader.refer_to(reference);
    let mut block = vec![9.0_f32; BLOCK * 2];
    let (mut played, mut referred) = (Vec::new(), Vec::with_capacity(96_000));
    for round in 0..40 {
        writer.try_write(&[0.5; 700]);
        writer.set_level([Level::Full, Level::Ducked, Level::Held][round % 3]);
        if round % 7 == 6 {
            writer.request_flush();
        }
        assert_eq!(allocations_in(|| reader.fill(&mut block, 0)), 0);
        played.extend(block.chunks(2).map(|frame| frame[0]));
        assert_eq!(
            allocations_in(|| assert!(heard.drain(&mut referred))),
            0,
            "draining allocates nothing either"
        );
    }
    assert!(played == referred);
    assert!(played.contains(&0.0) && played.contains(&0.5));
}

#[test]
fn a_reference_that_nobody_drains_is_thrown_away_whole() {
    let (mut reference, mut heard) = reference_ring(RATE, Duration::from_millis(100));
    for _ in 0..10 {
        reference.push(&[0.1; 960]);
    }
    let mut into = Vec::new();
    assert!(!heard.drain(&mut into), "there was a hole");
    assert!(into.is_empty());
    reference.push(&[0.2; 960]);
    assert!(heard.drain(&mut into));
    assert_eq!(into, [0.2; 960]);
}
