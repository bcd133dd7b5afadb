//! Captured bytes, cut everywhere, always give the same deltas.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};

use hark::llm::decode::Decode;
use hark::llm::ollama::OllamaDecoder;
use hark::llm::openai::OpenAiDecoder;
use hark::llm::{Delta, FinishReason, LlmError, Usage};
use serde_json::{Value, json};

use crate::support::{Captured, captured, data, say, shared_assets};

/// The deltas of one body, and how it ended if not with the end marker.
#[derive(Debug, PartialEq)]
struct Decoded {
    deltas: Vec<Delta>,
    error: Option<String>,
}

fn decoder(kind: &str) -> Box<dyn Decode> {
    if kind.starts_with("text/event-stream") {
        Box::new(OpenAiDecoder::default())
    } else {
        Box::new(OllamaDecoder::default())
    }
}

/// Feeds the pieces as the pump does: stops at the end marker or an error.
fn decode(kind: &str, pieces: &[&[u8]]) -> Decoded {
    let (mut decoder, mut out) = (decoder(kind), VecDeque::new());
    let mut error = None;
    for piece in pieces {
        if let Err(failure) = decoder.push(piece, &mut out) {
            error = Some(failure);
            break;
        }
    }
    let is_done = out.iter().any(|delta| matches!(delta, Delta::Done { .. }));
    if error.is_none() && !is_done {
        error = decoder.finish(&mut out).err();
    }
    Decoded {
        deltas: out.into(),
        error: error.map(|error| format!("{error:?}")),
    }
}

/// Two pieces at every byte boundary, then forty random partitions.
fn cut_everywhere(name: &str, kind: &str, body: &[u8]) -> Decoded {
    let whole = decode(kind, &[body]);
    for at in 0..=body.len() {
        assert_eq!(
            decode(kind, &[&body[..at], &body[at..]]),
            whole,
            "{name} cut at byte {at}"
        );
    }
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    for _ in 0..40 {
        let (mut pieces, mut rest) = (Vec::new(), body);
        while !rest.is_empty() {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let length = 1 + (random >> 33) as usize % rest.len().min(97);
            let (piece, tail) = rest.split_at(length);
            pieces.push(piece);
            rest = tail;
        }
        assert_eq!(
            decode(kind, &pieces),
            whole,
            "{name} in {} random pieces",
            pieces.len()
        );
    }
    whole
}

fn joined(deltas: &[Delta], pick: fn(&Delta) -> Option<&str>) -> String {
    deltas.iter().filter_map(pick).collect()
}

fn text(delta: &Delta) -> Option<&str> {
    if let Delta::Text(text) = delta {
        Some(text)
    } else {
        None
    }
}

fn thinking(delta: &Delta) -> Option<&str> {
    if let Delta::Reasoning(text) = delta {
        Some(text)
    } else {
        None
    }
}

/// What a file of ours must come to.
struct Expected {
    text: &'static str,
    thinking: &'static str,
    /// Names and arguments.
    calls: Vec<(&'static str, Value)>,
    /// The reason of the end marker, or the error.
    end: Result<FinishReason, &'static str>,
}

fn plain(text: &'static str, end: Result<FinishReason, &'static str>) -> Expected {
    Expected {
        text,
        thinking: "",
        calls: Vec::new(),
        end,
    }
}

fn calling(thinking: &'static str, calls: Vec<(&'static str, Value)>) -> Expected {
    Expected {
        text: "",
        thinking,
        calls,
        end: Ok(FinishReason::ToolCalls),
    }
}

#[test]
fn our_own_captures_come_to_what_was_said_wherever_they_are_cut() {
    use FinishReason::{Length, Stop};
    const GREETING: &str = "Good evening, this is the scripted model.";
    let oslo = || vec![("get_weather", json!({"city": "Oslo"}))];
    let table = [
        ("mlx-text", plain(GREETING, Ok(Stop))),
        ("mlx-accents", plain("Café au lait — 日本語!", Ok(Stop))),
        ("mlx-length", plain("One sheep jumps over a", Ok(Length))),
        ("mlx-call", calling("", oslo())),
        (
            "mlx-thought-and-call",
            calling("They ask for weather.\n", oslo()),
        ),
        ("mlx-result", plain("In Oslo it snows now.", Ok(Stop))),
        ("mlx-call-cut-by-limit", plain("", Ok(Length))),
        (
            "mlx-left-in-the-middle",
            plain("One sheep jumps over", Err("Cut")),
        ),
        ("ollama-text", plain(GREETING, Ok(Stop))),
        (
            "ollama-accents-and-thinking",
            Expected {
                text: "Café — 日本語!",
                thinking: "They want coffee.hm",
                calls: Vec::new(),
                end: Ok(Length),
            },
        ),
        ("ollama-call", calling("", oslo())),
        ("ollama-call-in-the-last-line", calling("", oslo())),
        (
            "ollama-error-in-the-middle",
            plain("Good eve", Err("Refused")),
        ),
        ("ollama-ends-without-a-word", plain("Good eve", Err("Cut"))),
        (
            "openai-call-in-fragments",
            calling(
                "",
                vec![
                    ("get_weather", json!({"city": "Oslo"})),
                    ("set_light", json!({"room": "hall", "on": true})),
                ],
            ),
        ),
        (
            "openai-first-chunk-is-empty",
            Expected {
                text: "Yes.",
                thinking: "Hm.",
                calls: Vec::new(),
                end: Ok(Stop),
            },
        ),
        ("openai-no-end-marker", plain("Yes", Err("Cut"))),
        ("openai-error-in-the-middle", plain("Yes", Err("Refused"))),
    ];
    for (name, expected) in table {
        let Captured { status, kind, body } =
            captured(&data(&format!("{name}.http"))).expect("an HTTP answer");
        assert_eq!(status, 200, "{name}");
        let decoded = cut_everywhere(name, &kind, &body);
        check(name, &decoded, &expected);
    }
}

fn check(name: &str, decoded: &Decoded, expected: &Expected) {
    assert_eq!(joined(&decoded.deltas, text), expected.text, "{name}");
    assert_eq!(
        joined(&decoded.deltas, thinking),
        expected.thinking,
        "{name}"
    );
    let calls: Vec<_> = decoded
        .deltas
        .iter()
        .filter_map(|delta| {
            if let Delta::ToolCall(call) = delta {
                Some((call.name.as_str(), call.arguments.clone()))
            } else {
                None
            }
        })
        .collect();
    assert_eq!(calls, expected.calls, "{name}");
    match &expected.end {
        Ok(reason) => {
            assert_eq!(decoded.error, None, "{name}");
            let Some(Delta::Done { reason: got, .. }) = decoded.deltas.last() else {
                panic!("{name} does not end in Done")
            };
            assert_eq!(got, reason, "{name}");
        }
        Err(kind) => {
            let error = decoded.error.as_deref().unwrap_or_default();
            assert!(error.starts_with(kind), "{name}: {error:?}");
            assert!(
                !decoded
                    .deltas
                    .iter()
                    .any(|delta| matches!(delta, Delta::Done { .. })),
                "{name} is no whole reply"
            );
        }
    }
}

fn usage_of(name: &str) -> Usage {
    let Captured { kind, body, .. } =
        captured(&data(&format!("{name}.http"))).expect("an HTTP answer");
    match decode(&kind, &[&body]).deltas.last() {
        Some(Delta::Done { usage, .. }) => *usage,
        other => panic!("{name} ends in {other:?}"),
    }
}

#[test]
fn the_cost_is_told_as_each_server_counts_it() {
    let mlx = usage_of("mlx-text");
    assert_eq!(
        (mlx.prompt_tokens, mlx.completion_tokens, mlx.cached_tokens),
        (Some(20), Some(10), Some(0))
    );
    let ollama = usage_of("ollama-text");
    assert_eq!(
        (
            ollama.prompt_tokens,
            ollama.completion_tokens,
            ollama.cached_tokens
        ),
        (Some(21), Some(9), None)
    );
    assert_eq!(
        (ollama.prompt_ms, ollama.generation_ms),
        (Some(250.0), Some(900.0))
    );
    let llama_server = usage_of("openai-first-chunk-is-empty");
    assert_eq!(
        (llama_server.prompt_tokens, llama_server.cached_tokens),
        (Some(13), Some(12))
    );
    assert_eq!(
        (llama_server.completion_tokens, llama_server.generation_ms),
        (Some(3), Some(26.5))
    );
}

#[test]
fn prefill_is_told_and_an_empty_first_chunk_is_nothing() {
    let Captured { kind, body, .. } = captured(&data("mlx-text.http")).expect("an HTTP answer");
    let first = decode(&kind, &[&body]).deltas.swap_remove(0);
    assert!(
        matches!(first, Delta::Prefill { done, total } if done > 0 && total >= done),
        "{first:?}"
    );
    let Captured { kind, body, .. } =
        captured(&data("openai-first-chunk-is-empty.http")).expect("an HTTP answer");
    assert_eq!(
        decode(&kind, &[&body]).deltas[0],
        Delta::Reasoning("Hm.".to_owned())
    );
}

/// A file's words and whether its end marker is there, found without the decoders.
fn read_plainly(kind: &str, body: &[u8]) -> (String, bool) {
    let (mut words, mut whole) = (String::new(), false);
    for line in String::from_utf8_lossy(body).lines() {
        let json: Value = serde_json::from_str(line.strip_prefix("data: ").unwrap_or(line))
            .unwrap_or(Value::Null);
        let pointer = if kind.starts_with("text/event-stream") {
            "/choices/0/delta/content"
        } else {
            "/message/content"
        };
        words.push_str(
            json.pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default(),
        );
        whole |= line == "data: [DONE]" || json["done"] == true;
    }
    (words, whole)
}

fn shared_captures(root: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = ["mlx", "ollama", "llamacpp", "llama-swap"]
        .iter()
        .flat_map(|folder| fs::read_dir(root.join(folder)).expect("a folder of captures"))
        .map(|entry| entry.expect("a folder entry").path())
        .filter(|path| path.to_string_lossy().ends_with(".response.http"))
        .collect();
    found.sort();
    found
}

/// Whether the request beside a response asks for a chat; the two gzipped ones do.
fn asks_for_a_chat(response: &Path) -> bool {
    let request = response
        .to_string_lossy()
        .replace(".response.http", ".request.http");
    match fs::read(&request) {
        Ok(bytes) => {
            let line = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned();
            line.starts_with("POST /api/chat ") || line.contains("/chat/completions ")
        }
        Err(_) => Path::new(&format!("{request}.gz")).exists(),
    }
}

#[test]
fn every_shared_capture_of_a_chat_comes_to_its_words_wherever_it_is_cut() {
    let Some(root) = shared_assets("facts/captures") else {
        return;
    };
    let mut checked = 0;
    for path in shared_captures(&root) {
        let Some(mut answer) = captured(&fs::read(&path).expect("a readable capture")) else {
            continue;
        };
        let streams = answer.kind.starts_with("text/event-stream")
            || answer.kind.starts_with("application/x-ndjson");
        if answer.status != 200 || !streams || !asks_for_a_chat(&path) {
            continue;
        }
        // A few streams were shortened by hand, with a line that says so: there they end.
        const SHORTENED: &[u8] = b"[... truncated";
        if let Some(at) = answer
            .body
            .windows(SHORTENED.len())
            .position(|part| part == SHORTENED)
        {
            answer.body.truncate(at);
        }
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let (words, whole) = read_plainly(&answer.kind, &answer.body);
        let decoded = cut_everywhere(&name, &answer.kind, &answer.body);
        assert_eq!(joined(&decoded.deltas, text), words, "{name}");
        let ends = matches!(decoded.deltas.last(), Some(Delta::Done { .. }));
        assert_eq!(ends, whole, "{name}: {:?}", decoded.error);
        assert_eq!(
            decoded.error.is_none(),
            whole,
            "{name}: {:?}",
            decoded.error
        );
        checked += 1;
    }
    assert!(
        checked >= 40,
        "only {checked} chat streams found in {}",
        root.display()
    );
    say(&format!(
        "{checked} shared captures of chat streams, each cut at every byte"
    ));
}

#[test]
fn a_line_of_more_than_a_mebibyte_is_refused_by_both() {
    let long = vec![b'x'; (1 << 20) + 1];
    for kind in ["text/event-stream", "application/x-ndjson"] {
        let mut decoder = decoder(kind);
        let refused = decoder.push(&long, &mut VecDeque::new());
        assert!(matches!(refused, Err(LlmError::Protocol { .. })), "{kind}");
    }
}
