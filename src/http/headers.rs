//! The names and fixed values of headers, each once, and the reading of those that may come once only.

use std::fmt::Write as _;

use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::error::Problem;
use crate::telemetry::{RequestTrace, TraceContext};

/// The causal context of a key, as an opaque token: in with a write, out with every reply.
pub const NEAP_CONTEXT: HeaderName = HeaderName::from_static("neap-context");
/// The 128-bit name of a write, as 32 hexadecimal digits.
pub const NEAP_WRITE_ID: HeaderName = HeaderName::from_static("neap-write-id");
/// How many homes answered, had to, and are.
pub const NEAP_REPLICAS: HeaderName = HeaderName::from_static("neap-replicas");
/// Which homes answered.
pub const NEAP_ACKED_BY: HeaderName = HeaderName::from_static("neap-acked-by");
/// How many homes had not answered when the reply was made.
pub const NEAP_LAGGING_REPLICAS: HeaderName = HeaderName::from_static("neap-lagging-replicas");
/// The proven bound on the reply's staleness in milliseconds, or [`UNPROVEN`].
pub const NEAP_STALENESS_BOUND: HeaderName = HeaderName::from_static("neap-staleness-bound");
/// When the version was written (RFC 3339).
pub const NEAP_VERSION_TIME: HeaderName = HeaderName::from_static("neap-version-time");
/// Flags a sibling that is a delete, in a part of a `multipart/mixed` reply.
pub const NEAP_DELETED: HeaderName = HeaderName::from_static("neap-deleted");
/// W3C trace context.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The staleness bound of a reply that proves none.
pub const UNPROVEN: HeaderValue = HeaderValue::from_static("unproven");
/// Replies are never for a cache.
pub const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// How many seconds a client waits before a safe retry.
pub const RETRY_AFTER_SECONDS: u16 = 1;
/// What a value is when the writer did not say.
pub const OCTET_STREAM: &str = "application/octet-stream";
/// The media type of documents.
pub const JSON: &str = "application/json";
/// The media type of errors (RFC 9457).
pub const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// The longest `Content-Type` kept with a value, in bytes.
pub const CONTENT_TYPE_MAX: usize = 256;

/// A header's name as it is usually spelled, such as `If-None-Match`.
#[must_use]
pub fn spelled(name: &HeaderName) -> String {
    let mut starts = true;
    let letter = |letter: char| {
        let spelled = if starts { letter.to_ascii_uppercase() } else { letter };
        starts = letter == '-';
        spelled
    };
    name.as_str().chars().map(letter).collect()
}

/// Whether a text may stand in `Content-Type`.
#[must_use]
pub fn is_content_type(text: &str) -> bool {
    let printable = HeaderValue::from_str(text).is_ok_and(|value| value.to_str().is_ok());
    printable && text.trim() == text && (1..=CONTENT_TYPE_MAX).contains(&text.len())
}

/// What is accepted as one.
#[must_use]
pub fn content_types() -> String {
    format!("1 to {CONTENT_TYPE_MAX} visible ASCII characters")
}

/// The value of a header that may come once, as text.
///
/// # Errors
///
/// It came twice, or is not visible ASCII.
pub fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name);
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::header(name, "the header twice", "the header once"));
    }
    match value.to_str() {
        Ok(text) => Ok(Some(text.trim())),
        Err(_) => Err(Problem::header(
            name,
            &value.as_bytes().escape_ascii().to_string(),
            "visible ASCII characters",
        )),
    }
}

/// Requires the body to be called JSON. A page of any origin may send a body of another type, or of none, unasked.
///
/// # Errors
///
/// `Content-Type` is another, or is not there.
pub fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let given = single(headers, &header::CONTENT_TYPE)?.unwrap_or_default();
    let media_type = given.split(';').next().unwrap_or_default().trim_ascii();
    if media_type.eq_ignore_ascii_case(JSON) { Ok(()) } else { Err(Problem::unsupported_media_type(given)) }
}

/// Puts the span of a request into its reply.
pub fn set_traceparent(to: &mut HeaderMap, trace: Option<&RequestTrace>) {
    if let Some(value) = trace.and_then(traceparent_of) {
        to.insert(TRACEPARENT, value);
    }
}

/// The span of a request, as its reply names it.
#[must_use]
pub fn traceparent_of(trace: &RequestTrace) -> Option<HeaderValue> {
    HeaderValue::from_bytes(&trace.context.header()).ok()
}

/// How many homes answered, had to, and are.
#[must_use]
pub fn replicas(acked: u16, required: u16, total: u16) -> String {
    let mut text = String::with_capacity(32);
    // Writing to a string cannot fail.
    let _ = write!(text, "acked={acked} required={required} total={total}");
    text
}

/// The request's `traceparent`, if it is one (W3C Trace Context, section 3.2).
#[must_use]
pub fn traceparent(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut values = headers.get_all(&TRACEPARENT);
    let value = values.next()?;
    let once = values.next().is_none();
    (once && value.to_str().ok().and_then(TraceContext::parse).is_some()).then_some(value)
}

/// Conditions that no call of the contract knows: they would change what is done, so they are refused.
pub const UNKNOWN_CONDITIONS: [HeaderName; 3] =
    [header::IF_MATCH, header::IF_UNMODIFIED_SINCE, header::IF_MODIFIED_SINCE];
