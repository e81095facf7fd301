//! Where a listing goes on: opaque to clients, authenticated, bound to the bucket and the prefix.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;

use super::context::{MAC_BYTES, TokenKey};
use crate::protocol::listing::KeyRange;

const VERSION: u8 = 1;

/// The continuation was refused: damaged, forged, or of another cluster, bucket or prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token was not issued by this cluster for this bucket and prefix, or was changed")]
pub struct InvalidContinuation;

/// What a listing goes on after with this token, to be shown to people: it is not known who made the token. None if it
/// is none.
#[must_use]
pub fn position_of(token: &str) -> Option<Bytes> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (signed, _) = bytes.split_last_chunk::<MAC_BYTES>()?;
    let (version, after) = signed.split_first()?;
    (*version == VERSION).then(|| Bytes::copy_from_slice(after))
}

impl TokenKey {
    /// The token with which a listing of the range's bucket and prefix goes on after `after`.
    #[must_use]
    pub fn continuation(&self, range: &KeyRange, after: &[u8]) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(after);
        let tag = self.tag_of(&bound(range, &bytes));
        bytes.extend_from_slice(&tag);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The range from where `token` says on.
    ///
    /// # Errors
    ///
    /// It is no token that was given for this bucket and prefix.
    pub fn resume(&self, range: KeyRange, token: &str) -> Result<KeyRange, InvalidContinuation> {
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| InvalidContinuation)?;
        let (signed, tag) = bytes.split_last_chunk().ok_or(InvalidContinuation)?;
        if !self.is_tag_of(&bound(&range, signed), tag) {
            return Err(InvalidContinuation);
        }
        match signed.split_first() {
            Some((&VERSION, after)) => Ok(KeyRange { after: Bytes::copy_from_slice(after), ..range }),
            _ => Err(InvalidContinuation),
        }
    }
}

/// The bytes that are authenticated: what is signed, with what it is bound to. Their first is in no bucket's name, so that
/// they are never what authenticates a context.
fn bound(range: &KeyRange, signed: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend_from_slice(b"continuation\0");
    bytes.extend_from_slice(range.bucket.as_str().as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(&(range.prefix.len() as u64).to_be_bytes());
    bytes.extend_from_slice(&range.prefix);
    bytes.extend_from_slice(signed);
    bytes
}
