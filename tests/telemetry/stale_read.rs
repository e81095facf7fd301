//! The trace of a stale read, from real nodes one of which lags: it names the key, the write that was missed, and what
//! each replica had.

use std::collections::BTreeMap;
use std::time::Duration;

use neap::cli::processes::LocalCluster;
use neap::client::Endpoint;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::Event;

use super::collector::{Collector, Manner};
use crate::cluster::{eventually, get, options, put, run};

/// How late n3 applies what its peers send.
const LATE: &str = "2s";
/// From the write that is missed to the read that misses it.
const GAP: Duration = Duration::from_millis(300);
const KEY: &str = "/v1/kv/carts/alice";

/// Attributes as text, by name.
type Attributes = BTreeMap<String, String>;

fn attributes(of: &[KeyValue]) -> Attributes {
    let text = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::BoolValue(flag) => flag.to_string(),
        Value::IntValue(number) => number.to_string(),
        other => panic!("{other:?}"),
    };
    let value = |of: &KeyValue| text(of.value.as_ref().unwrap().value.as_ref().unwrap());
    of.iter().map(|of| (of.key.clone(), value(of))).collect()
}

fn names(span: &Span, name: &str, value: &str) -> bool {
    attributes(&span.attributes).get(name).is_some_and(|of| of == value)
}

/// Three nodes of which no trace is kept from the start. n3 lags.
async fn lagging(collector: &Collector, directory: &tempfile::TempDir, keys: &str) -> LocalCluster {
    let (otlp, keys) = (format!("telemetry.otlp={}", collector.url), format!("telemetry.keys={keys}"));
    let set = [otlp.as_str(), keys.as_str(), "telemetry.sample=0", "limits.timeout=5s"];
    let mut cluster = LocalCluster::start(options(directory.path().to_owned(), 3, &set)).unwrap();
    cluster.ready().await.unwrap();
    assert!(cluster.stop(2).unwrap());
    cluster.spawn_with(2, &["--test-delay-applies", LATE]).unwrap();
    cluster.node_ready(2).await.unwrap();
    cluster
}

/// Writes through n1, and reads from n3 before that has it.
async fn provoke(nodes: &[Endpoint]) {
    eventually("a write reaches all", async || {
        put(&nodes[0], &format!("{KEY}?w=3"), "old").await.status < 300
    })
    .await;
    for _ in 0..10 {
        assert_eq!(put(&nodes[0], &format!("{KEY}?w=2"), "new").await.status, 204);
        tokio::time::sleep(GAP).await;
        let reply = get(&nodes[2], &format!("{KEY}?r=1")).await;
        if reply.text() == "old" {
            assert_eq!(reply.acked_by, ["n3"]);
            return;
        }
        assert_eq!(put(&nodes[0], &format!("{KEY}?w=3"), "old").await.status, 204);
    }
    panic!("no read was stale, though n3 lags by {LATE}");
}

/// The first stale read that is told of, and the write that its link leads to.
async fn told(collector: &Collector) -> (Span, Span) {
    let mut told = None;
    eventually("the read and the write that it missed are told of", async || {
        let kept = collector.kept();
        let stale = |span: &&Span| span.name == "neap.read" && names(span, "neap.read.stale", "true");
        let Some(read) = kept.spans.iter().find(stale) else { return false };
        let linked = |span: &&Span| {
            span.name == "neap.write" && read.links.iter().any(|link| link.trace_id == span.trace_id)
        };
        told = kept.spans.iter().find(linked).map(|write| (read.clone(), write.clone()));
        told.is_some()
    })
    .await;
    told.unwrap()
}

fn replica<'a>(read: &'a Span, node: &str) -> (&'a Event, Attributes) {
    let states = read.events.iter().map(|event| (event, attributes(&event.attributes)));
    let mut of_node = states.filter(|(_, of)| of["neap.peer"] == node);
    let (event, of) = of_node.next().unwrap_or_else(|| panic!("{node} is not told of: {read:#?}"));
    assert!(of_node.next().is_none(), "{node} is told of twice");
    assert_eq!(event.name, "neap.replica.state");
    (event, of)
}

#[test]
fn the_trace_of_a_stale_read_explains_itself() {
    run(async {
        let (collector, directory) = (Collector::http(Manner::Keep), tempfile::tempdir().unwrap());
        let cluster = lagging(&collector, &directory, "hash").await;
        let nodes = cluster.endpoints();
        provoke(&nodes).await;
        let (read, write) = told(&collector).await;
        println!("{}", shown(&collector, &[&read.trace_id, &write.trace_id]));

        let (of_read, of_write) = (attributes(&read.attributes), attributes(&write.attributes));
        let hash = get(&nodes[0], "/v1/ring/carts/alice").await.json()["key_hash"].clone();
        for of in [&of_read, &of_write] {
            assert_eq!(of["db.namespace"], "carts");
            assert_eq!(of["neap.key.hash"], hash.as_str().unwrap());
            assert!(!of.contains_key("neap.key.text"), "{of:?}");
        }
        assert_eq!(of_read["neap.missed.count"], "1");
        assert_eq!(of_read["neap.missed.version_time"], of_write["neap.version_time"]);
        assert_eq!(of_read["neap.missed.writer"], "n1");
        assert!(of_read["neap.version_time"] < of_read["neap.missed.version_time"], "{of_read:?}");
        // The span in which n1 asked a replica to apply it.
        let kept = collector.kept();
        let asked = kept.spans.iter().find(|span| span.span_id == read.links[0].span_id).unwrap();
        assert_eq!((asked.name.as_str(), &asked.parent_span_id), ("neap.replica.apply", &write.span_id));

        assert_eq!(of_read["neap.replicas.lagging"], "1");
        assert_eq!(read.events.len(), 3);
        let (event, behind) = replica(&read, "n3");
        assert_eq!(behind["neap.replica.asked"], "fetched");
        assert_eq!(behind["neap.replica.versus_reply"], "same");
        assert_eq!(behind["neap.replica.version_time"], of_read["neap.version_time"]);
        let lag: i64 = behind["neap.replica.lag_ms"].parse().unwrap();
        assert!((i64::try_from(GAP.as_millis()).unwrap()..60_000).contains(&lag), "{lag}");
        assert!(event.time_unix_nano.abs_diff(read.start_time_unix_nano) < 1_000_000, "{event:?} {read:?}");
        for node in ["n1", "n2"] {
            let (_, ahead) = replica(&read, node);
            assert_eq!(ahead["neap.replica.asked"], "probed");
            assert_eq!(ahead["neap.replica.versus_reply"], "ahead");
            assert_eq!(ahead["neap.replica.version_time"], of_read["neap.missed.version_time"]);
            assert!(!ahead.contains_key("neap.replica.lag_ms"), "{ahead:?}");
        }
    });
}

/// Traces for people, as trees.
fn shown(collector: &Collector, traces: &[&[u8]]) -> String {
    let kept = collector.kept();
    let mut text = String::new();
    for trace in traces {
        let spans: Vec<&Span> = kept.spans.iter().filter(|span| span.trace_id == *trace).collect();
        let is_root = |span: &&&Span| !spans.iter().any(|other| other.span_id == span.parent_span_id);
        text.push_str(&format!("trace {}\n", hex(trace)));
        spans.iter().filter(is_root).for_each(|root| show(root, &spans, 1, &mut text));
    }
    text
}

fn show(span: &Span, all: &[&Span], depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    let ms = (span.end_time_unix_nano - span.start_time_unix_nano) as f64 / 1e6;
    text.push_str(&format!("{indent}{} ({ms:.1} ms)\n", span.name));
    for (name, value) in attributes(&span.attributes) {
        text.push_str(&format!("{indent}    {name} = {value}\n"));
    }
    for link in &span.links {
        text.push_str(&format!(
            "{indent}    link: trace {} span {}\n",
            hex(&link.trace_id),
            hex(&link.span_id)
        ));
    }
    for event in &span.events {
        let of = attributes(&event.attributes);
        let of: Vec<String> = of.iter().map(|(name, value)| format!("{name}={value}")).collect();
        text.push_str(&format!("{indent}    event {}: {}\n", event.name, of.join(" ")));
    }
    let children = all.iter().filter(|child| child.parent_span_id == span.span_id);
    children.for_each(|child| show(child, all, depth + 1, text));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
