//! Listings of keys on the wire.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{WireAnswer, WireMeaning, WireObject};
use crate::protocol::causality::Object;
use crate::protocol::ids::{BucketName, Key};
use crate::protocol::listing::{KeyPage, KeyRange, PageRequest, StatesRequest};
use crate::protocol::time::WallMicros;

/// [`PageRequest`].
#[derive(Debug, Serialize, Deserialize)]
pub struct WirePageRequest {
    bucket: String,
    prefix: Bytes,
    after: Bytes,
    n: u8,
    now: u64,
    max_keys: u32,
    max_bytes: u32,
}

/// [`StatesRequest`].
#[derive(Debug, Serialize, Deserialize)]
pub struct WireStatesRequest {
    bucket: String,
    n: u8,
    keys: Vec<Bytes>,
    max_bytes: u32,
}

impl From<&PageRequest> for WirePageRequest {
    fn from(request: &PageRequest) -> Self {
        let PageRequest { range: KeyRange { bucket, prefix, after }, n, now, max_keys, max_bytes } = request;
        Self {
            bucket: bucket.as_str().to_owned(),
            prefix: prefix.clone(),
            after: after.clone(),
            n: *n,
            now: now.0,
            max_keys: *max_keys,
            max_bytes: *max_bytes,
        }
    }
}

impl TryFrom<WirePageRequest> for PageRequest {
    type Error = WireMeaning;

    fn try_from(request: WirePageRequest) -> Result<Self, WireMeaning> {
        let WirePageRequest { bucket, prefix, after, n, now, max_keys, max_bytes } = request;
        let range = KeyRange { bucket: BucketName::new(&bucket)?, prefix, after };
        Ok(Self { range, n, now: WallMicros(now), max_keys, max_bytes })
    }
}

impl From<&StatesRequest> for WireStatesRequest {
    fn from(request: &StatesRequest) -> Self {
        let StatesRequest { bucket, n, keys, max_bytes } = request;
        let keys = keys.iter().map(bytes).collect();
        Self { bucket: bucket.as_str().to_owned(), n: *n, keys, max_bytes: *max_bytes }
    }
}

impl TryFrom<WireStatesRequest> for StatesRequest {
    type Error = WireMeaning;

    fn try_from(request: WireStatesRequest) -> Result<Self, WireMeaning> {
        let WireStatesRequest { bucket, n, keys, max_bytes } = request;
        let keys = keys.into_iter().map(Key::new).collect();
        Ok(Self { bucket: BucketName::new(&bucket)?, n, keys, max_bytes })
    }
}

fn bytes(key: &Key) -> Bytes {
    Bytes::copy_from_slice(key.as_bytes())
}

pub(super) fn wire_page(page: &KeyPage) -> WireAnswer {
    let entries =
        page.entries.iter().map(|(key, object)| (bytes(key), object.as_ref().map(WireObject::from)));
    WireAnswer::KeysListed(entries.collect(), page.through.as_ref().map(bytes))
}

pub(super) fn page_of(entries: Vec<(Bytes, Option<WireObject>)>, through: Option<Bytes>) -> KeyPage {
    let entries = entries.into_iter().map(|(key, object)| (Key::new(key), object.map(Object::from)));
    KeyPage { entries: entries.collect(), through: through.map(Key::new) }
}
