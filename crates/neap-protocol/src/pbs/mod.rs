//! Probabilistically bounded staleness: how likely a read returns the last write, so long after its commit.
//!
//! The WARS model (Bailis, Venkataraman, Franklin, Hellerstein, Stoica, "Probabilistically Bounded Staleness for
//! Practical Partial Quorums", VLDB 2012, section 5): a write goes to all N replicas and commits at the W-th
//! acknowledgement; a read that starts `t` later goes to all N and returns the first R answers. Four one-way delays a
//! replica decide: the write out (W), its acknowledgement back (A), the read out (R), its answer back (S). Repair,
//! hints and failures are not in the model.

mod curve;
mod delay;
mod homes;
mod legs;
mod published;
mod wars;

pub use curve::{Curve, percentile};
pub use delay::{Component, Delay, InvalidDelay, Shape};
pub use homes::{AtHomes, HomeLegs};
pub use legs::{Legs, Preset, WAN_ONE_WAY_MS};
pub use published::Published;
pub use wars::{Experiment, Trial, k_staleness, monotonic_reads, one_replica_set};
