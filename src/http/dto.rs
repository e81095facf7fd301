//! The JSON that the edge speaks. Nothing of the protocol core is serialised itself.

use std::time::Duration;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::time::rfc3339;
use crate::config::units::format_duration;
use crate::protocol::bucket::{BlindWrite, BucketSettings, ReadRepair, Resolution, SettingsVersion};
use crate::protocol::ids::BucketName;

/// The body of a 300.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct SiblingsBody {
    /// The versions.
    pub siblings: Vec<SiblingBody>,
    /// The token that covers them all.
    pub context: String,
}

/// One version of several.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct SiblingBody {
    /// The bytes as base64 (RFC 4648, section 4); null for a delete.
    pub value: Option<String>,
    /// Their media type; null for a delete.
    pub content_type: Option<String>,
    /// When the version was written.
    pub version_time: String,
    /// Whether it is a delete.
    pub deleted: bool,
}

/// A bucket, as it is shown.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct BucketBody {
    name: String,
    n: u8,
    r: u8,
    w: u8,
    w_min: u8,
    resolution: &'static str,
    blind_write: &'static str,
    siblings_max: u16,
    weight: f64,
    sloppy: bool,
    read_repair: &'static str,
    ttl: Option<String>,
    /// Not built: always null.
    quotas: Option<serde_json::Value>,
    set_at: Option<String>,
}

impl BucketBody {
    /// The bucket `name`, with its settings and when they were set.
    #[must_use]
    pub fn new(name: &BucketName, settings: &BucketSettings, version: &SettingsVersion) -> Self {
        Self {
            name: name.to_string(),
            n: settings.quorum.n,
            r: settings.quorum.r,
            w: settings.quorum.w,
            w_min: settings.w_min,
            resolution: settings.resolution.word(),
            blind_write: settings.blind_write.word(),
            siblings_max: settings.siblings_max,
            weight: settings.weight.number(),
            sloppy: settings.sloppy,
            read_repair: settings.read_repair.word(),
            ttl: settings.ttl_us.map(|us| format_duration(Duration::from_micros(us))),
            quotas: None,
            set_at: (*version != SettingsVersion::DEFAULTS).then(|| rfc3339(version.hlc)),
        }
    }
}

/// The body of `GET /v1/buckets`.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct BucketsBody {
    /// Those that were ever set, by name.
    pub buckets: Vec<BucketBody>,
}

/// A choice of a few words.
pub trait Word: Copy + Sized + 'static {
    /// All choices.
    const ALL: &'static [Self];

    /// The word of this choice.
    fn word(self) -> &'static str;
}

impl Word for Resolution {
    const ALL: &'static [Self] = &[Self::Siblings, Self::Lww];

    fn word(self) -> &'static str {
        match self {
            Self::Siblings => "siblings",
            Self::Lww => "lww",
        }
    }
}

impl Word for BlindWrite {
    const ALL: &'static [Self] = &[Self::Overwrite, Self::Sibling];

    fn word(self) -> &'static str {
        match self {
            Self::Overwrite => "overwrite",
            Self::Sibling => "sibling",
        }
    }
}

impl Word for ReadRepair {
    const ALL: &'static [Self] = &[Self::Blocking, Self::Async, Self::Off];

    fn word(self) -> &'static str {
        match self {
            Self::Blocking => "blocking",
            Self::Async => "async",
            Self::Off => "off",
        }
    }
}

/// The body of `GET /v1/ring`.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct RingBody {
    /// The cluster's name.
    pub cluster: String,
    /// The number of the membership record.
    pub epoch: u64,
    /// Its fingerprint, in hexadecimal.
    pub fingerprint: String,
    /// Partitions.
    pub partitions: u32,
    /// The N of the ownership figures.
    pub n: u8,
    /// The members, by name.
    pub members: Vec<MemberBody>,
    /// Partitions that this node does not yet serve reads of.
    pub incomplete_partitions: u32,
}

/// A member of the ring.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct MemberBody {
    /// Its name.
    pub id: String,
    /// Its zone.
    pub zone: String,
    /// Its weight.
    pub weight: f64,
    /// Where its peers reach it.
    pub address: String,
    /// `up` or `down`.
    pub state: &'static str,
    /// Partitions it is a home of.
    pub partitions: u32,
    /// Partitions it is the first home of.
    pub first: u32,
}

/// The body of `GET /v1/ring/{bucket}/{key}`.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct PreferenceListBody {
    /// The bucket.
    pub bucket: String,
    /// The key, as base64url.
    pub key64: String,
    /// Its hash, as 16 hexadecimal digits: what traces call it.
    pub key_hash: String,
    /// Its partition.
    pub partition: u32,
    /// The bucket's N.
    pub n: u8,
    /// Its homes, in order.
    pub preference_list: Vec<String>,
}

/// The body of `GET /healthz`.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct HealthBody {
    /// Always `ok`: a node that cannot say so does not answer.
    pub status: &'static str,
    /// The node's name.
    pub node: String,
    /// What was refused or dropped, by name.
    #[schema(value_type = BTreeMap<String, u64>)]
    pub counters: Counters,
}

/// Counters, as a JSON object in their order.
#[derive(Debug)]
pub struct Counters(pub Vec<(&'static str, u64)>);

impl Serialize for Counters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, count) in &self.0 {
            map.serialize_entry(name, count)?;
        }
        map.end()
    }
}

/// The body of `GET /readyz`.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct ReadyBody {
    /// Whether the node serves.
    pub ready: bool,
    /// What keeps it from serving.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// The properties of a bucket, as they are set. What is left out takes its default.
///
/// Read by hand, so that what is wrong is named; this says what is read.
#[derive(Debug, utoipa::ToSchema)]
#[schema(as = BucketProperties)]
#[expect(dead_code, reason = "it is the schema of what is read property by property")]
pub struct BucketProperties {
    /// Homes of each key. It cannot change while the bucket holds data.
    #[schema(minimum = 1, maximum = 15)]
    n: Option<u8>,
    /// Homes that must answer a read.
    #[schema(minimum = 1, maximum = 15)]
    r: Option<u8>,
    /// Homes that must acknowledge a write.
    #[schema(minimum = 1, maximum = 15)]
    w: Option<u8>,
    /// The least W that a request may ask for; that of `w` if left out.
    #[schema(minimum = 1, maximum = 15)]
    w_min: Option<u8>,
    /// How concurrent versions are resolved: `siblings` or `lww`.
    resolution: Option<String>,
    /// What a write without a context replaces: `overwrite` or `sibling`.
    blind_write: Option<String>,
    /// How many versions a write may leave; concurrent writes through all homes may leave as many for each. A write that
    /// would leave more is refused (`too-many-siblings`), unless it leaves fewer than it found.
    #[schema(minimum = 1, maximum = 10_000)]
    siblings_max: Option<u16>,
    /// The bucket's share of a node's work while others ask for more than can be done: with 2 twice as much as with 1. Two
    /// decimals at the most.
    #[schema(minimum = 0.1, maximum = 100)]
    weight: Option<f64>,
    /// Not built: only false is accepted.
    sloppy: Option<bool>,
    /// When replicas that a read finds behind are repaired: `blocking` (those among its R before the reply, others after
    /// it), `async` (all after it) or `off` (never). Others than its R only sampled reads look at (`staleness.probe`).
    read_repair: Option<String>,
    /// How long values are shown, such as `24h`; null for ever.
    ttl: Option<String>,
    /// Not built: only null is accepted.
    quotas: Option<serde_json::Value>,
    /// The bucket's own name, as a GET shows it; no other is accepted.
    name: Option<String>,
    /// As a GET shows it; it is set anew.
    set_at: Option<String>,
}
