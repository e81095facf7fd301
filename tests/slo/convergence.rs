use neap::protocol::slo::SloState;
use neap::protocol::time::WallMicros;

use super::{HOUR, MINUTE, SECOND, Timeline, converged, unconverged};

const NAME: &str = "convergence_p999";

/// 10,000 writes, of which so many took so long.
fn writes(slow: u64, took_us: u64) -> Timeline {
    let mut time = Timeline::new(&[]);
    time.many(10_000 - slow, &converged("b", 2_000));
    time.many(slow, &converged("b", took_us));
    time
}

#[test]
fn more_than_one_write_in_a_thousand_above_the_objective_pages() {
    for (slow, took, state) in [
        (11, 5 * SECOND + 1, SloState::Page),
        (10, HOUR, SloState::Ok),
        (11, 5 * SECOND, SloState::Ticket),
        (11, 3 * SECOND + 1, SloState::Ticket),
        (11, 3 * SECOND, SloState::Ok),
    ] {
        assert_eq!(writes(slow, took).state(NAME), state, "{slow} of {took}");
    }
}

#[test]
fn convergence_is_that_of_half_an_hour() {
    let mut time = writes(11, 6 * SECOND);
    time.now += 29 * MINUTE;
    assert_eq!(time.state(NAME), SloState::Page);
    time.now += MINUTE;
    assert_eq!(time.state(NAME), SloState::NoData);
    assert_eq!(time.document().convergence.p999_s, None);
}

#[test]
fn a_write_unconverged_for_longer_than_allowed_pages_however_few_there_are() {
    let mut time = Timeline::new(&[]);
    time.take(&unconverged(&[(4 * SECOND, 1)], 0));
    time.now += SECOND;
    assert_eq!(time.state(NAME), SloState::NoData);
    time.now += 1;
    let page = time.objective(NAME);
    assert_eq!(page.state, SloState::Page);
    assert!(
        page.why.starts_with("1 write is not on every home though committed more than 5.00 s ago"),
        "{}",
        page.why
    );
    time.take(&unconverged(&[], 0));
    assert_eq!(time.state(NAME), SloState::NoData);
}

#[test]
fn what_has_not_converged_counts_in_every_percentile_as_at_least_its_present_age() {
    let mut time = writes(0, 0);
    time.take(&unconverged(&[(3 * SECOND, 9), (SECOND, 2)], 0));
    time.now += 1;
    assert_eq!(time.state(NAME), SloState::Ok, "9 of 10,011 are above");
    time.now += 2 * SECOND;
    let ticket = time.objective(NAME);
    assert_eq!(ticket.state, SloState::Page, "9 are past 5 s: {}", ticket.why);
    time.take(&unconverged(&[(3 * SECOND + 1, 11)], 0));
    assert_eq!(time.state(NAME), SloState::Ticket);
    let view = time.document().convergence;
    assert_eq!((view.unconverged, view.oldest_s), (11, Some(3.000_001)));
    assert!(view.p999_s.unwrap() >= 3.0 && view.p50_s.unwrap() < 0.01, "{view:?}");
    time.take(&unconverged(&[(4 * SECOND, 20_000)], 0));
    assert!(time.document().convergence.p50_s.unwrap() >= 4.0);
}

#[test]
fn fewer_writes_than_a_thousand_have_a_value_and_no_state() {
    let mut time = Timeline::new(&[]);
    time.many(998, &converged("b", 6 * SECOND));
    time.take(&unconverged(&[(1, 1)], 0));
    let few = time.objective(NAME);
    assert_eq!(few.state, SloState::NoData);
    assert!((few.high.unwrap() - 6.0).abs() < 0.06);
    time.take(&converged("b", 6 * SECOND));
    assert_eq!(time.state(NAME), SloState::Page);
}

#[test]
fn it_is_not_known_which_unconverged_writes_are_of_a_set() {
    let sets = ["slo.sets.shop.buckets=carts", "slo.sets.shop.convergence_p999=2s", "slo.min_reads=100"];
    let mut time = Timeline::new(&sets);
    time.many(1_000, &converged("carts", 1_000));
    time.take(&unconverged(&[(3 * SECOND, 2)], 0));
    let shop = time.objective("convergence_p999[shop]");
    assert!(shop.low.unwrap() < 0.01 && shop.high.unwrap() >= 3.0, "{shop:?}");
    assert_eq!(shop.state, SloState::Page);
    assert!(
        shop.why.contains("which of the unconverged writes are of this set is not known"),
        "{}",
        shop.why
    );
    assert_eq!(time.state(NAME), SloState::Ok);
}

#[test]
fn after_a_restart_what_was_followed_is_untracked_for_the_window() {
    let mut time = writes(0, 0);
    time.take(&unconverged(&[(SECOND, 3)], 4));
    let left = time.slo.summary(WallMicros(time.now));
    for (clean, left, untracked) in
        [(true, Some(&left), 7), (false, Some(&left), 7), (false, None, 1), (true, None, 0)]
    {
        let mut next = Timeline::new(&[]);
        next.now = time.now + SECOND;
        next.slo.resume(WallMicros(next.now), left, clean);
        assert_eq!(next.document().convergence.untracked, untracked);
        next.now += 30 * MINUTE;
        assert_eq!(next.document().convergence.untracked, 0);
    }
}
