//! The fewest slots that can move, by another road than the ring's own: minimum-cost flow.

use std::collections::{BTreeMap, VecDeque};

use neap::protocol::ids::NodeId;
use neap::protocol::ring::Ring;

use super::history::*;

/// Cheaper than any number of moves, so that every zone gets the homes it must have.
const DEMANDED: i64 = -1_000_000;

struct Edge {
    to: usize,
    room: u32,
    cost: i64,
}

/// A flow network; an edge and its way back are neighbours in the list.
struct Network {
    edges: Vec<Edge>,
    from: Vec<Vec<usize>>,
}

impl Network {
    fn new(vertices: usize) -> Self {
        Self { edges: Vec::new(), from: vec![Vec::new(); vertices] }
    }

    fn edge(&mut self, from: usize, to: usize, room: u32, cost: i64) {
        self.from[from].push(self.edges.len());
        self.edges.push(Edge { to, room, cost });
        self.from[to].push(self.edges.len());
        self.edges.push(Edge { to: from, room: 0, cost: -cost });
    }

    /// The cost of the greatest flow that is cheapest, along one cheapest path after the other (Bellman and Ford).
    fn cheapest(&mut self, source: usize, sink: usize) -> i64 {
        let mut cost = 0;
        while let Some((path, price)) = self.cheapest_path(source, sink) {
            for edge in path {
                self.edges[edge].room -= 1;
                self.edges[edge ^ 1].room += 1;
            }
            cost += price;
        }
        cost
    }

    fn cheapest_path(&self, source: usize, sink: usize) -> Option<(Vec<usize>, i64)> {
        let mut price: Vec<Option<i64>> = vec![None; self.from.len()];
        let mut by = vec![usize::MAX; self.from.len()];
        let mut queued = vec![false; self.from.len()];
        let mut queue = VecDeque::from([source]);
        price[source] = Some(0);
        while let Some(vertex) = queue.pop_front() {
            queued[vertex] = false;
            for &at in self.from[vertex].iter().filter(|&&at| self.edges[at].room > 0) {
                let edge = &self.edges[at];
                let through = price[vertex].unwrap() + edge.cost;
                if price[edge.to].is_none_or(|known| through < known) {
                    price[edge.to] = Some(through);
                    by[edge.to] = at;
                    if !std::mem::replace(&mut queued[edge.to], true) {
                        queue.push_back(edge.to);
                    }
                }
            }
        }
        let mut path = Vec::new();
        let mut vertex = sink;
        price[sink]?;
        while vertex != source {
            path.push(by[vertex]);
            vertex = self.edges[by[vertex] ^ 1].to;
        }
        Some((path, price[sink].unwrap()))
    }
}

/// The fewest moves from one ring to any with the loads of the other that keeps the zones' rules.
fn fewest_moves(before: &Ring, after: &Ring, n: u8) -> u32 {
    let zones: BTreeMap<&str, Vec<usize>> = by_zone(after);
    let (rows, nodes) = (after.partitions() as usize, after.members().len());
    let sizes: Vec<usize> = zones.values().map(Vec::len).collect();
    let n_homes = usize::from(n);
    let most = (1..).find(|most| sizes.iter().map(|size| size.min(most)).sum::<usize>() >= n_homes).unwrap();
    let (row_at, zone_at) = (nodes, nodes + rows);
    let (source, sink) = (zone_at + rows * zones.len(), zone_at + rows * zones.len() + 1);
    let mut network = Network::new(sink + 1);
    let mut demanded = 0;
    each_row(after, n, |partition, _| {
        let row = partition.0 as usize;
        network.edge(source, row_at + row, u32::from(n), 0);
        let had: Vec<&NodeId> =
            before.homes(partition, n).iter().map(|home| &before.member(*home).unwrap().id).collect();
        for (zone, members) in zones.values().enumerate() {
            let part = zone_at + row * zones.len() + zone;
            let (least, most) = (members.len().min(most - 1) as u32, members.len().min(most) as u32);
            network.edge(row_at + row, part, least, DEMANDED);
            network.edge(row_at + row, part, most - least, 0);
            demanded += i64::from(least);
            for &node in members {
                network.edge(part, node, 1, i64::from(!had.contains(&&after.members()[node].id)));
            }
        }
    });
    for (node, &load) in loads(after, n).iter().enumerate() {
        network.edge(node, sink, load, 0);
    }
    u32::try_from(network.cheapest(source, sink) - demanded * DEMANDED).unwrap()
}

#[test]
fn changes_move_hardly_more_than_the_cheapest_way_to_the_same_loads() {
    let (mut all, mut fewest) = (0, 0);
    for (nodes, zones, weighted, seed) in
        [(5, 1, true, 41), (6, 2, true, 42), (8, 3, false, 43), (14, 5, true, 44)]
    {
        let mut history = History::new(32, nodes, zones, weighted, seed);
        for _ in 0..25 {
            let before = history.step();
            for n in 2..=4 {
                let (here, least) =
                    (moved(&before, &history.ring, n), fewest_moves(&before, &history.ring, n));
                assert!(here >= least, "the flow is no optimum: {here} < {least}");
                all += here;
                fewest += least;
            }
        }
    }
    assert!(f64::from(all) <= 1.01 * f64::from(fewest), "{all} of {fewest}");
}
