//! Bad input on real nodes, a row a case: each gets its documented status and reason, and afterwards the nodes are
//! as they were, with everything that was written before.

mod bytes;
mod peer_port;
mod rows;

use std::io::Write as _;
use std::net::TcpStream;

use neap::cli::processes::LocalCluster;
use neap::client::Endpoint;
use tempfile::TempDir;

use crate::cluster::{self, PATIENCE};
use crate::http::Answer;
use rows::Row;

const KEYS: usize = 20;

/// Three nodes that hold something.
struct Nodes {
    cluster: LocalCluster,
    _directory: TempDir,
}

impl Nodes {
    async fn start() -> Self {
        let (cluster, _directory) = cluster::cluster(3, &[]).await;
        let nodes = Self { cluster, _directory };
        for key in 0..KEYS {
            let put = rows::put(format!("/v1/kv/before/{key}?w=3")).body(&format!("value {key}"));
            assert_eq!(nodes.ask(&put).status, 201);
        }
        nodes
    }

    fn endpoint(&self) -> Endpoint {
        self.cluster.endpoints().remove(0)
    }

    /// A connection to the first node.
    fn connect(&self) -> TcpStream {
        connect(&self.endpoint())
    }

    fn ask(&self, row: &Row) -> Answer {
        ask(&self.endpoint(), row)
    }

    /// A counter of the first node's `/healthz`.
    fn counter(&self, name: &str) -> u64 {
        let health = self.ask(&rows::get("/healthz".to_owned()));
        health.json()["counters"][name].as_u64().unwrap_or_else(|| panic!("no counter {name}"))
    }

    /// Every node runs on, is alive and ready, and has all that was written.
    async fn unharmed(mut self) {
        for (at, node) in self.cluster.endpoints().iter().enumerate() {
            self.cluster.check(at).unwrap();
            for path in ["/healthz", "/readyz"] {
                cluster::eventually(path, async || ask(node, &rows::get(path.to_owned())).status == 200)
                    .await;
            }
            for key in 0..KEYS {
                let target = format!("/v1/kv/before/{key}?r=3");
                // Its peers may be dialling each other again.
                cluster::eventually("all homes answer", async || {
                    let read = ask(node, &rows::get(target.clone()));
                    assert!(
                        read.status != 200 || read.body == format!("value {key}").into_bytes(),
                        "{read:?}"
                    );
                    assert!(matches!(read.status, 200 | 503 | 504), "{read:?}");
                    read.status == 200
                })
                .await;
            }
        }
    }
}

fn connect(endpoint: &Endpoint) -> TcpStream {
    let stream = TcpStream::connect(endpoint.authority()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn ask(endpoint: &Endpoint, row: &Row) -> Answer {
    let mut stream = connect(endpoint);
    stream.write_all(&row.head()).unwrap();
    // A node that refuses a body by its length may answer and close before it has all of it.
    let _ = stream.write_all(&row.body);
    Answer::read(stream, row.method == "HEAD")
}

#[test]
fn every_bad_request_gets_its_status_and_its_reason_and_harms_nothing() {
    cluster::run(async {
        let nodes = Nodes::start().await;
        let rows = rows::all();
        for row in &rows {
            row.check(&nodes.ask(row));
        }
        println!("{} bad requests", rows.len());
        let unwritten = nodes.ask(&rows::get("/v1/kv/b/k".to_owned()));
        assert_eq!(unwritten.status, 404, "a refused write was carried out: {unwritten:?}");
        nodes.unharmed().await;
    });
}

#[test]
fn keys_that_are_no_text_stay_distinct_down_to_the_disk() {
    cluster::run(async {
        let nodes = Nodes::start().await;
        for key in ["%FF", "%FE", "%EF%BF%BD", "%00", "a%2F%FF"] {
            assert_eq!(nodes.ask(&rows::put(format!("/v1/kv/b/{key}")).body(key)).status, 201, "{key}");
        }
        for node in nodes.cluster.endpoints() {
            for key in ["%FF", "%FE", "%EF%BF%BD", "%00", "a%2F%FF"] {
                let read = ask(&node, &rows::get(format!("/v1/kv/b/{key}?r=3")));
                assert_eq!((read.status, read.body.as_slice()), (200, key.as_bytes()));
            }
        }
        nodes.unharmed().await;
    });
}

#[test]
fn a_context_is_taken_from_nobody_but_this_cluster_and_a_stale_one_makes_a_sibling() {
    cluster::run(async {
        let nodes = Nodes::start().await;
        let of = |answer: Answer| answer.header("neap-context").unwrap().to_owned();
        let put = |target: &str| rows::put(target.to_owned()).body("v");
        let mine = of(nodes.ask(&put("/v1/kv/b/mine")));
        let mut changed = mine.clone();
        let last = changed.pop().unwrap();
        changed.push(if last == 'A' { 'B' } else { 'A' });
        let foreign_cluster = neap::http::tokens::TokenKey::derive(b"another secret", "test").seal(
            &neap::protocol::ids::BucketName::new("b").unwrap(),
            &neap::protocol::ids::Key::new("mine"),
            &neap::protocol::causality::CausalContext::new(),
        );
        for (what, target, context) in [
            ("of another key", "/v1/kv/b/other", &mine),
            ("of another bucket", "/v1/kv/c/mine", &mine),
            ("changed", "/v1/kv/b/mine", &changed),
            ("cut", "/v1/kv/b/mine", &mine[..mine.len() / 2].to_owned()),
            ("of another cluster", "/v1/kv/b/mine", &foreign_cluster.0),
            ("far too long", "/v1/kv/b/mine", &"A".repeat(50_000)),
        ] {
            let row = put(target).header("Neap-Context", context);
            let row = row.refused(400, "invalid-context", "Neap-Context");
            println!("a context {what}");
            row.check(&nodes.ask(&row));
        }
        // Well made, and older than what is there: not an error, but what stands in between is not overwritten.
        assert_eq!(nodes.ask(&put("/v1/kv/b/mine").header("Neap-Context", &mine)).status, 204);
        assert_eq!(nodes.ask(&put("/v1/kv/b/mine").header("Neap-Context", &mine)).status, 204);
        assert_eq!(nodes.ask(&rows::get("/v1/kv/b/mine?r=3".to_owned())).status, 300);
        nodes.unharmed().await;
    });
}
