//! Objects that are too large to be sent, at the home that holds one and at the home that was left without.

use neap::protocol::bounds::{ENVELOPE_BYTES, MessageBounds};
use neap::protocol::bucket::SettingsVersion;
use neap::protocol::causality::Object;
use neap::protocol::ids::{BucketName, Key, NodeId};
use neap::protocol::message::{
    CoordinateReply, Gathered, LeftOut, Refusal, ReplicaReply, ReplicaRequest, Target, Via,
};
use neap::protocol::replica::{LargeObject, ReplicaAsk, ReplicaCount, ReplicaEffect};
use neap::protocol::time::{Hlc, Moment};
use neap::protocol::view::View;

use super::{Bench, bench, bench_with, dot, object};

fn place() -> (BucketName, Key) {
    (BucketName::new("b").unwrap(), Key::new("k"))
}

impl Bench {
    /// What a peer is answered, and what else comes of it.
    fn peer_asks(&mut self, request: ReplicaRequest) -> (ReplicaReply, Vec<ReplicaEffect<&'static str>>) {
        self.effects.clear();
        let view = View { me: &self.me, ring: &self.ring, buckets: &self.buckets };
        let (bucket, key) = place();
        let target = Target { bucket, key, settings: SettingsVersion::DEFAULTS };
        let asker = Some((NodeId::new("z").unwrap(), Hlc::ZERO));
        let ask = ReplicaAsk { target, request, deadline: Moment(u64::MAX), asker, trace: None, to: "peer" };
        self.replica.ask(Moment(9), view, &mut self.host, ask, &mut self.effects);
        self.sync(10);
        let mut effects = std::mem::take(&mut self.effects);
        let at = effects.iter().position(|effect| matches!(effect, ReplicaEffect::Answer { .. })).unwrap();
        match effects.remove(at) {
            ReplicaEffect::Answer { reply, .. } => (reply, effects),
            other => panic!("{other:?}"),
        }
    }

    fn is_left_out(&mut self, seen: &Object) {
        let view = View { me: &self.me, ring: &self.ring, buckets: &self.buckets };
        let (bucket, key) = place();
        let left_out = LeftOut { bucket, key, seen: seen.context().clone() };
        self.replica.left_out(view, &mut self.host, &left_out, "backfill", &mut self.effects);
        assert!(self.effects.is_empty(), "it is answered once it is durable");
        self.sync(4);
        let refused = ReplicaReply::Refused(Refusal::LeftOut);
        let answer = ReplicaEffect::Answer { to: "backfill", reply: refused };
        assert_eq!(std::mem::take(&mut self.effects), [answer]);
    }

    fn healed(&mut self, object: Object, everything: bool) -> Vec<ReplicaEffect<&'static str>> {
        let view = View { me: &self.me, ring: &self.ring, buckets: &self.buckets };
        let (bucket, key) = place();
        let gathered = Gathered { object, everything };
        let place = (&bucket, &key, &gathered);
        self.replica.heal(Moment(20), view, &mut self.host, place, "heal", &mut self.effects);
        self.sync(21);
        std::mem::take(&mut self.effects)
    }
}

#[test]
fn an_object_that_is_too_large_to_be_sent_is_named_to_the_operator_and_refused_to_peers_and_read_here() {
    let bytes = object(3).message_bytes();
    let fits = |bytes| bench_with(MessageBounds::of(ENVELOPE_BYTES + bytes), |_| {});
    let mut fitting = fits(bytes);
    fitting.host.held = Some(object(3));
    let fetched = ReplicaReply::Fetched(Some(object(3)));
    assert_eq!(fitting.peer_asks(ReplicaRequest::Fetch), (fetched.clone(), Vec::new()));
    let mut large = fits(bytes - 1);
    large.host.held = Some(object(3));
    let (bucket, key) = place();
    let named = ReplicaEffect::TooLarge(LargeObject { bucket, key, bytes });
    let refused = ReplicaReply::Refused(Refusal::TooLargeToSend);
    assert_eq!(large.peer_asks(ReplicaRequest::Fetch), (refused, vec![named]));
    large.ask(11, "own coordinator", ReplicaRequest::Fetch);
    assert_eq!(large.effects, [ReplicaEffect::Answer { to: "own coordinator", reply: fetched }]);
    assert!(matches!(large.peer_asks(ReplicaRequest::Probe).0, ReplicaReply::Probed(_)));
}

#[test]
fn a_home_that_was_left_without_an_object_takes_writes_and_counts_for_no_read_before_it_has_seen_as_much() {
    for held in [None, Some(object(1))] {
        let mut bench = bench();
        bench.host.held = held.clone();
        bench.is_left_out(&object(3));
        let (bucket, key) = place();
        let lacking = ReplicaEffect::Lacking { bucket, key };
        for request in [ReplicaRequest::Fetch, ReplicaRequest::Probe] {
            let refused = ReplicaReply::Refused(Refusal::LeftOut);
            assert_eq!(bench.peer_asks(request), (refused, vec![lacking.clone()]));
        }
        // Who is promised nothing may have what there is.
        let told = ReplicaReply::Fetched(Some(held.unwrap_or_default()));
        assert_eq!(bench.peer_asks(ReplicaRequest::FetchAsIs), (told, Vec::new()));
        // What is written elsewhere is kept, and acknowledged.
        let (reply, _) = bench.peer_asks(ReplicaRequest::Apply(object(2), Via::Write(dot(2))));
        assert!(matches!(reply, ReplicaReply::Applied { .. }), "{reply:?}");
        assert_eq!((bench.host.held.as_ref(), bench.host.lacks.is_some()), (Some(&object(2)), true));
        bench.healed(object(1), false);
        assert!(bench.host.lacks.is_some(), "what the others had was not enough");
        let effects = bench.healed(object(3), false);
        assert!(effects.contains(&ReplicaEffect::Count(ReplicaCount::LeftOutHealed)), "{effects:?}");
        assert_eq!((bench.host.held.as_ref(), bench.host.lacks.as_ref()), (Some(&object(3)), None));
        let fetched = ReplicaReply::Fetched(Some(object(3)));
        assert_eq!(bench.peer_asks(ReplicaRequest::Fetch), (fetched, Vec::new()));
    }
}

#[test]
fn what_nobody_has_any_more_is_lacked_no_more() {
    let mut bench = bench();
    bench.host.held = Some(object(2));
    bench.is_left_out(&object(3));
    let effects = bench.healed(object(1), true);
    assert!(effects.contains(&ReplicaEffect::Count(ReplicaCount::LeftOutHealed)), "{effects:?}");
    assert_eq!((bench.host.held.as_ref(), bench.host.lacks.as_ref()), (Some(&object(2)), None));
}

#[test]
fn a_write_that_covers_all_that_was_left_out_makes_it_whole() {
    let mut bench = bench();
    bench.is_left_out(&object(3));
    // Somebody has read the large object where it is, and written with that context.
    let (reply, _) = bench.peer_asks(ReplicaRequest::Apply(object(4), Via::Write(dot(4))));
    assert!(matches!(reply, ReplicaReply::Applied { .. }), "{reply:?}");
    assert_eq!((bench.host.held.as_ref(), bench.host.lacks.as_ref()), (Some(&object(4)), None));
}

#[test]
fn it_coordinates_writes_and_lacks_then_what_it_lacked_before() {
    let mut bench = bench();
    bench.host.held = Some(object(1));
    bench.is_left_out(&object(3));
    assert!(matches!(bench.coordinate(12, 5, "client"), CoordinateReply::Stamped { again: false, .. }));
    assert!(bench.host.lacks.is_some() && bench.host.held.as_ref().unwrap() != &object(1));
}

#[test]
fn a_home_that_has_seen_all_that_the_object_has_seen_lacks_nothing_of_it() {
    for (seen, lacks) in [(object(3), false), (object(2), false), (object(4), true)] {
        let mut bench = bench();
        bench.host.held = Some(object(3));
        bench.is_left_out(&seen);
        assert_eq!(
            (bench.host.held.as_ref(), bench.host.lacks.is_some()),
            (Some(&object(3)), lacks),
            "{seen:?}"
        );
    }
}
