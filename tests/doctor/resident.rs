//! The resident model: thinking, its prompt cache, who else holds one, and the memory plan.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use hark::config::{Config, Places, Raw};
use hark::daemon::doctor::model::{NoProbe, Probe, Reply, prompt_cache, records, thinking};
use hark::daemon::doctor::neighbours::{Holder, candidates, other_models};
use hark::daemon::doctor::plan::memory_plan;
use hark::daemon::doctor::{Check, Setup, Status, model};
use hark::llm::Usage;
use hark::memory::plan::{Wanted, preset};
use hark::memory::{GIB, Plan};
use hark::platform::process::Process;

use crate::support::Home;

/// A server of the OpenAI dialect that answers each chat with these deltas and this usage, until the test ends.
fn chat_server(deltas: &'static [&'static str], cached: u32) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || serve(stream.unwrap(), deltas, cached));
        }
    });
    format!("http://{address}/v1")
}

fn serve(mut stream: TcpStream, deltas: &[&str], cached: u32) {
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    let length = |head: &str| -> usize {
        head.lines()
            .find_map(|line| {
                line.to_lowercase()
                    .strip_prefix("content-length: ")?
                    .trim()
                    .parse()
                    .ok()
            })
            .unwrap_or(0)
    };
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && body.len() >= length(head)
        {
            break;
        }
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return,
            Ok(read) => request.extend_from_slice(&piece[..read]),
        }
    }
    let (kind, body) = if request.starts_with(b"POST") {
        let chunks = deltas
            .iter()
            .map(|delta| format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":null}}]}}\n\n"));
        let end = format!(
            "data: {{\"choices\":[{{\"index\":0,\"delta\":{{}},\"finish_reason\":\"stop\"}}]}}\n\ndata: {{\"choices\":[],\"usage\":{{\"prompt_tokens\":600,\"completion_tokens\":3,\"prompt_tokens_details\":{{\"cached_tokens\":{cached}}}}}}}\n\ndata: [DONE]\n\n"
        );
        ("text/event-stream", chunks.chain([end]).collect::<String>())
    } else if request.starts_with(b"GET /version") {
        ("application/json", "{\"version\":\"0.9.1\"}".to_owned())
    } else {
        (
            "application/json",
            "{\"object\":\"list\",\"data\":[{\"id\":\"some-model\"}]}".to_owned(),
        )
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    // The client may leave at any time.
    stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(body.as_bytes()))
        .ok();
}

fn home(url: &str) -> Home {
    Home::new()
        .with("HARK_LLM_BACKEND", "openai")
        .with("HARK_LLM_OPENAI_URL", url)
        .with("HARK_TTS_ENGINE", "none")
        .with("HARK_STT_MODEL", "small.en")
}

#[test]
fn a_model_that_thinks_although_it_was_told_not_to_is_named() {
    let url = chat_server(
        &[
            "{\"reasoning_content\":\"Hm, a greeting.\"}",
            "{\"content\":\"Hi.\"}",
        ],
        590,
    );
    let found = home(&url).doctor();
    found.expect(
        "thinking",
        "warn",
        "thinks before it answers (15 letters",
        "`--reasoning-budget 0`",
    );
    found.expect("prompt_cache", "ok", "590 of 600", "");
    found.expect("backend_openai", "ok", "version 0.9.1 answers at", "");
}

#[test]
fn a_server_that_reads_the_same_prompt_anew_is_named() {
    let url = chat_server(&["{\"content\":\"Hi.\"}"], 0);
    let found = home(&url).doctor();
    found.expect("thinking", "ok", "without thinking", "");
    found.expect(
        "prompt_cache",
        "warn",
        "only 0 of 600 tokens",
        "`--cache-reuse 256`",
    );
}

#[test]
fn where_no_model_is_resident_none_is_loaded_for_a_check() {
    let found = Home::new().with("HARK_TTS_ENGINE", "none").doctor();
    found.expect("thinking", "skip", "no language model answers", "");
    found.expect("prompt_cache", "skip", "", "");
}

fn setup() -> Setup {
    let folder = tempfile::tempdir().unwrap();
    let places = Places {
        config_file: folder.path().join("config.toml"),
        state: folder.path().to_owned(),
        home: folder.path().to_owned(),
    };
    Setup {
        config: Config::resolve(&Raw::default(), &places).unwrap(),
        places,
    }
}

fn probe(backend: &'static str, thinking: usize, usages: [Usage; 2]) -> Probe {
    let reply = |usage| Reply { thinking, usage };
    Probe {
        backend,
        first: reply(usages[0]),
        second: reply(usages[1]),
    }
}

fn timed(ms: f64) -> Usage {
    Usage {
        prompt_tokens: Some(600),
        prompt_ms: Some(ms),
        ..Usage::default()
    }
}

#[test]
fn each_kind_of_server_has_its_own_way_to_stop_the_thinking() {
    let config = setup().config;
    let usage = Usage::default();
    for (backend, remedy) in [
        ("mlx", "--chat-template-args '{\"enable_thinking\":false}'`"),
        ("ollama", "`ollama pull "),
        ("openai", "`--reasoning-budget 0`"),
    ] {
        let check = thinking(&config, &probe(backend, 40, [usage, usage]));
        assert_eq!(check.status, Status::Warn);
        assert!(
            check.remedy.as_deref().unwrap().contains(remedy),
            "{check:?}"
        );
    }
}

#[test]
fn where_no_tokens_are_told_the_time_tells() {
    let config = setup().config;
    let judge = |first, second| {
        prompt_cache(&config, &probe("ollama", 0, [timed(first), timed(second)])).status
    };
    assert_eq!(judge(3_000.0, 80.0), Status::Ok);
    assert_eq!(judge(80.0, 90.0), Status::Ok, "both came from the cache");
    assert_eq!(judge(3_000.0, 2_900.0), Status::Warn);
    let silent = probe("openai", 0, [Usage::default(), Usage::default()]);
    assert_eq!(prompt_cache(&config, &silent).status, Status::Skip);
}

#[test]
fn a_model_that_does_not_answer_two_words_is_named() {
    let checks = model::judge(&setup(), &Err(NoProbe::Failed("it broke off".to_owned())));
    assert_eq!(checks[0].status, Status::Warn);
    assert!(
        checks[0]
            .remedy
            .as_deref()
            .unwrap()
            .contains("`hark backend bench`")
    );
    assert_eq!(checks[1].status, Status::Skip);
}

#[test]
fn the_newest_turns_tell_whether_the_cache_was_used() {
    let turns =
        |told: &[&str]| -> Vec<String> { told.iter().map(|one| (*one).to_owned()).collect() };
    assert_eq!(records(&[], "none is resident").status, Status::Skip);
    let well = turns(&["cold_start", "reused", "reused", "reused"]);
    assert_eq!(records(&well, "").status, Status::Ok);
    let badly = turns(&["evicted", "other_client", "reused", "evicted", "evicted"]);
    let check = records(&badly, "");
    assert_eq!(check.status, Status::Warn);
    assert!(
        check.detail.contains("1 of the last 5") && check.detail.contains("evicted, other_client"),
        "{check:?}"
    );
    assert!(check.remedy.unwrap().contains("`hark transcripts why`"));
}

fn process(pid: u32, parent: u32, command: &str) -> Process {
    Process {
        pid,
        parent,
        command: command.to_owned(),
    }
}

#[test]
fn who_else_holds_a_model_is_found_and_our_own_servers_with_their_children_are_not() {
    let all = [
        process(1, 0, "/sbin/init"),
        process(10, 1, "/usr/local/bin/ollama serve"),
        process(11, 10, "/usr/local/bin/ollama runner --model x"),
        process(
            20,
            1,
            "/Applications/LM Studio.app/Contents/MacOS/LM Studio",
        ),
        process(30, 1, "/opt/llama/llama-server -m x.gguf"),
        process(40, 1, "vim llama-server.md"),
        process(
            50,
            1,
            "/usr/bin/python3 /home/a/venv/bin/mlx_lm.server --model m",
        ),
    ];
    assert_eq!(
        candidates(&all, &[10]),
        [
            ("LM Studio", 20),
            ("llama-server", 30),
            ("mlx_lm.server", 50)
        ]
    );
    assert_eq!(other_models(&[]).status, Status::Ok);
    let check: Check = other_models(&[Holder {
        name: "LM Studio",
        pid: 20,
        bytes: 9 * GIB,
    }]);
    assert_eq!(check.status, Status::Warn);
    assert!(
        check.detail.contains("LM Studio (process 20) holds 9"),
        "{check:?}"
    );
    assert!(check.remedy.unwrap().contains("`kill 20`"));
}

#[test]
fn a_model_that_does_not_fit_is_named_with_what_would() {
    let wanted = |total| Wanted {
        total,
        gpu_limit: None,
        os_reserve: None,
        voice_reserve: None,
        speech: Vec::new(),
        llms: vec![preset("gemma-26b-a4b-4bit", 16_384).unwrap()],
    };
    let check = memory_plan(&Plan::make(&wanted(16 * GIB)), Some("gemma-26b-a4b-4bit"));
    assert_eq!(check.status, Status::Warn, "{check:?}");
    assert!(check.detail.contains("does not fit into 16"), "{check:?}");
    assert!(check.remedy.unwrap().contains("Take a smaller model"));
    let check = memory_plan(&Plan::make(&wanted(96 * GIB)), Some("gemma-26b-a4b-4bit"));
    assert_eq!(check.status, Status::Ok, "{check:?}");
}

#[test]
fn the_binary_plans_for_the_model_of_the_settings() {
    let home = Home::new()
        .with("HARK_TTS_ENGINE", "none")
        .with("HARK_LLM_MLX_MODEL", "gemma-26b-a4b-q8");
    // Whatever machine this is: nothing is left for a model.
    home.with("HARK_MEMORY_OS_RESERVE", "4000GiB")
        .doctor()
        .expect("memory_plan", "warn", "gemma-26b-a4b-q8", "`hark plan`");
}
