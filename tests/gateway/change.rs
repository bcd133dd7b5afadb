//! Another backend takes over: who is being served ends there, who comes waits and is served by the new one.

use std::time::Duration;

use hark::llm::Timeouts;
use hark::llm::upstream::Upstream;
use serde_json::json;
use tokio::sync::watch;

use crate::house::{House, PATIENCE, Scripted, asking, events, said, settings};

fn upstream(backend: &Scripted) -> Upstream {
    Upstream::open(
        "openai",
        &settings("openai", &backend.url(), Timeouts::default()),
    )
    .unwrap()
}

#[tokio::test]
async fn a_request_in_the_middle_of_a_change_waits_and_goes_to_the_new_backend() {
    let (old, new) = (Scripted::polite().await, Scripted::polite().await);
    let house = House::before("openai", &old.url()).await;
    house.resident.serves(upstream(&old));
    house.ask("/v1/chat/completions", &asking("x", false)).await;
    house.resident.changes();
    let (body, path) = (asking("y", false), "/v1/chat/completions");
    let waiting = house.ask(path, &body);
    tokio::pin!(waiting);
    let early = tokio::time::timeout(Duration::from_millis(300), &mut waiting).await;
    assert!(early.is_err(), "nobody can answer yet: {early:?}");
    // What does not need the model is answered at once.
    let (status, _) = house.get("/api/version").await;
    assert_eq!(status, 200);
    house.resident.serves(upstream(&new));
    let (status, answer) = tokio::time::timeout(PATIENCE, waiting).await.unwrap();
    assert_eq!(
        (status, &answer["choices"][0]["message"]["content"]),
        (200, &json!("One sheep."))
    );
    assert_eq!((old.work.count(), new.work.count()), (1, 1));
}

#[tokio::test]
async fn who_is_served_ends_there_and_who_waited_for_that_place_goes_to_the_new_one() {
    let (open, gate) = watch::channel(false);
    let (old, new) = (Scripted::endless(gate).await, Scripted::polite().await);
    let house = House::before("openai", &old.url()).await;
    house.resident.serves(upstream(&old));
    let (first, second) = (asking("x", true), asking("y", true));
    let served = house.post("/v1/chat/completions", &first);
    let queued = house.post("/v1/chat/completions", &second);
    let change = async {
        old.work.until_working(1).await;
        while house.gate.counts() != (1, 1) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        house.resident.changes();
        open.send_replace(true);
        // Whoever changes waits until nobody has a place.
        while house.gate.counts() != (0, 0) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        house.resident.serves(upstream(&new));
    };
    let all = async { tokio::join!(served, queued, change) };
    let ((_, one), (_, two), ()) = tokio::time::timeout(PATIENCE, all).await.unwrap();
    let both = [said(&events(&one)), said(&events(&two))];
    assert!(both.iter().any(|said| said.contains("sheep 1")), "{both:?}");
    assert!(both.contains(&"One sheep.".to_owned()), "{both:?}");
    assert_eq!(
        (
            old.work.served.load(std::sync::atomic::Ordering::SeqCst),
            new.work.count()
        ),
        (1, 1)
    );
}

#[tokio::test]
async fn a_daemon_that_keeps_none_any_more_lets_clients_look() {
    let (old, other) = (Scripted::polite().await, Scripted::polite().await);
    let house = House::before("openai", &other.url()).await;
    house.resident.serves(upstream(&old));
    house.resident.forget();
    house.ask("/v1/chat/completions", &asking("x", false)).await;
    assert_eq!(old.work.count(), 1, "what the daemon told is not forgotten");
    house.resident.look_again();
    house.ask("/v1/chat/completions", &asking("x", false)).await;
    assert_eq!((old.work.count(), other.work.count()), (1, 1));
}
