//! The `neap` binary: parse, configure, call one command.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(neap::cli::run().code())
}
