//! What is wrong with the language model, in words that can be spoken, and how to mend it.
//!
//! Pure. [`Complaints`] keeps the agent from giving the long explanation twice; the wiring owns one and clears it when the
//! backend answers again.

use crate::llm::LlmError;

/// What is wrong, as far as the user can do something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// No backend is configured.
    NotConfigured,
    /// Nothing answers.
    Unreachable,
    /// The model is being loaded.
    Loading,
    /// The model is not there.
    NoModel,
    /// Others use it.
    Busy,
    /// The conversation does not fit.
    TooLong,
    /// It broke off, was silent for too long, or answered with an error.
    Failed,
}

impl From<&LlmError> for Trouble {
    fn from(error: &LlmError) -> Self {
        match error {
            LlmError::Unreachable { .. } => Self::Unreachable,
            LlmError::Loading => Self::Loading,
            LlmError::NoModel { .. } => Self::NoModel,
            LlmError::Busy { .. } => Self::Busy,
            LlmError::TooLong { .. } => Self::TooLong,
            LlmError::Refused { .. }
            | LlmError::Cut
            | LlmError::Silent { .. }
            | LlmError::Protocol { .. } => Self::Failed,
        }
    }
}

/// What has been explained already.
#[derive(Debug, Clone, Default)]
pub struct Complaints {
    told: Option<Trouble>,
}

impl Complaints {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What to say now: the whole explanation the first time, a short reminder while the trouble lasts.
    pub fn say(&mut self, backend: &str, trouble: Trouble) -> String {
        if self.told.replace(trouble) == Some(trouble) {
            reminder(trouble).to_owned()
        } else {
            explanation(backend, trouble)
        }
    }

    /// The backend has answered: the next trouble is explained in full again.
    pub fn clear(&mut self) {
        self.told = None;
    }
}

/// What is wrong and what helps; `backend` is the kind, as in `llm.backend`.
#[must_use]
pub fn explanation(backend: &str, trouble: Trouble) -> String {
    let without = "Say, what can you do, to hear what works without it.";
    match trouble {
        Trouble::NotConfigured => format!(
            "I have no language model yet. Start Ollama or an MLX server, and I will find it. {without}"
        ),
        Trouble::Unreachable => format!("I can't reach the language model. {} {without}", start(backend)),
        Trouble::Loading => "The language model is still loading. Ask me again in a moment.".to_owned(),
        Trouble::NoModel => format!("{} {without}", missing(backend)),
        Trouble::Busy => "The language model is busy with something else. Ask me again in a moment.".to_owned(),
        Trouble::TooLong => {
            "This conversation has become too long for the language model. Let's start afresh: ask me again.".to_owned()
        }
        Trouble::Failed => format!(
            "The language model failed on this. Ask me again; if it keeps failing, run hark doctor. {without}"
        ),
    }
}

fn reminder(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::NotConfigured => "I still have no language model.",
        Trouble::Unreachable => "I still can't reach the language model.",
        Trouble::Loading => "The language model is still loading.",
        Trouble::NoModel => "The language model is still missing.",
        Trouble::Busy => "The language model is still busy.",
        Trouble::TooLong => "That is too long for the language model.",
        Trouble::Failed => "The language model failed again.",
    }
}

fn start(backend: &str) -> &'static str {
    match backend {
        "ollama" => "Start it with: ollama serve.",
        "mlx" => {
            "Start the MLX server in a terminal: m l x underscore l m dot server, with dash dash model and the folder of the model. The command hark doctor prints it in full."
        }
        _ => "Check that its server is running, or run hark doctor.",
    }
}

fn missing(backend: &str) -> &'static str {
    match backend {
        "ollama" => {
            "Ollama does not have the model that I am set to use. Get it with: ollama pull, and the model's name."
        }
        "mlx" => {
            "The MLX server does not have the model that I am set to use. Check the setting with: hark config show."
        }
        _ => {
            "The server does not have the model that I am set to use. Check the setting with: hark config show."
        }
    }
}
