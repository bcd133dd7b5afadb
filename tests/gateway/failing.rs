//! Backends that die, hang or are busy; clients that leave; conversations that need the model.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hark::gateway::admission::{Class, Limits};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::house::{House, PATIENCE, Scripted, TOKEN, asking, events, lines, said};
use crate::lookalike::{LookAlike, Shelf};
use crate::support::{short, sized};

#[tokio::test]
async fn a_backend_that_breaks_off_before_a_byte_is_asked_once_more() {
    let backend = Scripted::start(|mut talk| async move {
        if talk.number == 0 {
            return;
        }
        talk.head().await;
        talk.say("One sheep.").await;
        talk.done().await;
    })
    .await;
    let house = House::before("openai", &backend.url()).await;
    let (status, answer) = house.ask("/v1/chat/completions", &asking("x", false)).await;
    assert_eq!(
        (status, &answer["choices"][0]["message"]["content"]),
        (200, &json!("One sheep."))
    );
    assert_eq!(backend.work.count(), 2);
}

#[tokio::test]
async fn a_head_without_an_event_is_as_good_as_nothing() {
    let backend = Scripted::start(|mut talk| async move {
        talk.head().await;
        if talk.number > 0 {
            talk.say("One sheep.").await;
            talk.done().await;
        }
    })
    .await;
    let house = House::before("openai", &backend.url()).await;
    let (status, text) = house.post("/v1/chat/completions", &asking("x", true)).await;
    assert_eq!((status, said(&events(&text)).as_str()), (200, "One sheep."));
}

#[tokio::test]
async fn it_is_asked_once_more_only_once() {
    let backend = Scripted::start(|talk| async move { drop(talk) }).await;
    let house = House::before("openai", &backend.url()).await;
    for stream in [false, true] {
        let before = backend.work.count();
        let (status, answer) = house
            .ask("/v1/chat/completions", &asking("x", stream))
            .await;
        assert_eq!(
            (status, &answer["error"]["code"]),
            (502, &json!("backend_died"))
        );
        assert_eq!(backend.work.count() - before, 2);
    }
    let (status, answer) = house.ask("/api/chat", &asking("x", true)).await;
    assert_eq!(status, 502);
    assert!(answer["error"].is_string());
    let nobody = House::before("openai", "http://127.0.0.1:9/v1").await;
    let response = nobody
        .send("/v1/chat/completions", &asking("x", true))
        .await;
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn a_death_in_the_middle_never_looks_like_an_end() {
    let backend = Scripted::start(|mut talk| async move {
        talk.head().await;
        talk.say("One sheep").await;
    })
    .await;
    let house = House::before("openai", &backend.url()).await;
    let (status, text) = house.post("/v1/chat/completions", &asking("x", true)).await;
    assert_eq!(status, 200);
    let seen = events(&text);
    assert_eq!(said(&seen), "One sheep");
    assert_eq!(seen.last().unwrap()["error"]["code"], "backend_died");
    assert!(!text.contains("[DONE]"));
    let (_, text) = house.post("/api/chat", &asking("x", true)).await;
    let seen = lines(&text);
    assert!(seen.last().unwrap()["error"].is_string(), "{text}");
    assert!(seen.iter().all(|line| line["done"] != true));
    let (status, _) = house.ask("/v1/chat/completions", &asking("x", false)).await;
    assert_eq!(status, 502);
    // Text had come: nobody was asked twice.
    assert_eq!(backend.work.count(), 3);
}

#[tokio::test]
async fn an_error_inside_a_stream_is_passed_on_in_the_clients_words() {
    let backend = Scripted::start(|mut talk| async move {
        talk.head().await;
        talk.say("One").await;
        talk.event(&json!({"error": {"message": "out of memory", "code": 500}}))
            .await;
    })
    .await;
    let house = House::before("openai", &backend.url()).await;
    let (_, text) = house.post("/v1/chat/completions", &asking("x", true)).await;
    assert!(
        events(&text).last().unwrap()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("out of memory")
    );
    let full = r#"{"error":{"code":400,"message":"the request exceeds the context","type":"exceed_context_size_error"}}"#;
    let refusing = crate::support::Loopback::answering(sized(400, full)).await;
    let house = House::before("openai", &format!("{}/v1", refusing.url())).await;
    let (status, answer) = house.ask("/v1/chat/completions", &asking("x", true)).await;
    assert_eq!(
        (status, &answer["error"]["code"]),
        (400, &json!("context_length_exceeded"))
    );
}

#[tokio::test]
async fn a_backend_that_hangs_is_given_up_and_its_place_is_free() {
    let backend = Scripted::start(|mut talk| async move {
        if talk.body["messages"][0]["content"] != "hang" {
            talk.head().await;
            talk.say("One").await;
            talk.done().await;
            return;
        }
        if talk.body["late"] == true {
            talk.head().await;
            talk.say("One").await;
        }
        tokio::time::sleep(PATIENCE).await;
    })
    .await;
    let house = House::with("openai", &backend.url(), Limits::default(), short()).await;
    let (status, answer) = house
        .ask("/v1/chat/completions", &asking("hang", false))
        .await;
    assert_eq!(
        (status, &answer["error"]["code"]),
        (504, &json!("backend_silent"))
    );
    let mut late = asking("hang", true);
    late["late"] = json!(true);
    let (status, text) = house.post("/v1/chat/completions", &late).await;
    assert_eq!(status, 200);
    assert_eq!(
        events(&text).last().unwrap()["error"]["code"],
        "backend_silent"
    );
    assert_eq!(house.gate.counts(), (0, 0));
    assert_eq!(
        house
            .ask("/v1/chat/completions", &asking("x", false))
            .await
            .0,
        200
    );
}

/// Leaves in the middle, by dropping the connection.
async fn leave(house: &House, path: &str, body: &Value, backend: &Scripted) {
    let sent = reqwest::Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(0)
        .build()
        .unwrap();
    let request = sent
        .post(house.url(path))
        .bearer_auth(TOKEN)
        .json(body)
        .send();
    let request = tokio::spawn(async move {
        let response = request.await.unwrap();
        drop(response.bytes().await);
    });
    backend.work.until_working(1).await;
    request.abort();
    assert!(request.await.unwrap_err().is_cancelled());
}

#[tokio::test]
async fn a_client_that_leaves_frees_the_place_and_the_backend_whether_it_reads_a_stream_or_not() {
    let (_open, closed) = watch::channel(false);
    let backend = Scripted::endless(closed).await;
    let house = House::before("openai", &backend.url()).await;
    for (path, stream) in [
        ("/v1/chat/completions", true),
        ("/v1/chat/completions", false),
        ("/api/chat", true),
        ("/api/chat", false),
    ] {
        leave(&house, path, &asking("x", stream), &backend).await;
        let left = std::time::Instant::now();
        backend.work.until_working(0).await;
        eprintln!(
            "{path} stream={stream}: the backend was free {:?} after the client had left",
            left.elapsed()
        );
        let by = tokio::time::Instant::now() + PATIENCE;
        while house.gate.counts() != (0, 0) {
            assert!(tokio::time::Instant::now() < by, "the place is still taken");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_the_queue_is_forgotten() {
    let (open, closed) = watch::channel(false);
    let backend = Scripted::endless(closed).await;
    let house = House::before("openai", &backend.url()).await;
    let running = tokio::spawn({
        let request = house
            .client
            .post(house.url("/v1/chat/completions"))
            .bearer_auth(TOKEN)
            .json(&asking("x", false))
            .send();
        async move { request.await.unwrap().status() }
    });
    backend.work.until_working(1).await;
    for stream in [true, false] {
        let waiting = tokio::spawn(
            house
                .client
                .post(house.url("/api/chat"))
                .bearer_auth(TOKEN)
                .json(&asking("x", stream))
                .send(),
        );
        until(|| house.gate.counts() == (1, 1)).await;
        waiting.abort();
        until(|| house.gate.counts() == (1, 0)).await;
    }
    open.send(true).unwrap();
    assert_eq!(running.await.unwrap(), 200);
    assert_eq!(backend.work.count(), 1);
}

async fn until(holds: impl Fn() -> bool) {
    let by = tokio::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(tokio::time::Instant::now() < by, "it never came to pass");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Says fifty words, always the same, slowly enough to be interrupted; counts how often it was.
async fn reciting(cut: Arc<AtomicUsize>) -> Scripted {
    Scripted::start(move |mut talk| {
        let cut = Arc::clone(&cut);
        async move {
            talk.head().await;
            for word in 0..50 {
                if !talk.say(&format!("{word} ")).await {
                    cut.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                tokio::time::sleep(Duration::from_millis(4)).await;
            }
            talk.done().await;
        }
    })
    .await
}

fn recital() -> String {
    (0..50).map(|word| format!("{word} ")).collect()
}

#[tokio::test]
async fn a_conversation_takes_the_model_at_once_and_the_others_get_their_whole_answers_later() {
    let cut = Arc::new(AtomicUsize::new(0));
    let backend = reciting(Arc::clone(&cut)).await;
    for stream in [false, true] {
        let house = House::before("openai", &backend.url()).await;
        let request = house
            .client
            .post(house.url("/v1/chat/completions"))
            .bearer_auth(TOKEN)
            .json(&asking("x", stream))
            .send();
        let reading = tokio::spawn(async move { request.await.unwrap().text().await.unwrap() });
        for turn in 0..2 {
            backend.work.until_working(1).await;
            // Some words have been said by now.
            tokio::time::sleep(Duration::from_millis(30)).await;
            let asked = std::time::Instant::now();
            let place = tokio::time::timeout(PATIENCE, house.gate.admit(Class::Voice))
                .await
                .unwrap()
                .unwrap();
            eprintln!(
                "stream={stream} turn {turn}: the conversation waited {:?}",
                asked.elapsed()
            );
            backend.work.until_working(0).await;
            assert_eq!(house.gate.counts(), (1, 1));
            drop(place);
        }
        let text = tokio::time::timeout(PATIENCE, reading)
            .await
            .unwrap()
            .unwrap();
        if stream {
            let events = events(&text);
            assert_eq!(said(&events), recital(), "every word once");
            assert_eq!(events.last(), Some(&Value::Null));
        } else {
            let answer: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(
                answer["choices"][0]["message"]["content"],
                recital().as_str()
            );
        }
    }
    assert_eq!(cut.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_reply_that_begins_otherwise_the_second_time_is_told_as_an_error() {
    let (_open, closed) = watch::channel(false);
    let backend = Scripted::start(move |mut talk| {
        let mut closed = closed.clone();
        async move {
            talk.head().await;
            talk.say(&format!("answer {}", talk.number)).await;
            closed.changed().await.ok();
        }
    })
    .await;
    let house = House::before("openai", &backend.url()).await;
    let mut response = house.send("/v1/chat/completions", &asking("x", true)).await;
    assert!(response.chunk().await.unwrap().is_some());
    drop(house.gate.admit(Class::Voice).await.unwrap());
    let rest = tokio::time::timeout(PATIENCE, response.text())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        events(&rest).last().unwrap()["error"]["code"],
        "interrupted",
        "{rest}"
    );
    assert!(!rest.contains("[DONE]"));
}

#[tokio::test]
async fn while_a_turn_is_under_way_others_wait_and_then_run() {
    let backend = Scripted::polite().await;
    let house = House::before("openai", &backend.url()).await;
    house.gate.hold();
    let request = house
        .client
        .post(house.url("/v1/chat/completions"))
        .bearer_auth(TOKEN)
        .json(&asking("x", false))
        .send();
    let waiting = tokio::spawn(async move { request.await.unwrap().status() });
    until(|| house.gate.counts() == (0, 1)).await;
    drop(house.gate.admit(Class::Voice).await.unwrap());
    assert_eq!(house.gate.counts(), (0, 1));
    assert_eq!(backend.work.count(), 0);
    house.gate.release();
    assert_eq!(
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .unwrap()
            .unwrap(),
        200
    );
}

#[tokio::test]
async fn want_of_memory_and_shutdown_are_typed_refusals() {
    let (_open, closed) = watch::channel(false);
    let backend = Scripted::endless(closed).await;
    let house = House::before("openai", &backend.url()).await;
    house.gate.set_no_memory(Some((16 << 30, 3 << 30)));
    let (status, answer) = house.ask("/v1/chat/completions", &asking("x", true)).await;
    assert_eq!(
        (status, &answer["error"]["code"]),
        (503, &json!("no_memory"))
    );
    assert_eq!(answer["error"]["need_bytes"], json!(16_u64 << 30));
    assert!(
        house.gate.admit(Class::Voice).await.is_ok(),
        "voice is never refused for memory"
    );
    house.gate.set_no_memory(None);
    let mut running = house.send("/v1/chat/completions", &asking("x", true)).await;
    assert!(running.chunk().await.unwrap().is_some());
    let request = house
        .client
        .post(house.url("/api/chat"))
        .bearer_auth(TOKEN)
        .json(&asking("x", true))
        .send();
    let waiting =
        tokio::spawn(async move { request.await.map(|response| response.status().as_u16()) });
    until(|| house.gate.counts() == (1, 1)).await;
    house.stop().await;
    assert_eq!(waiting.await.unwrap().unwrap(), 503);
    backend.work.until_working(0).await;
}

#[tokio::test]
async fn ollamas_own_error_lines_and_cut_streams_are_errors_for_every_client() {
    for (body, words) in [
        (
            "{\"message\":{\"content\":\"One\"},\"done\":false}\n{\"error\":\"the runner died\"}\n",
            "the runner died",
        ),
        (
            "{\"message\":{\"content\":\"One\"},\"done\":false}\n",
            "broke off",
        ),
    ] {
        let lines_of_death = body.to_owned();
        let server = crate::support::Loopback::start(move |mut stream| {
            let body = lines_of_death.clone();
            async move {
                let Some(request) = crate::support::read_request(&mut stream).await else {
                    return;
                };
                let answer = match request.line() {
                    "GET /api/tags" | "GET /api/ps" => {
                        sized(200, r#"{"models":[{"name":"tiny:latest"}]}"#)
                    }
                    _ => [
                        crate::support::stream_head("application/x-ndjson"),
                        body.into_bytes(),
                    ]
                    .concat(),
                };
                crate::support::send(&mut stream, &answer).await;
            }
        })
        .await;
        let house = House::before("ollama", &server.url()).await;
        let (_, text) = house.post("/v1/chat/completions", &asking("x", true)).await;
        assert!(text.contains(words) && !text.contains("[DONE]"), "{text}");
        let (_, text) = house.post("/api/chat", &asking("x", true)).await;
        assert!(
            lines(&text).last().unwrap()["error"]
                .as_str()
                .unwrap()
                .contains(words),
            "{text}"
        );
        let (status, _) = house.ask("/api/chat", &asking("x", false)).await;
        assert_eq!(status, 502);
    }
    let ollama = LookAlike::start(Shelf::default()).await;
    let house = House::before("ollama", &ollama.server.url()).await;
    assert_eq!(
        house.post("/api/chat", &asking("hello", false)).await.0,
        200
    );
}
