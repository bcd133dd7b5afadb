//! What is begun while the user pauses: used when nothing more comes, gone without a trace when it does.

use std::time::Duration;

use hark::dialogue::{BargeIn, Effect, Event, Ignored, Policy, Start};
use hark::flow::{Outcome, Speculation};
use hark::ids::{Revision, TurnId};
use hark::private::Private;
use hark::time::Mono;

use crate::world::{
    Answer, FIRST_CLAUSE_MS, HANGOVER_MS, TRANSCRIBE_MS, World, paused, transcript, utterance,
};

fn eager() -> Policy {
    Policy {
        start: Start::Every,
        barge_in: BargeIn::On,
        ..Policy::default()
    }
}

fn ms(ms: u64) -> Mono {
    Mono::from_millis(ms)
}

/// What silence was asked for, in order.
fn windows(world: &World) -> Vec<u128> {
    let window = |effect: &Effect| match effect {
        Effect::EndAfter { silence, .. } => Some(silence.as_millis()),
        _ => None,
    };
    world
        .log
        .iter()
        .filter_map(|(_, effect)| window(effect))
        .collect()
}

fn audible(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::Say(_) | Effect::Play { .. } | Effect::EndSpeech { .. } | Effect::CloseEar
    )
}

#[test]
fn speculation_hit_the_reply_is_ready_when_the_turn_ends() {
    let mut world = World::new(eager());
    world
        .speech(1_000, 800, "what time is it")
        .answers(Answer::Clauses(vec!["It is noon.", "Lunch is ready."]))
        .run();
    let turn = world.turn(0);
    assert_eq!(turn.outcome, Outcome::Completed);
    assert_eq!(turn.heard.as_str(), "It is noon. Lunch is ready.");
    assert_eq!(turn.receipt.speculation, Speculation::Hit);
    // The pause begins with the silence here, so words and clause are there before the turn ends.
    let words = i64::try_from(TRANSCRIBE_MS).unwrap();
    let clause = words + i64::try_from(FIRST_CLAUSE_MS).unwrap();
    let end = i64::try_from(HANGOVER_MS).unwrap();
    let receipt = &turn.receipt;
    assert_eq!(
        (
            receipt.transcript_ms,
            receipt.first_clause_ms,
            receipt.endpoint_ms,
            receipt.first_audio_ms
        ),
        (Some(words), Some(clause), Some(end), Some(end))
    );
    assert_eq!(world.when(audible), Some(1_800 + HANGOVER_MS));
    let reads = world
        .log
        .iter()
        .filter(|(_, effect)| matches!(effect, Effect::Transcribe { .. }));
    assert_eq!(reads.count(), 1, "the words are not read twice");
}

#[test]
fn a_whole_question_ends_quickly_and_half_a_sentence_waits() {
    let mut world = World::new(eager());
    world.speech(0, 800, "what time is it").run();
    assert_eq!(
        windows(&world),
        [600, 384],
        "by the sound alone, then by the words"
    );
    let mut world = World::new(eager());
    world.speech(0, 800, "remind me to").run();
    assert_eq!(windows(&world), [600, 1_400]);
    assert!(
        world
            .when(|effect| matches!(effect, Effect::Speculate { .. }))
            .is_none(),
        "half a sentence is not answered"
    );
}

#[test]
fn who_has_paused_for_long_and_gone_on_is_waited_for_as_long_again() {
    let mut world = World::new(eager());
    world
        .reads("what time is it", "what time is it in the town")
        .at(0, Event::SpeechStarted { when: ms(0) })
        .at(700, paused(ms(0), ms(700)))
        .at(1_500, Event::SpeechStarted { when: ms(1_500) })
        .at(2_000, paused(ms(0), ms(2_000)))
        .at(3_000, Event::SpeechDropped)
        .run();
    assert_eq!(windows(&world), [600, 384, 920, 920]);
}

#[test]
fn speculation_miss_more_speech_discards_the_words_before() {
    let mut world = World::new(eager());
    world
        .reads("turn on the light", "turn on the light in the hall")
        .at(0, Event::SpeechStarted { when: ms(0) })
        .at(700, paused(ms(0), ms(700)))
        .at(750, Event::SpeechStarted { when: ms(750) })
        .at(1_500, paused(ms(0), ms(1_500)))
        .at(
            2_000,
            Event::Utterance {
                utterance: utterance(ms(0), ms(1_500)),
                ended: ms(1_500),
            },
        )
        .run();
    assert_eq!(world.records().len(), 1);
    assert_eq!(
        world.turn(0).asked.as_str(),
        "turn on the light in the hall"
    );
}

#[test]
fn speech_resumed_after_the_reply_had_begun_leaves_nothing_of_it() {
    let mut world = World::new(eager());
    world
        .reads("turn on the light", "turn on the light in the hall")
        .answers(Answer::Clauses(vec!["The light is on."]))
        .answers(Answer::Clauses(vec!["The hall is lit."]))
        .at(0, Event::SpeechStarted { when: ms(0) })
        .at(700, paused(ms(0), ms(700)))
        // Words at 780, the first clause at 980.
        .at(1_050, Event::SpeechStarted { when: ms(1_050) })
        .at(1_500, paused(ms(0), ms(1_500)))
        .at(
            2_000,
            Event::Utterance {
                utterance: utterance(ms(0), ms(1_500)),
                ended: ms(1_500),
            },
        )
        .run();
    assert_eq!(world.records().len(), 1);
    let turn = world.turn(0);
    assert_eq!(turn.asked.as_str(), "turn on the light in the hall");
    assert_eq!(turn.heard.as_str(), "The hall is lit.");
    assert_eq!(
        turn.receipt.speculation,
        Speculation::Hit,
        "the second guess was right"
    );
    let silenced = world.when(|effect| *effect == Effect::Hush { turn: TurnId(1) });
    assert_eq!(
        silenced,
        Some(1_050),
        "the clause that was prepared is thrown away"
    );
    assert!(world.when(audible) >= Some(2_000));
}

#[test]
fn a_discarded_guess_is_a_miss_when_the_end_was_not_guessed() {
    let mut world = World::new(eager());
    world
        .reads("turn on the light", "turn on the light in the hall")
        .at(0, Event::SpeechStarted { when: ms(0) })
        .at(700, paused(ms(0), ms(700)))
        .at(1_050, Event::SpeechStarted { when: ms(1_050) })
        .at(
            1_500,
            Event::Utterance {
                utterance: utterance(ms(0), ms(1_500)),
                ended: ms(1_500),
            },
        )
        .run();
    assert_eq!(world.turn(0).receipt.speculation, Speculation::Miss);
}

#[test]
fn words_that_come_after_the_end_are_used_without_being_read_again() {
    let mut world = World::new(eager());
    let end = utterance(ms(0), ms(500));
    world
        .reads("stop", "stop")
        .at(0, Event::SpeechStarted { when: ms(0) })
        .at(500, paused(ms(0), ms(500)))
        .at(
            550,
            Event::Utterance {
                utterance: end,
                ended: ms(500),
            },
        )
        .run();
    assert_eq!(world.turn(0).receipt.speculation, Speculation::None);
    assert_eq!(
        world.turn(0).receipt.transcript_ms,
        Some(i64::try_from(TRANSCRIBE_MS).unwrap())
    );
}

#[test]
fn talk_nearby_is_read_once_and_not_again() {
    let mut world = World::new(Policy::default());
    let nearby = "so I told him to call back";
    world
        .reads(nearby, nearby)
        .at(0, Event::SpeechStarted { when: ms(0) })
        .at(2_000, paused(ms(0), ms(2_000)))
        .at(2_300, Event::SpeechStarted { when: ms(2_300) })
        .at(4_000, paused(ms(0), ms(4_000)))
        .at(4_300, Event::SpeechStarted { when: ms(4_300) })
        .at(
            6_000,
            Event::Utterance {
                utterance: utterance(ms(0), ms(5_500)),
                ended: ms(5_500),
            },
        )
        .run();
    assert_eq!(world.ignored(), [Ignored::NoWake]);
    let reads = world
        .log
        .iter()
        .filter(|(_, effect)| matches!(effect, Effect::Transcribe { .. }));
    assert_eq!(reads.count(), 1);
    assert!(
        world
            .when(|effect| matches!(effect, Effect::Speculate { .. }))
            .is_none()
    );
}

#[test]
fn the_wake_phrase_in_one_breath_is_guessed_too() {
    let mut world = World::new(Policy::default());
    world.speech(0, 1_500, "Hey Hark, what time is it?").run();
    assert_eq!(world.turn(0).asked.as_str(), "what time is it?");
    assert_eq!(world.turn(0).receipt.speculation, Speculation::Hit);
    assert!(
        world
            .when(|effect| matches!(effect, Effect::Woke { .. }))
            .is_some()
    );
}

#[test]
fn stop_shutdown_and_a_lost_microphone_discard_what_was_begun() {
    for end in [
        Event::Stop,
        Event::Shutdown,
        Event::InputLost,
        Event::Typed(Private::from("now")),
    ] {
        let mut world = World::new(eager());
        world
            .reads("what time is it", "what time is it")
            .at(0, Event::SpeechStarted { when: ms(0) })
            .at(700, paused(ms(0), ms(700)))
            .at(1_000, end.clone())
            .run();
        let gone = Effect::Abandon { turn: TurnId(1) };
        assert_eq!(world.when(|effect| *effect == gone), Some(1_000), "{end:?}");
        assert!(
            world.records().iter().all(|turn| turn.id != TurnId(1)),
            "{end:?}"
        );
    }
}

#[test]
fn a_late_result_of_a_discarded_guess_has_no_effects() {
    let mut world = World::new(eager());
    world
        .reads("one two three", "one two three")
        .at(0, Event::SpeechStarted { when: ms(0) })
        .at(700, paused(ms(0), ms(700)))
        .at(900, Event::SpeechStarted { when: ms(900) });
    world.at(
        950,
        Event::Transcribed(transcript(TurnId(1), Revision(1), "one two three")),
    );
    world.at(1_000, Event::SpeechDropped).run();
    assert!(
        world
            .log
            .iter()
            .all(|(at, effect)| *at != ms(950) || matches!(effect, Effect::EndAfter { .. }))
    );
    assert!(world.records().is_empty() && world.dialogue.at_rest());
}

#[test]
fn somebody_who_pauses_often_does_not_keep_the_model_busy() {
    let mut world = World::new(eager());
    world.reads("turn on the light", "turn on the light");
    world.at(0, Event::SpeechStarted { when: ms(0) });
    for pause in 0..8 {
        let at = 700 + pause * 1_000;
        world.at(at, paused(ms(0), ms(at)));
        world.at(at + 500, Event::SpeechStarted { when: ms(at + 500) });
    }
    world.at(9_000, Event::SpeechDropped).run();
    let begun = world
        .log
        .iter()
        .filter(|(_, effect)| matches!(effect, Effect::Speculate { .. }));
    assert_eq!(begun.count(), usize::from(Policy::default().most_guesses));
}

#[test]
fn a_loudspeaker_closes_the_ear_when_the_prepared_clause_is_played() {
    let mut world = World::new(Policy {
        barge_in: BargeIn::Off,
        ..eager()
    });
    world.speech(0, 500, "what time is it").run();
    let closed = world.when(|effect| *effect == Effect::CloseEar);
    let played = world.when(|effect| matches!(effect, Effect::Play { .. }));
    assert_eq!(
        (closed, played),
        (Some(500 + HANGOVER_MS), Some(500 + HANGOVER_MS))
    );
    assert_eq!(world.turn(0).outcome, Outcome::Completed);
}

#[test]
fn with_speculation_off_a_pause_is_judged_by_its_sound_alone() {
    let mut world = World::new(Policy {
        speculate: false,
        ..eager()
    });
    world.speech(0, 800, "what time is it").run();
    assert_eq!(windows(&world), [600]);
    assert_eq!(world.turn(0).receipt.speculation, Speculation::None);
    let silence = Duration::from_millis(HANGOVER_MS + TRANSCRIBE_MS);
    assert_eq!(
        world.turn(0).receipt.transcript_ms,
        Some(i64::try_from(silence.as_millis()).unwrap())
    );
}

#[test]
fn when_the_rules_change_what_was_begun_does_not_count_and_the_question_is_read_again() {
    let mut world = World::new(eager());
    world
        .reads("what time is it", "what time is it")
        .at(0, Event::SpeechStarted { when: ms(0) })
        .at(700, paused(ms(0), ms(700)))
        .at(1_050, Event::Outdated)
        .at(
            1_200,
            Event::Utterance {
                utterance: utterance(ms(0), ms(700)),
                ended: ms(700),
            },
        )
        .run();
    let gone = Effect::Abandon { turn: TurnId(1) };
    assert_eq!(world.when(|effect| *effect == gone), Some(1_050));
    assert!(
        world
            .when(|effect| matches!(effect, Effect::Adopt { .. }))
            .is_none()
    );
    assert_eq!(world.turn(0).id, TurnId(2));
    assert_eq!(world.turn(0).receipt.speculation, Speculation::Miss);
}

#[test]
fn while_the_key_is_held_nothing_is_begun() {
    let mut world = World::new(eager());
    world.reads("what time is it", "what time is it");
    world.key(0, hark::dialogue::Key::Press);
    world
        .at(300, Event::SpeechStarted { when: ms(300) })
        .at(900, paused(ms(300), ms(900)))
        .at(2_000, Event::Stop)
        .run();
    assert!(
        world
            .when(|effect| matches!(
                effect,
                Effect::Transcribe { .. } | Effect::Speculate { .. } | Effect::Adopt { .. }
            ))
            .is_none()
    );
}
