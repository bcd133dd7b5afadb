//! The speech model and the language model's backend.

use anyhow::Context as _;
use tokio::sync::mpsc;

use super::super::conductor::Report;
use crate::config::resolved::{Backend, Engine, Llm};
use crate::config::{Config, Places};
use crate::dialogue::WakeLevels;
use crate::hearing::WakeDetector;
use crate::hearing::wake::WakeModel;
use crate::llm::LlmBackend;
use crate::llm::backends::{self, LlmSettings};
use crate::llm::http::Timeouts;
use crate::llm::ollama::OllamaSettings;
use crate::llm::openai::OpenAiSettings;
use crate::llm::openclaw::{OpenClaw, OpenClawSettings};
use crate::models::{self, Library};
use crate::transcribe::thread::{Loader, WhisperThread};
use crate::transcribe::whisper::{Whisper, WhisperSettings};
use crate::transcribe::{TranscribeError, Transcriber};

/// The model files of this machine.
#[must_use]
pub fn library(places: &Places) -> Library {
    Library::new(places.state.join("models"))
}

/// Name and file of the configured speech model, or of the best that is here.
///
/// # Errors
/// It is unknown or not on this machine.
pub fn speech_model(
    config: &Config,
    places: &Places,
) -> Result<(String, std::path::PathBuf), models::ModelError> {
    let library = library(places);
    match &config.stt.model {
        Some(name) => Ok((name.clone(), library.path(name)?)),
        None => {
            let (info, path) = library.best(&config.stt.language, super::speech_memory(config))?;
            Ok((info.name.clone(), path))
        }
    }
}

/// Loads and warms the configured speech model, or the best that is here.
///
/// # Errors
/// It is missing, damaged, or does not know the language.
pub fn transcriber(config: &Config, places: &Places) -> anyhow::Result<Box<dyn Transcriber>> {
    let (name, path) = speech_model(config, places)?;
    let mut whisper = Whisper::load(&name, &path, WhisperSettings::default())?;
    let name = config.wake.phrase.split_whitespace().last();
    whisper.set_hints(name, &config.stt.hints);
    whisper.check_language(&config.stt.language)?;
    let timings = whisper.timings();
    tracing::info!(model = name, load = ?timings.load, warm_up = ?timings.warm_up, "the speech model is ready");
    Ok(Box::new(whisper))
}

/// A wake model that listens, and what its scores mean.
pub struct WakeWord {
    /// The model.
    pub detector: Box<dyn WakeDetector>,
    /// Its table, or the user's threshold.
    pub levels: WakeLevels,
}

/// The wake model for the configured phrase. Without one the transcript alone finds the phrase; so it does, with a warning,
/// where the model is damaged: better heard at more cost than not at all.
#[must_use]
pub fn wake_word(config: &Config, places: &Places) -> Option<WakeWord> {
    let phrase = &config.wake.phrase;
    let found = library(places).wake(phrase);
    let loaded = found.map_err(anyhow::Error::from).and_then(|entry| {
        let Some(entry) = entry else { return Ok(None) };
        let model = WakeModel::load(&entry.path)?;
        Ok(Some((model, entry.info)))
    });
    match loaded {
        Ok(Some((model, info))) => {
            #[allow(clippy::cast_possible_truncation, reason = "a score needs no double")]
            let certain = config
                .wake
                .threshold
                .map_or(info.threshold, |own| own as f32);
            let levels = WakeLevels {
                propose: info.propose.min(certain),
                certain,
            };
            tracing::info!(propose = levels.propose, certain, "the wake model is ready");
            Some(WakeWord {
                detector: Box::new(model),
                levels,
            })
        }
        Ok(None) => {
            if config.wake.threshold.is_some() {
                tracing::warn!(
                    "wake.threshold has no effect: there is no wake model for this wake.phrase, so its words are looked for in the transcript"
                );
            }
            None
        }
        Err(error) => {
            tracing::warn!(%error, "the wake model is not used; the phrase is looked for in the transcript");
            None
        }
    }
}

/// Name and file of the best speech model here that takes less memory than the one in use; `None` where there is none.
#[must_use]
pub fn lighter_speech_model(
    config: &Config,
    places: &Places,
) -> Option<(String, std::path::PathBuf)> {
    let (name, _) = speech_model(config, places).ok()?;
    let in_use = models::manifest::find(&name)?;
    let room = in_use.memory_bytes.checked_sub(1)?;
    let (info, path) = library(places).best(&config.stt.language, room).ok()?;
    // Where nothing fits the bundled one is named, whatever it takes.
    (info.memory_bytes <= room).then(|| (info.name.clone(), path))
}

/// What loads that model, or the one of the settings where none is given.
#[must_use]
pub fn speech_loader(
    config: &Config,
    places: &Places,
    model: Option<(String, std::path::PathBuf)>,
) -> Loader {
    let (config, places) = (config.clone(), places.clone());
    Box::new(move || {
        let found = match model {
            Some(found) => found,
            None => speech_model(&config, &places).map_err(|error| TranscribeError::Model {
                path: places.state.join("models"),
                reason: error.to_string(),
            })?,
        };
        let whisper = Whisper::load(&found.0, &found.1, WhisperSettings::default())?;
        Ok(Box::new(whisper) as Box<dyn Transcriber>)
    })
}

/// Whether the speech model in use is the bundled one.
#[must_use]
pub fn is_starter(config: &Config, places: &Places) -> bool {
    speech_model(config, places).is_ok_and(|(name, _)| name == models::STARTER)
}

/// Starts the whisper thread; its answers go into the inbox.
///
/// # Errors
/// The system gives no thread.
pub fn whisper(
    transcriber: Box<dyn Transcriber>,
    reports: mpsc::Sender<Report>,
) -> anyhow::Result<WhisperThread> {
    WhisperThread::spawn(transcriber, move |answer| {
        // After the conductor's end nobody wants words any more.
        reports.blocking_send(Report::Whisper(answer)).ok();
    })
    .context("no thread for the speech model")
}

/// The settings of every backend, from ours.
#[must_use]
pub fn llm_settings(llm: &Llm) -> LlmSettings {
    let timeouts = Timeouts {
        silence: llm.silent,
        ..Timeouts::default()
    };
    let keep_alive = llm
        .ollama
        .keep_alive
        .map_or(-1, |time| i64::try_from(time.as_secs()).unwrap_or(-1));
    LlmSettings {
        mlx: OpenAiSettings {
            url: llm.mlx.url.clone(),
            timeouts,
            ..OpenAiSettings::mlx()
        },
        mlx_named: llm.mlx.model.is_some(),
        ollama: OllamaSettings {
            url: llm.ollama.url.clone(),
            model: llm.ollama.model.clone(),
            num_ctx: llm.ollama.num_ctx,
            keep_alive,
            timeouts,
        },
        openai: llm.openai.as_ref().map(|remote| OpenAiSettings {
            model: remote.model.clone(),
            key_file: remote.key_file.clone(),
            timeouts,
            ..OpenAiSettings::compatible(remote.url.clone())
        }),
    }
}

/// The configured backend, or with `auto` the one that answers. `None`: local answers only.
///
/// # Errors
/// The configured backend cannot be set up: an address or a key file is wrong.
pub async fn backend(config: &Config) -> anyhow::Result<Option<Box<dyn LlmBackend>>> {
    if let Engine::OpenClaw { url, token_file } = &config.agent {
        let timeouts = Timeouts {
            silence: config.llm.silent,
            ..Timeouts::default()
        };
        return Ok(Some(Box::new(OpenClaw::new(OpenClawSettings {
            url: url.clone(),
            token_file: token_file.clone(),
            session: "hark:voice".to_owned(),
            timeouts,
        })?)));
    }
    let settings = llm_settings(&config.llm);
    let name = match config.llm.backend {
        Backend::None => return Ok(None),
        Backend::Auto => return Ok(backends::detect(&settings).await),
        Backend::Mlx => "mlx",
        Backend::Ollama => "ollama",
        Backend::Openai => "openai",
    };
    let backend =
        backends::open(name, &settings).expect("every backend of the settings is in the table")?;
    Ok(Some(backend))
}
