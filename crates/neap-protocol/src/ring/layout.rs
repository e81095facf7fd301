//! Which nodes are the homes of which partition, for one N.
#![expect(
    clippy::indexing_slicing,
    reason = "every table has an entry for each node, zone or slot, and every index is one of them"
)]

use super::first_place;
use super::founding;
use super::member::{Member, NodeIndex};
use super::rebalance::Rebalance;
use super::share::{Rounding, zone_ranges, zoned};
use super::zones::Zones;

/// What a layout is computed from, beside the layout before it.
#[derive(Debug, Clone)]
pub(super) struct Nodes {
    /// Thousandths.
    pub(super) weights: Vec<u32>,
    pub(super) zones: Zones,
}

impl Nodes {
    pub(super) fn new(members: &[Member]) -> Self {
        Self {
            weights: members.iter().map(|member| member.weight.thousandths()).collect(),
            zones: Zones::new(members),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.weights.len()
    }
}

/// `n` slots for each partition, the first place first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slots {
    n: usize,
    nodes: Vec<NodeIndex>,
}

impl Slots {
    pub(super) fn vacant(n: usize, partitions: u32) -> Self {
        Self { n, nodes: vec![NodeIndex::VACANT; n * partitions as usize] }
    }

    pub(super) fn n(&self) -> usize {
        self.n
    }

    pub(super) fn row(&self, partition: usize) -> &[NodeIndex] {
        &self.nodes[partition * self.n..(partition + 1) * self.n]
    }

    pub(super) fn row_mut(&mut self, partition: usize) -> &mut [NodeIndex] {
        &mut self.nodes[partition * self.n..(partition + 1) * self.n]
    }

    pub(super) fn all(&self) -> &[NodeIndex] {
        &self.nodes
    }

    /// How many slots each node holds.
    pub(super) fn held(&self, nodes: usize) -> Vec<u32> {
        let mut held = vec![0; nodes];
        for node in self.nodes.iter().filter(|&&node| node != NodeIndex::VACANT) {
            held[node.at()] += 1;
        }
        held
    }
}

/// The homes of every partition for one N.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout(Slots);

impl Layout {
    /// The first layout for `n`, which the number of nodes allows.
    pub(super) fn found(n: usize, partitions: u32, nodes: &Nodes) -> Self {
        let want = wanted(n, partitions, nodes, &vec![0; nodes.len()]);
        let mut slots = founding::deal(nodes, n, partitions, &want);
        first_place::even(&mut slots, nodes);
        Self(slots)
    }

    /// The layout after this one. `renamed` gives the new index of each old node, or none for a leaver; `seed`
    /// scatters what moves, so that a joiner shares partitions with many.
    pub(super) fn next(&self, renamed: &[Option<NodeIndex>], nodes: &Nodes, seed: u64) -> Self {
        let kept = self.0.nodes.iter().map(|old| renamed[old.at()].unwrap_or(NodeIndex::VACANT)).collect();
        let slots = Slots { n: self.0.n, nodes: kept };
        let partitions = slots.nodes.len() / slots.n;
        let want = wanted(slots.n, partitions as u32, nodes, &slots.held(nodes.len()));
        let mut slots = Rebalance::new(slots, nodes, want, seed).run();
        first_place::even(&mut slots, nodes);
        Self(slots)
    }

    /// The homes of a partition, the first place first; empty for a partition that does not exist.
    pub(super) fn homes(&self, partition: usize) -> &[NodeIndex] {
        let from = partition.saturating_mul(self.0.n);
        self.0.nodes.get(from..from.saturating_add(self.0.n)).unwrap_or(&[])
    }

    pub(super) fn all(&self) -> &[NodeIndex] {
        self.0.all()
    }
}

/// How many slots each node should hold.
fn wanted(n: usize, partitions: u32, nodes: &Nodes, held: &[u32]) -> Vec<u32> {
    let total = n as u32 * partitions;
    let groups = zone_ranges(&nodes.zones.spread(n), partitions);
    let shares = zoned(total, partitions, &nodes.weights, &nodes.zones, &groups);
    Rounding { total, shares: &shares, held, group_of: nodes.zones.of(), groups: &groups }.slots()
}
