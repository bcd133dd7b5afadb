//! `hark plan`: what fits next to the voice, on this machine or on another one, every term with its source.

use std::io::Write;

use serde_json::json;

use super::Setting;
use super::failure::Failure;
use super::waiting::during;
use crate::daemon::parts::memory::{self as planning, Choice};
use crate::llm::weights::WeightsError;
use crate::memory::machine;
use crate::memory::server::Term;
use crate::memory::{Plan, human, plan};

/// Arguments of `hark plan`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  hark plan\n  hark plan --memory 64GiB --model gemma-26b-a4b-4bit --context 32768\n  hark plan --model ~/models/my-model --json | jq .fits\n\nPresets: gemma-26b-a4b-4bit (MLX), gemma-26b-a4b-q8 (Ollama). Two --model ask whether both fit at once.\nExit code: 0 when it fits, 1 when it does not."
)]
pub struct PlanArgs {
    /// Plans for a Mac with so much memory, like 64GiB, instead of this machine
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
    /// A preset, a model folder, a GGUF file, or a model of the hub's cache or of Ollama; default: the configured one
    #[arg(long, value_name = "MODEL")]
    model: Vec<String>,
    /// Tokens of context that are wanted; default: llm.ollama.num_ctx
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u64).range(512..=1_048_576))]
    context: Option<u64>,
    /// Prints one JSON document
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
///
/// # Errors
/// A model or a size is unknown (2), or it does not fit (1).
pub fn run(args: &PlanArgs, setting: &Setting) -> anyhow::Result<()> {
    let config = &setting.config;
    let choice = match args.memory {
        Some(_) => Choice::All,
        None => Choice::Here,
    };
    let mut wanted = planning::wanted(config, &setting.places, choice);
    if let Some(size) = &args.memory {
        wanted.total = crate::config::size_in_bytes(size)
            .filter(|bytes| *bytes > 0)
            .ok_or_else(|| {
                Failure::usage(format!("{size} is no size"), "write it like --memory 64GiB")
            })?;
        wanted.gpu_limit = Some(machine::gpu_limit_bytes(wanted.total));
    }
    let context = args.context.unwrap_or(u64::from(config.llm.ollama.num_ctx));
    let runtime = super::runtime()?;
    let mut source = "asked for";
    for name in &args.model {
        let found = during(WEIGHING, || {
            runtime.block_on(planning::llm(name, &config.llm, context))
        });
        wanted.llms.push(found.map_err(wrong_model)?);
    }
    if wanted.llms.is_empty() {
        let configured = during(WEIGHING, || {
            runtime.block_on(planning::configured_llm(&config.llm))
        });
        source = if configured.is_some() {
            "configured"
        } else {
            "an example: no model is configured"
        };
        let example = || plan::preset(plan::PRESETS[0].0, context).expect("it is a preset");
        let mut llm = configured.unwrap_or_else(example);
        llm.context = context;
        wanted.llms.push(llm);
    }
    let made = Plan::make(&wanted);
    let names: Vec<&str> = wanted.llms.iter().map(|llm| llm.name.as_str()).collect();
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", document(&made, &names))?;
    } else {
        print(&made, &names, source, &mut out)?;
    }
    if made.fits {
        return Ok(());
    }
    Err(refusal(&made, &names).into())
}

const WEIGHING: &str = "asking the model server how large the model is";

fn wrong_model(error: WeightsError) -> Failure {
    let next = match error {
        WeightsError::Unknown(_) => {
            "name a preset (hark plan --help), a folder, a GGUF file, or a model that `ollama list` shows".to_owned()
        }
        _ => "download the model again, or name another one".to_owned(),
    };
    Failure::usage(error.to_string(), next)
}

fn refusal(plan: &Plan, names: &[&str]) -> Failure {
    let missing = u64::try_from(-plan.free_bytes()).unwrap_or(0);
    let how = if missing > 0 {
        format!("{} too much", human(missing))
    } else {
        "no room is left to work in".to_owned()
    };
    let next = plan.advice.first().cloned().unwrap_or_default();
    Failure::failed(
        format!(
            "{} does not fit into {}: {how}",
            names.join(" and "),
            human(plan.total)
        ),
        next,
    )
}

fn document(plan: &Plan, names: &[&str]) -> serde_json::Value {
    let part = |term: &Term| json!({"part": term.part, "bytes": term.bytes, "source": term.source});
    json!({
        "total_bytes": plan.total,
        "gpu_limit_bytes": plan.gpu_limit,
        "os_reserve_bytes": plan.os_reserve.bytes,
        "parts": plan.parts.iter().map(part).collect::<Vec<_>>(),
        "free_bytes": plan.free_bytes(),
        "fits": plan.fits,
        "advice": plan.advice,
        "models": names,
        "context_tokens": plan.contexts,
        "stt_model": plan.speech,
        "voice_bytes": plan.voice_bytes(),
        "llm_bytes": plan.llm_bytes(),
    })
}

fn print(plan: &Plan, names: &[&str], source: &str, out: &mut impl Write) -> std::io::Result<()> {
    let contexts: Vec<String> = names
        .iter()
        .zip(&plan.contexts)
        .map(|(name, context)| format!("{name} with {context} tokens of context"))
        .collect();
    writeln!(out, "{} ({source})\n", contexts.join(", "))?;
    line(out, "memory", &human(plan.total), "")?;
    line(
        out,
        "system",
        &human(plan.os_reserve.bytes),
        &plan.os_reserve.source,
    )?;
    for term in &plan.parts {
        line(
            out,
            &term.part.replace('_', " "),
            &human(term.bytes),
            &term.source,
        )?;
    }
    let free = plan.free_bytes();
    let shown = human(free.unsigned_abs());
    let shown = if free < 0 { format!("-{shown}") } else { shown };
    line(out, "free", &shown, "")?;
    if let Some(limit) = plan.gpu_limit {
        line(
            out,
            "gpu limit",
            &human(limit),
            "what the graphics processor may hold of it: models and Whisper",
        )?;
    }
    let verdict = if plan.fits {
        "It fits."
    } else {
        "It does not fit."
    };
    writeln!(
        out,
        "\n{verdict} Voice {}, language model {}.",
        human(plan.voice_bytes()),
        human(plan.llm_bytes())
    )?;
    for advice in &plan.advice {
        writeln!(out, "- {advice}")?;
    }
    Ok(())
}

fn line(out: &mut impl Write, name: &str, size: &str, source: &str) -> std::io::Result<()> {
    let text = format!("  {name:<15} {size:>9}  {source}");
    writeln!(out, "{}", text.trim_end())
}
