//! Batches over real nodes.

use std::collections::BTreeMap;

use neap::client::Endpoint;
use serde_json::{Value, json};

use super::{call, cluster, get, run};

async fn batch(node: &Endpoint, operations: &[Value]) -> Vec<Value> {
    let body = json!({ "operations": operations }).to_string();
    let reply = call(node, "POST", "/v1/batch", &[], body.as_bytes()).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["results"].as_array().unwrap().clone()
}

fn puts(bucket: &str, round: &str, count: usize) -> Vec<Value> {
    let put = |at| json!({"op": "put", "bucket": bucket, "key": format!("key-{at}"), "text": format!("{round}-{at}")});
    (0..count).map(put).collect()
}

fn gets(bucket: &str, count: usize) -> Vec<Value> {
    (0..count).map(|at| json!({"op": "get", "bucket": bucket, "key": format!("key-{at}"), "r": 2})).collect()
}

fn statuses(results: &[Value]) -> BTreeMap<u64, usize> {
    let mut counts = BTreeMap::new();
    for result in results {
        *counts.entry(result["status"].as_u64().unwrap()).or_default() += 1;
    }
    counts
}

#[test]
fn every_operation_of_a_batch_is_carried_out_also_with_a_node_down() {
    run(async {
        let (mut cluster, _directory) = cluster(3, &[]).await;
        let nodes = cluster.endpoints();
        assert_eq!(statuses(&batch(&nodes[0], &puts("b", "one", 1_000)).await), [(201, 1_000)].into());
        cluster.kill(2).unwrap();
        for node in &nodes[..2] {
            let mut operations = gets("b", 100);
            operations.push(json!({"op": "get", "bucket": "b", "key": "none"}));
            operations.push(json!({"op": "put", "bucket": "b", "key": "key-0", "text": "x", "w": 9}));
            let mut results = batch(node, &operations).await;
            assert_eq!(results.pop().unwrap()["status"], 422);
            assert_eq!(results.pop().unwrap()["status"], 404);
            for (at, result) in results.iter().enumerate() {
                let value = base64(&format!("one-{at}"));
                assert_eq!((&result["status"], &result["value"]), (&json!(200), &json!(value)), "{result}");
                assert_eq!(result["replicas"]["acked"], 2, "{result}");
            }
        }
        assert_eq!(statuses(&batch(&nodes[1], &puts("b", "two", 100)).await), [(204, 100)].into());
        assert_eq!(get(&nodes[0], "/v1/kv/b/key-99").await.text(), "two-99");
        let delete: Vec<Value> =
            (0..50).map(|at| json!({"op": "delete", "bucket": "b", "key": format!("key-{at}")})).collect();
        assert_eq!(statuses(&batch(&nodes[0], &delete).await), [(204, 50)].into());
        assert_eq!(statuses(&batch(&nodes[1], &gets("b", 100)).await), [(200, 50), (404, 50)].into());
        // Without a majority of the homes each operation says what is certain of itself.
        cluster.kill(1).unwrap();
        let mut mixed = puts("b", "three", 2);
        mixed.push(json!({"op": "get", "bucket": "b", "key": "key-99", "r": 1}));
        let results = batch(&nodes[0], &mixed).await;
        assert_eq!((&results[2]["status"], &results[2]["value"]), (&json!(200), &json!(base64("two-99"))));
        for result in &results[..2] {
            assert!(matches!(result["status"].as_u64(), Some(503 | 504)), "{result}");
            assert_eq!(result["problem"]["outcome"], "partial", "{result}");
        }
    });
}

#[test]
fn a_batch_goes_to_each_peer_together_not_one_operation_at_a_time() {
    run(async {
        let (cluster, _directory) = cluster(3, &[]).await;
        let node = &cluster.endpoints()[0];
        let sent = async || {
            let counters = get(node, "/healthz").await.json()["counters"].clone();
            ["transport_frames_sent", "transport_batches_sent"].map(|name| counters[name].as_u64().unwrap())
        };
        let before = sent().await;
        assert_eq!(statuses(&batch(node, &puts("b", "v", 1_000)).await), [(201, 1_000)].into());
        let [frames, batches] = [0, 1].map({
            let after = sent().await;
            move |which| after[which] - before[which]
        });
        assert!(frames >= 2_000, "each of two peers is asked to apply each write: {frames} frames");
        assert!(batches * 20 <= frames, "{frames} frames went in {batches} batches");
    });
}

#[test]
fn each_operation_of_a_batch_takes_a_permit_or_is_refused_and_all_are_given_back() {
    run(async {
        let (cluster, _directory) = cluster(
            1,
            &["limits.in_flight=40", "defaults.n=1", "defaults.r=1", "defaults.w=1", "defaults.w_min=1"],
        )
        .await;
        let node = &cluster.endpoints()[0];
        // More than there are permits gets as far as they go, so that who tries the rest again comes to an end.
        let results = batch(node, &puts("b", "v", 45)).await;
        assert_eq!(statuses(&results), [(201, 40), (503, 5)].into());
        let refused = &results[40];
        assert_eq!(refused["problem"]["outcome"], "not_applied");
        assert!(refused["retry_after"].is_number(), "{refused}");
        assert_eq!(get(node, "/healthz").await.json()["counters"]["admission_refused"], 5);
        for _ in 0..10 {
            assert_eq!(batch(node, &puts("b", "v", 20)).await.len(), 20);
        }
        assert_eq!(get(node, "/v1/kv/b/key-40").await.status, 404, "what was refused was not done");
    });
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}
