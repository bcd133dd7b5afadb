//! What the store thread keeps, how often, and who can read it.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use hark::flow::{Outcome, Speculation, ToolUse};
use hark::transcripts::{
    Ack, ListRequest, Notice, Reader, RecordId, Retention, StoreError, WriterOptions, check,
};
use serde_json::json;

use super::forgetting::word;
use super::{PATIENCE, Running, State, at, turn};

#[test]
fn a_turn_comes_back_as_it_was_recorded() {
    let state = State::new();
    let running = state.running();
    let mut asked = turn(
        7,
        "What's the weather like in Tōkyō?",
        "It is **raining** in Tōkyō.",
    );
    asked.heard = "It is".into();
    asked.outcome = Outcome::Interrupted;
    asked.failure = Some("voice".to_owned());
    asked.tools = vec![ToolUse {
        name: "weather".to_owned(),
        outcome: "ok".to_owned(),
    }];
    asked.receipt.prompt_tokens = Some(2_300);
    asked.receipt.speculation = Speculation::Hit;
    asked.receipt.model = Some("a-model".to_owned());
    let began = at("2026-11-24T06:50:12.345-08:00[America/Los_Angeles]");
    let id = running.record_at(asked.clone(), &began);
    running.close();

    let stored = Reader::open(&state.log())
        .unwrap()
        .show(id)
        .unwrap()
        .unwrap();
    assert_eq!(stored.turn, asked);
    assert_eq!(stored.began.rfc3339(), "2026-11-24T06:50:12.345-08:00");
    assert_eq!(stored.redacted, 0);
}

#[test]
fn the_wall_time_is_stamped_by_the_store_at_the_beginning_of_the_question() {
    let state = State::new();
    let running = state.running();
    let before = hark::platform::clock::wall();
    let hour = Duration::from_secs(3_600);
    running
        .writer
        .try_record(turn(1, "how late is it", "noon"), hour, |_| {})
        .unwrap();
    running.record(turn(2, "and now", "one"));
    let after = hark::platform::clock::wall();
    running.close();

    let reader = Reader::open(&state.log()).unwrap();
    let began = |number| reader.show(RecordId(number)).unwrap().unwrap().began.ms;
    let (before, after) = (
        before.timestamp().as_millisecond(),
        after.timestamp().as_millisecond(),
    );
    assert!((before - 3_600_000..=after - 3_600_000).contains(&began(1)));
    assert!((before..=after).contains(&began(2)));
}

#[test]
fn a_turn_that_is_given_twice_is_recorded_once() {
    let state = State::new();
    let running = state.running();
    let first = running.record(turn(1, "once", "yes"));
    let second = running.record(turn(1, "once", "yes"));
    running.close();
    assert_eq!(first, second);
    assert_eq!(Reader::open(&state.log()).unwrap().count().unwrap(), 1);
}

#[test]
fn turns_of_two_runs_with_the_same_number_are_two_turns() {
    let state = State::new();
    for _ in 0..2 {
        let running = state.running();
        running.record(turn(1, "again", "yes"));
        running.close();
    }
    let turns = Reader::open(&state.log())
        .unwrap()
        .list(&ListRequest::default())
        .unwrap();
    assert_eq!(turns.len(), 2);
    assert_ne!(turns[0].session, turns[1].session);
}

#[test]
fn closing_writes_what_was_handed_over_just_before() {
    let state = State::new();
    let running = state.running();
    for id in 1..=200 {
        running.send(turn(id, "one of many", "yes"));
    }
    assert_eq!(running.close(), 0);
    assert_eq!(Reader::open(&state.log()).unwrap().count().unwrap(), 200);
}

#[test]
fn dropping_the_handle_writes_what_was_handed_over_too() {
    let state = State::new();
    let running = state.running();
    let (sender, acknowledged) = std::sync::mpsc::channel();
    let on_recorded = move |ack| sender.send(ack).unwrap();
    running
        .writer
        .try_record(turn(1, "the last", "yes"), Duration::ZERO, on_recorded)
        .unwrap();
    drop(running);
    assert!(matches!(
        acknowledged.recv_timeout(PATIENCE).unwrap(),
        Ack::Recorded(_)
    ));
}

#[test]
fn files_are_for_the_user_alone_also_where_the_folder_was_open() {
    let state = State::new();
    let folder = state.log().parent().unwrap().to_owned();
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    let running = state.running();
    running.record(turn(1, "secret", "yes"));
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    assert_eq!(
        files.len(),
        3,
        "the database, its log and its shared memory: {files:?}"
    );
    for file in files {
        assert_eq!(mode(&file), 0o600, "{file:?}");
    }
    running.close();
    assert_eq!(check(&state.log()).unwrap().findings, Vec::<String>::new());
}

#[test]
fn an_examination_finds_open_files_and_a_damaged_index() {
    let state = State::with(vec![turn(1, "one", "uno"), turn(2, "two", "due")]);
    let healthy = check(&state.log()).unwrap();
    assert_eq!(
        (healthy.findings.len(), healthy.turns, healthy.schema),
        (0, 2, 1)
    );

    std::fs::set_permissions(state.log(), std::fs::Permissions::from_mode(0o644)).unwrap();
    let findings = check(&state.log()).unwrap().findings;
    assert!(
        findings[0].contains("others may read") && findings[0].contains("chmod 600"),
        "{findings:?}"
    );

    std::fs::set_permissions(state.log(), std::fs::Permissions::from_mode(0o600)).unwrap();
    let database = rusqlite::Connection::open(state.log()).unwrap();
    database
        .execute("UPDATE turns SET asked = 'three' WHERE id = 2", [])
        .unwrap();
    assert_eq!(
        check(&state.log()).unwrap().findings,
        ["the search index does not match the turns"]
    );
}

#[test]
fn events_are_kept_beside_the_turns() {
    let state = State::new();
    let running = state.running();
    running
        .writer
        .try_event("device", json!({"change": "unplugged"}))
        .unwrap();
    running.record(turn(1, "hello", "hi"));
    running.close();
    let reader = Reader::open(&state.log()).unwrap();
    let events = reader.events(hark::transcripts::when::ALWAYS).unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].kind, "device");
    assert_eq!(events[0].detail, json!({"change": "unplugged"}));
}

#[test]
fn a_log_of_a_later_version_is_left_alone_and_the_user_is_told() {
    let state = State::with(vec![turn(1, "one", "uno")]);
    let database = rusqlite::Connection::open(state.log()).unwrap();
    database.execute_batch("PRAGMA user_version = 99").unwrap();
    drop(database);
    let running = state.running();
    running.send(turn(1, "two", "due"));
    let Notice::Unwritable(trouble) = running.notice() else {
        panic!("it should have been told");
    };
    assert!(trouble.advice().contains("update hark"));
    let closed = running.writer.close(Duration::ZERO);
    assert_eq!(closed.lost, 1);
    assert!(matches!(
        Reader::open(&state.log()),
        Err(StoreError::Newer { found: 99, .. })
    ));
}

#[test]
fn the_database_of_another_program_is_set_aside_and_not_written_into() {
    for theirs in [
        "PRAGMA application_id = 7; CREATE TABLE theirs (x)",
        "CREATE TABLE theirs (x)",
        "CREATE TABLE theirs (x); PRAGMA user_version = 1",
    ] {
        let state = State::new();
        std::fs::create_dir_all(state.log().parent().unwrap()).unwrap();
        let database = rusqlite::Connection::open(state.log()).unwrap();
        database.execute_batch(theirs).unwrap();
        drop(database);
        let running = state.running();
        let Notice::SetAside(moved) = running.notice() else {
            panic!("it should have been told");
        };
        running.record(turn(1, "one", "uno"));
        running.close();
        let theirs = rusqlite::Connection::open(moved).unwrap();
        let tables: i64 = theirs
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .unwrap();
        assert_eq!(tables, 1);
    }
}

#[test]
fn old_turns_are_forgotten_by_age() {
    let state = State::new();
    let running = state.running();
    let now = hark::platform::clock::wall();
    for (id, days) in [(1, 400), (2, 31), (3, 29), (4, 0)] {
        let began = now.checked_sub(jiff::Span::new().days(days)).unwrap();
        running.record_at(turn(id, "something", "yes"), &began);
    }
    running.close();
    let retention = Retention {
        days: Some(30),
        turns: None,
    };
    assert_eq!(kept_after_start(&state, retention), [4, 3]);
}

#[test]
fn old_turns_are_forgotten_by_number_and_leave_no_words_behind() {
    let turns =
        (1..=1_000).map(|id| turn(id, &format!("remember {} for me", word("q", id)), "yes"));
    let state = State::with(turns.collect());
    assert!(state.holds_bytes(&word("q", 7)));
    let retention = Retention {
        days: None,
        turns: Some(3),
    };
    assert_eq!(kept_after_start(&state, retention), [1_000, 999, 998]);
    let left = (1..=1_000).filter(|id| state.holds_bytes(&word("q", *id)));
    assert_eq!(left.collect::<Vec<_>>(), [998, 999, 1_000]);
    assert_eq!(check(&state.log()).unwrap().findings, Vec::<String>::new());
}

/// The turns that are left after a start with `retention`.
fn kept_after_start(state: &State, retention: Retention) -> Vec<u64> {
    let options = WriterOptions {
        retention,
        ..WriterOptions::default()
    };
    let running = Running::start(&state.log(), options);
    let reader = Reader::open(&state.log()).unwrap();
    let allowed = retention.turns.map_or(2, u64::from);
    let began = std::time::Instant::now();
    while reader.count().unwrap() > allowed && began.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(reader);
    running.close();
    let reader = Reader::open(&state.log()).unwrap();
    let turns = reader.list(&ListRequest::default()).unwrap();
    turns.iter().map(|stored| stored.turn.id.0).collect()
}
