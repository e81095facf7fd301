//! The raw request target, parsed by neap itself.
//!
//! The framework decodes paths to text, and so turns `%FF` and `%FE` into the same replacement character:
//! distinct keys would collide. Here a target stays bytes, decoded once, and only where the contract says.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::GeneralPurpose;
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use bytes::Bytes;

use super::error::Problem;
use crate::protocol::ids::{BucketName, Key};

/// base64url (RFC 4648, section 5): written without padding, read with or without it.
pub const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a key is called in refusals and in JSON.
pub const KEY: &str = "key";
/// The same of a bucket.
pub const BUCKET: &str = "bucket";
/// The name of the query parameter that takes any key.
pub const KEY64: &str = "key64";

/// Decodes percent-encoding (RFC 3986, section 2.1), and nothing else: `+` stays `+`. None if a `%` is not
/// followed by two hexadecimal digits.
#[must_use]
pub fn percent_decode(raw: &[u8]) -> Option<Cow<'_, [u8]>> {
    let Some(first) = raw.iter().position(|&byte| byte == b'%') else {
        return Some(Cow::Borrowed(raw));
    };
    let (plain, mut rest) = raw.split_at_checked(first)?;
    let mut decoded = Vec::with_capacity(raw.len());
    decoded.extend_from_slice(plain);
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%' {
            let (digits, after) = rest.split_first_chunk::<2>()?;
            decoded.push(hex(digits[0])? << 4 | hex(digits[1])?);
            rest = after;
        } else {
            decoded.push(byte);
        }
    }
    Some(Cow::Owned(decoded))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// The bucket of a path segment.
///
/// # Errors
///
/// Broken percent-encoding, or not a name.
pub fn bucket(raw: &str) -> Result<BucketName, Problem> {
    let decoded = percent_decode(raw.as_bytes()).ok_or_else(|| broken_encoding(BUCKET, raw))?;
    let name = std::str::from_utf8(&decoded).ok().and_then(|name| BucketName::new(name).ok());
    name.ok_or_else(|| no_bucket(raw))
}

/// The bucket of this name.
///
/// # Errors
///
/// Not a name.
pub fn bucket_name(name: &str) -> Result<BucketName, Problem> {
    BucketName::new(name).map_err(|_| no_bucket(name))
}

fn no_bucket(given: &str) -> Problem {
    Problem::invalid(BUCKET, given, "1 to 64 characters of A-Z a-z 0-9 _ -")
}

/// The key of the rest of a path, of `limit` bytes at the most.
///
/// # Errors
///
/// Broken percent-encoding, an empty key, one over the limit, or one with a `.` or `..` segment: clients
/// take those out before they send, so what arrives with one would be reachable by some of them only.
pub fn key(raw: &str, limit: usize) -> Result<Key, Problem> {
    let decoded = percent_decode(raw.as_bytes()).ok_or_else(|| broken_encoding(KEY, raw))?;
    if decoded.split(|&byte| byte == b'/').any(|segment| segment == b"." || segment == b"..") {
        let accepted =
            "a key without '.' or '..' segments, or any key as ?key64=<base64url> on the bucket's path";
        return Err(Problem::invalid(KEY, raw, accepted));
    }
    let bytes = match decoded {
        Cow::Borrowed(bytes) => Bytes::copy_from_slice(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    };
    within(KEY, raw, bytes, limit)
}

/// The key of a `key64` parameter, of `limit` bytes at the most.
///
/// # Errors
///
/// Not base64url, an empty key, or one over the limit.
pub fn key64(text: &str, limit: usize) -> Result<Key, Problem> {
    let bytes = BASE64URL.decode(text).map_err(|_| {
        Problem::invalid(KEY64, text, "base64url (RFC 4648, section 5), with or without padding")
    })?;
    within(KEY64, text, Bytes::from(bytes), limit)
}

/// A key of these bytes, of `limit` at the most; `raw` is how it came.
///
/// # Errors
///
/// An empty key, or one over the limit.
pub fn within(parameter: &'static str, raw: &str, bytes: Bytes, limit: usize) -> Result<Key, Problem> {
    if bytes.is_empty() {
        return Err(Problem::invalid(parameter, raw, format!("1 to {limit} bytes")));
    }
    if bytes.len() > limit {
        return Err(Problem::too_large(parameter, Some(bytes.len() as u64), limit));
    }
    Ok(Key::new(bytes))
}

fn broken_encoding(parameter: &'static str, raw: &str) -> Problem {
    Problem::invalid(parameter, raw, "percent-encoding with two hexadecimal digits after each '%'")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(raw: &str) -> Vec<u8> {
        key(raw, 1024).unwrap().as_bytes().to_vec()
    }

    #[test]
    fn bytes_that_are_no_text_stay_distinct() {
        assert_eq!(key_of("%FF"), b"\xff");
        assert_eq!(key_of("%FE"), b"\xfe");
        assert_eq!(key_of("%ff%00"), b"\xff\0");
    }

    #[test]
    fn a_slash_is_the_same_plain_and_encoded_and_a_plus_is_a_plus() {
        assert_eq!(key_of("a/b"), b"a/b");
        assert_eq!(key_of("a%2Fb"), b"a/b");
        assert_eq!(key_of("a%2fb/"), b"a/b/");
        assert_eq!(key_of("a//b"), b"a//b");
        assert_eq!(key_of("a+b%2B%20"), b"a+b+ ");
        assert_eq!(key_of("%2561"), b"%61");
    }

    #[test]
    fn dot_segments_are_refused_however_they_are_written() {
        for raw in [".", "..", "%2E", "%2e%2E", ".%2e", "a/./b", "a/../b", "a%2F..%2Fb", "a/.", "../a"] {
            let problem = format!("{:?}", key(raw, 1024).unwrap_err());
            assert!(problem.contains("key64"), "{raw}: {problem}");
        }
        for raw in ["...", "a.", ".a", "a..b", "..."] {
            assert_eq!(key_of(raw), raw.as_bytes());
        }
    }

    #[test]
    fn broken_percent_encoding_is_refused() {
        for raw in ["%", "%f", "a%", "%zz", "%+1", "%0", "%%41", "ok%4"] {
            assert!(key(raw, 1024).is_err(), "{raw}");
            assert!(bucket(raw).is_err(), "{raw}");
        }
    }

    #[test]
    fn a_key_has_one_byte_to_the_limit_after_decoding() {
        assert!(key("", 4).is_err());
        assert!(key("%00%01%02%03", 4).is_ok());
        assert!(key("abcde", 4).is_err());
        assert!(key64("", 4).is_err());
        assert!(key64("AAECAw", 4).is_ok());
        assert!(key64("AAECAwQ", 4).is_err());
    }

    #[test]
    fn key64_reads_any_bytes_with_or_without_padding() {
        for (text, bytes) in
            [("Li4", &b".."[..]), ("_-8=", b"\xff\xef"), ("_-8", b"\xff\xef"), ("YQ==", b"a")]
        {
            assert_eq!(key64(text, 1024).unwrap().as_bytes(), bytes, "{text}");
        }
        for text in ["/+8=", "a", "YR==", "YR", "a b", "YQ==="] {
            assert!(key64(text, 1024).is_err(), "{text}");
        }
    }

    #[test]
    fn a_bucket_is_a_name_after_decoding() {
        assert_eq!(bucket("my%2Dbucket").unwrap().as_str(), "my-bucket");
        for raw in ["", "a.b", "a%2Fb", "%FF", "a b", &"x".repeat(65)] {
            assert!(bucket(raw).is_err(), "{raw}");
        }
    }
}
