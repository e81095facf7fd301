//! The key of an operation, as its spans show it.

use opentelemetry::KeyValue;

use super::names::attribute;
use crate::config::SpanKeys;
use crate::protocol::ids::{BucketName, Key};
use crate::protocol::ring::key_hash;

/// The longest text of a key, in characters. A longer one is cut there, and ends in an ellipsis.
pub const KEY_TEXT_MAX: usize = 128;

/// The attributes that name a key, as `keys` wants it.
pub fn key_attributes(keys: SpanKeys, bucket: &BucketName, key: &Key) -> impl Iterator<Item = KeyValue> {
    let hash = || KeyValue::new(attribute::KEY_HASH, format!("{:016x}", key_hash(bucket, key)));
    let text = || KeyValue::new(attribute::KEY_TEXT, text_of(key));
    let (hash, text) = match keys {
        SpanKeys::None => (None, None),
        SpanKeys::Hash => (Some(hash()), None),
        SpanKeys::Text => (Some(hash()), Some(text())),
    };
    text.into_iter().chain(hash)
}

/// UTF-8 as it is, and all else escaped as in a Rust string: bytes that are none as `\xff`.
fn text_of(key: &Key) -> String {
    let mut text = String::new();
    let mut left = KEY_TEXT_MAX;
    for chunk in key.as_bytes().utf8_chunks() {
        let valid = chunk.valid().chars().map(|char| match char {
            '"' | '\'' => char.to_string(),
            char => char.escape_debug().to_string(),
        });
        let invalid = chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}"));
        for piece in valid.chain(invalid) {
            let Some(after) = left.checked_sub(piece.chars().count()) else {
                text.push('…');
                return text;
            };
            left = after;
            text.push_str(&piece);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(keys: SpanKeys, key: &[u8]) -> Vec<(String, String)> {
        let (bucket, key) = (BucketName::new("users").unwrap(), Key::new(key.to_vec()));
        let attributes = key_attributes(keys, &bucket, &key);
        attributes.map(|of| (of.key.as_str().to_owned(), of.value.as_str().into_owned())).collect()
    }

    fn text(key: &[u8]) -> String {
        text_of(&Key::new(key.to_vec()))
    }

    #[test]
    fn a_key_is_shown_as_the_configuration_says() {
        // printf 'users\0alice' | xxhsum -H3
        let hash = ("neap.key.hash".to_owned(), "77ed47d6eeed28ef".to_owned());
        assert_eq!(shown(SpanKeys::None, b"alice"), []);
        assert_eq!(shown(SpanKeys::Hash, b"alice"), std::slice::from_ref(&hash));
        assert_eq!(shown(SpanKeys::Text, b"alice"), [("neap.key.text".to_owned(), "alice".to_owned()), hash]);
    }

    #[test]
    fn text_is_shown_as_it_is_and_what_is_none_is_escaped() {
        assert_eq!(text("Müller's \"cart\"".as_bytes()), "Müller's \"cart\"");
        assert_eq!(text(b"a\xff\x00\n\\"), "a\\xff\\0\\n\\\\");
    }

    #[test]
    fn a_long_key_is_cut() {
        assert_eq!(text(&[b'k'; KEY_TEXT_MAX]), "k".repeat(KEY_TEXT_MAX));
        assert_eq!(text(&[b'k'; 1_024]), "k".repeat(KEY_TEXT_MAX) + "…");
        let bytes = text(&[0xff; 1_024]);
        assert!(bytes.ends_with("\\xff…") && bytes.chars().count() == KEY_TEXT_MAX + 1, "{bytes}");
    }
}
