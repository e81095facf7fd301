//! What holds in every row of every layout.

use std::collections::BTreeSet;

use neap::protocol::ids::PartitionId;
use neap::protocol::ring::{NodeIndex, Ring};

use super::history::*;

#[test]
fn homes_are_distinct_nodes_in_distinct_zones_while_that_is_feasible() {
    for (nodes, zones) in [(1, 1), (2, 1), (3, 3), (4, 3), (5, 2), (10, 3), (15, 15), (23, 4), (64, 8)] {
        let ring = founders(&cluster(nodes, zones));
        for n in 1..=15.min(nodes as u8) {
            assert_rows_keep_the_rules(&ring, n);
        }
    }
}

#[test]
fn a_zone_of_one_node_among_large_ones_is_a_home_of_all_where_zones_are_just_enough() {
    let mut members = cluster(20, 2);
    members.push(member("lonely", "other", 0.1));
    let ring = founders(&members);
    let lonely = usize::from(ring.index_of(&members[20].id).unwrap().0);
    assert_eq!(loads(&ring, 3)[lonely], PARTITIONS);
    assert_rows_keep_the_rules(&ring, 3);
}

#[test]
fn members_may_change_zone_and_all_at_once() {
    let before = founders(&cluster(12, 2));
    let after = before.with_members(cluster(12, 4)).unwrap();
    for n in 1..=12 {
        assert_rows_keep_the_rules(&after, n);
    }
    let replaced: Vec<_> =
        (0..12).map(|at| member(&format!("x{at}"), &format!("z{}", at % 3), 1.0)).collect();
    let all_new = after.with_members(replaced).unwrap();
    for n in 1..=12 {
        assert_rows_keep_the_rules(&all_new, n);
    }
}

#[test]
fn a_partition_or_an_n_without_a_layout_has_no_homes() {
    let ring = founders(&cluster(3, 1));
    assert!(ring.homes(PartitionId(0), 0).is_empty());
    assert!(ring.homes(PartitionId(0), 4).is_empty());
    assert!(ring.homes(PartitionId(PARTITIONS), 3).is_empty());
    assert!(ring.homes(PartitionId(u32::MAX), 3).is_empty());
    let large = founders(&cluster(20, 1));
    assert_eq!(large.homes(PartitionId(0), 15).len(), 15);
    assert!(large.homes(PartitionId(0), 16).is_empty());
}

#[test]
fn layouts_come_and_go_with_the_number_of_members() {
    let three = founders(&cluster(3, 1));
    let four = three.with_members(cluster(4, 1)).unwrap();
    assert_eq!(four.homes(PartitionId(7), 4).len(), 4);
    let two = four.with_members(cluster(2, 1)).unwrap();
    assert!(two.homes(PartitionId(7), 3).is_empty());
    assert_eq!(two.homes(PartitionId(7), 2).len(), 2);
}

#[test]
fn fallbacks_are_the_other_nodes_in_an_order_that_outlives_changes() {
    let members = cluster(10, 1);
    let ring = founders(&members);
    let ids = |ring: &Ring, nodes: &[NodeIndex]| -> Vec<String> {
        nodes.iter().map(|node| ring.member(*node).unwrap().id.to_string()).collect()
    };
    let fewer = ring.with_members(members[1..].to_vec()).unwrap();
    let mut first = BTreeSet::new();
    for partition in (0..PARTITIONS).map(PartitionId) {
        let fallbacks = ring.fallbacks(partition, 3);
        let mut all: Vec<NodeIndex> = ring.homes(partition, 3).iter().chain(&fallbacks).copied().collect();
        all.sort_unstable();
        assert_eq!(all, (0..10).map(NodeIndex).collect::<Vec<_>>());
        first.insert(fallbacks[0]);
        let (mut before, after) = (ids(&ring, &fallbacks), ids(&fewer, &fewer.fallbacks(partition, 3)));
        before.retain(|id| after.contains(id));
        let kept: Vec<String> = after.into_iter().filter(|id| before.contains(id)).collect();
        assert_eq!(kept, before);
    }
    assert_eq!(first.len(), 10);
}
