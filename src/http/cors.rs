//! Headers that let pages of listed origins (`http.cors`) call a node and read its replies (the Fetch standard, section
//! 3.2).

use actix_web::http::Method;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap,
    HeaderValue, ORIGIN, VARY,
};
use actix_web::{HttpRequest, HttpResponse};

/// Request headers that the contract reads, beside those that need no permission.
const ALLOWED: &str = "Content-Type, If-None-Match, Neap-Context, Neap-Write-Id, traceparent";

/// Reply headers of the contract, beside those that every page may read.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "Allow, ETag, Neap-Acked-By, Neap-Context, Neap-Lagging-Replicas, Neap-Replicas, Neap-Staleness-Bound, \
     Neap-Version-Time, Neap-Write-Id, Retry-After, traceparent",
);

/// Time for which a browser may remember the answer to a preflight, in seconds. Some ask again after ten minutes anyway.
const REMEMBERED_S: u16 = 600;

/// Tells whether a browser asks beforehand if a page may make a request.
#[must_use]
pub fn is_preflight(request: &HttpRequest) -> bool {
    *request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to that, for a path with the methods `allow`.
#[must_use]
pub fn preflight(allow: &str) -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header((ACCESS_CONTROL_ALLOW_METHODS, allow))
        .insert_header((ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED))
        .insert_header((ACCESS_CONTROL_MAX_AGE, HeaderValue::from(REMEMBERED_S)))
        .finish()
}

/// Lets a page of `origin` read the reply.
pub fn expose(to: &mut HeaderMap, origin: &HeaderValue) {
    to.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    to.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    to.append(VARY, HeaderValue::from_name(ORIGIN));
}
