//! Restarts, and several nodes taken together.

use neap::protocol::ids::NodeId;
use neap::protocol::slo::{Slo, SloScope, SloState, SloSummary};
use neap::protocol::staleness::Verdict;
use neap::protocol::time::WallMicros;
use neap::storage::slo_summary::{self, UnreadableSummary};

use super::{DAY, FRESH, HOUR, MINUTE, SECOND, Timeline, converged, plan, unconverged, verdict};

const SETS: [&str; 3] = ["slo.sets.shop.buckets=carts", "slo.sets.shop.age_p95=1s", "slo.min_reads=50"];

/// Days of mixed traffic; `of` picks the observations that one of several nodes made.
fn history(of: impl Fn(u64) -> bool) -> Timeline {
    let mut time = Timeline::new(&SETS);
    for step in 0..4_000_u64 {
        time.now += 61 * SECOND;
        let bucket = if step.is_multiple_of(3) { "carts" } else { "other" };
        let seen = [
            verdict(bucket, FRESH, 0),
            verdict(bucket, Verdict::Stale, step * 7_919 % (3 * SECOND)),
            verdict(bucket, Verdict::Suspect, 0),
            converged(bucket, step * 104_729 % (9 * SECOND)),
        ];
        for (number, observation) in seen.iter().enumerate() {
            if of(step * 4 + number as u64) {
                time.take(observation);
            }
        }
    }
    time
}

#[test]
fn several_nodes_merged_stand_as_one_that_saw_it_all() {
    let plan = plan(&SETS);
    let mut one = history(|_| true);
    let (mut a, mut b) = (history(|n| n % 5 < 2), history(|n| n % 5 >= 2));
    one.take(&unconverged(&[(8 * SECOND, 2), (SECOND, 1)], 3));
    a.take(&unconverged(&[(8 * SECOND, 2)], 1));
    b.take(&unconverged(&[(SECOND, 1)], 2));
    let mut merged = SloSummary::empty(&plan, one.now);
    for node in [&mut a, &mut b] {
        let sent = slo_summary::encode(&node.slo.summary(WallMicros(node.now)));
        merged.merge(&slo_summary::decode(&sent).unwrap());
    }
    let mut expected = one.document();
    expected.scope = SloScope::Cluster;
    // Each node tells of its own ways.
    expected.legs = Vec::new();
    let states: Vec<_> = expected.objectives.iter().map(|objective| objective.state).collect();
    assert_eq!(states, [SloState::Page; 6], "there is something to be the same");
    assert_eq!(merged.evaluate(&plan, SloScope::Cluster, Vec::new()), expected);
}

#[test]
fn a_node_that_does_not_answer_makes_the_cluster_unknown_by_name() {
    let mut time = Timeline::new(&[]);
    time.many(2_000, &verdict("b", FRESH, 0));
    time.many(2_000, &converged("b", SECOND));
    let away = vec![NodeId::new("n2").unwrap(), NodeId::new("n3").unwrap()];
    let summary = time.slo.summary(WallMicros(time.now));
    let document = summary.evaluate(&plan(&[]), SloScope::Cluster, away.clone());
    for objective in &document.objectives {
        assert_eq!((objective.state, objective.low, objective.high), (SloState::Unknown, None, None));
        assert!(objective.why.starts_with("nothing is known of what n2, n3 served"), "{}", objective.why);
    }
    let rate = document.stale_read_rate.unwrap();
    assert_eq!((rate.low, rate.high, rate.judged), (None, None, Some(0.0)));
    assert_eq!(document.reads.fresh(), 2_000, "what the others counted is shown");
    time.many(2_000, &verdict("b", Verdict::Stale, 1));
    let document = time.slo.summary(WallMicros(time.now)).evaluate(&plan(&[]), SloScope::Cluster, away);
    let stale = &document.objectives[1];
    assert_eq!(stale.state, SloState::Page, "what is known is reason enough");
    assert!(stale.why.ends_with("n2, n3 did not answer"), "{}", stale.why);
}

#[test]
fn windows_survive_a_restart() {
    let mut before = history(|_| true);
    let bytes = slo_summary::encode(&before.slo.summary(WallMicros(before.now)));
    let mut after = Timeline::new(&SETS);
    after.now = before.now + 5 * MINUTE;
    before.now = after.now;
    after.slo.resume(WallMicros(after.now), Some(&slo_summary::decode(&bytes).unwrap()), true);
    assert_eq!(after.document(), before.document());
    after.now += 31 * DAY;
    assert_eq!(after.document().reads.known(), 0);
}

#[test]
fn a_clock_that_was_set_back_before_a_restart_loses_nothing() {
    let mut before = Timeline::new(&[]);
    before.many(2_000, &verdict("b", Verdict::Stale, SECOND));
    let left = before.slo.summary(WallMicros(before.now));
    let mut after = Timeline::new(&[]);
    after.now -= HOUR;
    after.slo.resume(WallMicros(after.now), Some(&left), true);
    assert_eq!(after.state("stale_reads"), SloState::Page);
}

#[test]
fn other_windows_levels_and_buckets_of_a_set_take_what_fits_them() {
    let mut before = Timeline::new(&SETS);
    before.many(2_000, &verdict("carts", Verdict::Stale, SECOND));
    before.many(2_000, &converged("carts", 4 * SECOND));
    let left = before.slo.summary(WallMicros(before.now));
    let sets =
        ["slo.sets.shop.buckets=wagons", "slo.window=2h", "slo.convergence_p999=2s", "slo.budget_window=20d"];
    let mut after = Timeline::new(&sets);
    after.slo.resume(WallMicros(after.now), Some(&left), true);
    let document = after.document();
    assert_eq!(document.reads.stale, 2_000);
    assert_eq!(after.state("convergence_p999"), SloState::Page);
    assert_eq!(after.objective("stale_reads[shop]").high, None);
}

#[test]
fn damaged_and_foreign_bytes_are_refused_whole() {
    let mut time = history(|_| true);
    let bytes = slo_summary::encode(&time.slo.summary(WallMicros(time.now)));
    assert!(slo_summary::decode(&bytes).is_ok());
    for at in [20, bytes.len() / 2, bytes.len() - 1] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 4;
        assert_eq!(slo_summary::decode(&damaged).unwrap_err(), UnreadableSummary::Damaged, "{at}");
    }
    for len in [0, 5, 7, 8, 15, 16, bytes.len() - 1] {
        assert!(slo_summary::decode(&bytes[..len]).is_err(), "{len}");
    }
    assert_eq!(slo_summary::decode(b"something else").unwrap_err(), UnreadableSummary::Foreign);
    let mut later = bytes;
    later[7] = 9;
    assert_eq!(slo_summary::decode(&later).unwrap_err(), UnreadableSummary::Version { found: 9 });
}

#[test]
fn usual_traffic_of_days_takes_far_less_than_the_bound() {
    let mut time = history(|_| true);
    let bytes = slo_summary::encode(&time.slo.summary(WallMicros(time.now))).len();
    assert!(bytes < 64 * 1024, "{bytes}");
    assert!(Slo::bytes_max(0) < 6_000_000, "{}", Slo::bytes_max(0));
}

#[test]
fn windows_keep_within_their_bound_whatever_is_observed() {
    let mut time = Timeline::new(&[]);
    for minute in 0..61 {
        let mut value = 1;
        while value < 4_000_000_000 {
            time.take(&verdict("b", Verdict::Stale, value));
            time.take(&converged("b", value));
            value += 1 + value / 200;
        }
        time.now = super::BEGIN + minute * MINUTE;
    }
    let (bytes, most) = (time.slo.bytes(), Slo::bytes_max(0));
    assert!(bytes > most / 8 && bytes <= most, "{bytes} of {most}");
}
