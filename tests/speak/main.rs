//! Speaking: the contract of every synthesizer, and the speaking thread against a loudspeaker made of memory.

#![allow(clippy::unwrap_used)]

mod contract;
mod scripted;
mod thread;
mod virtual_speaker;

use std::path::Path;

use hark::speak::VoiceSettings;
use hark::speak::espeak::Espeak;

/// The real engine, or `None` with a line that says why a test was skipped.
fn espeak() -> Option<Espeak> {
    match Espeak::open(&VoiceSettings::default()) {
        Ok(engine) => Some(engine),
        Err(error) => {
            eprintln!("skipped: {error}");
            None
        }
    }
}

/// Children of this process that are still there and run `program`.
fn children(program: &str) -> usize {
    let own = std::process::id().to_string();
    let Ok(processes) = Path::new("/proc").read_dir() else {
        return 0;
    };
    processes
        .filter_map(Result::ok)
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok())
        .filter(|stat| {
            let Some((name, rest)) = stat.split_once('(').and_then(|(_, s)| s.rsplit_once(") "))
            else {
                return false;
            };
            name == program && rest.split(' ').nth(1) == Some(&own)
        })
        .count()
}
