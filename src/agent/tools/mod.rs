//! What the agent can do besides talking: one trait, and the box of tools that this machine has.
//!
//! A tool says how dangerous it is, how it is announced and what it did; it decides nothing about consent, order or time
//! limits of a turn: the loop in [`super::engine`] does. The box keeps a stable order, because the tools are part of the
//! prompt's prefix and a prefix that changes is evaluated anew.

pub mod arguments;
pub mod argv;
pub mod builtin;
pub mod host;
pub mod mcp;
pub mod permission;
pub mod select;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::prompt::estimate_tool;
use crate::llm::ToolSpec;
use select::{Candidate, Selection};

/// What a call can do to the user's things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// It only looks.
    Read,
    /// It changes something that is easily changed back, and says what it did.
    Act,
    /// It cannot be undone, or reaches other people: delete, send, pay, overwrite, run a command.
    Destroy,
}

/// What a call brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolOutput {
    /// For the model: data, never instructions.
    pub content: String,
    /// What an acting tool did, in words for the user; the loop says it when the model says nothing.
    pub did: Option<String>,
}

/// Why a call brought nothing, by what the loop will do.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// The arguments are missing, of the wrong type or senseless. The model is told once and may try again.
    #[error("bad arguments: {0}")]
    Arguments(String),
    /// It was tried and failed. The model is told and explains it to the user.
    #[error("{0}")]
    Failed(String),
    /// The tool has gone: its server died, its program is missing. The user is told.
    #[error("{0}")]
    Gone(String),
    /// The turn was given up.
    #[error("cancelled")]
    Cancelled,
}

/// Something the model can call. One contract test runs on every implementation.
pub trait Tool: Send + Sync {
    /// Name, description and JSON Schema, the same at every call: they are in the prompt's prefix.
    fn spec(&self) -> ToolSpec;

    /// What a call with these arguments can do. A tool whose arguments decide takes the worst that they allow.
    fn class(&self, arguments: &Value) -> Class;

    /// What is said when the call takes longer than a second: "Looking at your calendar." One short sentence.
    fn filler(&self, arguments: &Value) -> String;

    /// The question that asks for consent, with the final arguments in words: "Delete the note called milk?"
    fn confirmation(&self, arguments: &Value) -> String;

    /// How long a call may take.
    fn time_limit(&self) -> Duration {
        Duration::from_secs(20)
    }

    /// Makes the call. Dropping the future or cancelling the token ends it; nothing runs on after that.
    ///
    /// # Errors
    /// See [`ToolError`].
    fn call(
        &self,
        arguments: Value,
        cancel: CancellationToken,
    ) -> BoxFuture<'_, Result<ToolOutput, ToolError>>;
}

/// The tools on offer, in a stable order, no two of one name.
#[derive(Clone, Default)]
pub struct Toolbox {
    tools: Vec<Arc<dyn Tool>>,
}

fn candidate(tool: &Arc<dyn Tool>) -> Candidate {
    let spec = tool.spec();
    let properties = spec.parameters["properties"].as_object();
    let arguments = properties.into_iter().flatten().map(|(name, schema)| {
        let meaning = schema["description"].as_str().unwrap_or_default();
        format!("{name} {meaning}")
    });
    let words = std::iter::once(spec.description.clone()).chain(arguments);
    Candidate {
        words: words.collect::<Vec<_>>().join(" "),
        tokens: estimate_tool(&spec),
        name: spec.name,
    }
}

impl Toolbox {
    /// A box with these tools; of two with one name the first stays.
    #[must_use]
    pub fn new(tools: Vec<Arc<dyn Tool>>) -> Self {
        let mut kept: Vec<Arc<dyn Tool>> = Vec::with_capacity(tools.len());
        for tool in tools {
            let name = tool.spec().name;
            if kept.iter().all(|other| other.spec().name != name) {
                kept.push(tool);
            }
        }
        Self { tools: kept }
    }

    /// The tool of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Tool>> {
        self.tools.iter().find(|tool| tool.spec().name == name)
    }

    /// All tools, in their order.
    #[must_use]
    pub fn all(&self) -> &[Arc<dyn Tool>] {
        &self.tools
    }

    /// The tools to offer for `question` within `budget` tokens; see [`Selection::offer`].
    #[must_use]
    pub fn select(&self, selection: &mut Selection, question: &str, budget: u32) -> Self {
        let candidates: Vec<Candidate> = self.tools.iter().map(candidate).collect();
        let places = selection.offer(&candidates, question, budget);
        Self {
            tools: places
                .into_iter()
                .map(|place| Arc::clone(&self.tools[place]))
                .collect(),
        }
    }

    /// What the model is told of them, in their order.
    #[must_use]
    pub fn specs(&self) -> Vec<ToolSpec> {
        self.tools.iter().map(|tool| tool.spec()).collect()
    }
}
