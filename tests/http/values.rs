//! A key and its one value: writing, reading, deleting, and the headers of each.

use std::io::{Read, Write};

use neap::protocol::ids::WriteId;

use super::client::{Answer, Node};

const ID: &str = "00112233445566778899aabbccddeeff";

fn assert_of_an_operation(answer: &Answer) {
    assert_eq!(answer.header("neap-replicas"), Some("acked=2 required=2 total=3"));
    assert_eq!(answer.header("neap-acked-by"), Some("n1,n3"));
    assert_eq!(answer.header("neap-lagging-replicas"), Some("1"));
    assert_eq!(answer.header("neap-staleness-bound"), Some("unproven"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[test]
fn a_value_comes_back_with_its_type_and_the_headers_of_a_read() {
    let node = Node::start();
    let put = node.ask("PUT", "/v1/kv/b/k", &[("content-type", "text/plain")], b"hello");
    assert_eq!((put.status, put.body.as_slice()), (201, &b""[..]));
    assert_of_an_operation(&put);
    assert_eq!(put.header("neap-version-time"), Some("2025-01-31T09:07:05.000001Z"));
    assert_eq!(put.header("neap-write-id").map(str::len), Some(32));
    assert!(put.header("neap-context").is_some());
    let get = node.get("/v1/kv/b/k");
    assert_eq!((get.status, get.body.as_slice()), (200, &b"hello"[..]));
    assert_of_an_operation(&get);
    assert_eq!(get.header("content-type"), Some("text/plain"));
    assert_eq!(get.header("neap-version-time"), put.header("neap-version-time"));
    assert_eq!(get.header("neap-write-id"), put.header("neap-write-id"));
    assert!(get.header("neap-context").is_some() && get.header("etag").is_some());
}

#[test]
fn a_put_over_a_value_is_a_204_and_a_value_without_a_type_is_bytes() {
    let node = Node::start();
    assert_eq!(node.put("/v1/kv/b/k", b"1").status, 201);
    assert_eq!(node.put("/v1/kv/b/k", b"").status, 204);
    let get = node.get("/v1/kv/b/k");
    assert_eq!((get.status, get.body.as_slice()), (200, &b""[..]));
    assert_eq!(get.header("content-type"), Some("application/octet-stream"));
    assert_eq!(get.header("content-length"), Some("0"));
}

#[test]
fn head_is_get_without_the_body() {
    let node = Node::start();
    node.put("/v1/kv/b/k", b"hello");
    let (get, head) = (node.get("/v1/kv/b/k"), node.ask("HEAD", "/v1/kv/b/k", &[], b""));
    assert_eq!((head.status, head.body.len()), (200, 0));
    for name in ["etag", "content-length", "content-type", "neap-replicas", "neap-write-id", "neap-context"] {
        assert_eq!(head.header(name), get.header(name), "{name}");
    }
    let missing = node.ask("HEAD", "/v1/kv/b/none", &[], b"");
    assert_eq!((missing.status, missing.body.len()), (404, 0));
}

#[test]
fn a_key_never_written_is_a_404_without_context_and_a_deleted_one_has_it() {
    let node = Node::start();
    let never = node.get("/v1/kv/b/k");
    assert_eq!((never.status, never.header("neap-context")), (404, None));
    assert_eq!(never.problem()["type"], "/problems/key-not-found");
    assert_of_an_operation(&never);
    node.put("/v1/kv/b/k", b"1");
    let delete = node.ask("DELETE", "/v1/kv/b/k", &[], b"");
    assert_eq!((delete.status, delete.body.len()), (204, 0));
    assert_of_an_operation(&delete);
    let gone = node.get("/v1/kv/b/k");
    assert_eq!(gone.status, 404);
    assert!(gone.header("neap-context").is_some());
    let again =
        node.ask("PUT", "/v1/kv/b/k", &[("neap-context", gone.header("neap-context").unwrap())], b"2");
    assert_eq!(again.status, 201);
}

#[test]
fn the_context_of_a_read_reaches_the_write() {
    let node = Node::start();
    node.put("/v1/kv/b/k", b"1");
    let read = node.get("/v1/kv/b/k");
    let context = read.header("neap-context").unwrap();
    assert_eq!(node.ask("PUT", "/v1/kv/b/k", &[("Neap-Context", context)], b"2").status, 204);
    let (write, _) = node.fake.last_write();
    assert!(write.context.is_some_and(|context| !context.is_empty()));
    assert_eq!(node.ask("DELETE", "/v1/kv/b/k", &[("Neap-Context", context)], b"").status, 204);
    assert!(node.fake.last_write().0.context.is_some());
}

#[test]
fn what_a_write_says_reaches_the_node() {
    let node = Node::start();
    let target = "/v1/kv/b/k?w=3&ttl=90s&timeout=250ms";
    let headers = [("Neap-Write-Id", ID), ("If-None-Match", "*"), ("Content-Type", "a/b; c=d")];
    let put = node.ask("PUT", target, &headers, b"x");
    assert_eq!((put.status, put.header("neap-write-id")), (201, Some(ID)));
    let (write, timeout_us) = node.fake.last_write();
    assert_eq!((write.w, write.ttl_us, timeout_us), (Some(3), Some(90_000_000), 250_000));
    assert_eq!(write.write_id, WriteId::parse(ID));
    assert!(write.only_if_absent);
    node.ask("DELETE", "/v1/kv/b/k?w=1", &[("Neap-Write-Id", ID)], b"");
    let (write, timeout_us) = node.fake.last_write();
    assert_eq!((write.w, write.write_id, timeout_us), (Some(1), WriteId::parse(ID), 2_000_000));
    node.get("/v1/kv/b/k?r=1&timeout=1ms");
    let (read, timeout_us) = node.fake.last_read();
    assert_eq!((read.r, timeout_us), (Some(1), 1_000));
}

#[test]
fn a_known_entity_tag_gives_304_until_the_value_changes() {
    let node = Node::start();
    node.put("/v1/kv/b/k", b"1");
    let first = node.get("/v1/kv/b/k");
    let tag = first.header("etag").unwrap();
    for known in [tag.to_owned(), format!("\"x\", W/{tag}"), "*".to_owned()] {
        let same = node.ask("GET", "/v1/kv/b/k", &[("If-None-Match", &known)], b"");
        assert_eq!((same.status, same.body.len()), (304, 0), "{known}");
        assert_eq!(same.header("etag"), Some(tag));
        assert!(same.header("neap-context").is_some());
        assert_of_an_operation(&same);
    }
    assert_eq!(node.ask("HEAD", "/v1/kv/b/k", &[("If-None-Match", tag)], b"").status, 304);
    node.put("/v1/kv/b/k", b"1");
    assert_eq!(node.ask("GET", "/v1/kv/b/k", &[("If-None-Match", tag)], b"").status, 200);
    node.ask("DELETE", "/v1/kv/b/k", &[], b"");
    assert_eq!(node.ask("GET", "/v1/kv/b/k", &[("If-None-Match", "*")], b"").status, 404);
}

#[test]
fn the_entity_tag_is_the_same_on_every_node() {
    let tags: Vec<_> = (0..2)
        .map(|_| {
            let node = Node::start();
            node.put("/v1/kv/b/k", b"1");
            node.get("/v1/kv/b/k").header("etag").unwrap().to_owned()
        })
        .collect();
    assert_eq!(tags[0], tags[1]);
}

#[test]
fn an_expired_value_is_as_if_it_were_not_there() {
    let node = Node::start();
    node.put("/v1/kv/b/k?ttl=1ms", b"1");
    let get = node.get("/v1/kv/b/k");
    assert_eq!(get.status, 404);
    assert!(get.header("neap-context").is_some());
    node.put("/v1/kv/b/k?ttl=3650d", b"1");
    assert_eq!(node.get("/v1/kv/b/k").status, 200);
}

#[test]
fn creating_only_fails_where_a_value_is_and_reports_a_sibling() {
    let node = Node::start();
    let create = [("If-None-Match", "*"), ("Neap-Write-Id", ID)];
    assert_eq!(node.ask("PUT", "/v1/kv/b/k", &create, b"1").status, 201);
    let exists = node.ask("PUT", "/v1/kv/b/k", &create, b"2");
    assert_eq!((exists.status, exists.header("neap-write-id")), (412, Some(ID)));
    assert_eq!(exists.problem()["outcome"], "not_applied");
    node.fake.show_sibling();
    let beside = node.ask("PUT", "/v1/kv/b/other", &create, b"2");
    assert_eq!((beside.status, beside.header("neap-write-id")), (409, Some(ID)));
    assert_eq!(beside.problem()["outcome"], "applied_as_sibling");
    assert!(beside.header("neap-context").is_some());
    assert_of_an_operation(&beside);
    node.fake.show_sibling();
    assert_eq!(node.put("/v1/kv/b/third", b"3").status, 201);
}

#[test]
fn a_trace_is_continued_and_a_broken_one_is_not() {
    let node = Node::start();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (method, target) in [("GET", "/v1/kv/b/k"), ("PUT", "/v1/kv/b/k"), ("GET", "/nowhere")] {
        let answer = node.ask(method, target, &[("traceparent", trace)], b"");
        assert_eq!(answer.header("traceparent"), Some(trace), "{method} {target}");
    }
    let broken = node.ask("GET", "/v1/kv/b/k", &[("traceparent", "00-zz")], b"");
    assert_eq!((broken.status, broken.header("traceparent")), (200, None));
}

#[test]
fn a_body_in_chunks_is_kept_whole_and_a_connection_serves_many_requests() {
    let node = Node::start();
    let mut stream = node.connect();
    let head = "PUT /v1/kv/b/k HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n";
    for piece in [head, "5\r\nhello\r\n", "7\r\n, world\r\n", "0\r\n\r\n"] {
        stream.write_all(piece.as_bytes()).unwrap();
        stream.flush().unwrap();
    }
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 201");
    stream.write_all(b"GET /v1/kv/b/k HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.ends_with(b"\r\n\r\nhello, world"), "{}", String::from_utf8_lossy(&rest));
}
