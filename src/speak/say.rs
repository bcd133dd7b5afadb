//! The macOS say command.
