//! The tools that come with Hark.
//!
//! [`offers`] makes all of them in a fixed order, each with the reason why this machine lacks it, if it does. A tool is a
//! `Builtin`: its fixed words and one async function; cancelling drops the function's future, and with it every program
//! that it had started.

mod calendar;
mod clipboard;
mod command;
mod facts;
mod files;
mod notes;
mod opening;
mod schedule;
mod shortcuts;
mod sound;
mod status;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::host::Host;
use super::{Class, Tool, ToolError, ToolOutput};
use crate::agent::notebook::{Notebook, NotebookError};
use crate::llm::ToolSpec;

/// A tool, and why it cannot be used here.
#[derive(Clone)]
pub struct Offer {
    /// The tool.
    pub tool: Arc<dyn Tool>,
    /// Why this machine lacks it, and what to do about it; `None` where it does not.
    pub why_not: Option<String>,
}

/// All built-in tools for `host`, in their order.
#[must_use]
pub fn offers(host: &Arc<Host>, notebook: &Arc<Notebook>, run_command: bool) -> Vec<Offer> {
    let mut all = Vec::new();
    all.extend(schedule::offers(notebook));
    all.extend(notes::offers(notebook));
    all.extend(facts::offers(notebook));
    all.extend(status::offers(host));
    all.extend(files::offers(host));
    all.extend(opening::offers(host));
    all.extend(clipboard::offers(host));
    all.extend(sound::offers(host));
    all.extend(calendar::offers(host));
    all.extend(shortcuts::offers(host));
    all.extend(command::offers(host, run_command));
    all
}

type Call = dyn Fn(Value) -> BoxFuture<'static, Result<ToolOutput, ToolError>> + Send + Sync;

/// A built-in tool.
struct Builtin {
    name: &'static str,
    description: &'static str,
    parameters: Value,
    class: fn(&Value) -> Class,
    filler: fn(&Value) -> String,
    confirmation: fn(&Value) -> String,
    limit: Duration,
    call: Box<Call>,
}

/// The words of a tool, before it is given its function.
struct Words {
    name: &'static str,
    description: &'static str,
    parameters: Value,
    class: fn(&Value) -> Class,
    filler: fn(&Value) -> String,
    confirmation: fn(&Value) -> String,
}

impl Words {
    /// The tool that works with `state`.
    fn with<S, F>(
        self,
        state: &Arc<S>,
        call: impl Fn(Arc<S>, Value) -> F + Send + Sync + 'static,
    ) -> Builtin
    where
        S: Send + Sync + 'static,
        F: Future<Output = Result<ToolOutput, ToolError>> + Send + 'static,
    {
        let state = Arc::clone(state);
        Builtin {
            name: self.name,
            description: self.description,
            parameters: self.parameters,
            class: self.class,
            filler: self.filler,
            confirmation: self.confirmation,
            limit: Duration::from_secs(20),
            call: Box::new(move |arguments| Box::pin(call(Arc::clone(&state), arguments))),
        }
    }
}

impl Builtin {
    fn within(mut self, seconds: u64) -> Self {
        self.limit = Duration::from_secs(seconds);
        self
    }

    fn here(self) -> Offer {
        self.unless(None)
    }

    fn unless(self, why_not: Option<String>) -> Offer {
        Offer {
            tool: Arc::new(self),
            why_not,
        }
    }
}

impl Tool for Builtin {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: self.name.to_owned(),
            description: self.description.to_owned(),
            parameters: self.parameters.clone(),
        }
    }

    fn class(&self, arguments: &Value) -> Class {
        (self.class)(arguments)
    }

    fn filler(&self, arguments: &Value) -> String {
        (self.filler)(arguments)
    }

    fn confirmation(&self, arguments: &Value) -> String {
        (self.confirmation)(arguments)
    }

    fn time_limit(&self) -> Duration {
        self.limit
    }

    fn call(
        &self,
        arguments: Value,
        cancel: CancellationToken,
    ) -> BoxFuture<'_, Result<ToolOutput, ToolError>> {
        let work = (self.call)(arguments);
        Box::pin(async move {
            tokio::select! {
                biased;
                () = cancel.cancelled() => Err(ToolError::Cancelled),
                output = work => output.map(bounded),
            }
        })
    }
}

/// Bytes of a result that the model gets: about 2,000 tokens.
pub const MOST_CONTENT: usize = 8 * 1024;

/// The first [`MOST_CONTENT`] bytes, and a word about the rest.
#[must_use]
pub fn bounded(mut output: ToolOutput) -> ToolOutput {
    if output.content.len() > MOST_CONTENT {
        let mut end = MOST_CONTENT;
        while !output.content.is_char_boundary(end) {
            end -= 1;
        }
        output.content.truncate(end);
        output.content.push_str("\n(cut: there is more)");
    }
    output
}

fn read(_: &Value) -> Class {
    Class::Read
}

fn act(_: &Value) -> Class {
    Class::Act
}

fn destroy(_: &Value) -> Class {
    Class::Destroy
}

/// What a tool brings that only looked.
fn found(content: impl Into<String>) -> Result<ToolOutput, ToolError> {
    Ok(ToolOutput {
        content: content.into(),
        did: None,
    })
}

/// What a tool brings that did something.
fn done(did: impl Into<String>) -> Result<ToolOutput, ToolError> {
    let did = did.into();
    Ok(ToolOutput {
        content: did.clone(),
        did: Some(did),
    })
}

/// The schema of an object with these properties.
fn object(properties: &[(&str, Value)], required: &[&str]) -> Value {
    let properties: Map<String, Value> = properties
        .iter()
        .map(|(name, schema)| ((*name).to_owned(), schema.clone()))
        .collect();
    let mut schema = json!({"type": "object", "properties": properties});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn number(description: &str) -> Value {
    json!({"type": "number", "description": description})
}

fn one_of(words: &[&str]) -> Value {
    json!({"type": "string", "enum": words})
}

/// Runs what waits for the disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, NotebookError> + Send + 'static,
) -> Result<T, ToolError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(ToolError::Failed(error.to_string())),
        Err(error) if error.is_cancelled() => Err(ToolError::Cancelled),
        Err(_) => Err(ToolError::Failed("it failed by a bug".to_owned())),
    }
}
