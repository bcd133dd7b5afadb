//! The table of backends, and which one is used.
//!
//! Edge: called by the wiring at start-up and when a backend is switched. [`open`] makes the configured one without asking
//! anybody; [`detect`] is what `llm.backend = "auto"` means. Starting and stopping servers is left to others.

use futures_util::StreamExt;

use super::http::SetupError;
use super::ollama::{Ollama, OllamaSettings};
use super::openai::{Flavour, OpenAi, OpenAiSettings};
use super::{Delta, DeltaStream, LlmBackend, LlmError, Usage};

/// The settings of every backend (`[llm]` in the configuration, resolved).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LlmSettings {
    /// `llm.mlx.*`; the flavour is set whatever stands here.
    pub mlx: OpenAiSettings,
    /// `llm.ollama.*`.
    pub ollama: OllamaSettings,
    /// The user has set `llm.mlx.model`, by which a running mlx_lm.server is preferred. The model itself is not sent.
    pub mlx_named: bool,
    /// `llm.openai.*`; none when no address is configured.
    pub openai: Option<OpenAiSettings>,
}

impl Default for LlmSettings {
    fn default() -> Self {
        Self {
            mlx: OpenAiSettings::mlx(),
            ollama: OllamaSettings::default(),
            mlx_named: false,
            openai: None,
        }
    }
}

/// One kind of backend.
pub struct BackendRow {
    /// Its name, as `llm.backend` spells it.
    pub name: &'static str,
    /// Makes it from the settings; sends nothing.
    pub open: fn(&LlmSettings) -> Result<Box<dyn LlmBackend>, SetupError>,
}

/// Every kind of backend.
pub const BACKENDS: [BackendRow; 3] = [
    BackendRow {
        name: "mlx",
        open: |settings| Ok(Box::new(mlx(settings)?)),
    },
    BackendRow {
        name: "ollama",
        open: |settings| Ok(Box::new(Ollama::new(settings.ollama.clone())?)),
    },
    BackendRow {
        name: "openai",
        open: |settings| match openai(settings)? {
            Some(backend) => Ok(Box::new(backend)),
            None => Err(SetupError::NoUrl { backend: "openai" }),
        },
    },
];

/// Makes the backend `name`; `None` for a name that is not in [`BACKENDS`].
///
/// # Errors
/// [`SetupError`].
pub fn open(name: &str, settings: &LlmSettings) -> Option<Result<Box<dyn LlmBackend>, SetupError>> {
    BACKENDS
        .iter()
        .find(|row| row.name == name)
        .map(|row| (row.open)(settings))
}

/// How much a backend that answers recommends itself; more is better, and between equals the order of [`BACKENDS`] decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Claim {
    /// It answers; a request may have to load a model first.
    Answers,
    /// It holds a model.
    Resident,
    /// The user has named its model or its address.
    Configured,
}

/// The backend to use under `llm.backend = "auto"`: of those that answer, one that the user has configured (a model for
/// mlx or Ollama, an address for openai), else one that holds a model (mlx_lm.server always does), else any; at equal claims
/// in the order of [`BACKENDS`]. All are asked at once. Where nothing listens the answer takes a few milliseconds; a server
/// that does not answer is given up after the probe's limit ([`super::http::Timeouts::probe`]).
///
/// A backend that cannot be set up (a wrong address, a missing key file) is passed over with a warning.
pub async fn detect(settings: &LlmSettings) -> Option<Box<dyn LlmBackend>> {
    let (mlx, ollama, openai) = tokio::join!(
        ask_mlx(settings),
        ask_ollama(settings),
        ask_openai(settings)
    );
    let mut best: Option<Candidate> = None;
    for candidate in [mlx, ollama, openai].into_iter().flatten() {
        if best.as_ref().is_none_or(|(claim, _)| candidate.0 > *claim) {
            best = Some(candidate);
        }
    }
    best.map(|(_, backend)| backend)
}

type Candidate = (Claim, Box<dyn LlmBackend>);

async fn ask_mlx(settings: &LlmSettings) -> Option<Candidate> {
    let backend = usable("mlx", mlx(settings))?;
    let claim = if settings.mlx_named {
        Claim::Configured
    } else {
        Claim::Resident
    };
    backend
        .recognised()
        .await
        .then(|| (claim, Box::new(backend) as Box<dyn LlmBackend>))
}

async fn ask_ollama(settings: &LlmSettings) -> Option<Candidate> {
    let backend = usable("ollama", Ollama::new(settings.ollama.clone()))?;
    let claim = match backend.resident().await {
        Ok(Some(_)) | Err(LlmError::Loading) => Claim::Resident,
        Ok(None) => Claim::Answers,
        Err(_) => return None,
    };
    let claim = if settings.ollama.model.is_some() {
        Claim::Configured
    } else {
        claim
    };
    Some((claim, Box::new(backend)))
}

async fn ask_openai(settings: &LlmSettings) -> Option<Candidate> {
    let backend = usable("openai", openai(settings))??;
    backend
        .reachable()
        .await
        .then(|| (Claim::Configured, Box::new(backend) as Box<dyn LlmBackend>))
}

fn mlx(settings: &LlmSettings) -> Result<OpenAi, SetupError> {
    OpenAi::new(OpenAiSettings {
        flavour: Flavour::Mlx,
        ..settings.mlx.clone()
    })
}

fn openai(settings: &LlmSettings) -> Result<Option<OpenAi>, SetupError> {
    let settings = settings.openai.clone();
    settings
        .map(|settings| {
            OpenAi::new(OpenAiSettings {
                flavour: Flavour::Compatible,
                ..settings
            })
        })
        .transpose()
}

fn usable<T>(name: &str, made: Result<T, SetupError>) -> Option<T> {
    made.inspect_err(|error| tracing::warn!(backend = name, %error, "a backend is passed over"))
        .ok()
}

/// Reads a reply to its end marker, whose cost it returns.
pub(super) async fn read_done(mut stream: DeltaStream) -> Result<Usage, LlmError> {
    while let Some(delta) = stream.next().await {
        if let Delta::Done { usage, .. } = delta? {
            return Ok(usage);
        }
    }
    Err(LlmError::Cut)
}
