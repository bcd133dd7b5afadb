//! What comes from outside the conversation: keys, commands of the control socket, and the switches that they set.

use jiff::ZonedDateTime;
use tokio::sync::mpsc::error::TrySendError;

use super::{Conductor, News};
use crate::control::{Answer, Call, Command, HotkeyStatus, Refused, key_name};
use crate::daemon::desk::Wish;
use crate::daemon::reload::{Asker, Handle};
use crate::daemon::switches::Switches;
use crate::dialogue::{Event, Key, WaitReason};
use crate::gateway::residency::Kind;
use crate::platform::clock;
use crate::private::Private;
use crate::time::Mono;

/// What the conductor keeps for whoever asks from outside.
#[derive(Debug)]
pub struct Remote {
    /// Mute and off-record.
    pub switches: Switches,
    /// The wake phrase; `None` where it is switched off.
    pub phrase: Option<String>,
    /// The global key.
    pub hotkey: HotkeyStatus,
    /// Who follows the settings; `None` where nobody does.
    pub reload: Option<Handle>,
    /// When the daemon started.
    pub started: Mono,
    state: &'static str,
    since: ZonedDateTime,
    turns: u64,
    source: SourceState,
}

/// Whether sound comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SourceState {
    Starting,
    Hears,
    Lost,
}

impl Default for Remote {
    /// A run that nobody asks: both switches off.
    fn default() -> Self {
        Self::new(
            Switches::default(),
            None,
            HotkeyStatus::default(),
            Mono::ZERO,
        )
    }
}

impl Remote {
    /// Nothing has been heard yet.
    #[must_use]
    pub fn new(
        switches: Switches,
        phrase: Option<String>,
        hotkey: HotkeyStatus,
        started: Mono,
    ) -> Self {
        Self {
            switches,
            phrase,
            hotkey,
            reload: None,
            started,
            state: "starting",
            since: clock::wall(),
            turns: 0,
            source: SourceState::Starting,
        }
    }

    /// The first samples of a source came.
    pub const fn source_hears(&mut self) {
        self.source = SourceState::Hears;
    }

    /// The source is gone.
    pub const fn source_lost(&mut self) {
        self.source = SourceState::Lost;
    }

    /// A turn was recorded.
    pub const fn count_turn(&mut self) {
        self.turns += 1;
    }

    /// What the daemon is doing, as it was noted last.
    pub(super) const fn state(&self) -> &'static str {
        self.state
    }

    /// Since when, RFC 3339.
    pub(super) fn since(&self) -> String {
        self.since.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string()
    }

    /// Turns that were recorded.
    pub(super) const fn turns(&self) -> u64 {
        self.turns
    }

    /// What the daemon is doing, by what the dialogue waits for.
    fn doing(&self, waiting: WaitReason) -> &'static str {
        match (waiting, self.source) {
            (WaitReason::UserToFinish, _) => "hearing",
            (WaitReason::Transcript, _) => "transcribing",
            (WaitReason::Answer, _) => "answering",
            (WaitReason::Speaker | WaitReason::Doubt | WaitReason::Room, _) => "speaking",
            (_, SourceState::Starting) => "starting",
            (_, SourceState::Lost) => "input_lost",
            (_, SourceState::Hears) if self.switches.muted() => "muted",
            (WaitReason::UserToSpeak, SourceState::Hears) => "listening",
            (WaitReason::Nothing, SourceState::Hears) => "idle",
        }
    }
}

impl Conductor {
    /// Notes since when the daemon does what it does; after every change.
    pub(super) fn note_state(&mut self) {
        let state = self.remote.doing(self.dialogue.waiting_for());
        if state != self.remote.state {
            self.remote.state = state;
            self.remote.since = clock::wall();
        }
    }

    /// Does what a client asked for, and answers.
    pub(super) fn call(&mut self, call: Call) {
        let answer = match call.command {
            Command::Status => Ok(Answer::Status(Box::new(self.status()))),
            Command::Mute(muted) => {
                self.mute(muted);
                Ok(Answer::Muted { muted })
            }
            Command::OffRecord(off_record) => {
                self.set_off_record(off_record);
                Ok(Answer::OffRecord { off_record })
            }
            Command::Key(key) => self.key(key).map(|()| Answer::Key { ptt: key_name(key) }),
            Command::Backend(wanted) => self.change_backend(wanted),
            Command::Stop => {
                self.dispatch(Event::Stop);
                Ok(Answer::Stopped { stopped: true })
            }
            Command::Reload => return self.reload(call.reply),
        };
        // A client that has gone away wants no answer.
        call.reply.send(answer).ok();
    }

    /// Hands the question on to whoever follows the settings, who answers it.
    fn reload(&self, asker: Asker) {
        let handed = match &self.remote.reload {
            Some(handle) => handle.try_send(asker),
            None => Err(TrySendError::Closed(asker)),
        };
        if let Err(TrySendError::Full(asker) | TrySendError::Closed(asker)) = handed {
            let refused = Refused {
                kind: "not_followed".to_owned(),
                message: "this daemon does not read its settings anew".to_owned(),
                next: "restart it: `hark service restart`, or end it and `hark run`".to_owned(),
            };
            asker.send(Err(refused)).ok();
        }
    }

    /// Has the keeper of the model change the backend; how that ends is told by the status.
    fn change_backend(&self, wanted: Option<Kind>) -> Result<Answer, Refused> {
        let change = self.desk.keeper().and_then(|keeper| keeper.change(wanted));
        change
            .map(|change| Answer::Changing { change })
            .ok_or_else(|| Refused {
                kind: "not_managed".to_owned(),
                message: "the daemon keeps no backend, or is busy changing it".to_owned(),
                next: "set llm.manage to \"ask\" or \"yes\" and restart it, or try again"
                    .to_owned(),
            })
    }

    /// The push-to-talk key.
    ///
    /// # Errors
    /// The ear is closed: a key that opened it would make mute a lie.
    pub(super) fn key(&mut self, key: Key) -> Result<(), Refused> {
        if self.remote.switches.muted() && key != Key::Release {
            let refused = Refused {
                kind: "muted".to_owned(),
                message: "the ear is closed: hark is muted".to_owned(),
                next: "open it: `hark unmute`".to_owned(),
            };
            self.emit(
                None,
                News::Error {
                    kind: refused.kind.clone(),
                    message: format!("{}; {}", refused.message, refused.next),
                },
            );
            // Whoever pressed the key looks at no screen.
            if self.dialogue.at_rest() {
                let words = "I am muted. Run hark unmute, and ask again.";
                self.dispatch(Event::Announce(Private::from(words)));
            }
            return Err(refused);
        }
        self.emit(
            None,
            News::Ptt {
                action: key_name(key),
            },
        );
        self.dispatch(Event::Key(key));
        Ok(())
    }

    /// Closes or opens the ear.
    pub(super) fn mute(&mut self, muted: bool) {
        self.remote.switches.mute(muted);
        self.effectors.mute(muted);
        tracing::info!(muted, "the ear");
        self.emit(None, News::Muted { muted });
        self.note_state();
    }

    /// Stops or begins to write down what is said.
    pub(super) fn set_off_record(&mut self, off_record: bool) {
        let under_way: Vec<_> = self
            .dialogue
            .live_turn()
            .into_iter()
            .chain(self.spans.keys().copied())
            .collect();
        let now = self.input_at;
        self.remote
            .switches
            .set_off_record(off_record, now, under_way);
        self.desk.off_record(off_record);
        // A reply that was begun under the other rule could write down what it must not, or leave out what it may.
        self.dispatch(Event::Outdated);
        tracing::info!(off_record, "the record");
        self.emit(None, News::OffRecord { off_record });
    }

    /// Does what was asked for by voice.
    pub(super) fn grant(&mut self, wish: Wish) {
        match wish {
            Wish::OffRecord(off_record) => self.set_off_record(off_record),
            Wish::Mute => self.mute(true),
        }
    }
}
