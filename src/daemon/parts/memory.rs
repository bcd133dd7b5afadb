//! The memory plan of this machine: what its settings and its files ask for.

use std::path::Path;
use std::sync::Arc;

use super::model::{library, llm_settings};
use crate::config::resolved::{Backend, Llm};
use crate::config::{Config, Places};
use crate::gateway::residency::Kind;
use crate::gateway::supervisor::Need;
use crate::llm::weights::{self, Weighed, WeightsError};
use crate::memory::plan::{self, Speech, Wanted, speech_budget};
use crate::memory::server::{self, Engine, Tuning};
use crate::memory::voice::WhisperShape;
use crate::memory::{GIB, Plan};
use crate::models::manifest::{Languages, ModelInfo};

/// Which speech models may be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Those on this machine.
    Here,
    /// All that the manifest knows: for a machine that does not exist yet.
    All,
}

/// The plan's question without a language model: this machine's memory, the settings, the speech models.
#[must_use]
pub fn wanted(config: &Config, places: &Places, choice: Choice) -> Wanted {
    Wanted {
        total: crate::platform::total_memory_bytes().unwrap_or(8 * GIB),
        gpu_limit: crate::platform::memory::gpu_limit_bytes(),
        os_reserve: config.memory.os_reserve,
        voice_reserve: config.memory.voice_reserve,
        speech: speech(config, places, choice),
        llms: Vec::new(),
    }
}

/// The speech models to choose from: the one that is configured, else all that understand the language.
fn speech(config: &Config, places: &Places, choice: Choice) -> Vec<Speech> {
    let library = library(places);
    if let Some(name) = &config.stt.model {
        let path = library.path(name).ok();
        let known = crate::models::manifest::find(name);
        return vec![one(name, known, path.as_deref())];
    }
    library
        .list()
        .iter()
        .filter(|entry| choice == Choice::All || entry.path.is_some())
        .filter(|entry| config.stt.language == "en" || entry.info.languages == Languages::Many)
        .map(|entry| one(&entry.info.name, Some(entry.info), entry.path.as_deref()))
        .collect()
}

fn one(name: &str, info: Option<&ModelInfo>, path: Option<&Path>) -> Speech {
    let on_disk = path.and_then(|path| std::fs::metadata(path).ok());
    let file_bytes = on_disk.map_or_else(
        || info.map_or(0, ModelInfo::size),
        |metadata| metadata.len(),
    );
    Speech {
        name: name.to_owned(),
        file_bytes,
        shape: path.and_then(head).or_else(|| WhisperShape::by_name(name)),
        told_bytes: info.map_or(file_bytes + GIB / 2, |info| info.memory_bytes),
        rank: info.map_or(0, |info| info.rank),
    }
}

fn head(path: &Path) -> Option<WhisperShape> {
    use std::io::Read as _;
    let mut bytes = [0; 48];
    std::fs::File::open(path)
        .ok()?
        .read_exact(&mut bytes)
        .ok()?;
    WhisperShape::from_head(&bytes)
}

/// The language model that `name` means: a preset, or whatever [`weights::find`] finds.
///
/// # Errors
/// There is none.
pub async fn llm(name: &str, llm: &Llm, context: u64) -> Result<plan::Llm, WeightsError> {
    if let Some(preset) = plan::preset(name, context) {
        return Ok(preset);
    }
    let Weighed { engine, shape } = weights::find(name, &llm_settings(llm).ollama).await?;
    Ok(plan::Llm {
        name: name.to_owned(),
        engine,
        shape,
        context,
    })
}

/// The language model of the settings, where they name one that can be weighed without loading it.
pub async fn configured_llm(settings: &Llm) -> Option<plan::Llm> {
    let name = match settings.backend {
        Backend::Mlx => settings.mlx.model.clone(),
        Backend::Ollama => settings.ollama.model.clone(),
        Backend::Auto => settings.mlx.model.clone().or(settings.ollama.model.clone()),
        Backend::Openai | Backend::None => None,
    }?;
    let context = u64::from(settings.ollama.num_ctx);
    llm(&name, settings, context)
        .await
        .inspect_err(|error| tracing::debug!(%error, "the language model cannot be weighed"))
        .ok()
}

/// What the server of that kind would need at the least, in bytes: the configured model with a lean prompt cache and the
/// smallest context that Hark works with. `None` where the settings name none, or it can only be weighed by loading it.
pub async fn least_need(settings: &Llm, kind: Kind) -> Option<u64> {
    let (name, engine) = match kind {
        Kind::Mlx => (settings.mlx.model.clone()?, Engine::Mlx),
        Kind::Ollama => (settings.ollama.model.clone()?, Engine::LlamaCpp),
    };
    let found = weights::find(&name, &llm_settings(settings).ollama)
        .await
        .inspect_err(|error| tracing::debug!(%error, "the language model cannot be weighed"))
        .ok()?;
    let tuning = Tuning::lean(engine, SMALLEST_CONTEXT);
    Some(server::sum(&server::terms(&found.shape, engine, tuning)))
}

/// [`least_need`] as the supervisor asks for it.
#[must_use]
pub fn need(settings: &Llm) -> Need {
    let settings = Arc::new(settings.clone());
    Arc::new(move |kind| {
        let settings = Arc::clone(&settings);
        Box::pin(async move { least_need(&settings, kind).await })
    })
}

/// What a speech model may take on this machine, in bytes: by the plan, see [`speech_budget`]. The language model counts
/// where the settings name it, and counts as much as its server needs with the smallest context that Hark runs it with.
#[must_use]
pub fn speech_memory(config: &Config) -> u64 {
    let total = crate::platform::total_memory_bytes().unwrap_or(8 * GIB);
    let memory = &config.memory;
    speech_budget(
        total,
        memory.os_reserve,
        memory.voice_reserve,
        smallest_llm(&config.llm),
    )
}

/// Only files are looked at here: a start must not wait for a server that is not there.
fn smallest_llm(settings: &Llm) -> Option<u64> {
    if settings.backend == Backend::None {
        return Some(0);
    }
    let name = settings.mlx.model.as_deref()?;
    let path = Path::new(name);
    let folder = if path.exists() {
        path.to_owned()
    } else {
        weights::in_hub(name)?
    };
    let found = weights::from_path(&folder).ok()?;
    let tuning = Tuning::lean(found.engine, SMALLEST_CONTEXT);
    Some(server::sum(&server::terms(
        &found.shape,
        found.engine,
        tuning,
    )))
}

/// The context below which a conversation with its static prompt and its history does not fit.
const SMALLEST_CONTEXT: u64 = 8_192;

/// The plan of this machine with the language model of its settings.
pub async fn plan_here(config: &Config, places: &Places) -> Plan {
    let mut wanted = wanted(config, places, Choice::Here);
    wanted.llms.extend(configured_llm(&config.llm).await);
    Plan::make(&wanted)
}
