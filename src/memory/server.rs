//! What a server takes for a model: weights, cache, prompt caches, the transient of a prefill, and itself.
//!
//! Core. The two engines differ: mlx_lm.server lets its cache grow with the conversation and keeps whole copies of earlier
//! ones as prompt cache; llama.cpp's server (under Ollama or alone) lays out the cache for the whole context when it loads
//! and keeps checkpoints of the sliding layers. [`terms`] takes the settings that Hark starts its servers with.

use super::shape::Shape;
use super::{MIB, human};

/// Whose formulae count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// mlx_lm.server.
    Mlx,
    /// llama.cpp's server, as Ollama starts it.
    LlamaCpp,
}

/// What a server is started with, as far as memory goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// Tokens of context.
    pub context: u64,
    /// MLX: the cap of its prompt cache in bytes. llama.cpp: `LLAMA_ARG_CACHE_RAM`.
    pub prompt_cache_bytes: u64,
    /// MLX: how many conversations its prompt cache keeps. llama.cpp: `LLAMA_ARG_CTX_CHECKPOINTS`.
    pub kept: u64,
    /// Tokens that are evaluated at once during a prefill.
    pub step: u64,
}

impl Tuning {
    /// What Hark starts a server with: the flags of mlx_lm.server and the environment of Ollama that keep either bounded.
    #[must_use]
    pub const fn full(engine: Engine, context: u64) -> Self {
        match engine {
            Engine::Mlx => Self {
                context,
                prompt_cache_bytes: 2_000_000_000,
                kept: 4,
                step: 512,
            },
            Engine::LlamaCpp => Self {
                context,
                prompt_cache_bytes: 1_024 * MIB,
                kept: 2,
                // Ollama's own choice by the context.
                step: match context {
                    0..=4_096 => 512,
                    4_097..=32_768 => 1_024,
                    _ => 2_048,
                },
            },
        }
    }

    /// The same with a prompt cache of half the size: for machines on which the full one does not fit.
    #[must_use]
    pub const fn lean(engine: Engine, context: u64) -> Self {
        let full = Self::full(engine, context);
        Self {
            prompt_cache_bytes: full.prompt_cache_bytes / 2,
            ..full
        }
    }
}

/// One term of a server's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// Its name, for scripts.
    pub part: &'static str,
    /// Bytes.
    pub bytes: u64,
    /// How it was computed, or where it comes from.
    pub source: String,
}

impl Term {
    /// A term.
    pub fn new(part: &'static str, bytes: u64, source: impl Into<String>) -> Self {
        Self {
            part,
            bytes,
            source: source.into(),
        }
    }
}

/// The terms of `shape` under `engine` with `tuning`.
#[must_use]
pub fn terms(shape: &Shape, engine: Engine, tuning: Tuning) -> Vec<Term> {
    let context = tuning.context;
    let window = shape.window_bytes(context);
    let weights = Term::new(
        "llm_weights",
        shape.weights_bytes,
        "the model's files: weights stay as they lie on the disk",
    );
    let rest = match engine {
        Engine::Mlx => {
            let cache = shape.cache_bytes(context, 0);
            let copies = (tuning.kept * cache).min(tuning.prompt_cache_bytes);
            vec![
                Term::new("kv_cache", cache, cache_source(shape, context)),
                Term::new(
                    "prompt_cache",
                    copies,
                    format!(
                        "{} conversations of {}, at most {} (--prompt-cache-size, --prompt-cache-bytes)",
                        tuning.kept,
                        human(cache),
                        human(tuning.prompt_cache_bytes)
                    ),
                ),
                Term::new(
                    "prefill",
                    mlx_prefill(shape, tuning),
                    prefill_source(shape, tuning),
                ),
                Term::new("server", MLX_SERVER, MLX_SERVER_SOURCE),
            ]
        }
        Engine::LlamaCpp => vec![
            Term::new(
                "kv_cache",
                shape.cache_bytes(context, tuning.step),
                format!(
                    "{}; laid out when it loads, windows longer by one batch of {}",
                    cache_source(shape, context),
                    tuning.step
                ),
            ),
            Term::new(
                "prompt_cache",
                tuning.prompt_cache_bytes + tuning.kept * window,
                format!(
                    "{} of earlier prompts (LLAMA_ARG_CACHE_RAM) and {} checkpoints of {} (LLAMA_ARG_CTX_CHECKPOINTS)",
                    human(tuning.prompt_cache_bytes),
                    tuning.kept,
                    human(window)
                ),
            ),
            Term::new(
                "prefill",
                tuning.step * 4 * (shape.vocabulary + 2 * shape.inner + 8 * shape.hidden),
                format!(
                    "compute buffer: a batch of {} tokens × (vocabulary {} + 2 × {} + 8 × {}) in f32",
                    tuning.step, shape.vocabulary, shape.inner, shape.hidden
                ),
            ),
            Term::new("server", LLAMA_SERVER, LLAMA_SERVER_SOURCE),
        ],
    };
    std::iter::once(weights).chain(rest).collect()
}

/// Bytes of all terms.
#[must_use]
pub fn sum(terms: &[Term]) -> u64 {
    terms.iter().map(|term| term.bytes).sum()
}

/// Metal's fused attention knows heads up to 128 wide; for wider ones the scores of a step are held in half precision three
/// times over: scores, mask added, softmax. With Gemma's heads of 512 that is the 1 GB at 16k and 2 GB at 32k that are seen.
fn mlx_prefill(shape: &Shape, tuning: Tuning) -> u64 {
    let scores = if shape.head > FUSED_HEAD {
        3 * 2 * shape.query_heads * tuning.step * tuning.context
    } else {
        0
    };
    let width = 3 * shape.inner + 8 * shape.hidden;
    let sliding =
        shape.cache_bytes(tuning.context, tuning.step) - shape.cache_bytes(tuning.context, 0);
    scores + tuning.step * width * shape.element_bytes + sliding
}

fn prefill_source(shape: &Shape, tuning: Tuning) -> String {
    let step = tuning.step;
    if shape.head > FUSED_HEAD {
        format!(
            "a step of {step} tokens (--prefill-step-size): scores of {} heads over {} tokens, three times (heads of {} are not fused), and the feed-forward part",
            shape.query_heads, tuning.context, shape.head
        )
    } else {
        format!("a step of {step} tokens (--prefill-step-size) through the feed-forward part")
    }
}

fn cache_source(shape: &Shape, context: u64) -> String {
    format!("{context} tokens: {}", shape.cache_in_words())
}

/// The widest head of MLX's fused attention.
const FUSED_HEAD: u64 = 128;

/// mlx_lm.server without a model: Python, numpy, the tokenizer and MLX.
const MLX_SERVER: u64 = 72 * MIB;
const MLX_SERVER_SOURCE: &str =
    "Python, tokenizer and MLX; measured on Linux beside a model whose other terms are known";

/// llama-server without a model.
const LLAMA_SERVER: u64 = 30 * MIB;
const LLAMA_SERVER_SOURCE: &str =
    "llama-server itself; measured on Linux beside a model whose other terms are known";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::GIB;

    fn gib(terms: &[Term]) -> f64 {
        sum(terms) as f64 / GIB as f64
    }

    /// 15.8 weights + 0.5 cache + 0.7 to 0.9 prompt cache + 1.0 prefill, and 20.6 with 32k and the full cache.
    #[test]
    fn gemma_4_bit_under_mlx_takes_what_was_published() {
        let gemma = Shape::gemma_26b_a4b(158 * GIB / 10);
        let lean = terms(&gemma, Engine::Mlx, Tuning::lean(Engine::Mlx, 16_384));
        assert!((gib(&lean) - 18.2).abs() < 0.4, "{lean:#?} {}", gib(&lean));
        let full = terms(&gemma, Engine::Mlx, Tuning::full(Engine::Mlx, 32_768));
        assert!((gib(&full) - 20.6).abs() < 0.5, "{full:#?} {}", gib(&full));
    }

    /// 27.5 weights + 0.85 cache + 1 compute + 1 cache-ram + 0.4 checkpoints = 30.8.
    #[test]
    fn gemma_8_bit_under_ollama_takes_what_was_published() {
        let gemma = Shape::gemma_26b_a4b(275 * GIB / 10);
        let tuning = Tuning::full(Engine::LlamaCpp, 32_768);
        let terms = terms(&gemma, Engine::LlamaCpp, tuning);
        assert!(
            (gib(&terms) - 30.8).abs() < 0.5,
            "{terms:#?} {}",
            gib(&terms)
        );
    }
}
