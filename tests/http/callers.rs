//! Who may call: hosts that the node is known by, pages of its own origin and of listed ones, documents called JSON.

use std::io::Write as _;

use neap::http::callers::AllowedCallers;
use serde_json::json;

use super::client::{Answer, Node};

const EVIL: &str = "http://evil.example";
const BATCH: &[u8] = br#"{"operations": [{"op": "put", "bucket": "b", "key": "k", "text": "v"}]}"#;

/// The answer to bytes that are sent as they are.
fn raw(node: &Node, bytes: &str) -> Answer {
    let mut stream = node.connect();
    stream.write_all(bytes.as_bytes()).unwrap();
    Answer::read(stream, false)
}

fn counter(node: &Node, name: &str) -> u64 {
    node.get("/healthz").json()["counters"][name].as_u64().unwrap()
}

#[test]
fn a_page_of_another_origin_does_and_sees_nothing() {
    let node = Node::start();
    for (method, target, body) in [
        ("POST", "/v1/batch", BATCH),
        ("PUT", "/v1/kv/b/k", b"v"),
        ("DELETE", "/v1/kv/b/k", b""),
        ("PUT", "/v1/buckets/b", b"{}"),
        ("GET", "/v1/kv/b/k", b""),
        ("GET", "/metrics", b""),
        ("OPTIONS", "/v1/kv/b/k", b""),
        ("GET", "/nowhere", b""),
    ] {
        for origin in [EVIL, "null", "http://localhost:3000", "http://127.0.0.1", ""] {
            let headers = [("origin", origin), ("access-control-request-method", "PUT")];
            let refused = node.ask(method, target, &headers, body);
            assert_eq!(refused.status, 403, "{method} {target} of {origin}");
            assert_eq!(refused.header("access-control-allow-origin"), None, "{method} {target}");
            let problem = refused.problem();
            let named = (&problem["type"], &problem["parameter"], &problem["given"]);
            assert_eq!(named, (&json!("/problems/foreign-origin"), &json!("Origin"), &json!(origin)));
            assert!(problem["accepted"].as_str().unwrap().contains("http.cors"), "{problem}");
        }
    }
    assert_eq!((node.fake.writes(), counter(&node, "http_origins_refused")), (0, 40));
    assert_eq!(node.get("/v1/buckets").json(), json!({"buckets": []}));
}

#[test]
fn a_page_of_the_node_itself_may_do_everything() {
    let node = Node::start();
    // A proxy in front may speak TLS.
    for origin in ["http://localhost", "http://LOCALHOST:80", "https://localhost"] {
        let own = [("origin", origin)];
        assert_eq!(node.ask("POST", "/v1/batch", &own, BATCH).status, 200, "{origin}");
        let put = node.ask("PUT", "/v1/kv/b/k", &own, b"v");
        assert_eq!((put.status, put.header("access-control-allow-origin")), (204, None), "{origin}");
    }
}

#[test]
fn a_document_that_is_not_called_json_is_refused() {
    let node = Node::start();
    for (method, target, body) in [("POST", "/v1/batch", BATCH), ("PUT", "/v1/buckets/b", b"{}")] {
        for given in [
            "text/plain",
            "text/plain; application/json",
            "application/problem+json",
            "application/jsonp",
            "",
        ] {
            let refused = node.ask(method, target, &[("content-type", given)], body);
            assert_eq!(refused.status, 415, "{target} of {given}");
            let problem = refused.problem();
            let named = (&problem["type"], &problem["parameter"], &problem["given"], &problem["accepted"]);
            let expected = json!("/problems/unsupported-media-type");
            assert_eq!(named, (&expected, &json!("Content-Type"), &json!(given), &json!("application/json")));
            assert_eq!(problem["outcome"], "not_applied");
        }
        let text = std::str::from_utf8(body).unwrap();
        let untyped = format!(
            "{method} {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{text}",
            body.len()
        );
        assert_eq!(raw(&node, &untyped).status, 415, "{target} of nothing");
        for given in
            ["application/json", "Application/JSON", "application/json; charset=utf-8", "application/json ;x"]
        {
            let taken = node.ask(method, target, &[("content-type", given)], body);
            assert_eq!(taken.status, 200, "{target} of {given}");
        }
    }
}

#[test]
fn a_host_that_the_node_is_not_known_by_is_refused_whatever_is_asked() {
    let node = Node::for_callers(AllowedCallers::new(["n1", "db.example"], []));
    let ask = |method: &str, target: &str, host: &str| {
        raw(
            &node,
            &format!(
                "{method} {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: 1\r\n\r\nv"
            ),
        )
    };
    for (method, target) in
        [("PUT", "/v1/kv/b/k"), ("GET", "/healthz"), ("GET", "/nowhere"), ("BREW", "/docs")]
    {
        for host in ["evil.example:8101", "n2:8101", "localhost.evil.example"] {
            let refused = ask(method, target, host);
            assert_eq!(refused.status, 421, "{method} {target} at {host}");
            let problem = refused.problem();
            let named = (&problem["type"], &problem["parameter"], &problem["given"]);
            assert_eq!(named, (&json!("/problems/unknown-host"), &json!("Host"), &json!(host)));
            assert!(problem["accepted"].as_str().unwrap().contains("http.hosts"), "{problem}");
        }
    }
    // A target in absolute form says where it goes itself.
    assert_eq!(ask("PUT", "http://evil.example/v1/kv/b/k", "localhost").status, 421);
    assert_eq!((node.fake.writes(), counter(&node, "http_hosts_unknown")), (0, 13));
    for host in ["localhost:8101", "127.0.0.1", "[::1]:8101", "n1:8101", "DB.example", ""] {
        assert!(matches!(ask("PUT", "/v1/kv/b/k", host).status, 201 | 204), "{host}");
    }
    assert_eq!(ask("PUT", "http://db.example:8101/v1/kv/b/k", "db.example:8101").status, 204);
    let unnamed = raw(&node, "GET /v1/kv/b/k HTTP/1.0\r\n\r\n");
    assert_eq!((unnamed.status, unnamed.body.as_slice()), (200, &b"v"[..]));
    let both =
        raw(&node, "GET /v1/kv/b/k HTTP/1.1\r\nhost: n1\r\nhost: evil.example\r\nconnection: close\r\n\r\n");
    assert_eq!(both.status, 400);
}

#[test]
fn a_refused_caller_of_a_write_is_told_that_nothing_was_applied_and_of_which_write() {
    let node = Node::start();
    let id = "00112233445566778899aabbccddeeff";
    for (method, target) in [("PUT", "/v1/kv/b/k"), ("DELETE", "/v1/kv/b?key64=YQ"), ("POST", "/v1/batch")] {
        let refused = node.ask(method, target, &[("origin", EVIL), ("neap-write-id", id)], b"");
        assert_eq!(refused.header("neap-write-id"), Some(id), "{method} {target}");
        assert_eq!(refused.problem()["outcome"], "not_applied", "{method} {target}");
    }
}

#[test]
fn pages_of_listed_origins_may_ask_and_read() {
    let shop = "https://shop.example";
    let node = Node::for_callers(AllowedCallers::new([], [shop]));
    let of_shop = [("origin", shop), ("access-control-request-method", "PUT")];
    for (target, allow) in [("/v1/kv/b/k", "GET, HEAD, PUT, DELETE"), ("/v1/batch", "POST")] {
        let preflight = node.ask("OPTIONS", target, &of_shop, b"");
        assert_eq!((preflight.status, preflight.header("access-control-allow-methods")), (204, Some(allow)));
        assert_eq!(preflight.header("access-control-allow-origin"), Some(shop));
        let allowed = preflight.header("access-control-allow-headers").unwrap().to_ascii_lowercase();
        for name in ["content-type", "neap-context", "neap-write-id", "if-none-match", "traceparent"] {
            assert!(allowed.split(", ").any(|known| known == name), "{name}: {allowed}");
        }
    }
    assert_eq!(node.ask("PUT", "/v1/kv/b/k", &of_shop[..1], b"v").status, 201);
    for (target, status) in [("/v1/kv/b/k", 200), ("/v1/kv/b/none", 404), ("/v1/kv/b/k?r=x", 400)] {
        let read = node.ask("GET", target, &of_shop[..1], b"");
        assert_eq!(
            (read.status, read.header("access-control-allow-origin")),
            (status, Some(shop)),
            "{target}"
        );
        assert_eq!(read.header("vary"), Some("origin"), "{target}");
        let exposed = read.header("access-control-expose-headers").unwrap().to_ascii_lowercase();
        let known: Vec<_> = exposed.split(", ").collect();
        let readable = ["content-type", "content-length", "cache-control", "connection", "date", "vary"];
        for name in
            read.names().filter(|name| !readable.contains(name) && !name.starts_with("access-control-"))
        {
            assert!(known.contains(&name), "{name} is not exposed: {exposed}");
        }
    }
    // Whoever asks from nowhere gets what it always got.
    let plain = node.ask("OPTIONS", "/v1/kv/b/k", &[("access-control-request-method", "PUT")], b"");
    assert_eq!((plain.status, plain.header("access-control-allow-origin")), (405, None));
    assert_eq!(node.ask("PUT", "/v1/kv/b/k", &[("origin", EVIL)], b"v").status, 403);
}
