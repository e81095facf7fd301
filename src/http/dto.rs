//! The JSON documents of the contract.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header;
use serde::{Deserialize, Serialize};

use super::headers;

/// A JSON reply, never for a cache.
pub fn json<T: Serialize>(status: StatusCode, document: &T) -> HttpResponse {
    // Strings, numbers and lists of them always have a JSON form.
    let body = serde_json::to_vec(document).unwrap_or_default();
    HttpResponse::build(status)
        .insert_header((header::CONTENT_TYPE, "application/json"))
        .insert_header((header::CACHE_CONTROL, headers::NO_STORE))
        .body(body)
}

/// `GET /healthz`.
#[derive(Serialize)]
pub struct Health {
    pub status: &'static str,
    pub node: String,
    pub counters: BTreeMap<&'static str, u64>,
}

/// `GET /readyz`.
#[derive(Serialize)]
pub struct Ready {
    pub ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// A bucket's properties, as they are shown.
#[derive(Serialize)]
pub struct Bucket {
    pub name: String,
    pub n: u8,
    pub r: u8,
    pub w: u8,
    pub w_min: u8,
    pub resolution: &'static str,
    pub blind_write: &'static str,
    pub sloppy: bool,
    pub read_repair: &'static str,
    pub ttl: Option<String>,
    pub set_at: Option<String>,
}

/// A bucket's properties, as they are given.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct BucketPut {
    pub n: Option<u8>,
    pub r: Option<u8>,
    pub w: Option<u8>,
    pub w_min: Option<u8>,
    pub resolution: Option<String>,
    pub blind_write: Option<String>,
    pub sloppy: Option<bool>,
    pub read_repair: Option<String>,
    pub ttl: Option<String>,
    pub quotas: Option<serde_json::Value>,
}

/// `GET /v1/buckets`.
#[derive(Serialize)]
pub struct Buckets {
    pub buckets: Vec<Bucket>,
}

/// A member of the ring.
#[derive(Serialize)]
pub struct Member {
    pub id: String,
    pub zone: String,
    pub weight: f64,
    pub address: String,
    pub state: &'static str,
    pub partitions: u32,
    pub first: u32,
}

/// `GET /v1/ring`.
#[derive(Serialize)]
pub struct Ring {
    pub cluster: String,
    pub epoch: u64,
    pub fingerprint: String,
    pub partitions: u32,
    pub n: u8,
    pub members: Vec<Member>,
    pub incomplete_partitions: u32,
}

/// `GET /v1/ring/{bucket}/{key}`.
#[derive(Serialize)]
pub struct PreferenceList {
    pub bucket: String,
    pub key64: String,
    pub partition: u32,
    pub n: u8,
    pub preference_list: Vec<String>,
}

/// One of several concurrent versions.
#[derive(Serialize)]
pub struct Sibling {
    /// base64 (RFC 4648, section 4); none for a delete.
    pub value: Option<String>,
    pub content_type: Option<String>,
    pub version_time: String,
    pub deleted: bool,
}

/// The body of a 300.
#[derive(Serialize)]
pub struct Siblings {
    pub siblings: Vec<Sibling>,
    pub context: String,
}
