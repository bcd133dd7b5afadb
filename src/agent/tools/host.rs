//! The machine as the built-in tools see it: which system, which programs, and how one is run.
//!
//! Which system and where programs are looked for are values, so that the tools of every system can be built and called in
//! a test on any; what differs is in [`super::argv`], which builds command lines and runs nothing.

use std::path::{Path, PathBuf};

use super::ToolError;
use super::argv::{CommandLine, Result as Wanted};
use crate::platform::child::{self, ChildError, Output, Run};
use crate::platform::{self, System};

/// See the module.
#[derive(Debug, Clone)]
pub struct Host {
    /// Whose command lines are used.
    pub system: System,
    /// Where programs are looked for.
    pub path: Vec<PathBuf>,
    /// The user's home folder.
    pub home: PathBuf,
    /// Variables that programs get besides ours, and that win over ours when it is asked what there is.
    pub environment: Vec<(String, String)>,
}

impl Host {
    /// This machine.
    #[must_use]
    pub fn here(home: PathBuf) -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        Self {
            system: platform::system(),
            path: std::env::split_paths(&path).collect(),
            home,
            environment: Vec::new(),
        }
    }

    /// Where a program lies.
    #[must_use]
    pub fn find(&self, program: &str) -> Option<PathBuf> {
        self.path
            .iter()
            // A relative folder in PATH would let a downloaded file be run by its name.
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(program))
            .find(|path| is_program(path))
    }

    /// Whether there is such a program.
    #[must_use]
    pub fn has(&self, program: &str) -> bool {
        self.find(program).is_some()
    }

    /// A variable of the environment; an empty one counts as none.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<String> {
        let own = self.environment.iter().find(|(key, _)| key == name);
        own.map(|(_, value)| value.clone())
            .or_else(|| std::env::var(name).ok())
            .filter(|value| !value.is_empty())
    }

    /// Runs a command line; what it printed.
    ///
    /// # Errors
    /// It is missing, took too long, or answered with an error.
    pub async fn run(&self, line: CommandLine) -> Result<String, ToolError> {
        let program = self
            .find(line.program)
            .ok_or_else(|| ToolError::Gone(format!("{} is not installed", line.program)))?;
        let mut environment = vec![("LC_ALL".to_owned(), self.locale().to_owned())];
        environment.extend(self.environment.iter().cloned());
        let printed = child::run(Run {
            program,
            arguments: line.arguments.into_iter().map(Into::into).collect(),
            input: line.input.map(String::into_bytes),
            output: match line.result {
                Wanted::Printed => Output::Keep(MOST_PRINTED),
                Wanted::Nothing => Output::Drop,
            },
            environment,
            folder: None,
            limit: line.limit,
        })
        .await
        .map_err(failed)?;
        match printed.code {
            Some(0) => Ok(printed.text),
            Some(code) if line.accepted.contains(&code) => Ok(printed.text),
            code => Err(ToolError::Failed(complaint(
                line.program,
                code,
                &printed.complaint,
            ))),
        }
    }

    /// What is printed is read by us: in English, but with every letter. `pbcopy` and `pbpaste` break letters outside ASCII
    /// where the locale does not name UTF-8, and macOS knows no `C.UTF-8`.
    fn locale(&self) -> &'static str {
        match self.system {
            System::MacOs => "en_US.UTF-8",
            System::Linux | System::Other => "C.UTF-8",
        }
    }
}

fn failed(error: ChildError) -> ToolError {
    match error {
        ChildError::Missing { .. } => ToolError::Gone(error.to_string()),
        ChildError::Failed { .. } | ChildError::TimedOut { .. } => {
            ToolError::Failed(error.to_string())
        }
    }
}

fn complaint(program: &str, code: Option<i32>, line: &str) -> String {
    let line: String = line.chars().take(200).collect();
    match (code, line.trim()) {
        (None, _) => format!("{program} was ended by a signal"),
        (Some(code), "") => format!("{program} failed with exit code {code}"),
        (Some(_), line) => format!("{program} failed: {line}"),
    }
}

#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(path: &Path) -> bool {
    path.is_file()
}

/// Bytes that are read of what a program prints.
const MOST_PRINTED: usize = 256 * 1024;
