//! The real mlx_lm.server, from a cached virtual environment, with the scripted model of `tests/mlx_fixture`.
//!
//! `tests/mlx_fixture/setup.sh` installs it. A server dies with its test: it is killed when dropped, and it ends by itself
//! when its standard input closes, which happens however the test process ends.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::support::say;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/mlx_fixture")
        .join(name)
}

/// The Python of the environment; `None` when the user asked to do without. Fails when it has not been installed.
fn python() -> Option<PathBuf> {
    if std::env::var_os("HARK_SKIP_MLX").is_some_and(|value| value == "1") {
        say("skipped: the tests against the real mlx_lm.server (HARK_SKIP_MLX=1)");
        return None;
    }
    let home = || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache/hark");
    let venv = std::env::var_os("HARK_CACHE")
        .map_or_else(home, PathBuf::from)
        .join("mlx-venv");
    assert!(
        venv.join("hark-stamp").is_file(),
        "mlx_lm.server is not installed in {}\n  run: sh tests/mlx_fixture/setup.sh\n  or skip these tests: HARK_SKIP_MLX=1",
        venv.display()
    );
    Some(venv.join("bin/python"))
}

/// The folder of the scripted model, made once for each version of its script.
fn model(python: &Path) -> PathBuf {
    static MAKING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = MAKING.lock().unwrap();
    let script = fs::read(fixture("make_model.py")).unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("scripted-model");
    let stamp = folder.join("made-by");
    if fs::read(&stamp).is_ok_and(|made_by| made_by == script) {
        return folder;
    }
    let made = Command::new(python)
        .arg(fixture("make_model.py"))
        .arg(&folder)
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    fs::write(stamp, script).unwrap();
    folder
}

/// A place where a server runs or may run.
pub struct MlxServer {
    python: PathBuf,
    model: PathBuf,
    home: TempDir,
    pub address: SocketAddr,
    child: Option<Child>,
}

impl MlxServer {
    /// Picks a free port; starts nothing. `None` when these tests are to be skipped.
    pub fn prepare() -> Option<Self> {
        let python = python()?;
        let model = model(&python);
        let address = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let home = TempDir::new().unwrap();
        // Without this folder its list of models is an empty body.
        fs::create_dir(home.path().join("hub")).unwrap();
        Some(Self {
            python,
            model,
            home,
            address,
            child: None,
        })
    }

    /// Starts it and waits until the port is open, which is before the model is loaded.
    pub async fn start(&mut self) {
        let log = fs::File::create(self.log()).unwrap();
        let child = Command::new(&self.python)
            .arg(fixture("serve.py"))
            .args([
                "--host",
                "127.0.0.1",
                "--port",
                &self.address.port().to_string(),
                "--log-level",
                "INFO",
            ])
            .args(["--prompt-cache-size", "4", "--model"])
            .arg(&self.model)
            .env("HF_HOME", self.home.path())
            .envs([
                ("HF_HUB_OFFLINE", "1"),
                ("TRANSFORMERS_OFFLINE", "1"),
                ("PYTHONUNBUFFERED", "1"),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let until = Instant::now() + Duration::from_secs(90);
        while tokio::net::TcpStream::connect(self.address).await.is_err() {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < until,
                "mlx_lm.server did not start:\n{}",
                self.read_log()
            );
            sleep(Duration::from_millis(50)).await;
        }
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    fn log(&self) -> PathBuf {
        self.home.path().join("log")
    }

    pub fn read_log(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Processor time that it has used, in seconds, by the system's own account.
    pub fn cpu_seconds(&self) -> f64 {
        let pid = self.child.as_ref().unwrap().id();
        if let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) {
            let after_name = stat.rsplit_once(") ").unwrap().1;
            let ticks: f64 = after_name
                .split(' ')
                .skip(11)
                .take(2)
                .map(|field| field.parse::<f64>().unwrap())
                .sum();
            return ticks / 100.0;
        }
        let shown = Command::new("ps")
            .args(["-o", "time=", "-p", &pid.to_string()])
            .output()
            .unwrap();
        let text = String::from_utf8(shown.stdout).unwrap();
        text.trim()
            .split(':')
            .fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap())
    }
}

impl Drop for MlxServer {
    fn drop(&mut self) {
        self.kill();
    }
}
