use bytes::Bytes;
use neap::protocol::causality::{Body, CausalContext, Object, Superseded, Value, Version};
use neap::protocol::ids::{ActorId, Dot, WriteId};
use neap::protocol::replica::{Held, LackingObject};
use neap::protocol::time::{Hlc, WallMicros};
use neap::storage::record::{decode, encode, encode_lacking};
use neap::storage::{RecordDamaged, seal, unseal};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

const KEY: &[u8] = b"\0\0\0\x07bucket\0key";

fn actor() -> impl Strategy<Value = ActorId> {
    (0..4u64).prop_map(|actor| ActorId(actor.wrapping_sub(1)))
}

fn dot() -> impl Strategy<Value = Dot> {
    (actor(), any::<u64>()).prop_map(|(actor, counter)| Dot { actor, counter })
}

fn body() -> impl Strategy<Value = Body> {
    let value = (option::of(".{0,20}"), vec(any::<u8>(), 0..200), option::of(any::<u64>()));
    option::of(value).prop_map(|value| match value {
        None => Body::Tombstone,
        Some((content_type, bytes, expires_at)) => {
            Body::Value(Value { content_type, bytes: bytes.into(), expires_at: expires_at.map(WallMicros) })
        }
    })
}

fn version() -> impl Strategy<Value = Version> {
    let numbers = (any::<u64>(), any::<u8>(), any::<u128>(), any::<bool>());
    (dot(), numbers, context(), any::<(bool, bool)>(), body()).prop_map(
        |(dot, (hlc, w, write_id, named), past, (gapless, created), body)| Version {
            dot,
            hlc: Hlc(hlc),
            w,
            write_id: WriteId(write_id),
            named,
            past,
            gapless,
            created,
            body,
        },
    )
}

fn superseded() -> impl Strategy<Value = Superseded> {
    (any::<u128>(), dot(), any::<u64>(), any::<u64>(), context(), any::<(bool, bool)>()).prop_map(
        |(write_id, dot, hlc, at, past, (gapless, created))| Superseded {
            write_id: WriteId(write_id),
            dot,
            hlc: Hlc(hlc),
            at: Hlc(at),
            past,
            gapless,
            created,
        },
    )
}

fn context() -> impl Strategy<Value = CausalContext> {
    let parts = (vec((actor(), any::<u64>()), 0..4), vec(dot(), 0..4));
    parts.prop_map(|(vector, cloud)| CausalContext::from_parts(vector, cloud))
}

fn object() -> impl Strategy<Value = Object> {
    (context(), vec(version(), 0..4), vec(superseded(), 0..4))
        .prop_map(|(context, versions, superseded)| Object::from_parts(context, versions, superseded))
}

fn example() -> Object {
    let dot = Dot { actor: ActorId(9), counter: 5 };
    let version = Version {
        dot,
        hlc: Hlc(77),
        w: 2,
        write_id: WriteId(1),
        named: true,
        past: CausalContext::new(),
        gapless: true,
        created: false,
        body: Body::Value(Value {
            content_type: Some("text/plain".to_owned()),
            bytes: Bytes::from_static(b"hello"),
            expires_at: None,
        }),
    };
    Object::from_parts(CausalContext::from_parts([(dot.actor, 5)], []), vec![version], vec![])
}

proptest! {
    #[test]
    fn an_object_comes_back_as_it_was_stored(object in object()) {
        prop_assert_eq!(decode(KEY, encode(KEY, &object)).unwrap(), Held::Object(object));
    }

    #[test]
    fn what_an_object_lacks_comes_back_with_it(object in object(), lacks in context()) {
        let lacking = LackingObject { object, lacks };
        prop_assert_eq!(decode(KEY, encode_lacking(KEY, &lacking)).unwrap(), Held::Lacking(lacking));
    }

    #[test]
    fn random_bytes_are_damage_and_never_a_panic(bytes in vec(any::<u8>(), 0..300)) {
        prop_assert!(decode(KEY, bytes.into()).is_err());
    }

    #[test]
    fn random_bytes_under_a_right_checksum_never_panic(bytes in vec(any::<u8>(), 0..300)) {
        let _ = decode(KEY, seal(KEY, &bytes));
    }

    #[test]
    fn mutated_bytes_under_a_right_checksum_never_panic(
        object in object(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut body = unseal(KEY, encode(KEY, &object)).unwrap().to_vec();
        let at = at.index(body.len());
        body[at] = byte;
        body.truncate(cut.index(body.len()) + 1);
        let _ = decode(KEY, seal(KEY, &body));
    }
}

#[test]
fn damage_of_any_single_bit_is_noticed() {
    let record = encode(KEY, &example());
    for at in 0..record.len() {
        for bit in 0..8 {
            let mut damaged = record.to_vec();
            damaged[at] ^= 1 << bit;
            assert!(decode(KEY, damaged.into()).is_err(), "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn a_record_cut_short_or_grown_is_damaged() {
    let record = encode(KEY, &example());
    for len in 0..record.len() {
        assert!(decode(KEY, record.slice(..len)).is_err(), "{len} bytes");
    }
    let mut grown = record.to_vec();
    grown.push(0);
    assert_eq!(decode(KEY, grown.into()), Err(RecordDamaged::Checksum));
}

#[test]
fn a_record_under_a_key_that_is_not_its_own_is_damaged() {
    let record = encode(KEY, &example());
    assert_eq!(decode(b"\0\0\0\x07bucket\0kez", record.clone()), Err(RecordDamaged::Checksum));
    assert_eq!(decode(&KEY[1..], record), Err(RecordDamaged::Checksum));
}

#[test]
fn a_record_of_a_later_program_is_refused_by_its_version() {
    let mut record = encode(KEY, &example()).to_vec();
    record[0] = 2;
    assert_eq!(decode(KEY, record.into()), Err(RecordDamaged::Version { found: 2 }));
}

#[test]
fn a_length_that_promises_more_than_there_is_is_malformed() {
    let body = [u32::MAX.to_le_bytes(), [0; 4], [0; 4], [0; 4]].concat();
    assert_eq!(decode(KEY, seal(KEY, &body)), Err(RecordDamaged::Malformed { what: "vector" }));
}

#[test]
fn an_object_cut_short_under_a_right_checksum_is_malformed() {
    let body = unseal(KEY, encode(KEY, &example())).unwrap();
    for len in 0..body.len() {
        let cut = decode(KEY, seal(KEY, &body[..len]));
        assert!(matches!(cut, Err(RecordDamaged::Malformed { .. })), "{len} bytes: {cut:?}");
    }
}

#[test]
fn flags_that_no_program_sets_are_malformed() {
    let mut body = unseal(KEY, encode(KEY, &example())).unwrap().to_vec();
    let flags = 4 + 16 + 4 + 4 + 4;
    let (tombstone_with_a_content_type, unknown) = (0b0110, 1 << 7);
    for given in [tombstone_with_a_content_type, unknown] {
        body[flags] = given;
        let read = decode(KEY, seal(KEY, &body));
        assert_eq!(read, Err(RecordDamaged::Malformed { what: "flags" }), "{given:#b}");
    }
}

#[test]
fn bytes_after_the_object_are_malformed() {
    let end = Err(RecordDamaged::Malformed { what: "end" });
    let lacking = LackingObject { object: example(), lacks: example().context().clone() };
    for record in [encode(KEY, &example()), encode_lacking(KEY, &lacking)] {
        let mut body = unseal(KEY, record).unwrap().to_vec();
        body.push(0);
        assert_eq!(decode(KEY, seal(KEY, &body)), end);
    }
}

#[test]
fn a_value_shares_the_memory_of_its_record() {
    let record = encode(KEY, &example());
    let object = decode(KEY, record.clone()).unwrap().whole().unwrap();
    let Body::Value(value) = &object.versions()[0].body else { unreachable!() };
    assert!(record.as_ptr_range().contains(&value.bytes.as_ptr()));
}

#[test]
fn the_stored_form_does_not_change_unnoticed() {
    let hex: String = encode(KEY, &example()).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, GOLDEN);
}

/// The record of [`example`], as version 1 writes it. Disks are full of these.
const GOLDEN: &str = "\
    019e547ceea93682b5010000000900000000000000050000000000000000000000000000000100000015020100\
    0000000000000000000000000000090000000000000005000000000000004d0000000000000000000000000000\
    000a000000746578742f706c61696e0500000068656c6c6f";
