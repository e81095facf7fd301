//! Heavy faults over fixed seeds.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use neap::protocol::pbs::Preset;
use neap::protocol::quorum::Quorum;
use neap::sim::faults::{Kind, Level};
use neap::sim::report::{ComparedReport, Report};
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
    let Report { faults, compared, .. } = report.into_inner().unwrap();
    what_is_said_is_true(&compared);
    let faults: BTreeMap<Kind, u64> = faults;
    println!("{SEEDS} seeds: {faults:?}");
    for kind in Kind::ALL {
        let count = faults.get(&kind).copied().unwrap_or(0);
        assert!(count >= SEEDS / 4, "{}: {count} in {SEEDS} seeds", kind.name());
    }
}

/// The times that coordinators say are within 1 % of the truth about the same reads and writes. Below 10 ms that is less
/// than clocks are off in this network, where a message takes a millisecond or so.
fn what_is_said_is_true(compared: &ComparedReport) {
    let pairs =
        [("age", &compared.age), ("exposure", &compared.exposure), ("convergence", &compared.convergence)];
    for (name, (truth, said)) in pairs {
        assert_eq!(truth.count(), said.count(), "{name}");
        assert!(said.count() >= 1_000, "{name}: {}", said.count());
        for p in [0.5, 0.95, 0.99, 0.999] {
            let (truth, said) = (truth.percentile_ms(p).unwrap(), said.percentile_ms(p).unwrap());
            println!("{name} at {p}: {said} ms, truly {truth} ms");
            if p > 0.5 || truth > 10.0 {
                assert!((said - truth).abs() <= truth / 100.0, "{name} at {p}: {said} ms, truly {truth} ms");
            }
        }
    }
    let (low, high, truth) = compared.stale_rates().unwrap();
    assert!((low..=high).contains(&truth), "{truth} is not between {low} and {high}");
    println!(
        "stale: {low} to {high}, truly {truth}; bounds only: {} and {}",
        compared.bounded_reads, compared.bounded
    );
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
