//! A wake model proposes, the transcript confirms.

use hark::dialogue::{Effect, Ignored, Policy, WakeLevels};
use hark::flow::WakeScore;
use hark::time::SamplePos;

use crate::world::World;

/// A world with a wake model whose table says 0.2 and 0.9.
fn world() -> World {
    World::new(Policy {
        wake: Some(WakeLevels {
            propose: 0.2,
            certain: 0.9,
        }),
        ..Policy::default()
    })
}

/// The score of a phrase that ended `ms` after the start.
fn heard(score: f32, ms: u64) -> Option<WakeScore> {
    Some(WakeScore {
        score,
        at: SamplePos(ms * 16),
    })
}

fn transcribed(world: &World) -> usize {
    let is_transcribe = |effect: &&Effect| matches!(effect, Effect::Transcribe { .. });
    world
        .log
        .iter()
        .map(|(_, effect)| effect)
        .filter(is_transcribe)
        .count()
}

#[test]
fn what_does_not_sound_like_the_phrase_is_not_even_transcribed() {
    let mut world = world();
    world.wake = heard(0.1, 700);
    world.speech(0, 2_000, "").run();
    assert_eq!(world.ignored(), [Ignored::NoWake]);
    assert_eq!(transcribed(&world), 0);
    assert!(world.records().is_empty() && world.dialogue.deadline().is_none());
}

#[test]
fn what_may_be_the_phrase_is_transcribed_and_the_words_decide() {
    let mut world = world();
    world.wake = heard(0.5, 700);
    world.speech(0, 2_000, "hey hark what time is it");
    world
        .speech(60_000, 2_000, "they parked it in the yard")
        .run();
    assert_eq!(transcribed(&world), 2);
    assert_eq!(world.turn(0).asked.as_str(), "what time is it");
    assert_eq!(world.records().len(), 1);
    assert_eq!(world.ignored(), [Ignored::NoWake]);
}

#[test]
fn what_is_certainly_the_phrase_wakes_however_it_is_spelt() {
    let mut world = world();
    world.wake = heard(0.97, 700);
    world.speech(0, 2_000, "hay heart what time is it").run();
    assert_eq!(world.turn(0).asked.as_str(), "what time is it");
    let told = world.when(|effect| matches!(effect, Effect::Woke { score } if *score == 0.97));
    assert!(told.is_some());
}

#[test]
fn the_phrase_alone_opens_the_ear_also_when_no_words_were_made_of_it() {
    let mut world = world();
    world.wake = heard(0.97, 700);
    world
        .speech(0, 900, "")
        .speech(3_000, 800, "what day is it")
        .run();
    assert_eq!(world.turn(0).asked.as_str(), "what day is it");
}

#[test]
fn the_phrase_in_the_middle_of_what_others_say_needs_its_words_at_the_start() {
    let mut world = world();
    world.wake = heard(0.97, 4_000);
    world
        .speech(0, 6_000, "so I said to it hay heart and it woke")
        .run();
    assert_eq!(world.ignored(), [Ignored::NoWake]);
    assert!(world.records().is_empty());
}

#[test]
fn a_follow_up_needs_no_score() {
    let mut world = world();
    world.wake = heard(0.97, 700);
    world.speech(0, 1_000, "hey hark what time is it");
    world.wake = heard(0.0, 700);
    world.speech(6_000, 500, "and tomorrow").run();
    assert_eq!(world.turn(1).asked.as_str(), "and tomorrow");
}

#[test]
fn without_a_wake_model_the_transcript_alone_decides() {
    let mut world = World::new(Policy::default());
    world.wake = heard(0.0, 700);
    world.speech(0, 1_000, "hey hark what time is it").run();
    assert_eq!(world.turn(0).asked.as_str(), "what time is it");
}
