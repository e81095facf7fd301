//! The context as clients carry it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use neap::http::tokens::{TokenError, TokenKey};
use neap::protocol::causality::CausalContext;
use neap::protocol::ids::{ActorId, BucketName, Dot, Key};
use proptest::collection::vec;
use proptest::prelude::*;

fn bucket(name: &str) -> BucketName {
    BucketName::new(name).unwrap()
}

fn key(bytes: &str) -> Key {
    Key::new(bytes.as_bytes().to_vec())
}

fn token_key() -> TokenKey {
    TokenKey::derive(b"the secret", "tide")
}

fn entry() -> impl Strategy<Value = (ActorId, u64)> {
    let number = prop_oneof![0..300u64, any::<u64>()];
    (0..6u64, number)
        .prop_map(|(actor, counter)| (ActorId(actor.wrapping_mul(0x3333_3333_3333_3335)), counter))
}

fn context() -> impl Strategy<Value = CausalContext> {
    let dot = entry().prop_map(|(actor, counter)| Dot { actor, counter });
    (vec(entry(), 0..8), vec(dot, 0..8)).prop_map(|(vector, cloud)| CausalContext::from_parts(vector, cloud))
}

fn sample() -> CausalContext {
    CausalContext::from_parts([(ActorId(1), 700)], [Dot { actor: ActorId(2), counter: 9 }])
}

proptest! {
    #[test]
    fn a_token_is_read_as_it_was_made(context in context(), name in "[A-Za-z0-9_-]{1,64}", key in vec(any::<u8>(), 1..40)) {
        let (bucket, key) = (bucket(&name), Key::new(key));
        let token = token_key().seal(&bucket, &key, &context);
        prop_assert!(token.0.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        prop_assert_eq!(token_key().open(&bucket, &key, &token.0), Ok(context));
    }

    #[test]
    fn no_text_makes_the_reader_fail_otherwise_than_by_refusing(text in ".{0,200}", bytes in vec(any::<u8>(), 0..200)) {
        for text in [text, URL_SAFE_NO_PAD.encode(bytes)] {
            prop_assert!(token_key().open(&bucket("b"), &key("k"), &text).is_err());
        }
    }
}

#[test]
fn every_single_bit_flip_of_a_token_is_refused() {
    let (bucket, key) = (bucket("b"), key("k"));
    let token = token_key().seal(&bucket, &key, &sample());
    let bytes = URL_SAFE_NO_PAD.decode(&token.0).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let opened = token_key().open(&bucket, &key, &URL_SAFE_NO_PAD.encode(&flipped));
        let expected = match bit / 8 {
            0 => TokenError::Version { given: flipped[0] },
            _ => TokenError::NotAuthentic,
        };
        assert_eq!(opened, Err(expected), "bit {bit}");
    }
}

#[test]
fn every_single_bit_flip_of_its_text_is_refused() {
    let (bucket, key) = (bucket("b"), key("k"));
    let token = token_key().seal(&bucket, &key, &sample());
    for bit in 0..token.0.len() * 8 {
        let mut flipped = token.0.clone().into_bytes();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(text) = String::from_utf8(flipped) {
            assert!(token_key().open(&bucket, &key, &text).is_err(), "bit {bit}: {text}");
        }
    }
}

#[test]
fn a_token_cut_or_lengthened_is_refused() {
    let (bucket, key) = (bucket("b"), key("k"));
    let token = token_key().seal(&bucket, &key, &sample()).0;
    for end in 0..token.len() {
        assert!(token_key().open(&bucket, &key, &token[..end]).is_err(), "{end} characters");
    }
    assert!(token_key().open(&bucket, &key, &format!("{token}A")).is_err());
    assert!(token_key().open(&bucket, &key, &format!("{token}=")).is_err());
    assert_eq!(token_key().open(&bucket, &key, ""), Err(TokenError::Malformed));
}

#[test]
fn a_token_of_another_cluster_secret_bucket_or_key_is_refused() {
    let token = token_key().seal(&bucket("b"), &key("k"), &sample()).0;
    let refused = Err(TokenError::NotAuthentic);
    assert_eq!(token_key().open(&bucket("c"), &key("k"), &token), refused);
    assert_eq!(token_key().open(&bucket("b"), &key("l"), &token), refused);
    assert_eq!(token_key().open(&bucket("b"), &key("kk"), &token), refused);
    assert_eq!(TokenKey::derive(b"the secret", "ebb").open(&bucket("b"), &key("k"), &token), refused);
    assert_eq!(TokenKey::derive(b"a secret", "tide").open(&bucket("b"), &key("k"), &token), refused);
}

#[test]
fn where_the_bucket_ends_and_the_key_begins_is_part_of_the_token() {
    let token = token_key().seal(&bucket("ab"), &key("c"), &sample()).0;
    assert_eq!(token_key().open(&bucket("a"), &key("bc"), &token), Err(TokenError::NotAuthentic));
}

#[test]
fn a_token_of_another_version_is_refused_by_its_version() {
    let token = token_key().seal(&bucket("b"), &key("k"), &sample()).0;
    let mut bytes = URL_SAFE_NO_PAD.decode(token).unwrap();
    bytes[0] = 9;
    let refused = token_key().open(&bucket("b"), &key("k"), &URL_SAFE_NO_PAD.encode(bytes)).unwrap_err();
    assert_eq!(refused, TokenError::Version { given: 9 });
    assert_eq!(refused.to_string(), "the context has version 9; this node reads version 1");
}

#[test]
fn a_token_key_does_not_show_itself() {
    assert_eq!(format!("{:?}", token_key()), "TokenKey");
}
