//! What an export holds, and that it continues where it left off.

use hark::flow::Outcome;
use hark::transcripts::export::{ExportError, Exported, Format, Target, render};
use hark::transcripts::when::ALWAYS;
use hark::transcripts::{Reader, RecordId};

use super::{State, at, turn};

/// A day in a household, with everything that can happen to a turn.
pub(crate) fn household() -> State {
    let state = State::new();
    let running = state.running();
    let mut turns = vec![
        turn(
            1,
            "What's the *weather*?",
            "It is **raining**.\n\n- Take a coat\n- <b>Now</b>",
        ),
        turn(
            2,
            "Tell me a story",
            "Once upon a time there was a king who lived alone.",
        ),
        turn(3, "Never mind", ""),
        turn(4, "Why is the sky blue?", ""),
        turn(5, "Good night", "Sleep well."),
    ];
    turns[1].heard = "Once upon a time there was a king".into();
    turns[1].outcome = Outcome::Interrupted;
    turns[2].outcome = Outcome::Cancelled;
    turns[3].outcome = Outcome::Failed;
    turns[3].failure = Some("backend_unreachable".to_owned());
    let times = [
        "20T18:00:05",
        "20T18:02:00",
        "20T18:03:00",
        "20T23:59:59",
        "21T00:00:30",
    ];
    for (turn, time) in turns.into_iter().zip(times) {
        running.record_at(turn, &at(&format!("2026-11-{time}+01:00[Europe/Berlin]")));
    }
    running.close();
    state
}

fn exported(state: &State, format: Format, since: i64) -> String {
    let mut out = Vec::new();
    let reader = Reader::open(&state.log()).unwrap();
    render(&reader, format, ALWAYS, RecordId(since), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn markdown_is_a_document_that_a_person_wants_to_read() {
    insta::assert_snapshot!(exported(&household(), Format::Markdown, 0), @r"
    # Conversations with Hark

    ## Friday, 20 November 2026

    **18:00** What's the \*weather\*?

    > It is **raining**.
    >
    > - Take a coat
    > - &lt;b>Now&lt;/b>

    **18:02** Tell me a story

    > Once upon a time there was a king who lived alone.

    *interrupted after “… a time there was a king”*

    **18:03** Never mind

    *taken back*

    **23:59** Why is the sky blue?

    *failed: backend\_unreachable*

    ## Saturday, 21 November 2026

    **00:00** Good night

    > Sleep well.
    ");
}

#[test]
fn text_is_a_line_for_each_side() {
    insta::assert_snapshot!(exported(&household(), Format::Text, 3), @r"
    2026-11-20 23:59:59 You:  Why is the sky blue?
    2026-11-20 23:59:59 (failed: backend_unreachable)
    2026-11-21 00:00:30 You:  Good night
    2026-11-21 00:00:30 Hark: Sleep well.
    ");
}

#[test]
fn json_lines_hold_everything_under_the_documented_keys() {
    let lines = exported(&household(), Format::Jsonl, 4);
    insta::assert_snapshot!(lines, @r#"{"id":5,"session":1,"turn":5,"time":"2026-11-21T00:00:30.000+01:00","asked":"Good night","language":"en","confidence":0.93,"replied":"Sleep well.","heard":"Sleep well.","outcome":"completed","failure":null,"tools":[],"start":5.0,"end":7.5,"redacted":0,"receipt":{"endpoint_ms":520,"transcript_ms":810,"llm_request_ms":null,"first_token_ms":null,"first_clause_ms":null,"first_sample_ms":null,"first_audio_ms":1240,"prompt_tokens":null,"cached_tokens":null,"prefix":null,"speculation":"none","model":null,"backend":null}}"#);
}

#[test]
fn an_incremental_export_continues_where_the_last_one_ended() {
    let state = household();
    let file = state.folder().join("all.jsonl");
    let target = Target {
        file: Some(file.clone()),
        state: Some(state.folder().join("exported")),
        since: 0,
    };
    let export = || {
        let reader = Reader::open(&state.log()).unwrap();
        target
            .export(&reader, Format::Jsonl, ALWAYS, &mut Vec::new())
            .unwrap()
    };
    assert_eq!(export().turns, 5);
    assert_eq!(
        export(),
        Exported {
            turns: 0,
            last: RecordId(5)
        }
    );
    let running = state.running();
    running.record(turn(1, "one more", "yes"));
    running.close();
    assert_eq!(
        export(),
        Exported {
            turns: 1,
            last: RecordId(6)
        }
    );
    let numbers: Vec<i64> = std::fs::read_to_string(file)
        .unwrap()
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["id"]
                .as_i64()
                .unwrap()
        })
        .collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_state_file_that_is_none_is_refused() {
    let state = household();
    let target = Target {
        file: None,
        state: Some(state.folder().join("notes")),
        since: 0,
    };
    std::fs::write(state.folder().join("notes"), "buy milk").unwrap();
    let reader = Reader::open(&state.log()).unwrap();
    let error = target
        .export(&reader, Format::Text, ALWAYS, &mut Vec::new())
        .unwrap_err();
    assert!(matches!(error, ExportError::State { .. }));
    assert_eq!(
        std::fs::read_to_string(state.folder().join("notes")).unwrap(),
        "buy milk"
    );
}

#[test]
fn a_failed_export_leaves_the_old_file_and_an_exported_file_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let state = household();
    let reader = Reader::open(&state.log()).unwrap();
    let file = state.folder().join("out.md");
    let target = |file: &std::path::Path| Target {
        file: Some(file.to_owned()),
        ..Target::default()
    };
    target(&file)
        .export(&reader, Format::Markdown, ALWAYS, &mut Vec::new())
        .unwrap();
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let before = std::fs::read_to_string(&file).unwrap();
    assert!(before.starts_with("# Conversations"));

    let missing = state.folder().join("no").join("such").join("folder.md");
    let error = target(&missing)
        .export(&reader, Format::Markdown, ALWAYS, &mut Vec::new())
        .unwrap_err();
    assert!(
        error.to_string().contains("choose another place"),
        "{error}"
    );

    /// A disk that is full after the first bytes.
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let error = Target::default()
        .export(&reader, Format::Markdown, ALWAYS, &mut Full)
        .unwrap_err();
    assert!(matches!(error, ExportError::Write { .. }));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before);
}
