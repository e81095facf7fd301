//! The client's connections: when one is kept, when the next node is tried, and when it must not be.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;

use neap::client::{Call, Client, ClientError, Endpoint, kv_target};
use neap::protocol::ids::{BucketName, Key};

use super::scripted_node::{Script, ScriptedNode};

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A port where nobody listens.
fn nobody() -> Endpoint {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    Endpoint::loopback(listener.local_addr().unwrap().port())
}

/// Reads the head of one request.
fn read_head(stream: &mut TcpStream) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
}

/// A node that does this with each of so many connections.
fn node(connections: usize, each: impl Fn(TcpStream) + Send + 'static) -> (Endpoint, JoinHandle<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let endpoint = Endpoint::loopback(listener.local_addr().unwrap().port());
    let thread = std::thread::spawn(move || {
        (0..connections).for_each(|_| each(listener.accept().unwrap().0));
    });
    (endpoint, thread)
}

#[test]
fn requests_share_one_connection() {
    let node = ScriptedNode::start(Script::new(200).body("v"));
    run(async {
        let mut client = Client::new(vec![Endpoint::loopback(node.port)]);
        for _ in 0..3 {
            assert_eq!(&client.send(&Call::get("/x")).await.unwrap().body[..], b"v");
        }
    });
    let from: Vec<_> = node.asked().iter().map(|asked| asked.from).collect();
    assert_eq!(from, [from[0]; 3]);
}

#[test]
fn a_node_that_is_not_there_is_passed_over() {
    let node = ScriptedNode::start(Script::new(204));
    run(async {
        let mut client = Client::new(vec![nobody(), Endpoint::loopback(node.port)]);
        assert_eq!(client.send(&Call::put("/x", "v")).await.unwrap().status, 204);
    });
    assert_eq!(node.asked_once().body, b"v");
}

#[test]
fn nothing_was_sent_when_no_node_is_there() {
    let failed = run(async { Client::new(vec![nobody(), nobody()]).send(&Call::get("/x")).await });
    let error = failed.unwrap_err();
    assert!(error.nothing_was_sent() && !error.outcome_is_unknown());
    assert!(matches!(error, ClientError::NoneReached { causes } if causes.len() == 2));
}

#[test]
fn a_write_that_may_have_arrived_goes_to_no_other_node() {
    let (silent, thread) = node(1, |mut stream| read_head(&mut stream));
    let other = ScriptedNode::start(Script::new(204));
    let failed = run(async {
        let mut client = Client::new(vec![silent, Endpoint::loopback(other.port)]);
        client.send(&Call::put("/x", "v")).await
    });
    assert!(failed.unwrap_err().outcome_is_unknown());
    assert!(other.asked().is_empty());
    thread.join().unwrap();
}

#[test]
fn a_connection_that_was_closed_in_between_is_opened_again() {
    let (closed, mut closes) = tokio::sync::mpsc::unbounded_channel();
    let (endpoint, thread) = node(2, move |mut stream| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        drop(stream);
        closed.send(()).unwrap();
    });
    run(async {
        let mut client = Client::new(vec![endpoint]);
        assert_eq!(client.send(&Call::get("/x")).await.unwrap().status, 204);
        closes.recv().await.unwrap();
        // Going idle is what makes the runtime look at its sockets, one of which has ended by now.
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        assert_eq!(client.send(&Call::get("/x")).await.unwrap().status, 204);
    });
    thread.join().unwrap();
}

#[test]
fn a_key_of_any_bytes_stands_in_the_target_as_it_was_encoded() {
    let node = ScriptedNode::start(Script::new(200));
    let bucket = BucketName::new("b").unwrap();
    let keys: [&[u8]; 4] = [b"\xff\x00", b"a/b c", b"..", b"100%"];
    run(async {
        let mut client = Client::new(vec![Endpoint::loopback(node.port)]);
        for key in keys {
            let call = Call::get(kv_target(&bucket, &Key::new(key))).query("r", Some(2));
            client.send(&call).await.unwrap();
        }
    });
    let targets: Vec<_> = node.asked().into_iter().map(|asked| asked.target).collect();
    assert_eq!(
        targets,
        ["/v1/kv/b/%FF%00?r=2", "/v1/kv/b/a%2Fb%20c?r=2", "/v1/kv/b?key64=Li4&r=2", "/v1/kv/b/100%25?r=2"]
    );
}

#[test]
fn what_is_safe_to_repeat_goes_to_the_next_node_when_one_does_not_answer() {
    // It takes the request, and says nothing until the client has gone.
    let (silent, thread) = node(2, |mut stream| {
        read_head(&mut stream);
        let _ = stream.read(&mut [0]);
    });
    let other = ScriptedNode::start(Script::new(204));
    let id = hyper::header::HeaderValue::from_static("0123456789abcdef0123456789abcdef");
    let wait = Some(std::time::Duration::from_millis(100));
    let calls = [Call::get("/x").wait(wait), Call::put("/x", "").header("neap-write-id", id).wait(wait)];
    for call in &calls {
        let reply = run(async {
            let mut client = Client::new(vec![silent.clone(), Endpoint::loopback(other.port)]);
            client.send(call).await
        });
        assert_eq!(reply.unwrap().status, 204);
    }
    thread.join().unwrap();
    assert_eq!(other.asked().len(), 2);
}

#[test]
fn a_write_that_a_node_may_have_carried_out_is_unknown_though_no_other_was_reached() {
    let (silent, thread) = node(1, |mut stream| {
        read_head(&mut stream);
        let _ = stream.read(&mut [0]);
    });
    let id = hyper::header::HeaderValue::from_static("0123456789abcdef0123456789abcdef");
    let call = Call::put("/x", "").header("neap-write-id", id);
    let call = call.wait(Some(std::time::Duration::from_millis(100)));
    let failed = run(async { Client::new(vec![silent, nobody()]).send(&call).await });
    assert!(failed.unwrap_err().outcome_is_unknown());
    thread.join().unwrap();
}
