//! The plan's terms against what real servers take.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use hark::llm::openai::{Flavour, OpenAi, OpenAiSettings};
use hark::llm::{ChatRequest, LlmBackend, Message, Role};
use hark::memory::server::{Engine, Tuning, sum, terms};
use hark::platform::memory::tree_footprint_bytes;
use hark::platform::process::{Group, Launch};

use crate::rig::free_port;

/// The Python environment with mlx_lm in it; `None` with a word why where these tests are to do without.
fn environment() -> Option<PathBuf> {
    if std::env::var_os("HARK_SKIP_MLX").is_some_and(|value| value == "1") {
        println!("skipped: the real mlx_lm.server (HARK_SKIP_MLX=1)");
        return None;
    }
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/hark");
    let venv = std::env::var_os("HARK_CACHE")
        .map_or_else(home, PathBuf::from)
        .join("mlx-venv");
    assert!(
        venv.join("hark-stamp").is_file(),
        "mlx_lm.server is not installed in {}\n  run: sh tests/mlx_fixture/setup.sh\n  or skip these tests: HARK_SKIP_MLX=1",
        venv.display()
    );
    Some(venv)
}

/// The real server's program and the folder of the scripted model.
pub fn real_mlx() -> Option<(PathBuf, PathBuf)> {
    let venv = environment()?;
    let model = Path::new(env!("CARGO_TARGET_TMPDIR")).join("residency-scripted-model");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mlx_fixture/make_model.py");
    if !model.join("config.json").is_file() {
        python(&venv, &[script.as_os_str(), model.as_os_str()]);
    }
    Some((venv.join("bin/mlx_lm.server"), model))
}

fn python(venv: &Path, arguments: &[&std::ffi::OsStr]) {
    let made = Command::new(venv.join("bin/python"))
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
}

/// One Gemma of random weights in both formats.
fn random_model(venv: &Path) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("random-gemma");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/residency/make_models.py");
    if !folder.join("model.gguf").is_file() {
        python(venv, &[script.as_os_str(), folder.as_os_str()]);
    }
    folder
}

fn client(port: u16, flavour: Flavour) -> OpenAi {
    OpenAi::new(OpenAiSettings {
        flavour,
        ..OpenAiSettings::compatible(format!("http://127.0.0.1:{port}/v1"))
    })
    .unwrap()
}

/// A prompt of so many tokens: the model's vocabulary has one token a byte.
async fn read_prompt(client: &OpenAi, tokens: usize, limit: Duration) {
    let until = Instant::now() + limit;
    loop {
        let request = ChatRequest {
            messages: vec![Message::new(Role::User, "a".repeat(tokens))],
            tools: Vec::new(),
            max_tokens: 4,
            temperature: 0.0,
        };
        match client.warm(request).await {
            Ok(_) => return,
            Err(error) => assert!(Instant::now() < until, "no token: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn compare(name: &str, predicted: u64, pid: u32) {
    let measured = tree_footprint_bytes(pid).unwrap();
    let error = predicted as f64 / measured as f64 - 1.0;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!(
        "{name}: predicted {:.1} MiB, measured {:.1} MiB, {:+.1} %",
        mib(predicted),
        mib(measured),
        error * 100.0
    );
    assert!(
        error.abs() < 0.05,
        "{name}: {predicted} predicted, {measured} measured"
    );
}

#[tokio::test]
async fn mlx_lm_server_takes_what_the_plan_says() {
    let Some(venv) = environment() else { return };
    let model = random_model(&venv).join("mlx");
    let found = hark::llm::weights::from_path(&model).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    std::fs::create_dir(scratch.path().join("hub")).unwrap();
    let port = free_port();
    let arguments = format!(
        "--host 127.0.0.1 --port {port} --decode-concurrency 1 --prompt-concurrency 1 --prefill-step-size 512 --prompt-cache-size 1 --model"
    );
    let mut arguments: Vec<String> = arguments.split(' ').map(str::to_owned).collect();
    arguments.push(model.display().to_string());
    let mut group = Group::start(&Launch {
        program: venv.join("bin/mlx_lm.server"),
        arguments,
        environment: BTreeMap::from([
            ("HF_HOME".to_owned(), scratch.path().display().to_string()),
            ("HF_HUB_OFFLINE".to_owned(), "1".to_owned()),
        ]),
        log: scratch.path().join("log"),
        leash: false,
    })
    .unwrap();
    let pid = group.identity().pid;
    // MLX computes slowly without a graphics processor: the prompt is short, its cache is rounded up to a step of 256 tokens.
    read_prompt(&client(port, Flavour::Mlx), 12, Duration::from_secs(300)).await;
    let tuning = Tuning {
        context: 256,
        prompt_cache_bytes: 0,
        kept: 0,
        step: 28,
    };
    compare(
        "mlx_lm.server",
        sum(&terms(&found.shape, Engine::Mlx, tuning)),
        pid,
    );
    group.kill();
}

#[tokio::test]
async fn llama_server_takes_what_the_plan_says() {
    let Some(program) = std::env::var_os("HARK_LLAMA_SERVER").map(PathBuf::from) else {
        println!("skipped: no llama-server; name one with HARK_LLAMA_SERVER");
        return;
    };
    let Some(venv) = environment() else { return };
    let model = random_model(&venv).join("model.gguf");
    let found = hark::llm::weights::from_path(&model).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let port = free_port();
    let arguments = format!(
        "--host 127.0.0.1 --port {port} -c 4096 -np 1 -t 1 --no-webui --offline -b 512 -ub 512 --cache-ram 0 --ctx-checkpoints 2 -m"
    );
    let mut arguments: Vec<String> = arguments.split(' ').map(str::to_owned).collect();
    arguments.push(model.display().to_string());
    let mut group = Group::start(&Launch {
        program,
        arguments,
        environment: BTreeMap::new(),
        log: scratch.path().join("log"),
        leash: false,
    })
    .unwrap();
    let pid = group.identity().pid;
    // Long enough to fill the windows and both checkpoints.
    read_prompt(
        &client(port, Flavour::Compatible),
        1_600,
        Duration::from_secs(300),
    )
    .await;
    let tuning = Tuning {
        context: 4_096,
        prompt_cache_bytes: 0,
        kept: 2,
        step: 512,
    };
    compare(
        "llama-server",
        sum(&terms(&found.shape, Engine::LlamaCpp, tuning)),
        pid,
    );
    group.kill();
}
