//! Small cases with known answers.

use bytes::Bytes;
use neap::protocol::bucket::BlindWrite;
use neap::protocol::causality::{Body, CausalContext, Intent, Mode, Object, Value};
use neap::protocol::ids::{ActorId, Dot, WriteId};
use neap::protocol::quorum::{Quorum, QuorumError, homes_to_merge_from};
use neap::protocol::time::Hlc;

fn actor(name: char) -> ActorId {
    ActorId(name as u64)
}

fn put(object: &mut Object, name: char, counter: u64, mode: Mode, body: Body) -> CausalContext {
    let (dot, hlc) = (Dot { actor: actor(name), counter }, Hlc(counter));
    let write_id = WriteId(u128::from(counter) << 64 | name as u128);
    object.put(Intent { dot, hlc, w: 1, write_id, named: false, created: false, mode, body }).context
}

fn value(text: &'static str) -> Body {
    Body::Value(Value { content_type: None, bytes: Bytes::from_static(text.as_bytes()), expires_at: None })
}

/// One saw what the other saw and one thing more of B's: nothing is in conflict.
#[test]
fn a5_b3_against_a5_b4_is_no_conflict() {
    let older = CausalContext::from_parts([(actor('A'), 5), (actor('B'), 3)], []);
    let newer = CausalContext::from_parts([(actor('A'), 5), (actor('B'), 4)], []);
    assert!(newer.covers_all(&older) && !older.covers_all(&newer));

    let mut at_a = Object::new();
    put(&mut at_a, 'A', 5, Mode::Blind(BlindWrite::Overwrite), value("a5"));
    let mut at_b = at_a.clone();
    put(&mut at_b, 'B', 3, Mode::Blind(BlindWrite::Overwrite), value("b3"));
    let mut behind = at_b.clone();
    let seen = at_b.context().clone();
    put(&mut at_b, 'B', 4, Mode::Context(seen), value("b4"));
    assert_eq!(behind.context(), &older);
    assert_eq!(at_b.context(), &newer);
    behind.merge(&at_b, Hlc(9));
    assert_eq!(behind.siblings().len(), 1);
    assert_eq!(behind.versions()[0].dot, Dot { actor: actor('B'), counter: 4 });
}

#[test]
fn a_key_that_was_deleted_and_made_again_keeps_its_value_against_an_old_context() {
    let mut object = Object::new();
    let old = put(&mut object, 'A', 1, Mode::Blind(BlindWrite::Overwrite), value("first"));
    put(&mut object, 'A', 2, Mode::Context(old.clone()), Body::Tombstone);
    // Collected: nothing is left of the key, and the counter goes on.
    let mut object = Object::new();
    put(&mut object, 'A', 3, Mode::Blind(BlindWrite::Overwrite), value("second"));
    put(&mut object, 'B', 1, Mode::Context(old), Body::Tombstone);
    assert!(object.siblings().iter().any(|version| version.body == value("second")));
}

#[test]
fn quorums_are_checked_against_each_other() {
    let quorum = Quorum { n: 3, r: 2, w: 2 };
    assert_eq!(quorum.validate(), Ok(()));
    assert_eq!(Quorum { n: 0, ..quorum }.validate(), Err(QuorumError::N { given: 0 }));
    assert_eq!(Quorum { n: 16, ..quorum }.validate(), Err(QuorumError::N { given: 16 }));
    assert_eq!(Quorum { r: 4, ..quorum }.validate(), Err(QuorumError::R { given: 4, n: 3 }));
    assert_eq!(Quorum { w: 0, ..quorum }.validate(), Err(QuorumError::W { given: 0, w_min: 1, n: 3 }));
    assert_eq!(quorum.check_w(1, 2), Err(QuorumError::W { given: 1, w_min: 2, n: 3 }));
    assert_eq!(quorum.check_w(2, 2), Ok(()));
    assert_eq!(quorum.check_r(0), Err(QuorumError::R { given: 0, n: 3 }));
}

#[test]
fn merging_from_so_many_others_meets_every_acknowledged_write() {
    for n in 1..=15u8 {
        for w_min in 1..=n {
            let needed = homes_to_merge_from(n, w_min);
            // This home's copy is lost: at least w_min - 1 of the n - 1 others acknowledged the write.
            let others = n - 1;
            let can_be_missed = u32::from(needed) + u32::from(w_min - 1) <= u32::from(others);
            assert!(!can_be_missed || w_min == 1, "n = {n}, w_min = {w_min}");
        }
    }
}
