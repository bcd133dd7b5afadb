//! `hark bench`: measurements that anybody can repeat, one file each.
//!
//! Each prints a table for people, or with `--json` one document that begins with the machine and the version. Works
//! without the daemon. What is measured is said in each file; the machine's other work is not held back, so a figure is
//! of this machine at this hour.

pub mod asr;
pub mod gateway;
pub mod listen;
pub mod recordings;
pub mod turn;
pub mod wake;
pub mod words;

use std::io::Write as _;

use serde::Serialize;

use super::Setting;

/// Arguments of `hark bench`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  hark bench asr starter.en my-recordings/")]
pub struct BenchArgs {
    #[command(subcommand)]
    what: Bench,
}

#[derive(Debug, clap::Subcommand)]
enum Bench {
    /// Word error rate and time of a speech model on recordings with texts
    Asr(asr::AsrArgs),
    /// Latency that the gateway adds, and its memory over many requests
    Gateway(gateway::GatewayBenchArgs),
    /// Misses and false accepts of a wake model at every threshold
    Wake(wake::WakeArgs),
    /// Processor time of listening: in silence, with talk nearby, for questions
    Listen(listen::ListenArgs),
    /// Turns cut off, delay of their ends, and voice-to-voice time
    Turn(turn::TurnArgs),
}

/// Runs the measurement that was asked for.
///
/// # Errors
/// See the measurement.
pub fn run(args: &BenchArgs, setting: &Setting) -> anyhow::Result<()> {
    match &args.what {
        Bench::Asr(args) => asr::run(args, setting),
        Bench::Gateway(args) => gateway::run(args),
        Bench::Wake(args) => wake::run(args, setting),
        Bench::Listen(args) => listen::run(args, setting),
        Bench::Turn(args) => turn::run(args, setting),
    }
}

/// The machine that measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// Operating system.
    pub system: &'static str,
    /// Architecture of the binary.
    pub architecture: &'static str,
    /// Name of the processor, where the system tells.
    pub processor: Option<String>,
    /// Cores that this process may use.
    pub cores: usize,
    /// Memory, where the system tells.
    pub memory_bytes: Option<u64>,
}

impl Machine {
    /// This machine.
    #[must_use]
    pub fn here() -> Self {
        Self {
            system: crate::platform::system_name(),
            architecture: std::env::consts::ARCH,
            processor: crate::platform::processor_name(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: crate::platform::total_memory_bytes(),
        }
    }
}

/// What `--json` prints: which measurement, where, by what, and what it found.
#[derive(Debug, Serialize)]
pub struct Document<'a, T> {
    /// The measurement's name.
    pub bench: &'static str,
    /// Version of Hark.
    pub version: &'static str,
    /// Whether this is an optimised build; figures of others say little about time.
    pub release_build: bool,
    /// Where it ran.
    pub machine: Machine,
    /// The findings.
    #[serde(flatten)]
    pub found: &'a T,
}

/// Prints `found` as one JSON document or, with `table`, for people.
///
/// # Errors
/// Standard output is closed.
pub fn print<T: Serialize>(
    bench: &'static str,
    json: bool,
    found: &T,
    table: impl FnOnce(&T) -> String,
) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    if json {
        let document = Document {
            bench,
            version: env!("CARGO_PKG_VERSION"),
            release_build: !cfg!(debug_assertions),
            machine: Machine::here(),
            found,
        };
        serde_json::to_writer_pretty(&mut out, &document)?;
        return Ok(writeln!(out)?);
    }
    out.write_all(table(found).as_bytes())?;
    if cfg!(debug_assertions) {
        eprintln!("this is a build without optimisation: times are longer than those of a release");
    }
    Ok(())
}
