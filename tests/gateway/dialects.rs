//! What a client says reaches the backend, and what the backend says reaches the client: in both dialects, both ways.

use hark::gateway::admission::Limits;
use hark::gateway::source::Look;
use hark::llm::backends::LlmSettings;
use hark::llm::openai::OpenAiSettings;
use hark::llm::upstream::Upstream;
use serde_json::{Value, json};

use crate::house::{House, Scripted, asking, events, lines, said};
use crate::lookalike::{LookAlike, Shelf};

#[tokio::test]
async fn every_parameter_reaches_a_backend_of_the_same_dialect_but_the_model_is_ours() {
    let backend = Scripted::polite().await;
    let house = House::before("mlx", &backend.url()).await;
    let schema =
        json!({"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}});
    let tools =
        json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
    let (status, _) = house
        .post(
            "/v1/chat/completions",
            &json!({
                "model": "gpt-4o", "stream": true, "messages": [{"role": "user", "content": "count"}],
                "temperature": 0.3, "top_p": 0.9, "top_k": 40, "seed": 5, "logit_bias": {"5": -100.0},
                "stop": ["\n"], "presence_penalty": 0.5, "tools": tools, "tool_choice": "auto",
                "response_format": schema, "logprobs": true, "top_logprobs": 2, "xtc_probability": 0.1,
                "stream_options": {}, "max_tokens": null, "adapters": "/etc/passwd", "draft_model": "x", "user": "me",
            }),
        )
        .await;
    assert_eq!(status, 200);
    let seen = backend.work.last();
    assert_eq!(seen["model"], "default_model");
    for (key, value) in [
        ("temperature", json!(0.3)),
        ("top_p", json!(0.9)),
        ("top_k", json!(40)),
        ("seed", json!(5)),
        ("logit_bias", json!({"5": -100.0})),
        ("stop", json!(["\n"])),
        ("presence_penalty", json!(0.5)),
        ("tools", tools),
        ("tool_choice", json!("auto")),
        ("response_format", schema),
        ("logprobs", json!(true)),
        ("top_logprobs", json!(2)),
        ("xtc_probability", json!(0.1)),
        ("stream", json!(true)),
        ("stream_options", json!({"include_usage": true})),
        ("chat_template_kwargs", json!({"enable_thinking": false})),
        ("user", json!("me")),
    ] {
        assert_eq!(seen[key], value, "{key}");
    }
    // A null is refused by mlx_lm.server, and without a limit it stops at 512 tokens.
    assert_eq!(seen["max_tokens"], 8_192);
    assert_eq!(seen.get("adapters"), None);
    assert_eq!(seen.get("draft_model"), None);
}

#[tokio::test]
async fn thinking_is_for_those_who_ask_for_it() {
    let backend = Scripted::polite().await;
    let house = House::before("openai", &backend.url()).await;
    for (asked, thinks) in [
        (json!({}), false),
        (json!({"reasoning_effort": "low"}), true),
        (json!({"reasoning_effort": "none"}), false),
        (
            json!({"chat_template_kwargs": {"enable_thinking": true}}),
            true,
        ),
    ] {
        let mut body = asking("count", false);
        body.as_object_mut()
            .unwrap()
            .extend(asked.as_object().unwrap().clone());
        house.post("/v1/chat/completions", &body).await;
        let seen = backend.work.last();
        assert_eq!(
            seen["chat_template_kwargs"]["enable_thinking"], thinks,
            "{asked}"
        );
    }
}

#[tokio::test]
async fn a_stream_passes_as_it_is_and_ends_with_its_marker() {
    let backend = Scripted::polite().await;
    let house = House::before("openai", &backend.url()).await;
    let (status, text) = house
        .post("/v1/chat/completions", &asking("count", true))
        .await;
    assert_eq!(status, 200);
    let events = events(&text);
    assert_eq!(said(&events), "One sheep.");
    assert_eq!(events.last(), Some(&Value::Null));
    let whole = &events[..events.len() - 1];
    assert!(
        whole
            .iter()
            .all(|event| event["model"] == "hark" && event["id"] == whole[0]["id"])
    );
    assert_ne!(whole[0]["id"], "theirs");
    assert!(
        whole.iter().all(|event| event.get("usage").is_none()),
        "nobody asked for usage"
    );
    assert!(!text.contains("/secret/path"));
    let mut wanted = asking("count", true);
    wanted["stream_options"] = json!({"include_usage": true});
    let (_, text) = house.post("/v1/chat/completions", &wanted).await;
    let events = crate::house::events(&text);
    assert_eq!(events[events.len() - 2]["usage"]["total_tokens"], 10);
}

#[tokio::test]
async fn a_whole_answer_is_put_together_from_a_stream() {
    let backend = Scripted::start(|mut talk| async move {
        talk.head().await;
        let delta = |delta: Value| json!({"system_fingerprint": "b1", "choices": [{"index": 0, "delta": delta, "finish_reason": null}]});
        talk.event(&delta(json!({"role": "assistant", "reasoning_content": "Hm"}))).await;
        talk.event(&delta(json!({"reasoning_content": "m."}))).await;
        talk.event(&delta(json!({"content": "Let me"}))).await;
        talk.event(&delta(json!({"content": " look."}))).await;
        talk.event(&delta(json!({"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\""}}]}))).await;
        talk.event(&delta(json!({"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}))).await;
        talk.event(&delta(json!({"tool_calls": [{"index": 1, "id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}}]}))).await;
        talk.event(&json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})).await;
        talk.done().await;
    })
    .await;
    let house = House::before("openai", &backend.url()).await;
    let (status, answer) = house
        .ask("/v1/chat/completions", &asking("count", false))
        .await;
    assert_eq!(status, 200);
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["model"], "hark");
    assert_eq!(answer["system_fingerprint"], "b1");
    assert_eq!(answer["usage"]["total_tokens"], 10);
    let message = &answer["choices"][0]["message"];
    assert_eq!(message["content"], "Let me look.");
    assert_eq!(message["reasoning_content"], "Hmm.");
    assert_eq!(
        message["tool_calls"],
        json!([
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}},
            {"id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ])
    );
}

#[tokio::test]
async fn an_ollama_client_talks_to_a_backend_of_the_other_dialect() {
    let backend = Scripted::start(|mut talk| async move {
        talk.head().await;
        talk.say("One").await;
        talk.say(" sheep").await;
        talk.event(&json!({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "id": "c1", "type": "function",
            "function": {"name": "f", "arguments": "{\"a\":1}"}}]}}]}))
            .await;
        talk.done().await;
    })
    .await;
    let house = House::before("openai", &backend.url()).await;
    let (status, text) = house
        .post(
            "/api/chat",
            &json!({
                "model": "llama3", "think": false, "format": {"type": "object"}, "keep_alive": "5m",
                "messages": [
                    {"role": "user", "content": "look", "images": ["iVBORw0KGgo="]},
                    {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {"b": 2}}}]},
                    {"role": "tool", "content": "3", "tool_name": "f"},
                ],
                "options": {"num_predict": 9, "temperature": 0.1, "num_ctx": 99, "repeat_penalty": 1.1, "stop": ["x"]},
            }),
        )
        .await;
    assert_eq!(status, 200, "{text}");
    let lines = lines(&text);
    let words: String = lines
        .iter()
        .filter_map(|line| line["message"]["content"].as_str())
        .collect();
    assert_eq!(words, "One sheep");
    let call = lines
        .iter()
        .find(|line| line["message"]["tool_calls"].is_array())
        .unwrap();
    assert_eq!(
        call["message"]["tool_calls"][0]["function"]["arguments"],
        json!({"a": 1})
    );
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["done"], &last["done_reason"]),
        (&json!(true), &json!("stop"))
    );
    assert_eq!(
        (&last["prompt_eval_count"], &last["eval_count"]),
        (&json!(7), &json!(3))
    );
    let seen = backend.work.last();
    assert_eq!(seen["model"], "scripted");
    assert_eq!(
        (&seen["max_tokens"], &seen["temperature"], &seen["stop"]),
        (&json!(9), &json!(0.1), &json!(["x"]))
    );
    assert_eq!(
        seen["response_format"]["json_schema"]["schema"],
        json!({"type": "object"})
    );
    assert_eq!(seen.get("options"), None);
    let messages = seen["messages"].as_array().unwrap();
    assert_eq!(
        messages[0]["content"][1]["image_url"]["url"],
        "data:image/png;base64,iVBORw0KGgo="
    );
    assert_eq!(
        messages[1]["tool_calls"][0]["function"]["arguments"],
        "{\"b\":2}"
    );
    assert_eq!(
        messages[1]["tool_calls"][0]["id"],
        messages[2]["tool_call_id"]
    );
    let (_, whole) = house
        .ask(
            "/api/generate",
            &json!({"model": "x", "prompt": "count", "system": "be short", "stream": false}),
        )
        .await;
    assert_eq!(
        (&whole["response"], &whole["done"]),
        (&json!("One sheep"), &json!(true))
    );
    assert_eq!(
        backend.work.last()["messages"][0],
        json!({"role": "system", "content": "be short"})
    );
}

#[tokio::test]
async fn an_openai_client_talks_to_ollama() {
    let ollama = LookAlike::start(Shelf::default()).await;
    let house = House::before("ollama", &ollama.server.url()).await;
    let (status, text) = house
        .post(
            "/v1/chat/completions",
            &json!({
                "model": "gpt-4o", "stream": true, "stream_options": {"include_usage": true}, "max_completion_tokens": 50,
                "stop": "x", "response_format": {"type": "json_object"},
                "messages": [
                    {"role": "developer", "content": "be short"},
                    {"role": "user", "content": [{"type": "text", "text": "hello"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]},
                ],
            }),
        )
        .await;
    assert_eq!(status, 200, "{text}");
    let events = events(&text);
    assert!(!said(&events).is_empty());
    assert_eq!(events.last(), Some(&Value::Null));
    let usage = &events[events.len() - 2]["usage"];
    assert!(usage["completion_tokens"].as_u64() > Some(0), "{usage}");
    assert_eq!(
        events[events.len() - 3]["choices"][0]["finish_reason"],
        "stop"
    );
    let seen = ollama.seen.bodies.lock().unwrap().last().cloned().unwrap();
    assert_eq!(
        (&seen["model"], &seen["think"], &seen["format"]),
        (&json!("tiny:latest"), &json!(false), &json!("json"))
    );
    assert_eq!(
        (&seen["options"]["num_ctx"], &seen["options"]["num_predict"]),
        (&json!(4_096), &json!(50))
    );
    assert_eq!(
        (&seen["keep_alive"], &seen["options"]["stop"]),
        (&json!(-1), &json!(["x"]))
    );
    assert_eq!(seen["messages"][0]["role"], "system");
    assert_eq!(
        seen["messages"][1],
        json!({"role": "user", "content": "hello", "images": ["AAAA"]})
    );
}

#[tokio::test]
async fn a_tool_call_of_ollama_becomes_one_of_the_other_dialect_and_its_result_goes_back() {
    let ollama = LookAlike::start(Shelf::default()).await;
    let house = House::before("ollama", &ollama.server.url()).await;
    let tools = json!([{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]);
    let (_, answer) = house
        .ask(
            "/v1/chat/completions",
            &json!({"messages": [{"role": "user", "content": "weather?"}], "tools": tools}),
        )
        .await;
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls", "{answer}");
    let call = &choice["message"]["tool_calls"][0];
    assert!(call["function"]["arguments"].is_string(), "{call}");
    let (status, answer) = house
        .ask(
            "/v1/chat/completions",
            &json!({"messages": [
                {"role": "user", "content": "weather?"},
                choice["message"],
                {"role": "tool", "tool_call_id": call["id"], "content": "snow"},
            ], "tools": tools}),
        )
        .await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        answer["choices"][0]["message"]["content"],
        "In Oslo it snows now."
    );
    let seen = ollama.seen.bodies.lock().unwrap().last().cloned().unwrap();
    assert!(seen["messages"][1]["tool_calls"][0]["function"]["arguments"].is_object());
    assert_eq!(seen["messages"][2]["tool_name"], call["function"]["name"]);
}

#[tokio::test]
async fn an_ollama_client_cannot_reload_or_unload_the_resident_model() {
    let ollama = LookAlike::start(Shelf::default()).await;
    let house = House::before("ollama", &ollama.server.url()).await;
    let (status, text) = house
        .post(
            "/api/chat",
            &json!({"model": "big:latest", "keep_alive": 0, "options": {"num_ctx": 131_072, "num_gpu": 0, "top_k": 7},
                "messages": [{"role": "user", "content": "hello"}]}),
        )
        .await;
    assert_eq!(status, 200);
    let lines = lines(&text);
    assert!(lines.iter().all(|line| line["model"] == "hark"));
    assert_eq!(lines.last().unwrap()["done"], true);
    let seen = ollama.seen.bodies.lock().unwrap().last().cloned().unwrap();
    assert_eq!(
        (&seen["model"], &seen["keep_alive"]),
        (&json!("tiny:latest"), &json!(-1))
    );
    assert_eq!(
        (&seen["options"]["num_ctx"], &seen["options"]["top_k"]),
        (&json!(4_096), &json!(7))
    );
    assert_eq!(seen["options"].get("num_gpu"), None);
    let asked = ollama.seen.bodies.lock().unwrap().len();
    for (body, reason) in [
        (json!({"model": "x", "messages": []}), "load"),
        (
            json!({"model": "x", "messages": [], "keep_alive": 0}),
            "unload",
        ),
    ] {
        let (status, answer) = house.ask("/api/chat", &body).await;
        assert_eq!((status, &answer["done_reason"]), (200, &json!(reason)));
    }
    let (_, answer) = house
        .ask("/api/generate", &json!({"model": "x", "keep_alive": "0"}))
        .await;
    assert_eq!(answer["done_reason"], "unload");
    assert_eq!(
        ollama.seen.bodies.lock().unwrap().len(),
        asked,
        "nothing of it reached the backend"
    );
}

#[tokio::test]
async fn the_models_are_one_by_our_name() {
    let ollama = LookAlike::start(Shelf::default()).await;
    let house = House::before("ollama", &ollama.server.url()).await;
    let (_, models) = house.get("/v1/models").await;
    let names: Vec<&str> = models["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["id"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["hark", "tiny:latest"]);
    assert_eq!(house.get("/v1/models/hark").await.0, 200);
    assert_eq!(house.get("/v1/models/gpt-9").await.0, 404);
    let (_, tags) = house.get("/api/tags").await;
    assert_eq!(tags["models"][0]["name"], "hark:latest");
    let (_, ps) = house.get("/api/ps").await;
    assert_eq!(
        (&ps["models"][0]["name"], &ps["models"][0]["context_length"]),
        (&json!("hark:latest"), &json!(4_096))
    );
    let (status, shown) = house.ask("/api/show", &json!({"model": "hark"})).await;
    assert_eq!(status, 200, "{shown}");
    assert!(
        shown["model_info"]
            .as_object()
            .unwrap()
            .iter()
            .any(|(key, value)| key.ends_with(".context_length") && *value == 4_096),
        "{shown}"
    );
    assert!(house.get("/api/version").await.1["version"].is_string());
}

#[tokio::test]
async fn embeddings_are_passed_where_the_backend_has_them_and_refused_where_not() {
    let mlx = Scripted::polite().await;
    let house = House::before("mlx", &mlx.url()).await;
    let (status, answer) = house
        .ask("/v1/embeddings", &json!({"model": "x", "input": "hello"}))
        .await;
    assert_eq!(
        (status, &answer["error"]["code"]),
        (501, &json!("unsupported"))
    );
    let server = crate::support::Loopback::answering(crate::support::sized(
        200,
        r#"{"data":[{"index":0,"embedding":[0.5,-1.0]}],"usage":{"prompt_tokens":2}}"#,
    ))
    .await;
    let house = House::before("openai", &format!("{}/v1", server.url())).await;
    let (status, answer) = house
        .ask("/v1/embeddings", &json!({"model": "x", "input": ["hello"]}))
        .await;
    assert_eq!(
        (status, &answer["data"][0]["embedding"]),
        (200, &json!([0.5, -1.0]))
    );
    let (_, answer) = house
        .ask("/api/embed", &json!({"model": "x", "input": "hello"}))
        .await;
    assert_eq!(answer["embeddings"], json!([[0.5, -1.0]]));
    let (_, answer) = house
        .ask("/api/embeddings", &json!({"model": "x", "prompt": "hello"}))
        .await;
    assert_eq!(answer["embedding"], json!([0.5, -1.0]));
}

#[tokio::test]
async fn plain_completions_pass_and_are_translated() {
    let backend = Scripted::start(|mut talk| async move {
        talk.head().await;
        for word in ["One", " sheep"] {
            talk.event(&json!({"object": "text_completion", "choices": [{"index": 0, "text": word, "finish_reason": null}]})).await;
        }
        talk.done().await;
    })
    .await;
    let house = House::before("openai", &backend.url()).await;
    let (status, answer) = house
        .ask(
            "/v1/completions",
            &json!({"model": "x", "prompt": ["Count: "]}),
        )
        .await;
    assert_eq!(
        (status, &answer["choices"][0]["text"]),
        (200, &json!("One sheep"))
    );
    assert_eq!(answer["object"], "text_completion");
    let (_, answer) = house
        .ask(
            "/api/generate",
            &json!({"model": "x", "prompt": "Count: ", "raw": true, "stream": false}),
        )
        .await;
    assert_eq!(answer["response"], "One sheep");
    assert_eq!(
        backend.work.paths.lock().unwrap().last().unwrap(),
        "POST /v1/completions"
    );
}

#[tokio::test]
async fn the_backends_key_goes_to_the_backend_and_the_gateways_token_does_not() {
    let heads = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let seen = std::sync::Arc::clone(&heads);
    let server = crate::support::Loopback::start(move |mut stream| {
        let seen = std::sync::Arc::clone(&seen);
        async move {
            let Some(request) = crate::support::read_request(&mut stream).await else {
                return;
            };
            seen.lock().unwrap().push_str(&request.head);
            let answer = [
                crate::support::stream_head("text/event-stream"),
                b"data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\ndata: [DONE]\n\n"
                    .to_vec(),
            ]
            .concat();
            crate::support::send(&mut stream, &answer).await;
        }
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("key");
    std::fs::write(&key_file, "sk-of-the-backend").unwrap();
    let settings = LlmSettings {
        openai: Some(OpenAiSettings {
            key_file: Some(key_file),
            model: Some("theirs".to_owned()),
            ..OpenAiSettings::compatible(format!("{}/v1", server.url()))
        }),
        ..LlmSettings::default()
    };
    hark::platform::tls::install();
    let look: Look = std::sync::Arc::new(move || {
        let backend = Upstream::open("openai", &settings).unwrap();
        Box::pin(async move { Some(std::sync::Arc::new(backend)) })
    });
    let house = House::looking(look, Limits::default(), None, None).await;
    assert_eq!(
        house
            .post("/v1/chat/completions", &asking("x", true))
            .await
            .0,
        200
    );
    let heads = heads.lock().unwrap().to_lowercase();
    assert!(
        heads.contains("authorization: bearer sk-of-the-backend"),
        "{heads}"
    );
    assert!(!heads.contains(crate::house::TOKEN), "{heads}");
}
