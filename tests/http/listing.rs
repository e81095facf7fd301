//! `GET /v1/kv/{bucket}`: the keys of a bucket.

use neap::protocol::listing::ListError;
use neap::protocol::message::Refusal;
use serde_json::json;

use super::client::Node;
use super::fake;

fn listed(node: &Node, target: &str) -> (Vec<String>, Option<String>) {
    let answer = node.get(target);
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    let page = answer.json();
    let keys = page["keys"].as_array().unwrap().iter();
    let keys = keys.map(|key| key["key64"].as_str().unwrap().to_owned()).collect();
    (keys, page["continuation"].as_str().map(str::to_owned))
}

#[test]
fn keys_are_listed_in_byte_order_as_text_and_as_bytes() {
    let node = Node::start();
    for target in ["/v1/kv/b/b", "/v1/kv/b/a", "/v1/kv/b/%FF", "/v1/kv/b?key64=Li4", "/v1/kv/c/other"] {
        node.put(target, b"v");
    }
    let page = node.get("/v1/kv/b").json();
    let time = |second: u32| format!("2025-01-31T09:07:05.00000{second}Z");
    assert_eq!(
        page,
        json!({"keys": [
            {"key": "..", "key64": "Li4", "version_time": time(4), "versions": 1},
            {"key": "a", "key64": "YQ", "version_time": time(2), "versions": 1},
            {"key": "b", "key64": "Yg", "version_time": time(1), "versions": 1},
            {"key64": "_w", "version_time": time(3), "versions": 1},
        ]})
    );
    assert_eq!(node.get("/v1/kv/none").json(), json!({"keys": []}));
    let head = node.ask("HEAD", "/v1/kv/b", &[], b"");
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[test]
fn prefix_start_limit_and_token_choose_the_page() {
    let node = Node::start();
    for key in ["a", "a%2F1", "a%2F2", "a%2F3", "a%FF", "b"] {
        node.put(&format!("/v1/kv/b/{key}"), b"v");
    }
    assert_eq!(listed(&node, "/v1/kv/b?prefix=a%2F").0, ["YS8x", "YS8y", "YS8z"]);
    assert_eq!(listed(&node, "/v1/kv/b?prefix=a&start=a%2F2").0, ["YS8y", "YS8z", "Yf8"]);
    assert_eq!(listed(&node, "/v1/kv/b?prefix=a%FF").0, ["Yf8"]);
    assert_eq!(listed(&node, "/v1/kv/b?start=a%FF").0, ["Yf8", "Yg"]);
    let (mut keys, mut continuation) = listed(&node, "/v1/kv/b?prefix=a&limit=2");
    while let Some(token) = continuation {
        let (more, next) = listed(&node, &format!("/v1/kv/b?prefix=a&limit=2&token={token}"));
        keys.extend(more);
        continuation = next;
    }
    assert_eq!(keys, ["YQ", "YS8x", "YS8y", "YS8z", "Yf8"]);
}

#[test]
fn what_is_no_page_is_refused_by_name() {
    let node = Node::start();
    for key in ["a", "b", "c"] {
        node.put(&format!("/v1/kv/b/{key}"), b"v");
    }
    let token = listed(&node, "/v1/kv/b?limit=1").1.unwrap();
    let context = node.get("/v1/kv/b/a").header("neap-context").unwrap().to_owned();
    let long = "x".repeat(1_025);
    for (target, status, parameter) in [
        ("/v1/kv/b?limit=0".to_owned(), 400, "limit"),
        ("/v1/kv/b?limit=1001".to_owned(), 400, "limit"),
        ("/v1/kv/b?limit=".to_owned(), 400, "limit"),
        ("/v1/kv/b?limit=-1".to_owned(), 400, "limit"),
        ("/v1/kv/b?limit=1&limit=1".to_owned(), 400, "limit"),
        ("/v1/kv/b?prefix=%".to_owned(), 400, "prefix"),
        ("/v1/kv/b?start=%zz".to_owned(), 400, "start"),
        (format!("/v1/kv/b?prefix={long}"), 413, "prefix"),
        (format!("/v1/kv/b?start={long}"), 413, "start"),
        ("/v1/kv/b?token=garbage".to_owned(), 400, "token"),
        ("/v1/kv/b?token=".to_owned(), 400, "token"),
        (format!("/v1/kv/b?token={context}"), 400, "token"),
        (format!("/v1/kv/c?token={token}"), 400, "token"),
        (format!("/v1/kv/b?prefix=a&token={token}"), 400, "token"),
        (format!("/v1/kv/b?start=a&token={token}"), 400, "start"),
        ("/v1/kv/b?r=1".to_owned(), 400, "r"),
        ("/v1/kv/b?timeout=9s".to_owned(), 400, "timeout"),
        ("/v1/kv/a.b".to_owned(), 400, "bucket"),
    ] {
        let answer = node.get(&target);
        let problem = answer.problem();
        assert_eq!(
            (answer.status, problem["parameter"].as_str()),
            (status, Some(parameter)),
            "{target}: {problem}"
        );
    }
    assert_eq!(listed(&node, &format!("/v1/kv/b?token={token}")).0, ["Yg", "Yw"]);
}

#[test]
fn partitions_that_lack_homes_are_counted() {
    let node = Node::start();
    let refusals = vec![(fake::name("n2"), Refusal::NotSent)];
    node.fake.fail_list(ListError::Lacking { lacking: 7, partitions: 1_024, needed: 2, refusals });
    let answer = node.get("/v1/kv/b");
    let problem = answer.problem();
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    assert_eq!((&problem["partitions_lacking"], &problem["needed"]), (&json!(7), &json!(2)));
    assert!(problem["detail"].as_str().unwrap().contains("7 of 1024 partitions"), "{problem}");
    assert_eq!(problem["refusals"], json!([{"node": "n2", "reason": "not_sent"}]));
    let late = vec![(fake::name("n2"), Refusal::Deadline), (fake::name("n3"), Refusal::NotSent)];
    node.fake.fail_list(ListError::Lacking { lacking: 7, partitions: 1_024, needed: 2, refusals: late });
    assert_eq!(node.get("/v1/kv/b").status, 504, "a home had no time");
    node.fake.fail_list(ListError::Deadline { lacking: 7, partitions: 1_024, needed: 2 });
    assert_eq!(node.get("/v1/kv/b").status, 504);
    for (error, status) in [
        (ListError::TooFewMembers { n: 3, members: 2 }, 422),
        (ListError::Overloaded, 503),
        (ListError::NotServing(Refusal::Draining), 503),
    ] {
        node.fake.fail_list(error);
        assert_eq!(node.get("/v1/kv/b").status, status);
    }
}
