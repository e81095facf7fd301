//! First places, even by weight: who is first coordinates and is read first.
#![expect(
    clippy::indexing_slicing,
    reason = "every table has an entry for each node or slot, and every index is one of them"
)]

use super::chain::{self, HandOver};
use super::layout::{Nodes, Slots};
use super::member::NodeIndex;
use super::share::{Range, Rounding, capped};

/// Changes the order in the rows of `slots`, in as few as it can, so that first places follow weights as far as
/// the homes allow. No data moves for it.
pub(super) fn even(slots: &mut Slots, nodes: &Nodes) {
    let held = slots.held(nodes.len());
    let partitions = (slots.all().len() / slots.n()) as u32;
    let mut led = vec![Vec::new(); nodes.len()];
    for partition in 0..partitions {
        led[slots.row(partition as usize)[0].at()].push(partition);
    }
    let now: Vec<u32> = led.iter().map(|led| led.len() as u32).collect();
    let want = Rounding {
        total: partitions,
        shares: &capped(partitions, &nodes.weights, &held),
        held: &now,
        group_of: &vec![0; nodes.len()],
        groups: &[Range { least: 0, most: partitions }],
    }
    .slots();
    let mut places = FirstPlaces { slots, led, want };
    for node in (0..nodes.len()).map(NodeIndex::from_usize) {
        places.give_directly(node);
    }
    for node in (0..nodes.len()).map(NodeIndex::from_usize) {
        places.give_through_others(node);
    }
}

struct FirstPlaces<'a> {
    slots: &'a mut Slots,
    /// The partitions in which each node is first.
    led: Vec<Vec<u32>>,
    want: Vec<u32>,
}

impl FirstPlaces<'_> {
    fn over(&self, node: NodeIndex) -> bool {
        self.led[node.at()].len() > self.want[node.at()] as usize
    }

    fn under(&self, node: NodeIndex) -> bool {
        self.led[node.at()].len() < self.want[node.at()] as usize
    }

    fn hand_over(&mut self, step: HandOver) {
        let partition = self.led[step.from.at()].swap_remove(step.entry);
        self.led[step.to.at()].push(partition);
        let row = self.slots.row_mut(partition as usize);
        if let Some(at) = row.iter().position(|&home| home == step.to) {
            row.swap(0, at);
        }
    }

    fn give_directly(&mut self, from: NodeIndex) {
        // Downwards, so that the entry that fills a gap has been looked at.
        for entry in (0..self.led[from.at()].len()).rev() {
            if !self.over(from) {
                return;
            }
            let row = self.slots.row(self.led[from.at()][entry] as usize);
            if let Some(&to) = row.iter().find(|&&home| self.under(home)) {
                self.hand_over(HandOver { from, to, entry });
            }
        }
    }

    /// Where no chain leads to a node that lacks first places, the homes allow nothing more even.
    fn give_through_others(&mut self, from: NodeIndex) {
        while self.over(from) {
            let offers = |node: NodeIndex, reached: &[bool]| self.offers(node, reached);
            let Some(chain) = chain::shortest(from, self.want.len(), offers, |node| self.under(node)) else {
                return;
            };
            for step in chain {
                self.hand_over(step);
            }
        }
    }

    fn offers(&self, from: NodeIndex, reached: &[bool]) -> Vec<HandOver> {
        let led = self.led[from.at()].iter().enumerate();
        led.flat_map(|(entry, &partition)| {
            let others = self.slots.row(partition as usize).iter().filter(|home| !reached[home.at()]);
            others.map(move |&to| HandOver { from, to, entry })
        })
        .collect()
    }
}
