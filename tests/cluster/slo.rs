use neap::client::Endpoint;

use super::{cluster, eventually, get, run};

async fn unreachable(node: &Endpoint) -> serde_json::Value {
    get(node, "/v1/slo?scope=cluster").await.json()["unreachable"].clone()
}

#[test]
fn the_objectives_of_the_cluster_are_of_all_nodes_that_answer_and_name_the_others() {
    run(async {
        let (mut cluster, directory) = cluster(3, &[]).await;
        let first = cluster.endpoints().remove(0);
        let own = get(&first, "/v1/slo").await.json();
        assert_eq!(own["scope"], "node");
        assert_eq!(own["objectives"].as_array().unwrap().len(), 3);
        eventually("all answer", async || unreachable(&first).await == serde_json::json!([])).await;
        cluster.kill(2).unwrap();
        eventually("n3 is named", async || unreachable(&first).await == serde_json::json!(["n3"])).await;
        cluster.spawn(2).unwrap();
        cluster.node_ready(2).await.unwrap();
        let third = cluster.endpoints().remove(2);
        eventually("a stop without a word is told of", async || {
            get(&third, "/v1/slo").await.json()["convergence"]["untracked"] == 1
        })
        .await;
        assert!(cluster.stop(0).unwrap());
        let kept = walk(directory.path(), "slo.bin");
        assert!(!kept.is_empty(), "a clean stop keeps the windows");
    });
}

fn walk(folder: &std::path::Path, name: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(walk(&path, name));
        } else if path.file_name().is_some_and(|file| file == name) {
            found.push(path);
        }
    }
    found
}
