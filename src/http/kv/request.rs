//! Reads a request: the key that path and query name, and the headers that go with it.

use actix_web::http::header::{self, HeaderMap};

use crate::http::error::Problem;
use crate::http::params::{self, Parameter, Parameters};
use crate::http::{Edge, Limits, headers, target, time};
use crate::protocol::causality::CausalContext;
use crate::protocol::ids::{BucketName, Key, WriteId};
use crate::telemetry::{Call as Traced, RequestTrace, TraceContext};

/// Where a path says that a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// The bucket's segment, raw.
    pub bucket: &'a str,
    /// The rest of the path, raw; none if the path ends with the bucket, and `?key64=` says the key.
    pub key: Option<&'a str>,
}

/// One key, and what the query says.
pub struct Call<'a> {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: Key,
    /// The query.
    pub parameters: Parameters<'a>,
}

/// Query parameters of a read.
pub const GET_PARAMETERS: [Parameter; 6] = [
    Parameter::R,
    Parameter::Timeout,
    Parameter::OnLeftOut,
    Parameter::MaxStaleness,
    Parameter::OnStale,
    Parameter::Key64,
];
/// Query parameters of a write.
pub const PUT_PARAMETERS: [Parameter; 4] =
    [Parameter::W, Parameter::Ttl, Parameter::Timeout, Parameter::Key64];
/// Query parameters of a delete.
pub const DELETE_PARAMETERS: [Parameter; 3] = [Parameter::W, Parameter::Timeout, Parameter::Key64];

impl<'a> Call<'a> {
    /// Reads path and query. `known` ends with `key64`, which goes with a path that has no key.
    ///
    /// # Errors
    ///
    /// No name of a bucket, no key, or a query that the call does not know.
    pub fn parse(
        edge: &Edge,
        place: Place<'a>,
        query: Option<&'a str>,
        known: &[Parameter],
    ) -> Result<Self, Problem> {
        Self::within(&edge.limits, place, query, known)
    }

    /// The same, of a `GET`.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn of_get(limits: &Limits, place: Place<'a>, query: Option<&'a str>) -> Result<Self, Problem> {
        Self::within(limits, place, query, &GET_PARAMETERS)
    }

    fn within(
        limits: &Limits,
        place: Place<'a>,
        query: Option<&'a str>,
        known: &[Parameter],
    ) -> Result<Self, Problem> {
        let bucket = target::bucket(place.bucket)?;
        let known = match (place.key, known.split_last()) {
            (Some(_), Some((_, without_key64))) => without_key64,
            _ => known,
        };
        let parameters = params::parse(query, known, limits.timeout_us)?;
        let key = match (place.key, &parameters.key64) {
            (Some(raw), _) => target::key(raw, limits.key)?,
            (None, Some(text)) => target::key64(text, limits.key)?,
            (None, None) => return Err(Problem::invalid(target::KEY64, "", "the key, as base64url")),
        };
        Ok(Self { bucket, key, parameters })
    }

    /// The time that the call may take, in microseconds.
    pub fn timeout_us(&self, edge: &Edge) -> u64 {
        self.parameters.timeout_us.unwrap_or(edge.limits.timeout_us)
    }
}

/// The `Neap-Write-Id`.
///
/// # Errors
///
/// The header twice, or no 32 hexadecimal digits.
pub fn write_id(request: &HeaderMap) -> Result<Option<WriteId>, Problem> {
    let Some(text) = headers::single(request, &headers::NEAP_WRITE_ID)? else { return Ok(None) };
    let id = WriteId::parse(text);
    id.map(Some).ok_or_else(|| Problem::header(&headers::NEAP_WRITE_ID, text, "32 hexadecimal digits"))
}

/// The `Neap-Context` of a key.
///
/// # Errors
///
/// The header twice, or a token that is refused.
pub fn context(
    edge: &Edge,
    bucket: &BucketName,
    key: &Key,
    request: &HeaderMap,
) -> Result<Option<CausalContext>, Problem> {
    let Some(text) = headers::single(request, &headers::NEAP_CONTEXT)? else { return Ok(None) };
    edge.tokens
        .open(bucket, key, text)
        .map(Some)
        .map_err(|error| Problem::context(headers::spelled(&headers::NEAP_CONTEXT), error, text))
}

/// The `Content-Type` of a PUT.
///
/// # Errors
///
/// The header twice, or a text that cannot be kept.
pub fn content_type_of_put(request: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(text) = headers::single(request, &header::CONTENT_TYPE)? else { return Ok(None) };
    if headers::is_content_type(text) {
        Ok(Some(text.to_owned()))
    } else {
        Err(Problem::header(&header::CONTENT_TYPE, text, headers::content_types()))
    }
}

/// The trace of a request: that of its client goes on.
pub fn begin_trace(edge: &Edge, request: &HeaderMap, call: Traced) -> Option<RequestTrace> {
    let caller = headers::traceparent(request).and_then(|value| value.to_str().ok());
    let now_ns = time::now().0.saturating_mul(1_000);
    edge.tracing.begin(caller.and_then(TraceContext::parse), call, now_ns)
}
