//! Bytes on the REST port that are no request, or only the beginning of one.

use std::io::{Read as _, Write as _};

use super::Nodes;
use crate::cluster;
use crate::http::Answer;

/// What comes back for `bytes` when nothing more is sent: the status of the reply, none if the node just closes.
fn status_of(nodes: &Nodes, bytes: &[u8], half_close: bool) -> Option<u16> {
    let mut stream = nodes.connect();
    // A node that has seen enough may close, or reset, before it has all of it.
    let _ = stream.write_all(bytes);
    if half_close {
        let _ = stream.shutdown(std::net::Shutdown::Write);
    }
    let mut reply = Vec::new();
    // A reset is as good an end as any.
    let _ = stream.read_to_end(&mut reply);
    let text = String::from_utf8_lossy(&reply);
    text.split(' ').nth(1).map(|status| status.parse().unwrap_or_else(|_| panic!("{text}")))
}

#[test]
fn bytes_that_are_no_request_are_refused_and_harm_nothing() {
    cluster::run(async {
        let nodes = Nodes::start().await;
        let put = "PUT /v1/kv/b/k HTTP/1.1\r\nhost: localhost\r\n";
        let with = |rest: &str| [put, rest].concat().into_bytes();
        let rows: Vec<(&str, Vec<u8>, &[u16])> = vec![
            ("noise", vec![0xff; 300], &[400]),
            ("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), &[400]),
            ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), &[400]),
            ("no version", b"GET /v1/ring\r\n\r\n".to_vec(), &[400]),
            (
                "a target with a space",
                b"GET /v1/kv/b/a b HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec(),
                &[400],
            ),
            ("a header with NUL", with("neap-context: a\0b\r\n\r\n"), &[400]),
            ("a header without a name", with(": x\r\n\r\n"), &[400]),
            ("a length that is no number", with("content-length: ten\r\n\r\n0123456789"), &[400]),
            ("a negative length", with("content-length: -1\r\n\r\n"), &[400]),
            ("two lengths", with("content-length: 1\r\ncontent-length: 2\r\n\r\nab"), &[400]),
            (
                "length and chunks",
                with("content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
                &[400],
            ),
            ("an unknown encoding", with("transfer-encoding: zip\r\n\r\n"), &[400]),
            ("a chunk without end", with("transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n"), &[400]),
            ("a chunk of no length", with("transfer-encoding: chunked\r\n\r\nxyz\r\n"), &[400]),
            ("a length past all memory", with("content-length: 18446744073709551615\r\n\r\n"), &[413]),
            ("a hundred headers", with(&("x: y\r\n".repeat(100) + "\r\n")), &[400, 431]),
            (
                "a header of 200 KiB",
                with(&format!("neap-context: {}\r\n\r\n", "A".repeat(200 << 10))),
                &[400, 431],
            ),
            (
                "a target of 100 KiB",
                format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "a".repeat(100 << 10)).into(),
                &[400, 431],
            ),
        ];
        for (what, bytes, statuses) in rows {
            let status = status_of(&nodes, &bytes, true);
            assert!(status.is_some_and(|status| statuses.contains(&status)), "{what}: {status:?}");
        }
        // What ends within the head is no request: nobody is there to be told.
        for bytes in [&b"GET /v1/kv/b/k HTT"[..], b"", b"PUT /v1/kv/b/k HTTP/1.1\r\nhost"] {
            let status = status_of(&nodes, bytes, true);
            assert!(matches!(status, None | Some(400)), "{status:?}");
        }
        let unwritten = nodes.ask(&super::rows::get("/v1/kv/b/k".to_owned()));
        assert_eq!(unwritten.status, 404, "{unwritten:?}");
        nodes.unharmed().await;
    });
}

#[test]
fn truncated_and_slow_requests_are_given_up_counted_and_write_nothing() {
    cluster::run(async {
        let nodes = Nodes::start().await;
        let head = "PUT /v1/kv/b/k HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n";
        let chunked = "PUT /v1/kv/b/k HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n";
        for truncated in
            [format!("{head}short"), format!("{chunked}5\r\nab"), format!("{chunked}2\r\nab\r\n")]
        {
            let status = status_of(&nodes, truncated.as_bytes(), true);
            assert!(matches!(status, None | Some(400)), "{truncated:?}: {status:?}");
        }
        // Two that go on for longer than a body, or a head, may take; both at once, since it is 5 s.
        let mut body = nodes.connect();
        body.write_all(format!("{head}slow").as_bytes()).unwrap();
        let mut beginning = nodes.connect();
        beginning.write_all(b"GET /v1/kv/b/k HT").unwrap();
        let given_up = Answer::read(body, false);
        assert_eq!((given_up.status, given_up.header("retry-after")), (504, Some("1")));
        let problem = given_up.problem();
        assert_eq!(problem["type"], "/problems/deadline");
        assert_eq!(problem["outcome"], "not_applied", "{problem}");
        let mut rest = Vec::new();
        let _ = beginning.read_to_end(&mut rest);
        let rest = String::from_utf8_lossy(&rest);
        assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 408"), "{rest}");
        assert_eq!(nodes.counter("http_bodies_too_slow"), 1);
        let unwritten = nodes.ask(&super::rows::get("/v1/kv/b/k".to_owned()));
        assert_eq!(unwritten.status, 404, "{unwritten:?}");
        nodes.unharmed().await;
    });
}
