//! Text to what is said.
