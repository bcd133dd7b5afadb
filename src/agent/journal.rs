//! What one turn has done with its tools, for the history of the next ones.
//!
//! Shared by the loop, which writes each call before it makes it and each result as it comes, and the desk, which reads
//! when the turn is over. So a turn that is cut off at any point leaves a true account: a call that was under way then is
//! told to the model as interrupted. Nothing waits while the lock is held.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::consent::Held;
use super::spoken::spoken;
use crate::llm::{Message, Role, ToolCall};

/// The account of a turn. Copies share it.
#[derive(Clone, Default)]
pub struct Journal(Arc<Mutex<Pages>>);

#[derive(Default)]
struct Pages {
    rounds: Vec<Round>,
    held: Option<Held>,
}

/// One time that the model asked for tools.
struct Round {
    /// What it wrote before its calls.
    text: String,
    calls: Vec<ToolCall>,
    /// What each brought, as the model is told.
    results: Vec<Option<String>>,
}

impl Journal {
    /// Notes that the model has asked for `calls`.
    pub fn begin(&self, text: &str, calls: &[ToolCall]) {
        self.pages().rounds.push(Round {
            text: text.to_owned(),
            calls: calls.to_vec(),
            results: vec![None; calls.len()],
        });
    }

    /// Notes what the call at `place` of the newest round brought.
    pub fn result(&self, place: usize, content: &str) {
        if let Some(slot) = self
            .pages()
            .rounds
            .last_mut()
            .and_then(|round| round.results.get_mut(place))
        {
            *slot = Some(content.to_owned());
        }
    }

    /// Notes that the turn ends with the question about this call.
    pub fn hold(&self, held: Held) {
        self.pages().held = Some(held);
    }

    /// Takes out the call that the user is asked about.
    #[must_use]
    pub fn take_held(&self) -> Option<Held> {
        self.pages().held.take()
    }

    /// Whether a tool was asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pages().rounds.is_empty()
    }

    /// The newest round as the model gets it: its own message, and an answer to each call.
    #[must_use]
    pub fn newest(&self) -> Vec<Message> {
        let pages = self.pages();
        let mut messages = Vec::new();
        if let Some(round) = pages.rounds.last() {
            round.messages(&round.text, &mut messages);
        }
        messages
    }

    /// The messages between a question and the end of its answer, of which `heard` was heard. What the model wrote before a
    /// call stands there only if it was heard; returned with it is what was heard after the last call.
    #[must_use]
    pub fn messages(&self, heard: &str) -> (Vec<Message>, String) {
        let pages = self.pages();
        let mut messages = Vec::new();
        let mut rest = heard.trim();
        for round in &pages.rounds {
            let said = spoken(&round.text);
            let text = match rest.strip_prefix(said.as_str()) {
                Some(after) if !said.is_empty() => {
                    rest = after.trim_start();
                    round.text.as_str()
                }
                _ => "",
            };
            round.messages(text, &mut messages);
        }
        (messages, rest.to_owned())
    }

    /// No holder of this lock waits or panics.
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Round {
    fn messages(&self, text: &str, out: &mut Vec<Message>) {
        out.push(Message {
            tool_calls: self.calls.clone(),
            ..Message::new(Role::Assistant, text)
        });
        for (call, result) in self.calls.iter().zip(&self.results) {
            let content = result.as_deref().unwrap_or(INTERRUPTED);
            out.push(Message {
                tool_call_id: Some(call.id.clone()),
                tool_name: Some(call.name.clone()),
                ..Message::new(Role::Tool, content)
            });
        }
    }
}

/// What the model is told of a call that the user cut off.
const INTERRUPTED: &str = "interrupted by the user before it ended; it may not have been done";

#[cfg(test)]
mod tests {
    use super::*;

    fn call(id: &str) -> ToolCall {
        ToolCall {
            id: id.to_owned(),
            name: "look".to_owned(),
            arguments: serde_json::json!({}),
        }
    }

    #[test]
    fn a_call_without_a_result_was_interrupted() {
        let journal = Journal::default();
        journal.begin("Let me see.", &[call("a"), call("b")]);
        journal.result(0, "sun");
        let (messages, rest) = journal.messages("Let me");
        let contents: Vec<&str> = messages.iter().map(|m| m.content.as_str()).collect();
        assert_eq!(contents, ["", "sun", INTERRUPTED]);
        assert_eq!(messages[2].tool_call_id.as_deref(), Some("b"));
        assert_eq!(rest, "Let me");
    }

    #[test]
    fn what_was_heard_before_a_call_stands_before_it() {
        let journal = Journal::default();
        journal.begin("Let me see.", &[call("a")]);
        journal.result(0, "sun");
        let (messages, rest) = journal.messages("Let me see. The sun shines.");
        assert_eq!(messages[0].content, "Let me see.");
        assert_eq!(rest, "The sun shines.");
    }
}
