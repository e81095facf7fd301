//! More than a node can do: what is refused, whom it does not harm, and that every request ends.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use neap::cli::load::{RawConnection, request};
use neap::client::Endpoint;

use super::{PATIENCE, call, cluster, eventually, get, put, run};

/// Writes that wait for two homes, over as many connections, until all were answered: statuses, and how long each took.
async fn flood(node: &Endpoint, connections: usize, target: &str) -> Vec<(u16, Option<String>, Duration)> {
    let tasks: Vec<_> = (0..connections)
        .map(|at| {
            let (node, put) = (node.clone(), request("PUT", &format!("{target}/{at}?timeout=1s"), &[], b"v"));
            tokio::task::spawn_local(async move {
                let mut connection = RawConnection::open(&node, PATIENCE).await.unwrap();
                let asked = Instant::now();
                let reply = connection.exchange(&put).await.unwrap();
                (reply.status, reply.header("retry-after").map(str::to_owned), asked.elapsed())
            })
        })
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    answers
}

#[test]
fn a_bucket_that_floods_is_refused_and_a_quiet_one_is_not() {
    run(async {
        let (mut cluster, _directory) = cluster(3, &["limits.in_flight=16"]).await;
        let nodes = cluster.endpoints();
        assert!(put(&nodes[0], "/v1/kv/quiet/k?w=3", "v").await.status < 300);
        // With both other homes stopped, what is written stays in flight until its deadline.
        cluster.pause(1).unwrap();
        cluster.pause(2).unwrap();
        let node = Rc::new(nodes[0].clone());
        let flooded = node.clone();
        let flooding = tokio::task::spawn_local(async move { flood(&flooded, 200, "/v1/kv/flood").await });
        eventually("the flood is refused", async || {
            let health = get(&node, "/healthz").await.json();
            health["counters"]["admission_refused"].as_u64() >= Some(100)
        })
        .await;
        // Its own copy is enough for this one.
        let read = get(&node, "/v1/kv/quiet/k?r=1").await;
        assert_eq!((read.status, read.text()), (200, "v"), "a quiet bucket finds a permit");
        let answers = flooding.await.unwrap();
        let refused: Vec<_> = answers.iter().filter(|(_, retry, _)| retry.as_deref() == Some("1")).collect();
        assert!(refused.len() >= 180, "{answers:?}");
        assert!(answers.iter().all(|(status, ..)| matches!(status, 503 | 504)), "{answers:?}");
        let metrics = get(&node, "/metrics").await;
        let line = metrics.text().lines().find(|line| {
            line.starts_with("neap_overload_refused_by_bucket_total") && line.contains("bucket=\"flood\"")
        });
        assert!(line.is_some_and(|line| !line.ends_with(" 0")), "{line:?}");
        assert!(!metrics.text().contains("bucket=\"quiet\""), "nothing of it was refused");
        cluster.resume(1).unwrap();
        cluster.resume(2).unwrap();
        eventually("the flooded bucket is served again", async || {
            put(&node, "/v1/kv/flood/after", "v").await.status < 300
        })
        .await;
    });
}

#[test]
fn a_flood_and_a_quiet_bucket_are_both_served_and_every_turn_comes_back() {
    run(async {
        let (cluster, _directory) =
            cluster(1, &["defaults.n=1", "defaults.r=1", "defaults.w=1", "storage.commit=os"]).await;
        let node = Rc::new(cluster.endpoints()[0].clone());
        let answered = Rc::new(Cell::new(0u32));
        let flood: Vec<_> = (0..200)
            .map(|at| {
                let (node, answered) = (node.clone(), answered.clone());
                tokio::task::spawn_local(async move {
                    let mut connection = RawConnection::open(&node, PATIENCE).await.unwrap();
                    for of_its in 0.. {
                        let put = request("PUT", &format!("/v1/kv/flood/{at}-{of_its}"), &[], b"v");
                        let status = connection.exchange(&put).await.unwrap().status;
                        assert_eq!(status, 201);
                        answered.set(answered.get() + 1);
                    }
                })
            })
            .collect();
        eventually("the flood waits for turns", async || {
            assert_eq!(get(&node, "/v1/kv/quiet/k").await.status, 404);
            get(&node, "/healthz").await.json()["counters"]["operations_waited"].as_u64() > Some(1_000)
        })
        .await;
        for _ in 0..20 {
            let before = answered.get();
            assert_eq!(get(&node, "/v1/kv/quiet/k").await.status, 404);
            eventually("the flood goes on", async || answered.get() > before + 200).await;
        }
        flood.iter().for_each(tokio::task::JoinHandle::abort);
        let health = get(&node, "/healthz").await.json();
        assert_eq!(health["counters"]["turns_dropped"], 0, "{health}");
        eventually("waits are told by class", async || {
            let metrics = get(&node, "/metrics").await.text().to_owned();
            let counted = |class: &str| {
                let class = format!("class=\"{class}\"");
                let mut counts =
                    metrics.lines().filter(|line| line.starts_with("neap_queue_dwell_time_seconds_count"));
                counts.any(|line| line.contains(&class) && !line.ends_with(" 0"))
            };
            counted("quiet") && counted("busy")
        })
        .await;
    });
}

#[test]
fn every_request_ends_within_its_timeout_while_peers_accept_and_never_answer() {
    run(async {
        let (mut cluster, _directory) = cluster(3, &[]).await;
        let nodes = cluster.endpoints();
        put(&nodes[0], "/v1/kv/b/k?w=3", "v").await;
        cluster.pause(1).unwrap();
        cluster.pause(2).unwrap();
        for (method, target) in [("GET", "/v1/kv/b/k?r=2&timeout=300ms"), ("PUT", "/v1/kv/b/k?timeout=300ms")]
        {
            for _ in 0..3 {
                let reply = call(&nodes[0], method, target, &[], b"").await.unwrap();
                assert!(matches!(reply.status, 503 | 504), "{reply:?}");
            }
        }
        eventually("their silence is counted", async || {
            let counters = get(&nodes[0], "/healthz").await.json()["counters"].clone();
            counters["transport_requests_unanswered"].as_u64() > Some(0)
                && counters["transport_silent_connections"].as_u64() > Some(0)
        })
        .await;
        cluster.resume(1).unwrap();
        cluster.resume(2).unwrap();
        eventually("served again", async || put(&nodes[0], "/v1/kv/b/k?w=3", "w").await.status < 300).await;
    });
}

#[test]
fn every_request_ends_while_a_disk_hangs_and_the_others_go_on() {
    run(async {
        let (mut cluster, directory) = cluster(3, &[]).await;
        let nodes = cluster.endpoints();
        let hangs = directory.path().join("hangs");
        cluster.stop(0).unwrap();
        cluster.spawn_with(0, &["--test-stall-disk", hangs.to_str().unwrap()]).unwrap();
        cluster.ready().await.unwrap();
        eventually("all homes", async || put(&nodes[0], "/v1/kv/b/k?w=3", "v").await.status < 300).await;
        std::fs::write(&hangs, "").unwrap();
        // More at once than it has turns and threads; none is answered by its disk.
        for (status, ..) in flood(&nodes[0], 100, "/v1/kv/b").await {
            assert!(matches!(status, 503 | 504), "{status}");
        }
        let read = get(&nodes[0], "/v1/kv/b/k?timeout=300ms").await;
        assert!(matches!(read.status, 503 | 504), "{read:?}");
        let batch = r#"{"operations": [{"op": "get", "bucket": "b", "key": "k"},
            {"op": "put", "bucket": "b", "key": "k", "text": "v"}, {"op": "get", "bucket": "b", "key": "/"}]}"#;
        let batch = call(&nodes[0], "POST", "/v1/batch?timeout=300ms", &[], batch.as_bytes()).await.unwrap();
        assert_eq!(batch.status, 200, "each is answered by itself: {batch:?}");
        let results = batch.json()["results"].as_array().cloned().unwrap();
        let statuses: Vec<_> = results.iter().map(|result| result["status"].as_u64()).collect();
        assert_eq!(statuses.len(), 3, "{results:?}");
        assert!(statuses.iter().all(|status| matches!(status, Some(503 | 504))), "{results:?}");
        let counters = get(&nodes[0], "/healthz").await.json()["counters"].clone();
        assert!(counters["shards_silent"].as_u64() > Some(0), "{counters}");
        // The control plane's thread hangs too, once it has something to store: what it is asked ends all the same.
        let set = put(&nodes[0], "/v1/buckets/other", "{}").await;
        assert_eq!((set.status, set.json()["outcome"].as_str()), (503, Some("unknown")), "{set:?}");
        assert_eq!(get(&nodes[0], "/v1/kv/b?timeout=300ms").await.status, 504);
        assert_eq!(get(&nodes[0], "/v1/slo?scope=cluster").await.status, 504);
        assert_eq!(get(&nodes[0], "/healthz").await.status, 200);
        eventually("the others go on", async || put(&nodes[1], "/v1/kv/b/k", "w").await.status < 300).await;
        std::fs::remove_file(&hangs).unwrap();
        eventually("it serves again", async || put(&nodes[0], "/v1/kv/b/k?w=3", "x").await.status < 300)
            .await;
        // What was written elsewhere meanwhile stands beside it.
        let read = get(&nodes[0], "/v1/kv/b/k?r=3").await;
        assert!(matches!(read.status, 200 | 300), "{read:?}");
    });
}
