//! Questions that go to a language model: streaming, interruption, history, failures, shutdown.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hark::daemon::{Input, Output, Pace};
use hark::flow::Outcome;
use serde_json::Value;

use crate::server::{Gate, Server};
use crate::support::{Home, PATIENCE, Running, assert_in_order, plain, samples, times, understood};

/// Questions that no local intent answers.
const STORY: &str = "tell me a story";
const WEATHER: &str = "what is the weather tomorrow";

/// Half a minute of speech.
const TALE: [&str; 10] = [
    "Once there was a fox who lived beside a wide and quiet river. ",
    "Every morning it walked along the bank and looked for fish. ",
    "One day the water was gone and only stones were left. ",
    "The fox asked the heron where the river had gone. ",
    "The heron said that the beavers had built a wall of wood. ",
    "So the fox went up the hill and spoke with the beavers. ",
    "They agreed to leave a small gate open during the night. ",
    "From then on the river came home every evening. ",
    "The fox was glad and shared its fish with everybody. ",
    "And that is the end of the tale.",
];

fn settings(server: &Server) -> Vec<(&'static str, String)> {
    server.settings()
}

fn config(home: &Home, server: &Server) -> hark::config::Config {
    let settings = settings(server);
    let settings: Vec<(&str, &str)> = settings
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    home.config(&settings)
}

fn telling_a_tale() -> Server {
    Server::start(|number, mut talk| {
        let story = if number == 0 {
            &TALE[..]
        } else {
            &["It will rain."]
        };
        if story.iter().all(|sentence| talk.say(sentence)) {
            talk.done();
        }
    })
}

#[test]
fn the_first_clause_is_spoken_while_the_model_still_writes() {
    let gate = Arc::new(Gate::default());
    let in_time = Arc::new(AtomicBool::new(false));
    let (wait, passed) = (Arc::clone(&gate), Arc::clone(&in_time));
    let server = Server::start(move |_, mut talk| {
        talk.say("Set a timer ");
        talk.say("for five minutes. Then ");
        passed.store(wait.pass(PATIENCE), Ordering::SeqCst);
        if talk.say("we shall see what comes of it.") {
            talk.done();
        }
    });
    let home = Home::new();
    let question = home.spoken(&[STORY], Duration::ZERO);
    let daemon = Running::start(home.plan(config(&home, &server), &question));
    let first = daemon.wait_for("the first clause", |seen| seen.name() == "heard");
    let so_far = home.path("so-far.wav");
    std::fs::copy(home.answer(), &so_far).unwrap();
    gate.open();
    let ended = daemon.ended();
    assert!(
        in_time.load(Ordering::SeqCst),
        "the model was still writing"
    );
    assert_eq!(first.text(), "Set a timer for five minutes.");
    assert_eq!(ended.texts("reply").len(), 2, "{:?}", ended.texts("reply"));
    let turn = ended.named("turn")[0];
    let receipt = &turn.json["receipt"];
    assert_eq!(times(receipt).len(), 7, "every stage happened: {receipt}");
    assert_in_order(receipt);
    assert_eq!(receipt["backend"], "openai");
    assert_eq!(receipt["model"], "scripted");
    assert_eq!(
        (&receipt["prompt_tokens"], &receipt["cached_tokens"]),
        (&Value::from(321), &Value::from(300))
    );
    let records = home.records();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].turn.outcome, Outcome::Completed);
    assert_eq!(
        records[0].turn.heard.as_str(),
        "Set a timer for five minutes. Then we shall see what comes of it."
    );
    // The model of these tests knows this sentence, so it can tell whether the voice was intelligible.
    assert_eq!(understood(&so_far), "set a timer for five minutes");
}

/// The contents of the messages of a role.
fn messages<'a>(request: &'a Value, role: &str) -> Vec<&'a str> {
    let all = request["messages"].as_array().expect("messages");
    all.iter()
        .filter(|message| message["role"] == role)
        .map(|message| message["content"].as_str().unwrap_or_default())
        .collect()
}

#[test]
fn after_an_interruption_the_model_knows_only_what_was_heard() {
    let server = telling_a_tale();
    let home = Home::new();
    // The second question comes when the tale is under way: the gap leaves a slow machine seconds to begin it.
    let questions = home.spoken(&[STORY, WEATHER], Duration::from_secs(5));
    let mut plan = home.plan(config(&home, &server), &questions);
    plan.input = Input::File {
        path: questions,
        pace: Pace::RealTime,
    };
    plan.output = Output::File {
        path: home.answer(),
        pace: Pace::RealTime,
    };
    let ended = Running::start(plan).ended();
    assert_eq!(ended.named("barge_in").len(), 1, "{:#?}", ended.events);
    let records = home.records();
    assert_eq!(records.len(), 2);
    let (first, second) = (&records[0].turn, &records[1].turn);
    assert_eq!(first.outcome, Outcome::Interrupted);
    assert_eq!(second.outcome, Outcome::Completed);
    assert_eq!(plain(second.asked.as_str()), WEATHER);
    let heard = first.heard.as_str();
    assert!(heard.starts_with("Once there was"), "{heard}");
    assert!(
        first
            .replied
            .as_str()
            .starts_with(heard.trim_end_matches(|c: char| !c.is_alphanumeric()))
    );
    assert!(heard.len() < TALE.concat().len() / 2, "{heard}");
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(messages(&requests[1], "assistant"), [heard]);
    let asked = messages(&requests[1], "user");
    assert_eq!(asked.len(), 2);
    assert_eq!(
        asked[0],
        messages(&requests[0], "user")[0],
        "sent again byte for byte"
    );
    assert!(asked[1].ends_with(WEATHER), "{}", asked[1]);
    let stopped = ended.texts("heard").len();
    assert!(stopped < TALE.len(), "most of the tale was not heard");
}

#[test]
fn a_model_that_dies_in_the_middle_is_explained_and_the_intents_go_on() {
    let server = Server::start(|_, mut talk| {
        talk.say("Once there was a fox. And it went");
    });
    let home = Home::new();
    let questions = home.spoken(&[STORY, "what time is it"], Duration::from_secs(1));
    let ended = Running::start(home.plan(config(&home, &server), &questions)).ended();
    let records = home.records();
    assert_eq!(records.len(), 2);
    let (failed, next) = (&records[0].turn, &records[1].turn);
    assert_eq!(failed.outcome, Outcome::Failed);
    assert_eq!(failed.failure.as_deref(), Some("reply_cut"));
    let heard = failed.heard.as_str();
    assert!(heard.starts_with("Once there was a fox."), "{heard}");
    assert!(
        heard.contains("failed"),
        "what went wrong is said aloud: {heard}"
    );
    assert_eq!(ended.named("error")[0].json["kind"], "reply_cut");
    assert_eq!(next.outcome, Outcome::Completed);
    assert_eq!(next.receipt.backend.as_deref(), Some("intents"));
}

#[test]
fn without_a_model_the_whole_explanation_is_said_once() {
    let home = Home::new();
    let questions = home.spoken(&[STORY, WEATHER, STORY], Duration::from_secs(1));
    let ended = Running::start(home.plan(home.config(&[]), &questions)).ended();
    let records = home.records();
    assert_eq!(records.len(), 3);
    let said: Vec<&str> = records
        .iter()
        .map(|record| record.turn.heard.as_str())
        .collect();
    assert!(
        said[0].contains("no language model yet") && said[0].contains("Ollama"),
        "{said:?}"
    );
    assert_eq!(said[1], "I still have no language model.");
    assert_eq!(said[2], said[1]);
    assert!(
        records
            .iter()
            .all(|record| record.turn.failure.as_deref() == Some("no_backend"))
    );
    assert_eq!(ended.named("error").len(), 3);
}

#[test]
fn a_model_that_is_not_there_is_named_with_its_remedy() {
    let home = Home::new();
    let gone = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{gone}");
    let config = home.config(&[
        ("HARK_LLM_BACKEND", "ollama"),
        ("HARK_LLM_OLLAMA_URL", &url),
    ]);
    let questions = home.spoken(&[STORY, "what time is it"], Duration::from_secs(1));
    let ended = Running::start(home.plan(config, &questions)).ended();
    let records = home.records();
    assert_eq!(
        records[0].turn.failure.as_deref(),
        Some("backend_unreachable")
    );
    assert!(
        records[0].turn.heard.as_str().contains("ollama serve"),
        "{}",
        ended.texts("heard")[0]
    );
    assert_eq!(records[1].turn.outcome, Outcome::Completed);
}

#[test]
fn shutdown_during_an_answer_records_what_was_heard_and_is_quick() {
    let server = telling_a_tale();
    let home = Home::new();
    let question = home.spoken(&[STORY], Duration::ZERO);
    let mut plan = home.plan(config(&home, &server), &question);
    plan.output = Output::File {
        path: home.answer(),
        pace: Pace::RealTime,
    };
    let daemon = Running::start(plan);
    daemon.wait_for("a clause to be heard", |seen| seen.name() == "heard");
    let asked = Instant::now();
    daemon.stop();
    let ended = daemon.ended();
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "{:?}",
        asked.elapsed()
    );
    assert!(
        ended.summary.trouble.is_empty(),
        "{:?}",
        ended.summary.trouble
    );
    let records = home.records();
    assert_eq!(records.len(), 1);
    let turn = &records[0].turn;
    assert_eq!(turn.outcome, Outcome::ShutDown);
    assert!(
        turn.heard.as_str().starts_with("Once there was"),
        "{}",
        turn.heard.as_str()
    );
    assert!(turn.heard.as_str().len() < turn.replied.as_str().len());
    assert_eq!(ended.named("turn")[0].json["recorded"], true);
    assert!(
        !samples(&home.answer()).is_empty(),
        "the output is a whole file"
    );
}

#[test]
fn shutdown_while_the_model_thinks_is_quick_and_recorded() {
    let gate = Arc::new(Gate::default());
    let wait = Arc::clone(&gate);
    let server = Server::start(move |_, talk| {
        wait.pass(PATIENCE);
        drop(talk);
    });
    let home = Home::new();
    let question = home.spoken(&[STORY], Duration::ZERO);
    let daemon = Running::start(home.plan(config(&home, &server), &question));
    // The model is asked in the pause already; that is no turn yet.
    daemon.wait_for("transcript", |seen| seen.name() == "transcript");
    let by = Instant::now() + PATIENCE;
    while server.requests().is_empty() {
        assert!(Instant::now() < by, "the model is asked");
        std::thread::sleep(Duration::from_millis(10));
    }
    let asked = Instant::now();
    daemon.stop();
    daemon.ended();
    gate.open();
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "{:?}",
        asked.elapsed()
    );
    let records = home.records();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].turn.outcome, Outcome::ShutDown);
    assert_eq!(records[0].turn.heard.as_str(), "");
}

#[test]
fn replies_that_cannot_be_said_end_their_turns_too() {
    let server = Server::start(|number, mut talk| {
        let whole = match number {
            0 => talk.say("\u{1f44d}"),
            1 => true,
            _ => talk.say(&"word ".repeat(100)),
        };
        if whole {
            talk.done();
        }
    });
    let home = Home::new();
    let questions = home.spoken(&[STORY, WEATHER, STORY], Duration::from_secs(1));
    let ended = Running::start(home.plan(config(&home, &server), &questions)).ended();
    let records = home.records();
    assert_eq!(records.len(), 3, "{:#?}", ended.events);
    let turns: Vec<_> = records.iter().map(|record| &record.turn).collect();
    assert_eq!(turns[1].outcome, Outcome::Failed);
    assert_eq!(turns[1].failure.as_deref(), Some("empty_reply"));
    assert_eq!(turns[2].outcome, Outcome::Completed);
    assert_eq!(
        turns[2].heard.as_str().split_whitespace().count(),
        100,
        "a sentence without an end is said to its end"
    );
}

#[test]
fn without_a_voice_answers_are_written() {
    let home = Home::new();
    let config = home.config(&[("HARK_TTS_ENGINE", "none")]);
    let plan = home.plan(config, &crate::support::data("questions3.wav"));
    let ended = Running::start(plan).ended();
    let records = home.records();
    assert_eq!(records.len(), 3, "{:#?}", ended.events);
    assert!(
        records
            .iter()
            .all(|record| record.turn.outcome == Outcome::Completed)
    );
    assert!(records[1].turn.replied.as_str().contains("42"));
    assert!(samples(&home.answer()).is_empty());
}
