//! The door for `fuzz/`: readers of bytes from outside that nobody else outside of their module may call. They stand
//! behind a checksum, a MAC or a server, which a fuzzer does not get past.

use crate::http::Limits;
use crate::protocol::causality::CausalContext;
use crate::protocol::ids::{BucketName, Key};

/// The longest key of [`named_key`], in bytes.
pub const KEY_MAX: usize = 1_024;

/// The set inside a context token, whose MAC was found right.
#[must_use]
pub fn context_set(bytes: &[u8]) -> Option<CausalContext> {
    crate::http::tokens::decode_set(bytes)
}

/// The key that a request's path and query name, read as a `GET` does.
#[must_use]
pub fn named_key(path: &str, query: Option<&str>) -> Option<(BucketName, Key)> {
    let limits = Limits {
        value: 1 << 20,
        key: KEY_MAX,
        timeout_us: 2_000_000,
        body_timeout: std::time::Duration::from_secs(5),
        bodies: 1 << 20,
        answers: 1 << 20,
    };
    crate::http::named_key(&limits, path, query)
}
