//! Tools that do what a test wrote down and tell what was done with them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use hark::agent::tools::{Class, Tool, ToolError, ToolOutput, Toolbox};
use hark::llm::ToolSpec;
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// What calls of all tools of a test have come to.
#[derive(Default)]
pub struct Log {
    /// Calls that ran to their end: the tool and its arguments.
    pub done: Mutex<Vec<(String, Value)>>,
    /// Calls that run now.
    pub running: AtomicUsize,
    /// The most that ran at once.
    pub most: AtomicUsize,
}

impl Log {
    pub fn done(&self) -> Vec<String> {
        let done = self.done.lock().unwrap();
        done.iter()
            .map(|(name, arguments)| format!("{name} {arguments}"))
            .collect()
    }
}

type Outcome = Arc<dyn Fn(&Value) -> Result<ToolOutput, ToolError> + Send + Sync>;

#[derive(Clone)]
pub struct Scripted {
    pub name: &'static str,
    pub class: Class,
    pub takes: Duration,
    pub limit: Duration,
    pub outcome: Outcome,
    pub log: Arc<Log>,
}

impl Scripted {
    pub fn new(name: &'static str, class: Class, log: &Arc<Log>) -> Self {
        let did = (class != Class::Read).then(|| format!("I did {name}."));
        Self {
            name,
            class,
            takes: Duration::from_millis(100),
            limit: Duration::from_secs(20),
            outcome: Arc::new(move |_| {
                Ok(ToolOutput {
                    content: format!("{name} is done"),
                    did: did.clone(),
                })
            }),
            log: Arc::clone(log),
        }
    }

    pub fn taking(self, ms: u64) -> Self {
        Self {
            takes: Duration::from_millis(ms),
            ..self
        }
    }

    pub fn bringing(self, content: impl Into<String>) -> Self {
        let content = content.into();
        Self {
            outcome: Arc::new(move |_| {
                Ok(ToolOutput {
                    content: content.clone(),
                    did: None,
                })
            }),
            ..self
        }
    }
}

/// Counts a call while it lives.
struct Running(Arc<Log>);

impl Running {
    fn new(log: &Arc<Log>) -> Self {
        let now = log.running.fetch_add(1, Ordering::SeqCst) + 1;
        log.most.fetch_max(now, Ordering::SeqCst);
        Self(Arc::clone(log))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Tool for Scripted {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: self.name.to_owned(),
            description: format!("Does {}.", self.name),
            parameters: json!({
                "type": "object",
                "properties": {"what": {"type": "string"}, "count": {"type": "integer"}},
            }),
        }
    }

    fn class(&self, _: &Value) -> Class {
        self.class
    }

    fn filler(&self, arguments: &Value) -> String {
        match arguments["what"].as_str() {
            Some(what) => format!("Looking at {what}."),
            None => String::new(),
        }
    }

    fn confirmation(&self, arguments: &Value) -> String {
        let what = arguments["what"].as_str().unwrap_or("everything");
        format!("Really {} {what}?", self.name)
    }

    fn time_limit(&self) -> Duration {
        self.limit
    }

    fn call(
        &self,
        arguments: Value,
        cancel: CancellationToken,
    ) -> BoxFuture<'_, Result<ToolOutput, ToolError>> {
        Box::pin(async move {
            let _running = Running::new(&self.log);
            tokio::select! {
                () = cancel.cancelled() => return Err(ToolError::Cancelled),
                () = sleep(self.takes) => {}
            }
            let outcome = (self.outcome)(&arguments);
            if outcome.is_ok() {
                let mut done = self.log.done.lock().unwrap();
                done.push((self.name.to_owned(), arguments));
            }
            outcome
        })
    }
}

pub fn toolbox(tools: impl IntoIterator<Item = Scripted>) -> Toolbox {
    Toolbox::new(
        tools
            .into_iter()
            .map(|tool| Arc::new(tool) as Arc<dyn Tool>)
            .collect(),
    )
}

/// Reading, acting and destroying.
pub fn usual(log: &Arc<Log>) -> Toolbox {
    toolbox([
        Scripted::new("look", Class::Read, log),
        Scripted::new("set", Class::Act, log),
        Scripted::new("delete", Class::Destroy, log),
    ])
}
