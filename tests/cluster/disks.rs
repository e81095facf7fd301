use neap::cli::processes::LocalCluster;

use super::{call, cluster, eventually, get, options, put, run};

#[test]
fn a_node_whose_disk_was_lost_serves_no_reads_until_it_has_pulled_what_it_lacks() {
    run(async {
        let (mut cluster, _directory) = cluster(3, &[]).await;
        let nodes = cluster.endpoints();
        for key in 0..200 {
            assert_eq!(put(&nodes[0], &format!("/v1/kv/b/{key}?w=3"), "v").await.status, 201);
        }
        cluster.kill(1).unwrap();
        cluster.kill(2).unwrap();
        std::fs::remove_dir_all(&cluster.nodes()[1].data).unwrap();
        cluster.spawn(1).unwrap();
        // Its peers remember another directory of it. n1 alone is not enough to pull from.
        eventually("the new directory answers", async || {
            call(&nodes[1], "GET", "/healthz", &[], b"").await.is_ok()
        })
        .await;
        eventually("it has pulled from n1", async || {
            get(&nodes[1], "/healthz").await.json()["counters"]["backfilled_objects"] == 200
        })
        .await;
        assert_eq!(get(&nodes[1], "/readyz").await.status, 503);
        let read = get(&nodes[1], "/v1/kv/b/7?r=2&timeout=300ms").await;
        assert!(matches!(read.status, 503 | 504), "one complete home is no quorum: {read:?}");
        cluster.spawn(2).unwrap();
        cluster.ready().await.unwrap();
        for key in 0..200 {
            assert_eq!(get(&nodes[1], &format!("/v1/kv/b/{key}?r=1")).await.text(), "v");
        }
        // And it stays complete, though its peers still remember the other directory.
        cluster.kill(1).unwrap();
        cluster.spawn(1).unwrap();
        cluster.node_ready(1).await.unwrap();
    });
}

#[test]
fn nodes_killed_together_under_a_relaxed_commit_find_back_to_each_other() {
    run(async {
        let (mut cluster, _directory) = cluster(3, &["storage.commit=interval"]).await;
        let nodes = cluster.endpoints();
        for key in 0..50 {
            assert_eq!(put(&nodes[0], &format!("/v1/kv/b/{key}"), "v").await.status, 201);
        }
        for at in 0..3 {
            cluster.kill(at).unwrap();
        }
        for at in 0..3 {
            cluster.spawn(at).unwrap();
        }
        cluster.ready().await.unwrap();
        for key in 0..50 {
            assert_eq!(get(&nodes[2], &format!("/v1/kv/b/{key}")).await.text(), "v");
        }
    });
}

#[test]
fn a_restored_backup_is_refused_by_its_peers_until_it_has_an_id_of_its_own() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let backup = directory.path().join("backup");
        let mut cluster = LocalCluster::start(options(directory.path().to_owned(), 3, &[])).unwrap();
        cluster.ready().await.unwrap();
        let nodes = cluster.endpoints();
        assert!(cluster.stop(0).unwrap());
        let data = cluster.nodes()[0].data.clone();
        copy(&data, &backup);
        cluster.spawn(0).unwrap();
        cluster.node_ready(0).await.unwrap();
        eventually("n1 coordinates writes again", async || {
            let write = put(&nodes[0], "/v1/kv/b/k?w=3", "after the backup").await;
            matches!(write.status, 201 | 204)
        })
        .await;
        cluster.kill(0).unwrap();
        std::fs::remove_dir_all(&data).unwrap();
        copy(&backup, &data);
        // Its next run has the number of one that its peers know already, and is another.
        cluster.spawn(0).unwrap();
        for node in &nodes[1..] {
            eventually("each of its peers refuses it", async || {
                get(node, "/healthz").await.json()["counters"]["identities_refused"].as_u64() > Some(0)
            })
            .await;
        }
        let alone = put(&nodes[0], "/v1/kv/b/x?timeout=300ms", "v").await;
        assert_eq!((alone.status, &alone.json()["outcome"]), (503, &"not_applied".into()), "{alone:?}");
        let why = get(&nodes[0], "/readyz").await;
        assert!(why.text().contains("--new-directory-id"), "{}", why.text());
        cluster.kill(0).unwrap();
        cluster.spawn(0).unwrap();
        eventually("the next run is refused as well", async || {
            // It may not listen yet.
            let ready = call(&nodes[0], "GET", "/readyz", &[], &[]).await;
            ready.is_ok_and(|ready| ready.status == 503 && ready.text().contains("--new-directory-id"))
        })
        .await;
        cluster.kill(0).unwrap();
        let config = directory.path().join("n1.toml");
        let given = std::process::Command::new(env!("CARGO_BIN_EXE_neap"))
            .args(["node", "--new-directory-id", "--config"])
            .arg(config)
            .output()
            .unwrap();
        assert!(given.status.success(), "{given:?}");
        cluster.spawn(0).unwrap();
        cluster.node_ready(0).await.unwrap();
        assert_eq!(get(&nodes[0], "/v1/kv/b/k?r=1").await.text(), "after the backup");
    });
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(path, target).unwrap();
        }
    }
}

#[test]
fn a_new_cluster_waits_for_all_its_founders_and_names_who_is_missing() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let mut cluster = LocalCluster::start(options(directory.path().to_owned(), 3, &[])).unwrap();
        let nodes = cluster.endpoints();
        for node in 0..3 {
            cluster.kill(node).unwrap();
            // It may have had no time to make one.
            let _ = std::fs::remove_dir_all(&cluster.nodes()[node].data);
        }
        cluster.spawn(0).unwrap();
        cluster.spawn(1).unwrap();
        eventually("n1 says for whom it waits", async || {
            let ready = call(&nodes[0], "GET", "/readyz", &[], &[]).await;
            ready.is_ok_and(|ready| ready.status == 503 && ready.text().contains("not connected now: n3"))
        })
        .await;
        cluster.spawn(2).unwrap();
        cluster.ready().await.unwrap();
    });
}
