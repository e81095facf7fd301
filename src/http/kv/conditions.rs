//! Conditions of requests: those that a write goes by, and the refusal of those that no call evaluates.
//!
//! `If-None-Match` of reads is in [`crate::http::etag`].

use actix_web::http::header::{self, HeaderMap};

use crate::http::error::Problem;
use crate::http::headers;

/// Tells whether a PUT creates only (`If-None-Match: *`).
///
/// # Errors
///
/// Anything else that would make it conditional or partial.
pub fn creates_only(request: &HeaderMap) -> Result<bool, Problem> {
    refuse_unknown_conditions(request)?;
    refuse(request, &header::CONTENT_RANGE, "whole values only")?;
    // The encoding is not kept with the value, so readers would get bytes that they cannot tell from others.
    refuse(
        request,
        &header::CONTENT_ENCODING,
        "none: values are kept as they come, so name it in Content-Type",
    )?;
    match headers::single(request, &header::IF_NONE_MATCH)? {
        None => Ok(false),
        Some("*") => Ok(true),
        Some(given) => Err(Problem::header(&header::IF_NONE_MATCH, given, "* (create only)")),
    }
}

/// Refuses conditions on a DELETE, which goes by its context alone.
///
/// # Errors
///
/// A condition.
pub fn refuse_conditions_of_delete(request: &HeaderMap) -> Result<(), Problem> {
    refuse_unknown_conditions(request)?;
    refuse(request, &header::IF_NONE_MATCH, "a Neap-Context: what it covers is deleted")
}

/// Refuses conditions that no call of the contract evaluates.
///
/// # Errors
///
/// Such a condition.
pub fn refuse_unknown_conditions(request: &HeaderMap) -> Result<(), Problem> {
    headers::UNKNOWN_CONDITIONS.iter().try_for_each(|name| {
        refuse(
            request,
            name,
            "If-None-Match on GET and HEAD, 'If-None-Match: *' on PUT, and Neap-Context on PUT and DELETE",
        )
    })
}

/// Refuses the header `name`; `accepted` is named instead.
///
/// # Errors
///
/// The request has it.
fn refuse(request: &HeaderMap, name: &header::HeaderName, accepted: &'static str) -> Result<(), Problem> {
    match request.get(name) {
        None => Ok(()),
        Some(value) => Err(Problem::header(name, &value.as_bytes().escape_ascii().to_string(), accepted)),
    }
}
