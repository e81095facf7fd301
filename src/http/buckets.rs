//! `buckets`: what each promises.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};

use super::error::Problem;
use super::params::Parameter;
use super::{Edge, dto, kv, params, target, time};
use crate::config::units::format_duration;
use crate::protocol::bucket::{BlindWrite, BucketSettings, ReadRepair, Resolution, SettingsVersion};
use crate::protocol::ids::BucketName;
use crate::protocol::quorum::{N_MAX, Quorum};

/// The longest body of a PUT, in bytes.
const BODY_MAX: usize = 16 << 10;

/// `GET /v1/buckets`.
pub fn list(request: &HttpRequest, edge: &Edge) -> Result<HttpResponse, Problem> {
    params::parse(request.uri().query(), &[], edge.limits.timeout_us)?;
    let buckets = edge.backend.buckets();
    let buckets = buckets.iter().map(|(name, settings, version)| shown(name, settings, version)).collect();
    Ok(dto::json(StatusCode::OK, &dto::Buckets { buckets }))
}

/// `GET /v1/buckets/{bucket}`: one that was never set has the defaults.
pub fn get(request: &HttpRequest, edge: &Edge, bucket: &str) -> Result<HttpResponse, Problem> {
    params::parse(request.uri().query(), &[], edge.limits.timeout_us)?;
    let bucket = target::bucket(bucket)?;
    let (settings, version) = edge.backend.bucket(&bucket);
    Ok(dto::json(StatusCode::OK, &shown(&bucket, &settings, &version)))
}

/// `PUT /v1/buckets/{bucket}`: sets all properties; what is left out takes its default.
pub async fn put(
    request: &HttpRequest,
    body: web::Payload,
    edge: &Edge,
    bucket: &str,
) -> Result<HttpResponse, Problem> {
    let given = params::parse(request.uri().query(), &[Parameter::Timeout], edge.limits.timeout_us)?;
    let bucket = target::bucket(bucket)?;
    let timeout_us = given.timeout_us.unwrap_or(edge.limits.timeout_us);
    let bytes = kv::receive(request, body, edge, "body", BODY_MAX, timeout_us).await?;
    let text = if bytes.is_empty() { &b"{}"[..] } else { &bytes };
    let given: dto::BucketPut = serde_json::from_slice(text).map_err(|error| {
        let accepted = "a JSON object with n, r, w, w_min, resolution, blind_write, sloppy, read_repair, ttl";
        Problem::invalid("body", &error.to_string(), accepted)
    })?;
    let settings = settings(given, &edge.backend.bucket_defaults())?;
    let version = edge.backend.set_bucket(bucket.clone(), settings.clone(), timeout_us).await?;
    Ok(dto::json(StatusCode::OK, &shown(&bucket, &settings, &version)))
}

fn settings(given: dto::BucketPut, defaults: &BucketSettings) -> Result<BucketSettings, Problem> {
    if given.quotas.is_some_and(|quotas| !quotas.is_null()) {
        return Err(Problem::not_built("quotas"));
    }
    if given.sloppy == Some(true) {
        return Err(Problem::not_built("sloppy"));
    }
    let n = given.n.unwrap_or(defaults.quorum.n);
    if n == 0 || n > N_MAX {
        return Err(Problem::out_of_range("n", &n.to_string(), format!("1 to {N_MAX}")));
    }
    // A bucket of fewer copies than the default's quorum needs a quorum of its own.
    let r = given.r.unwrap_or(defaults.quorum.r.min(n));
    let w = given.w.unwrap_or(defaults.quorum.w.min(n));
    let settings = BucketSettings {
        quorum: Quorum { n, r, w },
        w_min: given.w_min.unwrap_or(w),
        resolution: choice("resolution", given.resolution, defaults.resolution, &RESOLUTIONS)?,
        blind_write: choice("blind_write", given.blind_write, defaults.blind_write, &BLIND_WRITES)?,
        sloppy: false,
        read_repair: choice("read_repair", given.read_repair, defaults.read_repair, &READ_REPAIRS)?,
        ttl_us: given.ttl.map(|ttl| params::span("ttl", &ttl, params::TTL_MAX_US)).transpose()?,
    };
    settings.validate()?;
    Ok(settings)
}

const RESOLUTIONS: [(&str, Resolution); 2] = [("siblings", Resolution::Siblings), ("lww", Resolution::Lww)];
const BLIND_WRITES: [(&str, BlindWrite); 2] =
    [("overwrite", BlindWrite::Overwrite), ("sibling", BlindWrite::Sibling)];
const READ_REPAIRS: [(&str, ReadRepair); 3] =
    [("blocking", ReadRepair::Blocking), ("async", ReadRepair::Async), ("off", ReadRepair::Off)];

fn choice<T: Copy>(
    property: &'static str,
    given: Option<String>,
    default: T,
    choices: &[(&'static str, T)],
) -> Result<T, Problem> {
    let Some(given) = given else { return Ok(default) };
    let chosen = choices.iter().find(|(name, _)| *name == given);
    chosen.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        Problem::invalid(property, &given, names.join(" or "))
    })
}

fn name<T: PartialEq>(value: &T, choices: &[(&'static str, T)]) -> &'static str {
    choices.iter().find(|(_, choice)| choice == value).map_or("", |(name, _)| *name)
}

fn shown(bucket: &BucketName, settings: &BucketSettings, version: &SettingsVersion) -> dto::Bucket {
    let Quorum { n, r, w } = settings.quorum;
    dto::Bucket {
        name: bucket.to_string(),
        n,
        r,
        w,
        w_min: settings.w_min,
        resolution: name(&settings.resolution, &RESOLUTIONS),
        blind_write: name(&settings.blind_write, &BLIND_WRITES),
        sloppy: settings.sloppy,
        read_repair: name(&settings.read_repair, &READ_REPAIRS),
        ttl: settings.ttl_us.map(|us| format_duration(Duration::from_micros(us))),
        set_at: (*version > SettingsVersion::DEFAULTS).then(|| time::rfc3339(version.hlc)),
    }
}
