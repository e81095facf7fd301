//! Turns replies of the node into responses.

use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};

use crate::http::error::Problem;
use crate::http::etag::{EntityTag, KnownTags};
use crate::http::tokens::ContextToken;
use crate::http::{Edge, headers, siblings, time};
use crate::protocol::causality::{Object, Shown, Version, shown};
use crate::protocol::operation::{Participation, ReadReply, WriteReply};

/// The response to a read: the value, its siblings, or a 404.
///
/// # Errors
///
/// No memory for a large body.
pub fn of_read(
    edge: &Edge,
    reply: &ReadReply,
    context: Option<ContextToken>,
    known: &KnownTags<'_>,
    request: &HttpRequest,
) -> Result<HttpResponse, Problem> {
    let shown = match &reply.object {
        Some(object) => shown(object, reply.resolution, time::now()),
        None => Shown::Nothing,
    };
    let token = context.as_ref().map_or("", |context| context.0.as_str());
    let mut response = match &shown {
        Shown::Nothing => not_found(reply.object.as_ref()),
        Shown::One(version, value) => {
            let tag = EntityTag::of([*version]);
            let mut response = if known.has(&tag) {
                HttpResponse::NotModified().finish()
            } else {
                let media_type = HeaderValue::from_str(siblings::content_type(value))
                    .unwrap_or(HeaderValue::from_static(headers::OCTET_STREAM));
                let body = edge.answers.body(value.bytes.clone(), request.method() == Method::HEAD)?;
                HttpResponse::Ok().insert_header((header::CONTENT_TYPE, media_type)).body(body)
            };
            describe(&mut response, &tag, version);
            response
        }
        Shown::Several(versions) => several(edge, versions, token, known, request)?,
    };
    insert_participation(response.headers_mut(), &reply.participation);
    insert(response.headers_mut(), headers::NEAP_CONTEXT, context.map(|context| context.0));
    Ok(response)
}

fn not_found(object: Option<&Object>) -> HttpResponse {
    let newest = object.and_then(Object::newest);
    let mut response = Problem::key_not_found(newest.is_some()).into_response();
    insert(response.headers_mut(), headers::NEAP_VERSION_TIME, newest.map(time::rfc3339));
    response
}

/// A 300. Version time and write id are those of the newest version; each of them has its own in the body.
fn several(
    edge: &Edge,
    versions: &[&Version],
    token: &str,
    known: &KnownTags<'_>,
    request: &HttpRequest,
) -> Result<HttpResponse, Problem> {
    let tag = EntityTag::of(versions.iter().copied());
    let mut response = if known.has(&tag) {
        HttpResponse::NotModified().finish()
    } else {
        let mut response = HttpResponseBuilder::new(StatusCode::MULTIPLE_CHOICES);
        let (media_type, body) = if siblings::prefers_multipart(request.headers()) {
            siblings::multipart(versions)
        } else {
            ("application/json".to_owned(), siblings::json(versions, token).into())
        };
        let body = edge.answers.body(body, request.method() == Method::HEAD)?;
        response.insert_header((header::CONTENT_TYPE, media_type)).body(body)
    };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    if let Some(newest) = versions.iter().max_by_key(|version| (version.hlc, version.dot)) {
        describe(&mut response, &tag, newest);
    }
    Ok(response)
}

fn describe(response: &mut HttpResponse, tag: &EntityTag, version: &Version) {
    let to = response.headers_mut();
    insert(to, header::ETAG, Some(tag.as_str().to_owned()));
    insert(to, headers::NEAP_VERSION_TIME, Some(time::rfc3339(version.hlc)));
    insert(to, headers::NEAP_WRITE_ID, Some(version.write_id.to_string()));
}

/// The response to a write that was carried out, whose status is `written`. `context` covers the version written.
pub fn of_write(
    written: Result<StatusCode, Problem>,
    reply: &WriteReply,
    context: ContextToken,
) -> HttpResponse {
    let mut response = match written {
        Ok(status) => HttpResponse::new(status),
        Err(problem) => problem.into_response(),
    };
    let to = response.headers_mut();
    insert_participation(to, &reply.participation);
    insert(to, headers::NEAP_CONTEXT, Some(context.0));
    insert(to, headers::NEAP_VERSION_TIME, Some(time::rfc3339(reply.answered.hlc)));
    insert(to, headers::NEAP_WRITE_ID, Some(reply.write_id.to_string()));
    response
}

/// The status of a write that was carried out.
///
/// # Errors
///
/// The write was to create only, and found a sibling beside it.
pub fn written(reply: &WriteReply, deletes: bool, only_if_absent: bool) -> Result<StatusCode, Problem> {
    if only_if_absent && reply.sibling {
        return Err(Problem::applied_as_sibling());
    }
    Ok(if reply.answered.created && !deletes { StatusCode::CREATED } else { StatusCode::NO_CONTENT })
}

/// Puts in the replicas that answered.
fn insert_participation(to: &mut HeaderMap, homes: &Participation) {
    let mut acked_by = String::with_capacity(homes.acked_by.len().saturating_mul(8));
    for home in &homes.acked_by {
        if !acked_by.is_empty() {
            acked_by.push(',');
        }
        acked_by.push_str(home.as_str());
    }
    let acked = u16::try_from(homes.acked_by.len()).unwrap_or(u16::MAX);
    let replicas = headers::replicas(acked, homes.required.into(), homes.total.into());
    insert(to, headers::NEAP_REPLICAS, Some(replicas));
    insert(to, headers::NEAP_ACKED_BY, Some(acked_by));
    to.insert(headers::NEAP_LAGGING_REPLICAS, HeaderValue::from(u16::from(homes.lagging())));
    to.insert(headers::NEAP_STALENESS_BOUND, headers::UNPROVEN);
}

/// Puts a header in whose text the edge made itself, of visible ASCII.
fn insert(to: &mut HeaderMap, name: header::HeaderName, text: Option<String>) {
    if let Some(value) = text.and_then(|text| HeaderValue::try_from(text).ok()) {
        to.insert(name, value);
    }
}
