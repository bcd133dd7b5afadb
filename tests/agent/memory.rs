//! What the model knows of the turns before: only what was heard, in a history that only grows, and after a restart too.

use std::sync::Arc;

use hark::agent::prompt::{STATIC_TOKENS, estimate_messages, estimate_tools, system};
use hark::flow::Outcome;
use hark::llm::Role;
use hark::private::Private;
use hark::transcripts::{RecordId, StoredTurn, Wall};
use serde_json::json;

use crate::conversation::{Conversation, Ear, Reply, calls, record, says};
use crate::tools::{Log, usual};

const MINUTE: i64 = 60_000;

fn stored(id: i64, began_ms: i64, asked: &str, heard: &str, outcome: Outcome) -> StoredTurn {
    let reply = Reply {
        said: vec![(0, format!("{heard} And more."))],
        backend: "scripted".to_owned(),
        ..Reply::default()
    };
    let mut turn = record(
        hark::ids::TurnId(1),
        &Private::from(asked),
        &reply,
        Ear::Until(heard.len()),
    );
    turn.outcome = outcome;
    StoredTurn {
        id: RecordId(id),
        session: 1,
        began: Wall {
            ms: began_ms,
            offset_s: 3_600,
        },
        turn,
        redacted: 0,
    }
}

fn contents(talk: &Conversation) -> Vec<(Role, String)> {
    talk.sent()
        .iter()
        .skip(1)
        .map(|message| (message.role, message.content.clone()))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_the_last_conversation_goes_on_with_what_was_heard() {
    let log: Arc<Log> = Arc::default();
    let mut talk = Conversation::new(&usual(&log), [says("Sure.")]);
    let now = 1_000 * MINUTE;
    let turns = [
        stored(
            5,
            now - MINUTE,
            "and then",
            "They met",
            Outcome::Interrupted,
        ),
        stored(4, now - 2 * MINUTE, "stop", "", Outcome::Cancelled),
        stored(
            3,
            now - 15 * MINUTE,
            "tell me a story",
            "Once.",
            Outcome::Completed,
        ),
        stored(2, now - 60 * MINUTE, "long ago", "Old.", Outcome::Completed),
        stored(
            1,
            now - 61 * MINUTE,
            "longer ago",
            "Older.",
            Outcome::Completed,
        ),
    ];
    assert_eq!(talk.desk.resume(&turns, now), 2);
    talk.say("go on").await;
    let sent = contents(&talk);
    assert_eq!(sent.len(), 5);
    assert!(sent[0].1.ends_with("\ntell me a story") && sent[0].1.starts_with('['));
    assert_eq!(sent[1], (Role::Assistant, "Once.".to_owned()));
    assert!(sent[2].1.ends_with("\nand then"));
    assert_eq!(
        sent[3],
        (Role::Assistant, "They met".to_owned()),
        "not what was only made"
    );
}

#[tokio::test(start_paused = true)]
async fn a_conversation_that_is_over_is_not_taken_up() {
    let log: Arc<Log> = Arc::default();
    let mut talk = Conversation::new(&usual(&log), []);
    let now = 1_000 * MINUTE;
    let turns = [stored(1, now - 21 * MINUTE, "a", "b", Outcome::Completed)];
    assert_eq!(talk.desk.resume(&turns, now), 0);
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_answer_and_the_tool_before_it_are_known_as_far_as_they_went() {
    let log: Arc<Log> = Arc::default();
    let mut talk = Conversation::new(
        &usual(&log),
        [
            calls("", &[("set", json!({"what": "the lamp"}))]),
            says("The lamp in the kitchen is on now."),
            says("Yes."),
        ],
    );
    let began = talk.now;
    talk.say_from("lamp on", began, Ear::Until(8)).await;
    let before = talk.sent();
    talk.say("is it on").await;
    let after = talk.sent();
    assert_eq!(
        after[..before.len()],
        before[..],
        "append-only, calls and results included"
    );
    assert_eq!(
        (
            after[before.len()].role,
            after[before.len()].content.as_str()
        ),
        (Role::Assistant, "The lamp")
    );
}

#[tokio::test(start_paused = true)]
async fn facts_stand_behind_the_instructions_and_change_nothing_before_them() {
    let log: Arc<Log> = Arc::default();
    let mut talk = Conversation::new(&usual(&log), [says("Yes."), says("Yes.")]);
    talk.say("is it so").await;
    let without = talk.sent()[0].content.clone();
    let now = hark::platform::clock::wall().timestamp();
    talk.notebook.remember("I am called Ann.", now).unwrap();
    talk.say("who am I").await;
    let with = talk.sent()[0].content.clone();
    assert!(with.starts_with(&without) && with.ends_with("called Ann."));
}

#[test]
fn the_static_prompt_leaves_most_of_its_budget_to_the_tools() {
    let log: Arc<Log> = Arc::default();
    let prompt = hark::llm::Message::new(Role::System, system("Hark", None, ""));
    let own = estimate_messages(&[prompt]);
    let tools = estimate_tools(&usual(&log).specs());
    assert!(own < STATIC_TOKENS * 2 / 5, "{own} of {STATIC_TOKENS}");
    assert!(own + tools < STATIC_TOKENS);
}

#[tokio::test(start_paused = true)]
async fn a_warm_up_sends_what_the_next_turn_will_begin_with() {
    let log: Arc<Log> = Arc::default();
    let mut talk = Conversation::new(&usual(&log), [says("Yes."), says("Yes.")]);
    let now = hark::platform::clock::wall().timestamp();
    talk.notebook.remember("I am called Ann.", now).unwrap();
    let beginning = talk.desk.beginning();
    for turn in 0..2 {
        let warm = beginning().await;
        talk.say("is it so").await;
        let sent = talk
            .backend
            .requests
            .lock()
            .unwrap()
            .last()
            .unwrap()
            .clone();
        let (_, known) = warm.messages.split_last().unwrap();
        assert_eq!(
            known.len(),
            1 + 2 * turn,
            "the static prompt and every turn so far"
        );
        assert!(known[0].content.contains("called Ann."));
        assert_eq!(sent.messages[..known.len()], known[..]);
        assert_eq!(sent.tools, warm.tools);
        assert_eq!(sent.tools.len(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn the_answer_follows_the_speakers_language_where_the_voice_knows_it() {
    let log: Arc<Log> = Arc::default();
    let mut talk = Conversation::new(
        &usual(&log),
        [
            says("Es ist 7:05 Uhr."),
            says("Seven."),
            says("It is 7:05."),
        ],
    );
    talk.desk
        .voice_knows(vec!["de".to_owned(), "en".to_owned()]);
    talk.language = "de";
    let reply = talk.say("wie komme ich nach Hause").await;
    assert_eq!(
        reply.words(),
        "Es ist 7:05 Uhr.",
        "no English words for figures"
    );
    assert_eq!(reply.languages, [Some("de".to_owned())]);
    let asked = talk.sent().last().unwrap().content.clone();
    assert!(
        asked.contains("The user speaks German: answer in German.]"),
        "{asked}"
    );
    talk.language = "fi";
    let reply = talk.say("miten pääsen kotiin").await;
    assert_eq!(reply.languages, [None]);
    let asked = talk.sent().last().unwrap().content.clone();
    assert!(
        asked.contains("speaks Finnish, but the voice does not: answer in English.]"),
        "{asked}"
    );
    talk.language = "en";
    let reply = talk.say("tell me when the train goes").await;
    assert!(!reply.words().contains("7:05"), "{reply:?}");
    let asked = talk.sent().last().unwrap().content.clone();
    assert!(!asked.contains("speaks"), "{asked}");
}

/// What Hark itself says in a German reply is English, and so is the voice for it.
#[tokio::test(start_paused = true)]
async fn our_own_sentences_in_a_foreign_reply_keep_our_own_voice() {
    let log: Arc<Log> = Arc::default();
    let delete = json!({"what": "the file"});
    let mut talk = Conversation::new(&usual(&log), [calls("Gut.", &[("delete", delete)])]);
    talk.desk.voice_knows(vec!["de".to_owned()]);
    talk.language = "de";
    let reply = talk.say("lösche die Datei").await;
    assert_eq!(reply.languages, [Some("de".to_owned()), None], "{reply:?}");
}
