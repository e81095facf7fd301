//! What it costs to record an observation, and to hand over a span.
//!
//! `cargo bench --bench telemetry`.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use neap::config::{OtlpProtocol, SpanKeys, TelemetryConfig};
use neap::protocol::bucket::Resolution;
use neap::protocol::ids::{BucketName, NodeId};
use neap::protocol::sli::{
    ConvergedObserved, MergeObserved, Observation, OperationOutcome, Path, ReadObserved, UnconvergedObserved,
    VerdictObserved, WriteObserved,
};
use neap::protocol::staleness::Verdict;
use neap::protocol::time::Moment;
use neap::telemetry::{Identity, Instruments, Sources, Span, SpanKind, Telemetry, TraceContext};
use opentelemetry::KeyValue;

fn node(name: &str) -> NodeId {
    let Ok(node) = NodeId::new(name) else { unreachable!("a valid name") };
    node
}

fn telemetry(otlp: Option<&str>) -> Telemetry {
    let config = TelemetryConfig {
        otlp: otlp.map(str::to_owned),
        protocol: OtlpProtocol::HttpProtobuf,
        metrics: true,
        sample: 1.0,
        service_name: "neap".to_owned(),
        keys: SpanKeys::Hash,
    };
    let identity = Identity {
        node: node("n1"),
        zone: "z1".to_owned(),
        cluster: "neap".to_owned(),
        version: "0".to_owned(),
    };
    let Ok(telemetry) = Telemetry::start(&config, &identity) else { unreachable!("a valid address") };
    telemetry
}

fn observations() -> [(&'static str, Observation); 7] {
    let Ok(bucket) = BucketName::new("users") else { unreachable!("a valid name") };
    let resolution = Resolution::Siblings;
    let verdict = |verdict, missed_by| {
        let bucket = bucket.clone();
        let (exposure_us, age_us) = (10_000, 20_000);
        let value_age_us = Some(1_000_000);
        Observation::Verdict(VerdictObserved {
            bucket,
            began: Moment(1),
            r: 2,
            verdict,
            exposure_us,
            age_us,
            value_age_us,
            missed_by,
            silent: Vec::new(),
        })
    };
    let read = ReadObserved {
        bucket: bucket.clone(),
        began: Moment(1),
        r: 2,
        outcome: OperationOutcome::Ok,
        duration_us: 700,
        value_age_us: Some(3_000_000),
        siblings: 1,
        sampled: true,
    };
    let write = WriteObserved {
        bucket: bucket.clone(),
        outcome: OperationOutcome::Ok,
        counted: true,
        duration_us: Some(900),
        lagging: vec![node("n3")],
        conflict: false,
        resolution,
    };
    let ages = (0..20).map(|at| (1_000_000 - at * 50_000, 3)).collect();
    let path = Path::Direct;
    [
        ("a read", Observation::Read(read)),
        ("a fresh verdict", verdict(Verdict::Fresh { all: true }, vec![])),
        ("a stale verdict", verdict(Verdict::Stale, vec![node("n2")])),
        ("a write that one home lacks", Observation::Write(write)),
        (
            "a convergence",
            Observation::Converged(ConvergedObserved {
                bucket: bucket.clone(),
                path,
                convergence_us: 900,
                writes: 1,
            }),
        ),
        ("a merge", Observation::Merged(MergeObserved { bucket, conflict: false, resolution })),
        (
            "how a shard's writes stand",
            Observation::Unconverged(UnconvergedObserved { shard: 1, ages, max_lagging: 1, untracked: 0 }),
        ),
    ]
}

fn take(c: &mut Criterion) {
    let telemetry = telemetry(None);
    let zones: BTreeMap<NodeId, String> =
        ["n1", "n2", "n3"].map(|name| (node(name), "z1".to_owned())).into_iter().collect();
    let sources = Sources {
        overload_refused: Box::new(Vec::new),
        refused_by_bucket: Box::new(Vec::new),
        objects_near_bound: Box::new(Vec::new),
        objects_refused: Box::new(Vec::new),
        peer_dropped: Box::new(Vec::new),
        telemetry_dropped: telemetry.dropped(),
        read_repairs: Box::new(Vec::new),
        syncs: Box::new(|| 0),
        durable_writes: Box::new(|| 0),
    };
    let mut instruments = Instruments::new(&telemetry.meter(), &zones, sources);
    for (name, observation) in observations() {
        c.bench_function(name, |b| b.iter(|| instruments.take(black_box(&observation))));
    }
    c.bench_function("all metrics as text", |b| b.iter(|| telemetry.metrics().prometheus()));
}

fn spans(c: &mut Criterion) {
    let span = Span {
        name: "neap.read".into(),
        kind: SpanKind::Internal,
        context: TraceContext { trace: 5, span: 7, sampled: true },
        parent: Some(6),
        parent_is_remote: false,
        began_ns: 1,
        ended_ns: 2,
        attributes: vec![
            KeyValue::new("neap.read.stale", false),
            KeyValue::new("neap.read.verdict", "fresh"),
            KeyValue::new("neap.staleness.age_ms", 0_i64),
            KeyValue::new("neap.staleness.bucket", "0"),
            KeyValue::new("neap.replicas.acked", 3_i64),
            KeyValue::new("db.namespace", "users".to_owned()),
        ],
        error: None,
        links: Vec::new(),
        events: Vec::new(),
    };
    let mut group = c.benchmark_group("a span of 6 attributes");
    group.bench_function("four at once", |b| b.iter_custom(|times| hand_over(&span, times)));
    group.finish();
}

/// Into queues that have room: what is dropped costs less.
fn hand_over(span: &Span, times: u64) -> Duration {
    let (mut left, mut spent) = (times, Duration::ZERO);
    while left > 0 {
        let now = left.min(4_000);
        let batches: Vec<Vec<Span>> = (0..now).map(|_| vec![span.clone(); 4]).collect();
        // Nobody listens there, which makes no difference to whoever hands over.
        let telemetry = telemetry(Some("http://127.0.0.1:9"));
        let sink = telemetry.spans();
        let began = Instant::now();
        batches.into_iter().for_each(|spans| sink.take(Box::new(spans)));
        spent += began.elapsed();
        left -= now;
    }
    spent
}

criterion_group!(benches, take, spans);
criterion_main!(benches);
