use neap::protocol::slo::SloState;
use neap::protocol::staleness::Verdict;

use super::{BEGIN, FRESH, HOUR, MINUTE, SECOND, Timeline, UNKNOWN, verdict};

const AGE: &str = "age_p95";
/// Beyond the objective of 500 ms by as little as there is.
const ABOVE: u64 = 500_001;

fn healthy_hour(sets: &[&str]) -> Timeline {
    let mut time = Timeline::new(sets);
    time.minutes(60, 100, (0, 0));
    time
}

#[test]
fn an_age_above_for_ten_minutes_pages_the_moment_they_are_over_and_not_before() {
    let mut time = healthy_hour(&["slo.ticket.age_p95_minutes=60"]);
    time.minutes(10, 94, (6, ABOVE));
    assert_eq!(time.state(AGE), SloState::Ok, "ten minutes are not more than ten");
    time.now += 1;
    let page = time.objective(AGE);
    assert_eq!(page.state, SloState::Page);
    assert!(page.why.contains("above 500 ms for 10.0 min, longer than 10m"), "{}", page.why);
}

#[test]
fn an_age_at_the_objective_is_not_above_it_nor_is_one_read_in_twenty() {
    for stale in [(100, 500_000), (5, HOUR)] {
        let mut time = healthy_hour(&[]);
        time.minutes(30, 100 - stale.0, stale);
        assert_eq!(time.state(AGE), SloState::Ok, "{stale:?}");
    }
}

#[test]
fn a_page_ends_with_the_first_whole_minute_that_is_not_above() {
    let mut time = healthy_hour(&["slo.ticket.age_p95_minutes=60"]);
    time.minutes(15, 0, (100, ABOVE));
    assert_eq!(time.state(AGE), SloState::Page);
    time.minutes(1, 95, (5, ABOVE));
    assert_eq!(time.state(AGE), SloState::Ok);
}

#[test]
fn the_first_reads_of_a_minute_do_not_make_a_page_flutter() {
    let mut time = healthy_hour(&["slo.ticket.age_p95_minutes=60"]);
    time.minutes(12, 0, (100, ABOVE));
    time.take(&verdict("b", FRESH, 0));
    time.now += 1;
    assert_eq!(time.state(AGE), SloState::Page);
}

#[test]
fn five_minutes_of_an_hour_are_a_ticket_and_four_are_none() {
    let mut time = healthy_hour(&[]);
    for _ in 0..4 {
        time.minutes(1, 94, (6, ABOVE));
        time.minutes(5, 100, (0, 0));
    }
    assert_eq!(time.state(AGE), SloState::Ok);
    time.minutes(1, 94, (6, ABOVE));
    let ticket = time.objective(AGE);
    assert_eq!(ticket.state, SloState::Ticket);
    assert!(ticket.why.contains("in 5 minutes of the last 1h"), "{}", ticket.why);
    time.minutes(35, 100, (0, 0));
    assert_eq!(time.state(AGE), SloState::Ticket, "the first is 60 minutes old only now");
    time.minutes(1, 100, (0, 0));
    assert_eq!(time.state(AGE), SloState::Ok);
}

#[test]
fn minutes_without_reads_neither_count_nor_interrupt() {
    let mut time = healthy_hour(&["slo.ticket.age_p95_minutes=60"]);
    time.minutes(6, 0, (100, ABOVE));
    time.now += 3 * MINUTE;
    time.minutes(4, 0, (100, ABOVE));
    assert_eq!(time.state(AGE), SloState::Ok);
    time.minutes(1, 0, (100, ABOVE));
    assert_eq!(time.state(AGE), SloState::Page);
}

#[test]
fn suspects_count_with_the_most_that_they_may_have_missed_and_alerts_go_by_it() {
    for (at_most, state) in [(ABOVE - 1, SloState::Ok), (ABOVE, SloState::Page)] {
        let mut time = healthy_hour(&[]);
        for _ in 0..11 {
            time.many(90, &verdict("b", FRESH, 0));
            time.many(10, &verdict("b", Verdict::Suspect, at_most));
            time.now += MINUTE;
        }
        time.now += 1;
        assert_eq!(time.state(AGE), state, "{at_most}");
    }
    let mut time = Timeline::new(&[]);
    time.many(940, &verdict("b", FRESH, 0));
    time.many(60, &verdict("b", Verdict::Suspect, HOUR));
    let age = time.objective(AGE);
    assert_eq!((age.low, age.high), (Some(0.0), Some(3_600.0)));
    assert!(age.why.contains("6.00 % of the reads are suspect"), "{}", age.why);
}

#[test]
fn fewer_reads_than_a_thousand_have_a_value_and_no_state() {
    let mut time = Timeline::new(&[]);
    assert_eq!(time.objective(AGE).high, None);
    time.minutes(12, 0, (83, SECOND));
    time.many(3, &verdict("b", Verdict::Stale, SECOND));
    let age = time.objective(AGE);
    assert_eq!(age.state, SloState::NoData);
    assert!((age.high.unwrap() - 1.0).abs() < 0.01);
    assert!(age.why.contains("only 999 reads of known verdict"), "{}", age.why);
    time.many(5_000, &verdict("b", UNKNOWN, 0));
    assert_eq!(time.state(AGE), SloState::Unknown, "enough were read, and too few judged");
    time.take(&verdict("b", Verdict::Stale, SECOND));
    assert_eq!(time.state(AGE), SloState::Page);
}

#[test]
fn the_value_is_of_the_last_hour_and_stands_beside_that_of_stale_reads() {
    let mut time = Timeline::new(&[]);
    time.many(98, &verdict("b", FRESH, 0));
    time.many(2, &verdict("b", Verdict::Stale, 2 * SECOND));
    let document = time.document();
    assert_eq!((document.staleness_age_p95_s, document.exposure_p95_s), (Some(0.0), Some(0.0)));
    assert!((document.stale_age_p95_s.unwrap() - 2.0).abs() <= 0.02);
    assert!((document.stale_exposure_p95_s.unwrap() - 1.0).abs() <= 0.01);
    time.now = BEGIN + HOUR;
    assert_eq!(time.document().staleness_age_p95_s, None);
}

#[test]
fn every_time_is_shrunk_alike() {
    let mut time =
        Timeline::new(&["slo.time_scale=0.01", "slo.min_reads=100", "slo.ticket.age_p95_minutes=60"]);
    let minute = MINUTE / 100;
    for _ in 0..10 {
        time.many(100, &verdict("b", Verdict::Stale, ABOVE));
        time.now += minute;
    }
    assert_eq!(time.state(AGE), SloState::Ok);
    time.now += 1;
    assert_eq!(time.state(AGE), SloState::Page);
    assert_eq!(time.document().window_us, 36 * SECOND);
    time.now += 36 * SECOND;
    assert_eq!(time.state(AGE), SloState::NoData);
}
