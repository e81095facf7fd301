//! What an object is said to take in a message, held against the codec.

use bytes::Bytes;
use neap::protocol::bounds::{
    BESIDE_VALUE_BYTES, ENVELOPE_BYTES, MESSAGE_BYTES_MAX, MessageBounds, write_bytes,
};
use neap::protocol::bucket::SettingsVersion;
use neap::protocol::causality::{Body, CausalContext, Object, Superseded, Value, Version};
use neap::protocol::ids::{ActorId, BucketName, Dot, Key, NodeId, WriteId};
use neap::protocol::message::{
    PeerAnswer, PeerRequest, ReplicaReply, ReplicaRequest, ScanCursor, ScanPage, Target, Via,
};
use neap::protocol::operation::{Write, WriteBody};
use neap::protocol::quorum::N_MAX;
use neap::protocol::time::{Hlc, WallMicros};
use neap::transport::codec::{self, CodecError};
use neap::transport::wire::{WireAnswer, WireRequest};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Numbers of every length that the codec has.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..300u64, any::<u16>().prop_map(u64::from), any::<u32>().prop_map(u64::from), any::<u64>()]
}

fn dot() -> impl Strategy<Value = Dot> {
    (number(), number()).prop_map(|(actor, counter)| Dot { actor: ActorId(actor), counter })
}

fn context() -> impl Strategy<Value = CausalContext> {
    (vec((number(), number()), 0..4), vec(dot(), 0..4)).prop_map(|(vector, cloud)| {
        CausalContext::from_parts(vector.into_iter().map(|(actor, to)| (ActorId(actor), to)), cloud)
    })
}

fn body() -> impl Strategy<Value = Body> {
    let value = (option::of(".{0,20}"), vec(any::<u8>(), 0..400), option::of(number()));
    option::of(value).prop_map(|value| match value {
        None => Body::Tombstone,
        Some((content_type, bytes, expires_at)) => {
            Body::Value(Value { content_type, bytes: bytes.into(), expires_at: expires_at.map(WallMicros) })
        }
    })
}

fn version() -> impl Strategy<Value = Version> {
    let numbers = (number(), any::<u8>(), any::<u128>(), any::<bool>());
    (dot(), numbers, context(), any::<(bool, bool)>(), body()).prop_map(
        |(dot, (hlc, w, write_id, named), past, (gapless, created), body)| {
            let (hlc, write_id) = (Hlc(hlc), WriteId(write_id));
            Version { dot, hlc, w, write_id, named, past, gapless, created, body }
        },
    )
}

fn superseded() -> impl Strategy<Value = Superseded> {
    (any::<u128>(), dot(), (number(), number()), context(), any::<(bool, bool)>()).prop_map(
        |(write_id, dot, (hlc, at), past, (gapless, created))| {
            let (write_id, hlc, at) = (WriteId(write_id), Hlc(hlc), Hlc(at));
            Superseded { write_id, dot, hlc, past, gapless, created, at }
        },
    )
}

fn object() -> impl Strategy<Value = Object> {
    (context(), vec(version(), 0..6), vec(superseded(), 0..6))
        .prop_map(|(context, versions, superseded)| Object::from_parts(context, versions, superseded))
}

/// The longest that names and versions may be.
fn target() -> Target {
    Target {
        bucket: BucketName::new(&"b".repeat(64)).unwrap(),
        key: Key::new(vec![0xff; 1_024]),
        settings: SettingsVersion { hlc: Hlc(u64::MAX), node: Some(NodeId::new(&"n".repeat(64)).unwrap()) },
    }
}

fn apply(object: Object) -> PeerRequest {
    let via = Via::Write(Dot { actor: ActorId(u64::MAX), counter: u64::MAX });
    PeerRequest::Replica(target(), ReplicaRequest::Apply(object, via))
}

fn page(object: Object) -> PeerAnswer {
    let Target { bucket, key, .. } = target();
    let cursor = ScanCursor(Bytes::from(vec![0xff; 4 + 64 + 1 + 1_024]));
    let objects = vec![(bucket, key, object)];
    PeerAnswer::Scanned(ScanPage { objects, left_out: Vec::new(), next: Some(cursor), incomplete: true })
}

fn fetched(object: Object) -> PeerAnswer {
    PeerAnswer::Replica(ReplicaReply::Fetched(Some(object)))
}

fn request_bytes(request: &PeerRequest) -> Result<usize, CodecError> {
    let mut bytes = Vec::new();
    codec::encode(&WireRequest::from(request), &mut bytes).map(|()| bytes.len())
}

fn answer_bytes(answer: &PeerAnswer) -> Result<usize, CodecError> {
    let mut bytes = Vec::new();
    codec::encode(&WireAnswer::from(answer), &mut bytes).map(|()| bytes.len())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn an_object_never_takes_more_bytes_than_it_counts_and_its_envelope(object in object()) {
        let counts = object.message_bytes();
        let nothing = answer_bytes(&fetched(Object::new())).unwrap();
        let empty = Object::new().message_bytes();
        prop_assert!(answer_bytes(&fetched(object.clone())).unwrap() <= nothing + counts);
        prop_assert!(request_bytes(&apply(object.clone())).unwrap() <= counts + ENVELOPE_BYTES - empty);
        prop_assert!(answer_bytes(&page(object.clone())).unwrap() <= counts + ENVELOPE_BYTES - empty);
        // Nor so much less that the bound would be of no use: for each number that is short, 8 bytes.
        let parts = object.versions().len() + object.superseded().len();
        let dots = |context: &CausalContext| context.vector().len() + context.cloud().len();
        let pasts = object.versions().iter().map(|version| dots(&version.past));
        let pasts: usize = pasts.chain(object.superseded().iter().map(|old| dots(&old.past))).sum();
        let numbers = 4 + 12 * parts + 2 * (pasts + dots(object.context()));
        prop_assert!(counts <= answer_bytes(&fetched(object)).unwrap() + 9 * numbers);
    }
}

/// An object with one version that counts so many bytes.
fn of_bytes(counter: u64, bytes: usize) -> Object {
    let dot = Dot { actor: ActorId(u64::MAX - counter), counter };
    let made = |value: usize| {
        let body = Body::Value(Value {
            content_type: Some("text/plain".to_owned()),
            bytes: Bytes::from(vec![b'v'; value]),
            expires_at: Some(WallMicros(u64::MAX)),
        });
        let past = CausalContext::new();
        let version = Version {
            dot,
            hlc: Hlc(u64::MAX),
            w: 3,
            write_id: WriteId(u128::MAX),
            named: false,
            past,
            gapless: true,
            created: true,
            body,
        };
        Object::from_parts(CausalContext::from_parts([(dot.actor, counter)], []), vec![version], Vec::new())
    };
    let made = made(bytes - made(0).message_bytes());
    assert_eq!(made.message_bytes(), bytes);
    made
}

#[test]
fn what_as_many_coordinators_as_there_are_replicas_left_fits_one_message_once_it_is_joined() {
    let bounds = MessageBounds::default();
    for n in [1, 3, N_MAX] {
        let mut joined = Object::new();
        for coordinator in 1..=u64::from(n) {
            joined.merge(&of_bytes(coordinator, bounds.object_bytes(n)), Hlc::ZERO);
        }
        assert_eq!(joined.versions().len(), usize::from(n));
        assert!(joined.message_bytes() <= bounds.sendable_bytes());
        for bytes in [request_bytes(&apply(joined.clone())), answer_bytes(&page(joined.clone()))] {
            // And hardly less than that would be enough.
            assert!(bytes.as_ref().is_ok_and(|bytes| *bytes > MESSAGE_BYTES_MAX - 10_000), "{bytes:?}");
        }
    }
    let larger = of_bytes(1, MESSAGE_BYTES_MAX + 100);
    assert_eq!(request_bytes(&apply(larger.clone())), Err(CodecError::TooLong));
    assert_eq!(answer_bytes(&fetched(larger)), Err(CodecError::TooLong));
}

#[test]
fn a_write_that_is_no_larger_than_an_object_may_be_can_be_handed_on() {
    let bounds = MessageBounds::default();
    let Target { bucket, key, settings } = target();
    let vector = (0..1_000u64).map(|actor| (ActorId(u64::MAX - actor), u64::MAX));
    let mut write = Write {
        bucket,
        key,
        body: WriteBody::Delete,
        context: Some(CausalContext::from_parts(vector, [])),
        write_id: Some(WriteId(u128::MAX)),
        w: Some(3),
        ttl_us: Some(u64::MAX),
        only_if_absent: true,
    };
    let content_type = Some("text/plain".to_owned());
    let put = |bytes: usize| WriteBody::Put {
        content_type: content_type.clone(),
        bytes: Bytes::from(vec![b'v'; bytes]),
    };
    write.body = put(0);
    write.body = put(bounds.object_bytes(1) - write_bytes(&write));
    assert_eq!(write_bytes(&write), bounds.object_bytes(1));
    let forward = PeerRequest::Forward(write, WriteId(u128::MAX), settings);
    assert!(request_bytes(&forward).is_ok());
}

#[test]
fn the_usual_limit_of_values_works_with_every_n_and_the_highest_that_works_is_known() {
    let bounds = MessageBounds::default();
    let usual = 1 << 20;
    assert_eq!(bounds.highest_n(usual), N_MAX);
    assert_eq!(bounds.value_bytes(3), 5_396 * 1024);
    assert_eq!(bounds.highest_n(bounds.value_bytes(3)), 3);
    assert_eq!(bounds.highest_n(bounds.value_bytes(3) + 1), 2);
    assert_eq!(bounds.highest_n(bounds.value_bytes(1)), 1);
    assert_eq!(bounds.highest_n(bounds.value_bytes(1) + 1), 0);
    assert_eq!(bounds.value_bytes(1), MESSAGE_BYTES_MAX - ENVELOPE_BYTES - BESIDE_VALUE_BYTES);
}
