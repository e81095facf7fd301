//! `GET /v1/kv/{bucket}`: the keys of a bucket, in byte order, page by page.

use actix_web::{HttpRequest, HttpResponse};
use base64::Engine as _;
use bytes::Bytes;
use serde::Serialize;

use super::Edge;
use super::error::Problem;
use super::kv::{self, Place};
use super::params::{self, Parameter};
use super::target::{self, BASE64URL};
use super::time;
use crate::protocol::listing::{KeyRange, ListReply, ListedKey, just_before};

/// The most keys of a page, and how many one has that does not say.
pub const LIMIT_MAX: u16 = 1_000;

/// What a listing knows.
pub(super) const PARAMETERS: [Parameter; 5] =
    [Parameter::Prefix, Parameter::Start, Parameter::Limit, Parameter::Token, Parameter::Timeout];

/// A page of keys.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct KeysBody {
    /// The keys, in byte order.
    keys: Vec<KeyBody>,
    /// The next page's `token`; absent on the last page, and on no other, however few keys a page holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    continuation: Option<String>,
}

/// A key that holds a value.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct KeyBody {
    /// The key; absent if it is no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// The key as base64url.
    key64: String,
    /// When its newest version was written.
    version_time: String,
    /// How many versions a reader is shown: more than one are siblings.
    versions: usize,
}

/// Lists the keys of a bucket, or reads any key
///
/// Keys are listed in byte order, from the first that is at least `start`, page by page: `continuation` is the next
/// page's `token`. Each partition is listed from as many of its replicas as the bucket's R; where fewer are there, the
/// reply is a 503 that counts such partitions. A page ends in time with what it has: behind many deleted or expired keys it
/// may hold fewer keys than `limit`, or none, and a `continuation`. Only a page without `continuation` is the last. A key
/// that lives from the first page to the last is listed once; one that is written, deleted or expires meanwhile may be
/// listed or not. No key comes twice, and none out of order. With `key64` this key is read instead, as on
/// `/v1/kv/{bucket}/{key}`, with the parameters of that call and none of these.
#[utoipa::path(
    method(get, head),
    path = "/v1/kv/{bucket}",
    operation_id = "list_keys",
    tag = "keys",
    responses(
        (status = 200, description = "A page of keys, or with `key64` the value", body = KeysBody),
        (status = 300, description = "Concurrent versions of the key in `key64`",
            content((super::dto::SiblingsBody = "application/json"), (String = "multipart/mixed"))),
        (status = 304, description = "The client knows what is there (`If-None-Match`)"),
    ),
)]
pub async fn list_or_read(
    edge: &Edge,
    request: &HttpRequest,
    bucket: &str,
    key64: bool,
) -> Result<HttpResponse, Problem> {
    if key64 {
        kv::read(edge, request, Place { bucket, key: None }).await
    } else {
        list(edge, request, bucket).await
    }
}

async fn list(edge: &Edge, request: &HttpRequest, bucket: &str) -> Result<HttpResponse, Problem> {
    let bucket = target::bucket(bucket)?;
    kv::refuse_unknown_conditions(request.headers())?;
    let given = params::parse(request.uri().query(), &PARAMETERS, edge.limits.timeout_us)?;
    let prefix = within_key("prefix", given.prefix, edge.limits.key)?;
    let start = within_key("start", given.start, edge.limits.key)?;
    let mut range = KeyRange { bucket, prefix, after: just_before(&start) };
    if let Some(token) = given.token {
        if !start.is_empty() {
            return Err(Problem::invalid("start", "a start besides a token", "one of start and token"));
        }
        range = edge.tokens.resume(range, &token).map_err(|error| Problem::continuation(error, &token))?;
    }
    let limit = usize::from(given.limit.unwrap_or(LIMIT_MAX));
    let timeout_us = given.timeout_us.unwrap_or(edge.limits.timeout_us);
    let listed = edge.backend.list_keys(range.clone(), limit, timeout_us).await;
    let ListReply { keys, more_after } = listed.map_err(Problem::list)?;
    let continuation = more_after.map(|after| edge.tokens.continuation(&range, &after));
    let keys = keys.into_iter().map(KeyBody::from).collect();
    Ok(HttpResponse::Ok().json(KeysBody { keys, continuation }))
}

fn within_key(name: &'static str, given: Option<Vec<u8>>, limit: usize) -> Result<Bytes, Problem> {
    let bytes = given.unwrap_or_default();
    if bytes.len() > limit {
        return Err(Problem::too_large(name, Some(bytes.len() as u64), limit));
    }
    Ok(bytes.into())
}

impl From<ListedKey> for KeyBody {
    fn from(listed: ListedKey) -> Self {
        let bytes = listed.key.as_bytes();
        Self {
            key: std::str::from_utf8(bytes).ok().map(str::to_owned),
            key64: BASE64URL.encode(bytes),
            version_time: time::rfc3339(listed.newest),
            versions: listed.versions,
        }
    }
}
