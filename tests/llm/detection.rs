//! Which backend `auto` takes.

use std::time::Duration;

use hark::llm::ollama::OllamaSettings;
use hark::llm::openai::OpenAiSettings;
use hark::llm::{BACKENDS, LlmSettings, SetupError, detect, open};
use serde_json::json;
use tokio::time::Instant;

use crate::lookalike::{LookAlike, Shelf};
use crate::support::{Loopback, short, sized};

/// An address where nobody listens.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

fn settings(mlx: String, ollama: String) -> LlmSettings {
    LlmSettings {
        mlx: OpenAiSettings {
            url: mlx,
            timeouts: short(),
            ..OpenAiSettings::mlx()
        },
        ollama: OllamaSettings {
            url: ollama,
            timeouts: short(),
            ..OllamaSettings::default()
        },
        ..LlmSettings::default()
    }
}

async fn chosen(settings: &LlmSettings) -> Option<&'static str> {
    detect(settings).await.map(|backend| backend.info().name)
}

async fn mlx() -> Loopback {
    Loopback::answering(sized(200, r#"{"status": "ok"}"#)).await
}

#[tokio::test]
async fn where_nothing_listens_nothing_is_found_and_quickly() {
    let settings = settings(nobody(), nobody());
    let began = Instant::now();
    assert_eq!(chosen(&settings).await, None);
    assert!(
        began.elapsed() < Duration::from_millis(300),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn whichever_answers_is_taken() {
    let (mlx, ollama) = (mlx().await, LookAlike::start(Shelf::default()).await);
    assert_eq!(chosen(&settings(mlx.url(), nobody())).await, Some("mlx"));
    assert_eq!(
        chosen(&settings(nobody(), ollama.server.url())).await,
        Some("ollama")
    );
}

#[tokio::test]
async fn of_two_that_answer_the_configured_one_wins_then_the_resident_then_the_order() {
    let (mlx, idle) = (mlx().await, LookAlike::start(Shelf::default()).await);
    let shelf = Shelf {
        ps: json!({"models": [{"name": "big:latest"}]}),
        ..Shelf::default()
    };
    let loaded = LookAlike::start(shelf).await;
    let mut both = settings(mlx.url(), idle.server.url());
    assert_eq!(
        chosen(&both).await,
        Some("mlx"),
        "it holds a model, this ollama does not"
    );
    both.ollama.url = loaded.server.url();
    assert_eq!(chosen(&both).await, Some("mlx"), "the order decides");
    both.ollama.model = Some("big".to_owned());
    assert_eq!(
        chosen(&both).await,
        Some("ollama"),
        "the user has named its model"
    );
    both.mlx_named = true;
    assert_eq!(chosen(&both).await, Some("mlx"), "the order decides again");
}

#[tokio::test]
async fn an_ollama_that_is_loading_counts_as_resident() {
    let shelf = Shelf::default();
    shelf
        .loading
        .store(true, std::sync::atomic::Ordering::SeqCst);
    let ollama = LookAlike::start(shelf).await;
    assert_eq!(
        chosen(&settings(nobody(), ollama.server.url())).await,
        Some("ollama")
    );
}

#[tokio::test]
async fn another_program_at_the_port_is_not_taken_for_a_backend() {
    let page = Loopback::answering(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
    )
    .await;
    let json = Loopback::answering(sized(404, r#"{"detail":"Not Found"}"#)).await;
    assert_eq!(chosen(&settings(page.url(), page.url())).await, None);
    assert_eq!(chosen(&settings(json.url(), json.url())).await, None);
}

#[tokio::test]
async fn a_configured_address_of_another_server_is_preferred_when_it_answers() {
    let (mlx, other) = (
        mlx().await,
        Loopback::answering(sized(200, r#"{"data":[]}"#)).await,
    );
    let mut settings = settings(mlx.url(), nobody());
    settings.openai = Some(OpenAiSettings {
        timeouts: short(),
        ..OpenAiSettings::compatible(other.url())
    });
    assert_eq!(chosen(&settings).await, Some("openai"));
    drop(other);
    assert_eq!(chosen(&settings).await, Some("mlx"));
}

#[test]
fn every_row_of_the_table_opens_under_its_name() {
    let settings = LlmSettings {
        openai: Some(OpenAiSettings::compatible("http://127.0.0.1:1234")),
        ..LlmSettings::default()
    };
    for row in &BACKENDS {
        let backend = open(row.name, &settings)
            .expect("it is in the table")
            .expect("it can be set up");
        assert_eq!(backend.info().name, row.name);
    }
    assert!(open("nonsense", &settings).is_none());
    let unconfigured = open("openai", &LlmSettings::default()).expect("it is in the table");
    assert!(matches!(
        unconfigured,
        Err(SetupError::NoUrl { backend: "openai" })
    ));
}
