//! How even a ring is.

use std::collections::BTreeSet;

use neap::protocol::ring::NodeIndex;

use super::history::*;

#[test]
fn replicas_and_first_places_are_even_from_3_to_100_nodes() {
    for nodes in 3..=100 {
        let ring = founders(&cluster(nodes, 1));
        let (replicas, first) =
            (max_to_mean(&ring, &loads(&ring, 3)), max_to_mean(&ring, &first_places(&ring, 3)));
        // No slot can be cut: with 99 nodes, 31.03 slots each, some node holds 32.
        let mean = f64::from(3 * PARTITIONS) / nodes as f64;
        assert!(replicas <= 1.03 * mean.ceil() / mean, "{nodes} nodes: replicas {replicas}");
        assert!(replicas <= 1.032, "{nodes} nodes: replicas {replicas}");
        assert!(first <= 1.10, "{nodes} nodes: first places {first}");
    }
}

#[test]
fn first_places_are_even_across_zones_of_unequal_size() {
    for nodes in (4..=60).step_by(7) {
        for zones in 2..=4 {
            let ring = founders(&cluster(nodes, zones));
            let mean = f64::from(PARTITIONS) / nodes as f64;
            let most = f64::from(*first_places(&ring, 3).iter().max().unwrap());
            assert!(most <= mean.ceil(), "{nodes} nodes in {zones} zones: {most} of {mean}");
        }
    }
}

#[test]
fn replicas_are_even_to_the_slot_for_every_n_and_every_kind_of_zones() {
    for (nodes, zones) in [(3, 1), (4, 2), (7, 3), (10, 3), (16, 5), (20, 20), (33, 4), (100, 7)] {
        let ring = founders(&cluster(nodes, zones));
        for n in 1..=15.min(nodes as u8) {
            assert_even_to_the_slot(&ring, n);
        }
    }
}

#[test]
fn replicas_follow_weights() {
    let weights = [0.5, 1.0, 1.0, 2.0, 4.0, 0.001, 1.337, 1000.0];
    let members: Vec<_> =
        weights.iter().enumerate().map(|(at, weight)| member(&format!("n{at}"), "", *weight)).collect();
    let ring = founders(&members);
    for n in 1..=8 {
        assert_even_to_the_slot(&ring, n);
    }
    let plain = founders(&[member("a", "", 1.0), member("b", "", 2.0), member("c", "", 1.0)]);
    assert_eq!(loads(&plain, 1), [256, 512, 256]);
    assert_eq!(loads(&plain, 2), [512, 1024, 512]);
    assert_eq!(first_places(&plain, 3), [256, 512, 256]);
}

#[test]
fn a_node_shares_its_partitions_with_most_others_so_that_many_carry_its_load_when_it_is_down() {
    let mut members = cluster(30, 1);
    let founded = founders(&members);
    members.push(member("joiner", "z0", 1.0));
    members.remove(3);
    let changed = founded.with_members(members).unwrap();
    for ring in [founded, changed] {
        let mut companions: Vec<BTreeSet<NodeIndex>> = vec![BTreeSet::new(); ring.members().len()];
        each_row(&ring, 3, |_, row| {
            for home in row {
                companions[usize::from(home.0)].extend(row.iter().filter(|other| *other != home));
            }
        });
        for (at, others) in companions.iter().enumerate() {
            assert!(others.len() >= 24, "{} has {}", ring.members()[at].id, others.len());
        }
    }
}
