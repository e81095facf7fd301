//! How many homes of a partition a zone may have.

use std::collections::BTreeMap;

use super::member::{Member, NodeIndex};

/// The members by zone, zones in the order of their names.
#[derive(Debug, Clone)]
pub(super) struct Zones {
    of: Vec<usize>,
    nodes: Vec<Vec<NodeIndex>>,
}

/// How many homes of each partition lie in one zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spread {
    pub(super) least: usize,
    pub(super) most: usize,
}

impl Zones {
    pub(super) fn new(members: &[Member]) -> Self {
        let mut by_name: BTreeMap<&str, Vec<NodeIndex>> = BTreeMap::new();
        for (at, member) in members.iter().enumerate() {
            by_name.entry(&member.zone).or_default().push(NodeIndex::from_usize(at));
        }
        let nodes: Vec<Vec<NodeIndex>> = by_name.into_values().collect();
        let mut of = vec![0; members.len()];
        for (zone, nodes) in nodes.iter().enumerate() {
            for node in nodes {
                if let Some(of) = of.get_mut(node.at()) {
                    *of = zone;
                }
            }
        }
        Self { of, nodes }
    }

    /// The zone of each node.
    pub(super) fn of(&self) -> &[usize] {
        &self.of
    }

    /// The nodes of each zone.
    pub(super) fn nodes(&self) -> &[Vec<NodeIndex>] {
        &self.nodes
    }

    /// The most even spread of `n` homes that the zones' sizes allow: where there are `n` zones, at most one
    /// home in each; where there are fewer, every zone has as many as any other, or one less, or all its nodes.
    /// So the loss of a zone costs a partition as few homes as it can.
    pub(super) fn spread(&self, n: usize) -> Vec<Spread> {
        let room = |most: usize| self.nodes.iter().map(|nodes| nodes.len().min(most)).sum::<usize>();
        let most = (1..=n).find(|&most| room(most) >= n).unwrap_or(n);
        self.nodes
            .iter()
            .map(|nodes| Spread {
                least: nodes.len().min(most.saturating_sub(1)),
                most: nodes.len().min(most),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::NodeId;
    use crate::ring::member::Weight;

    fn spread(sizes: &[usize], n: usize) -> Vec<(usize, usize)> {
        let mut members = Vec::new();
        for (zone, &size) in sizes.iter().enumerate() {
            for at in 0..size {
                members.push(Member {
                    id: NodeId::new(&format!("n{zone}-{at}")).unwrap(),
                    zone: format!("z{zone}"),
                    weight: Weight::ONE,
                    address: String::new(),
                });
            }
        }
        Zones::new(&members).spread(n).iter().map(|spread| (spread.least, spread.most)).collect()
    }

    #[test]
    fn homes_lie_in_distinct_zones_where_there_are_enough() {
        assert_eq!(spread(&[4, 4, 4], 3), [(0, 1); 3]);
        assert_eq!(spread(&[1, 1, 90, 5], 3), [(0, 1); 4]);
    }

    #[test]
    fn homes_are_spread_evenly_where_zones_are_too_few() {
        assert_eq!(spread(&[4, 4], 3), [(1, 2); 2]);
        assert_eq!(spread(&[4, 4], 4), [(1, 2); 2]);
        assert_eq!(spread(&[1, 9], 3), [(1, 1), (1, 2)]);
        assert_eq!(spread(&[9], 3), [(2, 3)]);
        assert_eq!(spread(&[1, 1, 1], 3), [(0, 1); 3]);
    }
}
