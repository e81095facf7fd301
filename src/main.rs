//! The `neap` binary: parse, configure, call one command.

use std::process::ExitCode;

/// Values are made on one thread and dropped on another, which is what the system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(neap::cli::run().code())
}
