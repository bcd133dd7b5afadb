//! `hark gateway` as users start it: its token, its address, what it prints for other programs.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};

use serde_json::Value;

fn hark(home: &std::path::Path, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hark"))
        .args(arguments)
        .env_clear()
        .env("HARK_HOME", home)
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs(settings.iter().copied())
        .output()
        .unwrap()
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn an_address_in_use_is_told_with_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ran = hark(home.path(), &["gateway", "--listen", &address], &[]);
    assert_eq!(ran.status.code(), Some(1), "{}", words(&ran));
    assert!(
        words(&ran).contains(&format!("{address} is in use")),
        "{}",
        words(&ran)
    );
    assert!(words(&ran).contains("gateway.listen"), "{}", words(&ran));
}

#[test]
fn a_token_that_others_can_read_stops_it_before_it_listens() {
    let home = tempfile::tempdir().unwrap();
    let token = home.path().join("gateway.token");
    std::fs::write(&token, "known-to-all").unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o644)).unwrap();
    let ran = hark(home.path(), &["gateway", "--listen", "127.0.0.1:0"], &[]);
    assert_eq!(ran.status.code(), Some(2), "{}", words(&ran));
    assert!(
        words(&ran).contains(&format!("chmod 600 {}", token.display())),
        "{}",
        words(&ran)
    );
}

#[test]
fn an_address_that_others_reach_needs_a_word() {
    let home = tempfile::tempdir().unwrap();
    let ran = hark(home.path(), &["gateway", "--listen", "0.0.0.0:0"], &[]);
    assert_eq!(ran.status.code(), Some(2), "{}", words(&ran));
    assert!(words(&ran).contains("gateway.expose"), "{}", words(&ran));
    let ran = hark(
        home.path(),
        &["gateway", "config", "env"],
        &[
            ("HARK_GATEWAY_LISTEN", "0.0.0.0:7177"),
            ("HARK_GATEWAY_EXPOSE", "true"),
        ],
    );
    assert_eq!(ran.status.code(), Some(0), "{}", words(&ran));
    let ran = hark(home.path(), &["gateway"], &[("HARK_GATEWAY_LISTEN", "")]);
    assert_eq!(ran.status.code(), Some(2), "{}", words(&ran));
}

#[test]
fn openclaw_gets_a_provider_block_that_needs_no_editing() {
    let home = tempfile::tempdir().unwrap();
    let ran = hark(
        home.path(),
        &["gateway", "config", "openclaw"],
        &[("HARK_LLM_OLLAMA_NUM_CTX", "65536")],
    );
    assert_eq!(ran.status.code(), Some(0), "{}", words(&ran));
    let block: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let provider = &block["models"]["providers"]["hark"];
    assert_eq!(provider["baseUrl"], "http://127.0.0.1:7177/v1");
    assert_eq!(provider["api"], "openai-completions");
    assert_eq!(
        (
            &provider["models"][0]["id"],
            &provider["models"][0]["contextWindow"]
        ),
        (&Value::from("hark"), &Value::from(65_536))
    );
    let token = std::fs::read_to_string(home.path().join("gateway.token")).unwrap();
    assert_eq!(provider["apiKey"], token.trim());
    assert!(words(&ran).contains("chmod 600"), "{}", words(&ran));
}
