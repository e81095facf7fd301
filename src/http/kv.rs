//! Keys and their values: GET, HEAD, PUT, DELETE.

use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};

use super::error::Problem;
use super::etag::{EntityTag, KnownTags};
use super::headers;
use super::params::{self, Parameter, Parameters};
use super::siblings;
use super::target;
use super::time;
use super::tokens::ContextToken;
use super::{Edge, Limits};
use crate::protocol::causality::{CausalContext, Object, Shown, Version, shown};
use crate::protocol::ids::{BucketName, Key, WriteId};
use crate::protocol::operation::{Participation, Read, ReadReply, Write, WriteBody, WriteReply};
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

/// What a read knows.
pub(super) const GET_PARAMETERS: [Parameter; 6] = [
    Parameter::R,
    Parameter::Timeout,
    Parameter::OnLeftOut,
    Parameter::MaxStaleness,
    Parameter::OnStale,
    Parameter::Key64,
];
/// What a write knows.
pub(super) const PUT_PARAMETERS: [Parameter; 4] =
    [Parameter::W, Parameter::Ttl, Parameter::Timeout, Parameter::Key64];
/// What a delete knows.
pub(super) const DELETE_PARAMETERS: [Parameter; 3] = [Parameter::W, Parameter::Timeout, Parameter::Key64];

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

    fn timeout_us(&self, edge: &Edge) -> u64 {
        self.parameters.timeout_us.unwrap_or(edge.limits.timeout_us)
    }
}

/// Reads a key
///
/// One value is a 200, concurrent ones (siblings) are a 300. HEAD says the same without a body.
#[utoipa::path(
    method(get, head),
    path = "/v1/kv/{bucket}/{key}",
    operation_id = "read",
    tag = "keys",
    responses(
        (status = 200, description = "The value, as its writer gave it"),
        (status = 300, description = "Concurrent versions, as JSON or, by `Accept`, as multipart/mixed",
            content((super::dto::SiblingsBody = "application/json"), (String = "multipart/mixed"))),
        (status = 304, description = "The client knows what is there (`If-None-Match`)"),
    ),
)]
pub async fn read(edge: &Edge, request: &HttpRequest, place: Place<'_>) -> Result<HttpResponse, Problem> {
    let call = Call::parse(edge, place, request.uri().query(), &GET_PARAMETERS)?;
    refuse_unknown_conditions(request.headers())?;
    let known = KnownTags::parse(request.headers())?;
    let timeout_us = call.timeout_us(edge);
    let Call { bucket, key, parameters } = call;
    let as_is = parameters.serve_left_out == Some(true);
    let read = Read { bucket: bucket.clone(), key: key.clone(), r: parameters.r, as_is };
    let trace = begin_trace(edge, request.headers(), Traced::Get);
    let reply = edge.backend.read(read, timeout_us, trace).await;
    let reply = reply.map_err(|error| Problem::read(error).traced(trace.as_ref()))?;
    let context = reply.object.as_ref().map(|object| edge.tokens.seal(&bucket, &key, object.context()));
    let mut response = show(edge, &reply, context, &known, request)?;
    headers::set_traceparent(response.headers_mut(), trace.as_ref());
    Ok(response)
}

fn show(
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
    participation(response.headers_mut(), &reply.participation);
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

/// Writes a value
///
/// With a `Neap-Context` it replaces exactly what that covers; without, what the coordinator holds at that moment, or
/// nothing (`blind_write`). Only a write with a `Neap-Write-Id` is safe to retry.
#[utoipa::path(
    put,
    path = "/v1/kv/{bucket}/{key}",
    operation_id = "put",
    tag = "keys",
    responses(
        (status = 201, description = "Written, where the coordinator knew no value"),
        (status = 204, description = "Written over a value"),
    ),
)]
pub async fn put(
    edge: &Edge,
    request: &HttpRequest,
    payload: web::Payload,
    place: Place<'_>,
) -> Result<HttpResponse, Problem> {
    let write_id = write_id(request.headers()).map_err(|problem| problem.of_write(None))?;
    let put = async {
        let call = Call::parse(edge, place, request.uri().query(), &PUT_PARAMETERS)?;
        let conditions = conditions_of_put(request.headers())?;
        let content_type = content_type_of_put(request.headers())?;
        let context = context(edge, &call.bucket, &call.key, request.headers())?;
        let within = edge.limits.body_timeout;
        let received =
            edge.bodies.receive("value", request.headers(), payload, edge.limits.value, within).await?;
        let (bytes, _permit) = received;
        let body = WriteBody::Put { content_type, bytes };
        let trace = begin_trace(edge, request.headers(), Traced::Put);
        write(edge, call, Told { body, context, write_id, only_if_absent: conditions, trace }).await
    };
    put.await.map_err(|problem| problem.of_write(write_id))
}

/// Deletes a key
///
/// With a `Neap-Context` only what that covers.
#[utoipa::path(
    delete,
    path = "/v1/kv/{bucket}/{key}",
    operation_id = "delete",
    tag = "keys",
    responses((status = 204, description = "Deleted")),
)]
pub async fn delete(edge: &Edge, request: &HttpRequest, place: Place<'_>) -> Result<HttpResponse, Problem> {
    let write_id = write_id(request.headers()).map_err(|problem| problem.of_write(None))?;
    let delete = async {
        let call = Call::parse(edge, place, request.uri().query(), &DELETE_PARAMETERS)?;
        refuse_unknown_conditions(request.headers())?;
        refuse(request.headers(), &header::IF_NONE_MATCH, "a Neap-Context: what it covers is deleted")?;
        let context = context(edge, &call.bucket, &call.key, request.headers())?;
        let trace = begin_trace(edge, request.headers(), Traced::Delete);
        let told = Told { body: WriteBody::Delete, context, write_id, only_if_absent: false, trace };
        write(edge, call, told).await
    };
    delete.await.map_err(|problem| problem.of_write(write_id))
}

/// Writes a value, of any key
///
/// The key is in `key64`; all else as on `/v1/kv/{bucket}/{key}`.
#[utoipa::path(
    put,
    path = "/v1/kv/{bucket}",
    operation_id = "put_key64",
    tag = "keys",
    responses(
        (status = 201, description = "Written, where the coordinator knew no value"),
        (status = 204, description = "Written over a value"),
    ),
)]
pub async fn put_key64(
    edge: &Edge,
    request: &HttpRequest,
    payload: web::Payload,
    bucket: &str,
) -> Result<HttpResponse, Problem> {
    put(edge, request, payload, Place { bucket, key: None }).await
}

/// Deletes any key
///
/// The key is in `key64`; all else as on `/v1/kv/{bucket}/{key}`.
#[utoipa::path(
    delete,
    path = "/v1/kv/{bucket}",
    operation_id = "delete_key64",
    tag = "keys",
    responses((status = 204, description = "Deleted")),
)]
pub async fn delete_key64(edge: &Edge, request: &HttpRequest, bucket: &str) -> Result<HttpResponse, Problem> {
    delete(edge, request, Place { bucket, key: None }).await
}

/// What headers and body say of a write.
struct Told {
    trace: Option<RequestTrace>,
    body: WriteBody,
    context: Option<CausalContext>,
    write_id: Option<WriteId>,
    only_if_absent: bool,
}

async fn write(edge: &Edge, call: Call<'_>, told: Told) -> Result<HttpResponse, Problem> {
    let timeout_us = call.timeout_us(edge);
    let Call { bucket, key, parameters } = call;
    let Told { body, context, write_id, only_if_absent, trace } = told;
    let deletes = matches!(body, WriteBody::Delete);
    let write = Write {
        bucket: bucket.clone(),
        key: key.clone(),
        body,
        context,
        write_id,
        w: parameters.w,
        ttl_us: parameters.ttl_us,
        only_if_absent,
    };
    let reply = edge.backend.write(write, timeout_us, trace).await;
    let reply = reply.map_err(|error| Problem::write(error).traced(trace.as_ref()))?;
    let mut response = match written(&reply, deletes, only_if_absent) {
        Ok(status) => HttpResponse::new(status),
        Err(problem) => problem.into_response(),
    };
    let WriteReply { answered, write_id, participation: homes, .. } = reply;
    let to = response.headers_mut();
    participation(to, &homes);
    headers::set_traceparent(to, trace.as_ref());
    insert(to, headers::NEAP_CONTEXT, Some(edge.tokens.seal(&bucket, &key, &answered.context).0));
    insert(to, headers::NEAP_VERSION_TIME, Some(time::rfc3339(answered.hlc)));
    insert(to, headers::NEAP_WRITE_ID, Some(write_id.to_string()));
    Ok(response)
}

/// The status of a write that was carried out, or the 409 of a create that found a sibling beside it.
pub(super) fn written(
    reply: &WriteReply,
    deletes: bool,
    only_if_absent: bool,
) -> Result<StatusCode, Problem> {
    if only_if_absent && reply.sibling {
        return Err(Problem::applied_as_sibling());
    }
    Ok(if reply.answered.created && !deletes { StatusCode::CREATED } else { StatusCode::NO_CONTENT })
}

/// The trace of a request: that of its client goes on.
pub(super) fn begin_trace(edge: &Edge, request: &HeaderMap, call: Traced) -> Option<RequestTrace> {
    let caller = headers::traceparent(request).and_then(|value| value.to_str().ok());
    let now_ns = time::now().0.saturating_mul(1_000);
    edge.tracing.begin(caller.and_then(TraceContext::parse), call, now_ns)
}

fn participation(to: &mut HeaderMap, homes: &Participation) {
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

pub(super) fn write_id(request: &HeaderMap) -> Result<Option<WriteId>, Problem> {
    let Some(text) = headers::single(request, &headers::NEAP_WRITE_ID)? else { return Ok(None) };
    let id = WriteId::parse(text);
    id.map(Some).ok_or_else(|| Problem::header(&headers::NEAP_WRITE_ID, text, "32 hexadecimal digits"))
}

fn context(
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

/// Whether the PUT is to create only; anything else that would make it conditional or partial is refused.
fn conditions_of_put(request: &HeaderMap) -> Result<bool, Problem> {
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

fn content_type_of_put(request: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(text) = headers::single(request, &header::CONTENT_TYPE)? else { return Ok(None) };
    if headers::is_content_type(text) {
        Ok(Some(text.to_owned()))
    } else {
        Err(Problem::header(&header::CONTENT_TYPE, text, headers::content_types()))
    }
}

pub(super) fn refuse_unknown_conditions(request: &HeaderMap) -> Result<(), Problem> {
    headers::UNKNOWN_CONDITIONS.iter().try_for_each(|name| {
        refuse(
            request,
            name,
            "If-None-Match on GET and HEAD, 'If-None-Match: *' on PUT, and Neap-Context on PUT and DELETE",
        )
    })
}

fn refuse(request: &HeaderMap, name: &header::HeaderName, accepted: &'static str) -> Result<(), Problem> {
    match request.get(name) {
        None => Ok(()),
        Some(value) => Err(Problem::header(name, &value.as_bytes().escape_ascii().to_string(), accepted)),
    }
}
