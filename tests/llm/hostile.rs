//! A server that does everything wrong: each wrong ends in its own error, in bounded time, after the text that had come.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hark::llm::LlmBackend;
use hark::llm::ollama::{Ollama, OllamaSettings};
use hark::llm::openai::{OpenAi, OpenAiSettings};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::support::{Loopback, Reply, ask, asking, read_request, send, short, stream_head};

const DELTA: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Good\"},\"finish_reason\":null}]}\n\n";
const LINE: &str = "{\"message\":{\"role\":\"assistant\",\"content\":\"Good\"},\"done\":false}\n";
const END: &str = "data: [DONE]\n\n";
const LAST: &str = "{\"message\":{\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\"}\n";

/// One dialect with what the tests need to know of it.
#[derive(Clone, Copy)]
struct Dialect {
    name: &'static str,
    kind: &'static str,
    piece: &'static str,
    end: &'static str,
}

const DIALECTS: [Dialect; 2] = [
    Dialect {
        name: "mlx",
        kind: "text/event-stream",
        piece: DELTA,
        end: END,
    },
    Dialect {
        name: "ollama",
        kind: "application/x-ndjson",
        piece: LINE,
        end: LAST,
    },
];

impl Dialect {
    fn backend(self, server: &Loopback) -> Box<dyn LlmBackend> {
        let (url, timeouts) = (server.url(), short());
        if self.name == "mlx" {
            return Box::new(
                OpenAi::new(OpenAiSettings {
                    url,
                    timeouts,
                    ..OpenAiSettings::mlx()
                })
                .expect("a valid address"),
            );
        }
        let model = Some("tiny".to_owned());
        Box::new(
            Ollama::new(OllamaSettings {
                url,
                model,
                timeouts,
                ..OllamaSettings::default()
            })
            .expect("a valid address"),
        )
    }

    /// The head and one piece.
    fn begun(self) -> Vec<u8> {
        [stream_head(self.kind), self.piece.into()].concat()
    }
}

/// Asks a server that does `serve` with each connection, once for each dialect, and checks the reply and the time it took.
async fn each<S, F>(serve: S, check: fn(&Dialect, &Reply))
where
    S: Fn(TcpStream, Dialect) -> F + Send + Copy + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    for dialect in DIALECTS {
        let server = Loopback::start(move |stream| serve(stream, dialect)).await;
        let began = Instant::now();
        let reply = ask(dialect.backend(&server).as_ref(), asking("hi")).await;
        check(&dialect, &reply);
        let took = began.elapsed();
        assert!(
            took < Duration::from_secs(10),
            "{} took {took:?}",
            dialect.name
        );
    }
}

fn is(dialect: &Dialect, reply: &Reply, text: &str, error: &str) {
    let got = format!("{:?}", reply.error);
    assert!(
        got.starts_with(&format!("Some({error}")),
        "{}: {got}",
        dialect.name
    );
    assert_eq!(reply.text(), text, "{}", dialect.name);
}

#[tokio::test]
async fn a_server_that_never_answers_is_silent() {
    each(
        |mut stream, _| async move {
            let _request = read_request(&mut stream).await;
            sleep(Duration::from_secs(60)).await;
        },
        |dialect, reply| is(dialect, reply, "", "Silent"),
    )
    .await;
}

#[tokio::test]
async fn a_server_that_closes_at_once_has_cut() {
    each(
        |mut stream, _| async move {
            let _request = read_request(&mut stream).await;
        },
        |dialect, reply| is(dialect, reply, "", "Cut"),
    )
    .await;
}

#[tokio::test]
async fn a_head_without_a_body_has_cut() {
    each(
        |mut stream, dialect| async move {
            let _request = read_request(&mut stream).await;
            send(&mut stream, &stream_head(dialect.kind)).await;
        },
        |dialect, reply| is(dialect, reply, "", "Cut"),
    )
    .await;
}

#[tokio::test]
async fn a_stream_cut_in_the_middle_gives_its_text_and_then_the_cut() {
    each(
        |mut stream, dialect| async move {
            let _request = read_request(&mut stream).await;
            send(&mut stream, &dialect.begun()).await;
            send(
                &mut stream,
                &dialect.piece.as_bytes()[..dialect.piece.len() / 2],
            )
            .await;
        },
        |dialect, reply| is(dialect, reply, "Good", "Cut"),
    )
    .await;
}

#[tokio::test]
async fn a_chunked_stream_that_ends_cleanly_without_its_end_marker_has_cut() {
    each(
        |mut stream, dialect| async move {
            let _request = read_request(&mut stream).await;
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {}\r\nTransfer-Encoding: chunked\r\n\r\n",
                dialect.kind
            );
            let chunk = format!(
                "{:x}\r\n{}\r\n0\r\n\r\n",
                dialect.piece.len(),
                dialect.piece
            );
            send(&mut stream, format!("{head}{chunk}").as_bytes()).await;
        },
        |dialect, reply| is(dialect, reply, "Good", "Cut"),
    )
    .await;
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_silent() {
    each(
        |mut stream, dialect| async move {
            let _request = read_request(&mut stream).await;
            send(&mut stream, &dialect.begun()).await;
            sleep(Duration::from_secs(60)).await;
        },
        |dialect, reply| is(dialect, reply, "Good", "Silent"),
    )
    .await;
}

#[tokio::test]
async fn bytes_that_never_make_a_line_are_no_sign_of_life() {
    each(
        |mut stream, dialect| async move {
            let _request = read_request(&mut stream).await;
            send(&mut stream, &dialect.begun()).await;
            while send(&mut stream, b"x").await {
                sleep(Duration::from_millis(20)).await;
            }
        },
        |dialect, reply| is(dialect, reply, "Good", "Silent"),
    )
    .await;
}

#[tokio::test]
async fn a_slow_stream_that_lives_is_read_to_its_end() {
    each(
        |mut stream, dialect| async move {
            let _request = read_request(&mut stream).await;
            send(&mut stream, &stream_head(dialect.kind)).await;
            // In all it takes twice as long as a silence may last.
            for _ in 0..7 {
                sleep(Duration::from_millis(200)).await;
                send(&mut stream, dialect.piece.as_bytes()).await;
            }
            send(&mut stream, dialect.end.as_bytes()).await;
        },
        |dialect, reply| {
            assert!(reply.error.is_none(), "{}: {:?}", dialect.name, reply.error);
            assert_eq!(reply.text(), "Good".repeat(7), "{}", dialect.name);
        },
    )
    .await;
}

#[tokio::test]
async fn comments_keep_a_long_prefill_alive() {
    let server = Loopback::start(|mut stream| async move {
        let _request = read_request(&mut stream).await;
        send(&mut stream, &stream_head("text/event-stream")).await;
        for done in 0..7 {
            sleep(Duration::from_millis(200)).await;
            send(&mut stream, format!(": keepalive {done}/7\n\n").as_bytes()).await;
        }
        send(&mut stream, format!("{DELTA}{END}").as_bytes()).await;
    })
    .await;
    let reply = ask(DIALECTS[0].backend(&server).as_ref(), asking("hi")).await;
    assert!(reply.error.is_none(), "{:?}", reply.error);
    assert_eq!((reply.text().as_str(), reply.deltas.len()), ("Good", 7 + 2));
}

#[tokio::test]
async fn a_line_that_does_not_end_is_refused() {
    each(
        |mut stream, dialect| async move {
            let _request = read_request(&mut stream).await;
            send(&mut stream, &dialect.begun()).await;
            let block = vec![b'x'; 64 << 10];
            while send(&mut stream, &block).await {}
        },
        |dialect, reply| is(dialect, reply, "Good", "Protocol"),
    )
    .await;
}

#[tokio::test]
async fn garbage_in_a_stream_is_a_breach_of_protocol() {
    each(
        |mut stream, dialect| async move {
            let _request = read_request(&mut stream).await;
            send(&mut stream, &dialect.begun()).await;
            send(&mut stream, b"data: \xff\xfe{]\n\n").await;
            sleep(Duration::from_secs(60)).await;
        },
        |dialect, reply| is(dialect, reply, "Good", "Protocol"),
    )
    .await;
}

#[tokio::test]
async fn a_server_that_speaks_no_http_is_a_breach_of_protocol() {
    const NOISE: &[u8] = b"SSH-2.0-OpenSSH_9.2\r\n";
    let check = |dialect: &Dialect, reply: &Reply| is(dialect, reply, "", "Protocol");
    each(
        |mut stream, _| async move {
            let _request = read_request(&mut stream).await;
            send(&mut stream, NOISE).await;
            sleep(Duration::from_secs(60)).await;
        },
        check,
    )
    .await;
    each(
        |mut stream, _| async move {
            send(&mut stream, NOISE).await;
            sleep(Duration::from_secs(60)).await;
        },
        check,
    )
    .await;
}

#[tokio::test]
async fn a_web_page_is_a_breach_of_protocol() {
    each(
        |mut stream, _| async move {
            let _request = read_request(&mut stream).await;
            let page = "<html><body>It works!</body></html>\n";
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n",
                page.len()
            );
            send(&mut stream, format!("{head}{page}").as_bytes()).await;
        },
        |dialect, reply| is(dialect, reply, "", "Protocol"),
    )
    .await;
}

#[tokio::test]
async fn an_error_inside_a_200_is_a_refusal_after_the_text() {
    each(
        |mut stream, dialect| async move {
            let _request = read_request(&mut stream).await;
            send(&mut stream, &dialect.begun()).await;
            let (before, after) = if dialect.name == "mlx" {
                ("data: ", "\n\n")
            } else {
                ("", "\n")
            };
            send(
                &mut stream,
                format!("{before}{{\"error\":\"the runner has died\"}}{after}").as_bytes(),
            )
            .await;
            sleep(Duration::from_secs(60)).await;
        },
        |dialect, reply| {
            is(
                dialect,
                reply,
                "Good",
                "Refused { status: 200, message: \"the runner has died\" }",
            )
        },
    )
    .await;
}

#[tokio::test]
async fn what_follows_the_end_marker_is_nobodys() {
    each(
        |mut stream, dialect| async move {
            let _request = read_request(&mut stream).await;
            let bytes = [
                dialect.begun(),
                dialect.end.into(),
                b"{\"error\":\"late\"}\n\n\xff".to_vec(),
                vec![b'x'; 2 << 20],
            ]
            .concat();
            send(&mut stream, &bytes).await;
            sleep(Duration::from_secs(60)).await;
        },
        |dialect, reply| {
            assert!(reply.error.is_none(), "{}: {:?}", dialect.name, reply.error);
            assert_eq!(reply.text(), "Good");
        },
    )
    .await;
}

#[tokio::test]
async fn nobody_at_the_address_is_unreachable_at_once() {
    for dialect in DIALECTS {
        let server = Loopback::answering("").await;
        let backend = dialect.backend(&server);
        drop(server);
        sleep(Duration::from_millis(50)).await;
        let began = Instant::now();
        let reply = ask(backend.as_ref(), asking("hi")).await;
        is(&dialect, &reply, "", "Unreachable");
        assert!(!backend.reachable().await);
        assert!(began.elapsed() < Duration::from_secs(1));
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let visits = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&visits);
    let elsewhere = Loopback::start(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        async {}
    })
    .await;
    let away = format!(
        "HTTP/1.1 307 Away\r\nLocation: {}/\r\nContent-Length: 0\r\n\r\n",
        elsewhere.url()
    );
    let server = Loopback::answering(away).await;
    for dialect in DIALECTS {
        let reply = ask(dialect.backend(&server).as_ref(), asking("hi")).await;
        is(&dialect, &reply, "", "Refused { status: 307");
    }
    assert_eq!(visits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_error_whose_body_never_comes_is_told_by_its_status() {
    each(
        |mut stream, _| async move {
            let _request = read_request(&mut stream).await;
            send(
                &mut stream,
                b"HTTP/1.1 500 X\r\nContent-Length: 100\r\n\r\n{\"err",
            )
            .await;
            sleep(Duration::from_secs(60)).await;
        },
        |dialect, reply| is(dialect, reply, "", "Refused { status: 500"),
    )
    .await;
}
