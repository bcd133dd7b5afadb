//! `hark backend`: the program itself, on the servers of the rig.

use std::process::Command;

use serde_json::Value;

use crate::rig::{Behaviour, Rig};

struct Ran {
    code: i32,
    out: String,
    err: String,
}

/// Runs `hark` in a home of its own with the rig's servers.
fn hark(rig: &Rig, more: &[(&str, &str)], arguments: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_hark"))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HARK_HOME", rig.folder.path())
        .env("HARK_LLM_MLX_URL", &rig.settings.llm.mlx.url)
        .env("HARK_LLM_MLX_MODEL", "/no/model/needed")
        .env("HARK_LLM_MLX_COMMAND", &rig.settings.mlx_command)
        .env("HARK_LLM_OLLAMA_URL", &rig.settings.llm.ollama.url)
        .env("HARK_LLM_OLLAMA_COMMAND", &rig.settings.ollama_command)
        .envs(more.iter().copied())
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn listed(rig: &Rig) -> Vec<Value> {
    let ran = hark(rig, &[], &["backend", "list", "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let document: Value = serde_json::from_str(&ran.out).unwrap();
    document["backends"].as_array().unwrap().clone()
}

#[test]
fn use_starts_one_changes_to_the_other_and_stop_ends_it() {
    let rig = Rig::new(Behaviour::default());
    assert_eq!(listed(&rig)[0]["state"], "not running");
    let ran = hark(&rig, &[], &["backend", "use", "mlx"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        ran.out.starts_with("mlx is resident and warm"),
        "{}",
        ran.out
    );
    let rows = listed(&rig);
    assert_eq!(
        (&rows[0]["state"], &rows[0]["owner"]),
        (&"resident".into(), &"hark".into())
    );
    assert!(rows[0]["resident_bytes"].as_u64().unwrap() > 64 << 20);
    let ran = hark(&rig, &[], &["backend", "use", "ollama"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let rows = listed(&rig);
    assert_eq!(
        (&rows[0]["state"], &rows[1]["state"]),
        (&"not running".into(), &"resident".into())
    );
    assert_eq!(rig.holders().len(), 1);
    let ran = hark(&rig, &[], &["backend", "warm"]);
    assert!(
        ran.code == 0 && ran.out.starts_with("ollama is warm"),
        "{} {}",
        ran.out,
        ran.err
    );
    let ran = hark(&rig, &[], &["backend", "stop"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(rig.holders().is_empty(), "{:?}", rig.holders());
    assert_eq!(
        hark(&rig, &[], &["backend", "stop"]).out,
        "nothing is resident\n"
    );
}

#[test]
fn what_is_forbidden_or_cannot_be_started_says_what_to_do() {
    let rig = Rig::new(Behaviour::default());
    let ran = hark(
        &rig,
        &[("HARK_LLM_MANAGE", "no")],
        &["backend", "use", "mlx"],
    );
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("llm.manage"), "{}", ran.err);
    let ran = hark(
        &rig,
        &[("HARK_LLM_MLX_COMMAND", "/no/such/server")],
        &["backend", "use", "mlx"],
    );
    assert_eq!(ran.code, 2);
    assert!(
        ran.err.contains("llm.mlx.command") && ran.err.contains("next: "),
        "{}",
        ran.err
    );
    assert_eq!(hark(&rig, &[], &["backend", "use", "vllm"]).code, 2);
}

#[test]
fn the_bench_measures_both_alone_and_together() {
    let rig = Rig::new(Behaviour::default());
    let arguments = [
        "backend",
        "bench",
        "--prompts",
        "50,100",
        "--tokens",
        "4",
        "--yes",
        "--json",
    ];
    let ran = hark(&rig, &[], &arguments);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let document: Value = serde_json::from_str(&ran.out).unwrap();
    for (row, name) in document["alone"]
        .as_array()
        .unwrap()
        .iter()
        .zip(["mlx", "ollama"])
    {
        assert_eq!(row["backend"], name);
        assert!(
            row["resident_bytes_loaded"].as_u64().unwrap() > 64 << 20,
            "{row}"
        );
        assert_eq!(row["prompts"].as_array().unwrap().len(), 2);
        assert!(row["prompts"][0]["first_token_cold_ms"].as_f64().unwrap() > 0.0);
    }
    assert_eq!(document["together"].as_array().unwrap().len(), 2);
    assert!(document["machine"]["memory_bytes"].is_u64() && document["published"].is_array());
    assert!(
        rig.holders().is_empty(),
        "it leaves nothing behind: {:?}",
        rig.holders()
    );
}
