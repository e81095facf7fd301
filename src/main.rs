//! The `neap` binary: parse, configure, call one command.

fn main() {}
