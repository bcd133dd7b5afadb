//! Two hundred clients at once, and a conversation among them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use hark::gateway::admission::{Class, Limits};
use hark::llm::Timeouts;
use tokio::task::JoinSet;

use crate::house::{House, PATIENCE, Scripted, TOKEN, asking, events, said};

const CROWD: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_clients_are_all_answered_one_after_another() {
    let backend = Scripted::polite().await;
    let house = House::before("openai", &backend.url()).await;
    let mut crowd = JoinSet::new();
    for number in 0..CROWD {
        let stream = number % 2 == 0;
        let path = if number % 4 < 2 {
            "/v1/chat/completions"
        } else {
            "/api/chat"
        };
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client
            .post(house.url(path))
            .bearer_auth(TOKEN)
            .header("x-hark-client", format!("client {}", number % 20))
            .json(&asking("count", stream))
            .send();
        crowd.spawn(async move {
            let response = request.await.unwrap();
            let status = response.status().as_u16();
            let text = response.text().await.unwrap();
            (status, text.contains("sheep"))
        });
    }
    let mut voice = Duration::ZERO;
    for _ in 0..5 {
        let asked = std::time::Instant::now();
        let place = house.gate.admit(Class::Voice).await.unwrap();
        voice = voice.max(asked.elapsed());
        drop(place);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let all = async {
        let mut answered = 0;
        while let Some(ended) = crowd.join_next().await {
            assert_eq!(ended.unwrap(), (200, true));
            answered += 1;
        }
        answered
    };
    assert_eq!(tokio::time::timeout(PATIENCE, all).await.unwrap(), CROWD);
    // One at a time; but a server sees only a moment later that a request has given way to the conversation, and the next one
    // may be there by then.
    let most = backend.work.most.load(Ordering::SeqCst);
    assert!((1..=2).contains(&most), "{most} at a time");
    assert_eq!(house.gate.counts(), (0, 0));
    eprintln!("among {CROWD} clients a conversation waited {voice:?} at most");
    assert!(voice < Duration::from_secs(5), "{voice:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_the_queue_holds_are_told_when_to_come_back() {
    let (open, closed) = tokio::sync::watch::channel(false);
    let backend = Scripted::endless(closed).await;
    let limits = Limits {
        queue: 50,
        ..Limits::default()
    };
    let house = House::with("openai", &backend.url(), limits, Timeouts::default()).await;
    let mut crowd = JoinSet::new();
    for _ in 0..CROWD {
        let request = house
            .client
            .post(house.url("/v1/chat/completions"))
            .bearer_auth(TOKEN)
            .json(&asking("x", true))
            .send();
        crowd.spawn(async move {
            let response = request.await.unwrap();
            let again = response.headers().get("retry-after").is_some();
            (
                response.status().as_u16(),
                again,
                response.text().await.unwrap(),
            )
        });
    }
    let mut refused = 0;
    while refused < CROWD - 51 {
        let (status, again, _) = tokio::time::timeout(PATIENCE, crowd.join_next())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert_eq!((status, again), (429, true));
        refused += 1;
    }
    open.send(true).unwrap();
    let mut answered = 0;
    while let Some(ended) = tokio::time::timeout(PATIENCE, crowd.join_next())
        .await
        .unwrap()
    {
        let (status, _, text) = ended.unwrap();
        assert_eq!(status, 200);
        assert!(text.contains("[DONE]") && said(&events(&text)).len() < 1_000_000);
        answered += 1;
    }
    assert_eq!(answered, 51);
}
