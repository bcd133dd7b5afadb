//! Where logs go: standard error, filtered by settings and `-v`, and for the daemon a file that rotates by size.
//!
//! What was said never gets there: it is `Private`. The file is JSON Lines, so that `hark service logs` and other programs
//! can read it, and belongs to the user alone (0600).

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use file_rotate::compression::Compression;
use file_rotate::suffix::AppendCount;
use file_rotate::{ContentLimit, FileRotate};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry};

use crate::config::Config;
use crate::config::resolved::LogLevel;

/// Who reads the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// Whoever typed the command: warnings only, unless they ask for more.
    Person,
    /// Whoever started the daemon in a terminal: warnings only on the screen, the file as configured.
    Terminal,
    /// Whoever keeps what a daemon prints: as configured.
    Daemon,
    /// Nobody but the file: the service manager started it, and keeps what is printed without end.
    File,
}

/// Set by the files of `hark service install`.
pub const SERVICE: &str = "HARK_SERVICE";

/// The log file in this folder.
#[must_use]
pub fn file(logs: &Path) -> PathBuf {
    logs.join("hark.log")
}

/// Starts logging; a daemon's log is written into the folder `logs` too.
pub fn start(verbose: u8, reader: Reader, config: &Config, logs: Option<&Path>) {
    let configured = config.log_level.as_str();
    let (screen, kept) = match (verbose, reader) {
        (0, Reader::Person | Reader::Terminal) => ("warn", configured),
        (0, Reader::Daemon | Reader::File) => (configured, configured),
        (1, _) => ("info", "info"),
        _ => ("debug", "debug"),
    };
    // What `-v` asks for on the command line is not the settings' to change.
    let follows = verbose == 0;
    let mut handles = Vec::new();
    let mut layers: Vec<Box<dyn Layer<Registry> + Send + Sync>> = Vec::new();
    let mut trouble = None;
    if let Some(logs) = logs.filter(|_| reader != Reader::Person) {
        match open(logs, config) {
            Ok(file) => {
                let (filter, handle) = reload::Layer::new(filter(kept));
                handles.extend(follows.then_some(handle));
                layers.push(
                    tracing_subscriber::fmt::layer()
                        .json()
                        .flatten_event(true)
                        .with_current_span(false)
                        .with_span_list(false)
                        .with_target(false)
                        .with_writer(Mutex::new(file))
                        .with_filter(filter)
                        .boxed(),
                );
            }
            Err(error) => trouble = Some(error),
        }
    }
    if reader != Reader::File || layers.is_empty() {
        let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let (filter, handle) = reload::Layer::new(filter(screen));
        let configured = matches!(reader, Reader::Daemon | Reader::File);
        handles.extend((follows && configured).then_some(handle));
        layers.push(
            tracing_subscriber::fmt::layer()
                .with_writer(std::io::stderr)
                .with_ansi(colour)
                .with_target(false)
                .with_filter(filter)
                .boxed(),
        );
    }
    let started = tracing_subscriber::registry().with(layers).try_init();
    if started.is_err() || HANDLES.set(handles).is_err() {
        tracing::debug!("logging had been started already");
    }
    if let Some(error) = trouble {
        tracing::warn!(%error, "no log file is written");
    }
}

/// The filters that follow `log.level`.
static HANDLES: OnceLock<Vec<reload::Handle<EnvFilter, Registry>>> = OnceLock::new();

/// Changes how much is logged, where the settings decide that.
pub fn set_level(level: LogLevel) {
    for handle in HANDLES.get().into_iter().flatten() {
        if handle.reload(filter(level.as_str())).is_err() {
            tracing::debug!("this log has ended");
        }
    }
}

/// Our own lines from `level` on, and of others what matters: whisper.cpp tells a page of details per load, the PulseAudio
/// client reports every normal end as an error, and cpal logs what it also returns.
fn filter(level: &str) -> EnvFilter {
    EnvFilter::new(format!(
        "warn,hark={level},whisper_rs=error,pulseaudio=off,rmcp=off,cpal=error,symphonia=off,symphonia_core=off"
    ))
}

/// The file, in a folder of the user's own.
fn open(logs: &Path, config: &Config) -> std::io::Result<FileRotate<AppendCount>> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(logs)?;
    let path = file(logs);
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true).mode(0o600);
    // `FileRotate` keeps an error of its own to itself: so it is tried first.
    options.open(&path)?;
    Ok(FileRotate::new(
        path,
        AppendCount::new(config.log_files.keep as usize),
        ContentLimit::BytesSurpassed(config.log_files.max_bytes as usize),
        Compression::None,
        Some(options),
    ))
}
