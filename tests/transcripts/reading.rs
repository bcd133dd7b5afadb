//! Lists and searches.

use hark::transcripts::query::{QueryError, expression};
use hark::transcripts::when::{ALWAYS, When, stretch};
use hark::transcripts::{Hit, ListRequest, Reader, SearchRequest, Speaker, StoreError};

use super::{State, at, turn};

fn household() -> State {
    State::with(vec![
        turn(1, "What's the weather in Tokyo?", "It is raining in Tokyo."),
        turn(2, "Set a timer for the garage door", "The timer runs."),
        turn(
            3,
            "Is the door of the garage open?",
            "The garage door is open.",
        ),
        turn(4, "Où est le café?", "Next to the crêperie."),
        turn(5, "Do weathermen lie?", "Now and then."),
    ])
}

fn search(state: &State, typed: &str) -> Vec<u64> {
    numbers(&hits(state, typed, None, ALWAYS))
}

fn hits(state: &State, typed: &str, speaker: Option<Speaker>, when: When) -> Vec<Hit> {
    let request = SearchRequest {
        expression: expression(typed).unwrap(),
        speaker,
        when,
        limit: 10,
    };
    Reader::open(&state.log())
        .unwrap()
        .search(&request)
        .unwrap()
}

fn numbers(hits: &[Hit]) -> Vec<u64> {
    hits.iter().map(|hit| hit.turn.turn.id.0).collect()
}

#[test]
fn a_list_is_newest_first_and_as_long_as_wanted() {
    let state = household();
    let reader = Reader::open(&state.log()).unwrap();
    let list = |when, limit| {
        let turns = reader.list(&ListRequest { when, limit }).unwrap();
        turns
            .iter()
            .map(|stored| stored.turn.id.0)
            .collect::<Vec<_>>()
    };
    assert_eq!(list(ALWAYS, 100), [5, 4, 3, 2, 1]);
    assert_eq!(list(ALWAYS, 2), [5, 4]);
    let now = at("2026-11-24T12:00:00+01:00[Europe/Berlin]");
    assert_eq!(list(stretch("2026-11-20", &now).unwrap(), 100).len(), 5);
    assert_eq!(list(stretch("2026-11-21", &now).unwrap(), 100).len(), 0);
    let last = When {
        from_ms: at("2026-11-20T12:03:00+01:00[Europe/Berlin]")
            .timestamp()
            .as_millisecond(),
        until_ms: i64::MAX,
    };
    assert_eq!(list(last, 100), [5, 4]);
}

#[test]
fn all_words_must_occur_in_any_order_and_in_any_case() {
    let state = household();
    assert_eq!(search(&state, "garage DOOR"), [3, 2]);
    assert_eq!(search(&state, "tokyo"), [1]);
    assert_eq!(search(&state, "tokyo garage"), Vec::<u64>::new());
}

#[test]
fn accents_do_not_matter() {
    let state = household();
    assert_eq!(search(&state, "cafe creperie"), [4]);
    assert_eq!(search(&state, "CAFÉ"), [4]);
}

#[test]
fn phrases_exclusions_beginnings_and_alternatives_work() {
    let state = household();
    assert_eq!(search(&state, "\"garage door\""), [3, 2]);
    assert_eq!(search(&state, "\"the garage open\""), [3]);
    assert_eq!(search(&state, "garage -timer"), [3]);
    assert_eq!(search(&state, "garage NOT timer"), [3]);
    assert_eq!(search(&state, "weather"), [1]);
    assert_eq!(search(&state, "weather*"), [5, 1]);
    assert_eq!(search(&state, "we*"), [5, 1]);
    assert_eq!(
        search(&state, "w*"),
        Vec::<u64>::new(),
        "one letter is a word"
    );
    assert_eq!(search(&state, "tokyo OR café"), [4, 1]);
    assert_eq!(search(&state, "door AND timer"), [2]);
}

#[test]
fn what_looks_like_syntax_is_searched_for_and_never_an_error() {
    let state = household();
    for typed in [
        "What's",
        "what's the",
        "asked:tokyo",
        "NEAR(tokyo",
        "tokyo)",
        "(tokyo",
        "tokyo^2",
        "\"tokyo",
        "tokyo\"",
        "-",
        "OR tokyo",
        "tokyo OR",
        "tokyo AND",
        "AND OR tokyo",
        "{asked}",
        "tokyo + weather",
        "*",
        "tokyo'; DROP TABLE turns",
        "a\0b",
        "tokyo -",
        "--tokyo",
        "🦀 tokyo",
        "NOT",
        "\"\"",
        "tokyo NOT",
    ] {
        match expression(typed) {
            Ok(expression) => {
                let request = SearchRequest {
                    expression,
                    speaker: None,
                    when: ALWAYS,
                    limit: 10,
                };
                let found = Reader::open(&state.log()).unwrap().search(&request);
                assert!(found.is_ok(), "{typed:?}: {found:?}");
            }
            Err(error) => assert!(
                matches!(error, QueryError::Empty | QueryError::OnlyExclusions),
                "{typed:?}"
            ),
        }
    }
    assert_eq!(search(&state, "what's"), [1]);
    assert_eq!(search(&state, "tokyo OR"), [1]);
    assert_eq!(expression("  ?! "), Err(QueryError::Empty));
    assert_eq!(expression("-tokyo"), Err(QueryError::OnlyExclusions));
}

#[test]
fn any_text_makes_an_expression_that_the_index_understands() {
    use proptest::prelude::*;
    let state = household();
    let reader = Reader::open(&state.log()).unwrap();
    let letters = "[a-zA-Z0-9 \"*()+^:{}'.,;\u{e9}\u{1f980}\u{0}-]{0,24}|[ANDORTNEAR \"-]{0,16}";
    proptest!(ProptestConfig::with_cases(400), |(typed in letters)| {
        if let Ok(expression) = expression(&typed) {
            for speaker in [None, Some(Speaker::Hark)] {
                let request = SearchRequest { expression: expression.clone(), speaker, when: ALWAYS, limit: 5 };
                prop_assert!(reader.search(&request).is_ok(), "{expression}");
            }
        }
    });
}

#[test]
fn the_places_are_marked_on_the_side_that_said_them() {
    let state = household();
    let found = hits(&state, "garage", None, ALWAYS);
    let text = |place: &Option<hark::private::Private<String>>| {
        place.as_ref().map(|text| text.as_str().to_owned())
    };
    assert_eq!(
        text(&found[0].asked).unwrap(),
        "Is the door of the \u{2}garage\u{3} open?"
    );
    assert_eq!(
        text(&found[0].replied).unwrap(),
        "The \u{2}garage\u{3} door is open."
    );
    assert_eq!(text(&found[1].replied), None);
}

#[test]
fn a_search_can_be_kept_to_one_side_and_to_a_time() {
    let state = household();
    assert_eq!(
        numbers(&hits(&state, "timer", Some(Speaker::User), ALWAYS)),
        [2]
    );
    assert_eq!(
        numbers(&hits(&state, "open", Some(Speaker::Hark), ALWAYS)),
        [3]
    );
    assert_eq!(
        numbers(&hits(&state, "next", Some(Speaker::User), ALWAYS)),
        Vec::<u64>::new()
    );
    let minute = |minute: u32| {
        let written = format!("2026-11-20T12:{minute:02}:00+01:00[Europe/Berlin]");
        at(&written).timestamp().as_millisecond()
    };
    let second = When {
        from_ms: minute(1),
        until_ms: minute(2),
    };
    assert_eq!(numbers(&hits(&state, "garage", None, second)), [2]);
}

#[test]
fn a_clock_that_was_put_back_does_not_hide_turns_from_a_search_by_day() {
    let state = State::new();
    let running = state.running();
    for (id, day) in [(1, "20"), (2, "25"), (3, "21"), (4, "20")] {
        let began = at(&format!("2026-11-{day}T10:00:00+01:00[Europe/Berlin]"));
        running.record_at(turn(id, "a word", "yes"), &began);
    }
    running.close();
    let now = at("2026-11-26T12:00:00+01:00[Europe/Berlin]");
    let day = |day| numbers(&hits(&state, "word", None, stretch(day, &now).unwrap()));
    assert_eq!(day("2026-11-20"), [4, 1]);
    assert_eq!(day("2026-11-25"), [2]);
    assert_eq!(day("2026-11-21..2026-11-25"), [3, 2]);
}

#[test]
fn a_reader_sees_each_turn_as_soon_as_it_is_acknowledged() {
    let state = State::new();
    let running = state.running();
    running.record(turn(1, "one", "uno"));
    let reader = Reader::open(&state.log()).unwrap();
    let before = reader.data_version().unwrap();
    assert_eq!(reader.data_version().unwrap(), before);
    running.record(turn(2, "two", "due"));
    assert_ne!(reader.data_version().unwrap(), before);
    assert_eq!(reader.last().unwrap().unwrap().turn.asked.as_str(), "two");
    running.close();
}

#[test]
fn a_log_that_was_never_made_is_absent_and_an_empty_file_is_too() {
    let state = State::new();
    assert!(matches!(
        Reader::open(&state.log()),
        Err(StoreError::Absent { .. })
    ));
    std::fs::create_dir_all(state.log().parent().unwrap()).unwrap();
    std::fs::write(state.log(), "").unwrap();
    assert!(matches!(
        Reader::open(&state.log()),
        Err(StoreError::Absent { .. })
    ));
}

#[test]
fn what_is_no_database_is_damaged_and_the_message_says_what_to_do() {
    let state = State::new();
    std::fs::create_dir_all(state.log().parent().unwrap()).unwrap();
    std::fs::write(
        state.log(),
        "this is no database, but long enough to be read as one ".repeat(20),
    )
    .unwrap();
    let Err(error) = Reader::open(&state.log()) else {
        panic!("it is no database");
    };
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("hark doctor"), "{error}");
}
