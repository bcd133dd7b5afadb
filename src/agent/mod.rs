//! The agent: answers a question from the local intents or the resident model, clause by clause.

pub mod answer;
pub mod clauses;
pub mod consent;
pub mod data;
pub mod dead_air;
pub mod decision;
pub mod engine;
pub mod facts;
pub mod intents;
pub mod journal;
pub mod notebook;
pub mod prefix;
pub mod prompt;
pub mod schedule;
pub mod spoken;
pub mod tools;
