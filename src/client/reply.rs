//! What a node answered.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::HeaderMap;
use serde::Serialize;

use super::endpoint::Endpoint;
use super::error::Problem;

/// A whole reply.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Who answered.
    pub endpoint: Endpoint,
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// `Neap-Replicas`: how many replicas took part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ReplicaCount {
    /// Replicas that answered or acknowledged.
    pub acked: u32,
    /// Replicas that had to: R or W.
    pub required: u32,
    /// Replicas of the key: N.
    pub total: u32,
}

/// `Neap-Staleness-Bound`: no acknowledged write older than this is missing from the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StalenessBound {
    /// Milliseconds.
    Milliseconds(u64),
    /// The replicas that answered prove nothing.
    Unproven,
}

impl Reply {
    /// A header as text, if it is there and is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The causal context, to be given back with the next write of the key.
    #[must_use]
    pub fn context(&self) -> Option<&str> {
        self.header("neap-context")
    }

    /// How many replicas took part.
    #[must_use]
    pub fn replicas(&self) -> Option<ReplicaCount> {
        let text = self.header("neap-replicas")?;
        let number = |name: &str| {
            let mut fields = text.split([' ', ',', ';']).filter_map(|field| field.split_once('='));
            fields.find(|(field, _)| *field == name)?.1.parse().ok()
        };
        Some(ReplicaCount { acked: number("acked")?, required: number("required")?, total: number("total")? })
    }

    /// The replicas that took part, by name.
    #[must_use]
    pub fn acked_by(&self) -> Vec<&str> {
        let names = self.header("neap-acked-by").unwrap_or_default();
        names.split(',').map(str::trim).filter(|name| !name.is_empty()).collect()
    }

    /// How many of the key's homes had not answered when the reply was made.
    #[must_use]
    pub fn lagging_replicas(&self) -> Option<u64> {
        self.header("neap-lagging-replicas")?.parse().ok()
    }

    /// How stale the reply can be at worst.
    #[must_use]
    pub fn staleness_bound(&self) -> Option<StalenessBound> {
        let text = self.header("neap-staleness-bound")?;
        match text.parse() {
            Ok(milliseconds) => Some(StalenessBound::Milliseconds(milliseconds)),
            Err(_) => (text == "unproven").then_some(StalenessBound::Unproven),
        }
    }

    /// The node's account of a failure, if the reply is one.
    #[must_use]
    pub fn problem(&self) -> Option<Problem> {
        let is_problem = self.header("content-type")?.starts_with("application/problem+json");
        if is_problem { serde_json::from_slice(&self.body).ok() } else { None }
    }

    /// A failure as one sentence for a person, whoever worded it.
    #[must_use]
    pub fn failure_sentence(&self) -> String {
        match self.problem() {
            Some(problem) => problem.sentence(),
            None => format!("{} answered {}", self.endpoint, self.status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(headers: &[(&'static str, &'static str)], body: &'static str) -> Reply {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        Reply {
            endpoint: Endpoint::loopback(1),
            status: StatusCode::SERVICE_UNAVAILABLE,
            headers: map,
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[test]
    fn the_replica_count_is_read_by_name() {
        let counted = reply(&[("neap-replicas", "acked=2 required=1 total=3")], "");
        assert_eq!(counted.replicas(), Some(ReplicaCount { acked: 2, required: 1, total: 3 }));
        assert_eq!(reply(&[("neap-replicas", "acked=2 total=3")], "").replicas(), None);
    }

    #[test]
    fn a_bound_that_is_not_proven_is_not_zero() {
        let unproven = reply(&[("neap-staleness-bound", "unproven")], "");
        assert_eq!(unproven.staleness_bound(), Some(StalenessBound::Unproven));
        let proven = reply(&[("neap-staleness-bound", "250")], "");
        assert_eq!(proven.staleness_bound(), Some(StalenessBound::Milliseconds(250)));
    }

    #[test]
    fn a_problem_reads_as_a_sentence_that_ends_with_the_outcome() {
        let body = r#"{"type":"quorum","title":"Quorum not reached","detail":"1 of 2 acknowledged",
            "outcome":"partial","acked":1}"#;
        let failed = reply(&[("content-type", "application/problem+json")], body);
        assert_eq!(
            failed.failure_sentence(),
            "Quorum not reached: 1 of 2 acknowledged (some replicas keep the write, fewer than were required)"
        );
    }

    #[test]
    fn a_reply_that_is_no_problem_document_is_told_by_its_status() {
        let failed = reply(&[("content-type", "text/html")], "<html>");
        assert_eq!(failed.failure_sentence(), "http://127.0.0.1:1 answered 503 Service Unavailable");
    }
}
