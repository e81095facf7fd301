//! `neap sim`: the deterministic simulator.

mod latency;
mod pbs;
pub(super) mod progress;
mod run;
mod show;

use clap::{Args, Subcommand};

use super::exit::Exit;

/// Arguments of `neap sim`.
#[derive(Debug, Clone, Args)]
#[command(
    about = "Runs the protocol in a simulated cluster, and holds it to its promises",
    long_about = "Runs the very code that nodes run over simulated time, network, disks and clocks. One seed decides \
                  everything that happens, faults among it, so the same seed gives the same run on every machine. What \
                  was true is recorded beside what the cluster says, and each invariant of ARCHITECTURE.md is checked. \
                  A violation ends with exit code 5, the shortest schedule that breaks the invariant too, and the \
                  command that replays it.",
    after_help = "Examples:\n  \
                  neap sim --seeds 100 --faults heavy --jobs 2\n  \
                  neap sim --nodes 300 --zones 3 --ops 200000 --faults none\n  \
                  neap sim --scenario outage.toml\n  \
                  neap sim --seed 4711 --faults heavy --trace\n  \
                  neap sim pbs --latency lnkd-disk --quorum 3,1,1",
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub struct SimArgs {
    #[command(flatten)]
    run: run::RunArgs,
    #[command(subcommand)]
    experiment: Option<Experiment>,
}

#[derive(Debug, Clone, Subcommand)]
enum Experiment {
    /// How likely a read returns the last write, so long after its commit: simulated, by Monte Carlo, and as published
    Pbs(pbs::PbsArgs),
}

/// Runs the command.
#[must_use]
pub fn run(args: SimArgs, json: bool) -> Exit {
    match args.experiment {
        None => run::run(&args.run, json),
        Some(Experiment::Pbs(args)) => pbs::run(&args, json),
    }
}
