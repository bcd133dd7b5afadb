//! The keeper of the model, the gateway and the command: `hark backend` beside a running daemon, and the gateway's clients
//! served by whoever is resident.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hark::daemon::conductor::Report;
use hark::daemon::desk::beginning::of_instructions;
use hark::daemon::gateway::{self, Seats};
use hark::daemon::resident::{self, Handle, Start, Strain};
use hark::gateway::residency::Kind;
use hark::memory::Pressure;
use hark::memory::pressure::{Pace, Relief, Step};
use hark::platform::clock::Clock;
use hark::platform::process::{self, Signal};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::process::text;
use crate::remote::{Daemon, timeline};
use crate::resident::{Sweeper, port, server};
use crate::support::{Home, PATIENCE};

/// Two servers that can be started; the first dies in the answer of that number (0 is never).
fn settings(home: &Home, manage: &str, dies_at: u32) -> Vec<(&'static str, String)> {
    let program = |name: &str, dies_at| text(&server(&home.path(name), dies_at, 0));
    vec![
        ("HARK_LLM_BACKEND", "mlx".to_owned()),
        ("HARK_LLM_MANAGE", manage.to_owned()),
        (
            "HARK_LLM_MLX_URL",
            format!("http://127.0.0.1:{}/v1", port()),
        ),
        ("HARK_LLM_MLX_MODEL", "/no/model/needed".to_owned()),
        ("HARK_LLM_MLX_COMMAND", program("mlx", dies_at)),
        (
            "HARK_LLM_OLLAMA_URL",
            format!("http://127.0.0.1:{}", port()),
        ),
        ("HARK_LLM_OLLAMA_COMMAND", program("ollama", 0)),
    ]
}

#[test]
fn the_daemon_makes_the_change_that_the_command_asks_for() {
    let home = Home::new();
    let _sweeper = Sweeper(home.root().display().to_string());
    let silence = timeline(&home, &[], 120.0);
    let mut daemon = Daemon::start(&home, &silence, &[], &settings(&home, "ask", 0));
    daemon.next("ready");
    let told = daemon.told(&["backend", "use", "mlx"]);
    assert!(told.starts_with("mlx is resident and warm"), "{told}");
    let told = daemon.told(&["backend", "use", "ollama"]);
    assert!(told.starts_with("ollama is resident and warm"), "{told}");
    println!("{told}");
    let status: Value = serde_json::from_str(&daemon.told(&["status", "--json"])).unwrap();
    assert_eq!(status["change"]["number"], 2, "{status}");
    assert_eq!(status["change"]["ended"]["serving"], "ollama");
    assert_eq!(status["backend"]["name"], "ollama", "{status}");
    assert!(status["prefix"]["reused"].is_u64(), "{status}");
    assert!(status["memory"]["planned_bytes"].is_u64(), "{status}");
    assert_eq!(status["echo"]["state"], "off");
    let lines = daemon.told(&["status"]);
    for name in ["prefix", "memory", "echo"] {
        assert!(lines.lines().any(|line| line.starts_with(name)), "{lines}");
    }
    let told = daemon.told(&["backend", "stop"]);
    assert!(told.contains("memory is back"), "{told}");
    let left: Vec<String> = process::all()
        .into_iter()
        .map(|process| process.command)
        .filter(|command| command.contains(&text(&home.path("ollama"))))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// A keeper and a gateway as the daemon joins them.
struct World {
    home: Home,
    handle: Handle,
    gateway: u16,
    url: String,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    running: gateway::Running,
    _sweeper: Sweeper,
}

impl World {
    async fn start(dies_at: u32) -> Self {
        Self::under(dies_at, Strain::of_the_system()).await
    }

    async fn under(dies_at: u32, strain: Strain) -> Self {
        hark::platform::tls::install();
        let home = Home::new();
        let sweeper = Sweeper(home.root().display().to_string());
        let gateway = port();
        let mut settings = settings(&home, "yes", dies_at);
        settings.push(("HARK_GATEWAY_LISTEN", format!("127.0.0.1:{gateway}")));
        let url = settings[2].1.clone();
        let settings: Vec<(&str, &str)> = settings
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let config = home.config(&settings);
        let clock = Clock::start();
        let seats = Seats::new(&config, clock);
        let running = gateway::start(&config, &home.places(), &seats)
            .await
            .unwrap()
            .unwrap();
        let (reports, mut told) = mpsc::channel::<Report>(64);
        tokio::spawn(async move { while told.recv().await.is_some() {} });
        let stop = CancellationToken::new();
        let start = Start {
            backend: None,
            clock,
            reports,
            shutdown: stop.clone(),
            prefix: of_instructions(),
            seats: Some(seats),
            speech: None,
            strain,
        };
        let (handle, task) = resident::start(&config, &home.places(), start);
        Self {
            home,
            handle,
            gateway,
            url,
            stop,
            task,
            running,
            _sweeper: sweeper,
        }
    }

    /// A client of the gateway: the whole answer.
    fn client(&self) -> tokio::task::JoinHandle<String> {
        let token = std::fs::read_to_string(self.home.path("gateway.token")).unwrap();
        let port = self.gateway;
        tokio::task::spawn_blocking(move || ask(port, token.trim()))
    }

    async fn changed(&self, wanted: Option<Kind>) -> Option<String> {
        let number = self.handle.change(wanted).expect("a change may begin");
        let by = Instant::now() + PATIENCE;
        loop {
            let change = self.handle.health().change.clone().unwrap();
            if let (true, Some(ended)) = (change.number == number, change.ended) {
                println!("{ended:?}");
                return ended.serving;
            }
            assert!(Instant::now() < by, "the change does not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
        self.running.close().await;
    }
}

fn ask(port: u16, token: &str) -> String {
    let body = r#"{"model":"any","messages":[{"role":"user","content":"hello"}]}"#;
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn is_answer(answer: &str) -> bool {
    answer.starts_with("HTTP/1.1 200") && answer.contains("fox")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateways_clients_follow_the_keeper_through_changes() {
    let world = World::start(0).await;
    let answer = world.client().await.unwrap();
    assert!(
        is_answer(&answer),
        "one that comes while the model loads waits: {answer}"
    );
    let serving = world.changed(Some(Kind::Ollama));
    let client = async {
        // In the middle of the change, or before, or after: it is answered in any case.
        tokio::time::sleep(Duration::from_millis(50)).await;
        world.client().await.unwrap()
    };
    let (serving, answer) = tokio::join!(serving, client);
    assert_eq!(serving.as_deref(), Some("ollama"));
    assert!(is_answer(&answer), "{answer}");
    let answer = world.client().await.unwrap();
    assert!(is_answer(&answer), "{answer}");
    assert_eq!(world.changed(None).await, None);
    let answer = world.client().await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 50"),
        "nobody is there: {answer}"
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_comes_while_a_dead_server_is_started_again_is_served() {
    let world = World::start(0).await;
    assert!(world.handle.backend().await.is_some());
    let number: u16 = world
        .url
        .trim_end_matches("/v1")
        .rsplit(':')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let pid = process::listener(number).unwrap();
    assert!(process::signal_process(pid, Signal::Kill));
    let by = Instant::now() + PATIENCE;
    // It is noticed within half a second; until then a client may meet nobody.
    while world.handle.ready().is_some() {
        assert!(Instant::now() < by, "the death is noticed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let answer = world.client().await.unwrap();
    assert!(is_answer(&answer), "{answer}");
    assert!(process::listener(number).is_some_and(|new| new != pid));
    world.end().await;
}

/// The processes of the model's server.
fn servers(world: &World) -> Vec<u32> {
    let marker = text(&world.home.path("mlx"));
    process::all()
        .into_iter()
        .filter(|process| process.command.contains(&marker))
        .map(|process| process.pid)
        .collect()
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let by = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < by, "{what} does not happen");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_for_want_of_memory_goes_step_by_step_and_comes_back() {
    let level = Arc::new(Mutex::new(Pressure::Normal));
    let told = Arc::clone(&level);
    let strain = Strain {
        level: Box::new(move || Some(*told.lock().unwrap())),
        // Each step lasts until the next look, so that it can be seen.
        relief: Relief::at_pace(Pace {
            calm: Duration::from_secs(2),
            lasting: Duration::from_secs(2),
            urgent: Duration::from_secs(2),
        }),
    };
    let set = |now| *level.lock().unwrap() = now;
    let world = World::under(0, strain).await;
    assert!(world.handle.backend().await.is_some());
    let given_up = || world.handle.health().given_up.clone();
    let before = servers(&world);
    assert!(!before.is_empty());

    set(Pressure::Critical);
    until("the first step", || given_up() == [Step::DropPromptCaches]).await;
    let after = servers(&world);
    assert!(
        !after.is_empty() && after != before,
        "the server was started anew, which empties its caches: {before:?} then {after:?}"
    );
    assert!(
        world.handle.backend().await.is_some(),
        "the voice is served"
    );

    until("the second step", || given_up().len() == 2).await;
    let answer = world.client().await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.to_lowercase().contains("memory"), "{answer}");
    assert!(
        world.handle.backend().await.is_some(),
        "the voice is served"
    );

    until("the last step", || {
        given_up().last() == Some(&Step::UnloadLlm)
    })
    .await;
    assert_eq!(
        given_up(),
        [
            Step::DropPromptCaches,
            Step::RefuseBackground,
            Step::SmallerWhisper,
            Step::UnloadLlm
        ]
    );
    assert_eq!(servers(&world), Vec::<u32>::new(), "its memory is back");

    set(Pressure::Normal);
    until("its coming back", || !given_up().contains(&Step::UnloadLlm)).await;
    assert!(world.handle.backend().await.is_some());
    assert!(!servers(&world).is_empty());
    let answer = world.client().await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503"), "others wait: {answer}");
    until("the end of it", || given_up().is_empty()).await;
    let answer = world.client().await.unwrap();
    assert!(is_answer(&answer), "{answer}");
    world.end().await;
}
