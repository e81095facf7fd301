//! Invariant 1: an acknowledged write is never lost while one of the replicas that acknowledged it keeps what it
//! acknowledged: its disk, and under `interval` and `os` its power.

use super::causality::shown;
use super::{Invariant, Violation};
use crate::network::NodeIndex;
use crate::truth::{KeyIndex, NEVER, Truth, VersionIndex};
use neap_protocol::causality::Object;

/// A node that kept its disk came back from a crash with this under a key: all that it had acknowledged must be in
/// it, or covered.
pub fn after_crash(
    truth: &Truth,
    key: KeyIndex,
    node: NodeIndex,
    object: Option<&Object>,
) -> Result<(), Violation> {
    let Some(place) = truth.place(key, node) else { return Ok(()) };
    let recent = truth.key(key).into_iter().flat_map(|key| key.recent.iter());
    for version in recent.filter_map(|index| truth.version(*index)) {
        let promised = version.promised & 1 << place != 0;
        let kept = object.is_some_and(|object| object.context().covers(version.dot));
        if promised && !kept {
            let what = format!(
                "node {node} acknowledged {} and lost it with the power, though its disk is whole",
                shown(version.dot)
            );
            return Err(Violation::at(Invariant::Durability, key, what));
        }
    }
    Ok(())
}

/// A client was told that a write succeeded at these homes: at least W different ones, each of which acknowledged it.
pub fn acknowledged(
    truth: &Truth,
    index: VersionIndex,
    homes: &[NodeIndex],
    required: u8,
) -> Result<(), Violation> {
    let Some(version) = truth.version(index) else { return Ok(()) };
    let places = version.applied_at.iter().enumerate();
    let has = places.fold(0, |has, (place, at)| has | u32::from(*at != NEVER) << place);
    let told = homes.iter().filter_map(|home| truth.place(version.key, *home));
    let told = told.fold(0_u32, |bits, place| bits | 1 << place);
    let said = told & (version.ever_promised | has);
    if told.count_ones() < u32::from(required) || said != told {
        let what = format!(
            "{} was acknowledged to its client by the homes {:#b}, W = {required}, and only {:#b} of them did",
            shown(version.dot),
            told,
            said
        );
        return Err(Violation::at(Invariant::Durability, version.key, what));
    }
    Ok(())
}

/// What all homes of a key hold together, at the end: nothing that was acknowledged is missing, unless every disk
/// that held it is gone.
pub fn at_the_end(truth: &Truth, key: KeyIndex, together: &Object) -> Result<(), Violation> {
    let acked = truth.key(key).into_iter().flat_map(|key| key.acked.iter());
    for (index, version) in acked.filter_map(|index| Some((*index, truth.version(*index)?))) {
        if !truth.is_lost(index) && !together.context().covers(version.dot) {
            let what = format!("{} was acknowledged, and at the end no home has it", shown(version.dot));
            return Err(Violation::at(Invariant::Durability, key, what));
        }
    }
    Ok(())
}
