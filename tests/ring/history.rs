//! Clusters, the changes they go through, and what is measured of their rings.

use std::collections::{BTreeMap, BTreeSet};

use neap::protocol::ids::{NodeId, PartitionId};
use neap::protocol::ring::{Member, NodeIndex, Ring, Weight};

pub const PARTITIONS: u32 = 1024;

pub fn member(id: &str, zone: &str, weight: f64) -> Member {
    Member {
        id: NodeId::new(id).unwrap(),
        zone: zone.to_owned(),
        weight: Weight::new(weight).unwrap(),
        address: format!("{id}:7101"),
    }
}

/// `nodes` members of weight 1, dealt to `zones` zones in turn.
pub fn cluster(nodes: usize, zones: usize) -> Vec<Member> {
    (0..nodes).map(|at| member(&format!("n{at:03}"), &format!("z{}", at % zones), 1.0)).collect()
}

pub fn founders(members: &[Member]) -> Ring {
    Ring::founders(PARTITIONS, members.to_vec()).unwrap()
}

/// A fixed sequence of numbers.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound
    }
}

/// Joins, leaves and changes of weight, one at a time.
pub struct History {
    pub members: Vec<Member>,
    pub ring: Ring,
    pub zones: usize,
    pub weighted: bool,
    numbers: Numbers,
    joined: usize,
}

impl History {
    pub fn new(partitions: u32, nodes: usize, zones: usize, weighted: bool, seed: u64) -> Self {
        let members = cluster(nodes, zones);
        let ring = Ring::founders(partitions, members.clone()).unwrap();
        Self { members, ring, zones, weighted, numbers: Numbers(seed), joined: 0 }
    }

    /// One random change. Returns the ring before it.
    pub fn step(&mut self) -> Ring {
        match self.numbers.below(if self.weighted { 3 } else { 2 }) {
            0 if self.members.len() > 4 => {
                let at = self.numbers.below(self.members.len());
                self.members.remove(at);
            }
            2 => {
                let at = self.numbers.below(self.members.len());
                self.members[at].weight = Weight::new(0.5 + self.numbers.below(16) as f64 / 10.0).unwrap();
            }
            _ => {
                // Names out of order, so that indices shift.
                let id = format!("{}{:03}", ["a", "j", "z"][self.joined % 3], self.joined);
                let zone = format!("z{}", self.numbers.below(self.zones));
                self.members.push(member(&id, &zone, 1.0));
                self.joined += 1;
            }
        }
        let next = self.ring.with_members(self.members.clone()).unwrap();
        std::mem::replace(&mut self.ring, next)
    }
}

/// How many partitions each member is a home of.
pub fn loads(ring: &Ring, n: u8) -> Vec<u32> {
    let mut loads = vec![0; ring.members().len()];
    each_row(ring, n, |_, row| row.iter().for_each(|home| loads[usize::from(home.0)] += 1));
    loads
}

/// In how many partitions each member has the first place.
pub fn first_places(ring: &Ring, n: u8) -> Vec<u32> {
    let mut first = vec![0; ring.members().len()];
    each_row(ring, n, |_, row| first[usize::from(row[0].0)] += 1);
    first
}

pub fn each_row(ring: &Ring, n: u8, mut look: impl FnMut(PartitionId, &[NodeIndex])) {
    for partition in (0..ring.partitions()).map(PartitionId) {
        let row = ring.homes(partition, n);
        assert_eq!(row.len(), usize::from(n), "{partition:?} of {}", ring.members().len());
        look(partition, row);
    }
}

/// How many homes the later ring has that the earlier had not: what must be transferred.
pub fn moved(before: &Ring, after: &Ring, n: u8) -> u32 {
    let mut moved = 0;
    each_row(after, n, |partition, row| {
        let old: Vec<&NodeId> =
            before.homes(partition, n).iter().map(|home| &before.member(*home).unwrap().id).collect();
        moved += row.iter().filter(|home| !old.contains(&&after.member(**home).unwrap().id)).count() as u32;
    });
    moved
}

/// The members of each zone.
pub fn by_zone(ring: &Ring) -> BTreeMap<&str, Vec<usize>> {
    let mut zones: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, member) in ring.members().iter().enumerate() {
        zones.entry(&member.zone).or_default().push(at);
    }
    zones
}

/// The greatest of `values` for its weight.
pub fn greatest_for_weight(ring: &Ring, values: &[u32]) -> f64 {
    let of_weight = ring.members().iter().zip(values);
    of_weight.map(|(member, &value)| f64::from(value) / member.weight.as_f64()).fold(0.0, f64::max)
}

/// The greatest of `values` for its weight, beside the mean.
pub fn max_to_mean(ring: &Ring, values: &[u32]) -> f64 {
    let weights: f64 = ring.members().iter().map(|member| member.weight.as_f64()).sum();
    greatest_for_weight(ring, values) * weights / f64::from(values.iter().sum::<u32>())
}

/// The even shares that zones and double homes allow, found by pouring water until all slots are full. Floating
/// point and by another road than the ring's own.
pub fn best_shares(ring: &Ring, n: u8) -> Vec<f64> {
    let zones = by_zone(ring);
    let (q, n) = (f64::from(ring.partitions()), usize::from(n));
    let most =
        (1..=n).find(|most| zones.values().map(|zone| zone.len().min(*most)).sum::<usize>() >= n).unwrap();
    let weight = |at: usize| ring.members()[at].weight.as_f64();
    let share = |level: f64, at: usize| (level * weight(at)).min(q);
    let zone_sum = |level: f64, zone: &[usize]| zone.iter().map(|&at| share(level, at)).sum::<f64>();
    let bounds = |zone: &[usize]| (zone.len().min(most - 1) as f64 * q, zone.len().min(most) as f64 * q);
    let within = |sum: f64, zone: &[usize]| sum.clamp(bounds(zone).0, bounds(zone).1);
    let solve = |total: f64, sum: &dyn Fn(f64) -> f64| {
        let (mut low, mut high) = (0.0, q * 10_000.0);
        for _ in 0..200 {
            let middle = (low + high) / 2.0;
            if sum(middle) < total { low = middle } else { high = middle }
        }
        high
    };
    let common =
        solve(q * n as f64, &|level| zones.values().map(|zone| within(zone_sum(level, zone), zone)).sum());
    let mut shares = vec![0.0; ring.members().len()];
    for zone in zones.values() {
        let total = within(zone_sum(common, zone), zone);
        let level = solve(total - 1e-9, &|level| zone_sum(level, zone));
        zone.iter().for_each(|&at| shares[at] = share(level, at));
    }
    shares
}

/// What nodes hold more than before: no way leads from the loads of one ring to those of the other with fewer moves.
pub fn gained(before: &Ring, after: &Ring, n: u8) -> u32 {
    let (old, new) = (loads(before, n), loads(after, n));
    let old_of = |id: &NodeId| before.index_of(id).map_or(0, |at| old[usize::from(at.0)]);
    after.members().iter().zip(new).map(|(member, load)| load.saturating_sub(old_of(&member.id))).sum()
}

pub fn assert_rows_keep_the_rules(ring: &Ring, n: u8) {
    let zones = by_zone(ring);
    each_row(ring, n, |partition, row| {
        let distinct: BTreeSet<&NodeIndex> = row.iter().collect();
        assert_eq!(distinct.len(), row.len(), "{partition:?} has a home twice: {row:?}");
        let mut homes: BTreeMap<&str, usize> = zones.keys().map(|zone| (*zone, 0)).collect();
        for home in row {
            *homes.get_mut(ring.member(*home).unwrap().zone.as_str()).unwrap() += 1;
        }
        // As even as can be: no home could go from one zone to another that has two less and a node to spare.
        for (zone, &has) in &homes {
            for (other, &other_has) in &homes {
                let even = has <= other_has + 1 || other_has == zones[other].len();
                assert!(even, "{partition:?}: {has} homes in {zone}, {other_has} in {other}, n = {n}");
            }
        }
    });
}

/// Each node within one slot of its even share: nothing in whole slots is more even.
pub fn assert_even_to_the_slot(ring: &Ring, n: u8) {
    let shares = best_shares(ring, n);
    for ((member, load), share) in ring.members().iter().zip(loads(ring, n)).zip(shares) {
        assert!((f64::from(load) - share).abs() < 1.001, "{} holds {load} of {share} at n = {n}", member.id);
    }
}
