//! "Stop", "cancel", "never mind", "go to sleep" in every phase: nothing more is said, and nothing is waited for.

use std::time::Duration;

use hark::dialogue::{BargeIn, Effect, Event, Key, Policy, Start, WaitReason};
use hark::flow::Outcome;
use hark::private::Private;

use crate::world::{Answer, World, patient};

const WORDS: [&str; 6] = [
    "stop",
    "Cancel.",
    "never mind",
    "Go to sleep.",
    "okay, stop talking",
    "Oh, forget it!",
];

/// Headphones, and a wake phrase.
fn policy() -> Policy {
    Policy {
        barge_in: BargeIn::On,
        answer_limit: Duration::from_secs(60),
        ..patient()
    }
}

/// What leads into a phase, when the word is said in it, and whether a question was under way.
struct At {
    phase: &'static str,
    lead: fn(&mut World),
    ms: u64,
    interrupted: Option<Outcome>,
}

fn story(world: &mut World) {
    world
        .speech(0, 1_000, "hey hark tell me a story")
        .answers(Answer::Clauses(vec![
            "Once.",
            "Upon a time.",
            "There was a king.",
        ]));
}

const PHASES: &[At] = &[
    At {
        phase: "listening after the wake phrase",
        lead: |world| {
            world.speech(0, 500, "hey hark");
        },
        ms: 2_000,
        interrupted: None,
    },
    At {
        phase: "listening after an answer",
        lead: |world| {
            world
                .speech(0, 500, "hey hark what time is it")
                .answers(Answer::Clauses(vec!["It is noon."]));
        },
        ms: 5_000,
        interrupted: None,
    },
    At {
        phase: "transcribing",
        lead: |world| {
            world
                .speech(0, 500, "hey hark who was ada lovelace")
                .answers(Answer::Hangs);
        },
        // The question is closed at 1,000 and its words are there at 1,080.
        ms: 520,
        interrupted: Some(Outcome::Cancelled),
    },
    At {
        phase: "answering",
        lead: |world| {
            world
                .speech(0, 500, "hey hark who was ada lovelace")
                .answers(Answer::Hangs);
        },
        ms: 2_000,
        interrupted: Some(Outcome::Cancelled),
    },
    At {
        phase: "speaking",
        lead: story,
        ms: 2_500,
        interrupted: Some(Outcome::Interrupted),
    },
    At {
        phase: "hushing",
        lead: |world| {
            story(world);
            world.at(2_490, Event::Stop);
        },
        ms: 2_480,
        interrupted: Some(Outcome::Cancelled),
    },
    At {
        phase: "speaking unasked",
        lead: |world| {
            world.at(0, Event::Announce(Private::from("Your timer is up.")));
        },
        ms: 300,
        interrupted: None,
    },
];

fn say(at: &At, words: &'static str, length_ms: u64) -> World {
    let mut world = World::new(policy());
    (at.lead)(&mut world);
    world.answers(Answer::Silent);
    world.speech(at.ms, length_ms, words);
    world.run();
    world
}

fn check(at: &At, words: &'static str, world: &World) {
    let told = format!("{words:?} while {}", at.phase);
    let turns = world.records();
    let last = turns
        .last()
        .unwrap_or_else(|| panic!("{told} leaves a record"));
    assert_eq!(last.asked.as_str(), words, "{told}");
    assert_eq!(last.outcome, Outcome::Completed, "{told}");
    assert_eq!(last.replied.as_str(), "", "{told}");
    if let Some(outcome) = at.interrupted {
        assert_eq!(turns.first().unwrap().outcome, outcome, "{told}");
    }
    let asked = world.when(
        |effect| matches!(effect, Effect::Ask { question, .. } if question.as_str() == words),
    );
    let said_after = world.log.iter().filter(|(when, effect)| {
        matches!(effect, Effect::Say(_)) && when.since_start().as_millis() as u64 > asked.unwrap()
    });
    assert_eq!(said_after.count(), 0, "{told}");
    // No window stays open: the last thing that happened is the record, not a deadline later.
    assert_eq!(world.dialogue.waiting_for(), WaitReason::Nothing, "{told}");
    let (ended, _) = world.log.last().unwrap();
    assert_eq!(world.now(), *ended, "{told}: nothing was waited for");
}

#[test]
fn the_words_work_in_every_phase() {
    for at in PHASES {
        for words in WORDS {
            // Short enough to be a doubt that is taken back, and long enough to be an interruption.
            for length_ms in [200, 700] {
                check(at, words, &say(at, words, length_ms));
            }
        }
    }
}

#[test]
fn they_work_with_the_wake_phrase_from_rest() {
    for words in ["hey hark stop", "hey hark go to sleep"] {
        let mut world = World::new(policy());
        world.answers(Answer::Silent).speech(0, 900, words).run();
        assert_eq!(world.records().len(), 1);
        assert_eq!(world.dialogue.waiting_for(), WaitReason::Nothing);
    }
}

#[test]
fn from_rest_without_the_wake_phrase_nobody_is_meant() {
    for words in WORDS {
        let mut world = World::new(policy());
        world.speech(0, 600, words).run();
        assert!(world.records().is_empty(), "{words}");
    }
}

#[test]
fn they_work_with_the_key() {
    for start in [Start::Key, Start::Phrase("hey hark".to_owned())] {
        for words in WORDS {
            let mut world = World::new(Policy {
                start: start.clone(),
                ..policy()
            });
            world
                .key(0, Key::Press)
                .says(50, 500, "tell me a story")
                .key(600, Key::Release)
                .answers(Answer::Hangs)
                .key(2_000, Key::Press)
                .says(2_050, 400, words)
                .key(2_500, Key::Release)
                .answers(Answer::Silent)
                .run();
            let outcomes: Vec<_> = world.records().iter().map(|turn| turn.outcome).collect();
            assert_eq!(
                outcomes,
                [Outcome::Cancelled, Outcome::Completed],
                "{words}"
            );
            assert_eq!(world.dialogue.waiting_for(), WaitReason::Nothing);
        }
    }
}

#[test]
fn a_question_that_is_taken_back_in_one_breath_is_none() {
    let mut world = World::new(policy());
    world
        .answers(Answer::Silent)
        .speech(0, 1_500, "hey hark what is the weather in oh never mind")
        .run();
    assert_eq!(world.turn(0).replied.as_str(), "");
    assert_eq!(world.dialogue.waiting_for(), WaitReason::Nothing);
}
