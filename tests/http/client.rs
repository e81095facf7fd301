//! A client that sends exactly the bytes it is told to.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use neap::http::callers::AllowedCallers;
use neap::http::tokens::TokenKey;
use neap::http::{ConnectionBounds, Edge, Limits, ServerOptions};

use super::fake::Fake;

/// Long enough that only a hang reaches it.
pub const DEADLINE: Duration = Duration::from_secs(30);

pub const VALUE_LIMIT: usize = 4096;

const LIMITS: Limits = Limits {
    value: VALUE_LIMIT,
    key: 1024,
    timeout_us: 2_000_000,
    body_timeout: DEADLINE,
    bodies: 1 << 20,
    answers: 1 << 20,
};

/// Connections that are served at a time.
pub const SERVED: usize = 64;
/// Connections beyond them that get a 503.
pub const REFUSED: usize = 8;

/// How long an idle connection is kept, and how long a head may take.
#[derive(Clone, Copy)]
pub struct Times {
    pub keep_alive: Duration,
    pub request: Duration,
}

/// A running edge.
pub struct Node {
    pub fake: Arc<Fake>,
    address: SocketAddr,
    handle: actix_web::dev::ServerHandle,
    thread: Option<JoinHandle<()>>,
}

impl Node {
    pub fn start() -> Self {
        Self::with(LIMITS)
    }

    pub fn for_callers(callers: AllowedCallers) -> Self {
        let fake = Arc::new(Fake::default());
        let edge = Edge::new(fake.clone(), TokenKey::derive(b"secret", "test"), LIMITS).for_callers(callers);
        Self::of(fake, edge, Times { keep_alive: DEADLINE, request: DEADLINE })
    }

    pub fn with(limits: Limits) -> Self {
        Self::with_times(limits, Times { keep_alive: DEADLINE, request: DEADLINE })
    }

    pub fn with_times(limits: Limits, times: Times) -> Self {
        let fake = Arc::new(Fake::default());
        let edge = Edge::new(fake.clone(), TokenKey::derive(b"secret", "test"), limits);
        Self::of(fake, edge, times)
    }

    fn of(fake: Arc<Fake>, edge: Edge, times: Times) -> Self {
        let options = ServerOptions {
            workers: 1,
            connections: ConnectionBounds { served: SERVED, refused: REFUSED, closing: REFUSED },
            keep_alive: times.keep_alive,
            request_timeout: times.request,
            shutdown_timeout: Duration::from_secs(1),
        };
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let listening =
                    neap::http::serve(edge, std::net::TcpListener::bind("127.0.0.1:0").unwrap(), &options)
                        .unwrap();
                tell.send((listening.addresses[0], listening.server.handle())).unwrap();
                listening.server.await.unwrap();
            });
        });
        let (address, handle) = told.recv_timeout(DEADLINE).unwrap();
        Self { fake, address, handle, thread: Some(thread) }
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// One request on a connection of its own. Documents are sent as JSON, unless `headers` say else.
    pub fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut stream = self.connect();
        let mut head = format!("{method} {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if takes_json(target) && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            head.push_str("content-type: application/json\r\n");
        }
        if !body.is_empty() || matches!(method, "PUT" | "POST") {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        // A server that refuses a body by its length may answer and close before it has all of it.
        let _ = stream.write_all(body);
        Answer::read(stream, method == "HEAD")
    }

    pub fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, &[], b"")
    }

    pub fn put(&self, target: &str, body: &[u8]) -> Answer {
        self.ask("PUT", target, &[], body)
    }
}

/// Whether the call at a target takes a document.
pub fn takes_json(target: &str) -> bool {
    target.starts_with("/v1/batch") || target.starts_with("/v1/buckets")
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking());
        }
    }
}

/// A reply.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// Reads one reply. One to HEAD has no body, whatever length it tells.
    pub fn read(mut stream: TcpStream, to_head: bool) -> Self {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            let mut piece = [0; 4096];
            let length = stream.read(&mut piece).unwrap();
            assert_ne!(length, 0, "closed within the head");
            bytes.extend_from_slice(&piece[..length]);
        };
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .map(|line| line.split_once(':').unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let body = bytes.split_off(end + 4);
        let mut answer = Self { status, headers, body };
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        let got = answer.body.len();
        if to_head || matches!(status, 204 | 304) {
            assert_eq!(got, 0);
        } else {
            answer.body.resize(length, 0);
            stream.read_exact(&mut answer.body[got..]).unwrap();
        }
        answer
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} twice: {self:?}");
        value
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.headers.iter().map(|(name, _)| name.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(&self.body)))
    }

    /// The body of an error, after checking that it is a whole one.
    pub fn problem(&self) -> serde_json::Value {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        assert_eq!(self.header("cache-control"), Some("no-store"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{problem}");
        assert!(problem["type"].as_str().unwrap().starts_with("/problems/"), "{problem}");
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
        problem
    }
}
