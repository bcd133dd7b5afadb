//! A home folder, the binary in it, and servers on the loopback.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use hark::config::Places;
use hark::flow::{Outcome, Receipt, Turn};
use hark::ids::TurnId;
use hark::platform::clock::Clock;
use hark::time::{SamplePos, Span};
use hark::transcripts::{SessionInfo, Writer, WriterOptions};
use serde_json::Value;
use tempfile::TempDir;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A home folder, and the environment that the binary gets.
pub struct Home {
    folder: TempDir,
    environment: Vec<(String, String)>,
}

impl Home {
    /// Without a sound system, and without any server: nothing of this machine decides.
    pub fn new() -> Self {
        let home = Self {
            folder: tempfile::tempdir().unwrap(),
            environment: Vec::new(),
        };
        let path = std::env::var("PATH").unwrap();
        let own = home.path().to_str().unwrap().to_owned();
        home.with("PATH", &path)
            .with("HOME", &own)
            .with("HARK_LLM_MLX_URL", &nobody())
            .with("HARK_LLM_OLLAMA_URL", &nobody())
    }

    /// With one more variable, or another value of one.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn places(&self) -> Places {
        Places {
            config_file: self.path().join("config.toml"),
            state: self.path().to_owned(),
            home: self.path().to_owned(),
        }
    }

    pub fn log(&self) -> PathBuf {
        self.places().transcripts()
    }

    /// Puts a program of this name first into the `PATH`: a script of the shell.
    pub fn script(self, name: &str, text: &str) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = self.path().join("bin");
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join(name);
        std::fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        let before = &self
            .environment
            .iter()
            .find(|(known, _)| known == "PATH")
            .unwrap()
            .1;
        let first = folder.to_str().unwrap().to_owned();
        if before.starts_with(&first) {
            return self;
        }
        let path = format!("{first}:{before}");
        self.with("PATH", &path)
    }

    /// Puts one turn into the transcript log.
    pub fn record_a_turn(&self) {
        let writer = Writer::spawn(
            self.log(),
            SessionInfo::default(),
            WriterOptions::default(),
            Clock::start(),
            |_| {},
        );
        let writer = writer.unwrap();
        let (told, recorded) = std::sync::mpsc::sync_channel(1);
        writer
            .try_record(turn(), Duration::ZERO, move |ack| {
                told.try_send(ack).unwrap();
            })
            .unwrap();
        recorded.recv_timeout(PATIENCE).unwrap();
        assert_eq!(writer.close(PATIENCE).lost, 0);
    }

    /// Runs `hark` there.
    pub fn hark(&self, arguments: &[&str]) -> Output {
        self.run(Path::new(env!("CARGO_BIN_EXE_hark")), arguments)
    }

    /// Runs this program there.
    pub fn run(&self, program: &Path, arguments: &[&str]) -> Output {
        let output = Command::new(program)
            .args(arguments)
            .env_clear()
            .env("HARK_HOME", self.path())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .output()
            .unwrap();
        Output {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs `hark doctor --json` there.
    pub fn doctor(&self) -> Findings {
        Findings::read(&self.hark(&["doctor", "--json"]))
    }
}

/// What a run of the binary printed.
pub struct Output {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// The JSON document and the exit code.
pub struct Findings {
    pub code: Option<i32>,
    pub document: Value,
}

impl Findings {
    pub fn read(output: &Output) -> Self {
        let document = serde_json::from_str(&output.out);
        Self {
            code: output.code,
            document: document
                .unwrap_or_else(|error| panic!("{error}: {}{}", output.out, output.err)),
        }
    }

    pub fn checks(&self) -> &Vec<Value> {
        self.document["checks"].as_array().unwrap()
    }

    /// Status, detail and remedy of a check.
    pub fn check(&self, name: &str) -> (&str, &str, &str) {
        let check = self.checks().iter().find(|check| check["name"] == name);
        let check = check.unwrap_or_else(|| panic!("no check {name}: {:#}", self.document));
        (
            check["status"].as_str().unwrap(),
            check["detail"].as_str().unwrap(),
            check["remedy"].as_str().unwrap_or_default(),
        )
    }

    /// Asserts how a check ended and what it says.
    #[track_caller]
    pub fn expect(&self, name: &str, status: &str, detail: &str, remedy: &str) {
        let found = self.check(name);
        assert_eq!(found.0, status, "{name}: {found:?}");
        assert!(found.1.contains(detail), "{name}: {found:?}");
        assert!(found.2.contains(remedy), "{name}: {found:?}");
    }
}

fn turn() -> Turn {
    Turn {
        id: TurnId(1),
        span: Span {
            start: SamplePos(0),
            end: SamplePos(16_000),
        },
        asked: "what time is it".into(),
        language: "en".to_owned(),
        confidence: 0.9,
        replied: "noon".into(),
        heard: "noon".into(),
        outcome: Outcome::Completed,
        failure: None,
        tools: Vec::new(),
        receipt: Receipt::default(),
    }
}

/// An address where nobody listens.
pub fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// Serves JSON by path until the end of the test process: the answer to a path that is not listed is 404.
pub fn serve(answers: &[(&str, Value)]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let answers: Vec<(String, String)> = answers
        .iter()
        .map(|(path, body)| ((*path).to_owned(), body.to_string()))
        .collect();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let answers = answers.clone();
            std::thread::spawn(move || answer(stream.unwrap(), &answers));
        }
    });
    format!("http://{address}")
}

fn answer(mut stream: TcpStream, answers: &[(String, String)]) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        // The client may leave at any time.
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head);
    let path = head.split(' ').nth(1).unwrap_or_default();
    let found = answers.iter().find(|(known, _)| known == path);
    let (status, body) = found.map_or(("404 Not Found", "{}"), |(_, body)| ("200 OK", body));
    let length = body.len();
    stream
        .write_all(
            format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
                .as_bytes(),
        )
        .ok();
}

/// A server that accepts and never answers.
pub fn hang() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming() {
            held.push(stream);
        }
    });
    format!("http://{address}")
}

/// A speech model that works, where this machine has one.
pub fn working_model() -> Option<PathBuf> {
    let named = std::env::var_os("HARK_TEST_MODEL").map(PathBuf::from);
    let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/starter.en.bin");
    let folder =
        std::env::var_os("HARK_MODELS_DIR").map(|folder| Path::new(&folder).join("starter.en.bin"));
    let found = [named, Some(bundled), folder]
        .into_iter()
        .flatten()
        .find(|path| path.is_file());
    if found.is_none() {
        println!(
            "skipped: no speech model; set HARK_TEST_MODEL to a file, or put models/starter.en.bin in place"
        );
    }
    found
}
