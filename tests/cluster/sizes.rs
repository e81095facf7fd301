//! Objects that come to their bounds, and one beyond them that an earlier version left.

use std::process::Command;

use bytes::Bytes;
use neap::cli::processes::LocalCluster;
use neap::client::Endpoint;
use neap::protocol::causality::{Body, CausalContext, Object, Value, Version};
use neap::protocol::ids::{ActorId, BucketName, Dot, Key, NodeId, WriteId};
use neap::protocol::ring::{Member, Ring, Weight};
use neap::protocol::time::Hlc;
use neap::storage::{DataDirectory, Expectation, Store as _, StoreBounds, keys, objects};

use super::{Reply, call, cluster, eventually, get, options, put, run};

const MIB: usize = 1 << 20;

async fn put_with(node: &Endpoint, target: &str, context: &str, body: &[u8]) -> Reply {
    call(node, "PUT", target, &[("neap-context", context)], body).await.unwrap()
}

#[test]
fn writes_with_one_old_context_end_at_the_bound_and_every_replica_reads_and_refills_what_they_left() {
    run(async {
        let (mut cluster, _directory) = cluster(3, &[]).await;
        let nodes = cluster.endpoints();
        let old = put(&nodes[0], "/v1/kv/b/k?w=3", "first").await.context.unwrap();
        let value = vec![b'v'; MIB];
        let mut refused = 0;
        for at in 0..20 {
            let written = put_with(&nodes[at % 3], "/v1/kv/b/k", &old, &value).await;
            if written.status == 409 {
                let problem = written.json();
                assert_eq!(problem["type"], "/problems/object-full", "{problem}");
                assert_eq!(problem["outcome"], "not_applied");
                let figure = |name: &str| problem[name].as_u64().unwrap() as usize;
                let (held, write, bound) =
                    (figure("held_bytes"), figure("write_bytes"), figure("bound_bytes"));
                assert!(held <= bound && write > MIB && held + write > bound, "{problem}");
                refused += 1;
            } else {
                assert_eq!(written.status, 204, "{}", written.text());
            }
        }
        assert!((10..=16).contains(&refused), "{refused} of 20 MiB were refused, and 16 MiB fit a message");
        let mut context = None;
        for node in &nodes {
            for r in 1..=3 {
                let read = get(node, &format!("/v1/kv/b/k?r={r}")).await;
                assert_eq!(
                    read.status,
                    300,
                    "{}",
                    String::from_utf8_lossy(&read.body[..read.body.len().min(300)])
                );
                context = read.context;
            }
        }
        cluster.kill(2).unwrap();
        std::fs::remove_dir_all(&cluster.nodes()[2].data).unwrap();
        cluster.spawn(2).unwrap();
        cluster.node_ready(2).await.unwrap();
        assert_eq!(get(&nodes[2], "/v1/kv/b/k?r=1").await.status, 300);
        let resolved = put_with(&nodes[1], "/v1/kv/b/k?w=3", &context.unwrap(), b"resolved").await;
        assert_eq!(resolved.status, 204, "{}", resolved.text());
        assert_eq!(get(&nodes[2], "/v1/kv/b/k?r=1").await.text(), "resolved");
    });
}

#[test]
fn a_bucket_is_set_only_with_an_n_for_which_objects_have_room_for_the_values_allowed() {
    run(async {
        let one = ["defaults.n=1", "defaults.r=1", "defaults.w=1", "defaults.w_min=1", "limits.value=6MiB"];
        let (cluster, _directory) = cluster(3, &one).await;
        let node = &cluster.endpoints()[0];
        let refused = put(node, "/v1/buckets/b", r#"{"n": 3, "r": 2, "w": 2}"#).await;
        let problem = refused.json();
        assert_eq!(
            (refused.status, &problem["type"]),
            (422, &"/problems/no-room-for-values".into()),
            "{problem}"
        );
        assert_eq!((&problem["parameter"], &problem["accepted"]), (&"n".into(), &"1 to 2".into()));
        assert!(problem["detail"].as_str().unwrap().contains("5525504"), "{problem}");
        let set = put(node, "/v1/buckets/b", r#"{"n": 2, "r": 1, "w": 2}"#).await;
        assert_eq!(set.status, 200, "{}", set.text());
        let value = vec![b'v'; 6 * MIB];
        assert_eq!(call(node, "PUT", "/v1/kv/b/k", &[], &value).await.unwrap().status, 201);
        let large = call(node, "PUT", "/v1/kv/b/k", &[], &vec![b'v'; 6 * MIB + 1]).await.unwrap();
        assert_eq!(large.status, 413, "{}", large.text());
    });
}

fn neap(url: &str, args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_neap")).args(args).args(["--url", url]).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn siblings_end_at_the_buckets_bound_and_the_commands_say_so() {
    run(async {
        let (cluster, _directory) = cluster(3, &[]).await;
        let nodes = cluster.endpoints();
        let url = nodes[0].to_string();
        let set = ["bucket", "set", "b", "blind_write=sibling", "siblings_max=3"];
        let ran = neap(&url, &set);
        assert!(ran.0 == Some(0) && ran.1.contains("siblings_max"), "{ran:?}");
        let mut first = None;
        for node in &nodes {
            let written = put(node, "/v1/kv/b/k?w=3", "v").await;
            assert!(matches!(written.status, 201 | 204), "{}", written.text());
            first = first.or(written.context);
        }
        let full = put(&nodes[1], "/v1/kv/b/k", "v").await;
        let problem = full.json();
        assert_eq!(
            (full.status, &problem["type"]),
            (409, &"/problems/too-many-siblings".into()),
            "{problem}"
        );
        assert_eq!((&problem["outcome"], &problem["siblings_max"]), (&"not_applied".into(), &3.into()));
        assert_eq!((&problem["held_versions"], &problem["left_versions"]), (&3.into(), &4.into()));
        assert_eq!(full.retry_after, None);
        // Its first context covers one that lives, and after that none: as many as there may be, and one more.
        let first = first.unwrap();
        assert_eq!(put_with(&nodes[0], "/v1/kv/b/k?w=3", &first, b"v").await.status, 204);
        assert_eq!(put_with(&nodes[2], "/v1/kv/b/k?w=3", &first, b"v").await.status, 409);
        let (code, said) = neap(&url, &["put", "b", "k", "v"]);
        assert!(code == Some(1) && said.contains("siblings_max is 3"), "{code:?}: {said}");
        let (code, said) = neap(&url, &["delete", "b", "k"]);
        assert!(code == Some(1) && said.contains("siblings_max is 3"), "{code:?}: {said}");
        let metrics = get(&nodes[1], "/metrics").await;
        let told = metrics.text().lines().any(|line| {
            line.starts_with("neap_objects_refused_total{")
                && line.contains("reason=\"too_many_siblings\"")
                && line.ends_with(" 1")
        });
        assert!(told, "{}", metrics.text());
        let read = get(&nodes[0], "/v1/kv/b/k?r=3").await;
        assert_eq!(read.status, 300);
        let resolved = put_with(&nodes[0], "/v1/kv/b/k?w=3", &read.context.unwrap(), b"one").await;
        assert_eq!(resolved.status, 204);
        assert_eq!(get(&nodes[2], "/v1/kv/b/k").await.text(), "one");
    });
}

/// As many siblings of a MiB, of one actor, as a message cannot carry.
fn too_large(actor: u64) -> Object {
    let mut object = Object::new();
    for counter in 1..=17 {
        let dot = Dot { actor: ActorId(actor), counter };
        let value = Value { content_type: None, bytes: Bytes::from(vec![b'v'; MIB]), expires_at: None };
        let version = Version {
            dot,
            hlc: Hlc(counter),
            w: 2,
            write_id: WriteId(counter.into()),
            named: false,
            past: CausalContext::new(),
            gapless: false,
            created: false,
            body: Body::Value(value),
        };
        let context = CausalContext::from_parts([], [dot]);
        object.merge(&Object::from_parts(context, vec![version], Vec::new()), Hlc::ZERO);
    }
    object
}

/// Leaves `object` under a key of a node that does not run, as after an unclean end.
fn leave(cluster: &LocalCluster, at: usize, key: &str, object: &Object) {
    let node = &cluster.nodes()[at];
    let id = NodeId::new(&format!("n{}", at + 1)).unwrap();
    let expected = Expectation { cluster: "test".to_owned(), node: id, partitions: 1024 };
    let opened = DataDirectory::open(&node.data, &expected, false, StoreBounds::default()).unwrap();
    let member = |number: usize| Member {
        id: NodeId::new(&format!("n{number}")).unwrap(),
        zone: "a".to_owned(),
        weight: Weight::ONE,
        address: format!("n{number}:1"),
    };
    // The partition of a key depends on nothing but their number.
    let ring = Ring::founders(1024, (1..=3).map(member).collect()).unwrap();
    let (bucket, key) = (BucketName::new("b").unwrap(), Key::new(key.to_owned()));
    let stored_key = keys::object_key(ring.partition_of(&bucket, &key), &bucket, &key);
    objects::write(&*opened.store, &stored_key, object).unwrap();
    opened.store.sync().unwrap();
}

#[test]
fn after_the_end_of_all_nodes_an_object_that_is_too_large_to_be_sent_holds_up_nothing_else() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let set = ["storage.commit=interval"];
        let mut cluster = LocalCluster::start(options(directory.path().to_owned(), 3, &set)).unwrap();
        cluster.ready().await.unwrap();
        let nodes = cluster.endpoints();
        for key in 0..20 {
            assert_eq!(put(&nodes[0], &format!("/v1/kv/b/{key}?w=3"), "v").await.status, 201);
        }
        for at in 0..3 {
            cluster.kill(at).unwrap();
        }
        let object = too_large(7);
        leave(&cluster, 0, "large", &object);
        leave(&cluster, 1, "large", &object);
        leave(&cluster, 0, "apart", &object);
        leave(&cluster, 1, "apart", &too_large(8));
        std::fs::remove_dir_all(&cluster.nodes()[2].data).unwrap();
        for at in 0..3 {
            cluster.spawn(at).unwrap();
        }
        // All lack something, and are complete once they have pulled what can be pulled.
        cluster.ready().await.unwrap();
        for key in 0..20 {
            assert_eq!(get(&nodes[2], &format!("/v1/kv/b/{key}?r=1")).await.acked_by, ["n3"]);
        }
        let counter = async |node: &Endpoint, name: &str| {
            get(node, "/healthz").await.json()["counters"][name].as_u64().unwrap()
        };
        assert!(counter(&nodes[0], "objects_too_large").await > 0);
        assert!(counter(&nodes[2], "objects_left_out").await > 0);
        let log = std::fs::read_to_string(directory.path().join("n1.log")).unwrap_or_default();
        assert!(log.is_empty() || log.contains("too large to be sent"), "{log}");
        let read = get(&nodes[2], "/v1/kv/b/large").await;
        let problem = read.json();
        assert_eq!(read.status, 503, "{problem}");
        let reasons: Vec<_> =
            problem["refusals"].as_array().unwrap().iter().map(|refusal| &refusal["reason"]).collect();
        assert!(
            reasons.iter().all(|reason| *reason == "left_out" || *reason == "too_large_to_send"),
            "{problem}"
        );
        let listed = get(&nodes[0], "/v1/kv/b?limit=100").await;
        assert_eq!(listed.status, 200, "{}", listed.text());
        // As the log says.
        let held = get(&nodes[0], "/v1/kv/b/large?r=1").await;
        assert_eq!(held.status, 300);
        let mended = put_with(&nodes[0], "/v1/kv/b/large", &held.context.unwrap(), b"mended").await;
        assert_eq!(mended.status, 204, "{}", mended.text());
        eventually("the node that was left without it has it", async || {
            get(&nodes[2], "/v1/kv/b/large?r=1").await.acked_by == ["n3"]
        })
        .await;
        for node in &nodes {
            assert_eq!(get(node, "/v1/kv/b/large?r=3").await.text(), "mended");
        }
        // Each of two lacks what the other cannot send: neither answers but as it is.
        for node in &nodes[..2] {
            let refused = get(node, "/v1/kv/b/apart?r=1").await;
            assert_eq!(refused.status, 503, "{}", refused.text());
            assert!(refused.text().contains("on_left_out=serve"), "{}", refused.text());
        }
        for node in &nodes[..2] {
            let held = get(node, "/v1/kv/b/apart?r=1&on_left_out=serve").await;
            assert_eq!(held.status, 300);
            let smaller = put_with(node, "/v1/kv/b/apart?w=2", &held.context.unwrap(), b"small").await;
            assert_eq!(smaller.status, 204, "{}", smaller.text());
        }
        // Two values, if the second node had not heard of the first write when it was read.
        eventually("both are whole again", async || {
            matches!(get(&nodes[2], "/v1/kv/b/apart?r=3").await.status, 200 | 300)
        })
        .await;
    });
}
