//! Those who follow the events: what they get, and what a slow one costs.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hark::control::client::ClientError;

use crate::{PATIENCE, Running, Runtime};

async fn followed(running: &Running) {
    let by = Instant::now() + PATIENCE;
    while !running.hub.is_followed() {
        assert!(Instant::now() < by, "nobody follows");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_gets_every_line_and_the_end() {
    let runtime = Runtime::new();
    let running = Running::start(&runtime);
    let client = runtime.client();
    let following = tokio::spawn(async move {
        let mut lines = Vec::new();
        let ended = client
            .events(|line| {
                lines.push(line.to_owned());
                Ok(())
            })
            .await;
        (ended, lines)
    });
    followed(&running).await;
    for number in 0..100 {
        running.hub.publish(&Bytes::from(format!(
            "{{\"event\":\"n\",\"at\":{number}}}\n"
        )));
    }
    // Quiet for longer than the client's patience: the signs of life keep it there.
    tokio::time::sleep(Duration::from_millis(1_800)).await;
    running
        .hub
        .publish(&Bytes::from_static(b"{\"event\":\"last\"}\n"));
    running.stop().await;
    let (ended, lines) = tokio::time::timeout(PATIENCE, following)
        .await
        .unwrap()
        .unwrap();
    assert!(ended.is_ok(), "{ended:?}");
    assert_eq!(lines.len(), 101, "no sign of life is shown");
    assert_eq!(lines[100], "{\"event\":\"last\"}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_does_not_read_is_dropped_and_nobody_waits_for_it() {
    let runtime = Runtime::new();
    let running = Running::start(&runtime);
    let mut slow = UnixStream::connect(runtime.socket()).unwrap();
    slow.write_all(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    followed(&running).await;
    let line = Bytes::from(format!(
        "{{\"event\":\"x\",\"text\":\"{}\"}}\n",
        "y".repeat(2_000)
    ));
    let (mut longest, mut count) = (Duration::ZERO, 0);
    while running.hub.is_followed() {
        let before = Instant::now();
        running.hub.publish(&line);
        longest = longest.max(before.elapsed());
        count += 1;
        assert!(count < 100_000, "it is never dropped");
        tokio::task::yield_now().await;
    }
    // What the kernel's buffers took, and the queue.
    assert!(count >= 256, "{count}");
    assert!(longest < Duration::from_secs(5), "{longest:?}");
    slow.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut rest = Vec::new();
    tokio::task::block_in_place(|| slow.read_to_end(&mut rest))
        .expect("the connection is closed, not left open");
    assert!(runtime.client().get("/v1/status").await.is_ok());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_whose_output_is_closed_ends() {
    let runtime = Runtime::new();
    let running = Running::start(&runtime);
    let client = runtime.client();
    let following = tokio::spawn(async move {
        client
            .events(|_| Err(std::io::Error::from(std::io::ErrorKind::BrokenPipe)))
            .await
    });
    followed(&running).await;
    running.hub.publish(&Bytes::from_static(b"{}\n"));
    let ended = tokio::time::timeout(PATIENCE, following)
        .await
        .unwrap()
        .unwrap();
    assert!(matches!(ended, Err(ClientError::Output(_))), "{ended:?}");
    running.stop().await;
}
