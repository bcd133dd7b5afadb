//! One reply: its events, its limits, its second chances.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hark::agent::consent::Permissions;
use hark::agent::decision::Decision;
use hark::agent::engine::{AgentEvent, Ask, Ended, FailureKind, Limits, reply};
use hark::agent::journal::Journal;
use hark::agent::prompt::{History, SYSTEM, question};
use hark::agent::tools::Toolbox;
use hark::llm::{Delta, FinishReason, LlmError, Role, ToolCall, Usage};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::scripted::{Answer, Scripted};

fn text(words: &str) -> Result<Delta, LlmError> {
    Ok(Delta::Text(words.to_owned()))
}

fn done(reason: FinishReason) -> Result<Delta, LlmError> {
    Ok(Delta::Done {
        reason,
        usage: Usage {
            prompt_tokens: Some(7),
            ..Usage::default()
        },
    })
}

fn call(name: &str) -> Result<Delta, LlmError> {
    Ok(Delta::ToolCall(ToolCall {
        id: "c1".to_owned(),
        name: name.to_owned(),
        arguments: json!({"a": 1}),
    }))
}

fn yes() -> Answer {
    Answer::Stream(
        100,
        vec![
            (50, text("Yes")),
            (10, text(".")),
            (10, done(FinishReason::Stop)),
        ],
    )
}

fn ask_of(backend: &Arc<Scripted>, limits: Limits) -> Ask {
    Ask {
        backend: Arc::clone(backend) as _,
        system: SYSTEM.into(),
        history: History::default(),
        question: question("Really?", None),
        tools: Toolbox::default(),
        permissions: Permissions::default(),
        granted: None,
        journal: Journal::default(),
        limits,
        decided: Decision::made(),
        language: None,
    }
}

/// Everything that a consumer saw, each with its milliseconds from the start.
struct Seen {
    events: Vec<(u64, AgentEvent)>,
    ended: Ended,
    took: Duration,
}

impl Seen {
    /// The events as short words.
    fn story(&self) -> Vec<String> {
        self.events.iter().map(|(_, event)| short(event)).collect()
    }

    fn at(&self, wanted: &str) -> u64 {
        self.events
            .iter()
            .find(|(_, event)| short(event) == wanted)
            .unwrap_or_else(|| panic!("no {wanted}"))
            .0
    }
}

fn short(event: &AgentEvent) -> String {
    match event {
        AgentEvent::Requested(info) => format!("requested {}", info.name),
        AgentEvent::Waiting(what) => format!("waiting {what:?}"),
        AgentEvent::FirstToken => "first".to_owned(),
        AgentEvent::Text(text) => text.as_str().to_owned(),
        AgentEvent::Usage(_) => "usage".to_owned(),
        AgentEvent::ToolBegun { name, .. } => format!("begun {name}"),
        AgentEvent::ToolEnded { name, outcome } => format!("ended {name} {outcome}"),
        AgentEvent::Did(did) => format!("did {}", did.as_str()),
        AgentEvent::Asks(question) => format!("asks {}", question.as_str()),
        AgentEvent::Done { reason } => format!("done {reason:?}"),
        AgentEvent::Failed { kind, .. } => format!("failed {}", kind.as_str()),
    }
}

async fn run(ask: Ask) -> Seen {
    let (sender, mut events) = mpsc::channel(4);
    let began = Instant::now();
    let task = tokio::spawn(reply(ask, CancellationToken::new(), sender));
    let mut seen = Vec::new();
    while let Some(event) = events.recv().await {
        seen.push((began.elapsed().as_millis() as u64, event));
    }
    Seen {
        events: seen,
        ended: task.await.unwrap(),
        took: began.elapsed(),
    }
}

async fn run_with(answers: impl IntoIterator<Item = Answer>) -> (Seen, Arc<Scripted>) {
    let backend = Scripted::new(answers);
    let seen = run(ask_of(&backend, Limits::default())).await;
    assert_eq!(backend.open.load(Ordering::SeqCst), 0, "the slot is free");
    (seen, backend)
}

#[tokio::test(start_paused = true)]
async fn a_reply_is_told_from_the_request_to_its_end_as_it_comes() {
    let (seen, backend) = run_with([yes()]).await;
    assert_eq!(
        seen.story(),
        [
            "requested scripted",
            "first",
            "Yes",
            ".",
            "usage",
            "done Stop"
        ]
    );
    assert_eq!(
        (
            seen.at("requested scripted"),
            seen.at("first"),
            seen.at("done Stop")
        ),
        (0, 150, 170)
    );
    assert_eq!(seen.ended, Ended::Done);
    let requests = backend.requests.lock().unwrap();
    assert_eq!(requests.len(), 1);
    assert_eq!(
        (
            requests[0].messages[0].content.as_str(),
            requests[0].max_tokens
        ),
        (SYSTEM, 512)
    );
}

#[tokio::test(start_paused = true)]
async fn thinking_prefill_and_blanks_are_no_first_token() {
    let stream = vec![
        (5_000, Ok(Delta::Prefill { done: 1, total: 9 })),
        (1_000, Ok(Delta::Reasoning("hm".to_owned()))),
        (1_000, text("\n")),
        (1_000, text("Yes")),
        (0, done(FinishReason::Stop)),
    ];
    let (seen, _) = run_with([Answer::Stream(0, stream)]).await;
    assert_eq!(seen.at("first"), 8_000);
    assert_eq!(
        seen.at("waiting Quiet"),
        4_000,
        "until the first sign of life"
    );
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_before_anything_came_is_tried_once_more() {
    let broken = || Answer::Stream(0, vec![(10, Err(LlmError::Cut))]);
    let (seen, _) = run_with([broken(), yes()]).await;
    assert_eq!(
        seen.story(),
        [
            "requested scripted",
            "first",
            "Yes",
            ".",
            "usage",
            "done Stop"
        ]
    );
    let (seen, _) = run_with([Answer::Refuse(0, LlmError::Cut), yes()]).await;
    assert_eq!(seen.ended, Ended::Done);
    let (seen, backend) = run_with([broken(), broken()]).await;
    assert_eq!(seen.story(), ["requested scripted", "failed reply_cut"]);
    assert_eq!(backend.requests.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_breaks_in_the_middle_is_not_begun_again() {
    let (seen, backend) = run_with([Answer::Stream(
        0,
        vec![(10, text("Ye")), (10, Err(LlmError::Cut))],
    )])
    .await;
    assert_eq!(
        seen.story(),
        ["requested scripted", "first", "Ye", "failed reply_cut"]
    );
    assert_eq!(seen.ended, Ended::Failed(FailureKind::Cut));
    assert_eq!(backend.requests.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_loading_model_is_waited_for_and_said_once() {
    let loading = (0..20).map(|_| Answer::Refuse(10, LlmError::Loading));
    let (seen, _) = run_with(loading.chain([yes()])).await;
    assert_eq!(
        seen.story(),
        [
            "requested scripted",
            "waiting Loading",
            "first",
            "Yes",
            ".",
            "usage",
            "done Stop"
        ]
    );
    assert_eq!(
        (seen.at("waiting Loading"), seen.at("first")),
        (10, 20 * 510 + 150)
    );
}

#[tokio::test(start_paused = true)]
async fn a_model_that_never_loads_fails_at_its_limit() {
    // At once, or only after the second that a question to a loading server may take.
    for after in [0, 1_000] {
        let loading = (0..1_000).map(|_| Answer::Refuse(after, LlmError::Loading));
        let (seen, _) = run_with(loading).await;
        assert_eq!(
            seen.story(),
            [
                "requested scripted",
                "waiting Loading",
                "failed model_loading"
            ]
        );
        assert_eq!(seen.took, Duration::from_millis(180_000 + after));
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_keeps_quiet_is_told_of_once_and_still_waited_for() {
    let (seen, _) = run_with([Answer::Stream(
        60_000,
        vec![(60_000, text("Yes")), (0, done(FinishReason::Stop))],
    )])
    .await;
    assert_eq!(
        seen.story(),
        [
            "requested scripted",
            "waiting Quiet",
            "first",
            "Yes",
            "usage",
            "done Stop"
        ]
    );
    assert_eq!(
        (seen.at("waiting Quiet"), seen.at("first")),
        (4_000, 120_000)
    );
}

#[tokio::test(start_paused = true)]
async fn each_error_of_the_backend_is_told_by_its_kind_and_not_tried_again() {
    let message = || "words".to_owned();
    let cases = [
        (
            LlmError::NoModel {
                model: "x".to_owned(),
                message: message(),
            },
            FailureKind::NoModel,
        ),
        (LlmError::Busy { message: message() }, FailureKind::Busy),
        (
            LlmError::TooLong { message: message() },
            FailureKind::TooLong,
        ),
        (
            LlmError::Refused {
                status: 500,
                message: message(),
            },
            FailureKind::Refused,
        ),
        (LlmError::Silent { seconds: 30 }, FailureKind::Silent),
        (
            LlmError::Protocol { message: message() },
            FailureKind::Protocol,
        ),
    ];
    for (error, kind) in cases {
        let words = error.to_string();
        let (seen, _) = run_with([Answer::Refuse(5, error)]).await;
        assert_eq!(seen.ended, Ended::Failed(kind));
        let Some((5, AgentEvent::Failed { message, .. })) = seen.events.last() else {
            panic!("{:?}", seen.story())
        };
        assert_eq!(message.as_str(), words);
        assert!(
            !kind.remedy().is_empty() && !format!("{:?}", seen.events).contains("words"),
            "the words stay private"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_prompt_that_is_too_long_after_all_is_sent_again_with_half_of_its_history() {
    let backend = Scripted::new([
        Answer::Refuse(
            0,
            LlmError::TooLong {
                message: "8 > 7".to_owned(),
            },
        ),
        yes(),
    ]);
    let mut history = History::default();
    for turn in 0..40 {
        history.push(
            question(&format!("question {turn} {}", "word ".repeat(40)), None),
            &"answer ".repeat(30),
        );
    }
    let limits = Limits {
        prompt_tokens: history.tokens() + 1_000,
        ..Limits::default()
    };
    let seen = run(Ask {
        history,
        ..ask_of(&backend, limits)
    })
    .await;
    assert_eq!(seen.ended, Ended::Done);
    let requests = backend.requests.lock().unwrap();
    let (first, second) = (&requests[0].messages, &requests[1].messages);
    assert_eq!(first.len(), 1 + 80 + 1);
    assert!(second.len() < 1 + 60, "{} messages", second.len());
    assert_eq!(
        (second[0].content.as_str(), second[1].role),
        (SYSTEM, Role::User),
        "the static prompt stays, turns are whole"
    );
    assert_eq!(
        second[second.len() - 3..],
        first[first.len() - 3..],
        "the newest stay"
    );
}

#[tokio::test(start_paused = true)]
async fn a_history_over_the_budget_loses_its_oldest_turns_before_it_is_sent() {
    let backend = Scripted::new([yes()]);
    let mut history = History::default();
    for turn in 0..40 {
        history.push(
            question(&format!("question {turn}"), None),
            &"answer ".repeat(30),
        );
    }
    let limits = Limits {
        prompt_tokens: history.tokens() / 2,
        ..Limits::default()
    };
    run(Ask {
        history,
        ..ask_of(&backend, limits)
    })
    .await;
    let requests = backend.requests.lock().unwrap();
    let sent: u32 = requests[0]
        .messages
        .iter()
        .map(|message| hark::agent::prompt::estimate_tokens(&message.content))
        .sum();
    assert!(
        requests[0].messages.len() > 3 && sent < limits.prompt_tokens,
        "{} messages, {sent} tokens",
        requests[0].messages.len()
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_of_an_unknown_tool_is_answered_once_and_then_told() {
    let calling = || {
        Answer::Stream(
            0,
            vec![
                (10, call("get_weather")),
                (0, done(FinishReason::ToolCalls)),
            ],
        )
    };
    let (seen, backend) = run_with([calling(), yes()]).await;
    assert_eq!(
        seen.story(),
        [
            "requested scripted",
            "usage",
            "ended get_weather unknown",
            "first",
            "Yes",
            ".",
            "usage",
            "done Stop"
        ]
    );
    let requests = std::mem::take(&mut *backend.requests.lock().unwrap());
    let [.., said, answered] = &requests[1].messages[..] else {
        panic!()
    };
    assert_eq!(
        (said.role, said.tool_calls[0].name.as_str()),
        (Role::Assistant, "get_weather")
    );
    assert_eq!(
        (
            answered.role,
            answered.tool_call_id.as_deref(),
            answered.tool_name.as_deref()
        ),
        (Role::Tool, Some("c1"), Some("get_weather"))
    );
    assert!(answered.content.contains("no tool named get_weather"));

    let (seen, _) = run_with([calling(), calling()]).await;
    assert_eq!(seen.ended, Ended::Failed(FailureKind::UnknownTool));
}

#[tokio::test(start_paused = true)]
async fn a_reply_without_a_word_is_a_failure_and_not_silence() {
    let stream = vec![
        (10, Ok(Delta::Reasoning("hm".to_owned()))),
        (0, done(FinishReason::Stop)),
    ];
    let (seen, _) = run_with([Answer::Stream(0, stream)]).await;
    assert_eq!(
        seen.story(),
        ["requested scripted", "usage", "failed empty_reply"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_takes_too_long_is_ended_with_what_came() {
    let backend = Scripted::new([Answer::Endless(1_000, Delta::Text("la ".to_owned()))]);
    let seen = run(ask_of(
        &backend,
        Limits {
            total: Duration::from_millis(20_500),
            ..Limits::default()
        },
    ))
    .await;
    assert_eq!(seen.ended, Ended::Failed(FailureKind::TimeLimit));
    assert_eq!(
        (seen.took, seen.events.len()),
        (Duration::from_millis(20_500), 2 + 20 + 1)
    );
    assert_eq!(backend.open.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ignores_the_token_limit_is_cut_off() {
    for endless in [
        Delta::Text("blah".to_owned()),
        Delta::Reasoning("hmmm".to_owned()),
    ] {
        let is_text = matches!(endless, Delta::Text(_));
        let backend = Scripted::new([Answer::Endless(1, endless)]);
        let seen = run(ask_of(
            &backend,
            Limits {
                max_tokens: 10,
                ..Limits::default()
            },
        ))
        .await;
        let expected = if is_text {
            Ended::Done
        } else {
            Ended::Failed(FailureKind::Empty)
        };
        assert_eq!(
            (seen.ended, backend.open.load(Ordering::SeqCst)),
            (expected, 0)
        );
        assert!(seen.took < Duration::from_millis(60), "{:?}", seen.took);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_reply_frees_the_slot_at_once_and_says_nothing_more() {
    for full in [false, true] {
        let backend = Scripted::new([Answer::Endless(10, Delta::Text("la ".to_owned()))]);
        let (sender, mut events) = mpsc::channel(4);
        let cancel = CancellationToken::new();
        let task = tokio::spawn(reply(
            ask_of(&backend, Limits::default()),
            cancel.clone(),
            sender,
        ));
        if full {
            // Nobody reads: the reply hangs on the full channel when it is cancelled.
            tokio::time::sleep(Duration::from_secs(1)).await;
        } else {
            while !matches!(events.recv().await, Some(AgentEvent::Text(_))) {}
        }
        let began = Instant::now();
        cancel.cancel();
        assert_eq!(task.await.unwrap(), Ended::Abandoned);
        assert_eq!(
            (began.elapsed(), backend.open.load(Ordering::SeqCst)),
            (Duration::ZERO, 0)
        );
        while let Some(event) = events.recv().await {
            assert!(
                !matches!(event, AgentEvent::Done { .. } | AgentEvent::Failed { .. }),
                "{event:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_goes_away_ends_the_reply_even_while_nothing_comes() {
    let backend = Scripted::new([Answer::Stream(100_000, Vec::new())]);
    let (sender, mut events) = mpsc::channel(4);
    let began = Instant::now();
    let task = tokio::spawn(reply(
        ask_of(&backend, Limits::default()),
        CancellationToken::new(),
        sender,
    ));
    assert!(matches!(
        events.recv().await,
        Some(AgentEvent::Requested(_))
    ));
    drop(events);
    assert_eq!(task.await.unwrap(), Ended::Abandoned);
    assert_eq!(
        (began.elapsed(), backend.open.load(Ordering::SeqCst)),
        (Duration::ZERO, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_consumer_holds_the_stream_back_and_loses_nothing() {
    let words: Vec<_> = (0..50)
        .map(|number| (0, text(&format!("{number} "))))
        .chain([(0, done(FinishReason::Stop))])
        .collect();
    let backend = Scripted::new([Answer::Stream(0, words)]);
    let (sender, mut events) = mpsc::channel(2);
    let task = tokio::spawn(reply(
        ask_of(&backend, Limits::default()),
        CancellationToken::new(),
        sender,
    ));
    let mut said = String::new();
    while let Some(event) = events.recv().await {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if let AgentEvent::Text(text) = event {
            said.push_str(text.as_str());
        }
    }
    assert_eq!(task.await.unwrap(), Ended::Done);
    assert_eq!(
        said,
        (0..50)
            .map(|number| format!("{number} "))
            .collect::<String>()
    );
}

#[tokio::test(start_paused = true)]
async fn a_reply_begun_in_a_pause_of_the_user_talks_but_calls_nothing_before_the_turn_is_decided() {
    let backend = Scripted::new([
        Answer::Stream(
            10,
            vec![
                (10, text("Looking. ")),
                (0, call("lights")),
                (0, done(FinishReason::ToolCalls)),
            ],
        ),
        yes(),
    ]);
    let decision = Decision::open();
    let ask = Ask {
        decided: decision.clone(),
        ..ask_of(&backend, Limits::default())
    };
    let (sender, mut events) = mpsc::channel(16);
    let task = tokio::spawn(reply(ask, CancellationToken::new(), sender));
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut before = Vec::new();
    while let Ok(event) = events.try_recv() {
        before.push(short(&event));
    }
    assert!(before.contains(&"Looking. ".to_owned()), "{before:?}");
    assert_eq!(
        backend.requests.lock().unwrap().len(),
        1,
        "nothing was called, nothing answered"
    );
    decision.make();
    assert_eq!(task.await.unwrap(), Ended::Done);
    assert_eq!(backend.requests.lock().unwrap().len(), 2);
}
