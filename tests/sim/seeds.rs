//! Heavy faults over fixed seeds.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use neap::protocol::pbs::Preset;
use neap::protocol::quorum::Quorum;
use neap::sim::faults::{Kind, Level};
use neap::sim::report::Report;
use neap::sim::run::Outcome;
use neap::sim::scenario::{Scenario, Wanted};

const SEEDS: u64 = 300;
const OPERATIONS: u64 = 5_000;

fn wanted(level: Level) -> Wanted {
    Wanted {
        nodes: 5,
        zones: 1,
        quorum: Quorum { n: 3, r: 2, w: 2 },
        legs: Preset::LnkdSsd.legs(),
        level,
        operations: OPERATIONS,
    }
}

fn run(seed: u64, wanted: &Wanted) -> Outcome {
    let scenario = Scenario::drawn(seed, wanted);
    scenario.run(scenario.ring().unwrap()).unwrap()
}

#[test]
fn no_invariant_breaks_under_heavy_faults_and_each_seed_runs_the_same_way_twice() {
    let wanted = wanted(Level::Heavy);
    let (next, report) = (AtomicU64::new(1), Mutex::new(Report::default()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, std::num::NonZero::get) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > SEEDS {
                        return;
                    }
                    let (outcome, again) = (run(seed, &wanted), run(seed, &wanted));
                    let violation = &outcome.violation;
                    assert!(violation.is_none(), "neap sim --seed {seed} --faults heavy: {violation:?}");
                    assert_eq!((outcome.hash, outcome.events), (again.hash, again.events), "seed {seed}");
                    assert!(
                        outcome.operations >= OPERATIONS,
                        "seed {seed}: {} operations",
                        outcome.operations
                    );
                    let faults: u64 = outcome.faults.values().sum();
                    assert!(faults >= 20, "seed {seed}: {faults} faults");
                    report.lock().unwrap().add(outcome);
                }
            });
        }
    });
    let faults: BTreeMap<Kind, u64> = report.into_inner().unwrap().faults;
    println!("{SEEDS} seeds: {faults:?}");
    for kind in Kind::ALL {
        let count = faults.get(&kind).copied().unwrap_or(0);
        assert!(count >= SEEDS / 4, "{}: {count} in {SEEDS} seeds", kind.name());
    }
}

#[test]
fn nothing_fails_where_nothing_goes_wrong() {
    let outcome = run(1, &wanted(Level::None));
    assert_eq!(outcome.violation, None);
    assert!(outcome.tally.failed.is_empty(), "{:?}", outcome.tally.failed);
    assert_eq!(outcome.versions.get("unconverged").copied().unwrap_or(0), 0, "{:?}", outcome.versions);
}

#[test]
fn the_true_share_of_stale_reads_lies_in_the_narrow_interval_that_is_reported() {
    for (r, w) in [(1, 1), (2, 2)] {
        let quorum = Quorum { n: 3, r, w };
        let wanted = Wanted { nodes: 3, quorum, operations: 60_000, ..wanted(Level::None) };
        let mut report = Report::default();
        report.add(run(5, &wanted));
        let (low, high) = report.reported_stale_rate().unwrap();
        let truth = report.stale_rate().unwrap();
        assert!((low..=high).contains(&truth), "R=W={r}: {truth} is not between {low} and {high}");
        let unknown = report.verdicts.get("unknown").copied().unwrap_or(0) as f64 / report.reads as f64;
        assert!(high - low + unknown <= 0.01, "R=W={r}: {low} to {high}, unknown {unknown}");
        assert_eq!(truth > 0.0, r + w <= 3, "R=W={r}: {truth}");
    }
}

#[test]
fn another_seed_is_another_run() {
    let wanted = wanted(Level::Light);
    assert_ne!(run(1, &wanted).hash, run(2, &wanted).hash);
}

#[test]
fn a_hundred_nodes_in_zones_serve() {
    let wanted =
        Wanted { nodes: 100, zones: 3, level: Level::None, operations: 2_000, ..wanted(Level::None) };
    let outcome = run(3, &wanted);
    assert_eq!(outcome.violation, None);
    assert_eq!(outcome.operations, 2_000);
}
