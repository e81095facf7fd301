//! Lookup in a ring and computing its layout.
//!
//! `cargo bench --bench ring`. Goals: a lookup in 100 ns; a ring of 1,000 nodes and 65,536 partitions, with N = 3, in
//! a second. A ring is made with the layouts of every N up to 15, which are forty times the slots of N = 3, so the time
//! measured is an upper bound of the goal's.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use neap::protocol::ids::{BucketName, Key, NodeId};
use neap::protocol::ring::{Member, Ring, Weight};

const PARTITIONS: u32 = 65_536;

fn member(at: usize, zones: usize) -> Member {
    let (Ok(id), weight) = (NodeId::new(&format!("n{at:04}")), Weight::ONE) else {
        unreachable!("a valid name")
    };
    Member { id, zone: format!("z{}", at % zones), weight, address: format!("n{at:04}:7101") }
}

fn ring(partitions: u32, nodes: usize, zones: usize) -> Ring {
    let members = (0..nodes).map(|at| member(at, zones)).collect();
    let Ok(ring) = Ring::founders(partitions, members) else { unreachable!("a valid ring") };
    ring
}

fn lookup(c: &mut Criterion) {
    let Ok(bucket) = BucketName::new("users") else { unreachable!("a valid name") };
    let keys: Vec<Key> = (0..1024).map(|at| Key::new(format!("user-{at:026}").into_bytes())).collect();
    for (name, ring) in [("5 nodes", ring(1024, 5, 1)), ("1000 nodes", ring(PARTITIONS, 1000, 10))] {
        let mut keys = keys.iter().cycle();
        c.bench_function(&format!("lookup of a 31-byte key, N = 3, {name}"), |b| {
            b.iter(|| {
                let Some(key) = keys.next() else { unreachable!("a cycle has no end") };
                let homes = ring.homes(ring.partition_of(&bucket, key), 3);
                black_box(homes.first().copied())
            });
        });
    }
}

fn layouts(c: &mut Criterion) {
    let mut group = c.benchmark_group("1000 nodes, 65536 partitions, N = 1..=15");
    group.sample_size(10);
    for zones in [1, 10] {
        group
            .bench_function(format!("founders, {zones} zones"), |b| b.iter(|| ring(PARTITIONS, 1000, zones)));
        let founded = ring(PARTITIONS, 1000, zones);
        let joined: Vec<Member> = (0..1001).map(|at| member(at, zones)).collect();
        group.bench_function(format!("a join, {zones} zones"), |b| {
            b.iter(|| founded.with_members(joined.clone()))
        });
        let left: Vec<Member> = (0..999).map(|at| member(at, zones)).collect();
        group.bench_function(format!("a leave, {zones} zones"), |b| {
            b.iter(|| founded.with_members(left.clone()))
        });
    }
    // The costliest change: every partition loses a home to the new zone.
    let (two, three) = (ring(PARTITIONS, 1000, 2), (0..1000).map(|at| member(at, 3)).collect::<Vec<_>>());
    group.bench_function("from 2 zones to 3", |b| b.iter(|| two.with_members(three.clone())));
    group.finish();
}

criterion_group!(benches, lookup, layouts);
criterion_main!(benches);
