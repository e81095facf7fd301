//! How an object's place is written as a key of [`super::Table::Objects`]: partition, then bucket, then key, so
//! that a partition, and a bucket in it, are each one range.

use bytes::Bytes;

use super::{Store, StoreError, Table};
use neap_protocol::ids::{BucketName, Key, PartitionId};

/// Stands between bucket and key. No bucket name holds it.
const SEPARATOR: u8 = 0;

const PARTITION_LEN: usize = size_of::<u32>();

/// A stored key that [`object_key`] did not make.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is no key of an object: partition (4 bytes), bucket, 0 and key are expected", given.escape_ascii())]
pub struct InvalidObjectKey {
    /// The stored key.
    pub given: Bytes,
}

/// The stored key of an object: the partition as 4 bytes big-endian, the bucket, a 0 byte, the key.
#[must_use]
pub fn object_key(partition: PartitionId, bucket: &BucketName, key: &Key) -> Bytes {
    let mut stored = bucket_bytes(partition, bucket, key.as_bytes().len());
    stored.extend_from_slice(key.as_bytes());
    stored.into()
}

/// What [`object_key`] was given. The key shares the memory of `stored`.
pub fn parse_object_key(stored: &Bytes) -> Result<(PartitionId, BucketName, Key), InvalidObjectKey> {
    parse(stored).ok_or_else(|| InvalidObjectKey { given: stored.clone() })
}

fn parse(stored: &Bytes) -> Option<(PartitionId, BucketName, Key)> {
    let (partition, rest) = stored.split_first_chunk::<PARTITION_LEN>()?;
    let separator = rest.iter().position(|&byte| byte == SEPARATOR)?;
    let bucket = BucketName::new(std::str::from_utf8(rest.get(..separator)?).ok()?).ok()?;
    let key = stored.slice(PARTITION_LEN + separator + 1..);
    Some((PartitionId(u32::from_be_bytes(*partition)), bucket, Key::new(key)))
}

/// What the stored keys of a partition start with, and no others.
#[must_use]
pub fn partition_prefix(partition: PartitionId) -> [u8; PARTITION_LEN] {
    partition.0.to_be_bytes()
}

/// What the stored keys of one bucket in a partition start with, and no others.
#[must_use]
pub fn bucket_prefix(partition: PartitionId, bucket: &BucketName) -> Bytes {
    bucket_bytes(partition, bucket, 0).into()
}

/// Whether the store holds any object of a bucket: one look a partition.
pub fn holds_bucket(store: &dyn Store, partitions: u32, bucket: &BucketName) -> Result<bool, StoreError> {
    for partition in (0..partitions).map(PartitionId) {
        if !store.scan(Table::Objects, &bucket_prefix(partition, bucket), None, 1)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn bucket_bytes(partition: PartitionId, bucket: &BucketName, more: usize) -> Vec<u8> {
    let bucket = bucket.as_str().as_bytes();
    let mut bytes = Vec::with_capacity(PARTITION_LEN + bucket.len() + 1 + more);
    bytes.extend_from_slice(&partition_prefix(partition));
    bytes.extend_from_slice(bucket);
    bytes.push(SEPARATOR);
    bytes
}
