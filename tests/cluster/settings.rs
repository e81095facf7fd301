use super::{cluster, eventually, get, put, run};

#[test]
fn bucket_settings_are_the_same_everywhere_and_reach_a_node_that_was_down() {
    run(async {
        let (mut cluster, _directory) = cluster(3, &[]).await;
        let nodes = cluster.endpoints();
        cluster.kill(2).unwrap();
        let set =
            put(&nodes[0], "/v1/buckets/sessions", r#"{"n": 3, "r": 1, "w": 2, "resolution": "lww"}"#).await;
        assert_eq!(set.status, 200, "{}", set.text());
        assert_eq!(get(&nodes[1], "/v1/buckets/sessions").await.json()["resolution"], "lww");
        cluster.spawn(2).unwrap();
        cluster.node_ready(2).await.unwrap();
        eventually("the node that was down has them", async || {
            get(&nodes[2], "/v1/buckets/sessions").await.json()["resolution"] == "lww"
        })
        .await;
        for at in 0..3 {
            cluster.kill(at).unwrap();
            cluster.spawn(at).unwrap();
        }
        cluster.ready().await.unwrap();
        for node in &nodes {
            let bucket = get(node, "/v1/buckets/sessions").await.json();
            assert_eq!((&bucket["r"], &bucket["w"], &bucket["w_min"]), (&1.into(), &2.into(), &2.into()));
        }
    });
}

#[test]
fn settings_need_a_majority_and_say_how_many_stored_them() {
    run(async {
        let (mut cluster, _directory) = cluster(3, &[]).await;
        let nodes = cluster.endpoints();
        cluster.kill(1).unwrap();
        cluster.kill(2).unwrap();
        let set = put(&nodes[0], "/v1/buckets/b", r#"{"r": 1}"#).await;
        assert_eq!(set.status, 503, "{}", set.text());
        assert_eq!(set.json()["needed"], 2);
    });
}

#[test]
fn the_number_of_copies_changes_only_while_the_bucket_is_empty() {
    run(async {
        let (cluster, _directory) = cluster(3, &[]).await;
        let nodes = cluster.endpoints();
        assert_eq!(put(&nodes[0], "/v1/buckets/b", r#"{"n": 2, "r": 1, "w": 2}"#).await.status, 200);
        let written = put(&nodes[1], "/v1/kv/b/k", "v").await;
        assert_eq!((written.status, written.acked_by.len()), (201, 2));
        let refused = put(&nodes[2], "/v1/buckets/b", r#"{"n": 3, "r": 2, "w": 2}"#).await;
        assert_eq!(refused.status, 409, "{}", refused.text());
        assert_eq!(put(&nodes[2], "/v1/buckets/b", r#"{"n": 2, "r": 2, "w": 1}"#).await.status, 200);
        let too_many = put(&nodes[2], "/v1/buckets/c", r#"{"n": 4}"#).await;
        assert_eq!(too_many.status, 422, "{}", too_many.text());
    });
}
