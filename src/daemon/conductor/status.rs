//! What `hark status` tells: where the conversation stands, and how its parts fare.

use super::Conductor;
use crate::control::{BackendStatus, EchoStatus, MemoryStatus, PrefixStatus, Status, WakeStatus};
use crate::daemon::resident;
use crate::platform;
use crate::platform::memory::available_bytes;

impl Conductor {
    pub(super) fn status(&self) -> Status {
        let names = self.effectors.names();
        let keeper = self.desk.keeper();
        let backend = self.desk.backend_info().map(|info| BackendStatus {
            name: info.name.to_owned(),
            model: info.model,
            resident_bytes: keeper.and_then(|keeper| keeper.health().resident_bytes),
        });
        let smaller = keeper.and_then(|keeper| keeper.health().speech.clone());
        Status {
            state: self.remote.state().to_owned(),
            since: self.remote.since(),
            input: names.input.clone(),
            output: names.output.clone(),
            stt_model: smaller.unwrap_or_else(|| names.model.clone()),
            backend,
            memory: memory(keeper),
            prefix: keeper.map(prefix),
            echo: self.echo_status(),
            change: keeper.and_then(|keeper| keeper.health().change.clone()),
            muted: self.remote.switches.muted(),
            off_record: self.remote.switches.off_record(),
            uptime_s: self.clock.now().since(self.remote.started).as_secs(),
            turns: self.remote.turns(),
            wake: WakeStatus {
                phrase: self.remote.phrase.clone(),
                hotkey: self.remote.hotkey.clone(),
            },
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
        }
    }

    fn echo_status(&self) -> EchoStatus {
        let report = self.effectors.last_echo();
        EchoStatus {
            state: report.state.as_str().to_owned(),
            removed_db: report.removed_db,
            delay_ms: report.delay_ms,
        }
    }
}

fn memory(keeper: Option<&resident::Handle>) -> MemoryStatus {
    let health = keeper.map(|keeper| keeper.health().clone());
    let health = health.unwrap_or_default();
    let plan = health.plan.as_ref();
    MemoryStatus {
        total_bytes: platform::total_memory_bytes(),
        daemon_bytes: platform::own_memory_bytes(),
        available_bytes: available_bytes(),
        pressure: health.pressure.map(|level| level.as_str().to_owned()),
        given_up: health
            .given_up
            .iter()
            .map(|step| step.as_str().to_owned())
            .collect(),
        planned_bytes: plan.map(|plan| plan.parts.iter().map(|part| part.bytes).sum()),
        fits: plan.map(|plan| plan.fits),
        short_of_bytes: health.shortage.map(|(need, _)| need),
    }
}

fn prefix(keeper: &resident::Handle) -> PrefixStatus {
    let watch = keeper.prefix();
    let (reused, misses) = watch.counts();
    PrefixStatus {
        reused,
        missed: misses.values().sum(),
        misses: misses
            .iter()
            .map(|(miss, count)| (miss.as_str().to_owned(), *count))
            .collect(),
        last_miss: watch.last_miss().map(|miss| miss.as_str().to_owned()),
    }
}
