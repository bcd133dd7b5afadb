//! Notes as tools.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::arguments::{Arguments, brief, spoken, wrong};
use super::{Offer, Words, act, blocking, destroy, done, found, number, object, read, text};
use super::{ToolError, ToolOutput};
use crate::agent::notebook::Notebook;
use crate::platform::clock;

pub(super) fn offers(notebook: &Arc<Notebook>) -> Vec<Offer> {
    let add = Words {
        name: "add_note",
        description: "Keep a note for the user.",
        parameters: object(&[("text", text("the note"))], &["text"]),
        class: act,
        filler: |arguments| format!("Noting {}.", spoken(arguments, "text", "that")),
        confirmation: |arguments| format!("Keep the note: {}?", spoken(arguments, "text", "this")),
    };
    let find = Words {
        name: "find_notes",
        description: "List the user's notes, newest first, or those that hold some words.",
        parameters: object(
            &[("query", text("words to look for; empty lists all"))],
            &[],
        ),
        class: read,
        filler: |arguments| match spoken(arguments, "query", "").as_str() {
            "" => "Looking at your notes.".to_owned(),
            query => format!("Looking for {query} in your notes."),
        },
        confirmation: |arguments| {
            format!(
                "Look for {} in your notes?",
                spoken(arguments, "query", "everything")
            )
        },
    };
    let delete = Words {
        name: "delete_note",
        description: "Delete a note for good. Find it first: the words in it are read to the user.",
        parameters: object(
            &[
                ("id", number("its id")),
                ("text", text("its first words, exactly")),
            ],
            &["id", "text"],
        ),
        class: destroy,
        filler: |arguments| format!("Deleting the note {}.", spoken(arguments, "text", "")),
        confirmation: |arguments| {
            format!(
                "Delete the note: {}?",
                spoken(arguments, "text", "without words")
            )
        },
    };
    vec![
        add.with(notebook, add_note).here(),
        find.with(notebook, find_notes).here(),
        delete.with(notebook, delete_note).here(),
    ]
}

async fn add_note(notebook: Arc<Notebook>, arguments: Value) -> Result<ToolOutput, ToolError> {
    let text = Arguments::new(&arguments, &["text"])?
        .required("text")?
        .to_owned();
    let now = clock::wall().timestamp();
    let note = blocking(move || notebook.add_note(&text, now)).await?;
    done(format!("Noted: {}.", brief(note.text.as_str(), 80)))
}

async fn find_notes(notebook: Arc<Notebook>, arguments: Value) -> Result<ToolOutput, ToolError> {
    let query = Arguments::new(&arguments, &["query"])?
        .text("query")?
        .unwrap_or_default()
        .to_owned();
    let notes = blocking(move || notebook.notes(&query, MOST_FOUND)).await?;
    if notes.is_empty() {
        return found("There is no such note.");
    }
    let zone = clock::wall().time_zone().clone();
    let lines: Vec<String> = notes
        .iter()
        .map(|note| {
            let made = note.made.to_zoned_datetime(zone.clone());
            let made = made.strftime("%Y-%m-%d").to_string();
            json!({"id": note.id, "made": made, "text": note.text.as_str()}).to_string()
        })
        .collect();
    found(lines.join("\n"))
}

/// The words are asked for beside the id, so that the question that asks for consent can read them, and they must be the
/// note's own: an id alone would let a yes to one note delete another.
async fn delete_note(notebook: Arc<Notebook>, arguments: Value) -> Result<ToolOutput, ToolError> {
    let read = Arguments::new(&arguments, &["id", "text"])?;
    let id = read
        .integer("id", 1, i64::from(u32::MAX))?
        .ok_or_else(|| wrong("id is missing"))?;
    let words = plain(read.required("text")?);
    let book = Arc::clone(&notebook);
    let note = blocking(move || book.note(id))
        .await?
        .ok_or_else(|| wrong(&format!("id is {id}, and there is no such note")))?;
    if words.is_empty() || !plain(note.text.as_str()).starts_with(&words) {
        return Err(wrong("text is not how that note begins; find_notes tells"));
    }
    blocking(move || notebook.delete_note(id)).await?;
    done(format!(
        "The note is deleted: {}.",
        brief(note.text.as_str(), 60)
    ))
}

/// Letters and figures only, so that a quotation mark or a line break makes no difference.
fn plain(text: &str) -> String {
    text.chars()
        .filter(|letter| letter.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

/// Notes that are told at once.
const MOST_FOUND: usize = 30;
