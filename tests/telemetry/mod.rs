//! What a node measures, and that a collector and Prometheus hear of it.

mod collector;
mod delivery;
mod environment;
mod instruments;
mod prometheus;
mod reference;
mod stale_read;
mod trouble;

use std::collections::BTreeMap;

use neap::config::{OtlpProtocol, SpanKeys, TelemetryConfig};
use neap::protocol::bucket::Resolution;
use neap::protocol::ids::{BucketName, NodeId};
use neap::protocol::sli::{Observation, OperationOutcome, ReadObserved, WriteObserved};
use neap::protocol::time::Moment;
use neap::telemetry::{Identity, Instruments, Sources, Span, SpanKind, Telemetry, TraceContext};

use self::collector::{Collector, Manner};

pub const BOTH: [OtlpProtocol; 2] = [OtlpProtocol::HttpProtobuf, OtlpProtocol::Grpc];

pub fn collector(protocol: OtlpProtocol, manner: Manner) -> Collector {
    match protocol {
        OtlpProtocol::HttpProtobuf => Collector::http(manner),
        OtlpProtocol::Grpc => Collector::grpc(manner),
    }
}

pub fn config(url: Option<&str>, protocol: OtlpProtocol) -> TelemetryConfig {
    let (otlp, service_name) = (url.map(str::to_owned), "neap".to_owned());
    TelemetryConfig { otlp, protocol, metrics: true, sample: 1.0, service_name, keys: SpanKeys::Hash }
}

pub fn start(url: &str, protocol: OtlpProtocol) -> Telemetry {
    Telemetry::start(&config(Some(url), protocol), &identity()).unwrap()
}

pub fn identity() -> Identity {
    Identity {
        node: node("n1"),
        zone: "east".to_owned(),
        cluster: "tides".to_owned(),
        version: "1.2.3".to_owned(),
    }
}

pub fn node(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

pub fn bucket() -> BucketName {
    BucketName::new("users").unwrap()
}

pub fn instruments(telemetry: &Telemetry) -> Instruments {
    Instruments::new(&telemetry.meter(), &zones(), sources(telemetry))
}

pub fn zones() -> BTreeMap<NodeId, String> {
    BTreeMap::from([(node("n1"), "east".to_owned()), (node("n2"), "west".to_owned())])
}

pub fn sources(telemetry: &Telemetry) -> Sources {
    Sources {
        overload_refused: Box::new(|| vec![("admission", 3), ("mailbox", 0)]),
        refused_by_bucket: Box::new(|| vec![("users".to_owned(), 2), ("(others)".to_owned(), 1)]),
        objects_near_bound: Box::new(|| vec![("bytes", 8), ("siblings", 0)]),
        objects_refused: Box::new(|| vec![("object_full", 9)]),
        peer_dropped: Box::new(|| vec![("lane_full", 4)]),
        telemetry_dropped: telemetry.dropped(),
        read_repairs: Box::new(|| vec![("blocking", 5), ("async", 6)]),
        syncs: Box::new(|| 7),
        durable_writes: Box::new(|| 70),
    }
}

pub fn read(r: u8, sampled: bool) -> Observation {
    Observation::Read(ReadObserved {
        bucket: bucket(),
        began: Moment(1),
        r,
        outcome: OperationOutcome::Ok,
        duration_us: 1_500,
        value_age_us: Some(2_000_000),
        siblings: 1,
        sampled,
    })
}

pub fn write(outcome: OperationOutcome, lagging: &[&str]) -> WriteObserved {
    WriteObserved {
        bucket: bucket(),
        outcome,
        counted: true,
        duration_us: Some(3_000),
        lagging: lagging.iter().map(|peer| node(peer)).collect(),
        conflict: false,
        resolution: Resolution::Siblings,
    }
}

pub fn span(trace: u128, span: u64) -> Span {
    Span {
        name: "neap.read".into(),
        kind: SpanKind::Internal,
        context: TraceContext { trace, span, sampled: true },
        parent: None,
        parent_is_remote: false,
        began_ns: 1_700_000_000_000_000_001,
        ended_ns: 1_700_000_000_004_000_000,
        attributes: Vec::new(),
        error: None,
        links: Vec::new(),
        events: Vec::new(),
    }
}

/// Spans of ids that no other has.
pub fn spans(many: u64) -> Vec<Span> {
    (1..=many).map(|id| span(u128::from(id) << 64 | 7, id)).collect()
}

/// The count of a reason.
pub fn dropped(telemetry: &Telemetry, reason: &str) -> u64 {
    telemetry.dropped()().into_iter().find(|(name, _)| *name == reason).unwrap().1
}
