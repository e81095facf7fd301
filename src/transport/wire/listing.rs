//! Listings of keys on the wire.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{WireAnswer, WireMeaning, WireObject};
use crate::protocol::causality::Object;
use crate::protocol::ids::{BucketName, Key};
use crate::protocol::listing::{KeyPage, KeyRange, PageRequest};

/// [`PageRequest`].
#[derive(Debug, Serialize, Deserialize)]
pub struct WirePageRequest {
    bucket: String,
    prefix: Bytes,
    after: Bytes,
    n: u8,
    max_keys: u32,
    max_bytes: u32,
}

impl From<&PageRequest> for WirePageRequest {
    fn from(request: &PageRequest) -> Self {
        let PageRequest { range: KeyRange { bucket, prefix, after }, n, max_keys, max_bytes } = request;
        Self {
            bucket: bucket.as_str().to_owned(),
            prefix: prefix.clone(),
            after: after.clone(),
            n: *n,
            max_keys: *max_keys,
            max_bytes: *max_bytes,
        }
    }
}

impl TryFrom<WirePageRequest> for PageRequest {
    type Error = WireMeaning;

    fn try_from(request: WirePageRequest) -> Result<Self, WireMeaning> {
        let WirePageRequest { bucket, prefix, after, n, max_keys, max_bytes } = request;
        let range = KeyRange { bucket: BucketName::new(&bucket)?, prefix, after };
        Ok(Self { range, n, max_keys, max_bytes })
    }
}

pub(super) fn wire_page(page: &KeyPage) -> WireAnswer {
    let bytes = |key: &Key| Bytes::copy_from_slice(key.as_bytes());
    let entries =
        page.entries.iter().map(|(key, object)| (bytes(key), object.as_ref().map(WireObject::from)));
    WireAnswer::KeysListed(entries.collect(), page.through.as_ref().map(bytes))
}

pub(super) fn page_of(entries: Vec<(Bytes, Option<WireObject>)>, through: Option<Bytes>) -> KeyPage {
    let entries = entries.into_iter().map(|(key, object)| (Key::new(key), object.map(Object::from)));
    KeyPage { entries: entries.collect(), through: through.map(Key::new) }
}
