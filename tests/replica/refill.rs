//! What a home pulls that may lack writes, where some of it cannot be sent.

use neap::protocol::bounds::MessageBounds;
use neap::protocol::ids::{BucketName, Key, NodeId};
use neap::protocol::membership::{Backfill, BackfillEffect, Holding, Memory};
use neap::protocol::message::{
    LeftOut, PeerAnswer, PeerRequest, Refusal, ReplicaReply, ScanCursor, ScanPage,
};
use neap::protocol::ring::{Member, Ring, Weight};
use neap::protocol::settings::BucketTable;
use neap::protocol::sli::Path;
use neap::protocol::staleness::AppliedAt;
use neap::protocol::time::Moment;
use neap::protocol::view::View;

use super::{bench_with, object};

fn members() -> Vec<Member> {
    let member = |name: &str| Member {
        id: NodeId::new(name).unwrap(),
        zone: String::new(),
        weight: Weight::ONE,
        address: String::new(),
    };
    ["a", "b"].map(member).to_vec()
}

fn answer(left_out: &[&'static str], next: Option<ScanCursor>) -> PeerAnswer {
    let bucket = || BucketName::new("b").unwrap();
    let objects = vec![(bucket(), Key::new("small"), object(1))];
    let seen = object(3).context().clone();
    let left_out =
        left_out.iter().map(|key| LeftOut { bucket: bucket(), key: Key::new(*key), seen: seen.clone() });
    let left_out = left_out.collect();
    PeerAnswer::Scanned(ScanPage { objects, left_out, next, incomplete: false })
}

fn applied() -> ReplicaReply {
    let (at, path) = (Moment(1), Path::Transfer);
    let when = AppliedAt { clock: 1, arrived: at, applied: at, exactly: true, answered: at, path };
    ReplicaReply::Applied { siblings: 1, when }
}

fn buckets() -> BucketTable {
    bench_with(MessageBounds::default(), |settings| settings.quorum.n = 2).buckets
}

/// A refill that has asked its one peer, and what it wants done.
fn begun(view: View<'_>) -> (Backfill, Vec<BackfillEffect>) {
    let mut backfill = Backfill::new(8, Holding::Lacking(Memory::Whole));
    let mut effects = Vec::new();
    backfill.look(Moment(1), view, true, (|_: &NodeId| true, |_: &NodeId| true), &mut effects);
    (backfill, effects)
}

#[test]
fn a_refill_is_complete_though_an_object_could_not_be_sent_and_its_key_is_noted_first() {
    let (ring, buckets) = (Ring::founders(8, members()).unwrap(), buckets());
    let (me, peer) = (NodeId::new("a").unwrap(), NodeId::new("b").unwrap());
    let view = View { me: &me, ring: &ring, buckets: &buckets };
    let (mut backfill, mut effects) = begun(view);
    assert!(matches!(
        &effects[..],
        [BackfillEffect::Ask { request: PeerRequest::Scan { after: None, .. }, .. }]
    ));
    effects.clear();
    backfill.answered(Moment(2), view, peer.clone(), answer(&["large"], None), &mut effects);
    let [BackfillEffect::Apply { .. }, BackfillEffect::LeaveOut { left_out, .. }] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(left_out.key, Key::new("large"));
    effects.clear();
    backfill.applied(Moment(3), view, peer.clone(), &applied(), &mut effects);
    assert!(effects.is_empty() && !backfill.is_complete(), "it is not noted yet");
    let noted = ReplicaReply::Refused(Refusal::LeftOut);
    backfill.applied(Moment(3), view, peer, &noted, &mut effects);
    assert!(backfill.is_complete(), "{effects:?}");
    assert!(effects.iter().any(|effect| matches!(effect, BackfillEffect::Mark(Holding::Complete(_)))));
}

#[test]
fn a_refill_begins_again_where_it_could_not_be_noted_what_is_left_out() {
    let (ring, buckets) = (Ring::founders(8, members()).unwrap(), buckets());
    let (me, peer) = (NodeId::new("a").unwrap(), NodeId::new("b").unwrap());
    let view = View { me: &me, ring: &ring, buckets: &buckets };
    let (mut backfill, mut effects) = begun(view);
    backfill.answered(Moment(2), view, peer.clone(), answer(&["large"], None), &mut effects);
    backfill.applied(Moment(3), view, peer.clone(), &applied(), &mut effects);
    effects.clear();
    backfill.applied(Moment(3), view, peer, &ReplicaReply::Refused(Refusal::DiskFull), &mut effects);
    assert!(!backfill.is_complete());
    assert!(matches!(&effects[..], [BackfillEffect::Ended { result: Err(Refusal::DiskFull), .. }]));
}
