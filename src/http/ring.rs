//! `ring`: who owns what.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine as _;

use super::error::Problem;
use super::{Edge, dto, params, target};

/// `GET /v1/ring`.
pub fn get(request: &HttpRequest, edge: &Edge) -> Result<HttpResponse, Problem> {
    params::parse(request.uri().query(), &[], edge.limits.timeout_us)?;
    let ring = edge.backend.ring();
    let members = ring.members.into_iter().map(|member| dto::Member {
        id: member.id.to_string(),
        zone: member.zone,
        weight: member.weight,
        address: member.address,
        state: if member.up { "up" } else { "down" },
        partitions: member.partitions,
        first: member.first,
    });
    let document = dto::Ring {
        cluster: ring.cluster,
        epoch: ring.epoch,
        fingerprint: format!("{:016x}", ring.fingerprint),
        partitions: ring.partitions,
        n: ring.n,
        members: members.collect(),
        incomplete_partitions: ring.incomplete_partitions,
    };
    Ok(dto::json(StatusCode::OK, &document))
}

/// `GET /v1/ring/{bucket}/{key}`.
pub fn key(request: &HttpRequest, edge: &Edge, bucket: &str, key: &str) -> Result<HttpResponse, Problem> {
    params::parse(request.uri().query(), &[], edge.limits.timeout_us)?;
    let bucket = target::bucket(bucket)?;
    let key = target::key(key, edge.limits.key)?;
    let (partition, homes) = edge.backend.preference_list(&bucket, &key);
    let document = dto::PreferenceList {
        n: edge.backend.bucket(&bucket).0.quorum.n,
        bucket: bucket.to_string(),
        key64: target::BASE64URL.encode(key.as_bytes()),
        partition,
        preference_list: homes.iter().map(ToString::to_string).collect(),
    };
    Ok(dto::json(StatusCode::OK, &document))
}
