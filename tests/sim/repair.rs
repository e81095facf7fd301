//! What reads repair.

use neap::protocol::pbs::Preset;
use neap::sim::file::File;

#[test]
fn reads_of_one_replica_make_all_replicas_equal() {
    let story = include_str!("../regressions/reads_of_one_replica_repair_what_another_missed.toml");
    let file = File::parse(story).unwrap();
    let scenario = file.scenario(Preset::named(&file.latency).unwrap().legs()).unwrap();
    let outcome = scenario.run(scenario.ring().unwrap()).unwrap();
    assert_eq!(outcome.violation, None);
    // The reads come 2.5 s after the writes; whatever they do not repair is equal only when the run is looked at, after
    // 30 s.
    let seconds: Vec<u64> = outcome.convergence.iter().map(|nanos| nanos / 1_000_000_000).collect();
    assert_eq!(seconds, [2, 2], "{:?}", outcome.counts);
    assert_eq!(outcome.counts.get("read_repairs_async"), Some(&2));
}

#[test]
fn writes_under_way_are_not_repaired() {
    use neap::protocol::quorum::Quorum;
    use neap::sim::faults::Level;
    use neap::sim::scenario::{Scenario, Wanted};

    let wanted = Wanted {
        nodes: 3,
        zones: 1,
        quorum: Quorum { n: 3, r: 1, w: 1 },
        legs: Preset::LnkdSsd.legs(),
        level: Level::None,
        operations: 20_000,
    };
    let scenario = Scenario::drawn(1, &wanted);
    let outcome = scenario.run(scenario.ring().unwrap()).unwrap();
    assert!(outcome.tally.verdicts.get("stale").copied().unwrap_or(0) > 0, "{:?}", outcome.tally.verdicts);
    assert_eq!(outcome.counts.get("read_repairs_async"), None, "{:?}", outcome.counts);
}
