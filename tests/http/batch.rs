//! `POST /v1/batch`: each operation is answered as its single call would have been, and by itself.

use neap::protocol::operation::{OperationError, Outcome};
use serde_json::{Value, json};

use super::client::{Answer, Node, VALUE_LIMIT};
use super::fake;

const ID: &str = "00112233445566778899aabbccddeeff";

fn send(node: &Node, target: &str, document: &Value) -> Answer {
    node.ask("POST", target, &[], document.to_string().as_bytes())
}

fn results(node: &Node, operations: Value) -> Vec<Value> {
    let answer = send(node, "/v1/batch", &json!({ "operations": operations }));
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    answer.json()["results"].as_array().unwrap().clone()
}

#[test]
fn each_operation_says_what_its_single_call_says() {
    let node = Node::start();
    node.ask("PUT", "/v1/kv/b/old", &[("content-type", "text/plain")], b"old");
    node.fake.concurrent("b", b"two", fake::value(b"x", None, None));
    node.fake.concurrent("b", b"two", fake::value(b"y", None, None));
    let got = results(
        &node,
        json!([
            {"op": "get", "bucket": "b", "key": "old", "r": 2},
            {"op": "get", "bucket": "b", "key": "none"},
            {"op": "get", "bucket": "b", "key": "two"},
            {"op": "put", "bucket": "b", "key64": "_w", "value": "/wA=", "content_type": "image/png", "write_id": ID},
            {"op": "put", "bucket": "b", "key": "..", "text": "grüße", "w": 2, "ttl": "3650d"},
            {"op": "delete", "bucket": "b", "key": "old"},
        ]),
    );
    let statuses: Vec<_> = got.iter().map(|result| result["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [200, 404, 300, 201, 201, 204]);
    assert_eq!((&got[0]["value"], &got[0]["content_type"]), (&json!("b2xk"), &json!("text/plain")));
    for result in &got {
        assert_eq!(result["replicas"], json!({"acked": 2, "required": 2, "total": 3}), "{result}");
        assert_eq!(result["acked_by"], json!(["n1", "n3"]));
        assert_eq!(
            (&result["lagging_replicas"], &result["staleness_bound"]),
            (&json!(1), &json!("unproven"))
        );
    }
    for (at, names) in [
        (0, &["context", "etag", "version_time", "write_id"][..]),
        (2, &["context", "etag", "version_time", "write_id"]),
        (3, &["context", "version_time", "write_id"]),
        (5, &["context", "version_time", "write_id"]),
    ] {
        names.iter().for_each(|name| assert!(got[at][name].is_string(), "{name}: {}", got[at]));
    }
    assert_eq!(got[1]["problem"]["type"], "/problems/key-not-found");
    assert_eq!(got[2]["siblings"].as_array().unwrap().len(), 2);
    assert_eq!(got[3]["write_id"], ID);
    let read = node.get("/v1/kv/b/%FF");
    assert_eq!((read.body.as_slice(), read.header("content-type")), (&b"\xff\x00"[..], Some("image/png")));
    let (write, _) = node.fake.last_write();
    assert!(matches!(write.body, neap::protocol::operation::WriteBody::Delete));
    let read = node.get("/v1/kv/b?key64=Li4");
    assert_eq!(read.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(node.get("/v1/kv/b/old").status, 404);
}

#[test]
fn a_context_of_a_single_read_serves_a_batch_and_the_other_way_round() {
    let node = Node::start();
    node.put("/v1/kv/b/k", b"1");
    let context = node.get("/v1/kv/b/k").header("neap-context").unwrap().to_owned();
    let put = json!({"op": "put", "bucket": "b", "key": "k", "text": "2", "context": context});
    let got = results(&node, json!([put]));
    assert_eq!(got[0]["status"], 204);
    assert!(node.fake.last_write().0.context.is_some());
    let next = got[0]["context"].as_str().unwrap();
    assert_eq!(node.ask("PUT", "/v1/kv/b/k", &[("neap-context", next)], b"3").status, 204);
}

#[test]
fn a_bad_operation_is_refused_by_itself_and_says_that_nothing_was_applied() {
    let node = Node::start();
    let long = "x".repeat(VALUE_LIMIT + 1);
    let put = |more: Value| {
        let mut put = json!({"op": "put", "bucket": "b", "key": "k", "text": "v"});
        put.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        put
    };
    let bad = [
        (json!(5), 400, "operation"),
        (json!({}), 400, "op"),
        (json!({"op": "post"}), 400, "op"),
        (json!({"op": 1}), 400, "op"),
        (json!({"op": "get", "bucket": "a.b", "key": "k"}), 400, "bucket"),
        (json!({"op": "get", "key": "k"}), 400, "bucket"),
        (json!({"op": "get", "bucket": "b"}), 400, "key"),
        (json!({"op": "get", "bucket": "b", "key": ""}), 400, "key"),
        (json!({"op": "get", "bucket": "b", "key": "k", "key64": "YQ"}), 400, "key64"),
        (json!({"op": "get", "bucket": "b", "key64": "/+"}), 400, "key64"),
        (json!({"op": "get", "bucket": "b", "key": "x".repeat(1_025)}), 413, "key"),
        (json!({"op": "get", "bucket": "b", "key": "k", "value": ""}), 400, "value"),
        (json!({"op": "get", "bucket": "b", "key": "k", "r": "2"}), 400, "r"),
        (json!({"op": "get", "bucket": "b", "key": "k", "r": 300}), 422, "r"),
        (json!({"op": "get", "bucket": "b", "key": "k", "max_staleness": "1s"}), 501, "max_staleness"),
        (put(json!({"value": "dg=="})), 400, "text"),
        (put(json!({"text": long})), 413, "value"),
        (put(json!({"ttl": "0s"})), 400, "ttl"),
        (put(json!({"ttl": 5})), 400, "ttl"),
        (put(json!({"context": "forged"})), 400, "context"),
        (put(json!({"write_id": "1"})), 400, "write_id"),
        (put(json!({"content_type": "a\nb"})), 400, "content_type"),
        (put(json!({"if_none_match": "\"x\""})), 400, "if_none_match"),
        (put(json!({"colour": "red"})), 400, "colour"),
        (json!({"op": "put", "bucket": "b", "key": "k"}), 400, "value"),
        (json!({"op": "put", "bucket": "b", "key": "k", "value": "%"}), 400, "value"),
        (json!({"op": "delete", "bucket": "b", "key": "k", "ttl": "1s"}), 400, "ttl"),
    ];
    let mut operations: Vec<Value> = bad.iter().map(|(operation, ..)| operation.clone()).collect();
    operations.push(put(json!({})));
    let got = results(&node, json!(operations));
    for ((operation, status, parameter), result) in bad.iter().zip(&got) {
        let problem = &result["problem"];
        assert_eq!(
            (&result["status"], &problem["parameter"]),
            (&json!(status), &json!(parameter)),
            "{operation}"
        );
        assert_eq!(problem["status"], *status);
        let writes = matches!(operation["op"].as_str(), Some("put" | "delete"));
        assert_eq!(problem["outcome"] == "not_applied", writes, "{operation}: {problem}");
    }
    assert_eq!((got.last().unwrap()["status"].as_u64(), node.fake.writes()), (Some(201), 1));
}

#[test]
fn a_malformed_document_is_refused_whole_and_names_what_is_wrong() {
    let node = Node::start();
    for (body, names) in [
        ("", "EOF"),
        ("[[]]", "no object"),
        ("{}", "operations"),
        ("{\"operations\": 5}", "sequence"),
        ("{\"operations\": [], \"more\": 1}", "more"),
        ("{\"operations\": [], \"operations\": []}", "operations"),
        ("{\"operations\": [{]}", "line 1"),
    ] {
        let answer = node.ask("POST", "/v1/batch", &[], body.as_bytes());
        let problem = answer.problem();
        assert_eq!((answer.status, &problem["parameter"]), (400, &json!("body")), "{body}: {problem}");
        assert!(problem["given"].as_str().unwrap().contains(names), "{body}: {problem}");
        assert_eq!(problem["outcome"], "not_applied");
    }
    let many = json!({"operations": vec![json!({"op": "get", "bucket": "b", "key": "k"}); 1_001]});
    let answer = send(&node, "/v1/batch", &many);
    assert_eq!((answer.status, &answer.problem()["parameter"]), (413, &json!("operations")));
    let answer = send(&node, "/v1/batch?w=1", &json!({"operations": []}));
    assert_eq!((answer.status, &answer.problem()["parameter"]), (400, &json!("w")));
    assert_eq!(send(&node, "/v1/batch", &json!({"operations": []})).json(), json!({"results": []}));
}

#[test]
fn an_overloaded_node_takes_none_of_a_batch_and_one_failure_is_one_results() {
    let node = Node::start();
    let put = json!({"op": "put", "bucket": "b", "key": "k", "text": "v", "write_id": ID});
    let batch = json!({"operations": [put, put]});
    node.fake.fail_batch(OperationError::Overloaded);
    let answer = send(&node, "/v1/batch?timeout=250ms", &batch);
    assert_eq!((answer.status, answer.header("retry-after"), node.fake.writes()), (503, Some("1"), 0));
    assert_eq!(answer.problem()["outcome"], "not_applied");
    let outcome = Outcome::Partial { applied: 1 };
    node.fake.fail_write(OperationError::Deadline { answered: 1, needed: 2, total: 3, outcome });
    let answer = send(&node, "/v1/batch?timeout=250ms", &batch).json();
    let (first, second) = (&answer["results"][0], &answer["results"][1]);
    assert_eq!((&first["status"], &second["status"]), (&json!(504), &json!(201)));
    assert_eq!((&first["problem"]["outcome"], &first["write_id"]), (&json!("partial"), &json!(ID)));
    assert_eq!(first["retry_after"], Value::Null);
    assert_eq!(node.fake.last_write().1, 250_000);
}
