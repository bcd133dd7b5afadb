//! What a voice conversation must survive.

use std::time::Duration;

use hark::dialogue::{AgentEvent, BargeIn, Effect, Event, Ignored, Policy, SpeakerEvent, Start};
use hark::flow::{Outcome, ReplyChunk};
use hark::ids::{ChunkSeq, Revision, TurnId};
use hark::private::Private;
use hark::time::Mono;

use crate::world::{
    Answer, FIRST_CLAUSE_MS, HANGOVER_MS, TRANSCRIBE_MS, World, patient, transcript,
};

fn open() -> Policy {
    Policy {
        start: Start::Every,
        barge_in: BargeIn::On,
        ..patient()
    }
}

fn loudspeaker() -> Policy {
    Policy {
        start: Start::Every,
        barge_in: BargeIn::Off,
        ..patient()
    }
}

#[test]
fn a_question_is_transcribed_asked_spoken_and_recorded() {
    let mut world = World::new(open());
    world
        .speech(1_000, 800, "what time is it")
        .answers(Answer::Clauses(vec!["It is noon.", "Lunch is ready."]))
        .run();
    let turn = world.turn(0);
    assert_eq!(
        (turn.asked.as_str(), turn.outcome),
        ("what time is it", Outcome::Completed)
    );
    assert_eq!(turn.replied.as_str(), "It is noon. Lunch is ready.");
    assert_eq!(turn.heard, turn.replied);
    let hangover = i64::try_from(HANGOVER_MS).unwrap();
    let words = hangover + i64::try_from(TRANSCRIBE_MS).unwrap();
    assert_eq!(turn.receipt.endpoint_ms, Some(hangover));
    assert_eq!(turn.receipt.transcript_ms, Some(words));
    let clause = words + i64::try_from(FIRST_CLAUSE_MS).unwrap();
    assert_eq!(turn.receipt.first_clause_ms, Some(clause));
    assert_eq!(turn.receipt.first_audio_ms, Some(clause));
    assert_eq!(
        (turn.receipt.prompt_tokens, turn.receipt.cached_tokens),
        (Some(12), Some(9))
    );
}

#[test]
fn three_questions_give_three_turns_in_order_with_one_record_each() {
    let mut world = World::new(open());
    for (index, words) in ["one", "two", "three"].into_iter().enumerate() {
        world.speech(u64::try_from(index).unwrap() * 6_000, 500, words);
    }
    world.run();
    let asked: Vec<_> = world
        .records()
        .iter()
        .map(|turn| (turn.id.0, turn.asked.as_str()))
        .collect();
    assert_eq!(asked, [(1, "one"), (2, "two"), (3, "three")]);
}

#[test]
fn wake_then_silence_closes_the_window() {
    let mut world = World::new(patient());
    world.speech(0, 600, "hey hark").run();
    assert!(
        world
            .when(|effect| matches!(effect, Effect::Woke { .. }))
            .is_some()
    );
    assert!(world.records().is_empty() && world.dialogue.deadline().is_none());
}

#[test]
fn wake_alone_then_the_question_needs_no_second_wake_phrase() {
    let mut world = World::new(patient());
    world
        .speech(0, 600, "hey hark")
        .speech(3_000, 800, "what day is it")
        .run();
    assert_eq!(world.turn(0).asked.as_str(), "what day is it");
}

#[test]
fn wake_and_question_in_one_breath() {
    let mut world = World::new(patient());
    world.speech(0, 1_500, "Hey Hark, what time is it?").run();
    assert_eq!(world.turn(0).asked.as_str(), "what time is it?");
}

#[test]
fn talk_nearby_without_the_wake_phrase_is_ignored() {
    let mut world = World::new(patient());
    world.speech(0, 2_000, "so I told him to call back").run();
    assert_eq!(world.ignored(), [Ignored::NoWake]);
    assert!(world.records().is_empty());
}

#[test]
fn a_question_longer_than_the_no_speech_limit_is_heard_to_its_end() {
    let mut world = World::new(patient());
    world
        .speech(0, 600, "hey hark")
        .speech(2_000, 20_000, "a very long question")
        .run();
    assert_eq!(world.turn(0).asked.as_str(), "a very long question");
}

#[test]
fn a_follow_up_needs_no_wake_phrase_until_its_window_closes() {
    let mut world = World::new(patient());
    world
        .speech(0, 1_000, "hey hark what time is it")
        .speech(6_000, 500, "and tomorrow")
        .speech(40_000, 500, "lovely weather");
    world.run();
    let asked: Vec<_> = world
        .records()
        .iter()
        .map(|turn| turn.asked.as_str().to_owned())
        .collect();
    assert_eq!(asked, ["what time is it", "and tomorrow"]);
    assert_eq!(world.ignored(), [Ignored::NoWake]);
}

#[test]
fn a_cough_lets_the_reply_finish() {
    let mut world = World::new(open());
    world
        .speech(0, 500, "tell me a story")
        .answers(Answer::Clauses(vec!["Once.", "Upon a time."]))
        .cough(1_500)
        .run();
    assert_eq!(world.turn(0).outcome, Outcome::Completed);
    assert_eq!(world.turn(0).heard.as_str(), "Once. Upon a time.");
}

#[test]
fn true_barge_in_hushes_and_the_history_holds_only_what_was_heard() {
    let mut world = World::new(open());
    world
        .speech(0, 500, "tell me a story")
        .answers(Answer::Clauses(vec![
            "Once upon a time.",
            "There was a king.",
        ]));
    // The first clause sounds from 1,280 to 2,280 ms.
    world.speech(1_600, 900, "stop that").run();
    let turn = world.turn(0);
    assert_eq!(turn.outcome, Outcome::Interrupted);
    // Speech from 1,600 silences us at 1,800: 52 % of four words. It ends the answer when its words are known.
    assert_eq!(turn.heard.as_str(), "Once upon");
    assert_eq!(
        world.when(|effect| matches!(effect, Effect::Hush { .. })),
        Some(1_600 + 900 + HANGOVER_MS + TRANSCRIBE_MS)
    );
    assert_eq!(world.turn(1).asked.as_str(), "stop that");
}

#[test]
fn barge_in_before_the_first_word_leaves_nothing_heard() {
    let mut world = World::new(open());
    world
        .speech(0, 500, "first question")
        .answers(Answer::Hangs)
        .speech(1_200, 700, "no, second question")
        .run();
    assert_eq!(
        (world.turn(0).outcome, world.turn(0).heard.as_str()),
        (Outcome::Cancelled, "")
    );
    assert_eq!(world.turn(1).outcome, Outcome::Completed);
}

#[test]
fn a_noise_while_thinking_does_not_cost_the_answer() {
    let mut world = World::new(open());
    world
        .speech(0, 500, "question")
        .answers(Answer::Hangs)
        .speech(1_100, 100, "")
        .run();
    assert_eq!(world.ignored(), [Ignored::Empty]);
    assert_eq!(world.turn(0).failure.as_deref(), Some("answer_timeout"));
}

#[test]
fn speech_while_the_first_part_is_transcribed_is_not_lost() {
    let mut world = World::new(open());
    world
        .speech(0, 500, "first")
        .speech(510, 30, "second")
        .answers(Answer::Hangs)
        .run();
    let asked: Vec<_> = world
        .records()
        .iter()
        .map(|turn| (turn.asked.as_str(), turn.outcome))
        .collect();
    assert_eq!(
        asked,
        [
            ("first", Outcome::Cancelled),
            ("second", Outcome::Completed)
        ]
    );
}

#[test]
fn on_a_loudspeaker_our_own_voice_is_not_a_question() {
    let mut world = World::new(loudspeaker());
    world
        .speech(0, 500, "what time is it")
        .speech(1_500, 400, "it is noon")
        .run();
    assert_eq!(world.records().len(), 1);
    assert_eq!(world.ignored(), [Ignored::Echo]);
    let closed = world.when(|effect| *effect == Effect::CloseEar);
    let opened = world.when(|effect| *effect == Effect::OpenEar);
    // The only clause ends at 2,080 ms; the room has 250 ms to fall silent.
    assert_eq!(
        (closed, opened),
        (Some(1_080 + FIRST_CLAUSE_MS), Some(2_280 + 250))
    );
}

#[test]
fn a_model_that_dies_in_mid_sentence_fails_the_turn_after_what_was_said() {
    let mut world = World::new(open());
    world
        .speech(0, 500, "question")
        .answers(Answer::Breaks(vec!["The answer is."]))
        .run();
    let turn = world.turn(0);
    assert_eq!(
        (turn.outcome, turn.failure.as_deref()),
        (Outcome::Failed, Some("cut"))
    );
    assert_eq!(turn.heard.as_str(), "The answer is.");
}

#[test]
fn an_empty_transcription_is_no_turn() {
    let mut world = World::new(open());
    world.speech(0, 500, " ").run();
    assert!(world.records().is_empty());
    assert_eq!(world.ignored(), [Ignored::Empty]);
}

#[test]
fn a_late_result_of_a_dead_turn_does_nothing() {
    let mut world = World::new(open());
    world.speech(0, 500, "question").run();
    let dead = TurnId(1);
    let chunk = ReplyChunk {
        turn: dead,
        seq: ChunkSeq(5),
        text: Private::from("late"),
        language: None,
    };
    for event in [
        Event::Transcribed(transcript(dead, Revision(0), "late")),
        Event::Agent {
            turn: dead,
            event: AgentEvent::Chunk(chunk),
        },
        Event::Speaker(SpeakerEvent::Finished { turn: dead }),
    ] {
        assert_eq!(world.dialogue.handle(Mono::from_millis(60_000), event), []);
    }
}

#[test]
fn the_device_is_unplugged_while_listening_and_while_speaking() {
    let mut world = World::new(open());
    world
        .at(0, Event::SpeechStarted { when: Mono::ZERO })
        .at(300, Event::InputLost);
    world
        .speech(2_000, 500, "question")
        .at(3_500, Event::InputLost)
        .run();
    assert_eq!(world.turn(0).outcome, Outcome::Completed);
    assert!(world.dialogue.at_rest());
}

#[test]
fn the_speaker_fails_and_the_turn_is_recorded_as_failed() {
    let mut world = World::new(open());
    world.speech(0, 500, "question");
    world
        .at(
            1_400,
            Event::Speaker(SpeakerEvent::Failed {
                turn: TurnId(1),
                kind: "output_lost".to_owned(),
            }),
        )
        .run();
    assert_eq!(
        (world.turn(0).outcome, world.turn(0).failure.as_deref()),
        (Outcome::Failed, Some("output_lost"))
    );
}

#[test]
fn stop_works_in_each_phase() {
    for (at, outcome) in [
        (1_050, None),
        (1_100, Some(Outcome::Cancelled)),
        (1_700, Some(Outcome::Cancelled)),
    ] {
        let mut world = World::new(open());
        world.speech(0, 500, "question").at(at, Event::Stop).run();
        assert_eq!(
            world.records().first().map(|turn| turn.outcome),
            outcome,
            "stop at {at} ms"
        );
        assert!(world.dialogue.at_rest(), "stop at {at} ms");
    }
}

#[test]
fn shutdown_records_the_live_turn_and_silences_everything_after_it() {
    for at in [1_100, 1_700] {
        let mut world = World::new(open());
        world
            .speech(0, 500, "question")
            .at(at, Event::Shutdown)
            .run();
        assert_eq!(world.turn(0).outcome, Outcome::ShutDown, "at {at} ms");
        assert_eq!(
            world.dialogue.handle(
                Mono::from_millis(9_000),
                Event::Typed(Private::from("hello"))
            ),
            []
        );
    }
}

#[test]
fn a_clock_jump_after_sleep_only_ends_what_was_waiting() {
    let mut world = World::new(patient());
    world
        .speech(0, 600, "hey hark")
        .at(8 * 3_600_000, Event::Tick)
        .speech(8 * 3_600_000 + 1_000, 500, "nobody asked");
    world.run();
    assert_eq!(world.ignored(), [Ignored::NoWake]);
}

#[test]
fn a_timer_rings_at_rest_and_after_the_answer_that_it_would_have_disturbed() {
    let mut world = World::new(open());
    world
        .speech(0, 500, "question")
        .at(1_300, Event::Announce(Private::from("Your timer is up.")))
        .run();
    let said: Vec<_> = world
        .log
        .iter()
        .filter_map(|(_, e)| {
            if let Effect::Say(c) = e {
                Some(c.text.as_str())
            } else {
                None
            }
        })
        .collect();
    assert_eq!(said, ["All right.", "Your timer is up."]);
    assert_eq!(
        world.records().len(),
        1,
        "nobody asked for the announcement: it leaves no record"
    );
}

#[test]
fn a_typed_question_replaces_the_answer_that_is_being_spoken() {
    let mut world = World::new(loudspeaker());
    world
        .speech(0, 500, "question")
        .at(1_700, Event::Typed(Private::from("what now")))
        .run();
    let turns: Vec<_> = world
        .records()
        .iter()
        .map(|turn| (turn.asked.as_str(), turn.outcome))
        .collect();
    assert_eq!(
        turns,
        [
            ("question", Outcome::Interrupted),
            ("what now", Outcome::Completed)
        ]
    );
    let ear: Vec<_> = world
        .log
        .iter()
        .filter(|(_, e)| matches!(e, Effect::OpenEar | Effect::CloseEar))
        .map(|(_, e)| e.clone())
        .collect();
    assert_eq!(
        ear.last(),
        Some(&Effect::OpenEar),
        "the ear is open in the end"
    );
}

#[test]
fn an_answer_that_never_comes_ends_at_its_limit() {
    let mut world = World::new(Policy {
        answer_limit: Duration::from_secs(5),
        ..open()
    });
    world
        .speech(0, 500, "question")
        .answers(Answer::Hangs)
        .run();
    assert_eq!(
        world.when(|effect| matches!(effect, Effect::Record(_))),
        Some(500 + HANGOVER_MS + TRANSCRIBE_MS + 5_000)
    );
}

#[test]
fn an_early_finish_of_the_speaker_does_not_end_a_reply_that_goes_on() {
    let mut world = World::new(open());
    world
        .speech(0, 500, "question")
        .answers(Answer::Clauses(vec!["One.", "Two."]));
    world
        .at(
            1_285,
            Event::Speaker(SpeakerEvent::Finished { turn: TurnId(1) }),
        )
        .run();
    assert_eq!(world.turn(0).heard.as_str(), "One. Two.");
}

#[test]
fn a_noise_without_words_ducks_the_reply_and_lets_it_finish() {
    let mut world = World::new(open());
    world
        .speech(0, 500, "tell me a story")
        .answers(Answer::Clauses(vec!["Once.", "Upon a time."]));
    world.speech(1_500, 200, "").run();
    assert_eq!(
        world.when(|effect| matches!(effect, Effect::Duck { .. })),
        Some(1_500)
    );
    assert_eq!(
        world.when(|effect| matches!(effect, Effect::Resume { .. })),
        Some(1_700)
    );
    assert_eq!(world.turn(0).outcome, Outcome::Completed);
    assert_eq!(world.ignored(), [Ignored::Empty]);
}

#[test]
fn a_short_word_into_the_reply_ends_it_once_it_is_understood() {
    let mut world = World::new(open());
    world
        .speech(0, 500, "tell me a story")
        .answers(Answer::Clauses(vec![
            "Once.",
            "Upon a time.",
            "There was a king.",
        ]));
    world.speech(1_500, 200, "stop").run();
    let turns: Vec<_> = world
        .records()
        .iter()
        .map(|turn| (turn.asked.as_str(), turn.outcome))
        .collect();
    assert_eq!(
        turns,
        [
            ("tell me a story", Outcome::Interrupted),
            ("stop", Outcome::Completed)
        ]
    );
    assert_eq!(
        world.when(|effect| matches!(effect, Effect::Hush { .. })),
        Some(1_700 + HANGOVER_MS + TRANSCRIBE_MS)
    );
}

#[test]
fn words_that_are_understood_only_after_the_answer_become_the_next_question() {
    let mut world = World::new(open());
    // The answer ends at 2,280 ms; the words are there at 2,310.
    world
        .speech(0, 500, "question")
        .speech(1_600, 130, "and another")
        .run();
    let turns: Vec<_> = world
        .records()
        .iter()
        .map(|turn| (turn.asked.as_str(), turn.outcome))
        .collect();
    assert_eq!(
        turns,
        [
            ("question", Outcome::Completed),
            ("and another", Outcome::Completed)
        ]
    );
}

#[test]
fn a_television_does_not_cost_the_answer_and_never_mind_does() {
    let mut world = World::new(Policy {
        answer_limit: Duration::from_secs(30),
        ..patient()
    });
    world
        .speech(0, 800, "hey hark who was ada lovelace")
        .answers(Answer::Hangs);
    world
        .speech(3_000, 900, "and now the weather")
        .speech(6_000, 500, "Never mind.")
        .run();
    assert_eq!(world.ignored(), [Ignored::NoWake]);
    let turns: Vec<_> = world
        .records()
        .iter()
        .map(|turn| (turn.asked.as_str(), turn.outcome))
        .collect();
    assert_eq!(
        turns,
        [
            ("who was ada lovelace", Outcome::Cancelled),
            ("Never mind.", Outcome::Completed)
        ]
    );
}

#[test]
fn after_a_question_of_consent_the_ear_stays_open_for_fifteen_seconds() {
    let policy = Policy {
        start: Start::Phrase("hey hark".to_owned()),
        barge_in: BargeIn::On,
        follow_up: Duration::from_secs(4),
        // The times below are those of a reply that is begun when the turn has ended.
        speculate: false,
        ..Policy::default()
    };
    for (asks, gap, turns) in [(true, 12_000, 2), (true, 18_000, 1), (false, 12_000, 1)] {
        let mut world = World::new(policy.clone());
        world.speech(1_000, 500, "hey hark delete it");
        world.answers(Answer::Clauses(vec!["Really?"]));
        if asks {
            let asked_back = Event::Agent {
                turn: TurnId(1),
                event: AgentEvent::AskedBack,
            };
            world.at(
                1_500 + HANGOVER_MS + TRANSCRIBE_MS + FIRST_CLAUSE_MS + 10,
                asked_back,
            );
        }
        world.speech(3_300 + gap, 300, "yes").run();
        assert_eq!(world.records().len(), turns, "asks {asks}, after {gap} ms");
    }
}

#[test]
fn words_that_bridge_a_silence_are_said_and_are_no_answer() {
    let mut world = World::new(open());
    let turn = TurnId(1);
    let agent = |event| Event::Agent { turn, event };
    let filler = ReplyChunk {
        turn,
        seq: ChunkSeq(0),
        text: Private::from("Looking at your calendar."),
        language: None,
    };
    let clause = ReplyChunk {
        turn,
        seq: ChunkSeq(1),
        text: Private::from("Two meetings."),
        language: None,
    };
    let begun = AgentEvent::ToolBegun {
        name: "calendar".to_owned(),
    };
    let used = AgentEvent::Tool(hark::flow::ToolUse {
        name: "calendar".to_owned(),
        outcome: "ok".to_owned(),
    });
    world
        .answers(Answer::Hangs)
        .speech(1_000, 500, "what is on today")
        .at(3_000, agent(begun))
        .at(4_000, agent(AgentEvent::Filler(filler)))
        .at(6_000, agent(used))
        .at(7_000, agent(AgentEvent::Chunk(clause)))
        .at(7_010, agent(crate::world::done()))
        .run();
    let said =
        world.when(|effect| matches!(effect, Effect::Say(chunk) if chunk.seq == ChunkSeq(0)));
    assert_eq!(said, Some(4_000));
    let record = world.turn(0);
    assert_eq!(record.replied.as_str(), "Two meetings.");
    assert_eq!(record.heard, record.replied);
    assert_eq!(record.receipt.first_clause_ms, Some(7_000 - 1_500));
    assert_eq!(
        record.receipt.first_audio_ms,
        Some(7_000 - 1_500),
        "the answer's, not the filler's"
    );
    assert_eq!(record.tools.len(), 1);
}

#[test]
fn a_tool_that_was_cut_off_stands_in_the_record() {
    let mut world = World::new(open());
    let begun = AgentEvent::ToolBegun {
        name: "calendar".to_owned(),
    };
    world
        .answers(Answer::Hangs)
        .speech(1_000, 500, "what is on today")
        .at(
            3_000,
            Event::Agent {
                turn: TurnId(1),
                event: begun,
            },
        )
        .at(5_000, Event::Stop)
        .run();
    let record = world.turn(0);
    assert_eq!(record.outcome, Outcome::Cancelled);
    let uses: Vec<(&str, &str)> = record
        .tools
        .iter()
        .map(|t| (t.name.as_str(), t.outcome.as_str()))
        .collect();
    assert_eq!(uses, [("calendar", "interrupted")]);
}
