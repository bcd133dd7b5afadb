//! What is sent, and what an answer other than a stream means.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hark::llm::ollama::{Ollama, OllamaSettings};
use hark::llm::openai::{Flavour, OpenAi, OpenAiSettings};
use hark::llm::{ChatRequest, LlmBackend, LlmError, SetupError};
use serde_json::{Value, json};

use crate::lookalike::{LookAlike, Shelf};
use crate::support::{
    Loopback, ask, asking, data, read_request, send, short, sized, stream_head, weather_tool,
};

fn openai(flavour: Flavour, url: String, model: Option<&str>) -> OpenAi {
    let model = model.map(str::to_owned);
    OpenAi::new(OpenAiSettings {
        flavour,
        url,
        model,
        timeouts: short(),
        ..OpenAiSettings::mlx()
    })
    .expect("a valid address")
}

fn ollama(url: String, model: Option<&str>) -> Ollama {
    let model = model.map(str::to_owned);
    Ollama::new(OllamaSettings {
        url,
        model,
        timeouts: short(),
        ..OllamaSettings::default()
    })
    .expect("a valid address")
}

/// A server that keeps the heads and bodies of its requests and answers each by `answer`.
async fn recording(answer: fn(&Value) -> Vec<u8>) -> (Loopback, Arc<Mutex<Vec<(String, Value)>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&seen);
    let server = Loopback::start(move |mut stream| {
        let kept = Arc::clone(&kept);
        async move {
            let Some(request) = read_request(&mut stream).await else {
                return;
            };
            let bytes = answer(&request.body);
            kept.lock().unwrap().push((request.head, request.body));
            send(&mut stream, &bytes).await;
        }
    })
    .await;
    (server, seen)
}

fn yes(_: &Value) -> Vec<u8> {
    let body = "data: {\"choices\":[{\"delta\":{\"content\":\"Yes\"}}]}\n\ndata: [DONE]\n\n";
    [stream_head("text/event-stream"), body.into()].concat()
}

#[tokio::test]
async fn mlx_is_asked_for_its_own_model_without_thinking_in_a_sized_body() {
    let (server, seen) = recording(yes).await;
    let backend = openai(Flavour::Mlx, server.url(), None);
    let request = ChatRequest {
        tools: vec![weather_tool()],
        temperature: 0.7,
        ..asking("hi")
    };
    assert_eq!(ask(&backend, request).await.text(), "Yes");
    let (head, body) = seen.lock().unwrap().remove(0);
    assert!(head.starts_with("POST /v1/chat/completions "), "{head}");
    let head = head.to_ascii_lowercase();
    assert!(
        head.contains("content-length: ")
            && !head.contains("transfer-encoding")
            && !head.contains("authorization"),
        "{head}"
    );
    let expected = json!({
        "model": "default_model",
        "messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "hi"}],
        "tools": [{"type": "function", "function": {
            "name": "get_weather", "description": "Tells the weather of a city.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        }}],
        "stream": true,
        "stream_options": {"include_usage": true},
        "max_tokens": 64,
        "temperature": 0.7,
        "chat_template_kwargs": {"enable_thinking": false},
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn ollama_is_told_context_residence_and_no_thinking_each_time() {
    let look_alike = LookAlike::start(Shelf::default()).await;
    let backend = ollama(look_alike.server.url(), Some("tiny"));
    for words in ["hi", "again"] {
        assert_eq!(ask(&backend, asking(words)).await.texts(), 9);
    }
    for body in look_alike.seen.bodies.lock().unwrap().iter() {
        assert_eq!(body["model"], "tiny");
        assert_eq!(
            (&body["stream"], &body["think"], &body["keep_alive"]),
            (&json!(true), &json!(false), &json!(-1))
        );
        assert_eq!(
            body["options"],
            json!({"num_ctx": 16384, "num_predict": 64, "temperature": 0.0})
        );
        assert!(body.get("tools").is_none());
    }
    assert_eq!(
        look_alike.seen.paths.lock().unwrap().as_slice(),
        ["POST /api/chat"; 2],
        "a named model is not looked for"
    );
}

#[tokio::test]
async fn ollama_without_a_configured_model_takes_the_resident_one_else_the_first_that_can_chat() {
    for (ps, expected) in [
        (json!({"models": []}), "tiny:latest"),
        (
            json!({"models": [{"name": "embed:latest"}, {"name": "big:latest"}]}),
            "big:latest",
        ),
        (json!({"models": [{"name": "embed:latest"}]}), "tiny:latest"),
    ] {
        let look_alike = LookAlike::start(Shelf {
            ps,
            ..Shelf::default()
        })
        .await;
        let backend = ollama(look_alike.server.url(), None);
        assert_eq!(backend.info().model, None);
        ask(&backend, asking("hi")).await;
        ask(&backend, asking("hi")).await;
        let bodies = look_alike.seen.bodies.lock().unwrap();
        assert!(
            bodies.len() == 2 && bodies.iter().all(|body| body["model"] == expected),
            "{bodies:?}"
        );
        assert_eq!(backend.info().model.as_deref(), Some(expected));
        let asked_ps = look_alike
            .seen
            .paths
            .lock()
            .unwrap()
            .iter()
            .filter(|path| path.ends_with("/api/ps"))
            .count();
        assert_eq!(asked_ps, 1, "the choice is kept");
    }
}

#[tokio::test]
async fn ollama_that_is_loading_is_loading_and_one_without_models_has_no_model() {
    let shelf = Shelf::default();
    shelf.loading.store(true, Ordering::SeqCst);
    let look_alike = LookAlike::start(shelf.clone()).await;
    let backend = ollama(look_alike.server.url(), None);
    assert!(matches!(
        ask(&backend, asking("hi")).await.error,
        Some(LlmError::Loading)
    ));
    shelf.loading.store(false, Ordering::SeqCst);
    assert_eq!(ask(&backend, asking("hi")).await.texts(), 9);

    let empty = LookAlike::start(Shelf {
        tags: json!({"models": []}),
        ..Shelf::default()
    })
    .await;
    let error = ask(&ollama(empty.server.url(), None), asking("hi"))
        .await
        .error;
    assert!(
        matches!(&error, Some(LlmError::NoModel { message, .. }) if message.contains("ollama pull")),
        "{error:?}"
    );
}

/// A status, a body, and the error that they mean.
type Case = (u16, String, &'static str);

fn error(error: Value) -> String {
    json!({ "error": error }).to_string()
}

#[tokio::test]
async fn ollamas_refusals_mean_what_the_caller_can_do() {
    let cases: [Case; 9] = [
        (
            404,
            error(json!("model 'tiny' not found")),
            "NoModel { model: \"tiny\", message: \"model 'tiny' not found\" }",
        ),
        (
            404,
            "404 page not found".to_owned(),
            "Refused { status: 404",
        ),
        (
            400,
            error(json!(
                "{\"error\":{\"code\":400,\"message\":\"too many\",\"type\":\"exceed_context_size_error\"}}"
            )),
            "TooLong { message: \"too many\" }",
        ),
        (
            400,
            error(json!(
                "input length (9 tokens) exceeds the model's maximum context length (8 tokens)"
            )),
            "TooLong",
        ),
        (
            400,
            error(json!("\"tiny\" does not support tools")),
            "Refused { status: 400",
        ),
        (
            403,
            String::new(),
            "Refused { status: 403, message: \"it does not accept this host",
        ),
        (
            503,
            error(json!(
                "server busy, please try again.  maximum pending requests exceeded"
            )),
            "Busy",
        ),
        (
            500,
            error(json!("model runner has unexpectedly stopped")),
            "Refused { status: 500, message: \"model runner",
        ),
        (
            405,
            "405 method not allowed".to_owned(),
            "Refused { status: 405, message: \"405 method",
        ),
    ];
    for (status, body, expected) in cases {
        let server = Loopback::answering(sized(status, &body)).await;
        let got = format!(
            "{:?}",
            ask(&ollama(server.url(), Some("tiny")), asking("hi"))
                .await
                .error
                .expect("an error")
        );
        assert!(got.starts_with(expected), "{status} {body}: {got}");
    }
}

#[tokio::test]
async fn the_openai_dialects_refusals_mean_what_the_caller_can_do() {
    use Flavour::{Compatible, Mlx};
    let too_long =
        error(json!({"code": 400, "message": "3002 tokens", "type": "exceed_context_size_error"}));
    let cases: [(Flavour, Option<&str>, u16, String, &str); 12] = [
        (
            Mlx,
            None,
            404,
            error(json!("generation thread died")),
            "Refused { status: 404, message: \"generation thread died\" }",
        ),
        (
            Mlx,
            Some("x"),
            404,
            error(json!("Cannot find a snapshot")),
            "NoModel { model: \"x\"",
        ),
        (
            Mlx,
            Some("x"),
            404,
            "Not Found".to_owned(),
            "Refused { status: 404, message: \"Not Found\" }",
        ),
        (
            Compatible,
            Some("x"),
            404,
            error(json!("no router for requested model")),
            "NoModel { model: \"x\"",
        ),
        (
            Compatible,
            Some("x"),
            404,
            error(
                json!({"message": "model 'x' not found", "type": "not_found_error", "code": null}),
            ),
            "NoModel",
        ),
        (
            Compatible,
            Some("x"),
            404,
            error(json!({"message": "File Not Found", "type": "not_found_error", "code": 404})),
            "Refused { status: 404",
        ),
        (
            Compatible,
            Some("x"),
            400,
            too_long,
            "TooLong { message: \"3002 tokens\" }",
        ),
        (
            Compatible,
            Some("x"),
            503,
            error(json!({"message": "Loading model", "type": "unavailable_error", "code": 503})),
            "Loading",
        ),
        (Compatible, Some("x"), 503, String::new(), "Busy"),
        (Compatible, Some("x"), 502, String::new(), "Busy"),
        (
            Compatible,
            Some("x"),
            429,
            error(json!({"message": "slow down"})),
            "Busy { message: \"slow down\" }",
        ),
        (
            Compatible,
            Some("x"),
            401,
            error(json!({"message": "no key"})),
            "Refused { status: 401, message: \"no key\" }",
        ),
    ];
    for (flavour, model, status, body, expected) in cases {
        let server = Loopback::answering(sized(status, &body)).await;
        let got = format!(
            "{:?}",
            ask(&openai(flavour, server.url(), model), asking("hi"))
                .await
                .error
                .expect("an error")
        );
        assert!(
            got.starts_with(expected),
            "{flavour:?} {status} {body}: {got}"
        );
    }
}

#[tokio::test]
async fn captured_refusals_mean_the_same_through_a_socket() {
    let server = Loopback::answering(data("mlx-unknown-model.http")).await;
    let error = ask(
        &openai(Flavour::Mlx, server.url(), Some("no/such-model")),
        asking("hi"),
    )
    .await
    .error;
    assert!(matches!(error, Some(LlmError::NoModel { .. })), "{error:?}");
    let server = Loopback::answering(data("ollama-unknown-model.http")).await;
    let error = ask(&ollama(server.url(), Some("nope")), asking("hi"))
        .await
        .error;
    assert!(matches!(error, Some(LlmError::NoModel { .. })), "{error:?}");
    let server = Loopback::answering(data("ollama-too-long.http")).await;
    let error = ask(&ollama(server.url(), Some("tiny")), asking("hi"))
        .await
        .error;
    assert!(
        matches!(&error, Some(LlmError::TooLong { message }) if message.starts_with("request (3002 tokens)")),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_strict_server_is_asked_once_more_without_the_template_field_and_from_then_on() {
    let (server, seen) = recording(|body| {
        if body.get("chat_template_kwargs").is_some() {
            sized(400, r#"{"error":{"message":"unknown field"}}"#)
        } else {
            yes(body)
        }
    })
    .await;
    let backend = openai(Flavour::Compatible, server.url(), Some("gpt"));
    for _ in 0..2 {
        assert_eq!(ask(&backend, asking("hi")).await.text(), "Yes");
    }
    let with_field: Vec<bool> = seen
        .lock()
        .unwrap()
        .iter()
        .map(|(_, body)| body.get("chat_template_kwargs").is_some())
        .collect();
    assert_eq!(with_field, [true, false, false]);
}

#[tokio::test]
async fn another_server_is_asked_for_the_first_model_that_it_lists() {
    let (server, seen) = recording(|body| {
        if body.is_null() {
            sized(
                200,
                r#"{"object":"list","data":[{"id":"first"},{"id":"second"}]}"#,
            )
        } else {
            yes(body)
        }
    })
    .await;
    let backend = openai(Flavour::Compatible, server.url(), None);
    for _ in 0..2 {
        assert_eq!(ask(&backend, asking("hi")).await.text(), "Yes");
    }
    assert_eq!(backend.info().model.as_deref(), Some("first"));
    let seen = seen.lock().unwrap();
    assert!(seen[0].0.starts_with("GET /v1/models "));
    assert_eq!(
        seen[1..]
            .iter()
            .map(|(_, body)| body["model"].as_str())
            .collect::<Vec<_>>(),
        [Some("first"); 2]
    );
}

#[tokio::test]
async fn the_key_of_a_file_is_sent_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "sk-secret\n").unwrap();
    let (server, seen) = recording(yes).await;
    let settings = OpenAiSettings {
        key_file: Some(file),
        timeouts: short(),
        model: Some("gpt".to_owned()),
        ..OpenAiSettings::compatible(server.url())
    };
    let backend = OpenAi::new(settings.clone()).expect("a readable key");
    assert_eq!(ask(&backend, asking("hi")).await.text(), "Yes");
    assert!(
        seen.lock().unwrap()[0]
            .0
            .to_ascii_lowercase()
            .contains("authorization: bearer sk-secret\r\n")
    );
    assert!(!format!("{backend:?}{settings:?}").contains("sk-secret"));

    let missing = OpenAiSettings {
        key_file: Some(folder.path().join("none")),
        ..settings.clone()
    };
    assert!(matches!(OpenAi::new(missing), Err(SetupError::Key { .. })));
    std::fs::write(folder.path().join("key"), "two words").unwrap();
    assert!(matches!(OpenAi::new(settings), Err(SetupError::Key { .. })));
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_before_anything_is_sent() {
    for url in ["127.0.0.1:8080", "ftp://127.0.0.1/", "", "not an address"] {
        let settings = OpenAiSettings::compatible(url);
        assert!(
            matches!(OpenAi::new(settings), Err(SetupError::Url { .. })),
            "{url:?}"
        );
        let settings = OllamaSettings {
            url: url.to_owned(),
            ..OllamaSettings::default()
        };
        assert!(
            matches!(Ollama::new(settings), Err(SetupError::Url { .. })),
            "{url:?}"
        );
    }
    // No provider of TLS is installed in this process.
    assert!(matches!(
        OpenAi::new(OpenAiSettings::compatible("https://models.example/v1")),
        Err(SetupError::NoTls)
    ));
}

#[tokio::test]
async fn a_probe_is_bounded() {
    let server =
        Loopback::start(|_stream| async { tokio::time::sleep(Duration::from_secs(60)).await })
            .await;
    let began = tokio::time::Instant::now();
    assert!(!openai(Flavour::Mlx, server.url(), None).reachable().await);
    assert!(!ollama(server.url(), None).reachable().await);
    assert!(
        began.elapsed() < Duration::from_secs(6),
        "{:?}",
        began.elapsed()
    );
}
