//! The resident language model: whether it thinks before it answers, and whether it uses what it has read already.
//!
//! Asked the same short question twice, only where a model is resident already: nothing is loaded for a check, and a
//! conversation that is under way is left alone.

use std::time::Duration;

use futures_util::StreamExt as _;

use super::{Check, Setup, backends, keys};
use crate::agent::prompt::{self, History, SYSTEM};
use crate::config::Config;
use crate::daemon::parts;
use crate::llm::{Delta, LlmBackend, LlmError, Usage};
use crate::transcripts::{ListRequest, Reader};

/// What one reply showed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reply {
    /// Letters of its thinking channel, or between marks of thinking in its text.
    pub thinking: usize,
    /// What it cost.
    pub usage: Usage,
}

/// What two replies to the same question showed.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// The backend's kind.
    pub backend: &'static str,
    /// The first.
    pub first: Reply,
    /// The second.
    pub second: Reply,
}

/// Why there is no [`Probe`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoProbe {
    /// Nothing to ask.
    Skipped(&'static str),
    /// It was asked and did not do it.
    Failed(String),
}

/// Asks twice; at most [`ASKING`] each.
///
/// # Errors
/// See [`NoProbe`].
pub async fn probe(config: &Config) -> Result<Probe, NoProbe> {
    if keys::is_in_conversation().await {
        return Err(NoProbe::Skipped("a conversation is under way"));
    }
    let backend = match parts::backend(config).await {
        Ok(Some(backend)) => backend,
        Ok(None) => return Err(NoProbe::Skipped("there is no language model to ask")),
        Err(error) => return Err(NoProbe::Failed(format!("{error:#}"))),
    };
    let first = ask(backend.as_ref()).await?;
    let second = ask(backend.as_ref()).await?;
    Ok(Probe {
        backend: backend.info().name,
        first,
        second,
    })
}

async fn ask(backend: &dyn LlmBackend) -> Result<Reply, NoProbe> {
    let failed = |error: LlmError| NoProbe::Failed(error.to_string());
    let work = async {
        let mut request = prompt::warm_up(SYSTEM, Vec::new(), &History::default());
        // A model that thinks begins with it.
        request.max_tokens = 24;
        let mut deltas = backend.chat(request).await.map_err(failed)?;
        let (mut thinking, mut text) = (0, String::new());
        while let Some(delta) = deltas.next().await {
            match delta.map_err(failed)? {
                Delta::Reasoning(thought) => thinking += thought.chars().count(),
                Delta::Text(words) => text.push_str(&words),
                Delta::Done { usage, .. } => {
                    if text.contains("<think") {
                        thinking += text.chars().count();
                    }
                    return Ok(Reply { thinking, usage });
                }
                Delta::Prefill { .. } | Delta::ToolCall(_) => {}
            }
        }
        Err(failed(LlmError::Cut))
    };
    tokio::time::timeout(ASKING, work)
        .await
        .unwrap_or_else(|_| {
            Err(NoProbe::Failed(format!(
                "it did not answer 24 tokens within {} s",
                ASKING.as_secs()
            )))
        })
}

/// The checks for what was found.
#[must_use]
pub fn judge(setup: &Setup, found: &Result<Probe, NoProbe>) -> Vec<Check> {
    match found {
        Ok(probe) => vec![
            thinking(&setup.config, probe),
            prompt_cache(&setup.config, probe),
        ],
        Err(NoProbe::Skipped(why)) => vec![Check::skip(THINKING, *why), from_records(setup, why)],
        Err(NoProbe::Failed(why)) => vec![
            Check::warn(
                THINKING,
                format!("the language model was asked two words: {why}"),
                "measure it: `hark backend bench`; restart its server if it does not end",
            ),
            Check::skip(CACHE, "the language model did not answer"),
        ],
    }
}

/// Whether the model thinks although it was told not to.
#[must_use]
pub fn thinking(config: &Config, probe: &Probe) -> Check {
    let letters = probe.first.thinking.max(probe.second.thinking);
    if letters == 0 {
        return Check::ok(
            THINKING,
            "the model answers at once, without thinking first",
        );
    }
    let detail = format!(
        "the model thinks before it answers ({letters} letters of thoughts before 24 tokens were over), although it was told \
         not to: every answer begins seconds late"
    );
    let remedy = match probe.backend {
        "mlx" => format!(
            "start it with thinking off: {} --chat-template-args '{{\"enable_thinking\":false}}'`, or let Hark do it: `hark \
             backend use mlx`",
            backends::start(config, "mlx").trim_end_matches('`')
        ),
        "ollama" => "take a model whose thinking can be switched off, for example `ollama pull gemma3:4b`, and name it in \
                     llm.ollama.model"
            .to_owned(),
        _ => "switch thinking off in that server (llama-server: `--reasoning-budget 0`), or take another model".to_owned(),
    };
    Check::warn(THINKING, detail, remedy)
}

/// Whether the second time the prompt came from the cache.
#[must_use]
pub fn prompt_cache(config: &Config, probe: &Probe) -> Check {
    let (first, second) = (probe.first.usage, probe.second.usage);
    match (second.prompt_tokens, second.cached_tokens) {
        (Some(prompt), Some(cached)) if cached.saturating_mul(2) >= prompt => {
            return Check::ok(
                CACHE,
                format!(
                    "asked again, {cached} of {prompt} tokens of the prompt came from the model's cache"
                ),
            );
        }
        (Some(prompt), Some(cached)) => {
            return missed(
                config,
                probe.backend,
                &format!(
                    "asked again, only {cached} of {prompt} tokens of the prompt came from the model's cache"
                ),
            );
        }
        _ => {}
    }
    match (first.prompt_ms, second.prompt_ms) {
        // Both may have come from the cache; what takes no time was not read.
        (Some(before), Some(again)) if again * 2.0 <= before || again < AT_ONCE_MS => Check::ok(
            CACHE,
            format!(
                "asked again, the prompt took {again:.0} ms instead of {before:.0}: it came from the model's cache"
            ),
        ),
        (Some(before), Some(again)) => missed(
            config,
            probe.backend,
            &format!(
                "asked again, the same prompt took {again:.0} ms after {before:.0}: it was read anew"
            ),
        ),
        _ => Check::skip(CACHE, "this server tells neither cached tokens nor times"),
    }
}

fn missed(config: &Config, backend: &str, what: &str) -> Check {
    let remedy = match backend {
        "mlx" => format!(
            "start it with a prompt cache and for one client at a time: `hark backend use mlx` does, or {} --prompt-cache-size 4`",
            backends::start(config, "mlx").trim_end_matches('`')
        ),
        "ollama" => "let it serve one request at a time, so that the cache is not given to others: `OLLAMA_NUM_PARALLEL=1 \
                     ollama serve`, or `hark service install --with ollama`"
            .to_owned(),
        _ => "switch its prompt cache on (llama-server: `--cache-reuse 256`), and look who else uses it".to_owned(),
    };
    Check::warn(
        CACHE,
        format!("{what}; every answer waits for that"),
        remedy,
    )
}

/// What the newest turns told, where the model is not asked now.
fn from_records(setup: &Setup, why: &str) -> Check {
    let newest = Reader::open(&setup.places.transcripts()).and_then(|reader| {
        reader.list(&ListRequest {
            limit: RECORDS,
            ..ListRequest::default()
        })
    });
    let told: Vec<String> = newest
        .unwrap_or_default()
        .into_iter()
        .filter_map(|stored| stored.turn.receipt.prefix)
        .collect();
    records(&told, why)
}

/// Judges what receipts say of the model's cache; `why` it is not asked now.
#[must_use]
pub fn records(told: &[String], why: &str) -> Check {
    if told.is_empty() {
        return Check::skip(CACHE, why);
    }
    let reused = told.iter().filter(|prefix| *prefix == "reused").count();
    let detail = format!(
        "{reused} of the last {} answers of the model used its cache",
        told.len()
    );
    if reused * 2 >= told.len() || told.len() < ENOUGH {
        return Check::ok(CACHE, detail);
    }
    let mut causes: Vec<&str> = told
        .iter()
        .map(String::as_str)
        .filter(|prefix| *prefix != "reused")
        .collect();
    causes.sort_unstable();
    causes.dedup();
    Check::warn(
        CACHE,
        format!("{detail}; the others: {}", causes.join(", ")),
        "see which turn and why: `hark transcripts why`; other programs on the same server go through `hark gateway`",
    )
}

const THINKING: &str = "thinking";
const CACHE: &str = "prompt_cache";

/// A model that needs longer for two dozen tokens and a prompt of 600 is none to talk with.
pub const ASKING: Duration = Duration::from_secs(20);
/// Reading the prompt of 600 tokens takes longer than this on every machine that Hark is for.
const AT_ONCE_MS: f64 = 150.0;
/// How many turns are looked at.
const RECORDS: usize = 20;
/// Fewer say nothing: the first after a start is always cold.
const ENOUGH: usize = 4;
