//! What each node should hold: shares by weight, within what the zones allow, rounded to whole slots.
//!
//! Fixed-point numbers throughout, so that every machine comes to the same shares.
#![expect(
    clippy::indexing_slicing,
    reason = "every list has an entry for each node or each zone, and every index is that of a node or a zone"
)]

use super::member::NodeIndex;
use super::zones::{Spread, Zones};

/// Fraction bits of a share.
const SHARE_BITS: u32 = 32;

/// Fraction bits of a level: a share for each thousandth of weight.
const LEVEL_BITS: u32 = 64;

/// Above every level: 2^16 partitions, held for one thousandth of weight.
const LEVEL_MAX: u128 = 1 << (LEVEL_BITS + 16);

/// Shares closer to a whole number than this are that number. Above the rounding errors of all nodes
/// together, and so small that all nodes together stay below one slot.
const EPSILON: u128 = 1 << (SHARE_BITS - 14);

/// How many slots a node should hold, a fraction with [`SHARE_BITS`] bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Share(u128);

impl Share {
    /// The share in whole slots, rounded down.
    fn floor(self) -> u32 {
        to_slots(self.0 + EPSILON)
    }

    /// The share in whole slots, rounded up.
    fn ceil(self) -> u32 {
        to_slots((self.0 + (1 << SHARE_BITS) - 1).saturating_sub(EPSILON))
    }
}

fn to_slots(share: u128) -> u32 {
    u32::try_from(share >> SHARE_BITS).unwrap_or(u32::MAX)
}

/// The share of a node at a level of the water, and no more than its cap in slots.
fn fill(level: u128, weight: u32, cap: u32) -> u128 {
    ((level * u128::from(weight)) >> (LEVEL_BITS - SHARE_BITS)).min(u128::from(cap) << SHARE_BITS)
}

/// The highest level at which no more than `total` is filled.
fn level(total: u128, filled: impl Fn(u128) -> u128) -> u128 {
    let (mut low, mut high) = (0, LEVEL_MAX);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if filled(middle) <= total {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    low
}

/// The shares of `total` slots by weight, where no node can hold more than its cap: what does not fit goes
/// to the others.
pub(super) fn capped(total: u32, weights: &[u32], caps: &[u32]) -> Vec<Share> {
    let at = |level: u128| weights.iter().zip(caps).map(move |(&weight, &cap)| fill(level, weight, cap));
    let level = level(u128::from(total) << SHARE_BITS, |level| at(level).sum());
    at(level).map(Share).collect()
}

/// How many slots each zone may hold in all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    pub(super) least: u32,
    pub(super) most: u32,
}

/// What each zone may hold over all partitions.
pub(super) fn zone_ranges(spread: &[Spread], partitions: u32) -> Vec<Range> {
    let slots = |homes: usize| u32::try_from(homes).unwrap_or(u32::MAX).saturating_mul(partitions);
    spread.iter().map(|spread| Range { least: slots(spread.least), most: slots(spread.most) }).collect()
}

/// The shares of all `n` homes of all partitions by weight, as even as zones allow: no node holds a
/// partition twice, no zone less or more than its range. What does not fit goes to the other zones.
pub(super) fn zoned(
    total: u32,
    partitions: u32,
    weights: &[u32],
    zones: &Zones,
    ranges: &[Range],
) -> Vec<Share> {
    let of_zone = |nodes: &[NodeIndex], level: u128| {
        nodes.iter().map(|node| fill(level, weights[node.at()], partitions)).sum::<u128>()
    };
    let within = |filled: u128, range: Range| {
        filled.clamp(u128::from(range.least) << SHARE_BITS, u128::from(range.most) << SHARE_BITS)
    };
    let by_zone = || zones.nodes().iter().zip(ranges);
    let common = level(u128::from(total) << SHARE_BITS, |level| {
        by_zone().map(|(nodes, &range)| within(of_zone(nodes, level), range)).sum()
    });
    let mut shares = vec![Share(0); weights.len()];
    for (nodes, &range) in by_zone() {
        let filled = of_zone(nodes, common);
        let wanted = within(filled, range);
        let own = if wanted == filled { common } else { level(wanted, |level| of_zone(nodes, level)) };
        for node in nodes {
            shares[node.at()] = Share(fill(own, weights[node.at()], partitions));
        }
    }
    shares
}

/// What whole slots are rounded from.
pub(super) struct Rounding<'a> {
    /// What they add up to.
    pub(super) total: u32,
    /// The share of each node.
    pub(super) shares: &'a [Share],
    /// What each node holds now.
    pub(super) held: &'a [u32],
    /// The group of each node.
    pub(super) group_of: &'a [usize],
    /// What the nodes of each group may hold together.
    pub(super) groups: &'a [Range],
}

impl Rounding<'_> {
    /// Whole slots for each node: its share rounded down or up, whichever is nearer to what it holds, so that
    /// as few slots move as can be. They add up to the total, and in each group to a number in its range.
    pub(super) fn slots(&self) -> Vec<u32> {
        let nearest = |(share, &held): (&Share, &u32)| held.clamp(share.floor(), share.ceil());
        let mut want: Vec<u32> = self.shares.iter().zip(self.held).map(nearest).collect();
        let mut in_group = vec![0; self.groups.len()];
        for (&group, slots) in self.group_of.iter().zip(&want) {
            in_group[group] += slots;
        }
        let by_proportion = self.by_proportion();
        let mut sum: u32 = in_group.iter().sum();
        // First each group into its range, then the total, which leaves the groups in their ranges.
        for whole in [false, true] {
            for &node in &by_proportion {
                let (group, range) = (self.group_of[node], self.groups[self.group_of[node]]);
                let needed = if whole { sum < self.total } else { in_group[group] < range.least };
                if needed && in_group[group] < range.most && want[node] < self.shares[node].ceil() {
                    want[node] += 1;
                    in_group[group] += 1;
                    sum += 1;
                }
            }
            for &node in by_proportion.iter().rev() {
                let (group, range) = (self.group_of[node], self.groups[self.group_of[node]]);
                let needed = if whole { sum > self.total } else { in_group[group] > range.most };
                if needed && in_group[group] > range.least && want[node] > self.shares[node].floor() {
                    want[node] -= 1;
                    in_group[group] -= 1;
                    sum -= 1;
                }
            }
        }
        want
    }

    /// The nodes, first those whom one slot more takes the least above their share, in proportion: they are raised
    /// first and lowered last, so that the greatest load for its weight stays small.
    fn by_proportion(&self) -> Vec<usize> {
        let above = |node: usize, other: usize| u128::from(self.shares[node].ceil()) * self.shares[other].0;
        let mut nodes: Vec<usize> = (0..self.shares.len()).collect();
        nodes.sort_by(|&a, &b| above(a, b).cmp(&above(b, a)));
        nodes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(total: u32, weights: &[u32], caps: &[u32], held: &[u32]) -> Vec<u32> {
        let shares = capped(total, weights, caps);
        let groups = [Range { least: 0, most: total }];
        let group_of = vec![0; weights.len()];
        Rounding { total, shares: &shares, held, group_of: &group_of, groups: &groups }.slots()
    }

    #[test]
    fn shares_follow_weights() {
        assert_eq!(slots(600, &[1000, 2000, 3000], &[600; 3], &[0; 3]), [100, 200, 300]);
    }

    #[test]
    fn what_does_not_fit_a_node_goes_to_the_others() {
        assert_eq!(slots(200, &[1000, 1000, 1_000_000], &[100; 3], &[0; 3]), [50, 50, 100]);
        assert_eq!(slots(300, &[1, 1000, 1_000_000], &[100; 3], &[0; 3]), [100, 100, 100]);
    }

    #[test]
    fn slots_are_rounded_towards_what_is_held() {
        assert_eq!(slots(10, &[1000; 4], &[10; 4], &[0; 4]), [3, 3, 2, 2]);
        assert_eq!(slots(10, &[1000; 4], &[10; 4], &[2, 3, 2, 3]), [2, 3, 2, 3]);
        assert_eq!(slots(10, &[1000; 4], &[10; 4], &[0, 9, 0, 9]), [2, 3, 2, 3]);
    }

    #[test]
    fn a_share_that_is_whole_is_held_whole() {
        for nodes in 1..200 {
            let weights = vec![777; nodes];
            let total = 7 * nodes as u32;
            assert_eq!(slots(total, &weights, &vec![total; nodes], &vec![0; nodes]), vec![7; nodes]);
        }
    }
}
