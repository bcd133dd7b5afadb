//! Real servers behind the gateway: mlx_lm.server on a scripted model, and llama.cpp's on one that babbles.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use hark::gateway::admission::Class;
use serde_json::{Value, json};

use crate::house::{House, PATIENCE, asking, events, lines, said};
use crate::mlx::MlxServer;
use crate::support::say;

/// The Python of the clients' environment; `None`, and a line that says so, where it is not installed.
pub fn python() -> Option<PathBuf> {
    let home = || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache/hark");
    let venv = std::env::var_os("HARK_CACHE")
        .map_or_else(home, PathBuf::from)
        .join("gateway-venv");
    if venv.join("hark-stamp").is_file() {
        return Some(venv.join("bin/python"));
    }
    say(&format!(
        "skipped: the tests with the real openai and ollama clients and llama.cpp's server ({} is not there; run tests/gateway/clients/setup.sh)",
        venv.display()
    ));
    None
}

/// llama.cpp's server; it dies with its test, for it ends when its standard input closes.
pub struct LlamaServer {
    pub address: SocketAddr,
    child: Child,
}

impl LlamaServer {
    pub async fn start() -> Option<Self> {
        let python = python()?;
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/llama_fixture");
        let model = made(&python, &fixture);
        let address = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let child = Command::new(python)
            .arg(fixture.join("serve.py"))
            .arg(model)
            .arg(address.port().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Self { address, child };
        let until = Instant::now() + Duration::from_secs(90);
        while tokio::net::TcpStream::connect(address).await.is_err() {
            let ended = server.child.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < until,
                "llama.cpp's server did not start"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Some(server)
    }

    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    pub fn kill(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait().map(drop)) {
            say(&format!("llama.cpp's server: {error}"));
        }
    }
}

impl Drop for LlamaServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The babbling model, made once for each version of its script.
fn made(python: &Path, fixture: &Path) -> PathBuf {
    static MAKING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = MAKING.lock().unwrap();
    let script = fs::read(fixture.join("make_model.py")).unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("babbling-model");
    let (model, stamp) = (folder.join("model.gguf"), folder.join("made-by"));
    if fs::read(&stamp).is_ok_and(|made_by| made_by == script) {
        return model;
    }
    fs::create_dir_all(&folder).unwrap();
    let made = Command::new(python)
        .arg(fixture.join("make_model.py"))
        .arg(&model)
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    fs::write(stamp, script).unwrap();
    model
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mlx_answers_both_dialects_keeps_its_model_and_dies_audibly() {
    let Some(mut mlx) = MlxServer::prepare() else {
        return;
    };
    mlx.start().await;
    let house = House::before("mlx", &mlx.url()).await;
    let (status, text) = house
        .post("/v1/chat/completions", &asking("hello", true))
        .await;
    assert_eq!(status, 200, "{text}");
    let greeting = said(&events(&text));
    assert!(!greeting.is_empty());
    assert_eq!(events(&text).last(), Some(&Value::Null));
    let (_, whole) = house
        .ask("/v1/chat/completions", &asking("hello", false))
        .await;
    assert_eq!(whole["choices"][0]["message"]["content"], greeting.as_str());
    assert!(
        whole["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64() > Some(0),
        "the prefix is reused: {whole}"
    );
    let (_, text) = house.post("/api/chat", &asking("hello", true)).await;
    let words: String = lines(&text)
        .iter()
        .filter_map(|line| line["message"]["content"].as_str())
        .collect();
    assert_eq!(words, greeting);
    // Fields that mlx_lm.server stumbles over, and a name that would have it unload its model.
    let mut odd = asking("hello", false);
    odd["stream_options"] = json!({});
    odd["max_tokens"] = Value::Null;
    odd["adapters"] = json!("/nowhere");
    let (status, answer) = house.ask("/v1/chat/completions", &odd).await;
    assert_eq!(status, 200, "{answer}");
    leaving_is_noticed(&house, &mlx).await;
    let mut running = house
        .send("/v1/chat/completions", &asking("count sheep", true))
        .await;
    assert!(running.chunk().await.unwrap().is_some());
    mlx.kill();
    let rest = tokio::time::timeout(PATIENCE, running.text())
        .await
        .unwrap()
        .unwrap();
    assert!(
        events(&rest).last().unwrap()["error"]["message"].is_string(),
        "{rest}"
    );
    assert!(!rest.contains("[DONE]"));
    let (status, _) = house
        .ask("/v1/chat/completions", &asking("hello", true))
        .await;
    assert_eq!(status, 503);
    mlx.start().await;
    let (status, answer) = house
        .ask("/v1/chat/completions", &asking("hello", false))
        .await;
    assert_eq!(
        (status, &answer["choices"][0]["message"]["content"]),
        (200, &json!(greeting))
    );
}

/// Also for a client that reads no stream: mlx_lm.server itself would go on to the end.
async fn leaving_is_noticed(house: &House, mlx: &MlxServer) {
    for stream in [true, false] {
        let mut endless = asking("count sheep", stream);
        endless["max_tokens"] = json!(100_000);
        let request = house
            .client
            .post(house.url("/v1/chat/completions"))
            .bearer_auth(crate::house::TOKEN)
            .json(&endless)
            .send();
        let reading = tokio::spawn(async move { drop(request.await.unwrap().bytes().await) });
        let by = Instant::now() + PATIENCE;
        let begun = mlx.cpu_seconds();
        while mlx.cpu_seconds() < begun + 0.1 {
            assert!(Instant::now() < by, "it does not generate");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        reading.abort();
        drop(reading.await);
        let left = Instant::now();
        let (status, _) = house
            .ask("/v1/chat/completions", &asking("hello", false))
            .await;
        assert_eq!(status, 200);
        let answered = left.elapsed();
        // Idle: hardly any processor time passes over half a second.
        loop {
            let before = mlx.cpu_seconds();
            tokio::time::sleep(Duration::from_millis(500)).await;
            if mlx.cpu_seconds() - before < 0.15 {
                break;
            }
            assert!(
                Instant::now() < by,
                "mlx_lm.server still generates for nobody"
            );
        }
        say(&format!(
            "mlx_lm.server, stream={stream}: the next answer came {answered:?} after a client had left"
        ));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn llama_cpps_server_answers_both_dialects_and_a_conversation_interrupts_it() {
    let Some(mut llama) = LlamaServer::start().await else {
        return;
    };
    let house = House::before("openai", &llama.url()).await;
    let mut question = asking("hello", true);
    question["max_tokens"] = json!(20);
    question["temperature"] = json!(0);
    let (status, text) = house.post("/v1/chat/completions", &question).await;
    assert_eq!(status, 200, "{text}");
    let babble = said(&events(&text));
    assert!(babble.len() >= 10, "{text}");
    assert!(
        !text.contains("babbling-model"),
        "no path of the machine reaches a client"
    );
    question["stream"] = json!(false);
    let (_, whole) = house.ask("/v1/chat/completions", &question).await;
    assert_eq!(whole["choices"][0]["message"]["content"], babble.as_str());
    assert!(
        whole["timings"]["predicted_n"].as_u64() > Some(0),
        "its own fields pass: {whole}"
    );
    let ollama = json!({"model": "x", "messages": [{"role": "user", "content": "hello"}], "options": {"num_predict": 20, "temperature": 0}});
    let (_, text) = house.post("/api/chat", &ollama).await;
    let words: String = lines(&text)
        .iter()
        .filter_map(|line| line["message"]["content"].as_str())
        .collect();
    assert_eq!(words, babble);
    let schema = json!({"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"], "additionalProperties": false});
    let mut formed = asking("hello", false);
    formed["max_tokens"] = json!(60);
    formed["response_format"] =
        json!({"type": "json_schema", "json_schema": {"name": "x", "schema": schema}});
    let (_, answer) = house.ask("/v1/chat/completions", &formed).await;
    assert!(
        answer["choices"][0]["message"]["content"]
            .as_str()
            .unwrap()
            .contains("ok"),
        "{answer}"
    );
    interrupted(&house).await;
    let (_, names) = house.get("/v1/models").await;
    assert_eq!(names["data"][1]["id"], "model.gguf");
    let mut running = house.send("/v1/chat/completions", &json!({"stream": true, "max_tokens": 1_900, "messages": [{"role": "user", "content": "x"}]})).await;
    assert!(running.chunk().await.unwrap().is_some());
    llama.kill();
    let rest = tokio::time::timeout(PATIENCE, running.text())
        .await
        .unwrap()
        .unwrap();
    assert!(
        rest.contains("\"error\"") && !rest.contains("[DONE]"),
        "{rest}"
    );
}

/// A stream gives way, and its client gets every word once: the seed that the gateway adds makes the second reply the first.
async fn interrupted(house: &House) {
    let long = json!({"stream": true, "max_tokens": 1_500, "ignore_eos": true, "messages": [{"role": "user", "content": "hello"}]});
    let mut running = house.send("/v1/chat/completions", &long).await;
    let mut text = Vec::new();
    while text.len() < 4_000 {
        text.extend(running.chunk().await.unwrap().expect("it is longer"));
    }
    let asked = Instant::now();
    let place = house.gate.admit(Class::Voice).await.unwrap();
    say(&format!(
        "llama.cpp's server: a conversation waited {:?} for its place",
        asked.elapsed()
    ));
    drop(place);
    while let Some(piece) = tokio::time::timeout(PATIENCE, running.chunk())
        .await
        .unwrap()
        .unwrap()
    {
        text.extend(piece);
    }
    let events = events(&String::from_utf8(text).unwrap());
    assert_eq!(
        events.last(),
        Some(&Value::Null),
        "{:?}",
        &events[events.len().saturating_sub(2)..]
    );
    let tokens = events
        .iter()
        .filter(|event| event["choices"][0]["delta"]["content"].is_string())
        .count();
    assert!(tokens >= 1_400, "{tokens} pieces of 1500 tokens");
}
