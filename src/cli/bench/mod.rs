//! `neap bench`: measured figures of a running or a self-made cluster.

mod ceiling;
mod cluster;
mod cost;
mod cpu;
mod fairness;
mod generator;
mod kv;
mod memory;
mod memory_limit;
mod overload;
mod progress;
mod staleness;
mod target;

use clap::{Args, Subcommand};

use super::exit::Exit;

/// Arguments of `neap bench`.
#[derive(Debug, Clone, Args)]
#[command(
    about = "Measures a running or a self-made cluster",
    after_help = "Examples:\n  \
                  neap bench kv --commit fsync --operations get:1,put:2 --duration 5s\n  \
                  neap bench memory --nodes 1\n  \
                  neap bench overload --duration 10s\n  \
                  neap bench fairness --operations put:2\n  \
                  neap bench staleness --at 0ms,1ms,5ms,10ms,50ms"
)]
pub struct BenchArgs {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Clone, Subcommand)]
enum Bench {
    Kv(kv::KvArgs),
    Cost(cost::CostArgs),
    Staleness(staleness::StalenessArgs),
    Memory(memory::MemoryArgs),
    Overload(overload::OverloadArgs),
    Fairness(fairness::FairnessArgs),
    /// A bare handler, as the ceiling of what any server could reach here
    #[command(hide = true)]
    CeilingServer(ceiling::CeilingArgs),
}

/// Runs the command.
#[must_use]
pub fn run(args: BenchArgs, json: bool) -> Exit {
    match args.bench {
        Bench::Kv(args) => kv::run(&args, json),
        Bench::Cost(args) => cost::run(&args, json),
        Bench::Staleness(args) => staleness::run(&args, json),
        Bench::Memory(args) => memory::run(&args, json),
        Bench::Overload(args) => overload::run(&args, json),
        Bench::Fairness(args) => fairness::run(&args, json),
        Bench::CeilingServer(args) => ceiling::run(&args),
    }
}
