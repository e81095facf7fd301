//! Invariant 8: the same seed gives the same run, event for event.

use super::{Invariant, Violation};

/// Two runs of one seed came to these hashes of their events.
pub fn same(first: u64, second: u64) -> Result<(), Violation> {
    if first == second {
        return Ok(());
    }
    let what = format!("two runs of one seed differ: their events hash to {first:016x} and {second:016x}");
    Err(Violation::of(Invariant::Determinism, what))
}
