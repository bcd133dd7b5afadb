//! What clients ask, and what nonsense they may send.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::Command as Program;

use hark::control::Command;
use hark::control::client::ClientError;
use hark::dialogue::Key;
use hark::gateway::residency::Kind;
use serde_json::{Value, json};

use crate::{PATIENCE, Running, Runtime};

#[tokio::test(flavor = "multi_thread")]
async fn every_command_reaches_the_conductor_and_its_answer_the_client() {
    let runtime = Runtime::new();
    let running = Running::start(&runtime);
    let client = runtime.client();
    let status = client.get("/v1/status").await.unwrap();
    for key in [
        "state",
        "since",
        "input",
        "output",
        "stt_model",
        "backend",
        "memory",
        "muted",
        "off_record",
        "uptime_s",
        "turns",
    ] {
        assert!(status.get(key).is_some(), "{key} is missing in {status}");
    }
    let post = |path: &'static str, body: Value| {
        let client = client.clone();
        async move { client.post(path, &body).await.unwrap() }
    };
    assert_eq!(
        post("/v1/off-record", json!({"on": true})).await,
        json!({"off_record": true})
    );
    assert_eq!(
        post("/v1/ptt", json!({"action": "press"})).await,
        json!({"ptt": "press"})
    );
    assert_eq!(
        post("/v1/ptt", json!({"action": "release"})).await,
        json!({"ptt": "release"})
    );
    assert_eq!(
        post("/v1/ptt", json!({"action": "toggle"})).await,
        json!({"ptt": "toggle"})
    );
    assert_eq!(
        post("/v1/stop", Value::Null).await,
        json!({"stopped": true})
    );
    assert_eq!(post("/v1/mute", Value::Null).await, json!({"muted": true}));
    for wanted in [json!("ollama"), Value::Null] {
        let body = json!({ "use": wanted });
        assert_eq!(post("/v1/backend", body).await, json!({"change": 1}));
    }
    let refused = client
        .post("/v1/ptt", &json!({"action": "press"}))
        .await
        .unwrap_err();
    let ClientError::Refused(refused) = refused else {
        panic!("{refused}")
    };
    assert_eq!(
        (refused.kind.as_str(), refused.next.as_str()),
        ("muted", "open it: `hark unmute`")
    );
    assert_eq!(
        post("/v1/unmute", Value::Null).await,
        json!({"muted": false})
    );
    assert_eq!(
        *running.commands.lock().unwrap(),
        [
            Command::Status,
            Command::OffRecord(true),
            Command::Key(Key::Press),
            Command::Key(Key::Release),
            Command::Key(Key::Toggle),
            Command::Stop,
            Command::Mute(true),
            Command::Backend(Some(Kind::Ollama)),
            Command::Backend(None),
            Command::Key(Key::Press),
            Command::Mute(false),
        ]
    );
    running.stop().await;
    assert!(!runtime.socket().exists());
}

/// Sends bytes as they are; the whole answer.
fn raw(runtime: &Runtime, request: &[u8]) -> String {
    let mut stream = UnixStream::connect(runtime.socket()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    match stream.read_to_string(&mut answer) {
        // A server that has not read all of a request when it closes: what it answered may be lost with it.
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        read => {
            read.unwrap();
        }
    }
    answer
}

fn post(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}").into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_of_ours_is_refused_with_what_to_do_and_reaches_nobody() {
    let runtime = Runtime::new();
    let running = Running::start(&runtime);
    let huge = format!("{{\"on\": true, \"x\": \"{}\"}}", "y".repeat(100_000));
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (
            b"GET /v1/nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec(),
            "404",
        ),
        (
            b"GET /v2/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec(),
            "404",
        ),
        (
            b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec(),
            "404",
        ),
        (
            b"GET /v1/mute HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec(),
            "405",
        ),
        (post("/v1/status", ""), "405"),
        (post("/v1/off-record", ""), "400"),
        (post("/v1/off-record", "{\"on\": \"yes\"}"), "400"),
        (post("/v1/off-record", "on"), "400"),
        (post("/v1/ptt", "{\"action\": \"hold\"}"), "400"),
    ];
    for (request, code) in cases {
        let shown = String::from_utf8_lossy(&request[..request.len().min(90)]).into_owned();
        let runtime_socket = &runtime;
        let answer = tokio::task::block_in_place(|| raw(runtime_socket, &request));
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {code}")),
            "{shown}: {answer}"
        );
        let body = answer.split("\r\n\r\n").nth(1).unwrap();
        let error: Value = serde_json::from_str(body).unwrap();
        for key in ["kind", "message", "next"] {
            assert!(
                error["error"][key]
                    .as_str()
                    .is_some_and(|text| !text.is_empty()),
                "{body}"
            );
        }
    }
    let huge = post("/v1/off-record", &huge);
    for garbage in [
        &huge[..],
        b"\x00\x01\x02\xff\r\n\r\n",
        b"HELO there\r\n\r\n",
        b"",
    ] {
        tokio::task::block_in_place(|| raw(&runtime, garbage));
    }
    assert!(running.commands.lock().unwrap().is_empty());
    assert!(
        runtime.client().get("/v1/status").await.is_ok(),
        "and it still answers"
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_half_a_request_holds_nobody_up() {
    let runtime = Runtime::new();
    let running = Running::start(&runtime);
    // More than the server takes at once: those that say nothing must be put out for the next one to get in.
    let mut lazy = Vec::new();
    for number in 0..80 {
        let mut stream = UnixStream::connect(runtime.socket()).unwrap();
        if number % 2 == 0 {
            stream
                .write_all(b"POST /v1/mute HTTP/1.1\r\nHost: x\r\nContent-Le")
                .unwrap();
        }
        lazy.push(stream);
    }
    let by = tokio::time::Instant::now() + PATIENCE;
    while runtime.client().get("/v1/status").await.is_err() {
        assert!(tokio::time::Instant::now() < by, "nobody gets in");
    }
    assert!(
        !running
            .commands
            .lock()
            .unwrap()
            .contains(&Command::Mute(true))
    );
    drop(lazy);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_is_a_client() {
    if Program::new("curl").arg("--version").output().is_err() {
        println!("skipped: there is no curl here");
        return;
    }
    let runtime = Runtime::new();
    let running = Running::start(&runtime);
    let curl = |arguments: &[&str]| {
        let mut program = Program::new("curl");
        program
            .args(["-sS", "--max-time", "20", "--unix-socket"])
            .arg(runtime.socket());
        let output = tokio::task::block_in_place(|| program.args(arguments).output()).unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let status: Value = serde_json::from_str(&curl(&["http://hark/v1/status"])).unwrap();
    assert_eq!(status["state"], "idle");
    assert_eq!(
        curl(&["-X", "POST", "http://hark/v1/mute"]),
        "{\"muted\":true}\n"
    );
    let pressed = curl(&["-d", "{\"action\": \"press\"}", "http://hark/v1/ptt"]);
    assert!(pressed.contains("\"kind\":\"muted\""), "{pressed}");
    let told = curl(&["-d", "{\"on\": true}", "http://hark/v1/off-record"]);
    assert_eq!(told, "{\"off_record\":true}\n");
    running.stop().await;
}
