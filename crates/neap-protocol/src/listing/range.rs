//! Where a range of keys begins.

use bytes::{BufMut as _, Bytes, BytesMut};

/// The most bytes of a key anywhere (`limits.key` goes no further).
pub const KEY_BYTES_MAX: usize = 1_024;

/// What exactly the keys from `key` on are greater than: the greatest bytes below it that a key can be, or more.
#[must_use]
pub fn just_before(key: &[u8]) -> Bytes {
    let Some((&last, before)) = key.split_last() else { return Bytes::new() };
    let mut bytes = BytesMut::from(before);
    if let Some(lower) = last.checked_sub(1) {
        bytes.put_u8(lower);
        // Longer than any key, so that none lies between.
        bytes.put_bytes(u8::MAX, KEY_BYTES_MAX);
    }
    bytes.freeze()
}
