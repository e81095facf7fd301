//! Buckets, the ring, and health.

use serde_json::json;

use super::client::Node;

#[test]
fn a_bucket_never_set_shows_the_defaults() {
    let node = Node::start();
    let get = node.get("/v1/buckets/b");
    assert_eq!((get.status, get.header("content-type")), (200, Some("application/json")));
    let expected = json!({"name": "b", "n": 3, "r": 2, "w": 2, "w_min": 2, "resolution": "siblings",
        "blind_write": "overwrite", "siblings_max": 100, "weight": 1.0, "sloppy": false, "read_repair": "blocking", "ttl": null,
        "quotas": null, "set_at": null});
    assert_eq!(get.json(), expected);
    assert_eq!(node.get("/v1/buckets").json(), json!({"buckets": []}));
}

#[test]
fn a_bucket_that_was_set_shows_what_was_set_and_when() {
    let node = Node::start();
    let body = br#"{"w": 3, "resolution": "lww", "ttl": "36h"}"#;
    let put = node.put("/v1/buckets/b", body);
    let expected = json!({"name": "b", "n": 3, "r": 2, "w": 3, "w_min": 3, "resolution": "lww",
        "blind_write": "overwrite", "siblings_max": 100, "weight": 1.0, "sloppy": false, "read_repair": "blocking", "ttl": "36h",
        "quotas": null, "set_at": "2025-01-31T09:07:05.000001Z"});
    assert_eq!((put.status, put.json()), (200, expected.clone()));
    assert_eq!(node.get("/v1/buckets/b").json(), expected);
    assert_eq!(node.get("/v1/buckets").json(), json!({"buckets": [expected]}));
    assert_eq!(node.ask("HEAD", "/v1/buckets", &[], b"").status, 200);
    // What is shown can be changed and sent back.
    let mut changed = expected;
    changed["w_min"] = json!(2);
    let put = node.put("/v1/buckets/b", changed.to_string().as_bytes());
    assert_eq!((put.status, put.json()["w_min"].as_u64()), (200, Some(2)));
}

#[test]
fn bad_properties_are_named() {
    let node = Node::start();
    for (body, status, parameter) in [
        ("", 400, "body"),
        ("[]", 400, "body"),
        ("{\"n\": 3", 400, "body"),
        ("{\"n\": 3} x", 400, "body"),
        ("{\"q\": 3}", 400, "q"),
        ("{\"name\": \"other\"}", 400, "name"),
        ("{\"name\": null}", 400, "name"),
        ("{\"set_at\": 5}", 400, "set_at"),
        ("{\"N\": 3}", 400, "N"),
        ("{\"n\": 3, \"n\": 3}", 400, "n"),
        ("{\"n\": \"3\"}", 400, "n"),
        ("{\"r\": 2.0}", 400, "r"),
        ("{\"w\": null}", 400, "w"),
        ("{\"n\": 0}", 422, "n"),
        ("{\"n\": 16}", 422, "n"),
        ("{\"n\": 300}", 422, "n"),
        ("{\"n\": -1}", 422, "n"),
        ("{\"n\": 1}", 422, "r"),
        ("{\"r\": 4}", 422, "r"),
        ("{\"w\": 4}", 422, "w"),
        ("{\"w_min\": 3}", 422, "w_min"),
        ("{\"w_min\": 0}", 422, "w_min"),
        ("{\"resolution\": \"LWW\"}", 400, "resolution"),
        ("{\"blind_write\": true}", 400, "blind_write"),
        ("{\"siblings_max\": \"100\"}", 400, "siblings_max"),
        ("{\"siblings_max\": 1.5}", 400, "siblings_max"),
        ("{\"siblings_max\": 0}", 422, "siblings_max"),
        ("{\"siblings_max\": -1}", 422, "siblings_max"),
        ("{\"siblings_max\": 10001}", 422, "siblings_max"),
        ("{\"siblings_max\": 65536}", 422, "siblings_max"),
        ("{\"weight\": \"2\"}", 400, "weight"),
        ("{\"weight\": null}", 400, "weight"),
        ("{\"weight\": 0}", 422, "weight"),
        ("{\"weight\": 0.09}", 422, "weight"),
        ("{\"weight\": 100.01}", 422, "weight"),
        ("{\"weight\": 1.005}", 422, "weight"),
        ("{\"read_repair\": \"on\"}", 400, "read_repair"),
        ("{\"sloppy\": \"no\"}", 400, "sloppy"),
        ("{\"ttl\": 5}", 400, "ttl"),
        ("{\"ttl\": \"5\"}", 400, "ttl"),
        ("{\"ttl\": \"0s\"}", 400, "ttl"),
        ("{\"sloppy\": true}", 501, "sloppy = true"),
        ("{\"quotas\": {\"bytes\": 1}}", 501, "quotas"),
    ] {
        let answer = node.put("/v1/buckets/b", body.as_bytes());
        assert_eq!(answer.status, status, "{body}");
        let problem = answer.problem();
        assert_eq!(problem["parameter"], parameter, "{body}: {problem}");
        assert_eq!(problem["outcome"], "not_applied", "{body}");
    }
    assert_eq!(node.put("/v1/buckets/b", &[b' '; 17_000]).status, 413);
    assert_eq!(node.get("/v1/buckets").json(), json!({"buckets": []}));
}

#[test]
fn the_ring_is_shown_with_its_members() {
    let node = Node::start();
    let member = |id: &str, state: &str| {
        json!({"id": id, "zone": "a", "weight": 1.5, "address": format!("{id}:7101"), "state": state,
            "partitions": 768, "first": 341})
    };
    let expected = json!({"cluster": "test", "epoch": 1, "fingerprint": "00000000000000ab", "partitions": 1024,
        "n": 3, "members": [member("n1", "up"), member("n2", "down")], "incomplete_partitions": 4});
    assert_eq!(node.get("/v1/ring").json(), expected);
}

#[test]
fn the_preference_list_of_any_key_is_shown() {
    let node = Node::start();
    let expected = |key64, hash| json!({"bucket": "b", "key64": key64, "key_hash": hash, "partition": 7, "n": 3, "preference_list": ["n2", "n1", "n3"]});
    assert_eq!(node.get("/v1/ring/b/%FF/a").json(), expected("_y9h", "dff671d0c7f1283b"));
    assert_eq!(node.get("/v1/ring/join/a").status, 200);
    let by_base64 = node.get("/v1/ring/b?key64=Li4").json();
    assert_eq!(by_base64, expected("Li4", by_base64["key_hash"].as_str().unwrap()));
    let dots = node.get("/v1/ring/b/..");
    assert_eq!((dots.status, &dots.problem()["parameter"]), (400, &"key".into()));
}

#[test]
fn health_and_readiness_are_apart() {
    let node = Node::start();
    let health = node.get("/healthz");
    let body = health.json();
    assert_eq!((health.status, &body["status"], &body["node"]), (200, &"ok".into(), &"n1".into()));
    assert_eq!(body["counters"]["frames_refused"], 3);
    let ready = node.get("/readyz");
    assert_eq!((ready.status, ready.json()), (200, json!({"ready": true})));
    node.fake.not_ready("the storage is not open");
    let ready = node.get("/readyz");
    let expected = json!({"ready": false, "why": "the storage is not open"});
    assert_eq!((ready.status, ready.json()), (503, expected));
    assert_eq!(node.get("/healthz").status, 200);
}

#[test]
fn no_call_ignores_a_parameter_it_does_not_know() {
    let node = Node::start();
    for target in ["/v1/buckets", "/v1/buckets/b", "/v1/ring", "/v1/ring/b/k", "/healthz", "/readyz"] {
        let answer = node.get(&format!("{target}?verbose=1"));
        assert_eq!(answer.status, 400, "{target}");
        assert_eq!(answer.problem()["parameter"], "verbose", "{target}");
    }
    assert_eq!(node.put("/v1/buckets/b?x=1", b"{}").status, 400);
}
