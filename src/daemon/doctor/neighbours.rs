//! Programs beside ours that hold a language model: two that are resident halve each other's speed.

use std::time::Duration;

use super::Check;
use super::bounded::within;
use crate::config::Config;
use crate::memory::human;
use crate::platform::process::{self, Process};
use crate::platform::{memory, process as system};

/// A program that holds a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its name.
    pub name: &'static str,
    /// Its process.
    pub pid: u32,
    /// What it holds.
    pub bytes: u64,
}

/// Everybody who holds a model and is no server of the settings.
#[must_use]
pub fn check(config: &Config) -> Check {
    let ports = ports(config);
    let found = within(LOOKING, move || holders(&ports));
    match found {
        Ok(found) => other_models(&found),
        Err(stuck) => Check::skip(NAME, format!("the processes cannot be listed: {stuck}")),
    }
}

fn ports(config: &Config) -> Vec<u16> {
    let openai = config.llm.openai.as_ref().map(|remote| remote.url.as_str());
    [config.llm.mlx.url.as_str(), config.llm.ollama.url.as_str()]
        .into_iter()
        .chain(openai)
        .filter_map(|url| reqwest::Url::parse(url).ok()?.port_or_known_default())
        .collect()
}

fn holders(ports: &[u16]) -> Vec<Holder> {
    let all = process::all();
    let ours: Vec<u32> = ports
        .iter()
        .filter_map(|port| system::listener(*port))
        .collect();
    candidates(&all, &ours)
        .into_iter()
        .filter_map(|(name, pid)| {
            let bytes = memory::footprint_bytes(pid)?;
            (bytes >= LEAST).then_some(Holder { name, pid, bytes })
        })
        .collect()
}

/// Processes by the name of a program that holds models, without `ours` and what those have started.
#[must_use]
pub fn candidates(all: &[Process], ours: &[u32]) -> Vec<(&'static str, u32)> {
    let is_ours = |process: &Process| {
        let mut at = Some(process);
        // A chain of parents is short; a loop in a list that changes while it is read must not hang.
        for _ in 0..16 {
            let Some(process) = at else { return false };
            if ours.contains(&process.pid) {
                return true;
            }
            at = all
                .iter()
                .find(|other| other.pid == process.parent && other.pid != process.pid);
        }
        false
    };
    all.iter()
        .filter_map(|process| {
            let name = KNOWN
                .iter()
                .find(|(word, _)| runs(&process.command, word))
                .map(|(_, name)| *name)?;
            (!is_ours(process)).then_some((name, process.pid))
        })
        .collect()
}

/// Whether a command line runs this program: itself, or by its interpreter; an editor with such a file open does not.
fn runs(command: &str, word: &str) -> bool {
    let mut words = command.split_whitespace();
    let base = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let program = base(words.next().unwrap_or_default());
    if program.eq_ignore_ascii_case(word) {
        return true;
    }
    let interpreted =
        program.starts_with("python") && words.take(3).any(|argument| base(argument) == word);
    // Names with blanks are whole paths of apps.
    interpreted || (word.contains(' ') && command.contains(word))
}

/// What is said of them.
#[must_use]
pub fn other_models(found: &[Holder]) -> Check {
    if found.is_empty() {
        return Check::ok(NAME, "no other program holds a language model");
    }
    let told: Vec<String> = found
        .iter()
        .map(|one| {
            format!(
                "{} (process {}) holds {}",
                one.name,
                one.pid,
                human(one.bytes)
            )
        })
        .collect();
    let end: Vec<String> = found
        .iter()
        .map(|one| format!("`kill {}`", one.pid))
        .collect();
    Check::warn(
        NAME,
        format!(
            "beside the servers of the settings {}: what two hold they take from each other, and both become slow",
            told.join(", ")
        ),
        format!(
            "quit it, or {}; or let it use Hark's model: `hark gateway config env`",
            end.join(", ")
        ),
    )
}

const NAME: &str = "other_models";

/// Programs that hold models, by the word in their command line.
const KNOWN: [(&str, &str); 9] = [
    ("mlx_lm.server", "mlx_lm.server"),
    ("mlx_lm", "mlx_lm"),
    ("llama-server", "llama-server"),
    ("ollama", "Ollama"),
    ("LM Studio", "LM Studio"),
    ("vllm", "vLLM"),
    ("koboldcpp", "KoboldCpp"),
    ("llamafile", "llamafile"),
    ("jan", "Jan"),
];

/// Less than the smallest language model of use: a server that holds none.
const LEAST: u64 = 1 << 30;

/// `ps` on a busy machine.
const LOOKING: Duration = Duration::from_secs(5);
