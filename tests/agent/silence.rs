//! No dead air: what is said, and when, while nothing comes.

use std::sync::Arc;

use hark::agent::tools::Class;
use serde_json::json;

use crate::conversation::{Conversation, Reply, calls, says, says_after};
use crate::tools::{Log, Scripted, toolbox};

async fn slow_tool(ms: u64) -> Reply {
    let log: Arc<Log> = Arc::default();
    let tools = toolbox([Scripted {
        limit: std::time::Duration::from_secs(90),
        ..Scripted::new("look", Class::Read, &log).taking(ms)
    }]);
    let wanted = [("look", json!({"what": "your calendar"}))];
    let mut talk = Conversation::new(&tools, [calls("", &wanted), says("Two meetings today.")]);
    talk.say("what is on today").await
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_is_quick_needs_no_excuse() {
    let reply = slow_tool(900).await;
    assert_eq!(reply.said, [(920, "Two meetings today.".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_second_of_silence_is_filled_with_words_made_from_the_arguments() {
    let reply = slow_tool(3_000).await;
    let said: Vec<(u64, &str)> = reply.said.iter().map(|(ms, s)| (*ms, s.as_str())).collect();
    assert_eq!(
        said,
        [
            (1_010, "~Looking at your calendar."),
            (3_020, "Two meetings today.")
        ]
    );
    assert_eq!(
        reply.words(),
        "Two meetings today.",
        "the excuse is no part of the answer"
    );
}

#[tokio::test(start_paused = true)]
async fn eight_more_seconds_are_still_working_and_then_rarely() {
    let reply = slow_tool(60_000).await;
    let said: Vec<(u64, &str)> = reply.said.iter().map(|(ms, s)| (*ms, s.as_str())).collect();
    let filler_ends = 1_010 + 25 * 66;
    let again = filler_ends + 8_000 + 14 * 66 + 20_000;
    assert_eq!(
        said,
        [
            (1_010, "~Looking at your calendar."),
            (filler_ends + 8_000, "~Still working."),
            (again, "~Still working."),
            (again + 14 * 66 + 20_000, "~Still working."),
            (60_020, "Two meetings today.")
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_model_is_excused_too_but_not_in_a_second() {
    let log: Arc<Log> = Arc::default();
    let tools = toolbox([Scripted::new("look", Class::Read, &log)]);
    let mut talk = Conversation::new(&tools, [says_after(7_500, "Yes.")]);
    assert_eq!(
        talk.say("is it so").await.said,
        [(7_500, "Yes.".to_owned())]
    );
    let mut talk = Conversation::new(&tools, [says_after(9_000, "Yes.")]);
    let said = talk.say("is it so").await.said;
    assert_eq!(
        said,
        [
            (8_000, "~Still working.".to_owned()),
            (9_000, "Yes.".to_owned())
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn what_the_model_says_before_a_call_is_said_at_once_and_counts_as_sound() {
    let log: Arc<Log> = Arc::default();
    let tools = toolbox([Scripted::new("look", Class::Read, &log).taking(2_000)]);
    let wanted = [("look", json!({"what": "your calendar"}))];
    let mut talk = Conversation::new(
        &tools,
        [
            calls("Let me look at what is there today", &wanted),
            says("Two meetings."),
        ],
    );
    let said = talk.say("what is on today").await.said;
    // 34 letters sound for 2.2 s: longer than the tool takes.
    assert_eq!(
        said,
        [
            (20, "Let me look at what is there today".to_owned()),
            (2_030, "Two meetings.".to_owned())
        ]
    );
}
