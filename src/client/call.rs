//! One request, before it is known which node it goes to.

use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use super::target::{append_query, append_query_bytes};

/// A request that can be tried on several nodes.
#[derive(Debug, Clone)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// The path, with the parameters.
    pub target: String,
    /// The headers, without `Host`.
    pub headers: HeaderMap,
    /// The body; empty if there is none.
    pub body: Bytes,
    /// How long one node may take for its reply; none leaves that to the client.
    pub patience: Option<Duration>,
}

impl Call {
    /// A call of `target` without headers and body.
    #[must_use]
    pub fn new(method: Method, target: impl Into<String>) -> Self {
        Self { method, target: target.into(), headers: HeaderMap::new(), body: Bytes::new(), patience: None }
    }

    /// `GET target`.
    #[must_use]
    pub fn get(target: impl Into<String>) -> Self {
        Self::new(Method::GET, target)
    }

    /// `PUT target` with a body.
    #[must_use]
    pub fn put(target: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..Self::new(Method::PUT, target) }
    }

    /// Waits so long for one node's reply.
    #[must_use]
    pub fn wait(self, patience: Option<Duration>) -> Self {
        Self { patience, ..self }
    }

    /// Whether it does no harm if it was carried out before: a read, or a write that has an id.
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        self.method.is_safe() || self.headers.contains_key("neap-write-id")
    }

    /// Adds a parameter, if there is a value for it.
    #[must_use]
    pub fn query(mut self, name: &str, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            append_query(&mut self.target, name, &value.to_string());
        }
        self
    }

    /// Adds a parameter of any bytes, if there is a value for it.
    #[must_use]
    pub fn query_bytes(mut self, name: &str, value: Option<&[u8]>) -> Self {
        if let Some(value) = value {
            append_query_bytes(&mut self.target, name, value);
        }
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: HeaderValue) -> Self {
        self.headers.insert(HeaderName::from_static(name), value);
        self
    }
}
