//! The speaking thread.
