//! The properties that `fuzz/` looks for exceptions from, over its seeds, their mutations, and random bytes.

#[path = "../../fuzz/src/lib.rs"]
mod properties;

use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;

type Property = fn(&[u8]);

const PROPERTIES: [(&str, Property); 6] = [
    ("frame", properties::frame),
    ("message", properties::message),
    ("context_token", properties::context_token),
    ("request_target", properties::request_target),
    ("stored_record", properties::stored_record),
    ("traceparent", properties::traceparent),
];

fn seeds(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(name);
    let mut seeds: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    seeds.sort();
    seeds.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// A piece of a seed, with a few bytes changed.
fn mutated(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let changes = vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    (prop::sample::select(seeds), changes, any::<prop::sample::Index>()).prop_map(
        |(mut bytes, changes, cut)| {
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            // Most keep their end.
            let end = cut.index(2 * bytes.len()) + 1;
            bytes.truncate(end);
            bytes
        },
    )
}

#[test]
fn every_property_holds_for_its_seeds_their_mutations_and_random_bytes() {
    for (name, property) in PROPERTIES {
        let seeds = seeds(name);
        assert!(seeds.len() > 1 && seeds.iter().all(|seed| !seed.is_empty()), "{name} has seeds");
        seeds.iter().for_each(|seed| property(seed));
        let config = ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() };
        let bytes = prop_oneof![3 => mutated(seeds), 1 => vec(any::<u8>(), 0..300)];
        let held = prop::test_runner::TestRunner::new(config).run(&bytes, |bytes| {
            property(&bytes);
            Ok(())
        });
        assert!(held.is_ok(), "{name}: {held:?}");
    }
}
