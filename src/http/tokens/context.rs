//! The context as a client carries it: opaque, versioned, authenticated.
//!
//! A token is base64url of: one version byte, the set, 16 bytes of HMAC-SHA-256. The MAC also takes in the
//! cluster, the bucket and the key, so a token of another key is as foreign as a forged one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::protocol::causality::CausalContext;
use crate::protocol::ids::{ActorId, BucketName, Dot, Key};

const VERSION: u8 = 1;
pub(super) const MAC_BYTES: usize = 16;

/// A context in the form that the `Neap-Context` header carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextToken(pub String);

/// Why a token was refused. Nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not base64url, or too short to be a token.
    #[error("the context is not a token of neap: it is damaged or was cut")]
    Malformed,
    /// A version that this build does not read.
    #[error("the context has version {given}; this node reads version {VERSION}")]
    Version {
        /// The version found.
        given: u8,
    },
    /// The MAC does not fit: forged, damaged, or of another cluster, bucket or key.
    #[error("the context was not issued for this cluster, bucket and key, or was changed")]
    NotAuthentic,
}

/// The key that a cluster's tokens are authenticated with.
#[derive(Clone)]
pub struct TokenKey {
    mac: Hmac<Sha256>,
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey")
    }
}

impl TokenKey {
    /// Derives the key from the cluster's secret and name.
    #[must_use]
    pub fn derive(secret: &[u8], cluster: &str) -> Self {
        let mut derive = keyed(secret);
        derive.update(b"neap context token v1\0");
        derive.update(cluster.as_bytes());
        Self { mac: keyed(&derive.finalize().into_bytes()) }
    }

    /// Makes the token of `context` for one key.
    #[must_use]
    pub fn seal(&self, bucket: &BucketName, key: &Key, context: &CausalContext) -> ContextToken {
        let mut bytes = vec![VERSION];
        encode(context, &mut bytes);
        let tag = self.tag(bucket, key, &bytes).finalize().into_bytes();
        bytes.extend(tag.iter().take(MAC_BYTES));
        ContextToken(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Reads a token that was made for this key.
    pub fn open(&self, bucket: &BucketName, key: &Key, token: &str) -> Result<CausalContext, TokenError> {
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| TokenError::Malformed)?;
        let given = *bytes.first().ok_or(TokenError::Malformed)?;
        if given != VERSION {
            return Err(TokenError::Version { given });
        }
        let at = bytes.len().checked_sub(MAC_BYTES).filter(|&at| at >= 1).ok_or(TokenError::Malformed)?;
        let (signed, tag) = bytes.split_at(at);
        self.tag(bucket, key, signed).verify_truncated_left(tag).map_err(|_| TokenError::NotAuthentic)?;
        decode(signed.get(1..).unwrap_or_default()).ok_or(TokenError::Malformed)
    }

    /// The tag of other bytes that the cluster gives out, which must never be what authenticates a context: that
    /// begins with a bucket's name.
    #[must_use]
    pub fn tag_of(&self, bytes: &[u8]) -> [u8; MAC_BYTES] {
        let mut tag = [0; MAC_BYTES];
        let whole = self.mac.clone().chain_update(bytes).finalize().into_bytes();
        tag.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
        tag
    }

    /// Whether `tag` is the tag of these bytes.
    #[must_use]
    pub fn is_tag_of(&self, bytes: &[u8], tag: &[u8; MAC_BYTES]) -> bool {
        self.mac.clone().chain_update(bytes).verify_truncated_left(tag).is_ok()
    }

    fn tag(&self, bucket: &BucketName, key: &Key, signed: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        mac.update(bucket.as_str().as_bytes());
        mac.update(&[0]);
        mac.update(&(key.as_bytes().len() as u64).to_be_bytes());
        mac.update(key.as_bytes());
        mac.update(signed);
        mac
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    // HMAC takes keys of any length (RFC 2104, section 2), so this cannot fail; an empty key stands in.
    Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| Hmac::<Sha256>::new(&Default::default()))
}

fn put_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn put_entry(actor: ActorId, counter: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&actor.0.to_be_bytes());
    put_number(counter, out);
}

fn take_entry(bytes: &mut &[u8]) -> Option<(ActorId, u64)> {
    let (actor, rest) = bytes.split_first_chunk::<8>()?;
    *bytes = rest;
    Some((ActorId(u64::from_be_bytes(*actor)), take_number(bytes)?))
}

fn encode(context: &CausalContext, out: &mut Vec<u8>) {
    put_number(context.vector().len() as u64, out);
    for &(actor, counter) in context.vector() {
        put_entry(actor, counter, out);
    }
    for dot in context.cloud() {
        put_entry(dot.actor, dot.counter, out);
    }
}

/// Reads what [`encode`] wrote.
pub(crate) fn decode(mut bytes: &[u8]) -> Option<CausalContext> {
    let count = take_number(&mut bytes)?;
    let mut context = CausalContext::new();
    for _ in 0..count {
        let (actor, counter) = take_entry(&mut bytes)?;
        context.add_up_to(actor, counter);
    }
    while !bytes.is_empty() {
        let (actor, counter) = take_entry(&mut bytes)?;
        context.add(Dot { actor, counter });
    }
    Some(context)
}
