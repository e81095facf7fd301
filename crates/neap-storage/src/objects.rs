//! Objects in a store, under their keys.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::sealed::RecordDamaged;
use super::{Change, Store, StoreError, Table, keys, record};
use neap_protocol::causality::Object;
use neap_protocol::ids::{BucketName, Key, PartitionId};
use neap_protocol::listing::ReadRecord;
use neap_protocol::message::ScanCursor;
use neap_protocol::replica::{Held, LackingObject, ScannedRecord};

/// Why what is stored under a key cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The record is not what was written.
    #[error("{0}")]
    Record(#[from] RecordDamaged),
    /// The bytes cannot be had.
    #[error("{0}")]
    Unreadable(String),
}

/// What is held under `key` (see [`super::keys::object_key`]); within, what is wrong with its record.
pub fn read(store: &dyn Store, key: &Bytes) -> Result<Result<Held, Damage>, StoreError> {
    Ok(read_record(store, key)?.map(|found| found.map_or(Held::Nothing, |(_, held)| held)))
}

/// The same, with the record itself.
pub(super) fn read_record(
    store: &dyn Store,
    key: &Bytes,
) -> Result<Result<Option<(Bytes, Held)>, Damage>, StoreError> {
    match store.get(Table::Objects, key) {
        Ok(Some(bytes)) => {
            let decoded = record::decode(key, bytes.clone());
            Ok(decoded.map(|held| Some((bytes, held))).map_err(Damage::from))
        }
        Ok(None) => Ok(Ok(None)),
        Err(StoreError::Damaged(damage)) => Ok(Err(Damage::Unreadable(damage))),
        Err(error) => Err(error),
    }
}

/// Puts `object` under `key`.
pub fn write(store: &dyn Store, key: &Bytes, object: &Object) -> Result<(), StoreError> {
    write_record(store, key, record::encode(key, object))
}

/// Puts an object under `key` that lacks something.
pub fn write_lacking(store: &dyn Store, key: &Bytes, object: &LackingObject) -> Result<(), StoreError> {
    write_record(store, key, record::encode_lacking(key, object))
}

/// The same, of what [`record::encode`] made.
pub(super) fn write_record(store: &dyn Store, key: &Bytes, value: Bytes) -> Result<(), StoreError> {
    store.apply(vec![Change::Put { table: Table::Objects, key: key.clone(), value }])
}

/// Up to `limit` records after `after`, in storage order. Only those that `wanted` names are read; `damaged` is
/// told of what cannot be.
pub fn scan(
    store: &dyn Store,
    after: Option<&ScanCursor>,
    limit: usize,
    wanted: &mut dyn FnMut(PartitionId, &BucketName) -> bool,
    damaged: &mut dyn FnMut(&Bytes, &RecordDamaged),
) -> Result<Vec<ScannedRecord>, StoreError> {
    let entries = store.scan(Table::Objects, &[], after.map(|cursor| &cursor.0[..]), limit)?;
    let records = entries.into_iter().map(|(stored_key, value)| {
        let place = keys::parse_object_key(&stored_key).ok();
        let read = place.as_ref().is_some_and(|(partition, bucket, _)| wanted(*partition, bucket));
        let held = if read {
            let decoded = record::decode(&stored_key, value);
            decoded.inspect_err(|damage| damaged(&stored_key, damage)).unwrap_or(Held::Damaged)
        } else {
            Held::Nothing
        };
        ScannedRecord { cursor: ScanCursor(stored_key), place, held }
    });
    Ok(records.collect())
}

/// The records of one bucket in one partition.
#[derive(Debug, Clone, Copy)]
pub struct BucketPart<'a> {
    /// The partition.
    pub partition: PartitionId,
    /// The bucket.
    pub bucket: &'a BucketName,
}

/// Hands `each` the records of keys that start with `prefix` and are greater than `after`, in order, until it has
/// enough. One that is damaged, or lacks something, has no object, and `damaged` is told of the former.
pub fn visit(
    store: &dyn Store,
    part: BucketPart<'_>,
    prefix: &[u8],
    after: &Key,
    each: &mut dyn FnMut(ReadRecord) -> ControlFlow<()>,
    damaged: &mut dyn FnMut(&Bytes, &Damage),
) -> Result<(), StoreError> {
    let BucketPart { partition, bucket } = part;
    let of_bucket = keys::bucket_prefix(partition, bucket).len();
    let from = keys::object_key(partition, bucket, &Key::new(Bytes::copy_from_slice(prefix)));
    let after = keys::object_key(partition, bucket, after);
    store.visit(Table::Objects, &from, Some(&after), &mut |stored_key, value| {
        // A copy: what the store hands out may keep a whole block of it in memory.
        let key = Key::new(Bytes::copy_from_slice(stored_key.get(of_bucket..).unwrap_or_default()));
        let bytes = stored_key.len() + value.len();
        let decoded = record::decode(&stored_key, value).map_err(Damage::from);
        let object = decoded.inspect_err(|damage| damaged(&stored_key, damage)).ok().and_then(Held::whole);
        each(ReadRecord { key, object, bytes })
    })
}

/// The record of one key, as [`visit`] hands it out; none if there is none.
pub fn visit_one(
    store: &dyn Store,
    part: BucketPart<'_>,
    key: &Key,
    damaged: &mut dyn FnMut(&Bytes, &Damage),
) -> Result<Option<ReadRecord>, StoreError> {
    let stored_key = keys::object_key(part.partition, part.bucket, key);
    let record =
        |object, bytes| Some(ReadRecord { key: key.clone(), object, bytes: stored_key.len() + bytes });
    Ok(match read_record(store, &stored_key)? {
        Ok(Some((bytes, held))) => record(held.whole(), bytes.len()),
        Ok(None) => None,
        Err(damage) => {
            damaged(&stored_key, &damage);
            record(None, 0)
        }
    })
}
