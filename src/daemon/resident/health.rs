//! How memory stands: the plan, the system's level, and what was given up for it.

use crate::control::ChangeStatus;
use crate::memory::pressure::Step;
use crate::memory::{Plan, Pressure};

/// Written by the keeper, read for `status`.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// The plan of this machine with the models of the settings, made at the start.
    pub plan: Option<Plan>,
    /// Memory that the resident server and its children hold, as of the last closer look, in bytes.
    pub resident_bytes: Option<u64>,
    /// How short memory is, where the system tells.
    pub pressure: Option<Pressure>,
    /// What is given up now, the first step first.
    pub given_up: Vec<Step>,
    /// The backend was not started, because it needs the first and only the second is free, in bytes.
    pub shortage: Option<(u64, u64)>,
    /// The last change that was asked for by a command.
    pub change: Option<ChangeStatus>,
    /// The smaller speech model that hears for now.
    pub speech: Option<String>,
}
