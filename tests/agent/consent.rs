//! What cannot be undone: read back, agreed to, done once; on simulated time.

use std::sync::Arc;
use std::time::Duration;

use hark::agent::consent::Permission;
use hark::ids::TurnId;
use hark::llm::Role;
use hark::time::Mono;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::conversation::{Conversation, Ear, Reply, calls, says};
use crate::tools::{Log, usual};

fn what(what: &str) -> Value {
    json!({ "what": what })
}

/// A conversation in which the user has been asked about one deletion; the model would go on with these answers.
async fn asked(rest: &[&str]) -> (Conversation, Arc<Log>, Reply) {
    let log: Arc<Log> = Arc::default();
    let first = calls("", &[("delete", what("the note milk"))]);
    let answers = [first]
        .into_iter()
        .chain(rest.iter().map(|words| says(words)));
    let mut talk = Conversation::new(&usual(&log), answers.collect::<Vec<_>>());
    let reply = talk.say("delete the note milk").await;
    assert_eq!(reply.words(), "Really delete the note milk?");
    assert_eq!(reply.uses(), ["delete asked"]);
    assert!(reply.asked_back);
    assert!(log.done().is_empty(), "nothing is done before the yes");
    (talk, log, reply)
}

#[tokio::test(start_paused = true)]
async fn a_yes_carries_out_exactly_the_call_that_was_read_back_and_once() {
    let (mut talk, log, _) = asked(&["It is gone.", "You are welcome."]).await;
    let reply = talk.wait(1_000).say("Yes, please.").await;
    assert_eq!(log.done(), [r#"delete {"what":"the note milk"}"#]);
    assert_eq!(reply.words(), "It is gone.");
    assert_eq!(reply.uses(), ["delete ok"]);
    let sent = talk.sent();
    let [.., called, result] = &sent[..] else {
        panic!()
    };
    assert_eq!(called.tool_calls[0].arguments, what("the note milk"));
    assert!(result.content.contains("delete is done"));
    talk.wait(500).say("yes").await;
    assert_eq!(log.done().len(), 1, "a second yes answers nothing");
}

#[tokio::test(start_paused = true)]
async fn a_no_refuses_and_the_model_is_told() {
    let (mut talk, log, _) = asked(&["All right."]).await;
    let reply = talk.wait(1_000).say("No, don't.").await;
    assert_eq!(reply.words(), "Okay, I won't.");
    assert_eq!(reply.uses(), ["delete declined"]);
    talk.wait(1_000).say("tell me a story").await;
    assert!(log.done().is_empty());
    let told: Vec<String> = talk.sent().iter().map(|m| m.content.clone()).collect();
    let note = "The user did not agree to delete: it was not done.]\nNo, don't.";
    assert!(told.iter().any(|text| text.ends_with(note)), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn another_question_refuses_and_is_answered() {
    let (mut talk, log, _) = asked(&["A story.", "What?"]).await;
    let reply = talk.wait(1_000).say("tell me a story instead").await;
    assert_eq!(reply.words(), "A story.");
    let question = talk.sent().last().unwrap().content.clone();
    assert!(question.contains("did not agree to delete"), "{question}");
    talk.wait(1_000).say("yes").await;
    assert!(log.done().is_empty(), "the yes came to something else");
}

#[tokio::test(start_paused = true)]
async fn silence_refuses_after_fifteen_seconds() {
    let (mut talk, log, _) = asked(&["It is gone."]).await;
    talk.wait(14_900).say("yes").await;
    assert_eq!(log.done().len(), 1, "within the time");
    let (mut talk, log, _) = asked(&["Yes what?"]).await;
    let reply = talk.wait(15_100).say("yes").await;
    assert!(log.done().is_empty());
    assert_eq!(
        reply.words(),
        "Yes what?",
        "the words are a question of their own"
    );
    assert!(
        talk.sent()
            .last()
            .unwrap()
            .content
            .contains("did not agree")
    );
}

#[tokio::test(start_paused = true)]
async fn a_yes_that_began_while_we_spoke_does_not_count_and_is_asked_for_again_once() {
    // Our own voice out of the loudspeaker, a television, or a user who was too quick: it began before the end of the question.
    let (mut talk, log, _) = asked(&["It is gone."]).await;
    let during = Mono::from_millis(2_999);
    assert_eq!(talk.now, Mono::from_millis(3_000));
    let reply = talk.say_from("yes", during, Ear::Whole).await;
    assert!(log.done().is_empty());
    assert!(
        reply.words().ends_with("Really delete the note milk?"),
        "{reply:?}"
    );
    assert!(reply.asked_back);
    let again = talk.wait(1_000).say("yes").await;
    assert_eq!(
        (again.words().as_str(), log.done().len()),
        ("It is gone.", 1)
    );

    let (mut talk, log, _) = asked(&[]).await;
    talk.say_from("yes", during, Ear::Whole).await;
    let reply = talk.say_from("yes", during, Ear::Whole).await;
    assert_eq!(
        reply.words(),
        "Okay, I won't.",
        "it is asked again once, not for ever"
    );
    assert!(log.done().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_yes_after_a_question_that_was_cut_does_not_count() {
    let log: Arc<Log> = Arc::default();
    let answers = [
        calls("", &[("delete", what("the note milk"))]),
        says("Gone."),
    ];
    let mut talk = Conversation::new(&usual(&log), answers);
    let began = talk.now;
    talk.say_from("delete the note milk", began, Ear::Until(8))
        .await;
    let reply = talk.wait(100).say("yes").await;
    assert!(log.done().is_empty());
    assert!(reply.words().ends_with("Really delete the note milk?"));
}

#[tokio::test(start_paused = true)]
async fn a_yes_of_an_earlier_turn_does_not_count() {
    let (mut talk, log, _) = asked(&["What?"]).await;
    let began = talk.wait(500).now;
    talk.say_as(TurnId(1), "yes", began, Ear::Whole).await;
    assert!(log.done().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_murmur_is_no_yes() {
    let (mut talk, log, _) = asked(&["Gone."]).await;
    let reply = talk.wait(500).say("Okay.").await;
    assert!(log.done().is_empty());
    assert!(reply.words().contains("clear yes"), "{reply:?}");
    talk.wait(500).say("Yes.").await;
    assert_eq!(log.done().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_question_in_our_own_echo_is_no_answer() {
    let (mut talk, log, reply) = asked(&["What?"]).await;
    talk.wait(100).say(&reply.words()).await;
    assert!(log.done().is_empty());
}

#[tokio::test(start_paused = true)]
async fn two_deletions_are_two_questions() {
    let log: Arc<Log> = Arc::default();
    let both = [("delete", what("milk")), ("delete", what("bread"))];
    let mut talk = Conversation::new(
        &usual(&log),
        [
            calls("", &both),
            calls("", &[("delete", what("bread"))]),
            says("Both are gone."),
        ],
    );
    let reply = talk.say("delete milk and bread").await;
    assert_eq!(reply.words(), "Really delete milk?");
    assert_eq!(reply.uses(), ["delete asked", "delete waits"]);
    let reply = talk.wait(500).say("yes").await;
    assert_eq!(reply.words(), "Really delete bread?");
    assert_eq!(log.done(), [r#"delete {"what":"milk"}"#]);
    let reply = talk.wait(500).say("yes").await;
    assert_eq!(reply.words(), "Both are gone.");
    assert_eq!(log.done().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_settings_may_ask_for_more_and_for_less() {
    let log: Arc<Log> = Arc::default();
    let answers = [calls("", &[("set", what("the light"))]), says("It is on.")];
    let mut talk = Conversation::with(&usual(&log), &[("set", Permission::Ask)], answers);
    assert_eq!(talk.say("light on").await.words(), "Really set the light?");
    assert!(log.done().is_empty());
    talk.wait(500).say("yes").await;
    assert_eq!(log.done().len(), 1);

    let answers = [calls("", &[("delete", what("milk"))]), says("Gone.")];
    let mut talk = Conversation::with(&usual(&log), &[("delete", Permission::Allow)], answers);
    assert_eq!(talk.say("delete milk").await.words(), "Gone.");
    assert_eq!(log.done().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_back_is_not_done() {
    for argument in [
        "x".repeat(500),
        "milk\u{202e}bread".to_owned(),
        "a\u{e0061}b".to_owned(),
    ] {
        let log: Arc<Log> = Arc::default();
        let answers = [calls("", &[("delete", what(&argument))]), says("I cannot.")];
        let mut talk = Conversation::new(&usual(&log), answers);
        let reply = talk.say("delete that").await;
        assert_eq!(reply.uses(), ["delete unsayable"]);
        assert!(!reply.asked_back);
        talk.wait(500).say("never mind").await;
        assert!(log.done().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_in_the_arguments_is_left_out_of_the_question() {
    let log: Arc<Log> = Arc::default();
    let hidden = "milk <think>and all the others</think> `and` **bread**\n\nnow";
    let mut talk = Conversation::new(&usual(&log), [calls("", &[("delete", what(hidden))])]);
    assert_eq!(
        talk.say("delete milk").await.words(),
        "Really delete milk <think>and all the others</think> `and` **bread** now?"
    );
}

#[tokio::test(start_paused = true)]
async fn the_history_stays_a_prefix_through_question_and_answer() {
    let (mut talk, _, _) = asked(&["It is gone.", "Fine."]).await;
    let first = talk.sent();
    talk.wait(500).say("yes").await;
    let second = talk.sent();
    assert_eq!(second[..first.len()], first[..], "append-only");
    talk.wait(500).say("how are the others").await;
    let third = talk.sent();
    assert_eq!(third[..second.len()], second[..]);
    let roles: Vec<Role> = third.iter().map(|message| message.role).collect();
    use Role::{Assistant, System, Tool, User};
    assert_eq!(
        roles,
        [
            System, User, Assistant, Tool, Assistant, User, Assistant, Tool, Assistant, User
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever is said, whenever it begins: the machine releases a call only for a yes that began in its time.
    #[test]
    fn only_a_timely_yes_ever_releases(
        words in prop_oneof![
            Just("yes"), Just("no"), Just("okay"), Just("yes but wait"), Just("and then she said yes"),
            Just(""), Just("delete it"), Just("yes please"), Just("yes yes yes")
        ],
        heard in proptest::option::of(0_u64..60_000),
        began in proptest::option::of(0_u64..90_000),
        turn in 0_u64..6,
    ) {
        use hark::agent::consent::{Consent, Hearing, Held, Said, Verdict, WINDOW};
        let mut consent = Consent::default();
        let held = Held::new("delete".to_owned(), what("milk"), "Really delete milk?".to_owned());
        let hearing = heard.map_or(Hearing::Cut, |ms| Hearing::Whole(Mono::from_millis(ms)));
        consent.ask(TurnId(3), held, hearing);
        let verdict = consent.judge(Said {
            turn: TurnId(turn),
            words,
            language: "en",
            began: began.map(Mono::from_millis),
        });
        let in_time = heard.zip(began).is_some_and(|(heard, began)| {
            began >= heard && Duration::from_millis(began - heard) <= WINDOW
        });
        let yes = ["yes", "yes please", "yes yes yes"].contains(&words);
        let granted = matches!(verdict, Verdict::Granted(_));
        prop_assert_eq!(granted, in_time && yes && turn > 3);
        prop_assert!(!consent.is_open(), "words are judged once");
    }
}
