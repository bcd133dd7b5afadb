//! Command lines of the built-in tools: which program with which arguments, for each system.
//!
//! Pure: nothing is run or looked up here, so that the command lines of macOS are tested on Linux, too. What the user or the
//! model said is always an argument of its own or standard input: never part of a script, never seen by a shell.

pub mod linux;
pub mod macos;

use std::time::Duration;

/// One program to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    /// Its name, looked for in PATH.
    pub program: &'static str,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// What it reads.
    pub input: Option<String>,
    /// What of it is wanted.
    pub result: Result,
    /// Exit codes besides 0 that are no failure.
    pub accepted: &'static [i32],
    /// How long it may take.
    pub limit: Duration,
}

/// What is wanted of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Result {
    /// What it prints.
    Printed,
    /// That it succeeds. It may leave a helper behind.
    Nothing,
}

impl CommandLine {
    fn new(program: &'static str, arguments: &[&str]) -> Self {
        Self {
            program,
            arguments: arguments
                .iter()
                .map(|argument| (*argument).to_owned())
                .collect(),
            input: None,
            result: Result::Printed,
            accepted: &[],
            limit: Duration::from_secs(5),
        }
    }

    fn reading(mut self, input: &str) -> Self {
        self.input = Some(input.to_owned());
        self
    }

    fn for_effect(mut self) -> Self {
        self.result = Result::Nothing;
        self
    }

    fn within(mut self, seconds: u64) -> Self {
        self.limit = Duration::from_secs(seconds);
        self
    }
}

/// What is done to music and films.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// Goes on.
    Play,
    /// Halts.
    Pause,
    /// The one or the other.
    Toggle,
    /// The next piece.
    Next,
    /// The piece before.
    Previous,
    /// What is played; changes nothing.
    Status,
}
