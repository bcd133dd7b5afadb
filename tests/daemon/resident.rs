//! The language model's server as a real child process: started, dead in the middle of an answer, hung, found again.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hark::flow::Outcome;
use hark::platform::process::{self, Group, Launch, Signal};

use crate::support::{Ended, Home, Running};

const QUESTIONS: [&str; 3] = [
    "tell me a story",
    "what is the weather tomorrow",
    "tell me a joke",
];

/// The server of `tests/residency`, that dies or hangs in the answer of that number (0 is never).
pub fn server(folder: &Path, dies_at: u32, hangs_at: u32) -> PathBuf {
    std::fs::create_dir_all(folder).unwrap();
    let script = include_str!("../residency/server.py")
        .replace("@MEGABYTES@", "8")
        .replace("@LOAD@", "0.1")
        .replace("@DIES_AT@", &dies_at.to_string())
        .replace("@HANGS_AT@", &hangs_at.to_string());
    let python = process::find_program("python3").expect("these tests need python3");
    let path = folder.join("server.py");
    std::fs::write(&path, format!("#!{}\n{script}", python.display())).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

pub fn port() -> u16 {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

/// Kills what still runs from a folder when the test ends, however it ends.
pub struct Sweeper(pub String);

impl Drop for Sweeper {
    fn drop(&mut self) {
        for process in process::all() {
            if process.command.contains(&self.0) {
                process::signal_process(process.pid, Signal::Kill);
            }
        }
    }
}

/// The daemon on three questions with a server that it starts itself.
fn managed(home: &Home, dies_at: u32, hangs_at: u32, silent_s: &str) -> Ended {
    let program = server(&home.path("mlx"), dies_at, hangs_at)
        .display()
        .to_string();
    let url = format!("http://127.0.0.1:{}/v1", port());
    let settings = [
        ("HARK_LLM_BACKEND", "mlx"),
        ("HARK_LLM_MANAGE", "yes"),
        ("HARK_LLM_MLX_URL", url.as_str()),
        ("HARK_LLM_MLX_MODEL", "/no/model/needed"),
        ("HARK_LLM_MLX_COMMAND", program.as_str()),
        ("HARK_LLM_SILENT_S", silent_s),
    ];
    let question = home.spoken(&QUESTIONS, Duration::from_millis(1_500));
    Running::start(home.plan(home.config(&settings), &question)).ended()
}

fn outcomes(home: &Home) -> Vec<Outcome> {
    home.records()
        .iter()
        .map(|record| record.turn.outcome)
        .collect()
}

fn changes(ended: &Ended) -> Vec<String> {
    ended
        .named("backend")
        .iter()
        .map(|seen| seen.json["change"].as_str().unwrap().to_owned())
        .collect()
}

fn still_running(home: &Home) -> Vec<String> {
    let folder = home.path("mlx").display().to_string();
    process::all()
        .into_iter()
        .map(|process| process.command)
        .filter(|command| command.contains(&folder))
        .collect()
}

#[test]
fn a_server_that_is_killed_in_mid_answer_is_started_again_and_the_next_turn_works() {
    let home = Home::new();
    let _sweeper = Sweeper(home.path("mlx").display().to_string());
    let ended = managed(&home, 2, 0, "30");
    let told = changes(&ended);
    assert_eq!(
        outcomes(&home),
        [Outcome::Completed, Outcome::Failed, Outcome::Completed],
        "{told:?}"
    );
    let heard = ended.texts("heard");
    let sentence = "The language model has stopped. I am starting it again.";
    assert_eq!(
        heard.iter().filter(|said| **said == sentence).count(),
        1,
        "{heard:?}"
    );
    assert_eq!(heard.last(), Some(&"The fox is well."), "{heard:?}");
    assert!(
        told.iter().any(|change| change.contains("started again")),
        "{told:?}"
    );
    assert!(
        still_running(&home).is_empty(),
        "its child does not outlive it"
    );
    let prefixes: Vec<_> = ended
        .named("turn")
        .iter()
        .map(|turn| turn.json["receipt"]["prefix"].clone())
        .collect();
    assert_eq!(
        prefixes[0], "reused",
        "the warm-up came before the first question: {prefixes:?}"
    );
}

#[test]
fn a_server_that_hangs_is_killed_and_started_again() {
    let home = Home::new();
    let _sweeper = Sweeper(home.path("mlx").display().to_string());
    let ended = managed(&home, 0, 1, "1");
    let told = changes(&ended);
    let outcomes = outcomes(&home);
    assert_eq!(
        outcomes.last(),
        Some(&Outcome::Completed),
        "{outcomes:?} {told:?}"
    );
    assert!(outcomes.contains(&Outcome::Failed), "{outcomes:?}");
    assert!(still_running(&home).is_empty());
}

#[test]
fn under_auto_another_kind_is_found_when_the_first_one_dies() {
    let home = Home::new();
    let _sweeper = Sweeper(home.root().display().to_string());
    let (mlx_port, ollama_port) = (port(), port());
    let start = |program: PathBuf, arguments: Vec<String>, host: String| {
        Group::start(&Launch {
            program,
            arguments,
            environment: [("OLLAMA_HOST".to_owned(), host)].into(),
            log: home.path("server.log"),
            leash: false,
        })
        .unwrap()
    };
    let _mlx = start(
        server(&home.path("mlx"), 2, 0),
        vec!["--port".to_owned(), mlx_port.to_string()],
        String::new(),
    );
    let _ollama = start(
        server(&home.path("ollama"), 0, 0),
        vec!["serve".to_owned()],
        format!("127.0.0.1:{ollama_port}"),
    );
    for port in [mlx_port, ollama_port] {
        for _ in 0..1_500 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    let (mlx, ollama) = (
        format!("http://127.0.0.1:{mlx_port}/v1"),
        format!("http://127.0.0.1:{ollama_port}"),
    );
    let settings = [
        ("HARK_LLM_BACKEND", "auto"),
        ("HARK_LLM_MANAGE", "no"),
        ("HARK_LLM_MLX_URL", mlx.as_str()),
        ("HARK_LLM_OLLAMA_URL", ollama.as_str()),
    ];
    let question = home.spoken(&QUESTIONS, Duration::from_millis(1_500));
    let ended = Running::start(home.plan(home.config(&settings), &question)).ended();
    let backends: Vec<_> = home
        .records()
        .iter()
        .map(|record| (record.turn.outcome, record.turn.receipt.backend.clone()))
        .collect();
    assert_eq!(
        backends[0],
        (Outcome::Completed, Some("mlx".to_owned())),
        "{backends:?}"
    );
    assert_eq!(backends[1].0, Outcome::Failed, "{backends:?}");
    assert_eq!(
        backends[2],
        (Outcome::Completed, Some("ollama".to_owned())),
        "{backends:?}"
    );
    assert!(
        changes(&ended)
            .iter()
            .any(|change| change.starts_with("found ollama"))
    );
}
