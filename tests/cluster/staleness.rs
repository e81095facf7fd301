//! Verdicts on reads, between real nodes.

use super::{cluster, get, put, run};
use neap::client::Endpoint;

async fn verdicts(node: &Endpoint) -> [u64; 5] {
    let counters = get(node, "/healthz").await.json()["counters"].clone();
    let count = |verdict: &str| counters[format!("reads_{verdict}")].as_u64().unwrap();
    [count("fresh"), count("behind"), count("suspect"), count("stale"), count("unknown")]
}

#[test]
fn a_read_that_misses_what_was_committed_is_known_to_be_stale() {
    run(async {
        let (mut cluster, _directory) = cluster(3, &[]).await;
        let nodes = cluster.endpoints();
        assert_eq!(put(&nodes[0], "/v1/kv/b/k?w=3", "all").await.status, 201);
        for _ in 0..20 {
            assert_eq!(get(&nodes[0], "/v1/kv/b/k?r=1").await.text(), "all");
        }
        super::eventually("all are judged", async || verdicts(&nodes[0]).await[0] == 20).await;

        // n3 misses a write that the other two have, and then is asked alone; what it lacks comes to it later only by
        // a repair, and a read at R = 1 repairs nothing before it is answered.
        cluster.kill(2).unwrap();
        assert_eq!(put(&nodes[0], "/v1/kv/b/k?w=2", "two").await.status, 204);
        super::eventually("the write no longer waits for n3", async || {
            get(&nodes[0], "/healthz").await.json()["counters"]["writes_unfollowed"].as_u64() > Some(0)
        })
        .await;
        cluster.spawn(2).unwrap();
        cluster.node_ready(2).await.unwrap();
        super::eventually("its peers can be asked", async || {
            get(&nodes[2], "/v1/kv/b/other?r=3").await.status == 404
        })
        .await;
        let before = verdicts(&nodes[2]).await;
        assert_eq!(get(&nodes[2], "/v1/kv/b/k?r=1").await.text(), "all");
        super::eventually("it is judged", async || verdicts(&nodes[2]).await[3] == before[3] + 1).await;
    });
}

#[test]
fn reads_of_a_node_that_hears_nobody_are_unknown_and_judged_once_the_others_are_back() {
    run(async {
        let (mut cluster, _directory) = cluster(3, &["slo.min_reads=10"]).await;
        let nodes = cluster.endpoints();
        assert_eq!(put(&nodes[0], "/v1/kv/b/k?w=3", "one").await.status, 201);
        let stale_reads = async || get(&nodes[0], "/v1/slo").await.json()["objectives"][1].clone();
        cluster.pause(1).unwrap();
        cluster.pause(2).unwrap();
        for _ in 0..20 {
            assert_eq!(get(&nodes[0], "/v1/kv/b/k?r=1").await.text(), "one");
        }
        super::eventually("nobody knows", async || {
            let (objective, reads) =
                (stale_reads().await, get(&nodes[0], "/v1/slo").await.json()["reads"].clone());
            let unknown = objective["state"] == "unknown" && reads["unknown"] == 20;
            unknown && objective["high"] == 1.0 && objective["why"].as_str().unwrap().contains("n2 at 20")
        })
        .await;
        cluster.resume(1).unwrap();
        cluster.resume(2).unwrap();
        super::eventually("the others say that they had nothing newer", async || {
            let document = get(&nodes[0], "/v1/slo").await.json();
            let (reads, objective) = (&document["reads"], &document["objectives"][1]);
            reads["unknown"] == 0 && reads["fresh"].as_u64() >= Some(20) && objective["state"] == "ok"
        })
        .await;
        let judged = get(&nodes[0], "/healthz").await.json()["counters"]["reads_judged_late"].as_u64();
        assert_eq!(judged, Some(20));
    });
}

async fn counter(node: &Endpoint, name: &str) -> u64 {
    get(node, "/healthz").await.json()["counters"][name].as_u64().unwrap()
}

/// What the third node itself holds of a key; none if another answered in its place.
async fn own(third: &Endpoint, key: &str) -> Option<String> {
    let reply = get(third, &format!("/v1/kv/b/{key}?r=1")).await;
    (reply.acked_by == ["n3"]).then(|| reply.text().to_owned())
}

/// A value of a key that the first two have and that the third, which stands still, was not even sent: what is in its
/// sockets it would still read.
async fn missed_by_third(node: &Endpoint, key: &str) -> String {
    super::eventually("a node that stands still is known to be down", async || {
        let refused = put(node, &format!("/v1/kv/b/{key}?w=3"), "refused").await.json();
        refused["refusals"] == serde_json::json!([{"node": "n3", "reason": "down"}])
    })
    .await;
    assert_eq!(put(node, &format!("/v1/kv/b/{key}?w=2"), "new").await.status, 204);
    "new".to_owned()
}

#[test]
fn reads_of_one_replica_bring_another_what_it_missed_while_it_stood_still() {
    run(async {
        let (mut cluster, _directory) =
            cluster(3, &["defaults.r=1", "defaults.w=1", "defaults.w_min=1"]).await;
        let nodes = cluster.endpoints();
        for key in ["here", "there"] {
            assert_eq!(put(&nodes[0], &format!("/v1/kv/b/{key}?w=3"), "old").await.status, 201);
        }
        cluster.pause(2).unwrap();
        let here = missed_by_third(&nodes[0], "here").await;
        let there = missed_by_third(&nodes[0], "there").await;
        cluster.resume(2).unwrap();

        // A replica that has the write is read, and finds by its probes that n3 has not.
        assert_eq!(counter(&nodes[0], "read_repairs_async").await, 0);
        super::eventually("a read elsewhere repairs it", async || {
            assert_eq!(get(&nodes[0], "/v1/kv/b/here?r=1").await.text(), here);
            counter(&nodes[0], "read_repairs_async").await > 0
        })
        .await;
        super::eventually("it has what was sent to it", async || {
            own(&nodes[2], "here").await == Some(here.clone())
        })
        .await;

        // n3 itself is read, and finds that others have more.
        super::eventually("its own reads repair it", async || {
            own(&nodes[2], "there").await == Some(there.clone())
        })
        .await;
        assert!(counter(&nodes[2], "read_repairs_async").await > 0);
    });
}
