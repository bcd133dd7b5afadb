//! The tools on the desk: those that were laid there, and those of the settings, which come and go with their servers.

use std::sync::Arc;

use crate::agent::consent::{Permission, Permissions};
use crate::agent::tools::Toolbox;
use crate::agent::tools::select::Selection;
use crate::config::tools;
use crate::daemon::tools::Registry;

/// See the module.
#[derive(Default)]
pub(super) struct Equipment {
    laid: Toolbox,
    permissions: Permissions,
    registry: Option<Arc<Registry>>,
    selection: Selection,
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
    pub(super) fn take_over(&self, rules: &tools::Tools) {
        if let Some(registry) = &self.registry {
            registry.take_over(rules);
        }
    }

    /// What is offered for `question`, and what each may do: the laid ones always, the others as far as their budget goes;
    /// `off_record` none of ours that writes words down.
    pub(super) fn offer(&mut self, question: &str, off_record: bool) -> (Toolbox, Permissions) {
        let Some(registry) = &self.registry else {
            return (self.laid.clone(), self.permissions.clone());
        };
        let budget = registry.budget_tokens();
        let chosen = registry
            .toolbox()
            .select(&mut self.selection, question, budget);
        let mut rules: Vec<(String, Permission)> = Vec::new();
        for tool in self.laid.all() {
            let name = tool.spec().name;
            rules.extend(self.permissions.of(&name).map(|rule| (name, rule)));
        }
        let silent = |name: &str| !(off_record && WRITERS.contains(&name));
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
            let rule = registry.permission(&name).map(|rule| match rule {
                tools::Permission::Allow => Permission::Allow,
                tools::Permission::Ask => Permission::Ask,
                tools::Permission::Deny => Permission::Deny,
            });
            rules.extend(rule.map(|rule| (name, rule)));
        }
        let all = self.laid.all().iter().chain(chosen.all()).cloned();
        (Toolbox::new(all.collect()), Permissions::new(rules))
    }
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
