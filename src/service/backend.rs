//! The model servers as jobs: the flags and the environment that keep one model resident and closed to others.
//!
//! Core. The reasons stand beside each flag; they were observed on Ollama 0.32 and mlx_lm 0.31.

use std::path::PathBuf;
use std::time::Duration;

use super::{Job, JobName};

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

/// `ollama serve` with one model, one request at a time, and a context of `num_ctx` tokens.
#[must_use]
pub fn ollama(server: Server, num_ctx: u32) -> Job {
    let host = format!("{}:{}", server.host, server.port);
    server.job(
        JobName::Ollama,
        vec!["serve".to_owned()],
        &[
            ("OLLAMA_HOST", host),
            // Two models side by side are what Hark exists to prevent.
            ("OLLAMA_MAX_LOADED_MODELS", "1".to_owned()),
            // The memory of the context is multiplied by it.
            ("OLLAMA_NUM_PARALLEL", "1".to_owned()),
            ("OLLAMA_MAX_QUEUE", "8".to_owned()),
            ("OLLAMA_KEEP_ALIVE", "-1".to_owned()),
            ("OLLAMA_CONTEXT_LENGTH", num_ctx.to_string()),
            ("OLLAMA_FLASH_ATTENTION", "1".to_owned()),
            ("OLLAMA_NO_CLOUD", "1".to_owned()),
        ],
    )
}

/// `mlx_lm.server` with `model`, one request at a time, and a prompt cache that has an end.
#[must_use]
pub fn mlx(server: Server, model: &str) -> Job {
    let mut arguments: Vec<String> = ["--model", model, "--host", &server.host, "--port"]
        .map(str::to_owned)
        .to_vec();
    arguments.push(server.port.to_string());
    arguments.extend(
        [
            // Requests side by side have brought down the whole machine (mlx#3186).
            ("--decode-concurrency", "1"),
            ("--prompt-concurrency", "1"),
            ("--prefill-step-size", "512"),
            // Without a bound the cache grows until the machine swaps.
            ("--prompt-cache-size", "4"),
            ("--prompt-cache-bytes", "2GB"),
            // By default any web page may ask it.
            ("--allowed-origins", "http://127.0.0.1"),
            ("--log-level", "INFO"),
            // A voice cannot wait for thoughts.
            ("--chat-template-args", r#"{"enable_thinking":false}"#),
        ]
        .iter()
        .flat_map(|(flag, value)| [(*flag).to_owned(), (*value).to_owned()]),
    );
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
