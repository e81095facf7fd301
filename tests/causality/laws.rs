//! The laws of merge, on states that schedules reach.

use neap::protocol::causality::Object;
use neap::protocol::ids::{Dot, WriteId};
use neap::protocol::time::Hlc;
use proptest::prelude::*;

use super::model::World;
use super::schedules::{config, run, schedule};

const NOW: Hlc = Hlc(1_000_000);

fn merged(objects: &[&Object]) -> Object {
    let mut all = Object::new();
    for object in objects {
        all.merge(object, NOW);
    }
    all
}

fn joined(a: &Object, b: &Object) -> Object {
    let mut joined = a.clone();
    joined.merge(b, NOW);
    joined
}

/// All that a merge promises: versions, context, and the records but for when each replica noted them.
fn promised(object: &Object) -> (Object, Vec<(WriteId, Dot)>) {
    let records = object.superseded().iter().map(|record| (record.write_id, record.dot)).collect();
    (Object::from_parts(object.context().clone(), object.versions().to_vec(), Vec::new()), records)
}

/// Every state of one key that was sent, or stands at a replica at the end.
fn states(world: &World, key: usize) -> Vec<Object> {
    let sent = world.sent.iter().filter(|sent| sent.0 == key).map(|sent| sent.1.object.clone());
    sent.chain((0..world.replicas()).map(|replica| world.state(replica, key).object.clone())).collect()
}

proptest! {
    #![proptest_config(config(800))]

    #[test]
    fn merge_is_commutative_associative_and_idempotent(
        (replicas, clients, steps) in schedule(50),
        picks in any::<[prop::sample::Index; 3]>(),
    ) {
        let world = run(replicas, clients, &steps);
        let states = states(&world, 0);
        let [a, b, c] = picks.map(|pick| pick.get(&states).clone());
        prop_assert_eq!(promised(&joined(&a, &b)), promised(&joined(&b, &a)));
        prop_assert_eq!(promised(&joined(&a, &a)), promised(&a));
        prop_assert_eq!(promised(&joined(&joined(&a, &b), &b)), promised(&joined(&a, &b)));
        let left = joined(&joined(&a, &b), &c);
        let right = joined(&a, &joined(&b, &c));
        prop_assert_eq!(promised(&left), promised(&right));
        prop_assert_eq!(promised(&merged(&[&c, &b, &a])), promised(&left));
    }

    #[test]
    fn what_is_joined_takes_no_more_bytes_than_its_parts(
        (replicas, clients, steps) in schedule(50),
        picks in any::<[prop::sample::Index; 2]>(),
    ) {
        let world = run(replicas, clients, &steps);
        let states = states(&world, 0);
        let [a, b] = picks.map(|pick| pick.get(&states).clone());
        prop_assert!(joined(&a, &b).message_bytes() <= a.message_bytes() + b.message_bytes());
    }

    #[test]
    fn the_order_of_any_number_of_merges_does_not_matter((replicas, clients, steps) in schedule(60)) {
        let world = run(replicas, clients, &steps);
        let states = states(&world, 0);
        let forth: Vec<&Object> = states.iter().collect();
        let back: Vec<&Object> = states.iter().rev().collect();
        prop_assert_eq!(promised(&merged(&forth)), promised(&merged(&back)));
    }
}
