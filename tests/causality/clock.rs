//! The hybrid logical clock.

use neap::protocol::time::{
    CEILING_STEP_US, CeilingReached, ClockTooFarAhead, Hlc, HybridClock, WallMicros, WallReadings,
    ceiling_ahead, wait_for_wall_us,
};
use proptest::collection::vec;
use proptest::prelude::*;

const SKEW_US: u64 = 500_000;

fn wall(micros: u64) -> WallMicros {
    WallMicros(1_700_000_000_000_000 + micros)
}

fn at(micros: u64) -> Hlc {
    Hlc::from_wall(wall(micros))
}

#[derive(Debug, Clone)]
enum Event {
    Issue { wall: u64 },
    Observe { frame: u64, wall: u64 },
    Raise { wall: u64 },
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    let wall = 0..40_000_000u64;
    prop_oneof![
        6 => wall.clone().prop_map(|wall| Event::Issue { wall }),
        2 => (wall.clone(), wall.clone()).prop_map(|(frame, wall)| Event::Observe { frame, wall }),
        2 => wall.prop_map(|wall| Event::Raise { wall }),
        1 => Just(Event::Restart),
    ]
}

fn own(now: u64) -> WallReadings {
    WallReadings { now: wall(now), highest: wall(0) }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_time_is_issued_twice_or_below_another_or_above_the_ceiling(events in vec(event(), 1..200)) {
        let mut ceiling = Hlc::ZERO;
        let mut clock = HybridClock::new(ceiling, ceiling, SKEW_US);
        let mut last = Hlc::ZERO;
        for event in events {
            match event {
                Event::Issue { wall: now } => match clock.issue(wall(now)) {
                    Ok(issued) => {
                        prop_assert!(issued > last && issued <= ceiling && issued >= at(now));
                        last = issued;
                    }
                    Err(error) => prop_assert_eq!(error, CeilingReached { ceiling }),
                },
                Event::Observe { frame, wall: now } => {
                    let taken = clock.observe(at(frame), own(now));
                    prop_assert_eq!(taken.is_ok(), frame.saturating_sub(now) <= SKEW_US);
                    if taken.is_ok() {
                        last = last.max(at(frame));
                    }
                }
                Event::Raise { wall: now } => {
                    if let Some(wanted) = ceiling_ahead(clock.read(wall(now)), ceiling, true) {
                        prop_assert!(wanted > ceiling);
                        ceiling = wanted;
                        clock.raise_ceiling(wanted);
                        prop_assert!(clock.issue(wall(now)).is_ok_and(|issued| issued > last));
                        last = clock.read(wall(0));
                    }
                }
                Event::Restart => {
                    clock = HybridClock::new(ceiling, ceiling, SKEW_US);
                    // What a frame showed may be forgotten; what was issued is below the ceiling.
                    last = last.min(ceiling);
                }
            }
        }
    }
}

#[test]
fn a_restart_begins_above_the_ceiling_found() {
    let mut clock = HybridClock::new(at(9_000), at(20_000), SKEW_US);
    assert!(clock.issue(wall(1)).unwrap() > at(9_000));
}

#[test]
fn a_wall_clock_that_went_back_is_not_followed() {
    let mut clock = HybridClock::new(Hlc::ZERO, at(90_000), SKEW_US);
    let first = clock.issue(wall(50_000)).unwrap();
    assert_eq!(clock.issue(wall(10)).unwrap(), first.next());
}

#[test]
fn what_is_issued_after_a_frame_is_above_its_clock() {
    let mut clock = HybridClock::new(Hlc::ZERO, at(900_000), SKEW_US);
    clock.observe(at(400_000), own(0)).unwrap();
    assert!(clock.issue(wall(0)).unwrap() > at(400_000));
}

#[test]
fn a_frame_too_far_ahead_is_refused_and_changes_nothing() {
    let mut clock = HybridClock::new(Hlc::ZERO, at(90_000_000), SKEW_US);
    let refused = clock.observe(at(SKEW_US + 1), own(0)).unwrap_err();
    assert_eq!(refused, ClockTooFarAhead { ahead_us: SKEW_US + 1, max_skew_us: SKEW_US });
    assert_eq!(clock.issue(wall(7)).unwrap(), at(7));
    clock.observe(at(SKEW_US), own(0)).unwrap();
}

#[test]
fn clocks_that_were_all_set_back_go_on_hearing_each_other() {
    let before = 600_000_000;
    let own = WallReadings { now: wall(0), highest: wall(before) };
    let mut clock = HybridClock::new(at(before), at(2 * before), SKEW_US);
    clock.observe(at(before + SKEW_US), own).unwrap();
    assert!(clock.observe(at(before + SKEW_US + 1), own).is_err(), "a peer drags nobody further");
    assert_eq!(wait_for_wall_us(at(before + 400_000), own), 400_000, "not for ten minutes");
}

#[test]
fn the_last_time_under_the_ceiling_is_issued_once() {
    let mut clock = HybridClock::new(Hlc::ZERO, at(5), SKEW_US);
    assert_eq!(clock.issue(wall(5)), Ok(at(5)));
    assert_eq!(clock.issue(wall(5)), Err(CeilingReached { ceiling: at(5) }));
    clock.raise_ceiling(at(6));
    assert_eq!(clock.issue(wall(5)), Ok(at(5).next()));
}

#[test]
fn a_lower_ceiling_does_not_lower_the_one_in_force() {
    let mut clock = HybridClock::new(Hlc::ZERO, at(5), SKEW_US);
    clock.raise_ceiling(at(1));
    assert_eq!(clock.issue(wall(5)), Ok(at(5)));
}

#[test]
fn a_higher_ceiling_is_wanted_once_less_than_half_a_step_is_left() {
    let synced = at(CEILING_STEP_US);
    assert_eq!(ceiling_ahead(at(CEILING_STEP_US / 2), synced, true), None);
    let wanted = ceiling_ahead(at(CEILING_STEP_US / 2 + 1), synced, true);
    assert_eq!(wanted, Some(at(CEILING_STEP_US / 2 + 1 + CEILING_STEP_US)));
    assert_eq!(ceiling_ahead(at(CEILING_STEP_US), synced, false), None, "no peer has judged what was found");
}

#[test]
fn a_frame_above_the_ceiling_makes_a_higher_one_wanted() {
    let mut clock = HybridClock::new(Hlc::ZERO, at(10), SKEW_US);
    clock.observe(at(100), own(0)).unwrap();
    assert!(clock.issue(wall(0)).is_err());
    clock.raise_ceiling(ceiling_ahead(clock.read(wall(0)), at(10), true).unwrap());
    assert_eq!(clock.issue(wall(0)), Ok(at(100).next()));
}

#[test]
fn the_end_of_the_range_neither_wraps_nor_repeats() {
    assert_eq!(Hlc::from_wall(WallMicros(u64::MAX)), Hlc::from_wall(WallMicros((1 << 52) - 1)));
    assert_eq!(Hlc(u64::MAX).plus_micros(u64::MAX), Hlc(u64::MAX));
    assert_eq!(at(0).minus_micros(u64::MAX), Hlc::ZERO);
    let mut clock = HybridClock::new(Hlc(u64::MAX - 1), Hlc(u64::MAX), SKEW_US);
    assert_eq!(clock.issue(wall(0)), Ok(Hlc(u64::MAX)));
    assert!(clock.issue(wall(0)).is_err());
}
