//! From a stale read to its trace: real nodes, one of the homes of a key known to be behind.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use neap::cli::processes::LocalCluster;
use neap::client::Endpoint;

use super::collector::{Collector, sum};
use super::spans::{CLIENT, INTERNAL, SERVER, Span};
use crate::cluster::{PATIENCE, Reply, call, eventually, get, options, put, run};

/// How late homes apply what their peers send.
const LATE: &str = "2s";
/// From the write that is missed to the read that misses it.
const GAP: Duration = Duration::from_millis(300);
/// What times that a client measures may differ by from those of the nodes, in milliseconds.
const SLACK_MS: i64 = 150;
/// What lies between two looks at the clock of one machine may seem to be negative by so much.
const SLACK_NS: u64 = 1_000_000;
/// Reads of no interest.
const ORDINARY: usize = 300;

/// A trace that this test is the root of.
struct Root {
    trace: String,
    span: String,
}

impl Root {
    fn draw() -> Self {
        let (trace, span) = (rand::random::<u128>().max(1), rand::random::<u64>().max(1));
        Self { trace: format!("{trace:032x}"), span: format!("{span:016x}") }
    }

    async fn call(&self, node: &Endpoint, method: &str, target: &str, body: &str) -> Reply {
        let traceparent = format!("00-{}-{}-01", self.trace, self.span);
        call(node, method, target, &[("traceparent", &traceparent)], body.as_bytes()).await.unwrap()
    }
}

/// Between which two moments something happened.
#[derive(Debug, Clone, Copy)]
struct Between(i64, i64);

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}

impl Between {
    /// What may lie between two of them, in milliseconds.
    fn until(self, later: Self) -> std::ops::RangeInclusive<i64> {
        later.0 - self.1 - SLACK_MS..=later.1 - self.0 + SLACK_MS
    }
}

/// A stale read that was provoked.
struct Provoked {
    write: Root,
    read: Root,
    /// Who missed the write, and answered the read.
    behind: String,
    old: Between,
    new: Between,
    asked: Between,
}

#[test]
fn a_stale_read_arrives_as_a_whole_trace_that_says_how_stale_and_ordinary_reads_do_not() {
    let Some(program) = super::program() else { return };
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let collector = Collector::start(&program, directory.path(), "10s").await;
        let otlp = format!("telemetry.otlp={}", collector.otlp());
        let set = [otlp.as_str(), "limits.timeout=5s"];
        let mut cluster = LocalCluster::start(options(directory.path().join("nodes"), 3, &set)).unwrap();
        cluster.ready().await.unwrap();
        let nodes = cluster.endpoints();
        let made = put(&nodes[0], "/v1/buckets/pair", r#"{"n": 2, "r": 1, "w": 1, "w_min": 1}"#).await;
        assert!(made.status < 300, "{}", made.text());
        for at in [1, 2] {
            assert!(cluster.stop(at).unwrap());
            cluster.spawn_with(at, &["--test-delay-applies", LATE]).unwrap();
            cluster.node_ready(at).await.unwrap();
        }

        let keys = keys_without_n1(&nodes[0], 12).await;
        let mut old = Vec::new();
        for key in &keys {
            let before = now_ms();
            eventually("a first write", async || put(&nodes[1], key, "old").await.status < 300).await;
            old.push(Between(before, now_ms()));
        }
        for (key, home) in keys.iter().flat_map(|key| [(key, &nodes[1]), (key, &nodes[2])]) {
            eventually("each home has it", async || get(home, &format!("{key}?r=1")).await.text() == "old")
                .await;
        }

        let ordinary = ordinary_reads(&nodes[0], &keys).await;
        let provoked = provoke(&nodes, &keys, &old).await;

        let trace_of = |root: &Root| -> Vec<Span> {
            collector.kept().into_iter().filter(|span| span.trace == root.trace).collect()
        };
        let started = Instant::now();
        loop {
            let (read, written) = (trace_of(&provoked.read), trace_of(&provoked.write));
            let there = |spans: &[Span], name: &str| spans.iter().any(|span| span.name == name);
            if there(&read, "neap.read.verify") && there(&written, "neap.write.converge") {
                break;
            }
            assert!(started.elapsed() < 2 * PATIENCE, "read: {read:#?}\nwrite: {written:#?}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        // What is left of the traces comes from other nodes, at most a batch later.
        tokio::time::sleep(Duration::from_secs(6)).await;
        judge_read(&provoked, &trace_of(&provoked.read));
        judge_write(&provoked, &trace_of(&provoked.write));

        let kept: BTreeSet<String> = collector.kept().into_iter().map(|span| span.trace).collect();
        let kept = ordinary.iter().filter(|trace| kept.contains(*trace)).count();
        assert!(kept <= ORDINARY / 10, "{kept} of {ORDINARY} ordinary reads were kept");

        // All of them were counted, and what was counted says the same.
        eventually("the metrics arrive", async || {
            let scraped = collector.scraped().await;
            let stale = sum(&scraped, "neap_reads_total", &["instance=\"n1\"", "verdict=\"stale\""]);
            let fresh = sum(&scraped, "neap_reads_total", &["instance=\"n1\"", "verdict=\"fresh\""]);
            let spans = sum(&scraped, "traces_span_metrics_calls_total", &["span_name=\"neap.read\""]);
            stale >= 1.0 && fresh >= ORDINARY as f64 && spans >= ORDINARY as f64
        })
        .await;
    });
}

/// Targets of keys that live on n2 and n3, so that n1 asks others.
async fn keys_without_n1(node: &Endpoint, count: usize) -> Vec<String> {
    let mut keys = Vec::new();
    for number in 0..1_000 {
        let homes = get(node, &format!("/v1/ring/pair/k{number}")).await.json()["preference_list"].clone();
        let homes: Vec<&str> = homes.as_array().unwrap().iter().map(|home| home.as_str().unwrap()).collect();
        if homes.len() == 2 && !homes.contains(&"n1") {
            keys.push(format!("/v1/kv/pair/k{number}"));
        }
        if keys.len() == count {
            return keys;
        }
    }
    panic!("too few keys live on n2 and n3");
}

/// Reads that nothing is the matter with; their traces.
async fn ordinary_reads(node: &Endpoint, keys: &[String]) -> Vec<String> {
    let mut traces = Vec::new();
    for key in keys.iter().cycle().take(ORDINARY) {
        let root = Root::draw();
        let reply = root.call(node, "GET", &format!("{key}?r=1"), "").await;
        assert_eq!((reply.status, reply.text()), (200, "old"));
        traces.push(root.trace);
    }
    traces
}

/// Writes through one home, and reads from the other through n1 before that has it.
async fn provoke(nodes: &[Endpoint], keys: &[String], old: &[Between]) -> Provoked {
    for (key, old) in keys.iter().zip(old) {
        let target = format!("{key}?r=1");
        // Whom n1 asks, it will most likely ask again.
        let behind = get(&nodes[0], &target).await.acked_by.concat();
        let writer = if behind == "n2" { &nodes[2] } else { &nodes[1] };
        let (write, read) = (Root::draw(), Root::draw());
        let before = now_ms();
        let written = write.call(writer, "PUT", &format!("{key}?w=1"), "new").await;
        let new = Between(before, now_ms());
        assert_eq!(written.status, 204, "{}", written.text());
        tokio::time::sleep(GAP).await;
        let before = now_ms();
        let reply = read.call(&nodes[0], "GET", &target, "").await;
        let asked = Between(before, now_ms());
        if reply.text() == "old" {
            assert_eq!(reply.acked_by, [behind.as_str()]);
            return Provoked { write, read, behind, old: *old, new, asked };
        }
    }
    panic!("no read was stale, though homes lag by {LATE}");
}

/// The one span of a name and kind.
fn one<'a>(spans: &'a [Span], name: &str, kind: u64) -> &'a Span {
    let mut found = spans.iter().filter(|span| span.name == name && span.kind == kind);
    match (found.next(), found.next()) {
        (Some(span), None) => span,
        (first, _) => panic!("{name} of kind {kind}: not one, {first:?} first, of {spans:#?}"),
    }
}

/// The span that the request itself is.
fn request<'a>(spans: &'a [Span], root: &Root, method: &str) -> &'a Span {
    let found = spans.iter().find(|span| span.kind == SERVER && span.parent == root.span);
    let found = found.unwrap_or_else(|| panic!("no span under the client's: {spans:#?}"));
    assert!(found.name.starts_with(&format!("{method} /v1/kv")), "{found:?}");
    found
}

/// The replica's part: asked by the coordinator, done by another node.
fn replica<'a>(spans: &'a [Span], name: &str, under: &Span, by: &str) -> &'a Span {
    let asked =
        spans.iter().filter(|span| span.kind == CLIENT && span.name == name && span.parent == under.span);
    let asked: BTreeSet<&str> = asked.map(|span| span.span.as_str()).collect();
    let done =
        |span: &&Span| span.kind == SERVER && span.name == name && asked.contains(span.parent.as_str());
    let done = spans.iter().filter(done).find(|span| span.node == by);
    done.unwrap_or_else(|| panic!("{name} was not done by {by}: {spans:#?}"))
}

fn first<T>(spans: &[Span], of: impl Fn(&Span) -> Option<T>) -> Option<T> {
    spans.iter().find_map(of)
}

/// What a span is part of began before it. All clocks are this machine's.
fn judge_times(spans: &[Span]) {
    for span in spans {
        assert!(span.began_ns > 0 && span.began_ns <= span.ended_ns, "{span:?}");
        let parent = spans.iter().find(|parent| parent.span == span.parent);
        let early = parent.filter(|parent| span.began_ns + SLACK_NS < parent.began_ns);
        assert!(early.is_none(), "{span:?} began before {early:?}");
    }
}

fn judge_read(provoked: &Provoked, spans: &[Span]) {
    judge_times(spans);
    let server = request(spans, &provoked.read, "GET");
    assert_eq!(server.node, "n1");
    let read = one(spans, "neap.read", INTERNAL);
    assert_eq!(read.parent, server.span);
    replica(spans, "neap.replica.read", read, &provoked.behind);
    let verify = spans.iter().find(|span| span.name == "neap.read.verify").unwrap();
    assert!(verify.parent == read.span || verify.parent == server.span, "{verify:?}");
    assert!(verify.ended_ns >= read.ended_ns, "what is known later ends later");

    assert!(spans.iter().any(|span| span.flag("neap.read.stale") == Some(true)), "{spans:#?}");
    assert_eq!(
        first(spans, |span| span.text("neap.read.verdict").map(str::to_owned)).as_deref(),
        Some("stale")
    );
    let exposure = first(spans, |span| span.int("neap.staleness.exposure_ms")).unwrap();
    let expected = provoked.new.until(provoked.asked);
    assert!(expected.contains(&exposure), "exposed for {exposure} ms, in truth {expected:?}");
    // The missed write is so much younger than what was returned.
    let age = first(spans, |span| span.int("neap.staleness.age_ms")).unwrap();
    let expected = provoked.old.until(provoked.new);
    assert!(expected.contains(&age) || age == exposure, "an age of {age} ms, in truth {expected:?}");
    let bucket = match age {
        ..=0 => "0",
        1..=100 => "<=100ms",
        101..=500 => "<=500ms",
        501..=5_000 => "<=5s",
        _ => ">5s",
    };
    assert_eq!(
        first(spans, |span| span.text("neap.staleness.bucket").map(str::to_owned)).as_deref(),
        Some(bucket)
    );
    assert_eq!(first(spans, |span| span.flag("neap.staleness.slo_breach")), Some(age > 500));
}

fn judge_write(provoked: &Provoked, spans: &[Span]) {
    judge_times(spans);
    let server = request(spans, &provoked.write, "PUT");
    let write = one(spans, "neap.write", INTERNAL);
    assert_eq!(write.parent, server.span);
    replica(spans, "neap.replica.apply", write, &provoked.behind);
    assert!(spans.iter().any(|span| span.flag("neap.write.lagging") == Some(true)), "{spans:#?}");
    for (name, expected) in [("lagging", 1), ("acked", 1), ("required", 1), ("total", 2)] {
        let said = first(spans, |span| span.int(&format!("neap.replicas.{name}")));
        assert_eq!(said, Some(expected), "neap.replicas.{name}: {spans:#?}");
    }
}
