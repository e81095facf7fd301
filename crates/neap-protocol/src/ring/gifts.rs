//! Gifts of slots from nodes that hold too many to nodes that lack some.
//!
//! At first directly: each slot moved so is one that some node must gain. Where that ends, because zones or double
//! homes forbid every direct gift, the shortest chain through others is taken: one of slots that move anyway, if there
//! is one; else more slots move than any count of gains demands.
//!
//! While every row keeps the spread and a node holds too much, a chain exists: it is an augmenting path in the flow
//! partition -> zone -> node. And as it is the shortest, its gifts do not disturb each other.
#![expect(
    clippy::indexing_slicing,
    reason = "every table has an entry for each node, zone or slot, and every index is one of them"
)]

use std::collections::BTreeSet;

use super::chain::{self, HandOver};
use super::hash::scattered;
use super::layout::Slots;
use super::member::NodeIndex;
use super::rebalance::Rebalance;

/// The partitions that a node is a home of: entries 0.. are those it kept, the rest those it gained in this change.
#[derive(Debug, Clone, Default)]
struct Holdings {
    kept: Vec<u32>,
    /// These move in any case, so whoever gets them in the end, no move is added.
    gained: Vec<u32>,
}

impl Holdings {
    fn len(&self) -> usize {
        self.kept.len() + self.gained.len()
    }

    fn partition(&self, entry: usize) -> u32 {
        if entry < self.kept.len() { self.kept[entry] } else { self.gained[entry - self.kept.len()] }
    }

    /// The last of its kind takes the place of the entry.
    fn remove(&mut self, entry: usize) -> u32 {
        if entry < self.kept.len() {
            self.kept.swap_remove(entry)
        } else {
            self.gained.swap_remove(entry - self.kept.len())
        }
    }
}

/// Rows that are filled and keep the spread, and stay so.
pub(super) struct Gifts<'a> {
    rows: Rebalance<'a>,
    held: Vec<Holdings>,
    /// How many slots each zone holds.
    in_zone: Vec<usize>,
}

impl<'a> Gifts<'a> {
    pub(super) fn new(rows: Rebalance<'a>) -> Self {
        let held = vec![Holdings::default(); rows.want.len()];
        let in_zone = vec![0; rows.spread.len()];
        let mut gifts = Self { rows, held, in_zone };
        for partition in scattered(gifts.rows.partitions, gifts.rows.seed) {
            for at in 0..gifts.rows.slots.n() {
                let home = gifts.rows.slots.row(partition as usize)[at];
                gifts.add(home, partition);
            }
        }
        gifts
    }

    pub(super) fn run(mut self) -> Slots {
        let nodes: Vec<NodeIndex> = (0..self.held.len()).map(NodeIndex::from_usize).collect();
        for &node in &nodes {
            self.take_directly(node, &nodes);
        }
        for &node in &nodes {
            self.give_through_others(node);
        }
        self.rows.slots
    }

    fn over(&self, node: NodeIndex) -> bool {
        self.held[node.at()].len() > self.rows.want[node.at()] as usize
    }

    fn under(&self, node: NodeIndex) -> bool {
        self.held[node.at()].len() < self.rows.want[node.at()] as usize
    }

    fn add(&mut self, node: NodeIndex, partition: u32) {
        let had = self.rows.before.row(partition as usize).contains(&node);
        let held = &mut self.held[node.at()];
        if had {
            held.kept.push(partition)
        } else {
            held.gained.push(partition)
        }
        self.in_zone[self.rows.zone(node)] += 1;
    }

    fn hand_over(&mut self, step: HandOver) {
        let partition = self.held[step.from.at()].remove(step.entry);
        self.in_zone[self.rows.zone(step.from)] -= 1;
        self.add(step.to, partition);
        self.rows.replace(partition as usize, step.from, step.to);
    }

    /// Takes from the nodes that hold too much, one slot from each in turn.
    fn take_directly(&mut self, to: NodeIndex, nodes: &[NodeIndex]) {
        let over = nodes.iter().copied().filter(|&node| self.over(node));
        let mut givers: Vec<(NodeIndex, usize)> =
            over.map(|node| (node, self.held[node.at()].len())).collect();
        while self.under(to) && !givers.is_empty() {
            givers.retain_mut(|(from, unseen)| self.under(to) && self.give_one(*from, to, unseen));
        }
    }

    /// Gives one slot, if any of the `unseen` first can be given. Whether to ask again.
    fn give_one(&mut self, from: NodeIndex, to: NodeIndex, unseen: &mut usize) -> bool {
        // Downwards, so that the entry that fills a gap has been looked at, and what was gained goes first. What could
        // not be given then cannot be given later: what others give to the same node only closes rows.
        while *unseen > 0 && self.over(from) {
            *unseen -= 1;
            let partition = self.held[from.at()].partition(*unseen) as usize;
            if self.rows.allows(partition, from, to) {
                self.hand_over(HandOver { from, to, entry: *unseen });
                return true;
            }
        }
        false
    }

    fn give_through_others(&mut self, from: NodeIndex) {
        while self.over(from) {
            let Some(chain) = self.chain(from, true).or_else(|| self.chain(from, false)) else { return };
            for step in chain {
                self.hand_over(step);
            }
        }
    }

    /// The shortest chain of gifts to a node that lacks slots, of slots that were `only_gained` in this change or of
    /// any.
    fn chain(&self, from: NodeIndex, only_gained: bool) -> Option<Vec<HandOver>> {
        let offers = |node: NodeIndex, reached: &[bool]| {
            let others = (0..reached.len()).filter(|&other| !reached[other]).map(NodeIndex::from_usize);
            others.filter_map(|to| self.offer(node, to, only_gained)).collect()
        };
        let chain = chain::shortest(from, self.held.len(), offers, |node| self.under(node))?;
        // A chain that is shortest among some gifts only may pass a row twice, where one gift forbids the other.
        let rows: BTreeSet<u32> =
            chain.iter().map(|step| self.held[step.from.at()].partition(step.entry)).collect();
        (!only_gained || rows.len() == chain.len()).then_some(chain)
    }

    /// A slot that one node can give to another: one that it gained, if it can be.
    fn offer(&self, from: NodeIndex, to: NodeIndex, only_gained: bool) -> Option<HandOver> {
        if !self.zones_allow(from, to) {
            return None;
        }
        let held = &self.held[from.at()];
        let allows = |&partition: &u32| self.rows.allows(partition as usize, from, to);
        let gained = held.gained.iter().position(allows).map(|at| held.kept.len() + at);
        let entry =
            if only_gained { gained? } else { gained.or_else(|| held.kept.iter().position(allows))? };
        Some(HandOver { from, to, entry })
    }

    /// Whether any row at all can have a home less in the giver's zone and one more in the taker's. Spares a look at
    /// each row where zones are full.
    fn zones_allow(&self, from: NodeIndex, to: NodeIndex) -> bool {
        let (out, into) = (self.rows.zone(from), self.rows.zone(to));
        let circle = self.rows.partitions as usize;
        out == into
            || (self.in_zone[out] > self.rows.spread[out].least * circle
                && self.in_zone[into] < self.rows.spread[into].most * circle)
    }
}
