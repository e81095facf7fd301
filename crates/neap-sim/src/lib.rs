//! A deterministic simulator that runs the protocol core and knows the truth.
//!
//! The same machines that the actors drive, over virtual time, network, disks and clocks. One seed decides
//! everything, so that a failure is a number (the manner of FoundationDB's simulator and of TigerBeetle's VOPR).
//!
//! ```text
//!  workload ──steps──> clients ──┐                       ┌──> checkers: is it so?
//!  faults ────────────injector ──┼──> world ──> machines ┼──> truth: what was so
//!  seed ──> random, queue ───────┘    (nodes, network)   └──> trace: what happened
//! ```

pub mod checkers;
pub mod clients;
pub mod clock;
pub mod disk;
pub mod drive;
pub mod faults;
pub mod file;
pub mod indicators;
pub mod injector;
pub mod names;
pub mod network;
pub mod pbs;
pub mod process;
pub mod queue;
pub mod random;
pub mod report;
pub mod run;
pub mod scenario;
pub mod settings;
pub mod shrink;
pub mod trace;
pub mod transport;
pub mod truth;
pub mod verdicts;
pub mod wire;
pub mod workload;
pub mod world;

#[cfg(feature = "planted")]
#[cfg(test)]
mod planted_bugs;
