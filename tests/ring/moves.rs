//! What a change of the members moves.

use neap::protocol::ids::NodeId;
use neap::protocol::ring::{Ring, Weight};

use super::history::*;

fn load_of(ring: &Ring, id: &NodeId, n: u8) -> u32 {
    ring.index_of(id).map_or(0, |at| loads(ring, n)[usize::from(at.0)])
}

#[test]
fn a_ring_of_the_same_members_moves_nothing() {
    let mut history = History::new(256, 10, 3, true, 5);
    for _ in 0..20 {
        history.step();
        let again = history.ring.with_members(history.members.clone()).unwrap();
        for n in 1..=4 {
            assert_eq!(moved(&history.ring, &again, n), 0);
            each_row(&again, n, |partition, row| assert_eq!(row, history.ring.homes(partition, n)));
        }
    }
}

#[test]
fn a_joiner_takes_its_share_and_nothing_else_moves() {
    for nodes in (3..60).step_by(4) {
        let before = founders(&cluster(nodes, 1));
        let after = before.with_members(cluster(nodes + 1, 1)).unwrap();
        for n in 1..=3 {
            let share = u32::from(n) * PARTITIONS / (nodes as u32 + 1);
            let taken = load_of(&after, &cluster(nodes + 1, 1)[nodes].id, n);
            assert!((share..=share + 1).contains(&taken), "{taken} of {share}");
            assert_eq!(moved(&before, &after, n), taken, "{nodes} nodes, n = {n}");
        }
    }
}

#[test]
fn a_leavers_slots_go_to_the_others_and_nothing_else_moves() {
    for nodes in (4..60).step_by(4) {
        let members = cluster(nodes, 1);
        let before = founders(&members);
        let after = before.with_members(members[..nodes - 1].to_vec()).unwrap();
        for n in 1..=3 {
            let left = load_of(&before, &members[nodes - 1].id, n);
            assert_eq!(moved(&before, &after, n), left, "{nodes} nodes, n = {n}");
        }
    }
}

#[test]
fn a_change_of_weight_moves_the_difference_alone() {
    for nodes in [5, 12, 40] {
        for weight in [0.5, 0.9, 1.1, 2.0] {
            let mut members = cluster(nodes, 1);
            let before = founders(&members);
            members[2].weight = Weight::new(weight).unwrap();
            let after = before.with_members(members.clone()).unwrap();
            for n in 1..=3 {
                let (old, new) = (load_of(&before, &members[2].id, n), load_of(&after, &members[2].id, n));
                assert_ne!(old, new);
                assert_eq!(moved(&before, &after, n), old.abs_diff(new), "{nodes} nodes, {weight}, n = {n}");
            }
        }
    }
}

#[test]
fn a_node_replaced_in_its_zone_hands_all_its_slots_to_its_successor() {
    let mut members = cluster(9, 3);
    let before = founders(&members);
    members[4] = member("successor", &members[4].zone, 1.0);
    let after = before.with_members(members).unwrap();
    for n in 1..=5 {
        assert_eq!(moved(&before, &after, n), gained(&before, &after, n), "n = {n}");
    }
}
