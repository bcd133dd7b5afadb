//! What every request to the model begins with: the static prompt, the tools on offer, and the history so far.
//!
//! A backend starts a turn at once only where its cache holds exactly these bytes, so a warm-up sends them as a turn would:
//! with the persona, what the user asked to be remembered, and the tools. Whoever warms asks [`Desk::beginning`] each time
//! anew, for all of it can change.

use std::sync::Arc;

use futures_util::FutureExt as _;

use super::equipment::Equipment;
use super::{Desk, lock};
use crate::agent::facts;
use crate::agent::notebook::Notebook;
use crate::agent::prompt::{self, History};
use crate::config::resolved::Persona;
use crate::config::{Config, Places};
use crate::daemon::{parts, tools};
use crate::gateway::supervisor::Prefix;
use crate::llm::ChatRequest;

/// The static prompt: instructions, persona, facts.
pub(super) fn static_prompt(persona: &Persona, notebook: &Notebook) -> String {
    prompt::system(
        &persona.name,
        persona.character.as_deref(),
        &facts::prompt(&notebook.facts()).unwrap_or_default(),
    )
}

impl Desk {
    /// The beginning of the next request, each time that it is called; it waits for servers that bring tools.
    #[must_use]
    pub fn beginning(&self) -> Prefix {
        let (persona, notebook) = (Arc::clone(&self.persona), Arc::clone(&self.notebook));
        let (equipment, past) = (Arc::clone(&self.equipment), Arc::clone(&self.past));
        Arc::new(move || {
            let (persona, notebook) = (Arc::clone(&persona), Arc::clone(&notebook));
            let (equipment, past) = (Arc::clone(&equipment), Arc::clone(&past));
            Box::pin(async move {
                let registry = lock(&equipment).registry();
                if let Some(registry) = registry {
                    registry.settled().await;
                }
                let system = static_prompt(&lock(&persona), &notebook);
                let tools = lock(&equipment).begin(&system);
                let history = lock(&past).clone();
                prompt::warm_up(&system, tools.specs(), &history)
            })
        })
    }

    /// The history has changed.
    pub(super) fn note_history(&self) {
        lock(&self.past).clone_from(&self.history);
    }
}

/// The same for a command that has no desk: the beginning of a new conversation. It is made once, in the background. Must be
/// called on a runtime.
///
/// # Errors
/// The notebook cannot be read.
pub fn of_a_new_conversation(config: &Config, places: &Places) -> anyhow::Result<Prefix> {
    let notebook = Arc::new(parts::notebook(places)?);
    let registry = Arc::new(tools::open(config, places, &notebook));
    let persona = config.persona.clone();
    let made = tokio::spawn(async move {
        registry.settled().await;
        let mut equipment = Equipment::default();
        equipment.connect(Arc::clone(&registry));
        let system = static_prompt(&persona, &notebook);
        let tools = equipment.begin(&system);
        let request = prompt::warm_up(&system, tools.specs(), &History::default());
        registry.close().await;
        request
    });
    let made = made
        .map(|made| made.unwrap_or_else(|_| bare()))
        .boxed()
        .shared();
    Ok(Arc::new(move || Box::pin(made.clone())))
}

/// The instructions alone, for measurements that must not depend on what this machine has.
#[must_use]
pub fn of_instructions() -> Prefix {
    Arc::new(|| Box::pin(async { bare() }))
}

fn bare() -> ChatRequest {
    prompt::warm_up(prompt::SYSTEM, Vec::new(), &History::default())
}
