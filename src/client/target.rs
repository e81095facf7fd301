//! Request targets: where a key of any bytes stands in a URL.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::protocol::ids::{BucketName, Key};

/// The request target of `key` in `bucket`, without parameters other than the key's own.
///
/// A key with a `.` or `..` segment goes as `?key64=`, since whatever handles the URL on the way may normalise
/// such segments away.
#[must_use]
pub fn kv_target(bucket: &BucketName, key: &Key) -> String {
    key_target(format!("/v1/kv/{bucket}"), key)
}

/// The request target of the preference list of `key`, by the rule of [`kv_target`].
#[must_use]
pub fn ring_key_target(bucket: &BucketName, key: &Key) -> String {
    key_target(format!("/v1/ring/{bucket}"), key)
}

fn key_target(mut target: String, key: &Key) -> String {
    let bytes = key.as_bytes();
    if bytes.split(|byte| *byte == b'/').any(|segment| segment == b"." || segment == b"..") {
        append_query(&mut target, "key64", &URL_SAFE_NO_PAD.encode(bytes));
    } else {
        target.push('/');
        percent_encode(&mut target, bytes);
    }
    target
}

/// Appends the parameter `name` to a request target.
pub fn append_query(target: &mut String, name: &str, value: &str) {
    append_query_bytes(target, name, value.as_bytes());
}

/// The same of any bytes.
pub fn append_query_bytes(target: &mut String, name: &str, value: &[u8]) {
    target.push(if target.contains('?') { '&' } else { '?' });
    target.push_str(name);
    target.push('=');
    percent_encode(target, value);
}

/// Encodes all but the unreserved characters of RFC 3986, section 2.3.
fn percent_encode(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            out.push(char::from(*byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(key: &[u8]) -> String {
        kv_target(&BucketName::new("b").unwrap(), &Key::new(key.to_vec()))
    }

    #[test]
    fn keys_of_any_bytes_are_distinct_in_the_path() {
        assert_eq!(target(b"plain-1._~"), "/v1/kv/b/plain-1._~");
        assert_eq!(target(b"\xff"), "/v1/kv/b/%FF");
        assert_eq!(target(b"\xfe"), "/v1/kv/b/%FE");
        assert_eq!(target(b"a b%/c?d&e"), "/v1/kv/b/a%20b%25%2Fc%3Fd%26e");
    }

    #[test]
    fn dot_segments_go_as_key64() {
        assert_eq!(target(b"."), "/v1/kv/b?key64=Lg");
        assert_eq!(target(b"a/../c"), "/v1/kv/b?key64=YS8uLi9j");
        assert_eq!(target(b"a/..c"), "/v1/kv/b/a%2F..c");
    }

    #[test]
    fn parameters_follow_those_that_are_there() {
        let mut with_key64 = target(b"..");
        append_query(&mut with_key64, "r", "2");
        assert_eq!(with_key64, "/v1/kv/b?key64=Li4&r=2");
    }
}
