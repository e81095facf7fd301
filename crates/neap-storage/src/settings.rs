//! Bucket settings as they are stored: one sealed JSON record a bucket.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::sealed::{RecordDamaged, seal, unseal};
use super::{Store, StoreError, Table};
use neap_protocol::admission::BucketWeight;
use neap_protocol::bounds::SIBLINGS_MAX_DEFAULT;
use neap_protocol::bucket::{BlindWrite, BucketSettings, ReadRepair, Resolution, SettingsVersion};
use neap_protocol::ids::{BucketName, NodeId};
use neap_protocol::quorum::Quorum;
use neap_protocol::settings::StoredSettings;
use neap_protocol::time::Hlc;

/// What the keys of bucket settings in [`super::Table::Meta`] start with.
pub const PREFIX: &[u8] = b"bucket/";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    n: u8,
    r: u8,
    w: u8,
    w_min: u8,
    lww: bool,
    blind_sibling: bool,
    sloppy: bool,
    read_repair: StoredRepair,
    /// Not there where an earlier version stored the settings.
    #[serde(default = "siblings_max_default")]
    siblings_max: u16,
    /// In hundredths. Not there where an earlier version stored the settings.
    #[serde(default = "weight_default")]
    weight: u16,
    ttl_us: Option<u64>,
    set_at: u64,
    set_by: Option<String>,
}

fn siblings_max_default() -> u16 {
    SIBLINGS_MAX_DEFAULT
}

fn weight_default() -> u16 {
    BucketWeight::ONE.hundredths()
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredRepair {
    Blocking,
    Async,
    Off,
}

/// The key and the value that keep `settings`.
#[must_use]
pub fn encode(bucket: &BucketName, settings: &BucketSettings, version: &SettingsVersion) -> (Bytes, Bytes) {
    let key = Bytes::from([PREFIX, bucket.as_str().as_bytes()].concat());
    let Quorum { n, r, w } = settings.quorum;
    let stored = Stored {
        n,
        r,
        w,
        w_min: settings.w_min,
        lww: settings.resolution == Resolution::Lww,
        blind_sibling: settings.blind_write == BlindWrite::Sibling,
        sloppy: settings.sloppy,
        read_repair: match settings.read_repair {
            ReadRepair::Blocking => StoredRepair::Blocking,
            ReadRepair::Async => StoredRepair::Async,
            ReadRepair::Off => StoredRepair::Off,
        },
        siblings_max: settings.siblings_max,
        weight: settings.weight.hundredths(),
        ttl_us: settings.ttl_us,
        set_at: version.hlc.0,
        set_by: version.node.as_ref().map(|node| node.as_str().to_owned()),
    };
    // Numbers, booleans and text always have a JSON form; an empty body would be found damaged.
    let body = serde_json::to_vec(&stored).unwrap_or_default();
    let value = seal(&key, &body);
    (key, value)
}

/// All that is stored.
pub fn load(store: &dyn Store) -> Result<Vec<StoredSettings>, StoreError> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = store.scan(Table::Meta, PREFIX, after.as_deref(), 256)?;
        let Some((last, _)) = page.last() else { return Ok(all) };
        after = Some(last.clone());
        for (key, value) in &page {
            all.push(decode(key, value).map_err(|damage| {
                StoreError::Failed(format!("the settings of a bucket are damaged: {damage}"))
            })?);
        }
    }
}

/// What was stored under `key`.
pub fn decode(key: &[u8], value: &Bytes) -> Result<StoredSettings, RecordDamaged> {
    let body = unseal(key, value.clone())?;
    let name = key.strip_prefix(PREFIX).and_then(|name| std::str::from_utf8(name).ok());
    let bucket = name
        .and_then(|name| BucketName::new(name).ok())
        .ok_or(RecordDamaged::Malformed { what: "bucket" })?;
    let stored: Stored =
        serde_json::from_slice(&body).map_err(|_| RecordDamaged::Malformed { what: "bucket's settings" })?;
    let weight = BucketWeight::of_hundredths(stored.weight)
        .map_err(|_| RecordDamaged::Malformed { what: "weight of the bucket" })?;
    let settings = BucketSettings {
        quorum: Quorum { n: stored.n, r: stored.r, w: stored.w },
        w_min: stored.w_min,
        resolution: if stored.lww { Resolution::Lww } else { Resolution::Siblings },
        blind_write: if stored.blind_sibling { BlindWrite::Sibling } else { BlindWrite::Overwrite },
        siblings_max: stored.siblings_max,
        weight,
        sloppy: stored.sloppy,
        read_repair: match stored.read_repair {
            StoredRepair::Blocking => ReadRepair::Blocking,
            StoredRepair::Async => ReadRepair::Async,
            StoredRepair::Off => ReadRepair::Off,
        },
        ttl_us: stored.ttl_us,
    };
    let node = stored.set_by.map(|node| NodeId::new(&node)).transpose();
    let node = node.map_err(|_| RecordDamaged::Malformed { what: "node that set the bucket" })?;
    Ok((bucket, settings, SettingsVersion { hlc: Hlc(stored.set_at), node }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_settings_come_back_as_they_were_stored_and_damage_is_noticed() {
        let bucket = BucketName::new("carts").unwrap();
        let settings = BucketSettings {
            quorum: Quorum { n: 5, r: 1, w: 4 },
            w_min: 2,
            resolution: Resolution::Lww,
            blind_write: BlindWrite::Sibling,
            siblings_max: 7,
            weight: BucketWeight::of_hundredths(250).unwrap(),
            sloppy: false,
            read_repair: ReadRepair::Async,
            ttl_us: Some(7),
        };
        let version = SettingsVersion { hlc: Hlc(9), node: Some(NodeId::new("n2").unwrap()) };
        let (key, value) = encode(&bucket, &settings, &version);
        assert_eq!(decode(&key, &value).unwrap(), (bucket, settings, version));
        let mut damaged = value.to_vec();
        *damaged.last_mut().unwrap() ^= 1;
        assert_eq!(decode(&key, &damaged.into()), Err(RecordDamaged::Checksum));
    }

    #[test]
    fn settings_that_were_stored_before_siblings_were_bounded_have_the_default_bound() {
        let body = br#"{"n":3,"r":2,"w":2,"w_min":2,"lww":false,"blind_sibling":true,"sloppy":false,
            "read_repair":"blocking","ttl_us":null,"set_at":9,"set_by":"n2"}"#;
        let key = [PREFIX, b"carts"].concat();
        let (_, settings, _) = decode(&key, &seal(&key, body)).unwrap();
        assert_eq!((settings.siblings_max, settings.blind_write), (100, BlindWrite::Sibling));
    }
}
