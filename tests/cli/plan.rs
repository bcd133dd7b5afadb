//! `hark plan`: the published cases through the program, its keys, its refusals.

use serde_json::Value;

use crate::support::{Home, json, keys};

const MLX: &str = "gemma-26b-a4b-4bit";
const OLLAMA: &str = "gemma-26b-a4b-q8";

fn plan(memory: &str, models: &[&str]) -> (i32, Value, String) {
    let mut arguments = vec!["plan", "--memory", memory, "--context", "32768", "--json"];
    for model in models {
        arguments.extend(["--model", model]);
    }
    let ran = Home::new().hark(&arguments);
    (ran.code, json(&ran.out), ran.err)
}

#[test]
fn the_published_cases_come_out_with_exit_codes_and_both_backends_are_refused_at_64_gib() {
    for (memory, models, fits) in [
        ("24GiB", &[MLX][..], false),
        ("32GiB", &[MLX], true),
        ("32GiB", &[OLLAMA], false),
        ("48GiB", &[OLLAMA], true),
        ("64GiB", &[MLX], true),
        ("64GiB", &[MLX, OLLAMA], false),
        ("96GiB", &[MLX, OLLAMA], true),
        ("128GiB", &[MLX, OLLAMA], true),
    ] {
        let (code, plan, err) = plan(memory, models);
        assert_eq!(plan["fits"], fits, "{memory} {models:?}: {plan}");
        assert_eq!(code, i32::from(!fits), "{memory} {models:?}: {err}");
        assert!(plan["stt_model"].is_string());
        let parts = plan["parts"].as_array().unwrap();
        let sum: u64 = parts
            .iter()
            .map(|part| part["bytes"].as_u64().unwrap())
            .sum();
        let free = plan["total_bytes"].as_i64().unwrap()
            - plan["os_reserve_bytes"].as_i64().unwrap()
            - i64::try_from(sum).unwrap();
        assert_eq!(plan["free_bytes"].as_i64(), Some(free), "the terms add up");
        if !fits {
            assert!(
                err.contains("does not fit into") && err.contains("next: "),
                "{err}"
            );
        }
    }
}

#[test]
fn its_document_has_the_promised_keys() {
    let (_, plan, _) = plan("32GiB", &[MLX]);
    let promised = [
        "total_bytes",
        "gpu_limit_bytes",
        "os_reserve_bytes",
        "parts",
        "free_bytes",
        "fits",
        "advice",
    ];
    assert_eq!(keys(&plan)[..7], promised);
    assert_eq!(keys(&plan["parts"][0]), ["part", "bytes", "source"]);
    // The voice comes first, so the context of the language model gives way.
    assert_eq!(plan["context_tokens"][0], 8_192);
    let advice = plan["advice"].to_string();
    assert!(advice.contains("is 8192 tokens instead of"), "{advice}");
}

#[test]
fn for_people_every_term_stands_with_its_source() {
    let ran = Home::new().hark(&["plan", "--memory", "64GiB", "--model", MLX]);
    assert_eq!(ran.code, 0, "{ran:?}");
    for word in [
        "whisper",
        "echo canceller",
        "llm weights",
        "kv cache",
        "25 sliding layers",
        "It fits.",
    ] {
        assert!(ran.out.contains(word), "{word} in:\n{}", ran.out);
    }
}

#[test]
fn a_model_folder_is_read_and_settings_have_their_effect() {
    let home = Home::new()
        .with("HARK_MEMORY_OS_RESERVE", "1GiB")
        .with("HARK_MEMORY_VOICE_RESERVE", "4GiB");
    std::fs::create_dir(home.path("model")).unwrap();
    home.write(
        "model/config.json",
        r#"{"num_hidden_layers":2,"hidden_size":64,"num_attention_heads":4}"#,
    );
    home.write("model/model.safetensors", vec![0_u8; 5_000]);
    let ran = home.hark(&["plan", "--model", "model", "--memory", "8GiB", "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let plan = json(&ran.out);
    assert_eq!(plan["os_reserve_bytes"], 1_u64 << 30);
    assert_eq!(plan["voice_bytes"], 4_u64 << 30);
    let weights = plan["parts"].as_array().unwrap().iter();
    let weights = weights.filter(|part| part["part"] == "llm_weights");
    assert_eq!(
        weights
            .map(|part| part["bytes"].as_u64())
            .collect::<Vec<_>>(),
        [Some(5_000)]
    );
}

#[test]
fn what_does_not_exist_is_wrong_usage_with_a_next_step() {
    let home = Home::new().with("HARK_LLM_OLLAMA_URL", "http://127.0.0.1:9");
    for arguments in [
        &["plan", "--model", "no-such"][..],
        &["plan", "--memory", "much"],
    ] {
        let ran = home.hark(arguments);
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (2, ""),
            "{arguments:?}: {ran:?}"
        );
        assert!(ran.err.contains("next: "), "{}", ran.err);
    }
}
