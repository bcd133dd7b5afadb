//! The agent: answers a question from the local intents or the resident model, clause by clause.

pub mod answer;
pub mod clauses;
pub mod decision;
pub mod engine;
pub mod intents;
pub mod prefix;
pub mod prompt;
pub mod spoken;
pub mod tools;
