//! The segmenter alone: frames and probabilities in, events out.

use std::ops::Range;

use hark::flow::{Frame, Utterance};
use hark::hearing::segment::{SegmentEvent, SegmentSettings, Segmenter};
use hark::time::{FRAME_SAMPLES, SamplePos, Span};
use proptest::prelude::*;

const FRAME: u64 = FRAME_SAMPLES as u64;

/// A frame whose samples tell their own position, so that any loss, repetition or shift shows.
fn frame(index: u64) -> Frame {
    let at = SamplePos(index * FRAME);
    let mut samples = [0.0; FRAME_SAMPLES];
    for (offset, sample) in samples.iter_mut().enumerate() {
        *sample = witness(at.0 + offset as u64);
    }
    Frame { at, samples }
}

/// Distinct within the tests' lengths, and about as loud everywhere.
fn witness(position: u64) -> f32 {
    1.0 + position as f32 * 1e-6
}

/// Feeds one probability a frame, ends the stream, and returns every event.
fn run(settings: SegmentSettings, probabilities: &[f32]) -> Vec<SegmentEvent> {
    let mut segmenter = Segmenter::new(settings);
    let mut events = Vec::new();
    for (index, probability) in probabilities.iter().enumerate() {
        segmenter.push(&frame(index as u64), *probability, 0, &mut events);
    }
    segmenter.finish(&mut events);
    events
}

fn utterances(events: &[SegmentEvent]) -> Vec<Utterance> {
    events
        .iter()
        .filter_map(|event| match event {
            SegmentEvent::Utterance(utterance) | SegmentEvent::Held(Some(utterance)) => {
                Some(utterance.clone())
            }
            _ => None,
        })
        .collect()
}

fn talk(silence_before: usize, speech: usize, silence_after: usize) -> Vec<f32> {
    [
        vec![0.01; silence_before],
        vec![0.95; speech],
        vec![0.01; silence_after],
    ]
    .concat()
}

fn frames(range: Range<u64>) -> Span {
    Span {
        start: SamplePos(range.start * FRAME),
        end: SamplePos(range.end * FRAME),
    }
}

/// One letter an event, in order.
fn letters(events: &[SegmentEvent]) -> String {
    events
        .iter()
        .map(|event| match event {
            SegmentEvent::Onset { .. } => 'o',
            SegmentEvent::Dropped { .. } => 'd',
            SegmentEvent::SpeechStarted { .. } => 's',
            SegmentEvent::SpeechPaused { .. } => 'p',
            SegmentEvent::SpeechResumed { .. } => 'r',
            SegmentEvent::Utterance(_) => 'u',
            SegmentEvent::Held(Some(_)) => 'h',
            SegmentEvent::Held(None) => 'n',
        })
        .collect()
}

#[test]
fn an_utterance_begins_with_the_pre_roll_and_ends_after_the_silence() {
    let events = run(SegmentSettings::default(), &talk(50, 30, 60));
    assert_eq!(letters(&events), "ospu");
    let [utterance] = &utterances(&events)[..] else {
        panic!("one utterance")
    };
    assert_eq!(utterance.speech, frames(50..80));
    // 320 ms are 10 frames before; 600 ms are reached within the 19th frame after.
    assert_eq!(utterance.span, frames(40..99));
}

#[test]
fn speech_from_sample_zero_loses_nothing() {
    let events = run(SegmentSettings::default(), &talk(0, 30, 60));
    assert_eq!(utterances(&events)[0].span.start, SamplePos(0));
    assert_eq!(utterances(&events)[0].speech.start, SamplePos(0));
}

#[test]
fn a_click_of_three_frames_is_dropped_and_a_word_of_four_is_not() {
    assert_eq!(
        letters(&run(SegmentSettings::default(), &talk(20, 3, 60))),
        "od"
    );
    assert_eq!(
        letters(&run(SegmentSettings::default(), &talk(20, 4, 60))),
        "ospu"
    );
}

#[test]
fn a_plosive_before_a_short_hole_belongs_to_the_word() {
    let probabilities = [
        vec![0.0; 20],
        vec![0.9; 2],
        vec![0.1; 4],
        vec![0.9; 20],
        vec![0.0; 40],
    ]
    .concat();
    let events = run(SegmentSettings::default(), &probabilities);
    assert_eq!(letters(&events), "ospu");
    assert_eq!(utterances(&events)[0].speech, frames(20..46));
}

#[test]
fn a_pause_shorter_than_the_end_silence_is_told_and_taken_back() {
    let probabilities = [talk(20, 30, 10), talk(0, 30, 60)].concat();
    let events = run(SegmentSettings::default(), &probabilities);
    assert_eq!(letters(&events), "osprpu");
    assert_eq!(utterances(&events)[0].speech, frames(20..90));
}

#[test]
fn between_the_two_thresholds_a_frame_is_what_the_one_before_was() {
    let wavering = [vec![0.0; 20], vec![0.9; 4], vec![0.4; 100], vec![0.0; 40]].concat();
    assert_eq!(
        utterances(&run(SegmentSettings::default(), &wavering))[0].speech,
        frames(20..124)
    );
    let never_on = vec![0.45; 200];
    assert_eq!(letters(&run(SegmentSettings::default(), &never_on)), "");
}

#[test]
fn how_long_a_pause_may_last_can_be_said_while_it_runs() {
    let mut segmenter = Segmenter::new(SegmentSettings::default());
    let mut events = Vec::new();
    let probabilities = talk(10, 20, 200);
    for (index, probability) in probabilities.iter().enumerate() {
        if index == 35 {
            segmenter.end_after(40 * FRAME);
        }
        segmenter.push(&frame(index as u64), *probability, 0, &mut events);
    }
    assert_eq!(utterances(&events)[0].span, frames(0..70));

    let mut segmenter = Segmenter::new(SegmentSettings::default());
    let mut events = Vec::new();
    for (index, probability) in probabilities.iter().enumerate() {
        if index == 40 {
            segmenter.end_after(4 * FRAME);
        }
        segmenter.push(&frame(index as u64), *probability, 0, &mut events);
    }
    assert_eq!(
        utterances(&events)[0].span,
        frames(0..41),
        "a shorter one takes effect at the next frame"
    );
}

#[test]
fn what_was_said_of_one_pause_does_not_hold_for_the_next() {
    let mut segmenter = Segmenter::new(SegmentSettings::default());
    let mut events = Vec::new();
    let probabilities = [talk(10, 20, 10), vec![0.95; 20], vec![0.01; 40]].concat();
    for (index, probability) in probabilities.iter().enumerate() {
        segmenter.push(&frame(index as u64), *probability, 0, &mut events);
        if index == 36 {
            assert_eq!(segmenter.pause(), Some(SamplePos(30 * FRAME)));
            segmenter.end_after(12 * FRAME);
        }
    }
    // 600 ms are 18.75 frames; not the 12 of the pause before.
    assert_eq!(utterances(&events)[0].span, frames(0..79));
}

/// A frame of steady sound of that loudness.
fn loud(index: u64, db: f32) -> Frame {
    let amplitude = 10_f32.powf(db / 20.0);
    let at = SamplePos(index * FRAME);
    let samples = std::array::from_fn(|n| if n % 2 == 0 { amplitude } else { -amplitude });
    Frame { at, samples }
}

#[test]
fn a_television_neither_holds_the_turn_open_nor_becomes_a_part_of_it() {
    let mut segmenter = Segmenter::new(SegmentSettings::default());
    let mut events = Vec::new();
    // All of it is voice: ten seconds of television, three of somebody 14 dB louder, and the television again.
    let mut index = 0;
    for (db, count) in [(-34.0, 312), (-20.0, 94), (-34.0, 100)] {
        for _ in 0..count {
            segmenter.push(&loud(index, db), 0.95, 0, &mut events);
            index += 1;
        }
    }
    let said = utterances(&events);
    assert_eq!(said.len(), 1, "the silence that ends it is the speaker's");
    assert_eq!(said[0].speech, frames(312..406));
    assert!(
        said[0].span.start >= SamplePos(300 * FRAME),
        "{:?}",
        said[0].span
    );
}

#[test]
fn in_a_quiet_room_a_soft_ending_is_not_cut_off() {
    let mut segmenter = Segmenter::new(SegmentSettings::default());
    let mut events = Vec::new();
    let mut index = 0;
    for (db, probability, count) in [
        (-62.0, 0.01, 200),
        (-20.0, 0.95, 60),
        (-42.0, 0.95, 40),
        (-62.0, 0.01, 40),
    ] {
        for _ in 0..count {
            segmenter.push(&loud(index, db), probability, 0, &mut events);
            index += 1;
        }
    }
    assert_eq!(utterances(&events)[0].speech, frames(200..300));
}

#[test]
fn a_gap_in_capture_lengthens_lost_and_does_not_end_the_utterance() {
    let mut segmenter = Segmenter::new(SegmentSettings::default());
    let mut events = Vec::new();
    for index in 0..200 {
        let gap = (40..80).contains(&index);
        let spoken = (20..110).contains(&index) && !gap;
        segmenter.push(
            &frame(index),
            if spoken { 0.9 } else { 0.0 },
            if gap { 512 } else { 0 },
            &mut events,
        );
    }
    assert_eq!(letters(&events), "ospu");
    let utterance = &utterances(&events)[0];
    assert_eq!(utterance.speech, frames(20..110));
    assert_eq!(utterance.lost, 40 * 512);
}

#[test]
fn a_source_that_ends_gives_the_open_utterance() {
    let events = run(SegmentSettings::default(), &talk(20, 30, 2));
    assert_eq!(utterances(&events)[0].span, frames(10..52));
}

#[test]
fn a_snapshot_is_the_utterance_so_far_and_takes_nothing_away() {
    let mut segmenter = Segmenter::new(SegmentSettings::default());
    let mut events = Vec::new();
    assert!(segmenter.snapshot().is_none());
    for (index, probability) in talk(20, 30, 60).iter().enumerate() {
        segmenter.push(&frame(index as u64), *probability, 0, &mut events);
        match index {
            21 => assert!(segmenter.snapshot().is_none(), "not speech yet"),
            40 => {
                let so_far = segmenter.snapshot().unwrap();
                assert_eq!(
                    (so_far.span, so_far.speech),
                    (frames(10..41), frames(20..41))
                );
            }
            _ => {}
        }
    }
    assert_eq!(utterances(&events)[0].span, frames(10..69));
}

#[test]
fn at_the_maximum_it_is_cut_where_it_was_quietest_and_goes_on_without_a_hole() {
    let settings = SegmentSettings {
        max_utterance: 100 * FRAME,
        ..SegmentSettings::default()
    };
    let mut probabilities = talk(0, 150, 60);
    probabilities[90] = 0.6;
    let events = run(settings, &probabilities);
    assert_eq!(letters(&events), "osuspu");
    let [first, second] = &utterances(&events)[..] else {
        panic!("two utterances")
    };
    assert_eq!((first.span, first.speech), (frames(0..91), frames(0..91)));
    assert_eq!(
        (second.span, second.speech),
        (frames(91..169), frames(91..150))
    );
}

#[test]
fn speech_thrown_away_is_told_and_does_not_come_back_as_pre_roll() {
    let mut segmenter = Segmenter::new(SegmentSettings::default());
    let mut events = Vec::new();
    for index in 0..30 {
        segmenter.push(&frame(index), 0.9, 0, &mut events);
    }
    assert_eq!(segmenter.abandon(), Some(frames(0..30)));
    for index in 30..120 {
        segmenter.push(
            &frame(index),
            if index < 60 { 0.9 } else { 0.0 },
            0,
            &mut events,
        );
    }
    assert_eq!(utterances(&events)[0].span.start, SamplePos(30 * FRAME));
}

/// Feeds one probability a frame, the key down before frame `down` and up before frame `up`.
fn run_held(probabilities: &[f32], down: usize, up: usize) -> Vec<SegmentEvent> {
    let mut segmenter = Segmenter::new(SegmentSettings::default());
    let mut events = Vec::new();
    for (index, probability) in probabilities.iter().enumerate() {
        if index == down {
            segmenter.hold(&mut events);
        }
        if index == up {
            segmenter.release(&mut events);
        }
        segmenter.push(&frame(index as u64), *probability, 0, &mut events);
    }
    segmenter.finish(&mut events);
    events
}

#[test]
fn a_held_utterance_has_its_pre_roll_and_ends_with_the_release() {
    let events = run_held(&talk(50, 30, 60), 50, 80);
    assert_eq!(letters(&events), "osh");
    // The pre-roll of 10 frames before the press; the tail of 3 after the release.
    assert_eq!(utterances(&events)[0].span, frames(40..83));
}

#[test]
fn speech_that_begins_up_to_the_pre_roll_before_the_press_is_whole() {
    for early in 0..=10 {
        let events = run_held(&talk(50, 30, 60), 50 + early, 80);
        let [utterance] = &utterances(&events)[..] else {
            panic!("one utterance: {}", letters(&events))
        };
        assert_eq!(
            utterance.speech.start,
            frames(50..51).start,
            "{early} frames early"
        );
        assert!(utterance.span.start <= frames(50..51).start);
    }
}

#[test]
fn of_speech_that_was_under_way_for_long_only_the_pre_roll_belongs_to_the_key() {
    let events = run_held(&talk(10, 90, 60), 80, 100);
    assert_eq!(letters(&events), "osdsh");
    assert_eq!(utterances(&events)[0].span, frames(70..103));
}

#[test]
fn the_silence_around_what_was_said_with_the_key_held_is_left_away() {
    let events = run_held(&talk(200, 30, 100), 5, 320);
    assert_eq!(letters(&events), "osph");
    // As of any other utterance: 10 frames before, and the 19 of the end silence after.
    assert_eq!(utterances(&events)[0].span, frames(190..249));
}

#[test]
fn no_silence_ends_a_held_utterance_and_a_short_sound_is_enough() {
    let pauses = [talk(0, 1, 100), talk(0, 2, 50)].concat();
    let events = run_held(&pauses, 0, 140);
    assert_eq!(
        letters(&events),
        "osh",
        "two clicks, three frames of voice, four seconds"
    );
    let [utterance] = &utterances(&events)[..] else {
        panic!("one utterance")
    };
    assert_eq!(utterance.speech, frames(0..103));
}

#[test]
fn a_key_held_in_silence_tells_so_once() {
    assert_eq!(letters(&run_held(&talk(200, 0, 0), 50, 100)), "n");
    assert_eq!(
        letters(&run_held(&talk(200, 0, 0), 300, 100)),
        "n",
        "a release without a press"
    );
}

#[test]
fn at_the_maximum_a_held_utterance_ends_by_itself() {
    let settings = SegmentSettings::default();
    let most = settings.max_utterance / FRAME;
    let events = run_held(&talk(0, most as usize + 50, 0), 0, 5_000);
    assert!(letters(&events).starts_with("osh"), "{}", letters(&events));
    assert!(utterances(&events)[0].span.samples() <= settings.max_utterance);
}

#[test]
fn a_tap_leaves_the_end_to_silence() {
    let mut segmenter = Segmenter::new(SegmentSettings::default());
    let mut events = Vec::new();
    for (index, probability) in talk(20, 30, 60).iter().enumerate() {
        match index {
            20 => segmenter.hold(&mut events),
            24 => segmenter.let_go(),
            _ => {}
        }
        segmenter.push(&frame(index as u64), *probability, 0, &mut events);
    }
    assert_eq!(letters(&events), "ospu");
}

/// Probabilities as a voice makes them: stretches of one level, some of them long.
fn probabilities() -> impl Strategy<Value = Vec<(f32, u32)>> {
    let level = prop_oneof![
        Just(0.02_f32),
        Just(0.3),
        Just(0.4),
        Just(0.6),
        Just(0.97),
        0.0_f32..1.0
    ];
    let filled = prop_oneof![6 => Just(0_u32), 1 => 1_u32..=512];
    let stretch = (level, filled, 1_usize..40);
    prop::collection::vec(stretch, 0..60).prop_map(|stretches| {
        stretches
            .into_iter()
            .flat_map(|(level, filled, length)| std::iter::repeat_n((level, filled), length))
            .collect()
    })
}

fn settings() -> impl Strategy<Value = SegmentSettings> {
    (0_u64..8_000, 0_u64..4_000, 1_u64..12_000, 40_u64..200).prop_map(
        |(pre_roll, min_speech, end_silence, max)| SegmentSettings {
            pre_roll,
            min_speech,
            end_silence,
            max_utterance: max * FRAME,
            ..SegmentSettings::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_probabilities_loses_or_repeats_a_sample(
        settings in settings(), input in probabilities(), keys in prop::collection::vec(0_u8..60, 0..600)
    ) {
        let mut segmenter = Segmenter::new(settings);
        let most = segmenter.settings().max_utterance;
        let mut events = Vec::new();
        let (mut releases, mut down) = (0, false);
        for (index, (probability, filled)) in input.iter().enumerate() {
            match keys.get(index) {
                Some(0) => {
                    segmenter.hold(&mut events);
                    down = true;
                }
                Some(1) => {
                    segmenter.release(&mut events);
                    releases += u32::from(std::mem::take(&mut down));
                }
                Some(2) => {
                    segmenter.let_go();
                    down = false;
                }
                _ => {}
            }
            segmenter.push(&frame(index as u64), *probability, *filled, &mut events);
        }
        segmenter.finish(&mut events);

        let found = utterances(&events);
        let mut last_end = SamplePos(0);
        for utterance in &found {
            let Span { start, end } = utterance.span;
            prop_assert!(start >= last_end, "spans are ordered and do not overlap");
            prop_assert_eq!(utterance.samples.len() as u64, utterance.span.samples());
            prop_assert!(utterance.span.samples() <= most);
            prop_assert!(utterance.speech.start >= start && utterance.speech.end <= end);
            prop_assert!(utterance.speech.samples() > 0);
            for (offset, sample) in utterance.samples.iter().enumerate() {
                prop_assert_eq!(*sample, witness(start.0 + offset as u64));
            }
            let filled: u32 = (start.0 / FRAME..end.0 / FRAME).map(|index| input[index as usize].1).sum();
            prop_assert_eq!(utterance.lost, filled);
            last_end = end;
        }
        // Speech that lasts is in an utterance, every frame of it.
        let dropped: Vec<Span> = events.iter().filter_map(|event| match event {
            SegmentEvent::Dropped { sound } => Some(*sound),
            _ => None,
        }).collect();
        for (index, (probability, filled)) in input.iter().enumerate() {
            if *probability >= settings.on && *filled <= 256 {
                let at = SamplePos(index as u64 * FRAME);
                let within = |span: &Span| span.start <= at && at < span.end;
                prop_assert!(
                    found.iter().any(|utterance| within(&utterance.speech)) || dropped.iter().any(within),
                    "voiced frame {} is accounted for", index
                );
            }
        }
        // Each start is followed by exactly one utterance, unless a press threw it away; each release is answered.
        let story: String = letters(&events).chars().filter(|letter| "suhd".contains(*letter)).collect();
        let rest = story.replace('h', "u").replace("su", "").replace("sd", "").replace('d', "");
        prop_assert_eq!(rest, "", "{}", story);
        let answers = letters(&events).chars().filter(|letter| "hn".contains(*letter)).count();
        prop_assert!(releases == 0 || answers > 0, "{releases} releases");
    }
}

#[test]
fn an_utterance_carries_its_best_wake_score_and_where_it_was() {
    let mut segmenter = Segmenter::new(SegmentSettings::default());
    let mut events = Vec::new();
    for (index, probability) in talk(20, 30, 40).iter().enumerate() {
        // The score of a frame far before the speech is not the utterance's.
        let score = match index {
            2 => 1.0,
            33 => 0.75,
            _ => 0.1,
        };
        segmenter.hear_wake(score);
        segmenter.push(&frame(index as u64), *probability, 0, &mut events);
    }
    let utterances = utterances(&events);
    let wake = utterances[0].wake.expect("a wake model listened");
    assert_eq!((wake.score, wake.at), (0.75, SamplePos(34 * FRAME)));
    assert_eq!(
        run(SegmentSettings::default(), &talk(20, 30, 40)).len(),
        events.len()
    );
}

#[test]
fn without_a_wake_model_an_utterance_has_no_score() {
    let events = run(SegmentSettings::default(), &talk(5, 30, 40));
    assert!(utterances(&events)[0].wake.is_none());
}

/// When speech counts as begun that starts after `before`, in frames.
fn begins(before: &[(f32, f32, usize)], speech_db: f32) -> u64 {
    let mut segmenter = Segmenter::new(SegmentSettings::default());
    let mut events = Vec::new();
    let mut index = 0;
    for (db, probability, count) in before.iter().copied().chain([(speech_db, 0.95, 60)]) {
        for _ in 0..count {
            segmenter.push(&loud(index, db), probability, 0, &mut events);
            index += 1;
        }
    }
    let mut begun = events.iter().filter_map(|event| match event {
        SegmentEvent::SpeechStarted { at } => Some(at.0 / FRAME),
        _ => None,
    });
    let first = before
        .iter()
        .map(|(_, _, count)| *count as u64)
        .sum::<u64>();
    begun.next_back().expect("it is speech") - first
}

#[test]
fn quiet_speech_begins_no_later_than_loud_speech_whatever_was_said_before() {
    // Somebody near the microphone has spoken, and now somebody speaks softly, 12 dB above the room.
    let room = (-62.0, 0.01, 320);
    for speech_db in [-20.0, -35.0, -45.0, -50.0] {
        assert_eq!(begins(&[room], speech_db), 0, "{speech_db} dB");
        let after_loud = [room, (-15.0, 0.95, 90), (-62.0, 0.01, 40)];
        assert_eq!(begins(&after_loud, speech_db), 0, "{speech_db} dB");
    }
}
