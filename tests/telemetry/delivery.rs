//! What a collector that works is told.

use std::collections::BTreeSet;
use std::time::Duration;

use neap::config::OtlpProtocol;
use neap::protocol::sli::{Observation, OperationOutcome};
use neap::telemetry::{ShutdownReport, SpanKind, Telemetry, TraceContext};
use opentelemetry::KeyValue;
use opentelemetry_proto::tonic::common::v1::KeyValue as Sent;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, metric, number_data_point};
use opentelemetry_proto::tonic::trace::v1::{span::SpanKind as Kind, status::StatusCode};

use super::collector::{Collector, Manner};
use super::{BOTH, collector, config, identity, instruments, read, span, spans, start, write};

const PATIENCE: Duration = Duration::from_secs(30);

fn attribute(attributes: &[Sent], key: &str) -> Option<Value> {
    attributes.iter().find(|of| of.key == key)?.value.clone()?.value
}

fn text(text: &str) -> Option<Value> {
    Some(Value::StringValue(text.to_owned()))
}

fn delivered(report: ShutdownReport, spans: u64) {
    let expected = ShutdownReport { spans_delivered: spans, spans_lost: 0, metrics_delivered: true };
    assert_eq!(report, expected);
}

#[test]
fn a_span_arrives_as_it_was_handed_over() {
    for protocol in BOTH {
        let collector = collector(protocol, Manner::Keep);
        let telemetry = start(&collector.url, protocol);
        let mut child = span(0xabc, 2);
        child.name = "neap.replica.read".into();
        child.kind = SpanKind::Client;
        child.parent = Some(1);
        child.parent_is_remote = true;
        child.error = Some("no answer in time".to_owned());
        child.links = vec![TraceContext { trace: 0xdef, span: 9, sampled: true }];
        child.attributes = vec![
            KeyValue::new("neap.read.stale", true),
            KeyValue::new("neap.staleness.age_ms", -7_i64),
            KeyValue::new("db.system.name", "neap"),
            KeyValue::new("db.namespace", "users".to_owned()),
        ];
        let mut root = span(0xabc, 1);
        root.kind = SpanKind::Server;
        telemetry.spans().take(Box::new(vec![root, child]));
        delivered(telemetry.shutdown(PATIENCE), 2);

        let kept = collector.kept();
        assert!(kept.scopes.iter().all(|scope| scope == "neap"), "{:?}", kept.scopes);
        let [root, child] = &kept.spans[..] else { panic!("{:?}", kept.spans) };
        assert_eq!((root.name.as_str(), root.kind), ("neap.read", Kind::Server as i32));
        assert_eq!(root.trace_id, 0xabc_u128.to_be_bytes());
        assert_eq!((&root.span_id[..], &root.parent_span_id[..]), (&1_u64.to_be_bytes()[..], &[][..]));
        assert_eq!(root.start_time_unix_nano, 1_700_000_000_000_000_001);
        assert_eq!(root.end_time_unix_nano, 1_700_000_000_004_000_000);
        assert_eq!(root.status.as_ref().map_or(0, |status| status.code), StatusCode::Unset as i32);

        assert_eq!((child.name.as_str(), child.kind), ("neap.replica.read", Kind::Client as i32));
        assert_eq!(child.parent_span_id, root.span_id);
        // That the parent is remote, and that this is known.
        assert_eq!(child.flags & 0x300, 0x300);
        let status = child.status.as_ref().unwrap();
        assert_eq!((status.code, status.message.as_str()), (StatusCode::Error as i32, "no answer in time"));
        assert_eq!(child.links[0].trace_id, 0xdef_u128.to_be_bytes());
        assert_eq!(child.links[0].span_id, 9_u64.to_be_bytes());
        assert_eq!(attribute(&child.attributes, "neap.read.stale"), Some(Value::BoolValue(true)));
        assert_eq!(attribute(&child.attributes, "neap.staleness.age_ms"), Some(Value::IntValue(-7)));
        assert_eq!(attribute(&child.attributes, "db.system.name"), text("neap"));
        assert_eq!(attribute(&child.attributes, "db.namespace"), text("users"));
    }
}

/// What is sent over HTTP is encoded here; over gRPC by the exporter.
#[test]
fn over_http_arrives_what_the_exporter_sends_over_grpc() {
    let mut sent = spans(3);
    sent[0].parent = Some(u64::MAX);
    sent[0].parent_is_remote = true;
    sent[0].kind = SpanKind::Client;
    sent[0].error = Some(String::new());
    sent[1].kind = SpanKind::Server;
    sent[1].error = Some("é".repeat(100));
    sent[1].links = vec![
        TraceContext { trace: u128::MAX, span: 1, sampled: false },
        TraceContext { trace: 1, span: u64::MAX, sampled: true },
    ];
    sent[2].name = "".into();
    (sent[2].began_ns, sent[2].ended_ns) = (0, u64::MAX / 4);
    for (key, value) in
        [("small", 1_i64), ("0", 0), ("negative", -1), ("least", i64::MIN), ("most", i64::MAX)]
    {
        sent[1].attributes.push(KeyValue::new(key, value));
    }
    for length in [0, 1, 116, 117, 118, 127, 128, 16_383, 16_384] {
        sent[2].attributes.push(KeyValue::new("text", "x".repeat(length)));
        sent[2].attributes.push(KeyValue::new("k".repeat(length), "text"));
    }
    sent[2].attributes.extend([
        KeyValue::new("no", false),
        KeyValue::new("yes", true),
        KeyValue::new("half", 0.5),
    ]);
    let arrived = BOTH.map(|protocol| {
        let collector = collector(protocol, Manner::Keep);
        let telemetry = start(&collector.url, protocol);
        telemetry.spans().take(Box::new(sent.clone()));
        delivered(telemetry.shutdown(PATIENCE), 3);
        let mut requests = collector.kept().requests.clone();
        let of_node = &mut requests[0].resource_spans[0];
        // In no order.
        of_node.resource.as_mut().unwrap().attributes.sort_by(|a, b| a.key.cmp(&b.key));
        // One that is not set, and none at all, are the same.
        for span in &mut of_node.scope_spans[0].spans {
            span.status = span.status.take().filter(|status| status.code != 0);
        }
        requests
    });
    assert_eq!(arrived[0][0].resource_spans[0].scope_spans[0].spans.len(), 3);
    assert_eq!(arrived[0], arrived[1]);
}

#[test]
fn a_span_that_is_kept_for_its_outcome_arrives_though_its_trace_was_not_sampled() {
    let collector = Collector::http(Manner::Keep);
    let telemetry = start(&collector.url, OtlpProtocol::HttpProtobuf);
    let mut stale = span(5, 6);
    stale.context.sampled = false;
    telemetry.spans().take(Box::new(vec![stale]));
    delivered(telemetry.shutdown(PATIENCE), 1);
    assert_eq!(collector.kept().spans[0].flags & 1, 1);
}

#[test]
fn metrics_arrive_with_the_resource_that_they_are_of() {
    for protocol in BOTH {
        let collector = collector(protocol, Manner::Keep);
        let telemetry = start(&collector.url, protocol);
        let mut instruments = instruments(&telemetry);
        instruments.take(&read(2, false));
        instruments.take(&Observation::Write(write(OperationOutcome::Ok, &["n2"])));
        delivered(telemetry.shutdown(PATIENCE), 0);

        let kept = collector.kept();
        let attributes = &kept.resources[0].attributes;
        for (key, value) in [
            ("service.name", "neap"),
            ("service.instance.id", "n1"),
            ("service.version", "1.2.3"),
            ("service.namespace", "tides"),
            ("neap.zone", "east"),
        ] {
            assert_eq!(attribute(attributes, key), text(value), "{key}");
        }
        let data = |name: &str| {
            let found = kept.metrics.iter().find(|metric| metric.name == name).unwrap();
            (found.unit.clone(), found.data.clone().unwrap())
        };
        let (_, metric::Data::Sum(reads)) = data("neap.reads") else { panic!("no sum") };
        assert!(reads.is_monotonic);
        assert_eq!(reads.aggregation_temporality, AggregationTemporality::Cumulative as i32);
        let unsampled = reads.data_points.iter().find(|point| {
            attribute(&point.attributes, "verdict") == text("unsampled")
                && attribute(&point.attributes, "r") == text("2")
        });
        assert_eq!(unsampled.unwrap().value, Some(number_data_point::Value::AsInt(1)));
        let (unit, metric::Data::Histogram(ages)) = data("neap.read.value_age") else {
            panic!("no histogram")
        };
        let unsampled = ages
            .data_points
            .iter()
            .find(|point| attribute(&point.attributes, "verdict") == text("unsampled"));
        assert_eq!((unit.as_str(), unsampled.unwrap().sum), ("s", Some(2.0)));
        assert_eq!(ages.aggregation_temporality, AggregationTemporality::Cumulative as i32);
    }
}

#[test]
fn every_span_handed_over_before_the_shutdown_arrives_once() {
    for protocol in BOTH {
        let collector = collector(protocol, Manner::Keep);
        let telemetry = start(&collector.url, protocol);
        let sink = telemetry.spans();
        // By many threads and in pieces, and fewer in all than there is room for.
        let all = spans(10_000);
        std::thread::scope(|scope| {
            for piece in all.chunks(2_500) {
                let sink = sink.clone();
                scope.spawn(move || piece.chunks(7).for_each(|few| sink.take(Box::new(few.to_vec()))));
            }
        });
        delivered(telemetry.shutdown(PATIENCE), 10_000);
        let kept = collector.kept();
        let ids: BTreeSet<&[u8]> = kept.spans.iter().map(|span| &span.span_id[..]).collect();
        assert_eq!((kept.spans.len(), ids.len()), (10_000, 10_000));
    }
}

#[test]
fn inside_an_actix_system_all_is_delivered() {
    for protocol in BOTH {
        let collector = collector(protocol, Manner::Keep);
        let url = collector.url.clone();
        let report = actix_rt::System::new().block_on(async move {
            let telemetry = start(&url, protocol);
            let _instruments = instruments(&telemetry);
            telemetry.spans().take(Box::new(spans(1_000)));
            actix_rt::task::yield_now().await;
            telemetry.shutdown(PATIENCE)
        });
        delivered(report, 1_000);
        assert_eq!(collector.kept().spans.len(), 1_000);
        assert!(!collector.kept().metrics.is_empty());
    }
}

#[test]
fn inside_an_actix_system_it_may_be_dropped_or_fail_to_start() {
    for protocol in BOTH {
        let collector = collector(protocol, Manner::Keep);
        actix_rt::System::new().block_on(async {
            drop(start(&collector.url, protocol));
            let error = Telemetry::start(&config(Some("http://a b"), protocol), &identity()).err().unwrap();
            assert!(error.to_string().starts_with("telemetry.otlp = \"http://a b\""), "{error}");
        });
    }
}

#[test]
fn without_a_collector_nothing_is_sent_and_metrics_can_still_be_read() {
    let telemetry = Telemetry::start(&config(None, OtlpProtocol::HttpProtobuf), &identity()).unwrap();
    let mut instruments = instruments(&telemetry);
    instruments.take(&read(1, false));
    assert!(!telemetry.spans().is_on());
    telemetry.spans().take(Box::new(spans(3)));
    let metrics = telemetry.metrics();
    delivered(telemetry.shutdown(Duration::ZERO), 0);
    let text = metrics.prometheus();
    assert!(text.contains("verdict=\"unsampled\"} 1\n"), "{text}");
    assert!(!text.contains("reason=\"spans_queue_full\"} 3"), "{text}");
}
