use neap::storage::{Change, DataDirectory, Expectation, Store as _, StoreBounds, Table};

use super::{cluster, eventually, get, put, run};

#[test]
fn a_damaged_record_is_never_shown_and_is_healed_by_a_read() {
    run(async {
        let (mut cluster, _directory) = cluster(3, &[]).await;
        let nodes = cluster.endpoints();
        assert_eq!(put(&nodes[0], "/v1/kv/b/k?w=3", "precious").await.status, 201);
        assert!(cluster.stop(0).unwrap());
        damage_all_objects(&cluster.nodes()[0].data);
        cluster.spawn(0).unwrap();
        cluster.node_ready(0).await.unwrap();
        // Whoever is asked, and however few: another home stands in for the damaged one.
        eventually("the other homes are reached", async || {
            get(&nodes[0], "/v1/kv/b/k?r=1").await.status == 200
        })
        .await;
        assert_eq!(get(&nodes[0], "/v1/kv/b/k?r=2").await.text(), "precious");
        let counters = get(&nodes[0], "/healthz").await.json()["counters"].clone();
        assert!(counters["damaged_records"].as_u64() > Some(0), "{counters}");
        eventually("the record is healed", async || {
            get(&nodes[0], "/healthz").await.json()["counters"]["damaged_healed"].as_u64() > Some(0)
        })
        .await;
        eventually("the node shows its own copy", async || {
            get(&nodes[0], "/v1/kv/b/k?r=1").await.acked_by == ["n1"]
        })
        .await;
        assert_eq!(get(&nodes[0], "/v1/kv/b/k?r=1").await.text(), "precious");
        assert_eq!(put(&nodes[0], "/v1/kv/b/k?w=3", "still").await.status, 204);
    });
}

/// Flips a bit in the value of every stored object.
fn damage_all_objects(data: &std::path::Path) {
    let expected = Expectation {
        cluster: "test".to_owned(),
        node: neap::protocol::ids::NodeId::new("n1").unwrap(),
        partitions: 1024,
    };
    let opened = DataDirectory::open(data, &expected, true, StoreBounds::default()).unwrap();
    let objects = opened.store.scan(Table::Objects, &[], None, 100).unwrap();
    assert!(!objects.is_empty());
    for (key, value) in objects {
        let mut value = value.to_vec();
        *value.last_mut().unwrap() ^= 1;
        opened.store.apply(vec![Change::Put { table: Table::Objects, key, value: value.into() }]).unwrap();
    }
    opened.store.sync().unwrap();
    opened.handle.bookkeeping().mark_clean_stop().unwrap();
}
