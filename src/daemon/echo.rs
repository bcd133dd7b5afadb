//! What follows from how echo cancellation fares: who may interrupt, and what is told and kept of it.
//!
//! Owned by the conductor's effectors. The last verdict is kept in a small file of the state folder, so that `hark doctor`,
//! which runs beside the daemon and plays nothing, can say how it fared with these devices.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::audio::echo::meter::{EchoReport, EchoState};
use crate::config::Places;
use crate::config::resolved::EchoCancellation;
use crate::dialogue::BargeIn;

/// See the module.
#[derive(Debug)]
pub struct EchoCare {
    setting: EchoCancellation,
    file: Option<PathBuf>,
    last: EchoReport,
}

/// What the file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EchoRecord {
    /// The microphone.
    pub input: String,
    /// The loudspeaker.
    pub output: String,
    /// How cancellation fared.
    pub state: EchoState,
    /// Decibels that were removed.
    pub removed_db: i32,
    /// Delay of the echo.
    pub delay_ms: u32,
}

impl EchoCare {
    /// For one run. `devices`: both sides are devices, so that one may hear the other.
    #[must_use]
    pub fn new(setting: EchoCancellation, devices: bool, places: &Places) -> Self {
        let works = devices && setting != EchoCancellation::Off;
        Self {
            setting,
            file: works.then(|| record_file(places)),
            last: EchoReport::default(),
        }
    }

    /// Who may interrupt when nothing is known yet.
    #[must_use]
    pub fn at_start(setting: EchoCancellation, devices: bool) -> BargeIn {
        match setting {
            // The microphone hears the loudspeaker; a file does not, and nothing hears a file.
            _ if !devices => BargeIn::On,
            EchoCancellation::Off => BargeIn::Off,
            EchoCancellation::On => BargeIn::On,
            EchoCancellation::Auto => BargeIn::Wake,
        }
    }

    /// Takes a new verdict; who may interrupt from now on, where that follows from it.
    pub fn take(&mut self, report: EchoReport, input: &str, output: &str) -> Option<BargeIn> {
        self.last = report;
        if let (Some(file), EchoState::Converged | EchoState::Inaudible | EchoState::NotConverged) =
            (&self.file, report.state)
        {
            let record = EchoRecord {
                input: input.to_owned(),
                output: output.to_owned(),
                state: report.state,
                removed_db: report.removed_db as i32,
                delay_ms: report.delay_ms,
            };
            let text = serde_json::to_string(&record).unwrap_or_default();
            if let Err(error) = std::fs::write(file, text) {
                tracing::warn!(%error, "how echo cancellation fares cannot be kept");
            }
        }
        (self.setting == EchoCancellation::Auto).then(|| {
            if report.state.trusts_speech() {
                BargeIn::On
            } else {
                BargeIn::Wake
            }
        })
    }

    /// The last verdict, for `status`.
    #[must_use]
    pub const fn last(&self) -> EchoReport {
        self.last
    }
}

/// A verdict in words, with what it means for the user; `None` while there is none.
#[must_use]
pub fn words(state: EchoState, removed_db: i32, delay_ms: u32) -> Option<String> {
    match state {
        EchoState::Converged => Some(format!(
            "echo cancellation works ({removed_db} dB removed, {delay_ms} ms of delay): speak into an answer to interrupt it"
        )),
        EchoState::Inaudible => Some(
            "the microphone does not hear the loudspeaker: speak into an answer to interrupt it".to_owned(),
        ),
        EchoState::NotConverged => Some(
            "echo cancellation does not work in this room: only the wake phrase or \"stop\" interrupts an answer; a \
             headset, or less volume, helps"
                .to_owned(),
        ),
        EchoState::Off | EchoState::Learning => None,
    }
}

/// What the last run has kept, where there was one.
#[must_use]
pub fn kept(places: &Places) -> Option<EchoRecord> {
    let text = std::fs::read_to_string(record_file(places)).ok()?;
    serde_json::from_str(&text).ok()
}

fn record_file(places: &Places) -> PathBuf {
    places.state.join("echo.json")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn who_may_interrupt_follows_the_setting_and_the_verdict() {
        use EchoCancellation::{Auto, Off, On};
        assert_eq!(EchoCare::at_start(Auto, false), BargeIn::On);
        assert_eq!(EchoCare::at_start(Auto, true), BargeIn::Wake);
        assert_eq!(EchoCare::at_start(On, true), BargeIn::On);
        assert_eq!(EchoCare::at_start(Off, true), BargeIn::Off);
        let home = tempfile::tempdir().unwrap();
        let places = Places {
            config_file: home.path().join("config.toml"),
            state: home.path().to_owned(),
            home: home.path().to_owned(),
        };
        let report = |state| EchoReport {
            state,
            removed_db: 31.4,
            delay_ms: 120,
            ..EchoReport::default()
        };
        let mut care = EchoCare::new(Auto, true, &places);
        assert_eq!(
            care.take(report(EchoState::Learning), "mic", "box"),
            Some(BargeIn::Wake)
        );
        assert_eq!(kept(&places), None);
        assert_eq!(
            care.take(report(EchoState::Converged), "mic", "box"),
            Some(BargeIn::On)
        );
        let record = kept(&places).unwrap();
        assert_eq!(
            (record.input.as_str(), record.state, record.removed_db),
            ("mic", EchoState::Converged, 31)
        );
        assert_eq!(
            care.take(report(EchoState::NotConverged), "mic", "box"),
            Some(BargeIn::Wake)
        );
        let mut trusting = EchoCare::new(On, true, &places);
        assert_eq!(
            trusting.take(report(EchoState::NotConverged), "mic", "box"),
            None
        );
    }
}
