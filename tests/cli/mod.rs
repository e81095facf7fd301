//! The program as its user meets it: the real binary.

mod bench_staleness;
mod client_commands;
mod client_connections;
mod config_exposure;
mod config_members;
mod config_refused;
mod config_secret;
mod config_sources;
mod demo;
mod load;
mod node_help;
mod scripted_node;
mod sim;
mod slo;

use std::process::{Command, Output, Stdio};

/// The program with `args`, and no configuration but what the test gives.
fn neap(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_neap"));
    command.args(args).env_clear().stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Output {
    neap(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// `node --print-config` with each of `sets`.
fn print_config(sets: &[&str]) -> Output {
    let mut args = vec!["node", "--print-config"];
    args.extend(sets.iter().flat_map(|set| ["--set", set]));
    run(&args)
}
