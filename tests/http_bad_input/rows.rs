//! The table of requests that are well-formed HTTP and ask for what is not to be had.

use crate::http::{Answer, takes_json};

/// One bad request.
pub struct Row {
    pub method: &'static str,
    target: String,
    headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    status: u16,
    kind: &'static str,
    parameter: &'static str,
}

fn row(method: &'static str, target: String) -> Row {
    Row { method, target, headers: Vec::new(), body: Vec::new(), status: 0, kind: "", parameter: "" }
}

pub fn get(target: String) -> Row {
    row("GET", target)
}

pub fn put(target: String) -> Row {
    row("PUT", target)
}

impl Row {
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub fn body(mut self, body: &str) -> Self {
        self.body = body.as_bytes().to_vec();
        self
    }

    /// What it is refused with; a `parameter` of "" is none.
    pub fn refused(self, status: u16, kind: &'static str, parameter: &'static str) -> Self {
        Self { status, kind, parameter, ..self }
    }

    pub fn head(&self) -> Vec<u8> {
        let says = |header: &str| self.headers.iter().any(|(name, _)| *name == header);
        let mut head = format!("{} {} HTTP/1.1\r\nconnection: close\r\n", self.method, self.target);
        if !says("Host") {
            head.push_str("Host: localhost\r\n");
        }
        if takes_json(&self.target) && !says("Content-Type") {
            head.push_str("Content-Type: application/json\r\n");
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.body.is_empty() || self.method == "PUT" {
            head.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    pub fn check(&self, answer: &Answer) {
        let Self { method, target, headers, .. } = self;
        let case = format!("{method} {target:.100} {headers:.100?}");
        assert_eq!(answer.status, self.status, "{case}: {answer:?}");
        let problem = answer.problem();
        assert_eq!(problem["type"], format!("/problems/{}", self.kind), "{case}: {problem}");
        if !self.parameter.is_empty() {
            assert_eq!(problem["parameter"], self.parameter, "{case}: {problem}");
            assert!(problem["given"].is_string() && problem["accepted"].is_string(), "{case}: {problem}");
        }
        let repeated = problem["given"].as_str().unwrap_or_default().len();
        assert!(repeated <= 140, "{case}: what was given is cut, not repeated whole");
        // What a write was refused for, it was refused before anything was applied.
        let writes = target.starts_with("/v1/batch")
            || target.contains("/v1/kv/") && matches!(*method, "PUT" | "DELETE")
            || target.starts_with("/v1/buckets/") && *method == "PUT";
        assert_eq!(problem["outcome"].as_str(), writes.then_some("not_applied"), "{case}: {problem}");
        assert_eq!(answer.header("retry-after"), None, "{case}: trying again changes nothing");
    }
}

/// All of them, for buckets that were never set: N = 3, R = 2, W = 2, `w_min` = 2.
pub fn all() -> Vec<Row> {
    [paths(), quorums(), durations(), headers(), callers(), sizes(), buckets(), batches()]
        .into_iter()
        .flatten()
        .collect()
}

fn table(rows: &[(&'static str, &str, u16, &'static str, &'static str)]) -> Vec<Row> {
    rows.iter()
        .map(|&(method, target, status, kind, parameter)| {
            row(method, target.to_owned()).refused(status, kind, parameter)
        })
        .collect()
}

fn paths() -> Vec<Row> {
    table(&[
        ("GET", "/v1/kv/b/", 400, "invalid", "key"),
        ("GET", "/v1/kv//k", 400, "invalid", "bucket"),
        ("GET", "/v1/kv/a.b/k", 400, "invalid", "bucket"),
        ("GET", "/v1/kv/%FF/k", 400, "invalid", "bucket"),
        ("GET", "/v1/kv/b/%", 400, "invalid", "key"),
        ("PUT", "/v1/kv/b/a%2", 400, "invalid", "key"),
        ("DELETE", "/v1/kv/b/%GG", 400, "invalid", "key"),
        ("GET", "/v1/kv/b/%+1", 400, "invalid", "key"),
        ("GET", "/v1/kv/b/.", 400, "invalid", "key"),
        ("GET", "/v1/kv/b/..", 400, "invalid", "key"),
        ("PUT", "/v1/kv/b/a/./b", 400, "invalid", "key"),
        ("PUT", "/v1/kv/b/../../buckets/b", 400, "invalid", "key"),
        ("GET", "/v1/kv/b/%2e%2E", 400, "invalid", "key"),
        ("DELETE", "/v1/kv/b/a%2F..", 400, "invalid", "key"),
        ("PUT", "/v1/kv/b", 400, "invalid", "key64"),
        ("DELETE", "/v1/kv/b?w=2", 400, "invalid", "key64"),
        ("GET", "/v1/kv/b?key64=", 400, "invalid", "key64"),
        ("GET", "/v1/kv/b?key64=%2B%2F", 400, "invalid", "key64"),
        ("GET", "/v1/kv/b?key64=%FF", 400, "invalid", "key64"),
        ("GET", "/v1/kv/b?key64=YQ&key64=YQ", 400, "invalid", "key64"),
        ("GET", "/v1/kv/b/k?key64=YQ", 400, "unknown-parameter", "key64"),
        ("GET", "/v1/ring/b/..", 400, "invalid", "key"),
        ("GET", "/nowhere", 404, "path-not-found", ""),
        ("GET", "/v1/kv", 404, "path-not-found", ""),
        ("GET", "/v1/../v1/ring", 404, "path-not-found", ""),
        ("POST", "/v1/kv/b/k", 405, "method-not-allowed", "method"),
        ("PATCH", "/v1/kv/b?key64=YQ", 405, "method-not-allowed", "method"),
        ("DELETE", "/v1/buckets/b", 405, "method-not-allowed", "method"),
        ("PUT", "/v1/slo", 405, "method-not-allowed", "method"),
        ("BREW", "/v1/kv/b/k", 405, "method-not-allowed", "method"),
        ("GET", "/v1/kv/b/k?x=1", 400, "unknown-parameter", "x"),
        ("GET", "/v1/kv/b/k?R=1", 400, "unknown-parameter", "R"),
        ("GET", "/v1/kv/b/k?%72=1", 400, "unknown-parameter", "%72"),
        ("GET", "/v1/kv/b/k?w=1", 400, "unknown-parameter", "w"),
        ("PUT", "/v1/kv/b/k?r=1", 400, "unknown-parameter", "r"),
        ("DELETE", "/v1/kv/b/k?ttl=1s", 400, "unknown-parameter", "ttl"),
    ])
}

fn quorums() -> Vec<Row> {
    table(&[
        ("GET", "/v1/kv/b/k?r=0", 422, "out-of-range", "r"),
        ("GET", "/v1/kv/b/k?r=4", 422, "out-of-range", "r"),
        ("GET", "/v1/kv/b/k?r=256", 422, "out-of-range", "r"),
        ("PUT", "/v1/kv/b/k?w=0", 422, "out-of-range", "w"),
        ("PUT", "/v1/kv/b/k?w=1", 422, "out-of-range", "w"),
        ("PUT", "/v1/kv/b/k?w=4", 422, "out-of-range", "w"),
        ("DELETE", "/v1/kv/b/k?w=1", 422, "out-of-range", "w"),
        ("PUT", "/v1/kv/b/k?w=99999999999999999999", 422, "out-of-range", "w"),
        ("GET", "/v1/kv/b/k?r=two", 400, "invalid", "r"),
        ("GET", "/v1/kv/b/k?r=-1", 400, "invalid", "r"),
        ("GET", "/v1/kv/b/k?r=1.5", 400, "invalid", "r"),
        ("GET", "/v1/kv/b/k?r=", 400, "invalid", "r"),
        ("GET", "/v1/kv/b/k?r=1&r=1", 400, "invalid", "r"),
    ])
}

fn durations() -> Vec<Row> {
    table(&[
        ("GET", "/v1/kv/b/k?timeout=0ms", 400, "invalid", "timeout"),
        ("GET", "/v1/kv/b/k?timeout=-1s", 400, "invalid", "timeout"),
        ("GET", "/v1/kv/b/k?timeout=2001ms", 400, "invalid", "timeout"),
        ("GET", "/v1/kv/b/k?timeout=1", 400, "invalid", "timeout"),
        ("GET", "/v1/kv/b/k?timeout=1e3s", 400, "invalid", "timeout"),
        ("GET", "/v1/kv/b/k?timeout=1%C2%B5s", 400, "invalid", "timeout"),
        ("PUT", "/v1/kv/b/k?timeout=1us", 400, "invalid", "timeout"),
        ("PUT", "/v1/kv/b/k?timeout=99999999999999999999h", 400, "invalid", "timeout"),
        ("PUT", "/v1/kv/b/k?timeout=1s&timeout=1s", 400, "invalid", "timeout"),
        ("PUT", "/v1/kv/b/k?ttl=0s", 400, "invalid", "ttl"),
        ("PUT", "/v1/kv/b/k?ttl=-1s", 400, "invalid", "ttl"),
        ("PUT", "/v1/kv/b/k?ttl=60", 400, "invalid", "ttl"),
        ("PUT", "/v1/kv/b/k?ttl=3651d", 400, "invalid", "ttl"),
        ("PUT", "/v1/kv/b/k?ttl=forever", 400, "invalid", "ttl"),
    ])
}

fn headers() -> Vec<Row> {
    let long_type = "t".repeat(257);
    [
        ("PUT", "Neap-Write-Id", "abc", "invalid"),
        ("PUT", "Neap-Write-Id", "0011223344556677889900112233445g", "invalid"),
        ("DELETE", "Neap-Write-Id", "", "invalid"),
        ("PUT", "Neap-Context", "forged", "invalid-context"),
        ("PUT", "Neap-Context", "", "invalid-context"),
        ("DELETE", "Neap-Context", "AAAA", "invalid-context"),
        ("PUT", "Neap-Context", "caf\u{e9}", "invalid"),
        ("PUT", "If-None-Match", "\"tag\"", "invalid"),
        ("DELETE", "If-None-Match", "*", "invalid"),
        ("GET", "If-None-Match", "tag", "invalid"),
        ("PUT", "If-Match", "*", "invalid"),
        ("DELETE", "If-Match", "\"tag\"", "invalid"),
        ("GET", "If-Match", "\"tag\"", "invalid"),
        ("PUT", "If-Unmodified-Since", "Sat, 29 Oct 1994 19:43:31 GMT", "invalid"),
        ("GET", "If-Modified-Since", "Sat, 29 Oct 1994 19:43:31 GMT", "invalid"),
        ("PUT", "Content-Range", "bytes 0-1/2", "invalid"),
        ("PUT", "Content-Encoding", "gzip", "invalid"),
        ("PUT", "Content-Type", &long_type, "invalid"),
        ("PUT", "Content-Type", "t\u{e9}xt/plain", "invalid"),
    ]
    .into_iter()
    .map(|(method, name, value, kind)| {
        row(method, "/v1/kv/b/k".to_owned()).header(name, value).refused(400, kind, name)
    })
    .chain(["Neap-Write-Id", "Neap-Context", "If-None-Match", "Content-Type"].map(|name| {
        put("/v1/kv/b/k".to_owned()).header(name, "*").header(name, "*").refused(400, "invalid", name)
    }))
    .collect()
}

/// Requests of web pages that have nothing to do here, and of whoever takes the node for another.
fn callers() -> Vec<Row> {
    let batch = "{\"operations\": [{\"op\": \"put\", \"bucket\": \"b\", \"key\": \"k\", \"text\": \"v\"}]}";
    [
        ("POST", "/v1/batch", "Content-Type", "text/plain", 415, "unsupported-media-type"),
        ("POST", "/v1/batch", "Content-Type", "", 415, "unsupported-media-type"),
        (
            "PUT",
            "/v1/buckets/b",
            "Content-Type",
            "application/x-www-form-urlencoded",
            415,
            "unsupported-media-type",
        ),
        ("POST", "/v1/batch", "Origin", "http://evil.example", 403, "foreign-origin"),
        ("PUT", "/v1/buckets/b", "Origin", "http://localhost:3000", 403, "foreign-origin"),
        ("PUT", "/v1/kv/b/k", "Origin", "null", 403, "foreign-origin"),
        ("DELETE", "/v1/kv/before/1", "Origin", "http://127.0.0.1:3000", 403, "foreign-origin"),
        ("GET", "/metrics", "Origin", "http://evil.example", 403, "foreign-origin"),
        ("OPTIONS", "/v1/kv/b/k", "Origin", "http://evil.example", 403, "foreign-origin"),
        ("PUT", "/v1/kv/b/k", "Host", "evil.example:8101", 421, "unknown-host"),
        ("GET", "/healthz", "Host", "n1:8101", 421, "unknown-host"),
        ("POST", "/v1/batch", "Host", "127.0.0.1.evil.example", 421, "unknown-host"),
        ("PUT", "http://evil.example/v1/kv/b/k", "Host", "localhost", 421, "unknown-host"),
    ]
    .into_iter()
    .map(|(method, target, name, value, status, kind)| {
        let parameter = if status == 421 { "Host" } else { name };
        row(method, target.to_owned()).header(name, value).body(batch).refused(status, kind, parameter)
    })
    .collect()
}

fn sizes() -> Vec<Row> {
    let large = |parameter, target| get(target).refused(413, "too-large", parameter);
    vec![
        large("key", format!("/v1/kv/b/{}", "k".repeat(1025))),
        large("key", format!("/v1/kv/b/{}", "%6b".repeat(1025))),
        large("key", format!("/v1/kv/b/{}", "k".repeat(60_000))),
        large("key64", format!("/v1/kv/b?key64={}", "YWFh".repeat(342))),
        get(format!("/v1/kv/{}/k", "b".repeat(65))).refused(400, "invalid", "bucket"),
        get(format!("/v1/kv/b/k?{}=1", "x".repeat(5_000))).refused(400, "unknown-parameter", ""),
        put("/v1/kv/b/k".to_owned()).body(&"v".repeat((1 << 20) + 1)).refused(413, "too-large", "value"),
        put("/v1/buckets/b".to_owned()).body(&" ".repeat(17_000)).refused(413, "too-large", "body"),
    ]
}

/// Batches that are refused whole. What is wrong with one of their operations is told in its result.
fn batches() -> Vec<Row> {
    let operations = |count: usize| {
        let one = "{\"op\": \"get\", \"bucket\": \"b\", \"key\": \"k\"}";
        format!("{{\"operations\": [{}]}}", vec![one; count].join(", "))
    };
    let batch = |target: &str, body: &str| row("POST", target.to_owned()).body(body);
    vec![
        batch("/v1/batch", &operations(1_001)).refused(413, "too-large", "operations"),
        batch("/v1/batch", &" ".repeat((32 << 20) + 1)).refused(413, "too-large", "body"),
        batch("/v1/batch", "{\"operations\": [").refused(400, "invalid", "body"),
        batch("/v1/batch", "[]").refused(400, "invalid", "body"),
        batch("/v1/batch?r=1", &operations(1)).refused(400, "unknown-parameter", ""),
        batch("/v1/batch?timeout=-1s", &operations(1)).refused(400, "invalid", "timeout"),
    ]
}

/// Those of `http::ring_and_buckets` that a whole node could take differently.
fn buckets() -> Vec<Row> {
    [
        ("", 400, "invalid", "body"),
        ("{\"n\": 3", 400, "invalid", "body"),
        ("{\"n\": 0}", 422, "out-of-range", "n"),
        ("{\"n\": -1}", 422, "out-of-range", "n"),
        ("{\"n\": 16}", 422, "out-of-range", "n"),
        ("{\"n\": 5, \"r\": 3, \"w\": 3}", 422, "too-few-members", "n"),
        ("{\"w_min\": 0}", 422, "out-of-range", "w_min"),
        ("{\"ttl\": \"-1s\"}", 400, "invalid", "ttl"),
        ("{\"rr\": 1}", 400, "unknown-parameter", "rr"),
    ]
    .into_iter()
    .map(|(body, status, kind, parameter)| {
        put("/v1/buckets/b".to_owned()).body(body).refused(status, kind, parameter)
    })
    .collect()
}
