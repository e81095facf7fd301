//! What the collector keeps, told by spans made for it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::collector::{Collector, sum};
use crate::cluster::{call, eventually, run};

/// How many traces of no interest are sent.
const ORDINARY: usize = 1_000;

fn span(trace: u128, attribute: Value, failed: bool) -> Value {
    let (trace, span) = (format!("{trace:032x}"), format!("{:016x}", rand::random::<u64>().max(1)));
    json!({
        "traceId": trace, "spanId": span, "name": "neap.read", "kind": 1,
        "startTimeUnixNano": "1700000000000000000", "endTimeUnixNano": "1700000000001000000",
        "attributes": [attribute], "status": { "code": if failed { 2 } else { 1 } },
    })
}

#[test]
fn what_tells_of_staleness_is_kept_whole_and_few_of_the_rest() {
    let Some(program) = super::program() else { return };
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let collector = Collector::start(&program, directory.path(), "2s").await;

        let flag = |name: &str| json!({ "key": name, "value": { "boolValue": true } });
        let nothing = json!({ "key": "neap.read.verdict", "value": { "stringValue": "fresh" } });
        let named = [
            ("stale", flag("neap.read.stale"), false),
            ("lagging", flag("neap.write.lagging"), false),
            ("repair", flag("neap.repair"), false),
            ("failed", nothing.clone(), true),
            ("a string", json!({ "key": "neap.read.stale", "value": { "stringValue": "true" } }), false),
            ("false", json!({ "key": "neap.read.stale", "value": { "boolValue": false } }), false),
        ];
        let traces: BTreeMap<&str, u128> = named.iter().map(|(name, ..)| (*name, rand::random())).collect();
        let mut spans: Vec<Value> = Vec::new();
        for (name, attribute, failed) in named {
            // Two spans each, of which one says nothing: both or neither are kept.
            spans.push(span(traces[name], attribute, failed));
            spans.push(span(traces[name], nothing.clone(), false));
        }
        let ordinary: BTreeSet<String> = (0..ORDINARY)
            .map(|_| {
                let trace = rand::random();
                spans.push(span(trace, nothing.clone(), false));
                format!("{trace:032x}")
            })
            .collect();
        let sent = spans.len();
        let resource = json!({ "attributes": [
            { "key": "service.name", "value": { "stringValue": "neap" } },
            { "key": "service.instance.id", "value": { "stringValue": "n1" } },
        ] });
        let body = json!({ "resourceSpans": [{ "resource": resource, "scopeSpans": [{ "spans": spans }] }] });
        let body = body.to_string();
        let length = body.len().to_string();
        let headers = [("content-type", "application/json"), ("content-length", length.as_str())];
        let taken = call(&collector.otlp(), "POST", "/v1/traces", &headers, body.as_bytes()).await.unwrap();
        assert_eq!(taken.status, 200, "{}", taken.text());

        let kept_of = |name: &str| {
            let trace = format!("{:032x}", traces[name]);
            collector.kept().into_iter().filter(|span| span.trace == trace).count()
        };
        eventually("what tells of something is kept", async || {
            ["stale", "lagging", "repair", "failed"].iter().all(|name| kept_of(name) == 2)
        })
        .await;
        // All came at once, so all are decided at once, a tick apart at the most.
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        // One in a hundred keeps each of these two: a hash of the trace decides, not what they say.
        let mistaken = ["a string", "false"].iter().filter(|name| kept_of(name) > 0).count();
        assert!(mistaken < 2, "neither a string nor a false is a reason to keep a trace");
        let others = collector.kept().iter().filter(|span| ordinary.contains(&span.trace)).count();
        assert!(others < ORDINARY / 20, "{others} of {ORDINARY} traces of no interest were kept");

        // Counted before they are thrown away.
        let mut scraped = String::new();
        eventually("the spans are counted", async || {
            scraped = collector.scraped().await;
            sum(&scraped, "traces_span_metrics_calls_total", &["span_name=\"neap.read\""]) == sent as f64
        })
        .await;
        let timed = sum(&scraped, "traces_span_metrics_duration_seconds_count", &["service_name=\"neap\""]);
        assert_eq!(timed, sent as f64, "{scraped}");
    });
}
