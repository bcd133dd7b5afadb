//! Where logs go: standard error, filtered by settings and `-v`. What was said never gets there: it is `Private`.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::Config;

/// Who reads the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// Whoever typed the command: warnings only, unless they ask for more.
    Person,
    /// The service manager's log file: as configured.
    Service,
}

/// Starts logging.
pub fn start(verbose: u8, reader: Reader, config: &Config) {
    let own = match verbose {
        0 if reader == Reader::Person => "warn",
        0 => config.log_level.as_str(),
        1 => "info",
        _ => "debug",
    };
    // whisper.cpp tells a page of details per load, the PulseAudio client reports every normal end as an error, and cpal
    // logs what it also returns.
    let filter = EnvFilter::new(format!(
        "warn,hark={own},whisper_rs=error,pulseaudio=off,cpal=error,symphonia=off,symphonia_core=off"
    ));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .with_target(false)
        .try_init();
    if logs.is_err() {
        tracing::debug!("logging had been started already");
    }
}
