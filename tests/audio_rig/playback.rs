//! The loudspeaker: what is recorded from it is what was written.

use std::time::Duration;

use hark::audio::AudioSink;
use hark::audio::capture::Microphone;
use hark::audio::playback::Loudspeaker;
use hark::platform::clock::Clock;

use crate::contract;
use crate::rig::Rig;
use crate::tone;

const WAIT: Duration = Duration::from_millis(50);

fn write_all(speaker: &mut Loudspeaker, mut samples: &[f32]) {
    while !samples.is_empty() {
        let taken = speaker.write(samples, WAIT).unwrap();
        samples = &samples[taken..];
    }
}

/// Drop-outs are counted as [`tone`] says: breaks of the sine's own rule, silent gaps, and the sink's own count.
#[test]
fn a_tone_of_five_seconds_leaves_the_loudspeaker_without_a_drop_out() {
    let rig = Rig::up();
    let written = tone::sine(5.0);
    tone::demand_one_clean(|| {
        let recording = rig.record();
        let mut speaker = Loudspeaker::open("default").unwrap();
        assert_eq!((speaker.name(), speaker.rate()), ("RigSpeaker", 48_000));
        write_all(&mut speaker, &written);
        speaker.close().unwrap();
        assert_eq!((speaker.played(), speaker.written()), (240_000, 240_000));
        let recorded = recording.end_after(300);
        tone::DropOuts::of(&recorded, written.len(), speaker.starved())
    });
}

#[test]
fn speech_comes_out_as_it_was_written() {
    let rig = Rig::up();
    let clip = rig.clip("it is half past nine");
    let mut reader = hound::WavReader::open(&clip).unwrap();
    let speech: Vec<f32> = reader
        .samples::<i16>()
        .map(|sample| f32::from(sample.unwrap()) / 32_768.0)
        .collect();
    let format = hark::audio::Format {
        rate: 22_050,
        channels: 1,
    };
    let mut resampler = hark::audio::resample::Resampler::new(format, 48_000).unwrap();
    let mut written = Vec::new();
    resampler.push(&speech, &mut written);
    resampler.finish(&mut written);
    // Repeated for the reason that `demand_one_clean` gives.
    let best = (0..5)
        .map(|_| play_and_compare(&rig, &written))
        .find(|fit| *fit > 0.9999);
    assert!(best.is_some(), "no attempt came out as it was written");
}

/// Plays `written`, records it, and tells how well the recording fits; 1 for the same wave.
fn play_and_compare(rig: &Rig, written: &[f32]) -> f64 {
    let recording = rig.record();
    let mut speaker = Loudspeaker::open("RigSpeaker").unwrap();
    assert_eq!(speaker.rate(), 48_000);
    write_all(&mut speaker, written);
    speaker.close().unwrap();
    assert_eq!(speaker.starved(), 0);
    let recorded = recording.end_after(300);
    let loud = |samples: &[f32]| samples.iter().position(|sample| sample.abs() > 0.05);
    let first = loud(&recorded).expect("it is not silence");
    let guess = first.saturating_sub(loud(written).unwrap());
    tone::find(written, &recorded, guess.saturating_sub(50)..guess + 50).1
}

#[test]
fn a_flush_is_acknowledged_within_one_buffer_and_the_rest_is_never_heard() {
    let rig = Rig::up();
    let recording = rig.record();
    let mut speaker = Loudspeaker::open("default").unwrap();
    let clock = Clock::start();
    let mut worst = Duration::ZERO;
    for _ in 0..10 {
        // A second of tone, flushed after 200 ms of it have left.
        let before = speaker.played();
        write_all(&mut speaker, &tone::sine(1.0));
        while speaker.played() < before + 9_600 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let asked = clock.now();
        speaker.flush().unwrap();
        worst = worst.max(clock.now().since(asked));
        assert!(speaker.played() == speaker.written());
        std::thread::sleep(Duration::from_millis(300));
    }
    // A buffer lasts 20 ms; the rest is for a loaded machine.
    eprintln!("flush acknowledged within {worst:?} at worst");
    assert!(worst < Duration::from_millis(100), "{worst:?}");
    drop(speaker);
    let recorded = recording.end_after(200);
    let loud = recorded.iter().filter(|sample| sample.abs() > 1e-4).count();
    let per_flush = loud as f64 / 10.0 / 48.0;
    eprintln!("{per_flush:.0} ms of tone heard for each flush after 200 ms");
    assert!(
        (190.0..400.0).contains(&per_flush),
        "{per_flush:.0} ms heard of each 1,000"
    );
    assert_eq!(speaker_gaps(&recorded), 10, "ten stretches, each cut once");
}

/// Stretches of sound that silence of 100 ms or more separates.
fn speaker_gaps(recorded: &[f32]) -> usize {
    let (mut stretches, mut quiet) = (0, usize::MAX);
    for sample in recorded {
        if sample.abs() > 1e-4 {
            stretches += usize::from(quiet >= 4_800);
            quiet = 0;
        } else {
            quiet = quiet.saturating_add(1);
        }
    }
    stretches
}

#[test]
fn played_follows_what_is_heard() {
    let _rig = Rig::up();
    let clock = Clock::start();
    let mut speaker = Loudspeaker::open("default").unwrap();
    let begun = clock.now();
    write_all(&mut speaker, &tone::sine(1.0));
    while speaker.played() < 24_000 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let half = clock.now().since(begun);
    assert!(
        (450..900).contains(&half.as_millis()),
        "half of a second was heard after {half:?}"
    );
}

#[test]
fn devices_keep_the_contract_of_a_source_and_of_a_sink() {
    let _rig = Rig::up();
    contract::keeps_the_contract_of_a_source(&mut Microphone::open("default", &[]).unwrap());
    contract::keeps_the_contract_of_a_sink(&mut Loudspeaker::open("default").unwrap());
}
