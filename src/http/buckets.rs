//! Bucket properties.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::Value;

use super::Edge;
use super::dto::{BucketBody, BucketsBody};
use super::error::Problem;
use super::headers;
use super::params;
use super::properties::Given;
use super::target;
use crate::protocol::admission::BucketWeight;
use crate::protocol::bounds::SIBLINGS_MAX_MOST;
use crate::protocol::bucket::{BlindWrite, BucketSettings, ReadRepair, Resolution};
use crate::protocol::ids::BucketName;
use crate::protocol::quorum::Quorum;

/// The most bytes that the properties of a bucket may take.
const PROPERTIES_MAX: usize = 16 * 1024;

/// The properties of a PUT, as its errors list them.
const NAMES: [&str; 14] = [
    "n",
    "r",
    "w",
    "w_min",
    "resolution",
    "blind_write",
    "siblings_max",
    "weight",
    "sloppy",
    "read_repair",
    "ttl",
    "quotas",
    "name",
    "set_at",
];

/// Shows all buckets that were ever set
#[utoipa::path(method(get, head), path = "/v1/buckets", operation_id = "list_buckets", tag = "buckets",
    responses((status = 200, description = "The buckets, by name", body = BucketsBody)))]
pub fn list(edge: &Edge, request: &HttpRequest) -> Result<HttpResponse, Problem> {
    params::parse(request.uri().query(), &[], edge.limits.timeout_us)?;
    let all = edge.backend.buckets();
    let buckets = all.iter().map(|(name, settings, version)| BucketBody::new(name, settings, version));
    Ok(HttpResponse::Ok().json(BucketsBody { buckets: buckets.collect() }))
}

/// Shows a bucket
///
/// One that was never set has the defaults.
#[utoipa::path(method(get, head), path = "/v1/buckets/{bucket}", operation_id = "show_bucket", tag = "buckets",
    responses((status = 200, description = "The bucket", body = BucketBody)))]
pub fn show(edge: &Edge, request: &HttpRequest, bucket: &str) -> Result<HttpResponse, Problem> {
    let name = target::bucket(bucket)?;
    params::parse(request.uri().query(), &[], edge.limits.timeout_us)?;
    let (settings, version) = edge.backend.bucket(&name);
    Ok(HttpResponse::Ok().json(BucketBody::new(&name, &settings, &version)))
}

/// Sets all properties of a bucket
///
/// What is left out takes its default, `w_min` that of `w`. Answered once a majority of the members, and every reachable
/// one, stored them.
#[utoipa::path(put, path = "/v1/buckets/{bucket}", operation_id = "set_bucket", tag = "buckets",
    request_body = super::dto::BucketProperties,
    responses((status = 200, description = "The bucket, as it is set", body = BucketBody)))]
pub async fn set(
    edge: &Edge,
    request: &HttpRequest,
    payload: web::Payload,
    bucket: &str,
) -> Result<HttpResponse, Problem> {
    let set = async {
        let name = target::bucket(bucket)?;
        params::parse(request.uri().query(), &[], edge.limits.timeout_us)?;
        headers::require_json(request.headers())?;
        let within = edge.limits.body_timeout;
        let (bytes, _permit) =
            edge.bodies.receive("body", request.headers(), payload, PROPERTIES_MAX, within).await?;
        let settings = settings(&name, &bytes, edge.backend.bucket_defaults())?;
        let timeout_us = edge.limits.timeout_us;
        let version = edge.backend.set_bucket(name.clone(), settings.clone(), timeout_us).await?;
        Ok::<_, Problem>(HttpResponse::Ok().json(BucketBody::new(&name, &settings, &version)))
    };
    set.await.map_err(|problem| problem.of_write(None))
}

/// The settings that a body asks for: what it leaves out is as in `defaults`, but `w_min` is as `w`.
fn settings(name: &BucketName, body: &[u8], defaults: BucketSettings) -> Result<BucketSettings, Problem> {
    let mut given = Given::parse("body", body)?;
    given.check_names(&NAMES)?;
    // What a GET shows can be changed and sent back.
    if let Some(other) = given.text("name")?.filter(|given| given != name.as_str()) {
        return Err(Problem::invalid("name", &other, format!("\"{name}\", which the path names, or none")));
    }
    let is_time = |set_at: &Value| set_at.is_string() || set_at.is_null();
    if let Some(other) = given.take("set_at").filter(|set_at| !is_time(set_at)) {
        return Err(Problem::invalid(
            "set_at",
            &other.to_string(),
            "null or a string, as a GET shows it; it is set anew",
        ));
    }
    let quorum = Quorum {
        n: given.count("n")?.unwrap_or(defaults.quorum.n),
        r: given.count("r")?.unwrap_or(defaults.quorum.r),
        w: given.count("w")?.unwrap_or(defaults.quorum.w),
    };
    let settings = BucketSettings {
        quorum,
        w_min: given.count("w_min")?.unwrap_or(quorum.w),
        resolution: given.word::<Resolution>("resolution")?.unwrap_or(defaults.resolution),
        blind_write: given.word::<BlindWrite>("blind_write")?.unwrap_or(defaults.blind_write),
        siblings_max: given.whole("siblings_max", 1..=SIBLINGS_MAX_MOST)?.unwrap_or(defaults.siblings_max),
        weight: weight(&mut given)?.unwrap_or(defaults.weight),
        sloppy: given.flag("sloppy")?.unwrap_or(defaults.sloppy),
        read_repair: given.word::<ReadRepair>("read_repair")?.unwrap_or(defaults.read_repair),
        ttl_us: ttl(&mut given)?.unwrap_or(defaults.ttl_us),
    };
    if settings.sloppy {
        return Err(Problem::not_built("sloppy = true"));
    }
    if given.take("quotas").is_some_and(|quotas| !quotas.is_null()) {
        return Err(Problem::not_built("quotas"));
    }
    settings.validate()?;
    Ok(settings)
}

fn weight(given: &mut Given) -> Result<Option<BucketWeight>, Problem> {
    let Some(value) = given.take("weight") else { return Ok(None) };
    let accepted = format!(
        "a number from {} to {} with two decimals at the most",
        BucketWeight::LEAST,
        BucketWeight::MOST
    );
    let Some(number) = value.as_f64() else {
        return Err(Problem::invalid("weight", &value.to_string(), accepted));
    };
    let weight = BucketWeight::of_number(number);
    weight.map(Some).map_err(|_| Problem::out_of_range("weight", &value.to_string(), accepted))
}

/// The time to live, in microseconds; null is none, whatever the default.
fn ttl(given: &mut Given) -> Result<Option<Option<u64>>, Problem> {
    match given.take("ttl") {
        None => Ok(None),
        Some(Value::Null) => Ok(Some(None)),
        Some(Value::String(text)) => Ok(Some(Some(params::span("ttl", &text, params::TTL_MAX_US)?))),
        Some(other) => {
            Err(Problem::invalid("ttl", &other.to_string(), "null, or a duration in quotes, such as \"24h\""))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: BucketSettings = BucketSettings {
        weight: BucketWeight::ONE,
        quorum: Quorum { n: 3, r: 2, w: 2 },
        w_min: 1,
        resolution: Resolution::Siblings,
        blind_write: BlindWrite::Overwrite,
        siblings_max: 100,
        sloppy: false,
        read_repair: ReadRepair::Blocking,
        ttl_us: Some(5_000_000),
    };

    fn name() -> BucketName {
        BucketName::new("b").unwrap()
    }

    #[test]
    fn what_is_left_out_takes_its_default_and_w_min_that_of_w() {
        let left_out = settings(&name(), b"{}", DEFAULTS).unwrap();
        assert_eq!(left_out, BucketSettings { w_min: 2, ..DEFAULTS });
        let set = settings(&name(), br#"{"w": 3, "ttl": null, "quotas": null}"#, DEFAULTS).unwrap();
        let quorum = Quorum { w: 3, ..DEFAULTS.quorum };
        assert_eq!(set, BucketSettings { quorum, w_min: 3, ttl_us: None, ..DEFAULTS });
    }

    #[test]
    fn every_property_is_set() {
        let body = br#"{"n": 5, "r": 3, "w": 4, "w_min": 2, "resolution": "lww", "blind_write": "sibling",
            "siblings_max": 7, "weight": 2.5, "sloppy": false, "read_repair": "off", "ttl": "24h"}"#;
        let expected = BucketSettings {
            quorum: Quorum { n: 5, r: 3, w: 4 },
            w_min: 2,
            resolution: Resolution::Lww,
            blind_write: BlindWrite::Sibling,
            siblings_max: 7,
            weight: BucketWeight::of_hundredths(250).unwrap(),
            sloppy: false,
            read_repair: ReadRepair::Off,
            ttl_us: Some(86_400_000_000),
        };
        assert_eq!(settings(&name(), body, DEFAULTS).unwrap(), expected);
    }
}
