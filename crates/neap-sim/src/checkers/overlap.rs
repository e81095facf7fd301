//! Invariant 4: with R + W > N and strict quorum, a read that starts after a write was acknowledged returns that
//! write, or one that covers it.

use super::causality::shown;
use super::{Invariant, Violation};
use crate::truth::{KeyIndex, NEVER, Truth, VersionIndex};
use neap_protocol::causality::CausalContext;

/// A write, and the homes that its client was told of by then, as bits by place.
pub type Acknowledged = (VersionIndex, u32);

/// What a read that starts now may have to return: the writes that are acknowledged already.
#[must_use]
pub fn acknowledged_before(truth: &Truth, key: KeyIndex) -> Vec<Acknowledged> {
    let acked = truth.key(key).into_iter().flat_map(|key| key.acked.iter());
    let acked = acked.filter_map(|index| Some((*index, truth.version(*index)?)));
    acked
        .inspect(|(_, v)| debug_assert_ne!(v.acked_at, NEVER))
        .map(|(index, v)| (index, v.acked_by))
        .collect()
}

/// A read of `r` homes was answered with what `seen` covers.
///
/// Homes whose disk was set back unnoticed do not count, nor those for which a second node of their name spoke: they
/// hold less than was acknowledged, and nobody can know. Where an object was ever too large for its bounds (`outgrown`), homes
/// may have been left without it: then no more of them count than the write asked for.
pub fn answered(
    truth: &Truth,
    key: KeyIndex,
    outgrown: bool,
    before: &[Acknowledged],
    r: u8,
    seen: Option<&CausalContext>,
) -> Result<(), Violation> {
    let n = truth.key(key).map_or(0, |key| key.homes.len());
    for &(index, acked_by) in before {
        let Some(version) = truth.version(index) else { continue };
        let homes = (acked_by & !version.set_back & !version.by_ghost).count_ones() as usize;
        let homes = if outgrown { homes.min(usize::from(version.w)) } else { homes };
        let overlaps = usize::from(r) + homes > n;
        if overlaps && !truth.is_lost(index) && !seen.is_some_and(|seen| seen.covers(version.dot)) {
            let what = format!(
                "a read of R = {r} homes of {n} lacks {}, which {homes} homes had acknowledged before it began",
                shown(version.dot)
            );
            return Err(Violation::at(Invariant::Overlap, key, what));
        }
    }
    Ok(())
}
