//! The user's Shortcuts on macOS.

use std::sync::Arc;

use serde_json::Value;

use super::super::arguments::{Arguments, brief, spoken, wrong};
use super::super::argv::macos;
use super::{Offer, Words, destroy, object, text};
use super::{ToolError, ToolOutput};
use crate::agent::tools::host::Host;
use crate::platform::System;

pub(super) fn offers(host: &Arc<Host>) -> Vec<Offer> {
    // A Shortcut can send, pay and delete, and does not say so.
    let words = Words {
        name: "run_shortcut",
        description: "Run one of the user's Shortcuts by its name.",
        parameters: object(
            &[
                ("name", text("its name")),
                ("input", text("text that it gets")),
            ],
            &["name"],
        ),
        class: destroy,
        filler: |arguments| format!("Running {}.", spoken(arguments, "name", "the Shortcut")),
        confirmation: |arguments| match spoken(arguments, "input", "").as_str() {
            "" => format!("Run the Shortcut {}?", spoken(arguments, "name", "that")),
            input => format!(
                "Run the Shortcut {} with: {input}?",
                spoken(arguments, "name", "that")
            ),
        },
    };
    let why_not = if host.system == System::MacOs {
        super::opening::missing(host, "shortcuts", "it comes with macOS 12")
    } else {
        Some("Shortcuts exist on macOS only".to_owned())
    };
    vec![words.with(host, run_shortcut).within(75).unless(why_not)]
}

async fn run_shortcut(host: Arc<Host>, arguments: Value) -> Result<ToolOutput, ToolError> {
    let read = Arguments::new(&arguments, &["name", "input"])?;
    let wanted = read.required("name")?;
    let input = read.text("input")?;
    let printed = host.run(macos::shortcuts()).await?;
    let all: Vec<&str> = printed.lines().map(str::trim).collect();
    let name = all
        .iter()
        .find(|name| **name == wanted)
        .or_else(|| all.iter().find(|name| name.eq_ignore_ascii_case(wanted)))
        .ok_or_else(|| {
            wrong(&format!(
                "name is {wanted}, and no Shortcut has it; {}",
                near(wanted, &all)
            ))
        })?;
    let output = host.run(macos::shortcut(name, input)).await?;
    Ok(ToolOutput {
        content: if output.trim().is_empty() {
            format!("The Shortcut {name} has run.")
        } else {
            output
        },
        did: Some(format!("The Shortcut {name} has run.")),
    })
}

/// The names that are most like the wanted one.
fn near(wanted: &str, all: &[&str]) -> String {
    let wanted = wanted.to_lowercase();
    let mut rated: Vec<(f64, &str)> = all
        .iter()
        .map(|name| (strsim::jaro_winkler(&wanted, &name.to_lowercase()), *name))
        .collect();
    rated.sort_by(|a, b| b.0.total_cmp(&a.0));
    let names: Vec<String> = rated
        .iter()
        .take(5)
        .map(|(_, name)| brief(name, 40))
        .collect();
    if names.is_empty() {
        "there are none".to_owned()
    } else {
        format!("there are: {}", names.join(", "))
    }
}
