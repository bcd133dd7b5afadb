//! `hark transcripts` after a spoken question.

use crate::support::{Home, RECEIPT, json, keys};

#[test]
fn a_spoken_question_can_be_listed_found_exported_and_explained() {
    let (home, demo) = Home::after_a_demo();
    let list = json(&home.hark(&["transcripts", "list", "--json"]).out);
    let turns = list.as_array().expect("a list");
    assert_eq!(turns.len(), 1, "one turn, one record");
    for key in [
        "id", "time", "asked", "replied", "heard", "outcome", "receipt",
    ] {
        assert!(keys(&turns[0]).contains(&key), "{key}: {}", turns[0]);
    }
    assert_eq!(turns[0]["asked"], demo["heard"]);
    assert_eq!(turns[0]["receipt"], demo["receipt"]);
    let listed = home.hark(&["transcripts", "list"]);
    assert!(
        listed.out.starts_with("today\n") && listed.out.contains("what time is it"),
        "{}",
        listed.out
    );
    let found = home.hark(&["transcripts", "search", "time"]);
    assert!(found.out.contains("what time is it"), "{}", found.out);
    assert_eq!(home.hark(&["transcripts", "search", "badger"]).code, 0);
    let exported = home.hark(&["transcripts", "export"]);
    assert!(
        exported.out.starts_with("# Conversations with Hark\n")
            && exported.out.contains("what time is it")
    );
    let lines = home
        .hark(&["transcripts", "export", "--format", "jsonl"])
        .out;
    assert_eq!(json(lines.lines().next().unwrap())["asked"], demo["heard"]);
    let why = json(&home.hark(&["transcripts", "why", "--json"]).out);
    assert!(RECEIPT.iter().all(|key| keys(&why).contains(key)), "{why}");
    assert_eq!(why["first_audio_ms"], demo["receipt"]["first_audio_ms"]);
    let shown = home.hark(&["transcripts", "show", "1"]);
    assert!(
        shown.code == 0 && shown.out.contains("what time is it"),
        "{}",
        shown.out
    );
}

#[test]
fn forgetting_needs_a_yes_and_is_thorough() {
    let (home, _) = Home::after_a_demo();
    let refused = home.hark(&["transcripts", "forget", "--all"]);
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("--yes"), "{}", refused.err);
    let done = home.hark(&["transcripts", "forget", "--all", "--yes"]);
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(
        home.hark(&["transcripts", "list"]).out,
        "Nothing has been recorded yet.\n"
    );
    let mut left = Vec::new();
    for file in std::fs::read_dir(home.path("transcripts")).unwrap() {
        left.extend(std::fs::read(file.unwrap().path()).unwrap());
    }
    assert!(
        !left.windows(12).any(|bytes| bytes == b"what time is"),
        "the words are still in the files"
    );
}

#[test]
fn what_is_not_there_is_said() {
    let home = Home::new();
    let empty = home.hark(&["transcripts", "list", "--json"]);
    assert_eq!((empty.code, json(&empty.out)), (0, serde_json::json!([])));
    let missing = home.hark(&["transcripts", "show", "99"]);
    assert_eq!(missing.code, 1, "{missing:?}");
    assert_eq!(home.hark(&["transcripts", "list", "nonsense"]).code, 2);
}
