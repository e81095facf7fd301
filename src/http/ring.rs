//! The ring, as this node sees it.

use actix_web::{HttpRequest, HttpResponse};
use base64::Engine as _;

use super::Edge;
use super::backend::{MemberView, RingView};
use super::dto::{MemberBody, PreferenceListBody, RingBody};
use super::error::Problem;
use super::kv::{Call, Place};
use super::params::{self, Parameter};
use super::target::BASE64URL;
use crate::protocol::ring::key_hash;

/// Shows the members and what each owns
#[utoipa::path(method(get, head), path = "/v1/ring", operation_id = "ring", tag = "ring",
    responses((status = 200, description = "The ring, as this node sees it", body = RingBody)))]
pub fn show(edge: &Edge, request: &HttpRequest) -> Result<HttpResponse, Problem> {
    params::parse(request.uri().query(), &[], edge.limits.timeout_us)?;
    let RingView { cluster, epoch, fingerprint, partitions, n, members, incomplete_partitions } =
        edge.backend.ring();
    let fingerprint = format!("{fingerprint:016x}");
    let members = members.into_iter().map(MemberBody::from).collect();
    let body = RingBody { cluster, epoch, fingerprint, partitions, n, members, incomplete_partitions };
    Ok(HttpResponse::Ok().json(body))
}

impl From<MemberView> for MemberBody {
    fn from(member: MemberView) -> Self {
        let MemberView { id, zone, weight, address, up, partitions, first } = member;
        let state = if up { "up" } else { "down" };
        Self { id: id.to_string(), zone, weight, address, state, partitions, first }
    }
}

/// Shows the homes of a key, in order
#[utoipa::path(method(get, head), path = "/v1/ring/{bucket}/{key}", operation_id = "preference_list", tag = "ring",
    responses((status = 200, description = "The preference list", body = PreferenceListBody)))]
pub fn preference_list(
    edge: &Edge,
    request: &HttpRequest,
    place: Place<'_>,
) -> Result<HttpResponse, Problem> {
    let call = Call::parse(edge, place, request.uri().query(), &[Parameter::Key64])?;
    let (partition, homes) = edge.backend.preference_list(&call.bucket, &call.key);
    let (settings, _) = edge.backend.bucket(&call.bucket);
    Ok(HttpResponse::Ok().json(PreferenceListBody {
        bucket: call.bucket.to_string(),
        key64: BASE64URL.encode(call.key.as_bytes()),
        key_hash: format!("{:016x}", key_hash(&call.bucket, &call.key)),
        partition,
        n: settings.quorum.n,
        preference_list: homes.iter().map(ToString::to_string).collect(),
    }))
}

/// Shows the homes of any key, in order
///
/// The key is in `key64`, without which there is no such path.
#[utoipa::path(method(get, head), path = "/v1/ring/{bucket}", operation_id = "preference_list_key64", tag = "ring",
    responses((status = 200, description = "The preference list", body = PreferenceListBody)))]
pub fn preference_list_key64(
    edge: &Edge,
    request: &HttpRequest,
    bucket: &str,
) -> Result<HttpResponse, Problem> {
    preference_list(edge, request, Place { bucket, key: None })
}
