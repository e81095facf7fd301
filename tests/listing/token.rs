//! Where a listing begins and goes on.

use neap::http::tokens::{InvalidContinuation, TokenKey, position_of};
use neap::protocol::listing::KEY_BYTES_MAX;

use super::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_start_takes_in_itself_and_nothing_before(
        start in prop::collection::vec(any::<u8>(), 0..6),
        key in prop::collection::vec(any::<u8>(), 1..8),
        flood in 0..KEY_BYTES_MAX,
    ) {
        let after = just_before(&start);
        let mut long = start.clone();
        if let Some(last) = long.last_mut() {
            *last = last.wrapping_sub(1);
        }
        long.resize(flood.max(1), 0xff);
        for key in [key, start.clone(), long].into_iter().filter(|key| !key.is_empty()) {
            prop_assert_eq!(key >= start, key[..] > after[..], "{:?}", key);
        }
    }
}

#[test]
fn a_continuation_serves_its_cluster_bucket_and_prefix_alone() {
    let tokens = TokenKey::derive(b"secret", "c");
    let token = tokens.continuation(&range(b"p", b""), b"p7");
    assert_eq!(tokens.resume(range(b"p", b""), &token).unwrap().after, &b"p7"[..]);
    let other = KeyRange { bucket: BucketName::new("c").unwrap(), ..range(b"p", b"") };
    assert_eq!(tokens.resume(other, &token), Err(InvalidContinuation));
    for foreign in [TokenKey::derive(b"secret", "d"), TokenKey::derive(b"other", "c")] {
        assert_eq!(foreign.resume(range(b"p", b""), &token), Err(InvalidContinuation));
    }
    for prefix in [&b""[..], b"p7", b"q"] {
        assert_eq!(tokens.resume(range(prefix, b""), &token), Err(InvalidContinuation));
    }
    for garbage in ["", "AQ", "*", &token[1..], &token[..token.len() - 1], &format!("{token}A")] {
        assert_eq!(tokens.resume(range(b"p", b""), garbage), Err(InvalidContinuation), "{garbage}");
    }
    // A context of the same cluster is no continuation, and the other way round.
    let context = tokens.seal(&bucket(), &Key::new("p7"), Object::new().context()).0;
    assert_eq!(tokens.resume(range(b"p", b""), &context), Err(InvalidContinuation));
    assert!(tokens.open(&bucket(), &Key::new("p7"), &token).is_err());
}

#[test]
fn where_a_token_goes_on_can_be_shown() {
    let tokens = TokenKey::derive(b"secret", "c");
    assert_eq!(position_of(&tokens.continuation(&range(b"p", b""), b"p7")).as_deref(), Some(&b"p7"[..]));
    for garbage in ["", "*", "AQ", "AgAAAAAAAAAAAAAAAAAAAAAAAAA"] {
        assert_eq!(position_of(garbage), None, "{garbage}");
    }
}
