//! The transcript log in SQLite.
