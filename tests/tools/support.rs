//! A home with a notebook, hosts with the programs that a test gives them, and calls.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hark::agent::notebook::Notebook;
use hark::agent::tools::builtin::{Offer, offers};
use hark::agent::tools::host::Host;
use hark::agent::tools::{Tool, ToolError, ToolOutput};
use hark::platform::System;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// The longest that anything here may take on a machine that is busy with ten other things.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A home folder of its own with a notebook and a folder for programs.
pub struct Home {
    folder: tempfile::TempDir,
    pub notebook: Arc<Notebook>,
}

impl Home {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let notebook = Notebook::open(&folder.path().join("state/notebook.db")).unwrap();
        std::fs::create_dir(folder.path().join("bin")).unwrap();
        std::fs::create_dir(folder.path().join("home")).unwrap();
        Self {
            folder,
            notebook: Arc::new(notebook),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A host that has only the programs that were put into its folder.
    pub fn host(&self, system: System) -> Host {
        Host {
            system,
            path: vec![self.path("bin")],
            home: self.path("home"),
            environment: Vec::new(),
        }
    }

    /// A program that notes its arguments, one a line, and its input, then prints `answer`.
    pub fn program(&self, name: &str, answer: &str) {
        let log = self.path(&format!("{name}.calls"));
        let out = self.path(&format!("{name}.answer"));
        std::fs::write(&out, answer).unwrap();
        let script = format!(
            "#!/bin/sh\nprintf '%s\\0' \"$@\" >>'{log}'\nprintf '\\1' >>'{log}'\ncat >>'{log}'\nprintf '\\2' >>'{log}'\ncat '{out}'\n",
            log = log.display(),
            out = out.display()
        );
        self.script(name, &script);
    }

    pub fn script(&self, name: &str, script: &str) {
        let path = self.path("bin").join(name);
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// The calls of a program so far: arguments and input.
    pub fn calls(&self, name: &str) -> Vec<(Vec<String>, String)> {
        let log = std::fs::read_to_string(self.path(&format!("{name}.calls"))).unwrap_or_default();
        log.split('\u{2}')
            .filter(|call| !call.is_empty())
            .map(|call| {
                let (arguments, input) = call.split_once('\u{1}').unwrap();
                let arguments = arguments.split_terminator('\0').map(str::to_owned);
                (arguments.collect(), input.to_owned())
            })
            .collect()
    }

    /// Every built-in tool for a host, offered or not.
    pub fn offers(&self, host: Host) -> Vec<Offer> {
        offers(&Arc::new(host), &self.notebook, true)
    }

    pub fn tool(&self, host: Host, name: &str) -> Arc<dyn Tool> {
        let offer = self
            .offers(host)
            .into_iter()
            .find(|offer| offer.tool.spec().name == name)
            .unwrap_or_else(|| panic!("there is no tool {name}"));
        assert_eq!(offer.why_not, None, "{name} is offered");
        offer.tool
    }
}

/// Makes a call with all the time in the world.
pub async fn call(tool: &Arc<dyn Tool>, arguments: Value) -> Result<ToolOutput, ToolError> {
    tokio::time::timeout(PATIENCE, tool.call(arguments, CancellationToken::new()))
        .await
        .expect("a call ends")
}

pub async fn content(tool: &Arc<dyn Tool>, arguments: Value) -> String {
    call(tool, arguments).await.unwrap().content
}
