//! A change of the backend that a command has asked for: begun by a wish, ended by what the supervisor tells.
//!
//! Runs in the keeper's task. The command has asked the user already.

use super::Keeper;
use crate::control::ChangeEnd;
use crate::gateway::residency::{Event, Kind};
use crate::gateway::supervisor::Supervisor;

impl Keeper {
    pub(super) async fn ordered(&mut self, wanted: Option<Kind>) {
        self.unloaded = None;
        self.gave_up = wanted.is_none();
        self.agreed = true;
        self.trouble = None;
        self.change(wanted.map_or(Event::Stop, Event::Use)).await;
        self.agreed = false;
        // One that died while it started is tried again: the end is told then.
        if !self.is_on_its_way() {
            self.order_ended();
        }
    }

    /// Tells the end of the change that is under way, if one is.
    pub(super) fn order_ended(&mut self) {
        let trouble = self.trouble.take();
        let serving = self.serving().map(|kind| kind.name().to_owned());
        let timings = self.supervisor.as_ref().map(Supervisor::timings);
        let timings = timings.unwrap_or_default();
        let ms = |time: std::time::Duration| time.as_secs_f64() * 1_000.0;
        let mut health = self.handle.health();
        let Some(change) = health
            .change
            .as_mut()
            .filter(|change| change.ended.is_none())
        else {
            return;
        };
        change.ended = Some(ChangeEnd {
            serving,
            trouble,
            unload_ms: ms(timings.unload),
            load_ms: ms(timings.load),
            warm_ms: ms(timings.warm),
            total_ms: ms(timings.total),
            overhead_ms: ms(timings.overhead()),
        });
    }
}
