//! What stands where a backend is expected: every configured address is asked once, all at the same time.
//!
//! Edge: called by `hark doctor` on a runtime of its own. Nothing is loaded and no token is generated, so a server whose
//! generator has died but whose door still answers counts as present: only a reply proves more. Takes at most two of the
//! probe's limits ([`super::http::Timeouts::probe`]).

use super::LlmError;
use super::backends::LlmSettings;
use super::http::SetupError;
use super::ollama::Ollama;
use super::openai::{Flavour, OpenAi, OpenAiSettings};

/// One backend and what was found at its address.
#[derive(Debug)]
pub struct Presence {
    /// The kind, as `llm.backend` spells it.
    pub name: &'static str,
    /// The address that was asked; empty where none is configured.
    pub url: String,
    /// The server's version, where it tells.
    pub version: Option<String>,
    /// What was found.
    pub found: Found,
}

/// What was found at an address.
#[derive(Debug)]
pub enum Found {
    /// No address is configured. Nothing is wrong.
    NotConfigured,
    /// It cannot be asked at all: correct the settings.
    Misconfigured(SetupError),
    /// Nothing listens. Start the server.
    Nobody,
    /// Something accepts connections and does not answer in time. Restart it.
    Hung,
    /// Something else answers: another program has the port, or the address or the key is wrong.
    Foreign,
    /// It is loading a model. Wait.
    Loading,
    /// It answers and holds a model, as far as a question can tell.
    Resident {
        /// Which, where it tells.
        model: Option<String>,
        /// All that it has and that can chat; empty where it does not tell.
        installed: Vec<String>,
    },
    /// It answers and holds no model: the next request loads one.
    Idle {
        /// All that it has and that can chat. Where there is none, pull one.
        installed: Vec<String>,
    },
}

impl Found {
    /// Whether the backend itself answers, be it ready or not.
    #[must_use]
    pub const fn answers(&self) -> bool {
        matches!(
            self,
            Self::Loading | Self::Resident { .. } | Self::Idle { .. }
        )
    }
}

/// Asks every backend: mlx, ollama, openai, in this order.
pub async fn survey(settings: &LlmSettings) -> [Presence; 3] {
    let openai = async {
        match &settings.openai {
            Some(remote) => server(Flavour::Compatible, remote).await,
            None => (Found::NotConfigured, None),
        }
    };
    let (mlx, ollama, openai) = tokio::join!(
        server(Flavour::Mlx, &settings.mlx),
        ollama(settings),
        openai
    );
    let remote = settings.openai.as_ref();
    [
        Presence {
            name: "mlx",
            url: settings.mlx.url.clone(),
            found: mlx.0,
            version: mlx.1,
        },
        Presence {
            name: "ollama",
            url: settings.ollama.url.clone(),
            found: ollama.0,
            version: ollama.1,
        },
        Presence {
            name: "openai",
            url: remote.map(|remote| remote.url.clone()).unwrap_or_default(),
            found: openai.0,
            version: openai.1,
        },
    ]
}

async fn server(flavour: Flavour, settings: &OpenAiSettings) -> (Found, Option<String>) {
    let made = OpenAi::new(OpenAiSettings {
        flavour,
        ..settings.clone()
    });
    let server = match made {
        Ok(server) => server,
        Err(error) => return (Found::Misconfigured(error), None),
    };
    // mlx_lm.server lists what lies on the disk, which says nothing about what it holds.
    let model = async {
        match flavour {
            Flavour::Mlx => None,
            Flavour::Compatible => match &settings.model {
                Some(model) => Some(model.clone()),
                None => server.first_listed().await,
            },
        }
    };
    let (answer, recognised, model, version) =
        tokio::join!(server.probe(), server.recognised(), model, server.version());
    let found = match answer {
        Ok(()) if recognised => Found::Resident {
            model,
            installed: Vec::new(),
        },
        Ok(()) => Found::Foreign,
        Err(error) => absent(&error),
    };
    (found, version)
}

async fn ollama(settings: &LlmSettings) -> (Found, Option<String>) {
    let ollama = match Ollama::new(settings.ollama.clone()) {
        Ok(ollama) => ollama,
        Err(error) => return (Found::Misconfigured(error), None),
    };
    let (resident, installed, version) =
        tokio::join!(ollama.resident(), ollama.installed(), ollama.version());
    let installed = match installed {
        Ok(installed) => installed,
        Err(error) => return (absent(&error), version),
    };
    let found = match resident {
        Ok(Some(model)) => Found::Resident {
            model: Some(model),
            installed,
        },
        Ok(None) => Found::Idle { installed },
        Err(LlmError::Loading) => Found::Loading,
        Err(error) => absent(&error),
    };
    (found, version)
}

fn absent(error: &LlmError) -> Found {
    match error {
        LlmError::Silent { .. } => Found::Hung,
        LlmError::Protocol { .. } | LlmError::Cut => Found::Foreign,
        _ => Found::Nobody,
    }
}
