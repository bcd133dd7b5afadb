//! What is forgotten is gone: from lists, from the search, and from the raw bytes of every file of the log.

use hark::transcripts::forget::{count, finish, forget, is_unfinished};
use hark::transcripts::query::expression;
use hark::transcripts::when::{ALWAYS, When, stretch};
use hark::transcripts::{ListRequest, Reader, RecordId, SearchRequest, StoreError, Which, check};

use super::{State, at, turn};

/// A word that no other number has, and whose beginning no other has either: the index stores what a word shares with the
/// one before it only once, so words that differ in their ends would not be seen in its bytes.
pub(crate) fn word(side: &str, id: u64) -> String {
    let mixed = (id + side.len() as u64 * 1_000).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let letter = |digit: u32| char::from(b'a' + u8::try_from((mixed >> (digit * 4)) & 15).unwrap());
    (4..16).map(letter).collect::<String>() + side
}

fn question(id: u64) -> String {
    word("q", id)
}

fn answer(id: u64) -> String {
    word("re", id)
}

/// Two hundred turns, each with a word that no other has, in question and answer.
fn marked() -> State {
    let turns = (1..=200).map(|id| {
        turn(
            id,
            &format!(
                "please remember {} for me, and some more that is longer",
                question(id)
            ),
            &format!(
                "I will remember {}. {}",
                answer(id),
                "And a long tail. ".repeat((id % 40) as usize)
            ),
        )
    });
    State::with(turns.collect())
}

/// The numbers of the turns whose words stand in the raw bytes.
fn in_bytes(state: &State) -> Vec<u64> {
    let held =
        (1..=200).filter(|id| state.holds_bytes(&question(*id)) || state.holds_bytes(&answer(*id)));
    held.collect()
}

fn found(state: &State, word: &str) -> usize {
    let request = SearchRequest {
        expression: expression(word).unwrap(),
        speaker: None,
        when: ALWAYS,
        limit: 1_000,
    };
    Reader::open(&state.log())
        .unwrap()
        .search(&request)
        .unwrap()
        .len()
}

#[test]
fn a_forgotten_turn_is_in_no_list_no_search_and_no_byte() {
    let state = marked();
    assert!(state.holds_bytes(&question(42)));
    let forgotten = forget(&state.log(), &[Which::Turns(42, 42)]).unwrap();
    assert_eq!(forgotten.turns, 1);
    assert_eq!(
        Reader::open(&state.log())
            .unwrap()
            .show(RecordId(42))
            .unwrap(),
        None
    );
    assert_eq!(found(&state, &question(42)), 0);
    assert_eq!(found(&state, &question(43)), 1);
    let left: Vec<u64> = (1..=200).filter(|id| *id != 42).collect();
    assert_eq!(in_bytes(&state), left);
    assert_eq!(check(&state.log()).unwrap().findings, Vec::<String>::new());
}

#[test]
fn it_is_gone_also_while_the_daemon_goes_on_writing() {
    let state = marked();
    let running = state.running();
    running.record(turn(
        1,
        "the secret word is questionword777",
        "answerword777",
    ));
    forget(&state.log(), &[Which::Turns(201, 201)]).unwrap();
    assert!(
        !state.holds_bytes("questionword777"),
        "also not in the write-ahead log"
    );
    running.record(turn(2, "and the next one is kept", "yes"));
    assert!(!state.holds_bytes("questionword777"));
    running.close();
    assert!(!state.holds_bytes("word777"));
    assert_eq!(found(&state, "kept"), 1);
}

#[test]
fn a_range_a_day_and_an_age_are_forgotten_with_their_words() {
    let state = marked();
    assert_eq!(
        forget(&state.log(), &[Which::Turns(10, 19), Which::Turns(15, 25)])
            .unwrap()
            .turns,
        16
    );
    let now = at("2026-11-24T12:00:00+01:00[Europe/Berlin]");
    // Turn 61 began at 13:00, so this leaves the first hour.
    let afternoon = When {
        from_ms: at("2026-11-20T13:00:00+01:00[Europe/Berlin]")
            .timestamp()
            .as_millisecond(),
        until_ms: stretch("2026-11-20", &now).unwrap().until_ms,
    };
    assert_eq!(count(&state.log(), &[Which::When(afternoon)]).unwrap(), 140);
    assert_eq!(
        forget(&state.log(), &[Which::When(afternoon)])
            .unwrap()
            .turns,
        140
    );
    let left: Vec<u64> = (1..=9).chain(26..=60).collect();
    assert_eq!(in_bytes(&state), left);
}

#[test]
fn everything_is_forgotten_and_numbers_are_not_given_again() {
    let state = marked();
    assert_eq!(forget(&state.log(), &[Which::All]).unwrap().turns, 200);
    assert_eq!(in_bytes(&state), Vec::<u64>::new());
    assert!(
        !state.holds_bytes("microphone"),
        "the sessions are gone too"
    );
    assert!(std::fs::metadata(state.log()).unwrap().len() < 100_000);
    let database = rusqlite::Connection::open(state.log()).unwrap();
    for table in ["turns", "sessions", "events", "days", "upkeep"] {
        let sql = format!("SELECT count(*) FROM {table}");
        let rows: i64 = database.query_row(&sql, [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 0, "{table}");
    }
    drop(database);
    let running = state.running();
    assert_eq!(
        running.record(turn(1, "a new beginning", "yes")),
        RecordId(201)
    );
    running.close();
    assert_eq!(
        Reader::open(&state.log())
            .unwrap()
            .list(&ListRequest::default())
            .unwrap()
            .len(),
        1
    );
    assert_eq!(check(&state.log()).unwrap().findings, Vec::<String>::new());
}

#[test]
fn the_index_is_kept_in_step_after_something_was_forgotten() {
    let state = marked();
    forget(&state.log(), &[Which::Turns(1, 100)]).unwrap();
    let running = state.running();
    let id = running.record(turn(1, "a platypus", "yes"));
    running.close();
    assert_eq!(found(&state, "platypus"), 1);
    let database = rusqlite::Connection::open(state.log()).unwrap();
    database
        .execute("DELETE FROM turns WHERE id = ?1", [id.0])
        .unwrap();
    drop(database);
    assert_eq!(found(&state, "platypus"), 0);
    assert_eq!(check(&state.log()).unwrap().findings, Vec::<String>::new());
}

#[test]
fn a_reader_that_holds_the_log_back_is_told_and_a_second_try_finishes() {
    let state = marked();
    let reading = rusqlite::Connection::open(state.log()).unwrap();
    reading
        .execute_batch("BEGIN; SELECT count(*) FROM turns;")
        .unwrap();
    reading
        .query_row("SELECT count(*) FROM turns", [], |_| Ok(()))
        .unwrap();
    let error = forget(&state.log(), &[Which::Turns(42, 42)]).unwrap_err();
    assert!(matches!(error, StoreError::Unscrubbed { .. }), "{error}");
    assert!(
        error.to_string().contains("run the same command again"),
        "{error}"
    );
    assert_eq!(
        found(&state, &question(42)),
        0,
        "the deletion itself is done"
    );
    assert!(is_unfinished(&state.log()).unwrap());
    assert!(check(&state.log()).unwrap().findings[0].contains("cut short"));
    reading.execute_batch("ROLLBACK").unwrap();
    finish(&state.log()).unwrap();
    assert!(!state.holds_bytes(&question(42)));
    assert!(!is_unfinished(&state.log()).unwrap());
    assert_eq!(check(&state.log()).unwrap().findings, Vec::<String>::new());
}

#[test]
fn the_daemon_finishes_a_deletion_that_was_cut_short() {
    let state = marked();
    let reading = rusqlite::Connection::open(state.log()).unwrap();
    reading.execute_batch("BEGIN").unwrap();
    reading
        .query_row("SELECT count(*) FROM turns", [], |_| Ok(()))
        .unwrap();
    forget(&state.log(), &[Which::Turns(42, 42)]).unwrap_err();
    drop(reading);
    let running = state.running();
    let began = std::time::Instant::now();
    while is_unfinished(&state.log()).unwrap() && began.elapsed() < super::PATIENCE {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    running.close();
    assert!(!state.holds_bytes(&question(42)));
}

#[test]
fn where_nothing_was_recorded_there_is_nothing_to_forget() {
    let state = State::new();
    assert!(matches!(
        forget(&state.log(), &[Which::All]),
        Err(StoreError::Absent { .. })
    ));
    assert!(!state.log().exists());
}
