//! Speech into our own speech: ducked at once, held when it is speech, and only then an interruption.

use std::time::Duration;

use hark::dialogue::{BargeIn, Dialogue, Effect, Event, Ignored, Policy, Start};
use hark::flow::Outcome;
use hark::private::Private;
use hark::time::Mono;

use crate::world::{Answer, HANGOVER_MS, TRANSCRIBE_MS, World, patient, paused, utterance};

fn policy(barge_in: BargeIn) -> Policy {
    Policy {
        start: Start::Phrase("hey hark".to_owned()),
        barge_in,
        follow_up: Duration::from_secs(8),
        ..patient()
    }
}

/// A question at 0; the answer sounds from 1,280 ms on, a second a clause.
fn answering(barge_in: BargeIn) -> World {
    let mut world = World::new(policy(barge_in));
    world
        .speech(0, 500, "hey hark what is the capital of France")
        .answers(Answer::Clauses(vec![
            "The capital of France is Paris.",
            "It lies on the Seine.",
            "It has two million inhabitants.",
        ]));
    world
}

fn at(world: &World, wanted: impl Fn(&Effect) -> bool) -> Option<u64> {
    world.when(wanted)
}

fn is_duck(effect: &Effect) -> bool {
    matches!(effect, Effect::Duck { .. })
}

fn is_pause(effect: &Effect) -> bool {
    matches!(effect, Effect::Pause { .. })
}

fn is_resume(effect: &Effect) -> bool {
    matches!(effect, Effect::Resume { .. })
}

fn is_hush(effect: &Effect) -> bool {
    matches!(effect, Effect::Hush { .. })
}

#[test]
fn the_first_sound_ducks_at_once_and_speech_silences_within_200_ms() {
    let mut world = answering(BargeIn::On);
    world.speech(2_000, 900, "no I meant Finland").run();
    assert_eq!(at(&world, is_duck), Some(2_000));
    assert_eq!(at(&world, is_pause), Some(2_200));
    assert_eq!(
        at(&world, is_hush),
        Some(2_900 + HANGOVER_MS + TRANSCRIBE_MS)
    );
    assert_eq!(at(&world, is_resume), None);
    let turn = world.turn(0);
    assert_eq!(turn.outcome, Outcome::Interrupted);
    // 920 ms of the first clause of six words had been heard when we fell silent.
    assert_eq!(turn.heard.as_str(), "The capital of France is");
    assert_eq!(world.turn(1).asked.as_str(), "no I meant Finland");
}

#[test]
fn speech_that_lasts_ends_the_answer_before_its_words_are_known() {
    let mut world = answering(BargeIn::On);
    world
        .speech(2_000, 3_000, "and how many people live there")
        .run();
    assert_eq!(at(&world, is_hush), Some(3_000));
    assert_eq!(
        world.turn(1).asked.as_str(),
        "and how many people live there"
    );
}

#[test]
fn a_cough_ducks_and_the_answer_goes_on_at_full_level() {
    let mut world = answering(BargeIn::On);
    world
        .at(2_000, Event::SpeechOnset)
        .at(2_150, Event::SpeechDropped)
        .run();
    assert_eq!(
        (at(&world, is_duck), at(&world, is_resume)),
        (Some(2_000), Some(2_150))
    );
    assert_eq!(at(&world, is_pause), None);
    assert_eq!(world.turn(0).outcome, Outcome::Completed);
}

#[test]
fn a_sound_that_is_never_heard_of_again_does_not_leave_us_ducked() {
    let mut world = answering(BargeIn::On);
    world.at(2_000, Event::SpeechOnset).run();
    assert_eq!(at(&world, is_resume), Some(2_700));
    assert_eq!(world.turn(0).outcome, Outcome::Completed);
}

#[test]
fn a_backchannel_is_listened_to_and_the_answer_goes_on_where_it_was() {
    for words in ["Mhm.", "Uh-huh.", "Okay, okay.", "Yeah, right."] {
        let mut world = answering(BargeIn::On);
        world.speech(2_000, 450, words).run();
        assert_eq!(at(&world, is_pause), Some(2_200), "{words}");
        assert_eq!(
            at(&world, is_resume),
            Some(2_450 + HANGOVER_MS + TRANSCRIBE_MS),
            "{words}"
        );
        assert_eq!(world.ignored(), [Ignored::Backchannel], "{words}");
        let turn = world.turn(0);
        assert_eq!(turn.outcome, Outcome::Completed, "{words}");
        assert_eq!(turn.heard, turn.replied, "{words}");
        assert_eq!(world.records().len(), 1, "{words}");
    }
}

#[test]
fn our_own_words_are_an_echo_and_the_answer_goes_on() {
    let mut world = answering(BargeIn::On);
    world
        .speech(2_000, 800, "the capital of France is Paris")
        .run();
    assert_eq!(world.ignored(), [Ignored::Echo]);
    assert_eq!(world.turn(0).outcome, Outcome::Completed);
}

#[test]
fn a_voice_without_words_is_nothing() {
    let mut world = answering(BargeIn::On);
    world.speech(2_000, 400, " ").run();
    assert_eq!(world.ignored(), [Ignored::Empty]);
    assert_eq!(world.turn(0).outcome, Outcome::Completed);
}

#[test]
fn a_voice_whose_words_never_come_does_not_silence_us_for_ever() {
    let mut world = answering(BargeIn::On);
    world
        .at(2_000, Event::SpeechOnset)
        .at(
            2_050,
            Event::SpeechStarted {
                when: Mono::from_millis(2_000),
            },
        )
        .at(
            2_400,
            paused(Mono::from_millis(2_000), Mono::from_millis(2_400)),
        )
        .run();
    assert_eq!(at(&world, is_pause), Some(2_200));
    assert_eq!(at(&world, is_resume), Some(2_400 + 2_500));
    assert_eq!(world.turn(0).outcome, Outcome::Completed);
}

#[test]
fn the_microphone_is_unplugged_while_we_are_held() {
    let mut world = answering(BargeIn::On);
    world
        .at(2_000, Event::SpeechOnset)
        .at(
            2_050,
            Event::SpeechStarted {
                when: Mono::from_millis(2_000),
            },
        )
        .at(2_300, Event::InputLost)
        .run();
    assert_eq!(at(&world, is_resume), Some(2_300));
    assert_eq!(world.turn(0).outcome, Outcome::Completed);
}

#[test]
fn stop_ends_the_answer_and_is_no_question() {
    for mode in [BargeIn::On, BargeIn::Wake] {
        let mut world = answering(mode);
        world
            .answers(Answer::Clauses(vec![]))
            .speech(2_000, 350, "stop")
            .run();
        assert_eq!(world.turn(0).outcome, Outcome::Interrupted, "{mode:?}");
    }
}

#[test]
fn where_the_echo_stays_only_the_wake_phrase_and_stop_words_interrupt() {
    let mut world = answering(BargeIn::Wake);
    world.speech(2_000, 900, "no I meant Finland").run();
    assert_eq!(
        (at(&world, is_duck), at(&world, is_pause)),
        (None, None),
        "sounds do nothing"
    );
    assert_eq!(world.ignored(), [Ignored::NoWake]);
    assert_eq!(world.turn(0).outcome, Outcome::Completed);

    for words in [
        "hey hark what about Finland",
        "of France is hey hark what about Finland",
    ] {
        let mut world = answering(BargeIn::Wake);
        world.speech(2_000, 900, words).run();
        assert_eq!(world.turn(0).outcome, Outcome::Interrupted, "{words}");
    }
}

#[test]
fn the_wake_phrase_in_our_own_mouth_does_not_interrupt_us() {
    let mut world = World::new(policy(BargeIn::Wake));
    world
        .speech(0, 500, "hey hark how do I wake you")
        .answers(Answer::Clauses(vec![
            "Say hey hark and ask.",
            "Or press the key.",
        ]))
        .speech(1_600, 600, "say hey hark and ask")
        .run();
    assert_eq!(world.ignored(), [Ignored::Echo]);
    assert_eq!(world.turn(0).outcome, Outcome::Completed);
}

#[test]
fn an_echo_that_is_closed_after_our_last_word_is_no_follow_up() {
    let mut world = answering(BargeIn::Wake);
    // We speak until 4,280 ms.
    world
        .speech(3_000, 1_300, "It has two million inhabitants.")
        .run();
    assert_eq!(world.ignored(), [Ignored::Echo]);
    assert_eq!(world.records().len(), 1);
}

#[test]
fn a_user_who_repeats_us_later_is_heard() {
    let mut world = answering(BargeIn::On);
    world
        .speech(6_000, 1_300, "it has two million inhabitants")
        .run();
    assert_eq!(world.records().len(), 2);
}

#[test]
fn a_room_in_which_cancellation_fails_changes_the_rule_and_a_headset_changes_it_back() {
    let mut world = answering(BargeIn::On);
    world
        .at(1_500, Event::BargeIn(BargeIn::Wake))
        .speech(2_000, 400, "wait a moment")
        .at(2_950, Event::BargeIn(BargeIn::On))
        .speech(3_200, 500, "wait a moment")
        .run();
    assert_eq!(at(&world, is_duck), Some(3_200));
    assert_eq!(world.turn(0).outcome, Outcome::Interrupted);
}

#[test]
fn a_closed_ear_is_not_opened_by_a_verdict() {
    let mut world = answering(BargeIn::Off);
    world
        .at(2_000, Event::BargeIn(BargeIn::On))
        .speech(2_200, 500, "wait a moment")
        .run();
    assert_eq!(world.ignored(), [Ignored::Echo]);
    assert_eq!(world.turn(0).outcome, Outcome::Completed);
}

#[test]
fn a_doubt_and_the_words_it_waits_for_are_due_together_and_one_tick_settles_both() {
    let policy = Policy {
        barge_in: BargeIn::On,
        clause_limit: Duration::from_secs(600),
        ..Policy::default()
    };
    let words_due = policy.transcribe_limit;
    let mut dialogue = Dialogue::new(policy);
    let at = |millis| Mono::ZERO + Duration::from_millis(millis);
    dialogue.handle(at(0), Event::Announce(Private::from("ring")));
    dialogue.handle(at(1_000), Event::SpeechStarted { when: at(1_000) });
    dialogue.handle(at(1_400), Event::Tick);
    let closed = Event::Utterance {
        utterance: utterance(at(1_000), at(1_500)),
        ended: at(1_500),
    };
    dialogue.handle(at(1_900), closed);
    let due = at(1_900) + words_due;
    assert_eq!(dialogue.deadline(), Some(due));
    let effects = dialogue.handle(due, Event::Tick);
    assert!(effects.iter().any(is_resume), "{effects:?}");
    assert!(
        effects.iter().any(|e| matches!(e, Effect::Abandon { .. })),
        "{effects:?}"
    );
    assert!(dialogue.deadline().is_some_and(|later| later > due));
}

/// Where our echo is removed and sometimes is not: what ends with our own voice was our own voice.
#[test]
fn an_echo_that_gets_through_ends_when_we_fall_silent_and_costs_a_moment_only() {
    let misheard = |length_ms, words| {
        let mut world = World::new(Policy {
            proof: Duration::from_millis(400),
            ..policy(BargeIn::On)
        });
        world
            .speech(0, 500, "hey hark what is the capital of France")
            .answers(Answer::Clauses(vec![
                "It is Paris.",
                "It lies on the Seine.",
            ]))
            .speech(1_500, length_ms, words);
        world.run();
        world.turn(0).outcome
    };
    assert_eq!(misheard(500, "beethoven"), Outcome::Completed);
    assert_eq!(
        misheard(150, "who"),
        Outcome::Completed,
        "it was not even held"
    );
    assert_eq!(misheard(500, "stop"), Outcome::Interrupted);
    assert_eq!(misheard(500, "hey hark"), Outcome::Interrupted);
    assert_eq!(misheard(800, "and Finland"), Outcome::Interrupted);
}
