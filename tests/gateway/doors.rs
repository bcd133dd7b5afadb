//! Web pages, other users, floods and paths: who is kept out, and with what words.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::house::{House, PATIENCE, Scripted, TOKEN, asking};

/// Sends bytes as they are and reads the answer's head.
async fn raw(house: &House, request: &str) -> String {
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = async {
        let mut block = [0; 4_096];
        while !answer.windows(4).any(|four| four == b"\r\n\r\n") {
            match stream.read(&mut block).await {
                Ok(0) | Err(_) => break,
                Ok(read) => answer.extend_from_slice(&block[..read]),
            }
        }
    };
    tokio::time::timeout(PATIENCE, read)
        .await
        .expect("an answer");
    String::from_utf8_lossy(&answer).into_owned()
}

async fn status(house: &House, line: &str, headers: &str) -> u16 {
    let port = house.address.port();
    let headers = headers
        .replace("PORT", &port.to_string())
        .replace("TOKEN", TOKEN);
    let answer = raw(house, &format!("{line} HTTP/1.1\r\n{headers}\r\n")).await;
    answer
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or(0)
}

const GOOD: &str = "Host: 127.0.0.1:PORT\r\nAuthorization: Bearer TOKEN\r\n";

#[tokio::test]
async fn only_those_who_know_the_token_come_in() {
    let backend = Scripted::polite().await;
    let house = House::before("openai", &backend.url()).await;
    assert_eq!(status(&house, "GET /v1/models", GOOD).await, 200);
    assert_eq!(
        status(
            &house,
            "GET /v1/models",
            "Host: 127.0.0.1:PORT\r\nX-Api-Key: TOKEN\r\n"
        )
        .await,
        200
    );
    for headers in [
        "Host: 127.0.0.1:PORT\r\n",
        "Host: 127.0.0.1:PORT\r\nAuthorization: Bearer wrong\r\n",
        "Host: 127.0.0.1:PORT\r\nAuthorization: Basic TOKEN\r\n",
        "Host: 127.0.0.1:PORT\r\nAuthorization: Bearer TOKEN\r\nAuthorization: Bearer TOKEN\r\n",
    ] {
        for line in [
            "GET /v1/models",
            "GET /api/tags",
            "POST /v1/chat/completions",
            "POST /api/show",
            "GET /api/ps",
        ] {
            assert_eq!(status(&house, line, headers).await, 401, "{line} {headers}");
        }
    }
    // Whether somebody is there is no secret; what it is, is.
    assert_eq!(
        status(&house, "HEAD /", "Host: localhost:PORT\r\n").await,
        200
    );
    assert_eq!(
        status(&house, "GET /health", "Host: localhost:PORT\r\n").await,
        200
    );
}

#[tokio::test]
async fn a_page_in_the_users_browser_gets_nothing_even_with_the_token() {
    let backend = Scripted::polite().await;
    let house = House::before("openai", &backend.url()).await;
    for headers in [
        "Host: evil.example:PORT\r\nAuthorization: Bearer TOKEN\r\n",
        "Host: 127.0.0.1:PORT\r\nHost: evil.example\r\nAuthorization: Bearer TOKEN\r\n",
        "Authorization: Bearer TOKEN\r\n",
        "Host: 127.0.0.1:PORT\r\nOrigin: https://evil.example\r\nAuthorization: Bearer TOKEN\r\n",
        "Host: 127.0.0.1:PORT\r\nOrigin: null\r\nAuthorization: Bearer TOKEN\r\n",
        "Host: 127.0.0.1:PORT\r\nSec-Fetch-Site: cross-site\r\nAuthorization: Bearer TOKEN\r\n",
    ] {
        for line in [
            "GET /v1/models",
            "GET /health",
            "OPTIONS /v1/chat/completions",
            "POST /v1/chat/completions",
        ] {
            let code = status(&house, line, headers).await;
            assert!(matches!(code, 400 | 403), "{line} {headers}: {code}");
        }
    }
    let port = house.address.port();
    let preflight = raw(
        &house,
        &format!("OPTIONS /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: https://evil.example\r\nAccess-Control-Request-Method: POST\r\n\r\n"),
    )
    .await;
    assert!(
        !preflight.to_lowercase().contains("access-control"),
        "{preflight}"
    );
    assert_eq!(backend.work.count(), 0);
}

#[tokio::test]
async fn no_path_leads_into_the_file_system_and_no_request_names_a_file() {
    let backend = Scripted::polite().await;
    let house = House::before("openai", &backend.url()).await;
    for path in [
        "/etc/passwd",
        "/../etc/passwd",
        "/v1/../../etc/passwd",
        "/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/v1/models/../x",
        "/v1/files",
        "/api/blobs",
        "/v1/models/%2Fetc%2Fpasswd",
    ] {
        assert_eq!(
            status(&house, &format!("GET {path}"), GOOD).await,
            404,
            "{path}"
        );
    }
    for image in [
        "file:///etc/passwd",
        "/etc/passwd",
        "http://127.0.0.1:1/x",
        "https://example.com/cat.png",
    ] {
        let body = json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": image}}]}]});
        assert_eq!(
            house.post("/v1/chat/completions", &body).await.0,
            400,
            "{image}"
        );
        let body = json!({"messages": [{"role": "user", "content": "x", "images": [image]}]});
        assert_eq!(house.post("/api/chat", &body).await.0, 400, "{image}");
    }
    assert_eq!(backend.work.count(), 0);
}

#[tokio::test]
async fn wrong_requests_are_told_what_is_wrong_in_their_own_dialect() {
    let backend = Scripted::polite().await;
    let house = House::before("openai", &backend.url()).await;
    let post = |path: &'static str, body: &'static str| {
        let sent = house
            .client
            .post(house.url(path))
            .bearer_auth(TOKEN)
            .body(body)
            .send();
        async move {
            let response = sent.await.unwrap();
            (
                response.status().as_u16(),
                response.json::<serde_json::Value>().await.unwrap(),
            )
        }
    };
    let (code, answer) = post("/v1/chat/completions", "{\"messages\": [").await;
    assert_eq!(
        (code, &answer["error"]["type"]),
        (400, &json!("invalid_request_error"))
    );
    let (code, answer) = post("/api/chat", "[]").await;
    assert_eq!(
        (code, &answer["error"]),
        (400, &json!("the body must be a JSON object"))
    );
    for body in [
        "{}",
        "{\"messages\":[]}",
        "{\"messages\":[1]}",
        "{\"messages\":[{\"content\":\"x\"}]}",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"n\":2}",
        "{\"messages\":[{\"role\":\"user\"}],\"stream\":\"yes\"}",
    ] {
        assert_eq!(post("/v1/chat/completions", body).await.0, 400, "{body}");
    }
    assert_eq!(status(&house, "GET /v1/chat/completions", GOOD).await, 405);
    assert_eq!(status(&house, "DELETE /api/delete", GOOD).await, 405);
    let (code, answer) = house.ask("/api/pull", &json!({"model": "llama3"})).await;
    assert_eq!(code, 501);
    assert!(
        answer["error"]
            .as_str()
            .unwrap()
            .contains("nothing is pulled")
    );
    assert_eq!(house.ask("/v1/responses", &json!({})).await.0, 501);
    assert_eq!(house.post("/v1/nothing", &json!({})).await.0, 404);
    assert_eq!(backend.work.count(), 0);
}

#[tokio::test]
async fn floods_are_cut_short() {
    let backend = Scripted::polite().await;
    let house = House::before("openai", &backend.url()).await;
    let large = format!("{GOOD}Content-Type: application/json\r\nContent-Length: 40000000\r\n");
    assert_eq!(
        status(&house, "POST /v1/chat/completions", &large).await,
        413
    );
    let many: String = (0..100).map(|n| format!("X-{n}: 1\r\n")).collect();
    assert_eq!(
        status(&house, "GET /v1/models", &format!("{GOOD}{many}")).await,
        431
    );
    let long = format!("{GOOD}X-Long: {}\r\n", "x".repeat(200_000));
    assert!(matches!(
        status(&house, "GET /v1/models", &long).await,
        0 | 431
    ));
    // The gateway still answers everybody else.
    assert_eq!(
        house
            .post("/v1/chat/completions", &asking("x", false))
            .await
            .0,
        200
    );
}

#[tokio::test]
async fn a_client_that_never_ends_its_headers_is_hung_up_on() {
    let backend = Scripted::polite().await;
    let house = House::before("openai", &backend.url()).await;
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
        .await
        .unwrap();
    let mut rest = Vec::new();
    let hung_up =
        tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut rest)).await;
    assert!(hung_up.is_ok(), "the connection stays open");
}
