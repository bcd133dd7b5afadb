//! What is said for what a model writes: a table of texts, each also fed one character at a time, and the properties of
//! the splitter for arbitrary texts.

#![allow(clippy::unwrap_used)]

mod clauses;
mod table;
