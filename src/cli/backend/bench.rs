//! `hark backend bench`: what each backend does on this machine, alone and beside the other.
//!
//! For every backend that can be started: memory after the load and after the longest prompt, the first token of a prompt
//! that nothing is cached of and of the same prompt again, the rate of the prefill and of the decoding. Then both at once,
//! which Hark never does otherwise: it shows what that costs. Prompts are made of numbered words, so that none begins like
//! another one, and their tokens are what the backend counts, not what was asked for.

use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::{Value, json};

use super::super::Setting;
use super::super::console::Console;
use super::super::failure::Failure;
use super::{client, supervisor};
use crate::daemon::desk::beginning::of_instructions;
use crate::gateway::residency::{Event, Kind, Owner, Phase};
use crate::gateway::servers::ServerSettings;
use crate::gateway::supervisor::{Supervisor, Told};
use crate::llm::{ChatRequest, Delta, LlmBackend, Message, Role, Usage};
use crate::memory::human;
use crate::platform::clock::Clock;
use crate::platform::memory::tree_footprint_bytes;

/// Arguments of `hark backend bench`.
#[derive(Debug, clap::Args)]
pub struct BenchArgs {
    /// Lengths of the prompts in tokens, about
    #[arg(long, value_delimiter = ',', default_values_t = [500_u32, 2_000, 8_000])]
    prompts: Vec<u32>,
    /// Tokens that are decoded for the decode rate
    #[arg(long, default_value_t = 128)]
    tokens: u32,
    /// Only this backend; without it all that can be started
    #[arg(long, value_parser = super::kind)]
    only: Option<Kind>,
    /// Does not ask before a server of another program is stopped
    #[arg(long)]
    yes: bool,
    /// Prints one JSON document instead of a table in Markdown
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
///
/// # Errors
/// No backend can be measured, or one fails on the way.
pub(super) fn run(
    args: &BenchArgs,
    setting: &Setting,
    console: &mut Console<'_>,
    runtime: &tokio::runtime::Runtime,
) -> anyhow::Result<()> {
    let mut steward = supervisor(setting, of_instructions())?;
    let kinds: Vec<Kind> = Kind::ALL
        .into_iter()
        .filter(|kind| args.only.is_none_or(|only| only == *kind))
        .filter(|kind| {
            steward.settings().can_start(*kind) || steward.settings().serving(*kind).is_some()
        })
        .collect();
    if kinds.is_empty() {
        let next =
            "set llm.mlx.model and install mlx_lm.server, or install ollama and pull a model";
        return Err(Failure::failed("no backend can be started here", next).into());
    }
    let document = runtime.block_on(async {
        let mut alone = Vec::new();
        // What the user had before comes back afterwards.
        let before = first_resident(&mut steward, args, console).await?;
        for kind in &kinds {
            writeln!(console.err, "measuring {} alone ...", kind.name())?;
            make_resident(&mut steward, *kind, args).await?;
            alone.push(measure(*kind, steward.settings(), args).await?);
        }
        let together = if kinds.len() == 2 {
            writeln!(console.err, "measuring both together ...")?;
            both(&mut steward, setting, args).await?
        } else {
            Value::Null
        };
        match before {
            Some(kind) => make_resident(&mut steward, kind, args).await?,
            None => drop(steward.handle(Event::Stop).await),
        }
        anyhow::Ok(json!({
            "version": env!("CARGO_PKG_VERSION"),
            "machine": machine(),
            "alone": alone,
            "together": together,
            "published": published(),
        }))
    })?;
    if args.json {
        writeln!(console.out, "{document}")?;
    } else {
        write!(console.out, "{}", markdown(&document))?;
    }
    Ok(())
}

fn machine() -> Value {
    json!({
        "system": crate::platform::system_name(),
        "memory_bytes": crate::platform::total_memory_bytes(),
        "gpu_limit_bytes": crate::platform::memory::gpu_limit_bytes(),
        "cores": std::thread::available_parallelism().map(usize::from).ok(),
    })
}

/// Figures of others for Gemma 26B-A4B: 4 bits under MLX, 8 bits under Ollama, each alone and both resident.
fn published() -> Value {
    json!([
        {"backend": "mlx", "decode_tokens_s": 73.0, "together_tokens_s": 35.0, "source": "published, 64 GB, alone and beside the other"},
        {"backend": "ollama", "decode_tokens_s": 60.0, "together_tokens_s": 48.0, "source": "the same"},
        {"backend": "mlx", "prefill_tokens_s": 227.0, "decode_tokens_s": 50.0, "source": "published, M2 Pro 32 GB; decode 23.6 at 8K context"},
    ])
}

async fn first_resident(
    steward: &mut Supervisor,
    args: &BenchArgs,
    console: &mut Console<'_>,
) -> anyhow::Result<Option<Kind>> {
    steward.survey().await;
    let Phase::Serving { kind, owner } = steward.phase() else {
        return Ok(None);
    };
    if owner == Owner::Foreign && !args.yes && !super::consent(kind, console)? {
        return Err(Failure::failed(
            "nothing was measured",
            "run it again when the other server may be stopped",
        )
        .into());
    }
    Ok(Some(kind))
}

async fn make_resident(
    steward: &mut Supervisor,
    kind: Kind,
    args: &BenchArgs,
) -> anyhow::Result<()> {
    let mut told = steward.handle(Event::Use(kind)).await;
    if told.iter().any(|told| matches!(told, Told::Question(_))) {
        // It was asked before anything was measured.
        let _agreed = args.yes;
        told.extend(steward.handle(Event::Answered { yes: true }).await);
    }
    if matches!(steward.phase(), Phase::Serving { kind: now, .. } if now == kind) {
        return Ok(());
    }
    let trouble: Vec<String> = told
        .into_iter()
        .filter_map(|told| match told {
            Told::Trouble(words) => Some(words),
            Told::NoMemory { need, free, .. } => Some(format!(
                "it needs {} of memory, and {} are free",
                human(need),
                human(free)
            )),
            _ => None,
        })
        .collect();
    Err(Failure::failed(
        format!(
            "{} did not become resident: {}",
            kind.name(),
            trouble.join("; ")
        ),
        "`hark backend list` shows what there is",
    )
    .into())
}

/// What one reply showed.
struct Timed {
    first_token: Duration,
    usage: Usage,
    decode: Duration,
    pieces: u32,
}

impl Timed {
    /// Tokens a second after the first: by the backend's count, else by the pieces.
    fn decode_rate(&self) -> f64 {
        let tokens = self
            .usage
            .completion_tokens
            .unwrap_or(self.pieces)
            .saturating_sub(1);
        f64::from(tokens) / self.decode.as_secs_f64().max(1e-6)
    }
}

async fn ask(backend: &dyn LlmBackend, prompt: String, tokens: u32) -> anyhow::Result<Timed> {
    let clock = Clock::start();
    let request = ChatRequest {
        messages: vec![Message::new(Role::User, prompt)],
        tools: Vec::new(),
        max_tokens: tokens,
        temperature: 0.0,
    };
    let mut stream = backend.chat(request).await?;
    let mut first = None;
    let mut pieces = 0;
    let mut usage = Usage::default();
    while let Some(delta) = stream.next().await {
        match delta? {
            Delta::Text(_) | Delta::Reasoning(_) | Delta::ToolCall(_) => {
                first.get_or_insert_with(|| clock.now().since_start());
                pieces += 1;
            }
            Delta::Prefill { .. } => {}
            Delta::Done { usage: told, .. } => usage = told,
        }
    }
    let all = clock.now().since_start();
    let first_token = first.unwrap_or(all);
    Ok(Timed {
        first_token,
        usage,
        decode: all - first_token,
        pieces,
    })
}

/// A prompt of about so many tokens that begins like no other: a number word is two to three tokens.
fn prompt(tokens: u32, seed: u32) -> String {
    let mut text = format!("Document {seed}. ");
    let mut number = seed.wrapping_mul(2_654_435_761);
    for _ in 0..tokens / 3 {
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text.push_str(&format!("{} ", number % 1_000));
    }
    text.push_str("Now count from one to one hundred in words.");
    text
}

async fn measure(kind: Kind, settings: &ServerSettings, args: &BenchArgs) -> anyhow::Result<Value> {
    let backend = client(kind, settings)?;
    let memory = || {
        settings
            .serving(kind)
            .and_then(|(pid, _)| tree_footprint_bytes(pid))
    };
    let loaded = memory();
    let decoded = ask(backend.as_ref(), prompt(30, 1), args.tokens).await?;
    let mut prompts = Vec::new();
    for (number, tokens) in (2..).zip(&args.prompts) {
        let text = prompt(*tokens, number);
        let cold = ask(backend.as_ref(), text.clone(), 8).await?;
        let warm = ask(backend.as_ref(), text, 8).await?;
        let counted = cold.usage.prompt_tokens.unwrap_or(*tokens);
        let fresh = counted - cold.usage.cached_tokens.unwrap_or(0).min(counted);
        prompts.push(json!({
            "asked_tokens": tokens,
            "prompt_tokens": counted,
            "first_token_cold_ms": ms(cold.first_token),
            "first_token_warm_ms": ms(warm.first_token),
            "cached_tokens_warm": warm.usage.cached_tokens,
            "prefill_tokens_s": f64::from(fresh) / cold.first_token.as_secs_f64().max(1e-6),
        }));
    }
    Ok(json!({
        "backend": kind.name(),
        "resident_bytes_loaded": loaded,
        "resident_bytes_after_prompts": memory(),
        "decode_tokens_s": decoded.decode_rate(),
        "prompts": prompts,
    }))
}

fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

/// Both at once: the second one is started by a keeper of its own, which does not know of the first.
async fn both(
    steward: &mut Supervisor,
    setting: &Setting,
    args: &BenchArgs,
) -> anyhow::Result<Value> {
    let Phase::Serving { kind: first, .. } = steward.phase() else {
        return Ok(Value::Null);
    };
    let second = if first == Kind::Mlx {
        Kind::Ollama
    } else {
        Kind::Mlx
    };
    let mut other = supervisor(setting, of_instructions())?;
    if let Err(error) = make_resident(&mut other, second, args).await {
        return Ok(json!({ "error": error.to_string() }));
    }
    let (one, two) = (
        client(first, steward.settings())?,
        client(second, other.settings())?,
    );
    let (a, b) = tokio::join!(
        ask(one.as_ref(), prompt(30, 101), args.tokens),
        ask(two.as_ref(), prompt(30, 102), args.tokens)
    );
    let held = |kind| {
        other
            .settings()
            .serving(kind)
            .and_then(|(pid, _)| tree_footprint_bytes(pid))
    };
    let row = |kind: Kind, timed: &Timed| {
        json!({
            "backend": kind.name(), "decode_tokens_s": timed.decode_rate(),
            "first_token_ms": ms(timed.first_token), "resident_bytes": held(kind),
        })
    };
    let document = json!([row(first, &a?), row(second, &b?)]);
    drop(other.handle(Event::Stop).await);
    Ok(document)
}

fn markdown(document: &Value) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    let number = |value: &Value| {
        value
            .as_f64()
            .map_or_else(|| "-".to_owned(), |number| format!("{number:.1}"))
    };
    let size = |value: &Value| value.as_u64().map_or_else(|| "-".to_owned(), human);
    line("| backend | memory loaded | after prompts | decode tokens/s | together |".to_owned());
    line("|---|---|---|---|---|".to_owned());
    let empty = Vec::new();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_else(|| empty.clone());
    for row in list(&document["alone"]) {
        let together = list(&document["together"])
            .into_iter()
            .find(|other| other["backend"] == row["backend"])
            .map_or(Value::Null, |other| other["decode_tokens_s"].clone());
        line(format!(
            "| {} | {} | {} | {} | {} |",
            row["backend"].as_str().unwrap_or_default(),
            size(&row["resident_bytes_loaded"]),
            size(&row["resident_bytes_after_prompts"]),
            number(&row["decode_tokens_s"]),
            number(&together)
        ));
    }
    line(String::new());
    line(
        "| backend | prompt tokens | first token cold, ms | warm, ms | prefill tokens/s |"
            .to_owned(),
    );
    line("|---|---|---|---|---|".to_owned());
    for row in list(&document["alone"]) {
        for prompt in list(&row["prompts"]) {
            line(format!(
                "| {} | {} | {} | {} | {} |",
                row["backend"].as_str().unwrap_or_default(),
                prompt["prompt_tokens"],
                number(&prompt["first_token_cold_ms"]),
                number(&prompt["first_token_warm_ms"]),
                number(&prompt["prefill_tokens_s"])
            ));
        }
    }
    line(String::new());
    line("Published for Gemma 26B-A4B, for comparison:".to_owned());
    for row in list(&document["published"]) {
        line(format!(
            "- {}: decode {} tokens/s, together {}, prefill {} ({})",
            row["backend"].as_str().unwrap_or_default(),
            number(&row["decode_tokens_s"]),
            number(&row["together_tokens_s"]),
            number(&row["prefill_tokens_s"]),
            row["source"].as_str().unwrap_or_default()
        ));
    }
    out
}
