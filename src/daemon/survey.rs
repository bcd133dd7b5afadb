//! What a new user has on this machine: model servers, their models and whether those fit, and voices.
//!
//! Blocking, called by `hark config init`; a server that does not answer costs a second or two.

use super::doctor::voices;
use super::parts::{self, memory};
use crate::config::{Config, Places};
use crate::llm::survey::{Found, Presence, survey};
use crate::memory::Plan;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Surroundings {
    /// Servers that answer, in words.
    pub answering: Vec<String>,
    /// The models that Ollama has and that can chat, the newest first.
    pub ollama: Vec<Fit>,
}

/// A language model and whether the memory plan has room for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fit {
    /// Its name.
    pub name: String,
    /// What it takes; 0 where that is not known.
    pub bytes: u64,
    /// Whether it fits beside the voice; `None` where its size is not known.
    pub fits: Option<bool>,
    /// What would.
    pub advice: Option<String>,
}

/// Asks the servers of the settings.
#[must_use]
pub fn look(config: &Config, places: &Places) -> Surroundings {
    let settings = parts::llm_settings(&config.llm);
    on_runtime(async {
        let found = survey(&settings).await;
        let mut models = Vec::new();
        for name in installed(&found).into_iter().take(MODELS) {
            models.push(fit(&name, config, places).await);
        }
        Surroundings {
            answering: found.iter().filter_map(told).collect(),
            ollama: models,
        }
    })
    .unwrap_or_default()
}

/// Whether this model fits.
#[must_use]
pub fn weigh(name: &str, config: &Config, places: &Places) -> Fit {
    on_runtime(fit(name, config, places)).unwrap_or_else(|| unknown(name))
}

/// The voices for a language, as far as the engine of this machine lists them.
#[must_use]
pub fn voices(config: &Config, language: &str) -> Vec<String> {
    voices::installed(config.tts.engine, language).unwrap_or_default()
}

/// `None` where the system gives no sockets.
fn on_runtime<T>(work: impl Future<Output = T>) -> Option<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    Some(runtime.ok()?.block_on(work))
}

fn installed(found: &[Presence]) -> Vec<String> {
    let ollama = found.iter().find(|presence| presence.name == "ollama");
    match ollama.map(|presence| &presence.found) {
        Some(Found::Resident { installed, .. } | Found::Idle { installed }) => installed.clone(),
        _ => Vec::new(),
    }
}

fn told(presence: &Presence) -> Option<String> {
    if !presence.found.answers() {
        return None;
    }
    let (name, url) = (presence.name, &presence.url);
    Some(match &presence.found {
        Found::Resident {
            model: Some(model), ..
        } => format!("{name} at {url} with {model}"),
        Found::Idle { installed } => {
            format!("{name} at {url} with {} models", installed.len())
        }
        _ => format!("{name} at {url}"),
    })
}

async fn fit(name: &str, config: &Config, places: &Places) -> Fit {
    let context = u64::from(config.llm.ollama.num_ctx);
    let Ok(llm) = memory::llm(name, &config.llm, context).await else {
        return unknown(name);
    };
    let mut wanted = memory::wanted(config, places, memory::Choice::Here);
    wanted.llms = vec![llm];
    let plan = Plan::make(&wanted);
    Fit {
        name: name.to_owned(),
        bytes: plan.llm_bytes(),
        fits: Some(plan.fits),
        advice: plan.advice.first().cloned().filter(|_| !plan.fits),
    }
}

fn unknown(name: &str) -> Fit {
    Fit {
        name: name.to_owned(),
        bytes: 0,
        fits: None,
        advice: None,
    }
}

/// More than a person wants to choose from; each costs a question to Ollama.
const MODELS: usize = 12;
