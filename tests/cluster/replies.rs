//! The headers of each reply to a read or a write, also of one that failed.

use std::collections::BTreeMap;

use neap::cli::load::{RawConnection, request};
use neap::client::Endpoint;

use super::{PATIENCE, cluster, eventually, run};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

const NAMES: [&str; 9] = [
    "neap-context",
    "neap-replicas",
    "neap-acked-by",
    "neap-lagging-replicas",
    "neap-staleness-bound",
    "neap-version-time",
    "neap-write-id",
    "traceparent",
    "cache-control",
];

async fn ask(
    node: &Endpoint,
    method: &str,
    target: &str,
    body: &str,
) -> (u16, BTreeMap<&'static str, String>) {
    let mut connection = RawConnection::open(node, PATIENCE).await.unwrap();
    let asked = request(method, target, &[("traceparent", PARENT)], body.as_bytes());
    let reply = connection.exchange(&asked).await.unwrap();
    let headers = NAMES.into_iter().filter_map(|name| Some((name, reply.header(name)?.to_owned())));
    (reply.status, headers.collect())
}

#[test]
fn every_reply_of_a_read_or_write_has_its_headers_and_goes_on_its_clients_trace() {
    run(async {
        // Nobody listens there: that spans are lost is no client's affair.
        let (mut cluster, _directory) = cluster(3, &["telemetry.otlp=http://127.0.0.1:9"]).await;
        let node = &cluster.endpoints()[0];
        let steps = [
            ("PUT", "/v1/kv/b/k?w=3", 201),
            ("PUT", "/v1/kv/b/k", 204),
            ("GET", "/v1/kv/b/k?r=3", 200),
            ("DELETE", "/v1/kv/b/k?w=3", 204),
            ("GET", "/v1/kv/b/k", 404),
        ];
        for (method, target, status) in steps {
            let (given, headers) = ask(node, method, target, "v").await;
            assert_eq!(given, status, "{method} {target}");
            // What was deleted names no write.
            for name in NAMES.iter().filter(|&&name| status != 404 || name != "neap-write-id") {
                assert!(headers.contains_key(name), "{method} {target}: {name} is missing in {headers:?}");
            }
            let acked = headers["neap-acked-by"].split(',').count();
            let required = if target.contains("=3") { 3 } else { 2 };
            assert_eq!(headers["neap-replicas"], format!("acked={acked} required={required} total=3"));
            assert_eq!(headers["neap-lagging-replicas"], (3 - acked).to_string());
            assert_eq!(headers["neap-staleness-bound"], "unproven");
            assert_eq!(headers["cache-control"], "no-store");
            goes_on(&headers["traceparent"]);
        }
        let (status, headers) = ask(node, "GET", "/v1/kv/b/k?r=9", "").await;
        assert_eq!(status, 422);
        goes_on(&headers["traceparent"]);
        // Where no operation begins the client's own is given back.
        for (method, target, status) in [
            ("GET", "/v1/kv/b/k?x=1", 400),
            ("GET", "/nowhere", 404),
            ("POST", "/v1/ring", 405),
            ("GET", "/v1/ring", 200),
        ] {
            let (given, headers) = ask(node, method, target, "").await;
            assert_eq!((given, headers["traceparent"].as_str()), (status, PARENT), "{method} {target}");
        }
        cluster.kill(1).unwrap();
        cluster.kill(2).unwrap();
        let nodes = cluster.endpoints();
        eventually("one replica of three is left", async || {
            ask(&nodes[0], "GET", "/v1/kv/b/k", "").await.1.get("neap-replicas").map(String::as_str)
                == Some("acked=0 required=2 total=3")
        })
        .await;
        for method in ["GET", "PUT"] {
            let (status, headers) = ask(&nodes[0], method, "/v1/kv/b/k?timeout=500ms", "v").await;
            assert!(matches!(status, 503 | 504), "{status}");
            let acked = headers["neap-replicas"].split(['=', ' ']).nth(1).unwrap().parse::<u8>().unwrap();
            assert!(acked <= 1, "{headers:?}");
            assert_eq!(headers["neap-lagging-replicas"], (3 - acked).to_string());
            assert_eq!(headers["neap-staleness-bound"], "unproven");
            goes_on(&headers["traceparent"]);
        }
    });
}

/// The client's trace, in a span of its own.
fn goes_on(traceparent: &str) {
    assert!(traceparent.contains(TRACE) && traceparent != PARENT, "{traceparent}");
}
