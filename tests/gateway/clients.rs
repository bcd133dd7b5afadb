//! The real openai and ollama packages for Python, against `hark gateway` as users start it, before both real servers.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::mlx::MlxServer;
use crate::real::{LlamaServer, python};

struct Hark {
    child: Child,
    url: String,
    token: String,
    _home: tempfile::TempDir,
}

impl Hark {
    /// `hark gateway` in a home of its own.
    fn start(settings: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let listen = format!("127.0.0.1:{port}");
        let child = Command::new(env!("CARGO_BIN_EXE_hark"))
            .args(["gateway", "--listen", &listen])
            .env("HARK_HOME", home.path())
            .envs(settings.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let token = home.path().join("gateway.token");
        let until = Instant::now() + Duration::from_secs(60);
        while std::net::TcpStream::connect(&listen).is_err() {
            assert!(Instant::now() < until, "hark gateway did not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self {
            child,
            url: format!("http://{listen}"),
            token: std::fs::read_to_string(token).unwrap().trim().to_owned(),
            _home: home,
        }
    }
}

impl Drop for Hark {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn script(python: &Path, name: &str, arguments: &[&str]) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/gateway/clients")
        .join(name);
    let ran = Command::new(python)
        .arg(file)
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        ran.status.success(),
        "{name} {}:\n{}{}",
        arguments[2],
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr)
    );
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_clients_work_with_mlx_behind_the_gateway() {
    let Some(python) = python() else { return };
    let Some(mut mlx) = MlxServer::prepare() else {
        return;
    };
    mlx.start().await;
    let model = data("models/starter.en.bin");
    let hark = Hark::start(&[
        ("HARK_LLM_BACKEND", "mlx"),
        ("HARK_LLM_MLX_URL", &mlx.url()),
        ("HARK_STT_MODEL", &model.display().to_string()),
    ]);
    let recording = data("tests/data/question.wav").display().to_string();
    script(
        &python,
        "openai_client.py",
        &[&hark.url, &hark.token, "mlx", &recording],
    );
    script(
        &python,
        "ollama_client.py",
        &[&hark.url, &hark.token, "mlx"],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_clients_work_with_llama_cpp_behind_the_gateway() {
    let Some(python) = python() else { return };
    let Some(llama) = LlamaServer::start().await else {
        return;
    };
    let hark = Hark::start(&[
        ("HARK_LLM_BACKEND", "openai"),
        ("HARK_LLM_OPENAI_URL", &llama.url()),
    ]);
    script(
        &python,
        "openai_client.py",
        &[&hark.url, &hark.token, "llama", "-"],
    );
    script(
        &python,
        "ollama_client.py",
        &[&hark.url, &hark.token, "llama"],
    );
}
