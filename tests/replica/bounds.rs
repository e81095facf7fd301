//! What a coordinator does not carry out, since the object would outgrow a bound.

use bytes::Bytes;
use neap::protocol::bounds::{ENVELOPE_BYTES, MessageBounds, Overfull};
use neap::protocol::bucket::BlindWrite;
use neap::protocol::causality::{Body, CausalContext, Intent, Mode, Object, Value};
use neap::protocol::ids::{BucketName, Key, WriteId};
use neap::protocol::message::{Coordinate, CoordinateReply};
use neap::protocol::operation::{Write, WriteBody};
use neap::protocol::replica::{ReplicaCount, ReplicaEffect};
use neap::protocol::time::{Hlc, Moment};
use neap::protocol::view::View;

use super::{Bench, bench_with};

const BOUND: usize = 4_000;

/// A home of a bucket whose blind writes make siblings, of objects of 4,000 bytes.
fn bench(siblings_max: u16) -> Bench {
    bench_with(MessageBounds::of(ENVELOPE_BYTES + BOUND), |settings| {
        settings.blind_write = BlindWrite::Sibling;
        settings.siblings_max = siblings_max;
    })
}

fn put(bytes: usize) -> WriteBody {
    WriteBody::Put { content_type: None, bytes: Bytes::from(vec![b'v'; bytes]) }
}

impl Bench {
    fn write(
        &mut self,
        body: WriteBody,
        context: Option<CausalContext>,
        write_id: Option<u128>,
    ) -> CoordinateReply {
        let view = View { me: &self.me, ring: &self.ring, buckets: &self.buckets };
        let blind = self.buckets.defaults().blind_write;
        let write = Write {
            bucket: BucketName::new("b").unwrap(),
            key: Key::new("k"),
            body,
            context,
            write_id: write_id.map(WriteId),
            w: None,
            ttl_us: None,
            only_if_absent: false,
        };
        let write_id = WriteId(write_id.unwrap_or_else(|| 1_000 + u128::from(self.host.counter)));
        let coordinate = Coordinate { write, w: 1, blind, write_id, expires_at: None, trace: None };
        self.effects.clear();
        let way = (1, "client");
        self.replica.coordinate(Moment(5), view, &mut self.host, coordinate, way, &mut self.effects);
        let replies = self.effects.iter().find_map(|effect| match effect {
            ReplicaEffect::Coordinated { reply, .. } => Some((**reply).clone()),
            _ => None,
        });
        replies.unwrap()
    }

    fn stamps(&mut self, body: WriteBody, context: Option<CausalContext>) -> CausalContext {
        match self.write(body, context, None) {
            CoordinateReply::Stamped { answered, .. } => answered.context,
            other => panic!("{other:?}"),
        }
    }

    fn counted(&self) -> Vec<ReplicaCount> {
        let counts = self.effects.iter().filter_map(|effect| match effect {
            ReplicaEffect::Count(count) => Some(*count),
            _ => None,
        });
        counts.collect()
    }

    fn held_bytes(&self) -> usize {
        self.host.held.as_ref().unwrap().message_bytes()
    }

    fn context(&self) -> CausalContext {
        self.host.held.as_ref().unwrap().context().clone()
    }
}

#[test]
fn a_write_that_would_leave_more_bytes_than_the_bound_is_refused_before_a_dot_is_given() {
    let mut bench = bench(100);
    let old = bench.stamps(put(1_000), None);
    bench.stamps(put(1_000), None);
    bench.stamps(put(1_000), None);
    let (held, dots) = (bench.host.held.clone(), bench.host.counter);
    for context in [None, Some(CausalContext::new())] {
        let refused = bench.write(put(1_000), context, None);
        let CoordinateReply::Overfull(Overfull::Bytes { held_bytes, write_bytes, bound_bytes }) = refused
        else {
            panic!("{refused:?}")
        };
        assert_eq!((held_bytes, bound_bytes), (bench.held_bytes() as u64, BOUND as u64));
        assert!((1_000..1_300).contains(&write_bytes), "{write_bytes}");
        assert_eq!(bench.counted(), [ReplicaCount::ObjectFull]);
        assert_eq!(
            (&bench.host.held, bench.host.counter),
            (&held, dots),
            "nothing changed, and no dot is gone"
        );
    }
    // An old context replaces what it covers: as much as the write brings.
    bench.stamps(put(1_000), Some(old.clone()));
    // Once more it covers nothing that lives.
    assert!(matches!(bench.write(put(1_000), Some(old), None), CoordinateReply::Overfull(_)));
}

#[test]
fn what_is_refused_is_what_would_be_beyond_the_bound_to_the_byte() {
    let mut beyond = bench(100);
    beyond.stamps(put(1_000), None);
    let (one, rest) = (beyond.held_bytes(), BOUND - beyond.held_bytes());
    beyond.stamps(put(0), None);
    let largest = rest - (beyond.held_bytes() - one);
    let mut bench = bench(100);
    bench.stamps(put(1_000), None);
    assert!(matches!(bench.write(put(largest + 1), None, None), CoordinateReply::Overfull(_)));
    bench.stamps(put(largest), None);
    assert_eq!(bench.held_bytes(), BOUND);
}

/// What another coordinator left of so many bytes of a value, each beside the others.
fn left_elsewhere(bytes: &[usize]) -> Object {
    let mut object = Object::new();
    for (counter, bytes) in (1..).zip(bytes) {
        let value = Value { content_type: None, bytes: vec![b'v'; *bytes].into(), expires_at: None };
        object.put(Intent {
            dot: super::dot(counter),
            hlc: Hlc(1),
            w: 1,
            write_id: WriteId(u128::from(counter)),
            named: false,
            created: false,
            mode: Mode::Blind(BlindWrite::Sibling),
            body: Body::Value(value),
        });
    }
    object
}

#[test]
fn a_write_or_delete_that_leaves_fewer_bytes_than_it_found_is_never_refused() {
    for smaller in [put(1_900), WriteBody::Delete] {
        let mut bench = bench(100);
        // A join has brought here what others wrote who did not see each other.
        bench.host.held = Some(left_elsewhere(&[2_000, 3_500, 3_500]));
        let found = bench.held_bytes();
        assert!(found > 2 * BOUND);
        assert!(
            matches!(bench.write(put(1), None, None), CoordinateReply::Overfull(_)),
            "that would be more"
        );
        let one = CausalContext::from_parts([], [super::dot(1)]);
        let as_much = bench.write(put(2_000), Some(one.clone()), None);
        assert!(matches!(as_much, CoordinateReply::Overfull(_)), "and that would be no less: {as_much:?}");
        bench.stamps(smaller, Some(one));
        assert!((BOUND..found).contains(&bench.held_bytes()), "still beyond, and less than before");
        let all = bench.context();
        bench.stamps(put(1), Some(all));
        assert!(bench.held_bytes() < BOUND);
    }
}

#[test]
fn a_retry_of_a_write_that_was_carried_out_is_answered_though_the_object_is_full_now() {
    let mut bench = bench(2);
    let first = bench.write(put(1_000), None, Some(7));
    bench.stamps(put(1_000), None);
    let again = bench.write(put(1_000), None, Some(7));
    match (first, again) {
        (
            CoordinateReply::Stamped { answered: first, .. },
            CoordinateReply::Stamped { answered, again: true, .. },
        ) => {
            assert_eq!(first, answered);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_write_that_would_leave_too_many_versions_is_refused_with_an_old_context_as_without_one() {
    let mut bench = bench(3);
    let old = bench.stamps(put(1), None);
    // What the old context covers is gone, so it covers nothing that lives.
    bench.stamps(put(1), Some(old.clone()));
    bench.stamps(put(1), None);
    bench.stamps(put(1), None);
    let (held, dots) = (bench.host.held.clone(), bench.host.counter);
    for (context, write_id) in [(None, None), (Some(old), None), (None, Some(5))] {
        let refused = bench.write(put(1), context, write_id);
        let versions = Overfull::Versions { held_versions: 3, left_versions: 4, siblings_max: 3 };
        assert_eq!(refused, CoordinateReply::Overfull(versions));
        assert_eq!(bench.counted(), [ReplicaCount::TooManySiblings]);
        assert_eq!((&bench.host.held, bench.host.counter), (&held, dots));
    }
    assert!(matches!(bench.write(WriteBody::Delete, None, None), CoordinateReply::Overfull(_)));
    let all = bench.context();
    bench.stamps(put(1), Some(all));
    assert_eq!(bench.host.held.unwrap().versions().len(), 1);
}

#[test]
fn one_that_leaves_fewer_versions_than_it_found_is_never_refused() {
    let mut bench = bench(5);
    let first = bench.stamps(put(1), None);
    let mut two = first.clone();
    two.join(&bench.stamps(put(1), None));
    for _ in 0..3 {
        bench.stamps(put(1), None);
    }
    // Then the bucket is set to fewer.
    let fewer = super::bench_with(MessageBounds::default(), |settings| {
        settings.blind_write = BlindWrite::Sibling;
        settings.siblings_max = 2;
    });
    bench.buckets = fewer.buckets;
    assert!(
        matches!(bench.write(put(1), Some(first), None), CoordinateReply::Overfull(_)),
        "as many as before"
    );
    bench.stamps(put(1), Some(two));
    assert_eq!(bench.host.held.unwrap().versions().len(), 4);
}

#[test]
fn what_comes_near_a_bound_is_counted_before_it_is_reached() {
    let mut bench = bench(4);
    bench.stamps(put(1), None);
    bench.stamps(put(1), None);
    bench.stamps(put(1), None);
    assert_eq!(bench.counted(), [], "three quarters");
    bench.stamps(put(1), None);
    assert_eq!(bench.counted(), [ReplicaCount::ManySiblings]);
    let all = bench.context();
    bench.stamps(put(3_300), Some(all));
    assert_eq!(bench.counted(), [ReplicaCount::NearlyFull]);
}
