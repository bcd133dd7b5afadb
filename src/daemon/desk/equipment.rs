//! The tools on the desk: those that were laid there, and those of the settings, which come and go with their servers.

use std::sync::Arc;

use crate::agent::consent::{Permission, Permissions};
use crate::agent::prompt;
use crate::agent::tools::Toolbox;
use crate::agent::tools::select::Selection;
use crate::config::tools::Tools;
use crate::daemon::tools::Registry;

/// See the module.
#[derive(Default)]
pub(super) struct Equipment {
    laid: Toolbox,
    permissions: Permissions,
    registry: Option<Arc<Registry>>,
    selection: Selection,
    /// Nothing that the user says is to be written down.
    off_record: bool,
}

impl Equipment {
    /// Lays tools on the desk. Those that `permissions` deny are left out, so that the model never hears of them.
    pub(super) fn lay(&mut self, tools: &Toolbox, permissions: Permissions) {
        let offered = tools.all().iter().filter(|tool| {
            let permission = permissions.of(&tool.spec().name);
            permission != Some(Permission::Deny)
        });
        self.laid = Toolbox::new(offered.cloned().collect());
        self.permissions = permissions;
    }

    /// Puts the tools of the settings beside them.
    pub(super) fn connect(&mut self, registry: Arc<Registry>) {
        self.registry = Some(registry);
    }

    /// Other rules for the tools of the settings.
    pub(super) fn take_over(&self, rules: &Tools) {
        if let Some(registry) = &self.registry {
            registry.take_over(rules);
        }
    }

    /// The tools of the settings.
    pub(super) fn registry(&self) -> Option<Arc<Registry>> {
        self.registry.clone()
    }

    /// Off the record none of ours is offered that writes words down.
    pub(super) const fn off_record(&mut self, off: bool) {
        self.off_record = off;
    }

    /// A tool was called: it stays on offer longer.
    pub(super) fn used(&mut self, name: &str) {
        self.selection.used(name);
    }

    /// What is offered for `question` beside the static prompt `system`, and what each may do: the laid ones always, the
    /// others as far as their budget and that of the whole beginning go. It is what the next question finds on offer after
    /// [`Self::settle`].
    pub(super) fn offer(&self, question: &str, system: &str) -> Offer {
        let mut selection = self.selection.clone();
        let Some(registry) = &self.registry else {
            return Offer {
                tools: self.laid.clone(),
                permissions: self.permissions.clone(),
                selection,
            };
        };
        let laid = prompt::estimate_tools(&self.laid.specs());
        let left = prompt::tool_budget(system).saturating_sub(laid);
        let budget = registry.budget_tokens().min(left);
        let chosen = registry.toolbox().select(&mut selection, question, budget);
        let mut rules: Vec<(String, Permission)> = Vec::new();
        for tool in self.laid.all() {
            let name = tool.spec().name;
            rules.extend(self.permissions.of(&name).map(|rule| (name, rule)));
        }
        let silent = |name: &str| !(self.off_record && WRITERS.contains(&name));
        let chosen = Toolbox::new(
            chosen
                .all()
                .iter()
                .filter(|tool| silent(&tool.spec().name))
                .cloned()
                .collect(),
        );
        for tool in chosen.all() {
            let name = tool.spec().name;
            let rule = registry.permission(&name);
            rules.extend(rule.map(|rule| (name, rule)));
        }
        let all = self.laid.all().iter().chain(chosen.all()).cloned();
        Offer {
            tools: Toolbox::new(all.collect()),
            permissions: Permissions::new(rules),
            selection,
        }
    }

    /// What a conversation begins with; it stays on offer.
    pub(super) fn begin(&mut self, system: &str) -> Toolbox {
        let offer = self.offer("", system);
        self.settle(&offer);
        offer.tools
    }

    /// The question was asked with this offer.
    pub(super) fn settle(&mut self, offer: &Offer) {
        self.selection.clone_from(&offer.selection);
    }
}

/// What the model is offered for one question.
#[derive(Clone)]
pub(super) struct Offer {
    pub(super) tools: Toolbox,
    pub(super) permissions: Permissions,
    selection: Selection,
}

/// Our own tools that write words of the user to the disk.
const WRITERS: &[&str] = &[
    "add_event",
    "add_note",
    "add_reminder",
    "remember_fact",
    "set_alarm",
    "set_reminder",
    "set_timer",
];
