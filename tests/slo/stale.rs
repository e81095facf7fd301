use neap::protocol::ids::NodeId;
use neap::protocol::sli::{LateObserved, Observation, VerdictObserved};
use neap::protocol::slo::SloState;
use neap::protocol::staleness::{UnknownCause, Verdict};
use neap::protocol::time::{Moment, WallMicros};

use super::{DAY, FRESH, HOUR, MINUTE, Timeline, UNKNOWN, bucket, read, verdict};

const STALE: &str = "stale_reads";
/// Without the alerts on burn rates.
const NO_BURN: [&str; 4] = [
    "slo.page.burn_fast=1000",
    "slo.page.burn_slow=1000",
    "slo.ticket.burn_fast=1000",
    "slo.ticket.burn_slow=1000",
];

/// So many of 100,000 reads stale, so many suspect, so many behind.
fn reads(sets: &[&str], stale: u64, suspect: u64, behind: u64) -> Timeline {
    let mut time = Timeline::new(sets);
    time.many(100_000 - stale - suspect - behind, &verdict("b", FRESH, 0));
    time.many(stale, &verdict("b", Verdict::Stale, 1));
    time.many(suspect, &verdict("b", Verdict::Suspect, 0));
    time.many(behind, &verdict("b", Verdict::Behind, 0));
    time
}

#[test]
fn a_share_above_the_objective_pages_and_one_at_it_is_a_ticket() {
    for (stale, state) in
        [(101, SloState::Page), (100, SloState::Ticket), (51, SloState::Ticket), (50, SloState::Ok)]
    {
        assert_eq!(reads(&NO_BURN, stale, 0, 0).state(STALE), state, "{stale}");
    }
    let page = reads(&NO_BURN, 420, 0, 0).objective(STALE);
    assert_eq!(page.why, "0.42 % of 100,000 reads in the last 1h were stale; the objective is 0.10 %");
}

#[test]
fn a_page_is_over_when_its_hour_is() {
    let mut time = reads(&NO_BURN, 200, 0, 0);
    time.now += 59 * MINUTE;
    assert_eq!(time.state(STALE), SloState::Page);
    time.now += MINUTE;
    time.many(1_000, &verdict("b", FRESH, 0));
    assert_eq!(time.state(STALE), SloState::Ok);
}

#[test]
fn suspects_widen_the_share_to_an_interval_and_alerts_go_by_its_upper_end() {
    let mut time = reads(&NO_BURN, 40, 61, 0);
    let objective = time.objective(STALE);
    assert_eq!((objective.low, objective.high), (Some(0.0004), Some(0.00101)));
    assert_eq!(objective.state, SloState::Page);
    assert!(objective.why.starts_with("0.040 % to 0.10 % of 100,000"), "{}", objective.why);
    let rate = time.document().stale_read_rate.unwrap();
    assert_eq!((rate.low, rate.high, rate.judged), (Some(0.0004), Some(0.00101), Some(0.00101)));
    assert_eq!(rate.any_replica_high, Some(0.00101));
}

#[test]
fn reads_that_were_behind_count_only_where_any_replica_counts() {
    let mut committed = reads(&NO_BURN, 0, 0, 300);
    assert_eq!(committed.state(STALE), SloState::Ok);
    assert_eq!(committed.document().stale_read_rate.unwrap().any_replica_high, Some(0.003));
    let mut sets = NO_BURN.to_vec();
    sets.push("slo.stale_counts=any_replica");
    let objective = reads(&sets, 0, 10, 300).objective(STALE);
    assert_eq!((objective.low, objective.high, objective.state), (Some(0.003), Some(0.0031), SloState::Page));
}

#[test]
fn reads_that_could_not_be_judged_widen_the_interval_and_leave_alerts_alone() {
    let mut time = reads(&NO_BURN, 100, 0, 0);
    time.many(900_000, &verdict("b", UNKNOWN, 0));
    let objective = time.objective(STALE);
    assert_eq!((objective.low, objective.high), (Some(0.0001), Some(0.9001)));
    assert_eq!(objective.state, SloState::Ticket, "by the judged reads");
    assert_eq!(time.document().stale_read_rate.unwrap().judged, Some(0.001));
    assert_eq!(time.document().reads.unknown, [0, 900_000, 0, 0]);
}

#[test]
fn an_objective_that_only_unjudged_reads_could_breach_is_unknown_and_says_whose_silence_it_is() {
    let mut time = Timeline::new(&NO_BURN);
    time.many(3_000, &verdict("b", FRESH, 0));
    assert_eq!(time.state(STALE), SloState::Ok);
    time.many(6_000, &verdict("b", UNKNOWN, 0));
    let objective = time.objective(STALE);
    assert_eq!((objective.low, objective.high), (Some(0.0), Some(6_000.0 / 9_000.0)));
    assert_eq!(objective.state, SloState::Unknown);
    assert_eq!(
        objective.why,
        "0 % of the 3,000 judged reads in the last 1h were stale, and 0 % to 66.7 % of all 9,000; the objective is \
         0.10 %; 6,000 could not be judged (timeout 6,000), as replicas were silent: n3 at 6,000"
    );
    let age = time.objective("age_p95");
    assert_eq!(age.state, SloState::Unknown, "{}", age.why);
    assert!(age.why.contains("n3 at 6,000"), "{}", age.why);
}

#[test]
fn reads_none_of_which_could_be_judged_are_no_reason_to_be_calm() {
    let mut time = Timeline::new(&NO_BURN);
    time.many(1_000, &verdict("b", UNKNOWN, 0));
    let objective = time.objective(STALE);
    assert_eq!((objective.low, objective.high), (Some(0.0), Some(1.0)));
    assert_eq!(objective.state, SloState::Unknown);
    assert!(objective.why.starts_with("none of the 0 judged reads"), "{}", objective.why);
}

#[test]
fn a_burn_that_only_unjudged_reads_could_be_is_unknown() {
    let mut time = with_only("slo.page.burn_fast");
    burn(&mut time, 60, 0);
    time.many(3_000, &verdict("b", UNKNOWN, 0));
    assert_eq!(time.state(STALE), SloState::Unknown);
}

/// A late verdict on a read that began at `began`.
fn late(began: u64, verdict: Verdict) -> Observation {
    let silent = vec![NodeId::new("n3").unwrap()];
    Observation::LateVerdict(LateObserved {
        was: UnknownCause::Timeout,
        were_silent: silent.clone(),
        now: VerdictObserved {
            bucket: bucket("b"),
            began: Moment(began),
            r: 1,
            verdict,
            exposure_us: 0,
            age_us: 0,
            value_age_us: None,
            missed_by: Vec::new(),
            silent: if matches!(verdict, Verdict::Unknown(_)) { silent } else { Vec::new() },
        },
    })
}

#[test]
fn a_late_verdict_counts_where_its_read_began() {
    let mut time = Timeline::new(&NO_BURN);
    time.many(1_000, &verdict("b", FRESH, 0));
    time.many(4, &verdict("b", UNKNOWN, 0));
    let began = time.now;
    time.now += 50 * MINUTE;
    time.many(1_000, &verdict("b", FRESH, 0));
    assert_eq!(time.state(STALE), SloState::Unknown);
    time.take(&late(began, Verdict::Stale));
    time.take(&late(began, FRESH));
    time.take(&late(began, Verdict::Unknown(UnknownCause::Forgotten)));
    let reads = time.document().reads;
    assert_eq!((reads.stale, reads.fresh(), reads.unknown), (1, 2_001, [0, 1, 0, 1]));
    let why = time.objective(STALE).why;
    assert!(
        why.ends_with("2 could not be judged (timeout 1, forgotten 1), as replicas were silent: n3 at 2"),
        "{why}"
    );
    time.now += 10 * MINUTE;
    let reads = time.document().reads;
    assert_eq!((reads.stale, reads.fresh(), reads.unknown_total()), (0, 1_000, 0), "their hour is over");
    time.take(&late(began, Verdict::Stale));
    assert_eq!(time.document().reads.stale, 0, "too late for this window");
}

#[test]
fn an_answered_read_whose_verdict_is_late_is_not_taken_for_judged() {
    let mut time = Timeline::new(&NO_BURN);
    time.many(2_000, &read("b", true));
    let began = time.now;
    assert_eq!(time.document().reads.sampled(), 0, "the verdicts may come in time");
    time.now += 400_000;
    let reads = time.document().reads;
    assert_eq!((reads.pending, reads.sampled()), (2_000, 2_000));
    assert_eq!(time.state(STALE), SloState::Unknown);
    let Observation::Verdict(mut seen) = verdict("b", FRESH, 0) else { unreachable!("a verdict") };
    seen.began = Moment(began);
    (0..2_000).for_each(|_| time.slo.take(WallMicros(time.now), &Observation::Verdict(seen.clone())));
    let reads = time.document().reads;
    assert_eq!((reads.pending, reads.fresh_all, time.state(STALE)), (0, 2_000, SloState::Ok));
}

#[test]
fn reads_that_the_recorder_was_not_told_of_are_unknown() {
    let mut time = Timeline::new(&NO_BURN);
    time.many(1_000, &verdict("b", FRESH, 0));
    time.take(&Observation::ReadsLost(500));
    let objective = time.objective(STALE);
    assert_eq!((objective.high, objective.state), (Some(500.0 / 1_500.0), SloState::Unknown));
}

#[test]
fn fewer_reads_than_a_thousand_have_a_share_and_no_state() {
    let mut time = Timeline::new(&[]);
    let nothing = time.objective(STALE);
    assert_eq!((nothing.high, nothing.budget_remaining, nothing.state), (None, None, SloState::NoData));
    assert!(time.document().stale_read_rate.is_none());
    time.many(999, &verdict("b", Verdict::Stale, 1));
    let few = time.objective(STALE);
    assert_eq!((few.high, few.state), (Some(1.0), SloState::NoData));
    assert!(few.burn_rates.iter().all(|burn| burn.rate.is_none()), "{few:?}");
    time.take(&verdict("b", Verdict::Stale, 1));
    let enough = time.objective(STALE);
    assert_eq!(enough.state, SloState::Page);
    assert!(enough.burn_rates.iter().all(|burn| burn.rate == Some(1_000.0)), "{enough:?}");
}

#[test]
fn reads_that_were_not_sampled_are_told_of() {
    let mut time = reads(&NO_BURN, 0, 0, 0);
    time.many(300_000, &read("b", false));
    time.many(100_000, &read("b", true));
    assert_eq!(time.document().reads.unsampled, 300_000);
    let why = time.objective(STALE).why;
    assert!(why.ends_with("(of 25.0 % of the reads, since staleness.probe samples them)"), "{why}");
}

/// A share of stale reads, in two thousandths, for so long, each minute.
fn burn(time: &mut Timeline, minutes: u64, stale_in_2000: u64) {
    time.minutes(minutes, 2_000 - stale_in_2000, (stale_in_2000, 1));
}

/// The same for so many hours, every ten minutes.
fn burn_hours(time: &mut Timeline, hours: u64, stale_in_2000: u64) {
    for _ in 0..hours * 6 {
        burn(time, 1, stale_in_2000);
        time.now += 9 * MINUTE;
    }
}

/// Without the literal thresholds, and with one burn rate only.
fn only(burn: &str) -> Vec<String> {
    let literal = ["slo.page.stale_reads=1.0", "slo.ticket.stale_reads=1.0"];
    let all = ["slo.page.burn_fast", "slo.page.burn_slow", "slo.ticket.burn_fast", "slo.ticket.burn_slow"];
    // A ticket's rate may not be above a page's.
    let most =
        |key: &str| if (burn, key) == ("slo.page.burn_slow", "slo.ticket.burn_fast") { 6 } else { 1_000 };
    let off = all.iter().filter(|key| **key != burn).map(|key| format!("{key}={}", most(key)));
    literal.iter().map(|set| (*set).to_owned()).chain(off).collect()
}

fn with_only(burn: &str) -> Timeline {
    let sets = only(burn);
    Timeline::new(&sets.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn a_fast_burn_pages_while_it_goes_on_over_both_windows() {
    let mut time = with_only("slo.page.burn_fast");
    burn(&mut time, 120, 0);
    burn(&mut time, 28, 60);
    assert_eq!(time.state(STALE), SloState::Ok, "30 times for 28 minutes are 14 times over the hour");
    burn(&mut time, 2, 60);
    let page = time.objective(STALE);
    assert_eq!(page.state, SloState::Page);
    assert!(
        page.why.contains("used up their budget of 30d") && page.why.contains("in the last 1h"),
        "{}",
        page.why
    );
    burn(&mut time, 5, 0);
    assert_eq!(time.state(STALE), SloState::Ok, "it does not go on");
}

#[test]
fn each_burn_rate_is_exceeded_over_its_windows_and_no_sooner() {
    for (key, state, hours, at, above) in [
        ("slo.page.burn_slow", SloState::Page, 6, 12, 13),
        ("slo.ticket.burn_fast", SloState::Ticket, 24, 6, 7),
        ("slo.ticket.burn_slow", SloState::Ticket, 72, 2, 3),
    ] {
        let mut time = with_only(key);
        burn_hours(&mut time, hours, at);
        assert_eq!(time.state(STALE), SloState::Ok, "{key}");
        burn_hours(&mut time, hours, above);
        assert_eq!(time.state(STALE), state, "{key}");
        burn_hours(&mut time, hours, 0);
        assert_eq!(time.state(STALE), SloState::Ok, "{key}");
    }
}

#[test]
fn the_budget_is_what_the_reads_of_thirty_days_may_have_had_and_have_not() {
    let mut time = reads(&NO_BURN, 25, 0, 0);
    assert_eq!(time.objective(STALE).budget_remaining, Some(0.75));
    time.now += 29 * DAY;
    time.many(100, &verdict("b", Verdict::Suspect, 0));
    time.many(99_900, &verdict("b", FRESH, 0));
    let left = time.objective(STALE).budget_remaining.unwrap();
    assert!((left - (1.0 - 125.0 / 200.0)).abs() < 1e-9, "{left}");
    time.now += DAY;
    assert!(time.objective(STALE).budget_remaining.unwrap().abs() < 1e-9, "the first are 30 days old");
}

#[test]
fn burn_rates_are_shown_for_every_window_the_shortest_first() {
    let mut time = reads(&[], 200, 0, 0);
    let burns = time.objective(STALE).burn_rates;
    let windows: Vec<_> = burns.iter().map(|burn| burn.window_us).collect();
    assert_eq!(windows, [5 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 6 * HOUR, DAY, 3 * DAY]);
    assert!(burns.iter().all(|burn| burn.rate == Some(2.0)), "{burns:?}");
}

#[test]
fn a_set_of_buckets_has_its_own_windows_objectives_and_alerts() {
    let mut sets = NO_BURN.to_vec();
    sets.extend(["slo.sets.shop.buckets=carts,sess*", "slo.sets.shop.stale_reads=0.01"]);
    let mut time = Timeline::new(&sets);
    time.many(99_000, &verdict("other", FRESH, 0));
    time.many(450, &verdict("carts", FRESH, 0));
    time.many(543, &verdict("sessions", FRESH, 0));
    time.many(7, &verdict("sess", Verdict::Stale, 1));
    let shop = time.objective("stale_reads[shop]");
    assert_eq!((shop.target, shop.high, shop.state), (0.01, Some(0.007), SloState::Ticket));
    assert_eq!(time.state(STALE), SloState::Ok);
    let names: Vec<_> = time.document().objectives.into_iter().map(|objective| objective.name).collect();
    let expected = [
        "age_p95",
        "stale_reads",
        "convergence_p999",
        "age_p95[shop]",
        "stale_reads[shop]",
        "convergence_p999[shop]",
    ];
    assert_eq!(names, expected);
}
