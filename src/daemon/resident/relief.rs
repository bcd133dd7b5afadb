//! What is given up when memory is short, and taken back: the hands of [`crate::memory::pressure`].
//!
//! Runs in the keeper's task. The ear is never given up: a smaller speech model is loaded before the larger one goes.

use std::time::Duration;

use tokio::sync::oneshot;

use super::Keeper;
use crate::daemon::conductor::Report;
use crate::daemon::parts;
use crate::gateway::residency::{Event, Kind, Owner, Phase};
use crate::gateway::supervisor::Supervisor;
use crate::memory::Pressure;
use crate::memory::pressure::{Reaction, Step};
use crate::platform::memory::available_bytes;

impl Keeper {
    pub(super) async fn relieve(&mut self, level: Pressure) {
        self.handle.health().pressure = Some(level);
        let Some(reaction) = self.relief.observe(self.clock.now(), level) else {
            return;
        };
        let words = match reaction {
            Reaction::Do(step) => format!(
                "memory is short ({}): {}",
                level.as_str(),
                self.give_up(step).await
            ),
            Reaction::Undo(step) => {
                format!("memory is enough again: {}", self.take_back(step).await)
            }
        };
        self.handle.health().given_up = self.relief.done().to_vec();
        tracing::warn!(level = level.as_str(), ?reaction, "memory");
        self.report(Report::Memory(words)).await;
    }

    /// Carries out a step, and says what was done: what cannot be done here is said too.
    async fn give_up(&mut self, step: Step) -> String {
        match (step, self.ours()) {
            (Step::DropPromptCaches, Some(kind)) => {
                // Neither server has another way; a restart costs the load from the disk's cache and keeps the voice.
                self.change(Event::Stop).await;
                self.change(Event::Use(kind)).await;
                "prompt caches are dropped".to_owned()
            }
            (Step::DropPromptCaches, None) => {
                "prompt caches stay: Hark did not start the backend".to_owned()
            }
            (Step::RefuseBackground, _) => {
                self.refuse_others();
                "other programs' requests are refused".to_owned()
            }
            (Step::SmallerWhisper, _) => self.smaller_whisper().await,
            (Step::UnloadLlm, Some(kind)) => {
                self.unloaded = Some(kind);
                self.change(Event::Stop).await;
                self.refuse_others();
                "the language model is unloaded; local answers go on".to_owned()
            }
            (Step::UnloadLlm, None) => "the language model stays: Hark did not start it".to_owned(),
        }
    }

    async fn take_back(&mut self, step: Step) -> String {
        match step {
            Step::DropPromptCaches => "prompt caches may grow".to_owned(),
            Step::RefuseBackground => {
                self.serve_others();
                "other programs are served".to_owned()
            }
            Step::SmallerWhisper => self.larger_whisper().await,
            Step::UnloadLlm => {
                let Some(kind) = self.unloaded.take() else {
                    return "the language model was not unloaded".to_owned();
                };
                self.change(Event::Use(kind)).await;
                "the language model is loaded".to_owned()
            }
        }
    }

    /// What other programs are told: what a machine needs to be at ease again, a thirty-second of it, and what is free.
    pub(super) fn refuse_others(&self) {
        let Some(seats) = &self.seats else { return };
        let total = crate::platform::total_memory_bytes().unwrap_or(0);
        seats.refuse_for_memory(Some((total / 32, available_bytes().unwrap_or(0))));
    }

    pub(super) fn serve_others(&self) {
        if let Some(seats) = &self.seats {
            seats.refuse_for_memory(None);
        }
    }

    async fn smaller_whisper(&mut self) -> String {
        let Some((name, path)) = parts::lighter_speech_model(&self.config, &self.places) else {
            return "the speech model stays: there is no smaller one on this machine".to_owned();
        };
        match self.load_speech(Some((name.clone(), path))).await {
            Ok(()) => {
                self.handle.health().speech = Some(name.clone());
                format!("speech is understood by {name} for now")
            }
            Err(why) => format!("the speech model stays: {why}"),
        }
    }

    async fn larger_whisper(&mut self) -> String {
        if self.handle.health().speech.is_none() {
            return "the speech model was not changed".to_owned();
        }
        match self.load_speech(None).await {
            Ok(()) => {
                self.handle.health().speech = None;
                "the speech model is as it was".to_owned()
            }
            Err(why) => format!("the smaller speech model stays: {why}"),
        }
    }

    /// Lets the whisper thread load a model; the one before hears until it is there.
    async fn load_speech(&self, model: Option<(String, std::path::PathBuf)>) -> Result<(), String> {
        let Some(exchange) = &self.speech else {
            return Err("nobody listens here".to_owned());
        };
        let loader = parts::speech_loader(&self.config, &self.places, model);
        let (told, loaded) = oneshot::channel();
        exchange.load(loader, move |loaded| {
            // Who gave up waiting is told by the status.
            told.send(loaded.map_err(|error| error.to_string())).ok();
        });
        match tokio::time::timeout(SPEECH_LOADS, loaded).await {
            Ok(Ok(loaded)) => loaded,
            Ok(Err(_)) => Err("nobody listens any more".to_owned()),
            Err(_) => Err("it takes too long to load".to_owned()),
        }
    }

    /// The resident backend, where it is ours to stop.
    fn ours(&self) -> Option<Kind> {
        match self.supervisor.as_ref().map(Supervisor::phase)? {
            Phase::Serving {
                kind,
                owner: Owner::Ours,
            } => Some(kind),
            _ => None,
        }
    }
}

/// 1.5 GB from a disk that is busy swapping.
const SPEECH_LOADS: Duration = Duration::from_secs(60);
