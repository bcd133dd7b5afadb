//! The agent: answers a question from the local intents or the resident model, clause by clause.

pub mod clauses;
pub mod intents;
pub mod spoken;
