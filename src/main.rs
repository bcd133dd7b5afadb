//! The `hark` command: parses, dispatches, prints an error with its remedy, exits with a documented code.

use std::process::ExitCode;

fn main() -> ExitCode {
    hark::cli::main()
}
