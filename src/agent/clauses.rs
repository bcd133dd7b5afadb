//! Token stream to speakable clauses.
