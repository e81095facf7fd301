use bytes::Bytes;
use neap::protocol::admission::BucketWeight;
use neap::protocol::bounds::Overfull;
use neap::protocol::bucket::{BlindWrite, BucketSettings, ReadRepair, Resolution, SettingsVersion};
use neap::protocol::causality::{Answered, Body, CausalContext, Intent, Mode, Object, Value};
use neap::protocol::ids::{ActorId, BucketName, Dot, Key, NodeId, WriteId};
use neap::protocol::listing::{KeyPage, KeyRange, PageRequest, StatesRequest};
use neap::protocol::message::{
    LeftOut, PeerAnswer, PeerRequest, Refusal, ReplicaReply, ReplicaRequest, ScanCursor, ScanPage, Target,
    Via,
};
use neap::protocol::operation::{OperationError, Outcome, Participation, Write, WriteBody, WriteReply};
use neap::protocol::quorum::{Quorum, QuorumError};
use neap::protocol::sli::Path;
use neap::protocol::staleness::{AppliedAt, Digest, SeenState};
use neap::protocol::time::{Hlc, Moment, WallMicros};
use neap::transport::codec;
use neap::transport::wire::{WireAnswer, WireRequest};

fn bucket() -> BucketName {
    BucketName::new("b").unwrap()
}

fn object() -> Object {
    let actor = ActorId(u64::MAX);
    let mut object = Object::new();
    for (counter, mode) in [(1, Mode::Blind(BlindWrite::Overwrite)), (9, Mode::Blind(BlindWrite::Sibling))] {
        let body = match counter {
            1 => Body::Value(Value {
                content_type: Some("text/plain".to_owned()),
                bytes: Bytes::from(vec![7; 300]),
                expires_at: Some(WallMicros(5)),
            }),
            _ => Body::Tombstone,
        };
        let (dot, write_id) = (Dot { actor, counter }, WriteId(u128::MAX - u128::from(counter)));
        object.put(Intent {
            dot,
            hlc: Hlc(counter),
            w: 2,
            write_id,
            named: true,
            created: counter % 2 == 1,
            mode,
            body,
        });
    }
    let (dot, mode) = (Dot { actor, counter: 20 }, Mode::Blind(BlindWrite::Overwrite));
    object.put(Intent {
        dot,
        hlc: Hlc(30),
        w: 1,
        write_id: WriteId(1),
        named: false,
        created: false,
        mode,
        body: Body::Tombstone,
    });
    object
}

fn settings() -> (BucketName, BucketSettings, SettingsVersion) {
    let settings = BucketSettings {
        quorum: Quorum { n: 5, r: 2, w: 4 },
        w_min: 3,
        resolution: Resolution::Lww,
        blind_write: BlindWrite::Sibling,
        siblings_max: 100,
        weight: BucketWeight::ONE,
        sloppy: true,
        read_repair: ReadRepair::Async,
        ttl_us: Some(1),
    };
    (bucket(), settings, version())
}

fn version() -> SettingsVersion {
    SettingsVersion { hlc: Hlc(4), node: Some(NodeId::new("n1").unwrap()) }
}

#[test]
fn every_request_comes_back_as_it_was() {
    let target = || Target { bucket: bucket(), key: Key::new(vec![0xff, 0]), settings: version() };
    let write = |body| Write {
        bucket: bucket(),
        key: Key::new("k"),
        body,
        context: Some(object().context().clone()),
        write_id: Some(WriteId(8)),
        w: Some(2),
        ttl_us: None,
        only_if_absent: true,
    };
    let put = WriteBody::Put { content_type: None, bytes: Bytes::from_static(b"v") };
    let (name, settings, version) = settings();
    let dot = Dot { actor: ActorId(u64::MAX), counter: u64::MAX };
    for request in [
        PeerRequest::Replica(target(), ReplicaRequest::Apply(object(), Via::Write(dot))),
        PeerRequest::Replica(target(), ReplicaRequest::Apply(object(), Via::ReadRepair)),
        PeerRequest::Replica(target(), ReplicaRequest::Apply(object(), Via::Transfer)),
        PeerRequest::Replica(target(), ReplicaRequest::Fetch),
        PeerRequest::Replica(target(), ReplicaRequest::FetchAsIs),
        PeerRequest::Replica(target(), ReplicaRequest::Probe),
        PeerRequest::Forward(write(put), WriteId(3), SettingsVersion::DEFAULTS),
        PeerRequest::Forward(write(WriteBody::Delete), WriteId(3), version.clone()),
        PeerRequest::FetchSettings(bucket()),
        PeerRequest::StoreSettings(name, settings, version),
        PeerRequest::ListSettings,
        PeerRequest::HoldsBucket(bucket()),
        PeerRequest::SloSummary,
        PeerRequest::ListKeys(PageRequest {
            range: KeyRange {
                bucket: bucket(),
                prefix: Bytes::from_static(b"p"),
                after: Bytes::from_static(&[0xff]),
            },
            n: 3,
            now: WallMicros(u64::MAX),
            max_keys: u32::MAX,
            max_bytes: 8,
        }),
        PeerRequest::ListStates(StatesRequest {
            bucket: bucket(),
            n: 15,
            keys: vec![Key::new("a"), Key::new(vec![0xff])],
            max_bytes: 9,
        }),
        PeerRequest::Scan { after: None, max_bytes: 7 },
        PeerRequest::Scan { after: Some(ScanCursor(Bytes::from_static(b"x"))), max_bytes: 7 },
    ] {
        let mut bytes = Vec::new();
        codec::encode(&WireRequest::from(&request), &mut bytes).unwrap();
        let back: WireRequest = codec::decode(&bytes).unwrap();
        assert_eq!(PeerRequest::try_from(back).unwrap(), request);
    }
}

#[test]
fn every_answer_comes_back_as_it_was() {
    let node = || NodeId::new("n3").unwrap();
    let reply = WriteReply {
        answered: Answered {
            dot: object().versions()[0].dot,
            hlc: Hlc(3),
            context: CausalContext::from_parts([], [object().versions()[0].dot]),
            created: true,
        },
        write_id: WriteId(2),
        sibling: false,
        participation: Participation { acked_by: vec![node()], required: 2, total: 3 },
    };
    let numbers = (1, 2, 3);
    let errors = [
        OperationError::Quorum(QuorumError::N { given: 1 }),
        OperationError::Quorum(QuorumError::R { given: 1, n: 2 }),
        OperationError::Quorum(QuorumError::W { given: 1, w_min: 2, n: 3 }),
        OperationError::Quorum(QuorumError::WMin { given: 1, max: 2 }),
        OperationError::TooFewMembers { n: 4, members: 3 },
        OperationError::NotReached {
            answered: numbers.0,
            needed: numbers.1,
            total: numbers.2,
            outcome: Outcome::Partial { applied: 1 },
            refusals: vec![(node(), Refusal::DiskFull)],
        },
        OperationError::Deadline { answered: 0, needed: 1, total: 2, outcome: Outcome::Unknown },
        OperationError::Exists,
        Overfull::Write { write_bytes: 9, bound_bytes: 8 }.into(),
        Overfull::Bytes { held_bytes: 7, write_bytes: u64::MAX, bound_bytes: 8 }.into(),
        Overfull::Versions { held_versions: u32::MAX, left_versions: 5, siblings_max: 4 }.into(),
        OperationError::Overloaded,
        OperationError::NotServing(Refusal::Unconfirmed),
    ];
    let page = ScanPage {
        objects: vec![(bucket(), Key::new("k"), object())],
        left_out: vec![LeftOut { bucket: bucket(), key: Key::new("l"), seen: object().context().clone() }],
        next: Some(ScanCursor(Bytes::from_static(b"n"))),
        incomplete: true,
    };
    let digest = Digest {
        clock: 5,
        at: Moment(7),
        complete_since: Moment(2),
        states: vec![
            SeenState::of(&Object::new(), None, Path::Direct),
            SeenState::of(&object(), Some(Moment(5)), Path::ReadRepair),
            SeenState::of(&object(), Some(Moment(6)), Path::Transfer),
        ],
    };
    let applied = |path, exactly| {
        let (arrived, applied, answered) = (Moment(9), Moment(8), Moment(u64::MAX));
        let when = AppliedAt { clock: u64::MAX, arrived, applied, exactly, answered, path };
        PeerAnswer::Replica(ReplicaReply::Applied { siblings: 2, when })
    };
    let mut answers = vec![
        applied(Path::Direct, true),
        applied(Path::ReadRepair, false),
        applied(Path::Transfer, true),
        PeerAnswer::Replica(ReplicaReply::Fetched(Some(object()))),
        PeerAnswer::Replica(ReplicaReply::Fetched(None)),
        PeerAnswer::Replica(ReplicaReply::Probed(Box::new(digest))),
        PeerAnswer::Replica(ReplicaReply::Refused(Refusal::Damaged)),
        PeerAnswer::Replica(ReplicaReply::Refused(Refusal::TooLargeToSend)),
        PeerAnswer::Replica(ReplicaReply::Refused(Refusal::LeftOut)),
        PeerAnswer::Forwarded(Box::new(Ok(reply))),
        PeerAnswer::Settings(vec![settings()]),
        PeerAnswer::SettingsStored,
        PeerAnswer::HoldsBucket(true),
        PeerAnswer::SloSummary(Bytes::from_static(b"s")),
        PeerAnswer::Scanned(page),
        PeerAnswer::KeysListed(KeyPage { entries: Vec::new(), through: None }),
        PeerAnswer::KeysListed(KeyPage {
            entries: vec![(Key::new("a"), Some(object())), (Key::new("b"), None)],
            through: Some(Key::new("b")),
        }),
        PeerAnswer::Refused(Refusal::NotSent),
    ];
    answers.extend(errors.map(|error| PeerAnswer::Forwarded(Box::new(Err(error)))));
    for answer in answers {
        let mut bytes = Vec::new();
        codec::encode(&WireAnswer::from(&answer), &mut bytes).unwrap();
        let back: WireAnswer = codec::decode(&bytes).unwrap();
        assert_eq!(PeerAnswer::try_from(back).unwrap(), answer);
    }
}
