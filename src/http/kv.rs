//! `kv`: reading, writing and deleting one key.

use std::sync::atomic::Ordering;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;

use super::error::Problem;
use super::etag::EntityTag;
use super::params::{Parameter, Parameters};
use super::{BODIES_MAX, Edge, headers, params, siblings, target, time};
use crate::protocol::bucket::Resolution;
use crate::protocol::causality::{Body, CausalContext, Object, Version};
use crate::protocol::ids::{BucketName, Key, WriteId};
use crate::protocol::operation::{Participation, Read, ReadReply, Write, WriteBody, WriteReply};
use crate::protocol::time::WallMicros;

/// Where the key stands.
#[derive(Clone, Copy)]
pub enum RawKey<'a> {
    /// In the path, percent-encoded.
    Path(&'a str),
    /// In `?key64=`.
    Query,
}

/// Whether a query has `key64`.
#[must_use]
pub fn names_key64(query: Option<&str>) -> bool {
    let pieces = query.unwrap_or_default().split('&');
    pieces.into_iter().any(|piece| piece.split('=').next() == Some(target::KEY64))
}

/// A key that a request is about.
struct Place {
    bucket: BucketName,
    key: Key,
    timeout_us: u64,
}

fn place(edge: &Edge, bucket: &str, key: RawKey<'_>, given: &Parameters<'_>) -> Result<Place, Problem> {
    let bucket = target::bucket(bucket)?;
    let key = match (key, &given.key64) {
        (RawKey::Path(raw), None) => target::key(raw, edge.limits.key)?,
        (RawKey::Path(raw), Some(_)) => {
            return Err(Problem::invalid(target::KEY64, raw, "a key in the path or in key64, not in both"));
        }
        (RawKey::Query, given) => target::key64(given.as_deref().unwrap_or_default(), edge.limits.key)?,
    };
    Ok(Place { bucket, key, timeout_us: given.timeout_us.unwrap_or(edge.limits.timeout_us) })
}

/// `GET` and `HEAD`.
pub async fn get(
    request: &HttpRequest,
    edge: &Edge,
    bucket: &str,
    key: RawKey<'_>,
) -> Result<HttpResponse, Problem> {
    const KNOWN: [Parameter; 5] =
        [Parameter::R, Parameter::Timeout, Parameter::Key64, Parameter::MaxStaleness, Parameter::OnStale];
    let given = params::parse(request.uri().query(), &KNOWN, edge.limits.timeout_us)?;
    let Place { bucket, key, timeout_us } = place(edge, bucket, key, &given)?;
    let read = Read { bucket: bucket.clone(), key: key.clone(), r: given.r };
    let reply = edge.backend.read(read, timeout_us).await.map_err(Problem::read)?;
    render(request, edge, &bucket, &key, &reply)
}

/// What a reader is shown: values that have not expired, and deletes beside them.
fn shown(object: &Object, resolution: Resolution, now: WallMicros) -> Vec<&Version> {
    let versions: Vec<&Version> = match resolution {
        Resolution::Siblings => object.siblings(),
        Resolution::Lww => object.lww().into_iter().collect(),
    };
    let expired = |version: &&Version| match &version.body {
        Body::Value(value) => value.expires_at.is_some_and(|at| now >= at),
        Body::Tombstone => false,
    };
    versions.into_iter().filter(|version| !expired(version)).collect()
}

fn render(
    request: &HttpRequest,
    edge: &Edge,
    bucket: &BucketName,
    key: &Key,
    reply: &ReadReply,
) -> Result<HttpResponse, Problem> {
    let Some(object) = reply.object.as_ref().filter(|object| !object.context().is_empty()) else {
        let mut response = Problem::key_not_found(false).into_response();
        add_common(request, &mut response, &reply.participation, None);
        return Ok(response);
    };
    let context = edge.tokens.seal(bucket, key, object.context()).0;
    let shown = shown(object, reply.resolution, time::now());
    if shown.iter().all(|version| version.is_tombstone()) {
        let mut response = Problem::key_not_found(true).into_response();
        add_common(request, &mut response, &reply.participation, Some(&context));
        return Ok(response);
    }
    let tag = EntityTag::of(shown.iter().copied());
    let status = match &shown[..] {
        _ if tag.is_known(request.headers())? => StatusCode::NOT_MODIFIED,
        [_] => StatusCode::OK,
        _ => StatusCode::MULTIPLE_CHOICES,
    };
    let mut builder = HttpResponse::build(status);
    builder.insert_header((ETAG, tag.as_str()));
    if let Some(newest) = shown.iter().map(|version| version.hlc).max() {
        builder.insert_header((headers::NEAP_VERSION_TIME, time::rfc3339(newest)));
    }
    let mut response = match &shown[..] {
        _ if status == StatusCode::NOT_MODIFIED => builder.finish(),
        [version] => value(&mut builder, version),
        _ if siblings::wants_multipart(request.headers()) => {
            let (content_type, body) = siblings::multipart(&shown);
            builder.insert_header((CONTENT_TYPE, content_type)).body(body)
        }
        _ => {
            let document = siblings::json(&shown, &context);
            let body = serde_json::to_vec(&document).unwrap_or_default();
            builder.insert_header((CONTENT_TYPE, "application/json")).body(body)
        }
    };
    add_common(request, &mut response, &reply.participation, Some(&context));
    Ok(response)
}

fn value(builder: &mut HttpResponseBuilder, version: &Version) -> HttpResponse {
    builder.insert_header((headers::NEAP_WRITE_ID, version.write_id.to_string()));
    match &version.body {
        Body::Value(value) => {
            let content_type = value.content_type.as_deref().unwrap_or(headers::OCTET_STREAM);
            builder.insert_header((CONTENT_TYPE, content_type)).body(value.bytes.clone())
        }
        Body::Tombstone => builder.finish(),
    }
}

/// The headers of every reply of a read or a write.
fn add_common(
    request: &HttpRequest,
    response: &mut HttpResponse,
    participation: &Participation,
    context: Option<&str>,
) {
    use actix_web::http::header::HeaderValue;
    let Participation { acked_by, required, total } = participation;
    let acked = acked_by.len();
    let names: Vec<&str> = acked_by.iter().map(|node| node.as_str()).collect();
    let out = response.headers_mut();
    let mut put = |name, text: &str| {
        // Names, numbers and base64url are visible ASCII.
        if let Ok(value) = HeaderValue::from_str(text) {
            out.insert(name, value);
        }
    };
    put(headers::NEAP_REPLICAS, &format!("acked={acked} required={required} total={total}"));
    put(headers::NEAP_ACKED_BY, &names.join(","));
    put(headers::NEAP_LAGGING_REPLICAS, &participation.lagging().to_string());
    if let Some(context) = context {
        put(headers::NEAP_CONTEXT, context);
    }
    out.insert(headers::NEAP_STALENESS_BOUND, headers::UNPROVEN);
    out.insert(CACHE_CONTROL, headers::NO_STORE);
    if let Some(traceparent) = headers::traceparent(request.headers()) {
        out.insert(headers::TRACEPARENT, traceparent.clone());
    }
}

/// `PUT`.
pub async fn put(
    request: &HttpRequest,
    body: web::Payload,
    edge: &Edge,
    bucket: &str,
    key: RawKey<'_>,
) -> Result<HttpResponse, Problem> {
    const KNOWN: [Parameter; 4] = [Parameter::W, Parameter::Ttl, Parameter::Timeout, Parameter::Key64];
    let given = params::parse(request.uri().query(), &KNOWN, edge.limits.timeout_us)?;
    let place = place(edge, bucket, key, &given)?;
    let conditions = conditions(request)?;
    let content_type = content_type(request)?;
    let asked = Asked::read(request, edge, &place)?;
    let bytes = receive(request, body, edge, "value", edge.limits.value, place.timeout_us).await;
    let bytes = bytes.map_err(|problem| problem.of_write(asked.write_id))?;
    let write = Write {
        bucket: place.bucket.clone(),
        key: place.key.clone(),
        body: WriteBody::Put { content_type, bytes },
        context: asked.context,
        write_id: asked.write_id,
        w: given.w,
        ttl_us: given.ttl_us,
        only_if_absent: conditions,
    };
    carry_out(request, edge, &place, write).await
}

/// `DELETE`.
pub async fn delete(
    request: &HttpRequest,
    edge: &Edge,
    bucket: &str,
    key: RawKey<'_>,
) -> Result<HttpResponse, Problem> {
    const KNOWN: [Parameter; 3] = [Parameter::W, Parameter::Timeout, Parameter::Key64];
    let given = params::parse(request.uri().query(), &KNOWN, edge.limits.timeout_us)?;
    let place = place(edge, bucket, key, &given)?;
    if conditions(request)? {
        let accepted = "no condition on a delete; Neap-Context deletes exactly what was read";
        return Err(Problem::header(&IF_NONE_MATCH, "*", accepted));
    }
    let asked = Asked::read(request, edge, &place)?;
    let write = Write {
        bucket: place.bucket.clone(),
        key: place.key.clone(),
        body: WriteBody::Delete,
        context: asked.context,
        write_id: asked.write_id,
        w: given.w,
        ttl_us: None,
        only_if_absent: false,
    };
    carry_out(request, edge, &place, write).await
}

/// What the headers of a write say.
struct Asked {
    context: Option<CausalContext>,
    write_id: Option<WriteId>,
}

impl Asked {
    fn read(request: &HttpRequest, edge: &Edge, place: &Place) -> Result<Self, Problem> {
        let write_id = match headers::single(request.headers(), &headers::NEAP_WRITE_ID)? {
            Some(text) => Some(WriteId::parse(text).ok_or_else(|| {
                Problem::header(&headers::NEAP_WRITE_ID, text, "128 bits as 32 hexadecimal digits")
            })?),
            None => None,
        };
        let context = match headers::single(request.headers(), &headers::NEAP_CONTEXT)? {
            Some(token) => {
                let opened = edge.tokens.open(&place.bucket, &place.key, token);
                Some(opened.map_err(|error| Problem::context(error, token).of_write(write_id))?)
            }
            None => None,
        };
        Ok(Self { context, write_id })
    }
}

/// Whether `If-None-Match: *` was given; any other condition is refused, since it would not be kept.
fn conditions(request: &HttpRequest) -> Result<bool, Problem> {
    for unknown in &headers::UNKNOWN_CONDITIONS {
        if let Some(value) = request.headers().get(unknown) {
            let given = value.as_bytes().escape_ascii().to_string();
            let accepted = "Neap-Context, to replace exactly what was read; or If-None-Match: *";
            return Err(Problem::header(unknown, &given, accepted));
        }
    }
    match headers::single(request.headers(), &IF_NONE_MATCH)? {
        None => Ok(false),
        Some("*") => Ok(true),
        Some(given) => Err(Problem::header(&IF_NONE_MATCH, given, "* on a write")),
    }
}

fn content_type(request: &HttpRequest) -> Result<Option<String>, Problem> {
    let Some(given) = headers::single(request.headers(), &CONTENT_TYPE)? else { return Ok(None) };
    if given.len() > headers::CONTENT_TYPE_MAX {
        return Err(Problem::too_large("content-type", Some(given.len() as u64), headers::CONTENT_TYPE_MAX));
    }
    Ok((!given.is_empty()).then(|| given.to_owned()))
}

async fn carry_out(
    request: &HttpRequest,
    edge: &Edge,
    place: &Place,
    write: Write,
) -> Result<HttpResponse, Problem> {
    let (write_id, only_if_absent) = (write.write_id, write.only_if_absent);
    let reply = edge.backend.write(write, place.timeout_us).await;
    let reply = reply.map_err(|error| Problem::write(error).of_write(write_id))?;
    let WriteReply { answered, write_id, created, sibling, participation } = reply;
    let context = edge.tokens.seal(&place.bucket, &place.key, &answered.context).0;
    let mut response = if only_if_absent && sibling {
        Problem::applied_as_sibling().into_response()
    } else {
        let status = if created { StatusCode::CREATED } else { StatusCode::NO_CONTENT };
        HttpResponse::build(status).finish()
    };
    add_common(request, &mut response, &participation, Some(&context));
    let out = response.headers_mut();
    for (name, text) in [
        (headers::NEAP_WRITE_ID, write_id.to_string()),
        (headers::NEAP_VERSION_TIME, time::rfc3339(answered.hlc)),
    ] {
        if let Ok(value) = actix_web::http::header::HeaderValue::from_str(&text) {
            out.insert(name, value);
        }
    }
    Ok(response)
}

/// Bytes counted against [`BODIES_MAX`] until they are dropped.
struct Counted<'a> {
    edge: &'a Edge,
    bytes: usize,
}

impl Counted<'_> {
    fn add(&mut self, bytes: usize) -> Result<(), Problem> {
        self.bytes += bytes;
        let all = self.edge.bodies.fetch_add(bytes, Ordering::AcqRel) + bytes;
        if all > BODIES_MAX { Err(Problem::bodies_over_budget(BODIES_MAX)) } else { Ok(()) }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.edge.bodies.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

/// Receives a body of `limit` bytes at the most, within `timeout_us` microseconds.
pub async fn receive(
    request: &HttpRequest,
    mut body: web::Payload,
    edge: &Edge,
    what: &'static str,
    limit: usize,
    timeout_us: u64,
) -> Result<Bytes, Problem> {
    let declared = headers::single(request.headers(), &actix_web::http::header::CONTENT_LENGTH)?;
    if let Some(length) = declared.and_then(|length| length.parse::<u64>().ok())
        && length > limit as u64
    {
        return Err(Problem::too_large(what, Some(length), limit));
    }
    let gathered = async {
        let mut counted = Counted { edge, bytes: 0 };
        let mut first: Option<Bytes> = None;
        let mut gathered = BytesMut::new();
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|_| Problem::body_broken())?;
            counted.add(chunk.len())?;
            if counted.bytes > limit {
                return Err(Problem::too_large(what, None, limit));
            }
            // A body in one piece, as nearly all are, is never copied.
            match first.take() {
                None if gathered.is_empty() => first = Some(chunk),
                Some(earlier) => {
                    gathered.extend_from_slice(&earlier);
                    gathered.extend_from_slice(&chunk);
                }
                None => gathered.extend_from_slice(&chunk),
            }
        }
        Ok(first.unwrap_or_else(|| gathered.freeze()))
    };
    let within = Duration::from_micros(timeout_us);
    tokio::time::timeout(within, gathered).await.unwrap_or_else(|_| Err(Problem::body_too_slow()))
}
