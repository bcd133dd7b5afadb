//! Takes over settings that have changed while the daemon runs.

use super::{Conductor, News};
use crate::daemon::reload::Fresh;
use crate::dialogue::Event;
use crate::speak::thread::SpeakCommand;

impl Conductor {
    /// Everything here is ready to be used; nothing waits.
    pub(super) fn take_over(&mut self, fresh: Fresh) {
        let config = &fresh.config;
        self.dialogue.follow_ups(config.turn.follow_up);
        self.desk.take_over(config);
        // A reply that was begun before could use a tool that is no longer allowed.
        self.dispatch(Event::Outdated);
        self.effectors.set_earcons(config.sounds.earcons);
        self.keep_sounds = self.keeps_records && config.transcripts.keep_audio;
        if let Some(voice) = fresh.voice
            && !self.effectors.speak(SpeakCommand::Voice(voice))
        {
            tracing::warn!("the speaking thread did not take the new voice");
        }
        if let Some(hotkey) = fresh.hotkey {
            self.remote.hotkey = hotkey;
        }
        tracing::info!(applied = ?fresh.applied, restart = ?fresh.restart, "settings");
        if let Some(trouble) = fresh.trouble {
            self.settings_wrong(trouble);
        }
        self.emit(
            None,
            News::Config {
                applied: fresh.applied,
                restart: fresh.restart,
            },
        );
    }

    /// The settings cannot be used; the old ones stay.
    pub(super) fn settings_wrong(&mut self, message: String) {
        tracing::warn!(message, "settings");
        self.emit(
            None,
            News::Error {
                kind: "configuration".to_owned(),
                message,
            },
        );
    }
}
