//! The first layout for an N: even to the slot by construction, then shuffled.
#![expect(
    clippy::indexing_slicing,
    reason = "every table has an entry for each node, zone or slot, and every index is one of them"
)]

use super::hash::Sequence;
use super::layout::{Nodes, Slots};
use super::member::NodeIndex;
use super::zones::Spread;

/// A seed like any other, and the same everywhere.
const SEED: u64 = 0x6e65_6170_0000_0001;

/// Deals `want[node]` slots to each node.
///
/// Zone after zone and in it node after node, slots are dealt round and round the circle. A node with no more
/// slots than partitions then holds none twice, and a zone's homes of two partitions differ by one at most: the
/// spread that zones allow holds by construction. But neighbours share many partitions, and would carry each
/// other's load alone when one is down. So slots are then exchanged between partitions, by a fixed sequence.
pub(super) fn deal(nodes: &Nodes, n: usize, partitions: u32, want: &[u32]) -> Slots {
    let mut slots = Slots::vacant(n, partitions);
    let circle = partitions as usize;
    let order = nodes.zones.nodes().iter().flatten();
    let dealt = order.flat_map(|&node| std::iter::repeat_n(node, want[node.at()] as usize));
    for (at, node) in dealt.enumerate() {
        slots.row_mut(at % circle)[at / circle] = node;
    }
    let mut sequence = Sequence::new(SEED ^ n as u64);
    let spread = nodes.zones.spread(n);
    let mut shuffle = Shuffle { zone_of: nodes.zones.of(), spread: &spread, slots: &mut slots };
    // Within a column, where most exchanges keep the zones; then between any two slots, so that nodes of one
    // column come to share partitions.
    for any in [false, true] {
        for partition in 0..circle {
            for column in 0..n {
                let other = sequence.below(circle);
                let other_column = if any { sequence.below(n) } else { column };
                shuffle.exchange((partition, column), (other, other_column));
            }
        }
    }
    for partition in 0..circle {
        slots.row_mut(partition).rotate_left(sequence.below(n));
    }
    slots
}

struct Shuffle<'a> {
    zone_of: &'a [usize],
    spread: &'a [Spread],
    slots: &'a mut Slots,
}

impl Shuffle<'_> {
    /// Exchanges two slots, unless a partition would have a node twice or too uneven zones.
    fn exchange(&mut self, one: (usize, usize), other: (usize, usize)) {
        let a = self.slots.row(one.0)[one.1];
        let b = self.slots.row(other.0)[other.1];
        if a != b && self.allows(one.0, a, b) && self.allows(other.0, b, a) {
            self.slots.row_mut(one.0)[one.1] = b;
            self.slots.row_mut(other.0)[other.1] = a;
        }
    }

    fn allows(&self, partition: usize, out: NodeIndex, into: NodeIndex) -> bool {
        let row = self.slots.row(partition);
        if row.contains(&into) {
            return false;
        }
        let (from, to) = (self.zone_of[out.at()], self.zone_of[into.at()]);
        let homes = |zone: usize| row.iter().filter(|home| self.zone_of[home.at()] == zone).count();
        from == to || (homes(to) < self.spread[to].most && homes(from) > self.spread[from].least)
    }
}
