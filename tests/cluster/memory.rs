//! Little memory: what is more than it holds is refused, and a node neither ends nor grows.

use super::*;

/// The most that was resident of a process, in MiB.
#[cfg(target_os = "linux")]
fn peak_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.split_whitespace().next().unwrap().parse::<u64>().unwrap() >> 10
}

/// How writes of a mebibyte over many connections end: with success, and refused.
async fn write_much(node: &Endpoint, connections: usize, each: usize) -> (usize, usize) {
    let value = vec![7; 1 << 20];
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..connections {
        let (node, value) = (node.clone(), value.clone());
        writers.spawn_local(async move {
            let mut statuses = Vec::new();
            for number in 0..each {
                let target = format!("/v1/kv/b/{writer}-{number}");
                statuses.push(call(&node, "PUT", &target, &[], &value).await.unwrap().status);
            }
            statuses
        });
    }
    let statuses = writers.join_all().await.concat();
    let of = |wanted: &[u16]| statuses.iter().filter(|status| wanted.contains(status)).count();
    assert_eq!(of(&[201, 204, 503, 504]), statuses.len(), "{statuses:?}");
    (of(&[201, 204]), of(&[503, 504]))
}

/// Batches of twenty values of a mebibyte each, over as many connections as there are batches.
async fn write_batches(node: &Endpoint, batches: usize) {
    let value = "AAAA".repeat((1 << 20) / 3);
    let mut writers = tokio::task::JoinSet::new();
    for batch in 0..batches {
        let put = |at| {
            let key = format!("{batch}-{at}");
            serde_json::json!({ "op": "put", "bucket": "batches", "key": key, "value": value })
        };
        let operations: Vec<_> = (0..20).map(put).collect();
        let body = serde_json::json!({ "operations": operations }).to_string();
        let node = node.clone();
        writers.spawn_local(async move {
            // A body that is refused may be cut off, and the connection with it.
            if let Ok(reply) = call(&node, "POST", "/v1/batch", &[], body.as_bytes()).await {
                assert!(matches!(reply.status, 200 | 408 | 503 | 504), "{}", reply.text());
            }
        });
    }
    writers.join_all().await;
}

#[cfg(target_os = "linux")]
#[test]
fn writes_beyond_the_memory_are_refused_and_a_node_that_was_killed_comes_back_within_it() {
    run(async {
        let (mut cluster, _directory) = cluster(3, &["limits.memory=230MiB"]).await;
        let nodes = cluster.endpoints();
        let (written, refused) = write_much(&nodes[0], 32, 12).await;
        assert!(written > 30, "{written} were written and {refused} refused");
        write_batches(&nodes[0], 16).await;
        let peaks: Vec<u64> = cluster.pids().into_iter().map(peak_mib).collect();
        assert!(peaks.iter().all(|peak| *peak < 384), "{peaks:?} MiB");
        cluster.kill(0).unwrap();
        cluster.spawn(0).unwrap();
        cluster.ready().await.unwrap();
        let peaks: Vec<u64> = cluster.pids().into_iter().map(peak_mib).collect();
        assert!(peaks.iter().all(|peak| *peak < 384), "{peaks:?} MiB");
        // It goes on as soon as there is room.
        eventually("it takes writes again", async || {
            matches!(put(&nodes[0], "/v1/kv/b/last", "v").await.status, 201 | 204)
        })
        .await;
    });
}

#[test]
fn a_node_says_how_much_memory_is_accepted() {
    let refused = |memory: &str| {
        let set = format!("limits.memory={memory}");
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_neap"))
            .args(["node", "--print-config", "--set", &set])
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for memory in ["100MiB", "1TB", "60%"] {
        let (code, said) = refused(memory);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("192MiB to 64TiB") && said.contains("60 % of the cgroup's limit"), "{said}");
    }
    assert_eq!(refused("192MiB").0, Some(0));
    assert_eq!(refused("").0, Some(0));
}
