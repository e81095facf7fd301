//! Concurrent versions.

use neap::protocol::bucket::Resolution;
use neap::protocol::causality::Body;

use super::client::Node;
use super::fake::value;

fn node_with_siblings() -> Node {
    let node = Node::start();
    node.ask("PUT", "/v1/kv/b/k", &[("content-type", "text/plain")], b"one");
    node.fake.concurrent("b", b"k", value(b"two", None, None));
    node
}

#[test]
fn siblings_come_as_json_with_one_context_that_resolves_them() {
    let node = node_with_siblings();
    let get = node.get("/v1/kv/b/k");
    assert_eq!((get.status, get.header("content-type")), (300, Some("application/json")));
    assert_eq!(get.header("neap-replicas"), Some("acked=2 required=2 total=3"));
    assert!(get.header("etag").is_some());
    let body = get.json();
    assert_eq!(body["context"].as_str(), get.header("neap-context"));
    let expected = serde_json::json!([
        {"value": "b25l", "content_type": "text/plain", "version_time": "2025-01-31T09:07:05.000001Z", "deleted": false},
        {"value": "dHdv", "content_type": "application/octet-stream", "version_time": "2025-01-31T09:07:05.000002Z",
            "deleted": false},
    ]);
    assert_eq!(body["siblings"], expected);
    let context = get.header("neap-context").unwrap();
    assert_eq!(node.ask("PUT", "/v1/kv/b/k", &[("neap-context", context)], b"three").status, 204);
    assert_eq!(node.get("/v1/kv/b/k").body, b"three");
}

#[test]
fn a_delete_among_siblings_is_flagged() {
    let node = Node::start();
    node.put("/v1/kv/b/k", b"one");
    node.fake.concurrent("b", b"k", Body::Tombstone);
    let get = node.get("/v1/kv/b/k");
    assert_eq!(get.status, 300);
    let siblings = &get.json()["siblings"];
    assert_eq!((&siblings[0]["value"], &siblings[0]["deleted"]), (&"b25l".into(), &false.into()));
    assert!(siblings[1]["value"].is_null() && siblings[1]["content_type"].is_null());
    assert_eq!(siblings[1]["deleted"], true);
    let parts = node.ask("GET", "/v1/kv/b/k", &[("accept", "multipart/mixed")], b"");
    let body = String::from_utf8(parts.body.clone()).unwrap();
    assert_eq!(body.matches("neap-deleted: true").count(), 1, "{body}");
}

#[test]
fn siblings_come_as_multipart_to_those_who_ask_for_it() {
    let node = node_with_siblings();
    let get = node.ask("GET", "/v1/kv/b/k", &[("accept", "multipart/mixed")], b"");
    assert_eq!((get.status, get.header("vary")), (300, Some("accept")));
    let media_type = get.header("content-type").unwrap();
    let boundary = media_type.strip_prefix("multipart/mixed; boundary=").unwrap();
    let body = String::from_utf8(get.body.clone()).unwrap();
    let parts: Vec<_> = body.split(&format!("--{boundary}")).collect();
    assert_eq!((parts.len(), parts[0], parts[3]), (4, "", "--\r\n"), "{body}");
    for (part, content_type, bytes) in
        [(parts[1], "text/plain", "one"), (parts[2], "application/octet-stream", "two")]
    {
        let (head, rest) = part.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-type: {content_type}")), "{head}");
        assert!(head.contains("neap-version-time: 2025-01-31T09:07:05.00000"), "{head}");
        assert_eq!(rest, format!("{bytes}\r\n"));
    }
}

#[test]
fn the_tag_of_siblings_changes_with_what_is_shown() {
    let node = node_with_siblings();
    let tag = node.get("/v1/kv/b/k").header("etag").unwrap().to_owned();
    let known = node.ask("GET", "/v1/kv/b/k", &[("if-none-match", &tag)], b"");
    assert_eq!((known.status, known.header("vary")), (304, Some("accept")));
    node.fake.concurrent("b", b"k", value(b"three", None, None));
    assert_eq!(node.ask("GET", "/v1/kv/b/k", &[("if-none-match", &tag)], b"").status, 300);
    node.fake.set_resolution("b", Resolution::Lww);
    let get = node.ask("GET", "/v1/kv/b/k", &[("if-none-match", &tag)], b"");
    assert_eq!((get.status, get.body.as_slice()), (200, &b"three"[..]));
}

#[test]
fn concurrent_deletes_and_expired_siblings_leave_one_value_or_none() {
    let node = node_with_siblings();
    node.fake.concurrent("b", b"k", value(b"old", None, Some(1)));
    assert_eq!(node.get("/v1/kv/b/k").json()["siblings"].as_array().map(Vec::len), Some(2));
    node.fake.concurrent("b", b"gone", Body::Tombstone);
    node.fake.concurrent("b", b"gone", Body::Tombstone);
    let gone = node.get("/v1/kv/b/gone");
    assert_eq!(gone.status, 404);
    assert!(gone.header("neap-context").is_some());
}
