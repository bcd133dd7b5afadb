//! The language model's servers: none, one, both, a wrong one, and one that hangs.

use hark::config::{Config, Places, Raw, Request, load};
use hark::daemon::doctor::{Check, Setup, Status, backends};
use serde_json::{Value, json};

use crate::support::{hang, nobody, serve};

fn mlx() -> String {
    serve(&[("/health", json!({"status": "ok"}))])
}

fn ollama(resident: &[&str], installed: &[&str]) -> String {
    let models = |names: &[&str]| -> Value {
        let entries = names.iter();
        let entries = entries.map(|name| json!({"name": name, "capabilities": ["completion"]}));
        json!({"models": entries.collect::<Vec<_>>()})
    };
    serve(&[
        ("/api/version", json!({"version": "0.12.0"})),
        ("/api/ps", models(resident)),
        ("/api/tags", models(installed)),
    ])
}

/// The checks for these settings; servers that are not named are not there.
fn examine(settings: &[(&'static str, &str)]) -> Vec<Check> {
    let folder = tempfile::tempdir().unwrap();
    let places = Places {
        config_file: folder.path().join("config.toml"),
        state: folder.path().to_owned(),
        home: folder.path().to_owned(),
    };
    let mut request = Request::default()
        .with_flag("--mlx", "llm.mlx.url", nobody())
        .with_flag("--ollama", "llm.ollama.url", nobody());
    for (key, value) in settings {
        request = request.with_flag("--flag", key, *value);
    }
    let config = load(&places, &request).unwrap().0;
    backends::checks(&Setup { config, places })
}

#[track_caller]
fn expect(checks: &[Check], name: &str, status: Status, detail: &str, remedy: &str) {
    let check = checks.iter().find(|check| check.name == name).unwrap();
    assert_eq!(check.status, status, "{check:?}");
    assert!(check.detail.contains(detail), "{check:?}");
    let found = check.remedy.as_deref().unwrap_or_default();
    assert!(found.contains(remedy), "{check:?}");
}

#[test]
fn without_any_server_local_answers_remain_and_both_start_commands_are_named() {
    let checks = examine(&[]);
    expect(&checks, "backend_mlx", Status::Skip, "nothing answers", "");
    expect(
        &checks,
        "language_model",
        Status::Warn,
        "no language model answers",
        "ollama serve`",
    );
    expect(
        &checks,
        "language_model",
        Status::Warn,
        "",
        "`mlx_lm.server --model FOLDER --port ",
    );
    expect(&checks, "resident_models", Status::Skip, "", "");
}

#[test]
fn a_named_server_that_does_not_answer_is_a_failure_with_its_start_command() {
    let checks = examine(&[
        ("llm.backend", "mlx"),
        ("llm.mlx.model", "/models/my gemma"),
    ]);
    expect(
        &checks,
        "language_model",
        Status::Fail,
        "llm.backend is \"mlx\", and nothing answers",
        "`mlx_lm.server --model '/models/my gemma' --port ",
    );
}

#[test]
fn a_server_that_answers_is_named_with_its_model() {
    let url = ollama(&["gemma:27b"], &["gemma:27b", "tiny:latest"]);
    let checks = examine(&[("llm.ollama.url", &url)]);
    expect(&checks, "backend_ollama", Status::Ok, "with gemma:27b", "");
    expect(
        &checks,
        "language_model",
        Status::Ok,
        "ollama answers with gemma:27b",
        "",
    );
    expect(&checks, "resident_models", Status::Ok, "only ollama", "");
    let checks = examine(&[("llm.mlx.url", &mlx())]);
    expect(&checks, "language_model", Status::Ok, "mlx answers", "");
    let openai = serve(&[("/v1/models", json!({"data": [{"id": "some-model"}]}))]);
    let checks = examine(&[("llm.openai.url", &format!("{openai}/v1"))]);
    expect(
        &checks,
        "language_model",
        Status::Ok,
        "openai answers with some-model",
        "",
    );
}

#[test]
fn ollama_without_the_model_or_without_any_says_what_to_pull() {
    let url = ollama(&[], &["tiny:latest"]);
    let wanting = [
        ("llm.ollama.url", url.as_str()),
        ("llm.ollama.model", "gemma:27b"),
    ];
    expect(
        &examine(&wanting),
        "language_model",
        Status::Warn,
        "gemma:27b",
        "`ollama pull gemma:27b`",
    );
    let named = [wanting[0], wanting[1], ("llm.backend", "ollama")];
    expect(
        &examine(&named),
        "language_model",
        Status::Fail,
        "gemma:27b",
        "`ollama pull gemma:27b`",
    );
    let short = [wanting[0], ("llm.ollama.model", "tiny")];
    expect(&examine(&short), "language_model", Status::Ok, "tiny", "");
    let empty = ollama(&[], &[]);
    let checks = examine(&[("llm.ollama.url", &empty)]);
    expect(
        &checks,
        "language_model",
        Status::Warn,
        "no model",
        "`ollama pull ",
    );
}

#[test]
fn two_resident_servers_are_warned_of_with_what_that_costs() {
    let (mlx, both) = (mlx(), ollama(&["gemma:27b"], &["gemma:27b"]));
    let checks = examine(&[("llm.mlx.url", &mlx), ("llm.ollama.url", &both)]);
    expect(
        &checks,
        "resident_models",
        Status::Warn,
        "73 → 35 and 60 → 48 tokens/s",
        "`ollama stop gemma:27b`",
    );
    let idle = ollama(&[], &["gemma:27b"]);
    let checks = examine(&[("llm.mlx.url", &mlx), ("llm.ollama.url", &idle)]);
    expect(
        &checks,
        "resident_models",
        Status::Warn,
        "as soon as both",
        "keep one",
    );
}

#[test]
fn another_program_at_the_address_and_a_server_that_hangs_are_told_apart() {
    let other = serve(&[("/", json!("hello"))]);
    let named = [("llm.backend", "mlx"), ("llm.mlx.url", other.as_str())];
    expect(
        &examine(&named),
        "language_model",
        Status::Fail,
        "something else answers",
        "`lsof -iTCP:",
    );
    let stuck = hang();
    let named = [("llm.backend", "mlx"), ("llm.mlx.url", stuck.as_str())];
    expect(
        &examine(&named),
        "language_model",
        Status::Fail,
        "does not answer",
        "mlx_lm.server",
    );
}

#[test]
fn a_key_file_that_is_missing_is_named() {
    let openai = [
        ("llm.backend", "openai"),
        ("llm.openai.url", "http://127.0.0.1:9/v1"),
        ("llm.openai.key_file", "/no/such/key"),
    ];
    let remedy = "`hark config show llm.openai --sources`";
    expect(
        &examine(&openai),
        "language_model",
        Status::Fail,
        "/no/such/key",
        remedy,
    );
}

#[test]
fn no_backend_by_choice_is_in_order() {
    let checks = examine(&[("llm.backend", "none")]);
    expect(&checks, "language_model", Status::Ok, "as it is set", "");
}

#[test]
fn the_start_command_follows_the_configured_port() {
    let folder = tempfile::tempdir().unwrap();
    let places = Places {
        config_file: folder.path().join("config.toml"),
        state: folder.path().to_owned(),
        home: folder.path().to_owned(),
    };
    let mut config = Config::resolve(&Raw::default(), &places).unwrap();
    assert_eq!(backends::start(&config, "ollama"), "`ollama serve`");
    assert_eq!(
        backends::start(&config, "mlx"),
        "`mlx_lm.server --model FOLDER --port 8080`"
    );
    config.llm.ollama.url = "http://127.0.0.1:4444".to_owned();
    assert_eq!(
        backends::start(&config, "ollama"),
        "`OLLAMA_HOST=127.0.0.1:4444 ollama serve`"
    );
}
