//! The layout after a change of the members, with as few slots moved as can be.
//!
//! What has to move, moves: the slots of leavers, and what breaks the spread over zones. Then nodes that hold more
//! than they want give to those that hold less (`gifts`).
#![expect(
    clippy::indexing_slicing,
    reason = "every table has an entry for each node, zone or slot, and every index is one of them"
)]

use super::gifts::Gifts;
use super::hash::{mix, scattered};
use super::layout::{Nodes, Slots};
use super::member::NodeIndex;
use super::zones::Spread;

/// Rows on their way from the layout before to the next.
pub(super) struct Rebalance<'a> {
    /// What was before; the slots of leavers are vacant.
    pub(super) before: Slots,
    pub(super) slots: Slots,
    pub(super) nodes: &'a Nodes,
    pub(super) spread: Vec<Spread>,
    pub(super) want: Vec<u32>,
    load: Vec<u32>,
    pub(super) partitions: u32,
    pub(super) seed: u64,
    /// Scratch: the homes in each zone of the row that is looked at, else zero.
    homes: Vec<usize>,
}

impl<'a> Rebalance<'a> {
    /// `want` says how many slots each node is to hold; together as many as there are.
    pub(super) fn new(slots: Slots, nodes: &'a Nodes, want: Vec<u32>, seed: u64) -> Self {
        let spread = nodes.zones.spread(slots.n());
        let load = slots.held(nodes.len());
        let partitions = (slots.all().len() / slots.n()) as u32;
        let homes = vec![0; spread.len()];
        Self { before: slots.clone(), slots, nodes, spread, want, load, partitions, seed, homes }
    }

    pub(super) fn run(mut self) -> Slots {
        for partition in scattered(self.partitions, self.seed) {
            self.fill_vacancies(partition as usize);
        }
        for partition in scattered(self.partitions, self.seed) {
            if !self.keeps_spread(partition as usize) {
                self.restore_spread(partition as usize);
            }
        }
        Gifts::new(self).run()
    }

    pub(super) fn zone(&self, node: NodeIndex) -> usize {
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

    /// Whether each zone has as many homes of a partition as it may have. Most rows are not touched by a change, so
    /// this is quick.
    fn keeps_spread(&mut self, partition: usize) -> bool {
        let (zone_of, row) = (self.nodes.zones.of(), self.slots.row(partition));
        for home in row {
            self.homes[zone_of[home.at()]] += 1;
        }
        let none_crowded = row.iter().all(|home| {
            let zone = zone_of[home.at()];
            self.homes[zone] <= self.spread[zone].most
        });
        // Homes are demanded of every zone or of none, and there are no more zones than homes then.
        let demanded = self.spread.first().is_some_and(|spread| spread.least > 0);
        let none_lacks =
            !demanded || self.spread.iter().zip(&self.homes).all(|(spread, &homes)| homes >= spread.least);
        for home in row {
            self.homes[zone_of[home.at()]] = 0;
        }
        none_crowded && none_lacks
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

    pub(super) fn replace(&mut self, partition: usize, out: NodeIndex, into: NodeIndex) {
        for home in self.slots.row_mut(partition) {
            if *home == out {
                *home = into;
            }
        }
    }

    /// Whether `from` may give a partition, of which it is a home, to `to`.
    pub(super) fn allows(&self, partition: usize, from: NodeIndex, to: NodeIndex) -> bool {
        if self.slots.row(partition).contains(&to) {
            return false;
        }
        let (out, into) = (self.zone(from), self.zone(to));
        out == into
            || (self.homes_in(partition, into) < self.spread[into].most
                && self.homes_in(partition, out) > self.spread[out].least)
    }
}
