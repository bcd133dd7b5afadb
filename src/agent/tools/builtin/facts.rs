//! What the user asked to be remembered, as tools. The facts themselves are in the prompt already.

use std::sync::Arc;

use serde_json::Value;

use super::super::arguments::{Arguments, spoken, wrong};
use super::{Offer, Words, act, blocking, destroy, done, found, object, read, text};
use super::{ToolError, ToolOutput};
use crate::agent::facts::{LONGEST_FACT, find};
use crate::agent::notebook::Notebook;
use crate::platform::clock;

pub(super) fn offers(notebook: &Arc<Notebook>) -> Vec<Offer> {
    let remember = Words {
        name: "remember_fact",
        description: "Remember something about the user for ever. Only when the user asks for it.",
        parameters: object(
            &[("fact", text("one short sentence in the user's words"))],
            &["fact"],
        ),
        class: act,
        filler: |arguments| format!("Remembering {}.", spoken(arguments, "fact", "that")),
        confirmation: |arguments| {
            format!("Shall I remember: {}?", spoken(arguments, "fact", "this"))
        },
    };
    let list = Words {
        name: "list_facts",
        description: "List what the user asked to be remembered.",
        parameters: object(&[], &[]),
        class: read,
        filler: |_| "Looking at what I remember.".to_owned(),
        confirmation: |_| "List what I remember about you?".to_owned(),
    };
    let forget = Words {
        name: "forget_fact",
        description: "Forget something that the user asked to be remembered.",
        parameters: object(&[("fact", text("the fact as it is remembered"))], &["fact"]),
        class: destroy,
        filler: |arguments| format!("Forgetting {}.", spoken(arguments, "fact", "that")),
        confirmation: |arguments| format!("Shall I forget: {}?", spoken(arguments, "fact", "this")),
    };
    vec![
        remember.with(notebook, remember_fact).here(),
        list.with(notebook, list_facts).here(),
        forget.with(notebook, forget_fact).here(),
    ]
}

async fn remember_fact(notebook: Arc<Notebook>, arguments: Value) -> Result<ToolOutput, ToolError> {
    let read = Arguments::new(&arguments, &["fact"])?;
    let fact = read.required("fact")?.to_owned();
    if fact.chars().count() > LONGEST_FACT {
        return Err(wrong(&format!(
            "fact is longer than {LONGEST_FACT} characters"
        )));
    }
    let now = clock::wall().timestamp();
    let (fact, new) = blocking(move || notebook.remember(&fact, now)).await?;
    let fact = fact.text.as_str().trim_end_matches('.').to_owned();
    done(if new {
        format!("I'll remember: {fact}.")
    } else {
        format!("I know that already: {fact}.")
    })
}

async fn list_facts(notebook: Arc<Notebook>, arguments: Value) -> Result<ToolOutput, ToolError> {
    Arguments::new(&arguments, &[])?;
    let facts = notebook.facts();
    if facts.is_empty() {
        return found("Nothing is remembered.");
    }
    let lines: Vec<&str> = facts.iter().map(|fact| fact.text.as_str()).collect();
    found(lines.join("\n"))
}

async fn forget_fact(notebook: Arc<Notebook>, arguments: Value) -> Result<ToolOutput, ToolError> {
    let read = Arguments::new(&arguments, &["fact"])?;
    let said = read.required("fact")?;
    let facts = notebook.facts();
    let fact = find(&facts, said)
        .ok_or_else(|| wrong("fact is nothing that is remembered; list_facts tells"))?;
    let id = fact.id;
    blocking(move || notebook.forget(id)).await?;
    done(format!(
        "I have forgotten: {}.",
        fact.text.as_str().trim_end_matches('.')
    ))
}
