use super::{call, cluster, eventually, get, put, run};

#[test]
fn a_value_written_through_one_node_is_read_through_all() {
    run(async {
        let (cluster, _directory) = cluster(5, &[]).await;
        let nodes = cluster.endpoints();
        for (at, node) in nodes.iter().enumerate() {
            let target = format!("/v1/kv/b/key-{at}");
            let written = put(node, &target, "hello").await;
            assert_eq!(written.status, 201, "{written:?}");
            assert!(written.acked_by.len() >= 2, "{written:?}");
            for other in &nodes {
                let read = get(other, &target).await;
                assert_eq!((read.status, read.text()), (200, "hello"));
            }
            assert_eq!(put(node, &target, "again").await.status, 204);
        }
    });
}

#[test]
fn writes_with_the_same_context_become_siblings_until_one_covers_both() {
    run(async {
        let (cluster, _directory) = cluster(3, &[]).await;
        let nodes = cluster.endpoints();
        let target = "/v1/kv/b/cart";
        let first = put(&nodes[0], target, "one").await;
        let context = first.context.unwrap();
        let with = |context: String| [("neap-context", context)];
        for (node, body) in [(&nodes[1], "two"), (&nodes[2], "three")] {
            let headers = with(context.clone());
            let headers = [(headers[0].0, headers[0].1.as_str())];
            assert_eq!(call(node, "PUT", target, &headers, body.as_bytes()).await.unwrap().status, 204);
        }
        let read = get(&nodes[0], &format!("{target}?r=3")).await;
        assert_eq!(read.status, 300, "{read:?}");
        assert_eq!(read.json()["siblings"].as_array().unwrap().len(), 2);
        let tags: Vec<_> = [get(&nodes[1], target).await.etag, get(&nodes[2], target).await.etag].into();
        assert_eq!(tags[0], tags[1], "the tag depends on the causal state alone");
        let both = read.context.unwrap();
        let merged = call(&nodes[1], "PUT", target, &[("neap-context", &both)], b"all").await.unwrap();
        assert_eq!(merged.status, 204);
        let read = get(&nodes[2], target).await;
        assert_eq!((read.status, read.text()), (200, "all"));
        let tag = read.etag.unwrap();
        let again = call(&nodes[0], "GET", target, &[("if-none-match", &tag)], b"").await.unwrap();
        assert_eq!(again.status, 304);
    });
}

#[test]
fn a_retry_with_its_write_id_makes_no_sibling_whichever_node_it_asks() {
    run(async {
        let (cluster, _directory) = cluster(3, &[]).await;
        let nodes = cluster.endpoints();
        put(&nodes[0], "/v1/buckets/s", r#"{"blind_write": "sibling"}"#).await;
        let id = "0123456789abcdef0123456789abcdef";
        let mut contexts = Vec::new();
        for node in &nodes {
            let reply = call(node, "PUT", "/v1/kv/s/k?w=3", &[("neap-write-id", id)], b"once").await.unwrap();
            assert!(matches!(reply.status, 201 | 204), "{reply:?}");
            assert_eq!(reply.write_id.as_deref(), Some(id));
            contexts.push(reply.context.unwrap());
        }
        let read = get(&nodes[0], "/v1/kv/s/k?r=3").await;
        assert_eq!((read.status, read.text()), (200, "once"));
        assert_eq!(put(&nodes[1], "/v1/kv/s/k?w=3", "twice").await.status, 204);
        assert_eq!(get(&nodes[2], "/v1/kv/s/k?r=3").await.status, 300, "without an id it is another write");
    });
}

#[test]
fn a_deleted_key_is_not_found_and_can_be_made_again() {
    run(async {
        let (cluster, _directory) = cluster(3, &[]).await;
        let nodes = cluster.endpoints();
        put(&nodes[0], "/v1/kv/b/k", "value").await;
        let old = get(&nodes[1], "/v1/kv/b/k").await.context.unwrap();
        assert_eq!(
            call(&nodes[1], "DELETE", "/v1/kv/b/k", &[("neap-context", &old)], b"").await.unwrap().status,
            204
        );
        let gone = get(&nodes[2], "/v1/kv/b/k").await;
        assert_eq!(gone.status, 404);
        assert!(gone.context.is_some(), "a tombstone has a context");
        assert_eq!(put(&nodes[2], "/v1/kv/b/k", "new").await.status, 201);
        // What was read before the delete covers neither it nor what came after.
        call(&nodes[0], "DELETE", "/v1/kv/b/k?w=3", &[("neap-context", &old)], b"").await.unwrap();
        let read = get(&nodes[0], "/v1/kv/b/k?r=3").await;
        assert_eq!(read.status, 300, "{}", read.text());
        let values: Vec<_> = read.json()["siblings"].as_array().unwrap().clone();
        assert!(values.iter().any(|sibling| sibling["value"] == "bmV3"), "{values:?}");
    });
}

#[test]
fn a_create_is_refused_where_a_value_is() {
    run(async {
        let (cluster, _directory) = cluster(3, &[]).await;
        let nodes = cluster.endpoints();
        let create = [("if-none-match", "*")];
        let made = call(&nodes[0], "PUT", "/v1/kv/b/lock", &create, b"mine").await.unwrap();
        assert_eq!(made.status, 201, "{made:?}");
        for node in &nodes {
            let refused = call(node, "PUT", "/v1/kv/b/lock", &create, b"yours").await.unwrap();
            assert_eq!(refused.status, 412, "{refused:?}");
        }
        assert_eq!(get(&nodes[2], "/v1/kv/b/lock").await.text(), "mine");
    });
}

#[test]
fn a_quorum_that_cannot_be_reached_is_refused_with_what_is_certain() {
    run(async {
        let (mut cluster, _directory) = cluster(3, &[]).await;
        let nodes = cluster.endpoints();
        // They seem to be there, and say nothing.
        cluster.pause(1).unwrap();
        cluster.pause(2).unwrap();
        let written = put(&nodes[0], "/v1/kv/b/k?timeout=500ms", "v").await;
        assert!(matches!(written.status, 503 | 504), "{written:?}");
        let problem = written.json();
        assert_eq!(problem["outcome"], "partial", "{problem}");
        assert_eq!((&problem["needed"], &problem["total"]), (&2.into(), &3.into()));
        assert_eq!(written.retry_after, None, "a retry is not safe");
        let read = get(&nodes[0], "/v1/kv/b/k?timeout=500ms").await;
        assert!(matches!(read.status, 503 | 504), "{read:?}");
        assert_eq!(get(&nodes[0], "/v1/kv/b/k?r=1").await.text(), "v");
        cluster.kill(1).unwrap();
        cluster.kill(2).unwrap();
        eventually("both are known to be down", async || {
            let refused = put(&nodes[0], "/v1/kv/b/other", "v").await;
            refused.status == 503
                && refused.json()["outcome"] == "not_applied"
                && refused.retry_after.is_some()
        })
        .await;
        let refused = put(&nodes[0], "/v1/kv/b/third", "v").await.json();
        let detail = refused.to_string();
        assert!(detail.contains("n2") && detail.contains("n3") && detail.contains("down"), "{detail}");
        assert_eq!(get(&nodes[0], "/v1/kv/b/third?r=1").await.status, 404, "it was applied nowhere");
        cluster.spawn(1).unwrap();
        cluster.node_ready(1).await.unwrap();
        eventually("the quorum is back", async || put(&nodes[0], "/v1/kv/b/k", "w").await.status == 204)
            .await;
    });
}

#[test]
fn a_paused_node_holds_nobody_up_for_long() {
    run(async {
        let (mut cluster, _directory) = cluster(3, &[]).await;
        let nodes = cluster.endpoints();
        put(&nodes[0], "/v1/kv/b/k?w=3", "v").await;
        cluster.pause(2).unwrap();
        for _ in 0..20 {
            assert_eq!(put(&nodes[0], "/v1/kv/b/k", "w").await.status, 204);
            assert_eq!(get(&nodes[1], "/v1/kv/b/k").await.status, 200);
        }
        cluster.resume(2).unwrap();
        eventually("the paused node serves again", async || get(&nodes[2], "/v1/kv/b/k").await.status == 200)
            .await;
    });
}

#[test]
fn a_stop_is_clean_and_a_clean_start_continues() {
    run(async {
        let (mut cluster, _directory) = cluster(3, &[]).await;
        let nodes = cluster.endpoints();
        put(&nodes[0], "/v1/kv/b/k?w=3", "v").await;
        assert!(cluster.stop(0).unwrap(), "exit code 0");
        cluster.spawn(0).unwrap();
        cluster.node_ready(0).await.unwrap();
        assert_eq!(get(&nodes[0], "/v1/kv/b/k?r=1").await.text(), "v");
        eventually("a write through it", async || put(&nodes[0], "/v1/kv/b/k?w=3", "w").await.status == 204)
            .await;
    });
}

#[test]
fn a_retry_is_answered_with_the_status_of_the_first_try_whichever_node_it_asks() {
    run(async {
        let (cluster, _directory) = cluster(3, &[]).await;
        let nodes = cluster.endpoints();
        let id = "0123456789abcdef0123456789abcdef";
        let creates: &[(&str, &str)] = &[("if-none-match", "*"), ("neap-write-id", id)];
        let puts: &[(&str, &str)] = &[("neap-write-id", id)];
        for (target, headers) in [("/v1/kv/b/created", creates), ("/v1/kv/b/put", puts)] {
            for node in nodes.iter().chain(&nodes) {
                let answer = call(node, "PUT", target, headers, b"one").await.unwrap();
                assert_eq!((answer.status, answer.context.is_some()), (201, true), "{target}: {answer:?}");
            }
            // It is remembered when it has been replaced, too.
            assert_eq!(put(&nodes[0], &format!("{target}?w=3"), "two").await.status, 204);
            let answer = call(&nodes[1], "PUT", target, headers, b"one").await.unwrap();
            assert_eq!(answer.status, 201, "{target}: {answer:?}");
            assert_eq!(get(&nodes[2], target).await.text(), "two");
        }
        let other = [("if-none-match", "*"), ("neap-write-id", "fedcba98765432100123456789abcdef")];
        let answer = call(&nodes[0], "PUT", "/v1/kv/b/created", &other, b"three").await.unwrap();
        assert_eq!(answer.status, 412);
        // Over a value that is there, the first try and its retries are 204s.
        let over = [("neap-write-id", "fedcba98765432100123456789abcdef")];
        for node in &nodes {
            let answer = call(node, "PUT", "/v1/kv/b/created", &over, b"three").await.unwrap();
            assert_eq!(answer.status, 204);
        }
    });
}

#[test]
fn what_no_reader_is_shown_is_no_value_for_a_create() {
    run(async {
        let (cluster, _directory) = cluster(3, &[]).await;
        let nodes = cluster.endpoints();
        let create = [("if-none-match", "*")];
        assert_eq!(put(&nodes[0], "/v1/kv/b/expired?ttl=1ms&w=3", "one").await.status, 201);
        put(&nodes[0], "/v1/buckets/l", r#"{"resolution": "lww"}"#).await;
        let context = put(&nodes[0], "/v1/kv/l/deleted", "zero").await.context.unwrap();
        let with = [("neap-context", context.as_str())];
        assert_eq!(call(&nodes[1], "PUT", "/v1/kv/l/deleted?w=3", &with, b"one").await.unwrap().status, 204);
        assert_eq!(call(&nodes[2], "DELETE", "/v1/kv/l/deleted?w=3", &with, b"").await.unwrap().status, 204);
        for target in ["/v1/kv/b/expired", "/v1/kv/l/deleted"] {
            assert_eq!(get(&nodes[1], target).await.status, 404, "{target}");
            let created = call(&nodes[1], "PUT", target, &create, b"two").await.unwrap();
            assert_eq!(created.status, 201, "{target}: {created:?}");
            assert_eq!(call(&nodes[2], "PUT", target, &create, b"three").await.unwrap().status, 412);
        }
    });
}
