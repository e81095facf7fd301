//! More connections than are served: those beyond get a 503, those beyond these are closed, and nothing is carried out.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::client::{Answer, Node, REFUSED, SERVED};
use super::slow_clients::eventually;

const PUT: &[u8] = b"PUT /v1/kv/b/k HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\n\r\nv";
const LOOK: &[u8] = b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n";
const LAST_LOOK: &[u8] = b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

fn say(node: &Node, what: &[u8]) -> TcpStream {
    let mut stream = node.connect();
    stream.write_all(what).unwrap();
    stream
}

/// A connection that is served, and idles.
fn served(node: &Node) -> TcpStream {
    let mut stream = say(node, LOOK);
    assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
    stream
}

#[test]
fn beyond_the_bound_a_client_gets_a_503_and_is_closed_and_beyond_that_it_is_closed() {
    let node = Node::start();
    let mut idle: Vec<TcpStream> = (0..SERVED).map(|_| served(&node)).collect();
    for _ in 0..REFUSED {
        // The end of the reply is the end of the connection.
        let answer = Answer::read(say(&node, PUT), false);
        assert_eq!((answer.status, answer.header("connection")), (503, Some("close")));
        assert!(answer.header("retry-after").is_some());
        let problem = answer.problem();
        assert_eq!(
            (problem["type"].as_str(), problem["outcome"].as_str()),
            (Some("/problems/overloaded"), Some("not_applied"))
        );
        assert!(
            problem["detail"].as_str().unwrap().starts_with(&format!("{SERVED} connections")),
            "{problem}"
        );
    }
    // Those who say nothing are in the way of those who would be told.
    let silent: Vec<TcpStream> = (0..REFUSED).map(|_| node.connect()).collect();
    let mut said = Vec::new();
    for _ in 0..20 {
        // A reset is as good an end as any.
        let _ = say(&node, PUT).read_to_end(&mut said);
    }
    assert!(said.is_empty(), "{}", String::from_utf8_lossy(&said));
    assert_eq!(node.fake.writes(), 0, "nothing was carried out");
    // Who is in goes on.
    let mut inside = idle.pop().unwrap();
    inside.write_all(LOOK).unwrap();
    assert!(inside.read(&mut [0; 4096]).unwrap() > 0);
    drop((inside, silent));
    eventually("there is room again", || {
        let mut said = Vec::new();
        let _ = say(&node, LAST_LOOK).read_to_end(&mut said);
        said.starts_with(b"HTTP/1.1 200 ")
    });
}
