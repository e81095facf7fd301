//! Bucket settings on the wire.

use serde::{Deserialize, Serialize};

use super::WireMeaning;
use crate::protocol::admission::BucketWeight;
use crate::protocol::bucket::{BlindWrite, BucketSettings, ReadRepair, Resolution, SettingsVersion};
use crate::protocol::ids::{BucketName, NodeId};
use crate::protocol::quorum::Quorum;
use crate::protocol::time::Hlc;

/// [`SettingsVersion`].
#[derive(Debug, Serialize, Deserialize)]
pub struct WireSettingsVersion(u64, Option<String>);

/// A bucket with its settings.
#[derive(Debug, Serialize, Deserialize)]
pub struct WireBucket {
    bucket: String,
    nrw: (u8, u8, u8),
    w_min: u8,
    lww: bool,
    blind_sibling: bool,
    siblings_max: u16,
    weight: u16,
    sloppy: bool,
    read_repair: u8,
    ttl_us: Option<u64>,
    version: WireSettingsVersion,
}

impl From<&SettingsVersion> for WireSettingsVersion {
    fn from(version: &SettingsVersion) -> Self {
        Self(version.hlc.0, version.node.as_ref().map(|node| node.as_str().to_owned()))
    }
}

impl TryFrom<WireSettingsVersion> for SettingsVersion {
    type Error = WireMeaning;

    fn try_from(WireSettingsVersion(hlc, node): WireSettingsVersion) -> Result<Self, WireMeaning> {
        Ok(Self { hlc: Hlc(hlc), node: node.map(|node| NodeId::new(&node)).transpose()? })
    }
}

pub(super) fn wire_bucket(
    bucket: &BucketName,
    settings: &BucketSettings,
    version: &SettingsVersion,
) -> WireBucket {
    let Quorum { n, r, w } = settings.quorum;
    WireBucket {
        bucket: bucket.as_str().to_owned(),
        nrw: (n, r, w),
        w_min: settings.w_min,
        lww: settings.resolution == Resolution::Lww,
        blind_sibling: settings.blind_write == BlindWrite::Sibling,
        siblings_max: settings.siblings_max,
        weight: settings.weight.hundredths(),
        sloppy: settings.sloppy,
        read_repair: match settings.read_repair {
            ReadRepair::Blocking => 0,
            ReadRepair::Async => 1,
            ReadRepair::Off => 2,
        },
        ttl_us: settings.ttl_us,
        version: version.into(),
    }
}

pub(super) fn bucket_of(
    wire: WireBucket,
) -> Result<(BucketName, BucketSettings, SettingsVersion), WireMeaning> {
    let (n, r, w) = wire.nrw;
    let settings = BucketSettings {
        quorum: Quorum { n, r, w },
        w_min: wire.w_min,
        resolution: if wire.lww { Resolution::Lww } else { Resolution::Siblings },
        blind_write: if wire.blind_sibling { BlindWrite::Sibling } else { BlindWrite::Overwrite },
        siblings_max: wire.siblings_max,
        weight: BucketWeight::of_hundredths(wire.weight)?,
        sloppy: wire.sloppy,
        read_repair: match wire.read_repair {
            0 => ReadRepair::Blocking,
            1 => ReadRepair::Async,
            2 => ReadRepair::Off,
            given => return Err(WireMeaning::Number { what: "read repair", given }),
        },
        ttl_us: wire.ttl_us,
    };
    Ok((BucketName::new(&wire.bucket)?, settings, wire.version.try_into()?))
}
