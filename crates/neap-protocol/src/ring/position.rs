//! Where a key lies on the circle.

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::ids::{BucketName, Key, PartitionId};

/// Bucket, separator and key of ordinary length are hashed from the stack in one go, which is faster than
/// the streaming hash that longer ones take. Both give the same value.
const ON_STACK: usize = 256;

/// The partition of a key: the top bits of `xxh3_64(bucket, 0, key)`, on a circle cut into `partitions` equal
/// parts (Dynamo's third strategy; DeCandia et al., section 6.2). `partitions` is a power of two.
#[must_use]
pub fn partition_of(partitions: u32, bucket: &BucketName, key: &Key) -> PartitionId {
    let position = key_hash(bucket, key);
    let bits = partitions.trailing_zeros();
    // One partition has no bits, and a shift by all 64 is none.
    let partition = position.checked_shr(64_u32.saturating_sub(bits)).unwrap_or(0);
    PartitionId(u32::try_from(partition).unwrap_or(0))
}

/// `xxh3_64(bucket, 0, key)`: where a key lies on the circle, and what it is called where its name is not to be shown.
#[must_use]
pub fn key_hash(bucket: &BucketName, key: &Key) -> u64 {
    position(bucket.as_str().as_bytes(), key.as_bytes())
}

/// A name holds no 0 byte, so no two (bucket, key) run into the same bytes.
fn position(bucket: &[u8], key: &[u8]) -> u64 {
    let mut buffer = [0_u8; ON_STACK];
    let key_at = bucket.len().saturating_add(1);
    let end = key_at.saturating_add(key.len());
    if let Some(bytes) = buffer.get_mut(..end)
        && let Some((head, tail)) = bytes.split_at_mut_checked(key_at)
        && let Some(name) = head.get_mut(..bucket.len())
    {
        name.copy_from_slice(bucket);
        tail.copy_from_slice(key);
        return xxh3_64(bytes);
    }
    let mut hash = Xxh3::new();
    hash.update(bucket);
    hash.update(&[0]);
    hash.update(key);
    hash.digest()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(bucket: &str, key: &[u8]) -> u64 {
        xxh3_64(&[bucket.as_bytes(), &[0], key].concat())
    }

    #[test]
    fn a_position_is_the_hash_of_bucket_separator_and_key_whatever_their_length() {
        for length in (1..600).chain([1024, 4096]) {
            let key: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            for bucket in ["b", "a-bucket", &"x".repeat(64)] {
                assert_eq!(position(bucket.as_bytes(), &key), whole(bucket, &key), "{length} {bucket}");
            }
        }
    }

    #[test]
    fn a_partition_is_the_top_bits_of_the_position() {
        let (bucket, key) = (BucketName::new("b").unwrap(), Key::new("k"));
        let position = whole("b", b"k");
        assert_eq!(partition_of(1, &bucket, &key), PartitionId(0));
        assert_eq!(partition_of(2, &bucket, &key), PartitionId((position >> 63) as u32));
        assert_eq!(partition_of(1024, &bucket, &key), PartitionId((position >> 54) as u32));
        assert_eq!(partition_of(65_536, &bucket, &key), PartitionId((position >> 48) as u32));
    }

    #[test]
    fn the_place_of_a_known_key_never_changes() {
        // Data of every cluster lies by it.
        let (bucket, key) = (BucketName::new("users").unwrap(), Key::new("alice"));
        assert_eq!(partition_of(65_536, &bucket, &key), PartitionId(30_701));
    }
}
