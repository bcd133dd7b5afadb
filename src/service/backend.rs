//! The model servers: the flags and the environment that keep one model resident, bounded and closed to others, and the
//! servers as jobs of the service manager.
//!
//! Core. The reasons stand beside each flag; they were observed on Ollama 0.32 and mlx_lm 0.31. The daemon's own children
//! ([`crate::gateway::servers`]) are started with the same.

use std::path::PathBuf;
use std::time::Duration;

use super::{Job, JobName};
use crate::memory::server::{Engine, Tuning};

/// What a server needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The program, absolute.
    pub program: PathBuf,
    /// Address to listen on; loopback, or the door is open to the network.
    pub host: String,
    /// Port.
    pub port: u16,
    /// The user's home: the servers keep their models below it.
    pub home: PathBuf,
    /// Where what it prints goes.
    pub stderr: PathBuf,
    /// `PATH` for it and its children.
    pub path: String,
}

impl Server {
    fn job(self, name: JobName, arguments: Vec<String>, own: &[(&str, String)]) -> Job {
        let mut environment = vec![
            ("HOME".to_owned(), self.home.to_string_lossy().into_owned()),
            ("PATH".to_owned(), self.path),
            ("LANG".to_owned(), "en_US.UTF-8".to_owned()),
        ];
        environment.extend(
            own.iter()
                .map(|(key, value)| ((*key).to_owned(), value.clone())),
        );
        Job {
            name,
            program: self.program,
            arguments,
            environment,
            directory: self.home,
            stderr: self.stderr,
            // An unload of tens of gigabytes has been seen to take half a minute.
            exit: Duration::from_secs(60),
        }
    }
}

/// The environment of `ollama serve` at `address`: one model, one request at a time, a context of `context` tokens.
#[must_use]
pub fn ollama_environment(address: String, context: u64) -> Vec<(&'static str, String)> {
    let tuning = Tuning::full(Engine::LlamaCpp, context);
    vec![
        ("OLLAMA_HOST", address),
        // Two models side by side are what Hark exists to prevent.
        ("OLLAMA_MAX_LOADED_MODELS", "1".to_owned()),
        // The memory of the context is multiplied by it.
        ("OLLAMA_NUM_PARALLEL", "1".to_owned()),
        ("OLLAMA_MAX_QUEUE", "8".to_owned()),
        ("OLLAMA_KEEP_ALIVE", "-1".to_owned()),
        ("OLLAMA_CONTEXT_LENGTH", context.to_string()),
        ("OLLAMA_NO_CLOUD", "1".to_owned()),
        // Its child keeps 8 GiB of old prompts and 200 MB of checkpoints a message without these two.
        (
            "LLAMA_ARG_CACHE_RAM",
            (tuning.prompt_cache_bytes >> 20).to_string(),
        ),
        ("LLAMA_ARG_CTX_CHECKPOINTS", tuning.kept.to_string()),
    ]
}

/// The arguments of `mlx_lm.server` with `model`: one request at a time, and a prompt cache that has an end.
#[must_use]
pub fn mlx_arguments(model: &str, host: &str, port: u16, context: u64) -> Vec<String> {
    let tuning = Tuning::full(Engine::Mlx, context);
    let (port, step) = (port.to_string(), tuning.step.to_string());
    let (kept, bytes) = (
        tuning.kept.to_string(),
        tuning.prompt_cache_bytes.to_string(),
    );
    let flags = [
        ("--model", model),
        ("--host", host),
        ("--port", &port),
        // By default any web page may ask it.
        ("--allowed-origins", "http://127.0.0.1"),
        // Requests side by side have brought down the whole machine (mlx#3186).
        ("--decode-concurrency", "1"),
        ("--prompt-concurrency", "1"),
        ("--prefill-step-size", &step),
        // Without a bound the cache grows until the machine swaps.
        ("--prompt-cache-size", &kept),
        ("--prompt-cache-bytes", &bytes),
        ("--max-tokens", "1024"),
        ("--log-level", "INFO"),
        // A voice cannot wait for thoughts.
        ("--chat-template-args", r#"{"enable_thinking":false}"#),
    ];
    flags
        .iter()
        .flat_map(|(flag, value)| [(*flag).to_owned(), (*value).to_owned()])
        .collect()
}

/// `ollama serve` as a job, with a context of `num_ctx` tokens.
#[must_use]
pub fn ollama(server: Server, num_ctx: u32) -> Job {
    let address = format!("{}:{}", server.host, server.port);
    let environment = ollama_environment(address, u64::from(num_ctx));
    server.job(JobName::Ollama, vec!["serve".to_owned()], &environment)
}

/// `mlx_lm.server` as a job, with `model` and caches that fit beside `num_ctx` tokens.
#[must_use]
pub fn mlx(server: Server, model: &str, num_ctx: u32) -> Job {
    let arguments = mlx_arguments(model, &server.host, server.port, u64::from(num_ctx));
    server.job(
        JobName::Mlx,
        arguments,
        &[
            // A mistyped name must not start a download of tens of gigabytes.
            ("HF_HUB_OFFLINE", "1".to_owned()),
            ("TRANSFORMERS_OFFLINE", "1".to_owned()),
            ("PYTHONUNBUFFERED", "1".to_owned()),
        ],
    )
}
