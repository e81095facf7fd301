//! What is refused at the edge, whose limits are small here. Bad input as such is in `http_bad_input`.

use std::io::Write;

use super::client::{Answer, Node, VALUE_LIMIT};
use neap::http::Limits;
use std::time::Duration;

#[test]
fn a_dot_segment_is_told_of_the_alternative() {
    let node = Node::start();
    let problem = node.get("/v1/kv/b/..").problem();
    assert!(problem["accepted"].as_str().unwrap().contains("key64"), "{problem}");
}

#[test]
fn a_refused_write_names_the_id_that_the_client_gave_it() {
    let node = Node::start();
    let id = "00112233445566778899AABBCCDDEEFF";
    let refused = node.ask("PUT", "/v1/kv/b/k?x=1", &[("Neap-Write-Id", id)], b"");
    assert_eq!(refused.header("neap-write-id"), Some(id.to_ascii_lowercase().as_str()));
}

#[test]
fn a_value_over_the_limit_is_refused_by_its_length_and_by_its_bytes() {
    let node = Node::start();
    assert_eq!(node.put("/v1/kv/b/k", &vec![7; VALUE_LIMIT]).status, 201);
    for size in [VALUE_LIMIT + 1, 3 << 20] {
        let answer = node.put("/v1/kv/b/k", &vec![7; size]);
        assert_eq!(answer.status, 413);
        let problem = answer.problem();
        assert_eq!((&problem["parameter"], &problem["outcome"]), (&"value".into(), &"not_applied".into()));
        assert_eq!(problem["given"], format!("{size} bytes"));
        assert_eq!(problem["accepted"], "at most 4096 bytes");
    }
    let mut stream = node.connect();
    let head = "PUT /v1/kv/b/k HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    for _ in 0..2 {
        stream.write_all(b"1000\r\n").unwrap();
        stream.write_all(&[7; 0x1000]).unwrap();
        stream.write_all(b"\r\n").unwrap();
    }
    stream.write_all(b"0\r\n\r\n").unwrap();
    assert_eq!(Answer::read(stream, false).status, 413);
    assert_eq!(node.get("/healthz").json()["counters"]["http_bodies_too_large"], 3);
    assert_eq!(node.fake.writes(), 1);
}

#[test]
fn a_body_that_does_not_come_is_given_up_and_its_share_returned() {
    let limits = Limits {
        value: 1000,
        key: 10,
        timeout_us: 1_000,
        body_timeout: Duration::from_millis(20),
        bodies: 1000,
        answers: 1000,
    };
    let node = Node::with(limits);
    for _ in 0..3 {
        let mut stream = node.connect();
        let head = "PUT /v1/kv/b/k HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 900\r\n\r\nabc";
        stream.write_all(head.as_bytes()).unwrap();
        let answer = Answer::read(stream, false);
        assert_eq!((answer.status, answer.header("retry-after")), (504, Some("1")));
        assert_eq!(answer.problem()["outcome"], "not_applied");
    }
    assert_eq!(node.put("/v1/kv/b/k", &[7; 1000]).status, 201);
}

#[test]
fn bodies_beyond_the_memory_for_them_are_refused_and_may_be_retried() {
    let limits = Limits {
        value: 1000,
        key: 10,
        timeout_us: 1_000,
        body_timeout: Duration::from_secs(30),
        bodies: 900,
        answers: 900,
    };
    let node = Node::with(limits);
    let answer = node.put("/v1/kv/b/k", &[7; 901]);
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    assert_eq!(answer.problem()["outcome"], "not_applied");
    assert_eq!(node.put("/v1/kv/b/k", &[7; 900]).status, 201);
    assert_eq!(node.get("/healthz").json()["counters"]["http_bodies_over_budget"], 1);
}

#[test]
fn what_is_not_built_says_so() {
    let node = Node::start();
    for (method, target) in [
        ("GET", "/v1/kv/b/k?max_staleness=1s"),
        ("GET", "/v1/kv/b/k?r=1&on_stale=fail"),
        ("GET", "/v1/changes"),
        ("POST", "/v1/changes"),
        ("POST", "/v1/changes?plan=true"),
        ("GET", "/v1/changes/7"),
        ("DELETE", "/v1/changes/7"),
        ("GET", "/v1/slo/advice"),
        ("GET", "/v1/hints"),
        ("POST", "/v1/hints/n2/pause"),
        ("POST", "/v1/hints/n2/resume"),
        ("GET", "/v1/hints/sync?timeout=1s"),
        ("GET", "/v1/repair"),
        ("POST", "/v1/repair"),
        ("DELETE", "/v1/repair/7"),
        ("GET", "/v1/convergence"),
        ("GET", "/ui"),
        ("GET", "/ui/events"),
        ("GET", "/"),
        ("GET", "/problems/not-built"),
        ("GET", "/docs/runbook"),
    ] {
        let answer = node.ask(method, target, &[], b"");
        assert_eq!(answer.status, 501, "{method} {target}");
        if method != "HEAD" {
            let problem = answer.problem();
            let what = problem["parameter"].as_str().unwrap();
            assert!(problem["detail"].as_str().unwrap().contains(what), "{problem}");
        }
    }
}

#[test]
fn unknown_paths_are_404_and_wrong_methods_405_with_those_allowed() {
    let node = Node::start();
    for target in [
        "/v1",
        "/v1/kv",
        "/v2/kv/b/k",
        "/v1/buckets/",
        "/v1/buckets/a/b",
        "/v1/ring/",
        "/v1/ring/b",
        "/v1/ring/join",
        "/v1/changes/",
        "/v1/hints/n2",
        "/v1/hints//pause",
        "/v1/repair/",
        "/v1/repair/7/8",
        "/V1/ring",
        "/healthz/",
        "/problems",
        "/problems/",
        "//",
    ] {
        let answer = node.get(target);
        // An empty bucket's name is a malformed one.
        let status = if target == "/v1/buckets/" { 400 } else { 404 };
        assert_eq!(answer.status, status, "{target}");
        answer.problem();
    }
    for (method, target, allow) in [
        ("POST", "/v1/kv/b/k", "GET, HEAD, PUT, DELETE"),
        ("PATCH", "/v1/kv/b?key64=YQ", "GET, HEAD, PUT, DELETE"),
        ("DELETE", "/v1/buckets/b", "GET, HEAD, PUT"),
        ("PUT", "/v1/buckets", "GET, HEAD"),
        ("POST", "/v1/ring", "GET, HEAD"),
        ("PUT", "/v1/ring/b/k", "GET, HEAD"),
        ("POST", "/healthz", "GET, HEAD"),
        ("OPTIONS", "/readyz", "GET, HEAD"),
        ("GET", "/v1/batch", "POST"),
        ("PUT", "/v1/changes", "GET, HEAD, POST"),
        ("GET", "/v1/hints/n2/pause", "POST"),
        ("PUT", "/v1/repair", "GET, HEAD, POST"),
        ("POST", "/metrics", "GET, HEAD"),
    ] {
        let answer = node.ask(method, target, &[], b"");
        assert_eq!((answer.status, answer.header("allow")), (405, Some(allow)), "{method} {target}");
        answer.problem();
    }
}
