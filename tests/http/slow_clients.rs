//! Clients that neither go on nor go away: each ends, is counted, and leaves nothing behind.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use neap::http::Limits;

use super::client::{DEADLINE, Node, Times, VALUE_LIMIT};

const LARGE: usize = 1 << 20;

fn limits(answers: usize) -> Limits {
    Limits {
        value: LARGE,
        key: 1024,
        timeout_us: 2_000_000,
        body_timeout: DEADLINE,
        bodies: 4 << 20,
        answers,
    }
}

fn counter(node: &Node, name: &str) -> u64 {
    node.get("/healthz").json()["counters"][name].as_u64().unwrap()
}

pub fn eventually(what: &str, is: impl Fn() -> bool) {
    let since = Instant::now();
    while !is() {
        assert!(since.elapsed() < DEADLINE, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn clients_that_read_nothing_cost_no_more_than_the_budget_and_give_it_back() {
    let node = Node::with(limits(3 * LARGE));
    assert_eq!(node.put("/v1/kv/b/k", &vec![7; LARGE]).status, 201);
    // More than the sockets in between hold.
    let many = "GET /v1/kv/b/k HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(64);
    let silent: Vec<_> = (0..12)
        .map(|_| {
            let mut stream = node.connect();
            stream.write_all(many.as_bytes()).unwrap();
            stream
        })
        .collect();
    eventually("the budget is spent", || counter(&node, "http_answers_over_budget") > 0);
    // Others are served meanwhile, by what needs none of it; a large value may be asked for again later.
    assert_eq!(node.put("/v1/kv/b/small", b"v").status, 201);
    assert_eq!(node.get("/v1/kv/b/small").body, b"v");
    let refused = node.get("/v1/kv/b/k");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(refused.problem()["type"], "/problems/overloaded");
    assert_eq!(node.ask("HEAD", "/v1/kv/b/k", &[], b"").status, 200);
    drop(silent);
    eventually("their shares are back", || node.get("/v1/kv/b/k").status == 200);
    assert!(counter(&node, "http_answers_cut_short") > 0);
}

#[test]
fn a_large_value_comes_whole_however_slowly_it_is_read() {
    let node = Node::with(limits(2 * LARGE));
    let value: Vec<u8> = (0..LARGE).map(|at| (at % 251) as u8).collect();
    assert_eq!(node.put("/v1/kv/b/k", &value).status, 201);
    let mut stream = node.connect();
    stream.write_all(b"GET /v1/kv/b/k HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let (mut reply, mut piece) = (Vec::new(), vec![0; 100_000]);
    loop {
        match stream.read(&mut piece).unwrap() {
            0 => break,
            length => reply.extend_from_slice(&piece[..length]),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(reply.ends_with(&value));
    assert_eq!(counter(&node, "http_answers_cut_short"), 0);
}

#[test]
fn a_head_that_does_not_end_is_given_up_on_a_used_connection_as_on_a_new_one() {
    // The framework's clock ticks every half second.
    let times = Times { keep_alive: Duration::from_secs(1), request: Duration::from_secs(1) };
    let node = Node::with_times(Limits { value: VALUE_LIMIT, ..limits(1 << 20) }, times);
    let whole = b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let begun = b"GET /v1/kv/b/k HTTP/1.1\r\nho";
    for (what, first, overdue) in [("new", false, 0), ("used", true, 1)] {
        let mut stream = node.connect();
        if first {
            stream.write_all(whole).unwrap();
            assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
        }
        stream.write_all(begun).unwrap();
        let mut rest = Vec::new();
        // A reset is as good an end as any.
        let _ = stream.read_to_end(&mut rest);
        assert_eq!(counter(&node, "http_connections_overdue"), overdue, "{what}");
    }
}
