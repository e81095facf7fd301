//! Where a listing goes on: opaque to clients, authenticated, bound to the bucket and the prefix.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::{BufMut as _, Bytes, BytesMut};

use super::KeyRange;
use crate::protocol::causality::{MAC_BYTES, TokenKey};

const VERSION: u8 = 1;

/// The most bytes of a key anywhere (`limits.key` goes no further).
pub const KEY_BYTES_MAX: usize = 1_024;

/// The continuation was refused: damaged, forged, or of another cluster, bucket or prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token was not issued by this cluster for this bucket and prefix, or was changed")]
pub struct InvalidContinuation;

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

/// What a listing goes on after with this token, to be shown to people: it is not known who made the token. None if it
/// is none.
#[must_use]
pub fn position_of(token: &str) -> Option<Bytes> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (signed, _) = bytes.split_last_chunk::<MAC_BYTES>()?;
    let (version, after) = signed.split_first()?;
    (*version == VERSION).then(|| Bytes::copy_from_slice(after))
}

impl KeyRange {
    /// The token with which a listing of this bucket and prefix goes on after `after`.
    #[must_use]
    pub fn continuation(&self, tokens: &TokenKey, after: &[u8]) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(after);
        let tag = tokens.tag_of(&self.bound(&bytes));
        bytes.extend_from_slice(&tag);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Goes on where `token` says.
    ///
    /// # Errors
    ///
    /// It is no token that was given for this bucket and prefix.
    pub fn resume(self, tokens: &TokenKey, token: &str) -> Result<Self, InvalidContinuation> {
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| InvalidContinuation)?;
        let (signed, tag) = bytes.split_last_chunk().ok_or(InvalidContinuation)?;
        if !tokens.is_tag_of(&self.bound(signed), tag) {
            return Err(InvalidContinuation);
        }
        match signed.split_first() {
            Some((&VERSION, after)) => Ok(Self { after: Bytes::copy_from_slice(after), ..self }),
            _ => Err(InvalidContinuation),
        }
    }

    /// What is authenticated: what is signed, with what it is bound to. Its first byte is in no bucket's name, so
    /// that it is never what authenticates a context.
    fn bound(&self, signed: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend_from_slice(b"continuation\0");
        bytes.extend_from_slice(self.bucket.as_str().as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(&(self.prefix.len() as u64).to_be_bytes());
        bytes.extend_from_slice(&self.prefix);
        bytes.extend_from_slice(signed);
        bytes
    }
}
