//! What can go wrong on the way to a node, and what a node says went wrong.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::endpoint::Endpoint;

/// Why there is no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The request cannot be written as HTTP. Nothing was sent.
    #[error("the request cannot be sent: {cause}")]
    Malformed {
        /// What is wrong with it.
        cause: String,
    },
    /// One node could not be connected to, or closed the connection before anything was sent.
    #[error("{endpoint} was not reached: {cause}")]
    NotReached {
        /// The node.
        endpoint: Endpoint,
        /// Why.
        cause: String,
    },
    /// No node was reached. Nothing was sent.
    #[error("no node was reached ({}); NEAP_URL or --url says where they are", causes.join("; "))]
    NoneReached {
        /// Why, a node each.
        causes: Vec<String>,
    },
    /// The connection failed after the request may have been sent: a write may have been applied.
    #[error("the connection to {endpoint} failed before the reply ({cause}); the outcome is unknown")]
    Broken {
        /// The node.
        endpoint: Endpoint,
        /// Why.
        cause: String,
    },
    /// The reply did not come in time: a write may have been applied.
    #[error("{endpoint} did not answer within {timeout:?}; the outcome is unknown")]
    TimedOut {
        /// The node.
        endpoint: Endpoint,
        /// How long was waited.
        timeout: Duration,
    },
}

impl ClientError {
    /// Whether another node may be tried, whatever the request was.
    #[must_use]
    pub fn nothing_was_sent(&self) -> bool {
        match self {
            Self::NotReached { .. } | Self::NoneReached { .. } => true,
            Self::Malformed { .. } | Self::Broken { .. } | Self::TimedOut { .. } => false,
        }
    }

    /// Whether a write may or may not have been applied.
    #[must_use]
    pub fn outcome_is_unknown(&self) -> bool {
        match self {
            Self::Broken { .. } | Self::TimedOut { .. } => true,
            Self::Malformed { .. } | Self::NotReached { .. } | Self::NoneReached { .. } => false,
        }
    }
}

/// A node's account of a failure (`application/problem+json`, RFC 9457).
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Problem {
    /// The stable name of this kind of failure.
    #[serde(default, rename = "type")]
    pub kind: String,
    /// The kind, in words.
    #[serde(default)]
    pub title: String,
    /// This occurrence, in words.
    #[serde(default)]
    pub detail: Option<String>,
    /// For writes: `not_applied`, `partial` or `unknown`.
    #[serde(default)]
    pub outcome: Option<String>,
    /// The numbers involved, and whatever else the node says.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl Problem {
    /// The failure as one sentence for a person.
    #[must_use]
    pub fn sentence(&self) -> String {
        let mut sentence = match self.detail.as_deref().filter(|detail| !detail.is_empty()) {
            Some(detail) if detail.contains(self.title.as_str()) => detail.to_owned(),
            Some(detail) => format!("{}: {detail}", self.title),
            None if self.title.is_empty() => self.kind.clone(),
            None => self.title.clone(),
        };
        let outcome = match self.outcome.as_deref() {
            Some("not_applied") => "nothing was changed".to_owned(),
            Some("partial") => "some replicas keep the write, fewer than were required".to_owned(),
            Some("unknown") => "the write may or may not have been applied".to_owned(),
            Some(other) => format!("outcome: {other}"),
            None => return sentence,
        };
        sentence.push_str(" (");
        sentence.push_str(&outcome);
        sentence.push(')');
        sentence
    }
}
