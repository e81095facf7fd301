use bytes::Bytes;
use neap::protocol::ids::{BucketName, Key, PartitionId};
use neap::storage::keys::{bucket_prefix, object_key, parse_object_key, partition_prefix};

fn bucket(name: &str) -> BucketName {
    BucketName::new(name).unwrap()
}

#[test]
fn a_stored_key_gives_back_what_it_was_made_of() {
    for key in [&b"k"[..], b"", b"\0", b"a\0b", b"\xff\xff"] {
        let stored = object_key(PartitionId(1023), &bucket("b-1"), &Key::new(key.to_vec()));
        let parsed = parse_object_key(&stored).unwrap();
        assert_eq!(parsed, (PartitionId(1023), bucket("b-1"), Key::new(key.to_vec())));
    }
}

#[test]
fn stored_keys_of_a_partition_and_a_bucket_are_each_one_range() {
    let key = |p: u32, b: &str, k: &str| object_key(PartitionId(p), &bucket(b), &Key::new(k.to_owned()));
    let keys = [key(1, "a", "x"), key(1, "a", "y"), key(1, "ab", "a"), key(256, "a", "a")];
    assert!(keys.is_sorted());
    let starting = |prefix: &[u8]| keys.iter().filter(|key| key.starts_with(prefix)).count();
    assert_eq!(starting(&partition_prefix(PartitionId(1))), 3);
    assert_eq!(starting(&bucket_prefix(PartitionId(1), &bucket("a"))), 2);
    assert_eq!(starting(&bucket_prefix(PartitionId(1), &bucket("ab"))), 1);
}

#[test]
fn what_is_no_stored_key_is_refused() {
    for given in
        [&b""[..], b"\0\0\0", b"\0\0\0\x01", b"\0\0\0\x01bucket", b"\0\0\0\x01\0k", b"\0\0\0\x01b c\0k"]
    {
        let given = Bytes::from_static(given);
        assert_eq!(parse_object_key(&given).unwrap_err().given, given);
    }
}
