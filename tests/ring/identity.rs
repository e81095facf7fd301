//! Equal records make equal rings, and what is no ring is refused.

use neap::protocol::ids::{BucketName, Epoch, Key};
use neap::protocol::ring::{MEMBERS_MAX, Ring, RingError, Weight};

use super::history::*;

#[test]
fn founders_listed_in_any_order_make_the_same_ring() {
    let members = cluster(12, 3);
    let ring = founders(&members);
    let mut numbers = Numbers(9);
    for _ in 0..5 {
        let mut shuffled = members.clone();
        for at in (1..shuffled.len()).rev() {
            shuffled.swap(at, numbers.below(at + 1));
        }
        let other = founders(&shuffled);
        assert_eq!(other.fingerprint(), ring.fingerprint());
        assert_eq!(other.members(), ring.members());
    }
}

#[test]
fn nodes_that_apply_the_same_changes_have_the_same_ring() {
    let mut history = History::new(128, 7, 3, true, 77);
    let mut other = history.ring.clone();
    for _ in 0..30 {
        history.step();
        let reversed = history.members.iter().rev().cloned().collect();
        other = other.with_members(reversed).unwrap();
        assert_eq!(history.ring.fingerprint(), other.fingerprint());
        for n in 1..=4 {
            each_row(&history.ring, n, |partition, row| assert_eq!(row, other.homes(partition, n)));
        }
    }
}

#[test]
fn a_ring_of_the_first_release_keeps_its_fingerprint() {
    // What every node of a cluster must agree on, across machines and releases.
    assert_eq!(founders(&cluster(5, 2)).fingerprint(), FOUNDERS);
    let next = founders(&cluster(5, 2)).with_members(cluster(6, 3)).unwrap();
    assert_eq!(next.fingerprint(), NEXT);
}

const FOUNDERS: u64 = 6_911_727_629_811_444_007;
const NEXT: u64 = 17_954_179_661_571_473_744;

#[test]
fn a_fingerprint_tells_apart_what_differs_and_ignores_addresses() {
    let members = cluster(5, 2);
    let ring = founders(&members);
    let with = |change: &dyn Fn(&mut Vec<neap::protocol::ring::Member>)| {
        let mut members = members.clone();
        change(&mut members);
        founders(&members).fingerprint()
    };
    assert_eq!(with(&|members| members[0].address = "elsewhere:1".to_owned()), ring.fingerprint());
    assert_ne!(with(&|members| members[0].zone = "z9".to_owned()), ring.fingerprint());
    assert_ne!(with(&|members| members[0].weight = Weight::new(1.001).unwrap()), ring.fingerprint());
    assert_ne!(with(&|members| members[0] = member("other", "z0", 1.0)), ring.fingerprint());
    assert_ne!(Ring::founders(2048, members.clone()).unwrap().fingerprint(), ring.fingerprint());
    assert_ne!(ring.with_members(members.clone()).unwrap().fingerprint(), ring.fingerprint());
}

#[test]
fn the_epoch_rises_by_one_with_each_record() {
    let ring = founders(&cluster(3, 1));
    assert_eq!(ring.epoch(), Epoch(1));
    assert_eq!(ring.with_members(cluster(4, 1)).unwrap().epoch(), Epoch(2));
}

#[test]
fn members_are_found_by_name_and_by_place() {
    let ring = founders(&cluster(9, 3));
    for member in ring.members() {
        assert_eq!(ring.member(ring.index_of(&member.id).unwrap()), Some(member));
    }
    assert_eq!(ring.index_of(&member("stranger", "", 1.0).id), None);
    assert_eq!(ring.member(neap::protocol::ring::NodeIndex(9)), None);
}

#[test]
fn keys_spread_over_all_partitions() {
    let ring = Ring::founders(64, cluster(3, 1)).unwrap();
    let bucket = BucketName::new("b").unwrap();
    let mut keys = [0_u32; 64];
    for at in 0..64_000 {
        keys[ring.partition_of(&bucket, &Key::new(format!("key-{at}").into_bytes())).0 as usize] += 1;
    }
    assert!(keys.iter().all(|keys| (800..1200).contains(keys)), "{keys:?}");
}

#[test]
fn what_is_no_ring_is_refused_by_name() {
    let refused = |partitions, members| Ring::founders(partitions, members).unwrap_err();
    for given in [0, 3, 1000, 131_072, u32::MAX] {
        let error = refused(given, cluster(3, 1));
        assert_eq!(error, RingError::Partitions { given });
        assert!(error.to_string().contains(&given.to_string()) && error.to_string().contains("65536"));
    }
    assert_eq!(refused(1024, Vec::new()), RingError::NoMembers);
    let mut twice = cluster(4, 1);
    twice[3] = member("n001", "z9", 2.0);
    assert_eq!(refused(1024, twice.clone()), RingError::DuplicateId { id: twice[3].id.clone() });
    assert!(refused(1024, twice).to_string().contains("n001"));
    let crowd: Vec<_> = (0..=MEMBERS_MAX).map(|at| member(&format!("n{at}"), "", 1.0)).collect();
    assert_eq!(refused(1024, crowd), RingError::TooManyMembers { given: MEMBERS_MAX + 1 });
    let ring = founders(&cluster(3, 1));
    assert_eq!(ring.with_members(Vec::new()).unwrap_err(), RingError::NoMembers);
}

#[test]
fn a_ring_of_one_partition_or_one_node_is_a_ring() {
    let tiny = Ring::founders(1, cluster(5, 2)).unwrap();
    assert_eq!(loads(&tiny, 3).iter().sum::<u32>(), 3);
    let alone = founders(&cluster(1, 1));
    assert_eq!(loads(&alone, 1), [PARTITIONS]);
    let grown = alone.with_members(cluster(2, 1)).unwrap();
    assert_eq!(loads(&grown, 1), [512, 512]);
}
