//! The key that is held while speaking: in every phase, tapped, repeated, toggled, forgotten.

use std::time::Duration;

use hark::dialogue::{BargeIn, Effect, Event, Ignored, Key, Policy, Start, WaitReason};
use hark::flow::Outcome;
use hark::time::Mono;

use crate::world::{Answer, RELEASE_MS, TRANSCRIBE_MS, World, patient, paused, utterance};

/// At home: a wake phrase, a loudspeaker that the microphone hears.
fn room() -> Policy {
    Policy {
        barge_in: BargeIn::Off,
        ..patient()
    }
}

fn asked(world: &World) -> Vec<(String, Outcome)> {
    let turns = world.records();
    turns
        .iter()
        .map(|turn| (turn.asked.as_str().to_owned(), turn.outcome))
        .collect()
}

fn turn(words: &str, outcome: Outcome) -> (String, Outcome) {
    (words.to_owned(), outcome)
}

#[test]
fn a_held_key_needs_no_wake_phrase_and_its_release_ends_the_question_at_once() {
    let mut world = World::new(room());
    world
        .key(1_000, Key::Press)
        .says(1_050, 900, "what time is it")
        .key(2_000, Key::Release)
        .run();
    assert_eq!(asked(&world), [turn("what time is it", Outcome::Completed)]);
    // Speech ended at 1,950; no silence was waited for.
    let receipt = &world.turn(0).receipt;
    assert_eq!(receipt.endpoint_ms, Some(50 + RELEASE_MS as i64));
    assert_eq!(
        receipt.transcript_ms,
        Some(50 + (RELEASE_MS + TRANSCRIBE_MS) as i64)
    );
}

#[test]
fn no_pause_in_it_ends_a_held_question() {
    let mut world = World::new(room());
    world
        .key(0, Key::Press)
        .says(100, 500, "set a timer for")
        .at(
            600,
            paused(Mono::from_millis(600 - 500), Mono::from_millis(600)),
        )
        .at(
            4_000,
            Event::SpeechStarted {
                when: Mono::from_millis(4_000),
            },
        )
        .key(6_000, Key::Release)
        .run();
    assert_eq!(world.when(|effect| *effect == Effect::EndHold), Some(6_000));
    assert_eq!(world.records().len(), 1);
}

#[test]
fn push_to_talk_with_key_repeat_is_one_press() {
    let mut world = World::new(room());
    for ms in (0..1_000).step_by(30) {
        world.key(ms, Key::Press);
    }
    world
        .says(100, 700, "what day is it")
        .key(1_000, Key::Release)
        .key(1_010, Key::Release)
        .run();
    let holds = world
        .log
        .iter()
        .filter(|(_, effect)| *effect == Effect::Hold);
    assert_eq!(holds.count(), 1);
    assert_eq!(asked(&world), [turn("what day is it", Outcome::Completed)]);
}

#[test]
fn the_first_toggle_holds_and_the_second_releases() {
    let mut world = World::new(room());
    world
        .key(0, Key::Toggle)
        .says(300, 1_000, "play some music")
        .key(1_500, Key::Toggle)
        .run();
    assert_eq!(asked(&world), [turn("play some music", Outcome::Completed)]);
}

#[test]
fn a_press_while_the_answer_is_made_replaces_the_question() {
    let mut world = World::new(room());
    world
        .key(0, Key::Press)
        .says(50, 500, "who was ada lovelace")
        .key(600, Key::Release)
        .answers(Answer::Hangs)
        .key(2_000, Key::Press)
        .says(2_050, 600, "what time is it")
        .key(2_700, Key::Release)
        .run();
    assert_eq!(
        asked(&world),
        [
            turn("who was ada lovelace", Outcome::Cancelled),
            turn("what time is it", Outcome::Completed)
        ]
    );
    assert_eq!(
        world.when(|effect| matches!(effect, Effect::Record(_))),
        Some(2_000)
    );
}

#[test]
fn a_press_while_we_speak_hushes_and_opens_the_ear_in_the_same_instant() {
    let mut world = World::new(room());
    world
        .key(0, Key::Press)
        .says(50, 500, "tell me a story")
        .key(600, Key::Release)
        .answers(Answer::Clauses(vec![
            "Once upon a time.",
            "There was a king.",
        ]));
    // The first clause sounds from 976 ms on.
    world
        .key(1_500, Key::Press)
        .says(1_520, 700, "a shorter one")
        .key(2_300, Key::Release)
        .run();
    let at = |wanted: Effect| world.when(|effect| *effect == wanted);
    assert_eq!(
        world.when(|effect| matches!(effect, Effect::Hush { .. })),
        Some(1_500)
    );
    assert_eq!(
        at(Effect::OpenEar),
        Some(1_500),
        "a loudspeaker had closed it"
    );
    assert_eq!(
        asked(&world),
        [
            turn("tell me a story", Outcome::Interrupted),
            turn("a shorter one", Outcome::Completed)
        ]
    );
    assert_eq!(
        world.turn(0).heard.as_str(),
        "Once upon",
        "52 % of four words"
    );
}

#[test]
fn a_press_while_words_are_awaited_begins_anew() {
    let mut world = World::new(room());
    world
        .speech(0, 500, "the television speaks")
        .key(1_050, Key::Press)
        .says(1_100, 500, "be honest")
        .key(1_700, Key::Release)
        .run();
    assert_eq!(asked(&world), [turn("be honest", Outcome::Completed)]);
}

#[test]
fn a_press_into_somebody_elses_speech_is_not_their_question() {
    let mut world = World::new(room());
    let (start, end) = (Mono::ZERO, Mono::from_millis(900));
    world
        .at(0, Event::SpeechStarted { when: start })
        .key(1_000, Key::Press)
        // It was closed in the moment of the press and is on its way.
        .at(
            1_001,
            Event::Utterance {
                utterance: utterance(start, end),
                ended: end,
            },
        )
        .says(1_100, 500, "what time is it")
        .key(1_700, Key::Release)
        .run();
    assert_eq!(world.ignored(), [Ignored::NoWake]);
    assert_eq!(asked(&world), [turn("what time is it", Outcome::Completed)]);
}

#[test]
fn a_tap_works_like_the_wake_phrase() {
    let mut world = World::new(room());
    world
        .key(0, Key::Press)
        .key(120, Key::Release)
        .speech(2_000, 700, "what time is it")
        .run();
    assert_eq!(asked(&world), [turn("what time is it", Outcome::Completed)]);
    assert_eq!(world.when(|effect| *effect == Effect::EndHold), None);
}

#[test]
fn a_tap_does_not_cut_the_word_that_began_with_it() {
    let mut world = World::new(room());
    world
        .key(0, Key::Press)
        .says(40, 1_200, "set a timer for five minutes")
        .key(160, Key::Release)
        .run();
    assert_eq!(
        asked(&world),
        [turn("set a timer for five minutes", Outcome::Completed)]
    );
}

#[test]
fn a_tap_and_silence_closes_the_window() {
    let mut world = World::new(room());
    world.key(0, Key::Press).key(100, Key::Release).run();
    assert!(world.records().is_empty() && world.dialogue.at_rest());
    assert_eq!(world.dialogue.waiting_for(), WaitReason::Nothing);
}

#[test]
fn a_tap_while_we_speak_hushes_and_waits_for_the_question() {
    let mut world = World::new(room());
    world
        .key(0, Key::Press)
        .says(50, 500, "tell me a story")
        .key(600, Key::Release)
        .answers(Answer::Clauses(vec![
            "Once upon a time.",
            "There was a king.",
        ]))
        .key(1_500, Key::Press)
        .key(1_600, Key::Release)
        .speech(3_000, 600, "a shorter one")
        .run();
    assert_eq!(
        asked(&world),
        [
            turn("tell me a story", Outcome::Interrupted),
            turn("a shorter one", Outcome::Completed)
        ]
    );
}

#[test]
fn a_key_held_in_silence_asks_nothing() {
    let mut world = World::new(room());
    world.key(0, Key::Press).key(3_000, Key::Release).run();
    assert_eq!(world.ignored(), [Ignored::Noise]);
    assert!(world.records().is_empty() && world.dialogue.at_rest());
}

#[test]
fn a_release_that_never_comes_is_bounded_and_what_was_said_counts() {
    let policy = Policy {
        longest_utterance: Duration::from_secs(20),
        ..room()
    };
    let mut world = World::new(policy);
    world
        .key(0, Key::Press)
        .says(100, 900, "what time is it")
        .run();
    assert_eq!(
        world.when(|effect| *effect == Effect::EndHold),
        Some(20_000)
    );
    assert_eq!(asked(&world), [turn("what time is it", Outcome::Completed)]);
    // The key comes up after all, hours later.
    let late = Mono::from_millis(7_200_000);
    assert_eq!(world.dialogue.handle(late, Event::Key(Key::Release)), []);
}

#[test]
fn the_microphone_is_unplugged_while_the_key_is_held() {
    let mut world = World::new(room());
    world
        .key(0, Key::Press)
        .at(500, Event::InputLost)
        .key(900, Key::Release)
        .run();
    assert!(world.dialogue.at_rest() && world.records().is_empty());
}

#[test]
fn stop_while_the_key_is_held_lets_go_of_it() {
    let mut world = World::new(room());
    world
        .key(0, Key::Press)
        .at(500, Event::Stop)
        .key(900, Key::Release)
        .run();
    assert_eq!(world.when(|effect| *effect == Effect::LetGo), Some(500));
    assert!(world.dialogue.at_rest());
}

#[test]
fn where_only_the_key_starts_a_turn_other_speech_is_not_even_transcribed() {
    let mut world = World::new(Policy {
        start: Start::Key,
        ..room()
    });
    world.speech(0, 800, "hey hark what time is it").run();
    assert_eq!(world.ignored(), [Ignored::NoWake]);
    let transcribed = |effect: &Effect| matches!(effect, Effect::Transcribe { .. });
    assert_eq!(world.when(transcribed), None);
    let mut world = World::new(Policy {
        start: Start::Key,
        ..room()
    });
    world
        .key(0, Key::Press)
        .says(50, 500, "what time is it")
        .key(600, Key::Release)
        .speech(4_000, 500, "and tomorrow")
        .run();
    assert_eq!(
        asked(&world),
        [
            turn("what time is it", Outcome::Completed),
            turn("and tomorrow", Outcome::Completed)
        ],
        "what follows an answer needs no key"
    );
}
