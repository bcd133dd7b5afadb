//! OpenClaw as the agent behind the voice, against a server that answers as its HTTP endpoint does.

use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use hark::llm::openclaw::{OpenClaw, OpenClawSettings};
use hark::llm::{ChatRequest, Delta, LlmBackend, LlmError, Message, Role, Timeouts};
use serde_json::json;

use crate::house::{PATIENCE, Scripted};
use crate::support::{Loopback, ask, read_request, send, sized, stream_head};

fn conversation() -> ChatRequest {
    ChatRequest {
        messages: vec![
            Message::new(Role::System, "Our own prompt."),
            Message::new(Role::User, "the question before"),
            Message::new(Role::Assistant, "the answer before"),
            Message::new(Role::User, "what is on my calendar"),
        ],
        tools: Vec::new(),
        max_tokens: 100,
        temperature: 0.5,
    }
}

fn openclaw(url: &str) -> OpenClaw {
    hark::platform::tls::install();
    OpenClaw::new(OpenClawSettings {
        url: url.to_owned(),
        token_file: None,
        session: "hark:voice".to_owned(),
        timeouts: Timeouts::default(),
    })
    .unwrap()
}

#[tokio::test]
async fn only_the_newest_words_go_there_under_the_name_of_our_conversation_and_with_the_token() {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    let server = Loopback::start(move |mut stream| {
        let seen = Arc::clone(&seen);
        async move {
            let Some(request) = read_request(&mut stream).await else {
                return;
            };
            seen.lock()
                .unwrap()
                .push((request.head.clone(), request.body.clone()));
            let said = |text: &str| {
                format!(
                    "data: {}\n\n",
                    json!({"choices": [{"delta": {"content": text}}]})
                )
            };
            send(&mut stream, &stream_head("text/event-stream")).await;
            for piece in [
                "{\"voice\":\"Samantha\",",
                "\"once\":true}\n",
                "Two **meetings**",
                " today.",
            ] {
                send(&mut stream, said(piece).as_bytes()).await;
            }
            send(&mut stream, b"data: [DONE]\n\n").await;
        }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "claw-token\n").unwrap();
    hark::platform::tls::install();
    let backend = OpenClaw::new(OpenClawSettings {
        url: server.url(),
        token_file: Some(token),
        session: "hark:voice".to_owned(),
        timeouts: Timeouts::default(),
    })
    .unwrap();
    let reply = ask(&backend, conversation()).await;
    assert!(reply.error.is_none(), "{reply:?}");
    assert_eq!(reply.text(), "Two **meetings** today.");
    assert_eq!(
        hark::agent::spoken::spoken(&reply.text()),
        "Two meetings today."
    );
    let (head, body) = heads.lock().unwrap()[0].clone();
    assert!(head.starts_with("POST /v1/chat/completions "), "{head}");
    assert!(
        head.to_lowercase()
            .contains("authorization: bearer claw-token"),
        "{head}"
    );
    assert_eq!(
        (&body["model"], &body["user"], &body["stream"]),
        (
            &json!("openclaw/default"),
            &json!("hark:voice"),
            &json!(true)
        )
    );
    assert_eq!(
        body["messages"],
        json!([{"role": "user", "content": "what is on my calendar"}])
    );
}

#[tokio::test]
async fn leaving_in_the_middle_cancels_its_run() {
    let (_open, closed) = tokio::sync::watch::channel(false);
    let server = Scripted::endless(closed).await;
    let backend = openclaw(&server.url());
    let mut stream = backend.chat(conversation()).await.unwrap();
    loop {
        if let Some(Ok(Delta::Text(_))) =
            tokio::time::timeout(PATIENCE, stream.next()).await.unwrap()
        {
            break;
        }
    }
    drop(stream);
    server.work.until_working(0).await;
}

#[tokio::test]
async fn its_refusals_say_which_switch_helps() {
    for (status, word) in [(404, "chatCompletions.enabled"), (401, "token_file")] {
        let server = Loopback::answering(sized(status, "{}")).await;
        match openclaw(&server.url()).chat(conversation()).await {
            Err(LlmError::Refused { message, .. }) => assert!(message.contains(word), "{message}"),
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("it was accepted"),
        }
    }
    let server = Loopback::answering(
        [stream_head("text/event-stream"), b"data: {\"choices\":[{\"delta\":{\"content\":\"Hm\"}}]}\n\ndata: {\"error\":{\"message\":\"agent failed\"}}\n\ndata: [DONE]\n\n".to_vec()].concat(),
    )
    .await;
    let reply = ask(&openclaw(&server.url()), conversation()).await;
    assert!(
        matches!(reply.error, Some(LlmError::Refused { .. })),
        "an error before the end marker is no end: {reply:?}"
    );
}
