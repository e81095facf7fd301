//! The layout after a change of the members, with as few slots moved as can be.
//!
//! What has to move, moves: the slots of leavers, and what breaks the spread over zones. Then nodes that hold more
//! than they want give to those that hold less, at first directly. Each slot moved so is one that some node must
//! gain. Where that ends, because zones or double homes forbid every direct gift, the shortest chain through others
//! is taken: one of slots that move anyway, if there is one; else more moves than any count of gains demands.
//!
//! While every row keeps the spread and a node holds too much, a chain exists: it is an augmenting path in the flow
//! partition -> zone -> node. And as it is the shortest, its gifts do not disturb each other.
#![expect(
    clippy::indexing_slicing,
    reason = "every table has an entry for each node, zone or slot, and every index is one of them"
)]

use std::collections::BTreeSet;

use super::chain::{self, HandOver};
use super::hash::{mix, scattered};
use super::layout::{Nodes, Slots};
use super::member::NodeIndex;
use super::zones::Spread;

pub(super) struct Rebalance<'a> {
    /// What was before; the slots of leavers are vacant.
    before: Slots,
    slots: Slots,
    nodes: &'a Nodes,
    spread: Vec<Spread>,
    want: Vec<u32>,
    load: Vec<u32>,
    partitions: u32,
    seed: u64,
}

impl<'a> Rebalance<'a> {
    /// `want` says how many slots each node is to hold; together as many as there are.
    pub(super) fn new(slots: Slots, nodes: &'a Nodes, want: Vec<u32>, seed: u64) -> Self {
        let spread = nodes.zones.spread(slots.n());
        let load = slots.held(nodes.len());
        let partitions = (slots.all().len() / slots.n()) as u32;
        Self { before: slots.clone(), slots, nodes, spread, want, load, partitions, seed }
    }

    pub(super) fn run(mut self) -> Slots {
        for partition in scattered(self.partitions, self.seed) {
            self.fill_vacancies(partition as usize);
        }
        for partition in scattered(self.partitions, self.seed) {
            if self.nodes.zones.nodes().len() > 1 {
                self.restore_spread(partition as usize);
            }
        }
        Gifts::new(self).run()
    }

    fn zone(&self, node: NodeIndex) -> usize {
        self.nodes.zones.of()[node.at()]
    }

    /// The homes that a partition has in a zone.
    fn homes_in(&self, partition: usize, zone: usize) -> usize {
        let row = self.slots.row(partition).iter();
        row.filter(|&&home| home != NodeIndex::VACANT && self.zone(home) == zone).count()
    }

    /// The homes that a partition lacks in zones that have too few.
    fn lacking(&self, partition: usize) -> usize {
        let zones = self.spread.iter().enumerate().filter(|(_, spread)| spread.least > 0);
        zones.map(|(zone, spread)| spread.least.saturating_sub(self.homes_in(partition, zone))).sum()
    }

    fn fill_vacancies(&mut self, partition: usize) {
        let vacant = |row: &[NodeIndex]| row.iter().filter(|&&home| home == NodeIndex::VACANT).count();
        while let Some(at) = self.slots.row(partition).iter().position(|&home| home == NodeIndex::VACANT) {
            let only_lacking = self.lacking(partition) >= vacant(self.slots.row(partition));
            let Some(node) = self.neediest(partition, only_lacking) else { return };
            self.slots.row_mut(partition)[at] = node;
            self.load[node.at()] += 1;
        }
    }

    /// Gives homes in zones that have too many to zones that may have more, until the spread is kept.
    fn restore_spread(&mut self, partition: usize) {
        // Each exchange mends one home at least, so there are never more than homes.
        for _ in 0..self.slots.n() {
            let row = self.slots.row(partition);
            let homes: Vec<usize> =
                row.iter().map(|&home| self.homes_in(partition, self.zone(home))).collect();
            let spread = |home: NodeIndex| self.spread[self.zone(home)];
            let too_many = row.iter().zip(&homes).any(|(&home, &homes)| homes > spread(home).most);
            let lacking = self.lacking(partition) > 0;
            if !too_many && !lacking {
                return;
            }
            let limit = |home: NodeIndex| if too_many { spread(home).most } else { spread(home).least };
            let excess = |home: NodeIndex| i64::from(self.load[home.at()]) - i64::from(self.want[home.at()]);
            let may_leave = row.iter().zip(&homes).filter(|&(&home, &homes)| homes > limit(home));
            let giver = may_leave
                .map(|(&home, _)| home)
                .max_by_key(|&home| (excess(home), self.draw(partition, home)));
            let (Some(giver), Some(taker)) = (giver, self.neediest(partition, lacking)) else { return };
            self.replace(partition, giver, taker);
            self.load[giver.at()] -= 1;
            self.load[taker.at()] += 1;
        }
    }

    /// The node that lacks most of what it wants, among those that may become a home of the partition: in a zone
    /// that has too few homes, or in any that may have more.
    fn neediest(&self, partition: usize, only_lacking: bool) -> Option<NodeIndex> {
        let row = self.slots.row(partition);
        let open = |zone: usize| {
            let limit = if only_lacking { self.spread[zone].least } else { self.spread[zone].most };
            self.homes_in(partition, zone) < limit
        };
        let zones = self.nodes.zones.nodes().iter().enumerate().filter(|&(zone, _)| open(zone));
        let lack = |node: NodeIndex| i64::from(self.want[node.at()]) - i64::from(self.load[node.at()]);
        zones
            .flat_map(|(_, nodes)| nodes)
            .copied()
            .filter(|node| !row.contains(node))
            .max_by_key(|&node| (lack(node), self.draw(partition, node)))
    }

    /// Decides between equals, differently in each partition.
    fn draw(&self, partition: usize, node: NodeIndex) -> u64 {
        mix(self.seed ^ ((partition as u64) << 16) ^ u64::from(node.0))
    }

    fn replace(&mut self, partition: usize, out: NodeIndex, into: NodeIndex) {
        for home in self.slots.row_mut(partition) {
            if *home == out {
                *home = into;
            }
        }
    }

    /// Whether a gift of a partition costs no move: the giver gained it in this change, or the taker gave it away.
    fn is_free(&self, partition: usize, from: NodeIndex, to: NodeIndex) -> bool {
        let before = self.before.row(partition);
        !before.contains(&from) || before.contains(&to)
    }

    /// Whether `from` may give a partition, of which it is a home, to `to`.
    fn allows(&self, partition: usize, from: NodeIndex, to: NodeIndex) -> bool {
        if self.slots.row(partition).contains(&to) {
            return false;
        }
        let (out, into) = (self.zone(from), self.zone(to));
        out == into
            || (self.homes_in(partition, into) < self.spread[into].most
                && self.homes_in(partition, out) > self.spread[out].least)
    }
}

/// Gifts of slots between nodes, once every row is filled and keeps the spread.
struct Gifts<'a> {
    rows: Rebalance<'a>,
    /// The partitions that each node is a home of.
    held: Vec<Vec<u32>>,
}

impl<'a> Gifts<'a> {
    fn new(rows: Rebalance<'a>) -> Self {
        let mut held = vec![Vec::new(); rows.want.len()];
        for partition in scattered(rows.partitions, rows.seed) {
            for home in rows.slots.row(partition as usize) {
                held[home.at()].push(partition);
            }
        }
        // What a node gained in this change is given first: that slot moves anyway.
        for (at, held) in held.iter_mut().enumerate() {
            let node = NodeIndex::from_usize(at);
            held.sort_by_key(|&partition| !rows.before.row(partition as usize).contains(&node));
        }
        Self { rows, held }
    }

    fn run(mut self) -> Slots {
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

    fn hand_over(&mut self, step: HandOver) {
        let partition = self.held[step.from.at()].swap_remove(step.entry);
        self.held[step.to.at()].push(partition);
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
        // Downwards, so that the entry that fills a gap has been looked at. What could not be given then cannot
        // be given later: what others give to the same node only closes rows.
        while *unseen > 0 && self.over(from) {
            *unseen -= 1;
            let partition = self.held[from.at()][*unseen] as usize;
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

    /// The shortest chain of gifts to a node that lacks slots, of `only_free` gifts or of any.
    fn chain(&self, from: NodeIndex, only_free: bool) -> Option<Vec<HandOver>> {
        let offers = |node: NodeIndex, reached: &[bool]| {
            let others = (0..reached.len()).filter(|&other| !reached[other]).map(NodeIndex::from_usize);
            others.filter_map(|to| self.offer(node, to, only_free)).collect()
        };
        let chain = chain::shortest(from, self.held.len(), offers, |node| self.under(node))?;
        // A chain that is shortest among the free only may pass a row twice, where one gift forbids the other.
        let rows: BTreeSet<u32> = chain.iter().map(|step| self.held[step.from.at()][step.entry]).collect();
        (!only_free || rows.len() == chain.len()).then_some(chain)
    }

    /// A slot that one node can give to another: a free one, if there is one.
    fn offer(&self, from: NodeIndex, to: NodeIndex, only_free: bool) -> Option<HandOver> {
        let held = &self.held[from.at()];
        let allows = |&partition: &u32| self.rows.allows(partition as usize, from, to);
        let is_free = |&partition: &u32| self.rows.is_free(partition as usize, from, to);
        let free = held.iter().position(|partition| is_free(partition) && allows(partition));
        let entry = if only_free { free? } else { free.or_else(|| held.iter().position(allows))? };
        Some(HandOver { from, to, entry })
    }
}
