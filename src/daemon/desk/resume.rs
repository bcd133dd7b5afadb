//! Going on with a conversation after a restart: what was heard of it, from the transcript log.

use std::time::Duration;

use super::Desk;
use crate::agent::prompt;
use crate::flow::Outcome;
use crate::transcripts::StoredTurn;

impl Desk {
    /// Takes `turns` (newest first) into the history, as far as they belong to one conversation that is not over yet:
    /// between any two of them, and from the last one until `now_ms` (milliseconds since 1970), not more than
    /// [`crate::config::resolved::Persona::resume`] passed. Only what was heard of an answer was said. Returns how many.
    pub fn resume(&mut self, turns: &[StoredTurn], now_ms: i64) -> usize {
        let conversation = conversation(turns, now_ms, super::lock(&self.persona).resume);
        for stored in conversation.iter().rev() {
            let turn = &stored.turn;
            let moment = prompt::moment(&stored.began.zoned());
            let message = prompt::question(turn.asked.as_str(), Some(&moment));
            self.history.push(message, turn.heard.as_str());
        }
        self.note_history();
        if let Some(newest) = conversation.first() {
            self.last_reply = Some(newest.turn.replied.as_str().to_owned());
        }
        conversation.len()
    }
}

/// The turns of the conversation that goes on, newest first, without those that the model never knew of.
fn conversation(turns: &[StoredTurn], now_ms: i64, gap: Duration) -> Vec<&StoredTurn> {
    let gap = i64::try_from(gap.as_millis()).unwrap_or(i64::MAX);
    let mut after = now_ms;
    turns
        .iter()
        .take_while(|stored| {
            let near = after.saturating_sub(stored.began.ms) <= gap && gap > 0;
            after = stored.began.ms;
            near
        })
        .filter(|stored| {
            let turn = &stored.turn;
            matches!(turn.outcome, Outcome::Completed | Outcome::Interrupted)
                && !turn.heard.as_str().is_empty()
        })
        .collect()
}
