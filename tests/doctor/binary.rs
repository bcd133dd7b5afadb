//! The verb itself: settings, voice, sound card, the shape of its JSON, its text and its exit codes.

use std::fs;

use serde_json::Value;

use crate::support::{Home, working_model};

#[test]
fn an_unknown_setting_is_named_and_the_other_checks_still_run() {
    let home = Home::new();
    fs::write(home.path().join("config.toml"), "[tts]\nvoise = \"x\"\n").unwrap();
    let found = home.doctor();
    found.expect(
        "configuration",
        "fail",
        "did you mean",
        "`hark config check`",
    );
    found.expect("configuration", "fail", "config.toml:2", "`nano ");
    assert!(!found.check("disk").1.is_empty());
    assert_eq!(found.code, Some(1));
}

#[test]
fn a_variable_that_means_nothing_is_warned_of_and_those_with_a_meaning_are_not() {
    let home = Home::new()
        .with("HARK_LLM_BAKEND", "mlx")
        .with("HARK_MODELS_DIR", "/somewhere");
    let found = home.doctor();
    found.expect(
        "environment",
        "warn",
        "HARK_LLM_BACKEND",
        "`unset HARK_LLM_BAKEND`",
    );
    Home::new()
        .with("HARK_MODELS_DIR", "/somewhere")
        .doctor()
        .expect("environment", "ok", "", "");
}

#[test]
fn without_a_voice_the_engine_to_install_is_named() {
    let empty = tempfile::tempdir().unwrap();
    let home = Home::new().with("PATH", empty.path().to_str().unwrap());
    let found = home.with("HARK_TTS_ENGINE", "espeak").doctor();
    let install = hark::platform::install_command("espeak-ng");
    found.expect(
        "voice",
        "fail",
        "espeak-ng is not available",
        &format!("`{install}`"),
    );
    assert_eq!(found.code, Some(1));
}

#[test]
fn a_voice_that_is_wished_away_is_in_order() {
    Home::new()
        .with("HARK_TTS_ENGINE", "none")
        .doctor()
        .expect("voice", "ok", "only written", "");
}

#[test]
fn a_microphone_that_is_named_and_not_there_is_a_failure() {
    let found = Home::new()
        .with("HARK_AUDIO_INPUT", "No Such Microphone")
        .doctor();
    found.expect("microphone", "fail", "No Such Microphone", "`hark devices`");
    found.expect("microphone_sound", "skip", "", "");
}

#[test]
fn every_check_has_the_promised_keys_and_every_finding_a_remedy_with_a_command() {
    let home = Home::new().with("HARK_STT_MODEL", "small.en");
    home.record_a_turn();
    let found = home.doctor();
    let keys: Vec<&String> = found.document.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["ok", "checks"]);
    for check in found.checks() {
        let keys: Vec<&String> = check.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["name", "status", "detail", "remedy"]);
        match check["status"].as_str().unwrap() {
            "ok" | "skip" => assert_eq!(check["remedy"], Value::Null, "{check}"),
            "warn" | "fail" => {
                let remedy = check["remedy"].as_str().unwrap();
                assert!(remedy.matches('`').count() >= 2, "{check}");
            }
            other => panic!("{other} is no status"),
        }
    }
    let names: Vec<&str> = found
        .checks()
        .iter()
        .map(|check| check["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "configuration",
            "environment",
            "microphone_permission",
            "microphone",
            "microphone_sound",
            "loudspeaker",
            "bluetooth",
            "echo_cancellation",
            "other_programs",
            "speech_model",
            "speech_self_test",
            "voice",
            "voices",
            "wake_model",
            "backend_mlx",
            "backend_ollama",
            "backend_openai",
            "language_model",
            "resident_models",
            "thinking",
            "prompt_cache",
            "other_models",
            "memory_plan",
            "daemon",
            "hotkey",
            "service",
            "app",
            "open_doors",
            "state_folder",
            "transcripts",
            "notebook",
            "private_files",
            "disk",
            "memory",
        ]
    );
}

#[test]
fn the_text_names_what_failed_and_what_to_do_and_ends_in_a_verdict() {
    let output = Home::new()
        .with("HARK_STT_MODEL", "small.en")
        .hark(&["doctor"]);
    assert_eq!(output.code, Some(1));
    assert!(output.out.contains("FAIL  speech model "), "{}", output.out);
    assert!(
        output.out.contains("next: `hark models pull small.en`"),
        "{}",
        output.out
    );
    assert!(
        output.out.contains("Hark cannot do its job yet"),
        "{}",
        output.out
    );
    assert!(
        output.err.starts_with("hark: not in order: "),
        "{}",
        output.err
    );
    assert!(output.err.contains("speech model"), "{}", output.err);
}

#[test]
fn a_machine_with_a_model_and_a_voice_can_do_the_job_from_files_even_without_a_sound_card() {
    let Some(model) = working_model() else { return };
    let home = Home::new()
        .with("HARK_STT_MODEL", model.to_str().unwrap())
        .with("HARK_TTS_ENGINE", "none");
    let output = home.hark(&["doctor"]);
    // Where there is a sound card, it may be the one thing that is not in order.
    let card = output.out.contains("FAIL  microphone");
    assert_eq!(
        output.code,
        Some(i32::from(card)),
        "{}{}",
        output.out,
        output.err
    );
    if !card {
        assert!(output.out.contains("Hark can do its job"), "{}", output.out);
        assert_eq!(output.err, "");
    }
}

#[test]
fn help_has_an_example_and_the_exit_codes() {
    let output = Home::new().hark(&["doctor", "--help"]);
    assert_eq!(output.code, Some(0));
    for word in ["hark doctor --fix", "--json", "Exit code"] {
        assert!(output.out.contains(word), "{}", output.out);
    }
}
