//! Hand-overs through others: when a node that has too much can give nothing to one that lacks, it gives to a
//! third, which gives on. The shortest such chain, by breadth-first search (the augmenting path of Ford and
//! Fulkerson).
#![expect(
    clippy::indexing_slicing,
    reason = "every list has an entry for each node, and every index is a node's"
)]

use std::collections::VecDeque;

use super::member::NodeIndex;

/// `from` gives one of its entries to `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HandOver {
    pub(super) from: NodeIndex,
    pub(super) to: NodeIndex,
    /// The place of the entry in the giver's list.
    pub(super) entry: usize,
}

/// The shortest chain from `start` to a node that `lacks`, the last hand-over first. `offers` lists what a
/// node can give to nodes that are not reached yet.
pub(super) fn shortest(
    start: NodeIndex,
    nodes: usize,
    offers: impl Fn(NodeIndex, &[bool]) -> Vec<HandOver>,
    lacks: impl Fn(NodeIndex) -> bool,
) -> Option<Vec<HandOver>> {
    let mut reached = vec![false; nodes];
    let mut reached_by: Vec<Option<HandOver>> = vec![None; nodes];
    let mut queue = VecDeque::from([start]);
    reached[start.at()] = true;
    while let Some(node) = queue.pop_front() {
        for offer in offers(node, &reached) {
            if reached[offer.to.at()] {
                continue;
            }
            reached[offer.to.at()] = true;
            reached_by[offer.to.at()] = Some(offer);
            if lacks(offer.to) {
                let steps = std::iter::successors(Some(offer), |step| reached_by[step.from.at()]);
                return Some(steps.collect());
            }
            queue.push_back(offer.to);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_chain_is_found_and_given_from_its_end() {
        let edges = [(0, 1), (1, 2), (2, 4), (0, 3), (3, 4)];
        let offers = |node: NodeIndex, _: &[bool]| {
            let mut offers = Vec::new();
            for (entry, &(from, to)) in edges.iter().enumerate() {
                if NodeIndex(from) == node {
                    offers.push(HandOver { from: node, to: NodeIndex(to), entry });
                }
            }
            offers
        };
        let chain = shortest(NodeIndex(0), 6, offers, |node| node == NodeIndex(4)).unwrap();
        assert_eq!(chain.iter().map(|step| step.entry).collect::<Vec<_>>(), [4, 3]);
        assert_eq!(shortest(NodeIndex(0), 6, offers, |node| node == NodeIndex(5)), None);
    }
}
