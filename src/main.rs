//! The `hark` command: parses, dispatches, prints an error with its remedy, exits with a documented code.

fn main() {}
