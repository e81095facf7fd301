//! Bytes at rest under a checksum that also covers the key they are stored under, so that damage, and a record
//! that turns up under a key that is not its own, are noticed.
//!
//! ```text
//! version u8 | xxh3-64 of (version, key length, key, body), little-endian | body
//! ```

use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

/// The version this program writes and the only one it reads.
const VERSION: u8 = 1;

/// Bytes before the body.
pub(super) const HEADER_LEN: usize = 1 + size_of::<u64>();

/// What is stored under a key is not what was written there. Nothing changed; writing the key again heals it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordDamaged {
    /// There are too few bytes to hold even a checksum.
    #[error("the record is damaged: {len} bytes are too few")]
    TooShort {
        /// Bytes found.
        len: usize,
    },
    /// The version byte is not one this program knows: damage, or a later program's record.
    #[error("the record is damaged, or of a later program: its version is {found}, only {VERSION} is known")]
    Version {
        /// The version found.
        found: u8,
    },
    /// The checksum does not fit the key and the bytes.
    #[error("the record is damaged: its checksum does not fit its key and bytes")]
    Checksum,
    /// The checksum fits and the bytes still make no sense: they were written wrong.
    #[error("the record is damaged: its {what} makes no sense")]
    Malformed {
        /// The part that could not be read.
        what: &'static str,
    },
}

/// Puts `body` under a checksum, to be stored under `key`.
#[must_use]
pub fn seal(key: &[u8], body: &[u8]) -> Bytes {
    let mut record = begin(body.len());
    record.extend_from_slice(body);
    finish(key, record)
}

/// Gives the body of `record`, found under `key`, without copying it.
pub fn unseal(key: &[u8], mut record: Bytes) -> Result<Bytes, RecordDamaged> {
    let len = record.len();
    let Some((header, body)) = record.split_first_chunk::<HEADER_LEN>() else {
        return Err(RecordDamaged::TooShort { len });
    };
    let [version, checksum @ ..] = *header;
    if version != VERSION {
        return Err(RecordDamaged::Version { found: version });
    }
    if checksum_of(key, body) != u64::from_le_bytes(checksum) {
        return Err(RecordDamaged::Checksum);
    }
    Ok(record.split_off(HEADER_LEN))
}

/// An empty record with room for `body_len` bytes, to be appended to and given to [`finish`].
pub(super) fn begin(body_len: usize) -> Vec<u8> {
    let mut record = Vec::with_capacity(HEADER_LEN + body_len);
    record.resize(HEADER_LEN, 0);
    record
}

/// Writes version and checksum into a record begun with [`begin`].
pub(super) fn finish(key: &[u8], mut record: Vec<u8>) -> Bytes {
    if let Some((header, body)) = record.split_first_chunk_mut::<HEADER_LEN>() {
        let checksum = checksum_of(key, body).to_le_bytes();
        let [version, place @ ..] = header;
        *version = VERSION;
        *place = checksum;
    }
    record.into()
}

fn checksum_of(key: &[u8], body: &[u8]) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(&[VERSION]);
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(body);
    hasher.digest()
}
