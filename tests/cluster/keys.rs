//! Listing keys over real nodes.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use neap::client::Endpoint;
use serde_json::{Value, json};

use super::{PATIENCE, call, cluster, eventually, get, put, run};

/// All keys, in pages of `limit`.
async fn all(node: &Endpoint, query: &str, limit: usize) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    let mut token = String::new();
    loop {
        let page = get(node, &format!("/v1/kv/b?limit={limit}{query}{token}")).await;
        assert_eq!(page.status, 200, "{}", page.text());
        let page = page.json();
        let of_page = page["keys"].as_array().unwrap();
        assert!(of_page.len() <= limit);
        keys.extend(of_page.iter().map(|key| key["key"].as_str().unwrap().to_owned()));
        match page["continuation"].as_str() {
            Some(continuation) => token = format!("&token={continuation}"),
            None => return keys,
        }
    }
}

/// Carries out many operations, a few hundred a batch, and again those for which there was no time.
async fn batch(node: &Endpoint, operations: impl Iterator<Item = Value>) {
    let mut left: VecDeque<Value> = operations.collect();
    eventually("all are carried out", async || {
        let some: Vec<Value> = left.drain(..left.len().min(500)).collect();
        let body = json!({ "operations": some }).to_string();
        let reply = call(node, "POST", "/v1/batch", &[], body.as_bytes()).await.unwrap().json();
        let results = reply["results"].as_array().unwrap().iter();
        let failed =
            results.zip(some).filter(|(result, _)| !matches!(result["status"].as_u64(), Some(200..300)));
        left.extend(failed.map(|(_, operation)| operation));
        left.is_empty()
    })
    .await;
}

async fn fill(node: &Endpoint, count: usize) {
    let put = |at| json!({"op": "put", "bucket": "b", "key": format!("key-{at:03}"), "text": "v"});
    let operations: Vec<Value> = (0..count).map(put).collect();
    let body = json!({ "operations": operations }).to_string();
    assert_eq!(call(node, "POST", "/v1/batch", &[], body.as_bytes()).await.unwrap().status, 200);
}

#[test]
fn every_node_lists_what_lives_also_with_one_down() {
    run(async {
        let (mut cluster, _directory) = cluster(3, &["cluster.partitions=64"]).await;
        let nodes = cluster.endpoints();
        fill(&nodes[0], 300).await;
        let mut expected: BTreeSet<String> = (0..300).map(|at| format!("key-{at:03}")).collect();
        assert_eq!(all(&nodes[1], "", 7).await, Vec::from_iter(expected.clone()));
        cluster.kill(2).unwrap();
        // What the node that is down will still hold when it comes back.
        for at in (0..300).step_by(3) {
            let key = format!("key-{at:03}");
            assert_eq!(
                call(&nodes[0], "DELETE", &format!("/v1/kv/b/{key}"), &[], b"").await.unwrap().status,
                204
            );
            expected.remove(&key);
        }
        put(&nodes[1], "/v1/kv/b/key-new", "v").await;
        expected.insert("key-new".to_owned());
        let expected = Vec::from_iter(expected);
        for node in &nodes[..2] {
            assert_eq!(all(node, "", 1_000).await, expected);
            assert_eq!(all(node, "&prefix=key-29", 4).await.len(), 7);
            assert_eq!(all(node, "&start=key-298", 4).await, ["key-298", "key-299", "key-new"][..2 + 1]);
        }
        cluster.spawn(2).unwrap();
        cluster.node_ready(2).await.unwrap();
        for node in &nodes {
            eventually("the node that was down lists no less and no more", async || {
                all(node, "", 100).await == expected
            })
            .await;
        }
        // With two of three down no partition has two homes.
        cluster.kill(1).unwrap();
        cluster.kill(2).unwrap();
        let refused = get(&nodes[0], "/v1/kv/b?timeout=500ms").await;
        assert!(matches!(refused.status, 503 | 504), "{}", refused.text());
        assert_eq!(
            (&refused.json()["partitions_lacking"], &refused.json()["needed"]),
            (&json!(64), &json!(2))
        );
    });
}

#[test]
fn in_a_ring_of_five_each_node_knows_a_part_and_lists_the_whole() {
    run(async {
        let (mut cluster, _directory) = cluster(5, &["cluster.partitions=64"]).await;
        let nodes = cluster.endpoints();
        fill(&nodes[0], 200).await;
        let expected: Vec<String> = (0..200).map(|at| format!("key-{at:03}")).collect();
        cluster.kill(4).unwrap();
        for node in &nodes[..4] {
            assert_eq!(all(node, "", 30).await, expected);
        }
    });
}

#[test]
fn a_time_to_live_hides_a_value_from_reads_and_listings() {
    run(async {
        let (cluster, _directory) = cluster(3, &["cluster.partitions=64"]).await;
        let nodes = cluster.endpoints();
        assert_eq!(put(&nodes[0], "/v1/kv/b/short?ttl=1s&w=3", "v").await.status, 201);
        assert_eq!(put(&nodes[0], "/v1/kv/b/long?ttl=1h&w=3", "v").await.status, 201);
        assert_eq!(put(&nodes[0], "/v1/kv/b/wrong?ttl=0s", "v").await.status, 400);
        assert_eq!(get(&nodes[1], "/v1/kv/b/long").await.status, 200);
        eventually("it expires", async || get(&nodes[1], "/v1/kv/b/short").await.status == 404).await;
        for node in &nodes {
            assert_eq!(get(node, "/v1/kv/b/short").await.status, 404);
            assert_eq!(all(node, "", 10).await, ["long"]);
        }
        assert_eq!(
            put(&nodes[2], "/v1/kv/b/short", "again").await.status,
            201,
            "what expired counts as gone"
        );
        assert_eq!(all(&nodes[0], "", 10).await, ["long", "short"]);
    });
}

#[test]
fn what_is_deleted_and_expired_hides_nothing_that_lives() {
    run(async {
        let (mut cluster, _directory) = cluster(3, &["cluster.partitions=64", "storage.commit=os"]).await;
        let nodes = cluster.endpoints();
        let delete = |at| json!({"op": "delete", "bucket": "b", "key": format!("dead-{at:05}")});
        batch(&nodes[0], (0..6_000).map(delete)).await;
        let expire = |at| json!({"op": "put", "bucket": "b", "key": format!("gone-{at:05}"), "text": "v", "ttl": "1s"});
        batch(&nodes[1], (0..6_000).map(expire)).await;
        fill(&nodes[2], 10).await;
        eventually("all have expired", async || get(&nodes[0], "/v1/kv/b/gone-05999").await.status == 404)
            .await;
        let expected: Vec<String> = (0..10).map(|at| format!("key-{at:03}")).collect();
        for (node, limit) in [(0, 1), (1, 3), (2, 1_000)] {
            assert_eq!(all(&nodes[node], "", limit).await, expected, "{limit} a page");
        }
        assert_eq!(all(&nodes[0], "&prefix=dead", 10).await, [""; 0]);
        assert_eq!(all(&nodes[0], "&start=gone-00500", 10).await, expected);

        // One replica of each key still holds what the others have deleted.
        cluster.kill(2).unwrap();
        let delete = |at| json!({"op": "delete", "bucket": "b", "key": format!("key-{at:03}")});
        batch(&nodes[0], (0..5).map(delete)).await;
        cluster.spawn(2).unwrap();
        cluster.node_ready(2).await.unwrap();
        for node in &nodes {
            eventually("its peers can be asked", async || {
                get(node, "/v1/kv/b/other?r=3").await.status == 404
            })
            .await;
            assert_eq!(all(node, "", 1).await, expected[5..]);
        }
        let url = nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let listed = tokio::task::spawn_blocking(move || {
            let mut neap = std::process::Command::new(env!("CARGO_BIN_EXE_neap"));
            neap.args(["keys", "b", "--url", &url]).output().unwrap()
        });
        let output = listed.await.unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(String::from_utf8(output.stdout).unwrap().lines().collect::<Vec<_>>(), expected[5..]);
        assert_eq!(output.stderr, b"");
    });
}

#[test]
fn a_node_that_hangs_holds_no_listing_up() {
    run(async {
        let (mut cluster, _directory) = cluster(3, &["cluster.partitions=64"]).await;
        let nodes = cluster.endpoints();
        fill(&nodes[0], 50).await;
        cluster.pause(2).unwrap();
        let listed =
            tokio::time::timeout(PATIENCE.min(Duration::from_secs(30)), all(&nodes[0], "", 10)).await;
        assert_eq!(listed.unwrap().len(), 50);
        cluster.resume(2).unwrap();
    });
}
