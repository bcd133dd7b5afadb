//! The shape of a language model, from wherever it lies: a model folder, a GGUF file, the hub's cache, or Ollama.
//!
//! Edge: reads heads of files and asks Ollama one small question; loads nothing. Called by `hark plan`, by `hark backend` and
//! at the daemon's start. The formulae are [`crate::memory`]'s.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::http::{Http, Timeouts};
use super::ollama::OllamaSettings;
use crate::memory::config_json::{self, ShapeError};
use crate::memory::gguf::{self, GgufError};
use crate::memory::server::Engine;
use crate::memory::shape::Shape;
use crate::memory::show;

/// A language model, as far as its memory goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weighed {
    /// Whose server holds it.
    pub engine: Engine,
    /// What it takes.
    pub shape: Shape,
}

/// Why the memory of a model cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// No file, folder, hub entry or Ollama model of this name. Name another.
    #[error(
        "there is no language model {0}: no preset, folder, GGUF file or model of the hub's cache or of Ollama has this name"
    )]
    Unknown(String),
    /// The file system refused.
    #[error("{} cannot be read: {reason}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// The files are there and do not say what is needed: damaged, or no language model.
    #[error("{} does not describe a language model: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Ollama does not tell. Start it, or pull the model.
    #[error("ollama does not describe {model}: {reason}")]
    Ollama {
        /// The model.
        model: String,
        /// What is wrong.
        reason: String,
    },
}

/// The model in a folder (MLX, safetensors) or in a GGUF file.
///
/// # Errors
/// [`WeightsError::Io`] or [`WeightsError::Unreadable`].
pub fn from_path(path: &Path) -> Result<Weighed, WeightsError> {
    if path.is_dir() {
        return from_folder(path).map(|shape| Weighed {
            engine: Engine::Mlx,
            shape,
        });
    }
    from_gguf(path).map(|shape| Weighed {
        engine: Engine::LlamaCpp,
        shape,
    })
}

fn from_folder(folder: &Path) -> Result<Shape, WeightsError> {
    let config = folder.join("config.json");
    let text = fs::read_to_string(&config).map_err(|reason| io(&config, reason))?;
    let weights = weights_in(folder)?;
    config_json::shape(&text, weights).map_err(|reason| unreadable(&config, &reason))
}

/// The bytes of all tensors: by the index where there is one, else by the files.
fn weights_in(folder: &Path) -> Result<u64, WeightsError> {
    let index = folder.join("model.safetensors.index.json");
    let told = fs::read_to_string(&index)
        .ok()
        .and_then(|text| config_json::total_size(&text));
    if let Some(bytes) = told {
        return Ok(bytes);
    }
    let mut bytes = 0;
    for entry in fs::read_dir(folder).map_err(|reason| io(folder, reason))? {
        let path = entry.map_err(|reason| io(folder, reason))?.path();
        if path.extension().is_some_and(|kind| kind == "safetensors") {
            // Through links: the hub's cache holds nothing else.
            bytes += fs::metadata(&path)
                .map_err(|reason| io(&path, reason))?
                .len();
        }
    }
    if bytes == 0 {
        return Err(WeightsError::Unreadable {
            path: folder.to_owned(),
            reason: "it holds no safetensors files".to_owned(),
        });
    }
    Ok(bytes)
}

fn from_gguf(path: &Path) -> Result<Shape, WeightsError> {
    let mut file = File::open(path).map_err(|reason| io(path, reason))?;
    let length = file.metadata().map_err(|reason| io(path, reason))?.len();
    let mut head = Vec::new();
    loop {
        let more = (head.len() as u64).clamp(FIRST_READ, MOST_HEAD);
        let read = (&mut file)
            .take(more)
            .read_to_end(&mut head)
            .map_err(|reason| io(path, reason))?;
        match gguf::read(&head) {
            Ok(metadata) => {
                return metadata
                    .shape(length)
                    .map_err(|reason| unreadable(path, &reason));
            }
            Err(GgufError::Short) if read > 0 && (head.len() as u64) < MOST_HEAD => {}
            Err(reason) => {
                return Err(WeightsError::Unreadable {
                    path: path.to_owned(),
                    reason: reason.to_string(),
                });
            }
        }
    }
}

/// The folder of `organisation/name` in the hub's cache (`$HF_HOME/hub`, usually `~/.cache/huggingface/hub`).
#[must_use]
pub fn in_hub(name: &str) -> Option<PathBuf> {
    if name.split('/').count() != 2 || name.starts_with(['/', '.']) {
        return None;
    }
    let cache = std::env::var_os("HF_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(std::env::home_dir()?.join(".cache/huggingface")))?;
    let model = cache
        .join("hub")
        .join(format!("models--{}", name.replace('/', "--")));
    let revision = fs::read_to_string(model.join("refs/main")).ok()?;
    let folder = model.join("snapshots").join(revision.trim());
    folder.join("config.json").is_file().then_some(folder)
}

/// The model that Ollama knows as `name`.
///
/// # Errors
/// [`WeightsError::Ollama`].
pub async fn from_ollama(settings: &OllamaSettings, name: &str) -> Result<Weighed, WeightsError> {
    let failed = |reason: String| WeightsError::Ollama {
        model: name.to_owned(),
        reason,
    };
    let timeouts = Timeouts {
        first_byte: settings.timeouts.probe * 3,
        ..settings.timeouts
    };
    let http =
        Http::new(&settings.url, timeouts, None).map_err(|error| failed(error.to_string()))?;
    let tags = http.get(&format!("{}/api/tags", http.base())).await;
    let (_, tags) = tags.map_err(|error| failed(error.to_string()))?;
    let bytes = show::size_of(&tags, name)
        .ok_or_else(|| failed("it has no model of this name".to_owned()))?;
    let body = json!({ "model": name }).to_string().into_bytes();
    let answer = http.post("/api/show", body).await;
    let answer = answer
        .map_err(|error| failed(error.to_string()))?
        .map_err(|refusal| failed(format!("status {}", refusal.status)))?;
    let text = http.whole(answer).await;
    let text = text.map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8_lossy(&text);
    let shape = show::shape(&text, bytes).map_err(|error| failed(error.to_string()))?;
    // Ollama's own MLX engine serves safetensors; everything else is llama.cpp's.
    let engine = if text.contains("\"format\":\"safetensors\"") {
        Engine::Mlx
    } else {
        Engine::LlamaCpp
    };
    Ok(Weighed { engine, shape })
}

/// The model called `name`: a folder, a file, one of the hub's cache, or one of Ollama's.
///
/// # Errors
/// [`WeightsError`].
pub async fn find(name: &str, ollama: &OllamaSettings) -> Result<Weighed, WeightsError> {
    let path = Path::new(name);
    if path.exists() {
        return from_path(path);
    }
    if let Some(folder) = in_hub(name) {
        return from_path(&folder);
    }
    match from_ollama(ollama, name).await {
        Ok(found) => Ok(found),
        Err(error) => {
            tracing::debug!(%error, "not a model of ollama");
            Err(WeightsError::Unknown(name.to_owned()))
        }
    }
}

fn io(path: &Path, reason: std::io::Error) -> WeightsError {
    WeightsError::Io {
        path: path.to_owned(),
        reason,
    }
}

fn unreadable(path: &Path, reason: &ShapeError) -> WeightsError {
    WeightsError::Unreadable {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

/// The first piece of a GGUF file that is read; it is doubled while the metadata goes on.
const FIRST_READ: u64 = 1 << 20;

/// Vocabularies of 262,144 entries need about 12 MiB; more than this is damage.
const MOST_HEAD: u64 = 256 << 20;
