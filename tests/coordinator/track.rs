//! Writes that some home lacks, followed until all have them.

use neap::protocol::causality::CausalContext;
use neap::protocol::coordinator::{Bunch, BunchConverged, Effect, Input, TrackMachine, Unfollowed};
use neap::protocol::ids::{ActorId, Dot, NodeId, OperationId};
use neap::protocol::message::Refusal;
use neap::protocol::sli::Path;
use neap::protocol::staleness::{Convergence, Interval, SightedState, Sighting};
use neap::protocol::time::{Hlc, Moment};

use super::{came, node, nodes};

const DOT: Dot = Dot { actor: ActorId(1), counter: 5 };
const WRITTEN: Moment = Moment(1_000_000);
const GIVEN_UP: Moment = Moment(9_000_000);

fn at(from: u64, to: u64) -> Interval {
    Interval { from: Moment(from), to: Moment(to) }
}

/// A write of W = 2 that `a` and `b` have, if not `lacking`.
fn unfollowed(dot: Dot, lacking: &[&str]) -> Unfollowed {
    let homes =
        [("a", came(1_000_010, 1_000_010, Path::Direct)), ("b", came(1_020_000, 1_020_100, Path::Direct))];
    let came = homes.into_iter().filter(|(home, _)| !lacking.contains(home)).map(|(_, came)| came);
    let (hlc, came, lacking) = (Hlc(7), came.collect(), nodes(lacking));
    Unfollowed { dot, hlc, w: 2, written: WRITTEN, came, lacking }
}

/// A machine that follows it.
fn followed(lacking: &[&str]) -> TrackMachine {
    let mut machine = TrackMachine::new(GIVEN_UP);
    machine.follow(OperationId(1), unfollowed(DOT, lacking));
    machine
}

/// Of the one write that is followed: who lacks it, and since when it is committed.
fn standing(machine: &TrackMachine) -> (Vec<NodeId>, Moment) {
    let [(_, write)] = machine.single() else { panic!("{machine:?}") };
    (write.lacking.clone(), write.since())
}

/// The state of a home that has seen the versions up to this one.
fn state(counter: u64, applied: Option<Interval>, path: Path) -> SightedState {
    let context = CausalContext::from_parts([(ActorId(1), counter)], []);
    SightedState { applied, path, context, versions: Vec::new(), trace: None }
}

/// A home that tells these states, and what is complete since a second before the write.
fn tells(from: &str, states: Vec<SightedState>) -> Input {
    let sighting = Sighting { complete_since: at(0, 10), states };
    Input::Probed { from: node(from), result: Ok(Box::new(sighting)) }
}

fn probed(effects: &mut Vec<Effect>) -> Vec<NodeId> {
    let probes = effects.drain(..).map(|effect| match effect {
        Effect::Probe { to } => to,
        other => panic!("{other:?}"),
    });
    probes.collect()
}

fn converged(effects: &[Effect]) -> Option<Convergence> {
    match effects {
        [] => None,
        [Effect::Followed(id, dot, convergence)] => {
            assert_eq!((*id, *dot), (OperationId(1), DOT));
            Some(*convergence)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_home_that_lacks_a_write_is_asked_less_and_less_often_but_every_four_seconds() {
    let (mut machine, mut effects) = (followed(&["c"]), Vec::new());
    let mut looks = Vec::new();
    let mut before = GIVEN_UP;
    for _ in 0..8 {
        let wake = machine.wake_at();
        machine.tick(Moment(wake.0 - 1), &mut effects);
        assert_eq!((probed(&mut effects), machine.wake_at()), (Vec::new(), wake), "it is not yet time");
        machine.tick(wake, &mut effects);
        assert_eq!(probed(&mut effects), nodes(&["c"]));
        machine.handle(tells("c", vec![state(4, None, Path::Direct)]), &mut effects);
        looks.push(wake.micros_since(before) / 1_000);
        before = wake;
    }
    assert_eq!(looks, [250, 500, 1_000, 2_000, 4_000, 4_000, 4_000, 4_000]);
    assert!(!machine.finished());
}

#[test]
fn the_last_home_has_a_write_since_the_first_state_that_covers_it_whatever_way_that_came() {
    for path in Path::ALL {
        let (mut machine, mut effects) = (followed(&["c"]), Vec::new());
        machine.tick(machine.wake_at(), &mut effects);
        effects.clear();
        let states = vec![
            state(4, None, Path::Direct),
            state(6, Some(at(3_000_000, 3_000_400)), path),
            state(7, Some(at(5_000_000, 5_000_400)), Path::Direct),
        ];
        machine.handle(tells("c", states), &mut effects);
        let (us, error_us) = (3_000_200 - 1_020_050, 400);
        assert_eq!(converged(&effects), Some(Convergence { us, error_us, exactly: true, path }));
        assert!(machine.finished());
    }
}

#[test]
fn all_homes_must_have_a_write_and_those_that_do_are_asked_no_more() {
    let (mut machine, mut effects) = (followed(&["b", "c"]), Vec::new());
    machine.tick(machine.wake_at(), &mut effects);
    assert_eq!(probed(&mut effects), nodes(&["b", "c"]));
    let has = |when| vec![state(4, None, Path::Direct), state(5, Some(at(when, when)), Path::ReadRepair)];
    machine.handle(tells("b", has(2_000_000)), &mut effects);
    assert_eq!((converged(&effects), machine.finished()), (None, false));
    assert_eq!(standing(&machine), (nodes(&["c"]), Moment(2_000_000)));
    machine.handle(tells("c", vec![state(4, None, Path::Direct)]), &mut effects);
    machine.tick(machine.wake_at(), &mut effects);
    assert_eq!(probed(&mut effects), nodes(&["c"]));
    machine.handle(tells("c", has(6_000_000)), &mut effects);
    assert_eq!(
        converged(&effects).map(|convergence| convergence.us),
        Some(4_000_000),
        "since b had it as well"
    );
    effects.clear();
    machine.tick(Moment(u64::MAX), &mut effects);
    assert!(effects.is_empty() && machine.finished(), "{effects:?}");
}

#[test]
fn a_home_that_does_not_say_is_asked_again_and_not_while_it_may_still_answer() {
    let (mut machine, mut effects) = (followed(&["c"]), Vec::new());
    machine.tick(machine.wake_at(), &mut effects);
    assert_eq!(probed(&mut effects), nodes(&["c"]));
    machine.tick(machine.wake_at(), &mut effects);
    assert_eq!(probed(&mut effects), Vec::new());
    for refusal in [Refusal::NoAnswer, Refusal::Incomplete] {
        machine.handle(Input::Probed { from: node("c"), result: Err(refusal) }, &mut effects);
        assert_eq!((converged(&effects), standing(&machine).0), (None, nodes(&["c"])));
        machine.tick(machine.wake_at(), &mut effects);
        assert_eq!(probed(&mut effects), nodes(&["c"]));
    }
}

#[test]
fn of_a_home_that_restarted_no_more_is_said_than_by_when_it_had_the_write() {
    let (mut machine, mut effects) = (followed(&["c"]), Vec::new());
    machine.tick(machine.wake_at(), &mut effects);
    effects.clear();
    let complete_since = at(8_000_000, 8_000_300);
    let sighting = Sighting { complete_since, states: vec![state(6, None, Path::Direct)] };
    machine.handle(Input::Probed { from: node("c"), result: Ok(Box::new(sighting)) }, &mut effects);
    let convergence = converged(&effects).unwrap();
    assert!(!convergence.exactly);
    // At the longest: from when the second home may have had it. c may have had it at once.
    assert_eq!((convergence.us, convergence.error_us), (8_000_300 - 1_000_010, 8_000_300 - 1_000_010));
}

#[test]
fn a_history_that_began_before_the_write_says_of_no_home_that_it_had_it_earlier() {
    let (mut machine, mut effects) = (followed(&["c"]), Vec::new());
    machine.handle(tells("c", vec![state(5, None, Path::Transfer)]), &mut effects);
    let convergence = converged(&effects).unwrap();
    assert_eq!((convergence.exactly, convergence.us), (false, 20_090), "c had it by when it was written");
}

/// A write of the actor's that is followed with others; `c` lacks it.
fn bunched(machine: &mut TrackMachine, counter: u64) {
    machine.bunch(&unfollowed(Dot { counter, ..DOT }, &["c"]));
}

fn bunches(effects: &mut Vec<Effect>) -> Vec<(u64, u64)> {
    let all = effects.drain(..).map(|effect| match effect {
        Effect::BunchConverged(BunchConverged { writes, us, .. }) => (writes, us),
        other => panic!("{other:?}"),
    });
    all.collect()
}

#[test]
fn writes_that_are_followed_together_have_converged_once_a_home_has_the_newest_of_them() {
    let (mut machine, mut effects) = (TrackMachine::new(GIVEN_UP), Vec::new());
    (5..=9).for_each(|counter| bunched(&mut machine, counter));
    assert_eq!(machine.bunches().map(Bunch::writes).sum::<u64>(), 5);
    machine.tick(machine.wake_at(), &mut effects);
    assert_eq!(probed(&mut effects), nodes(&["c"]));
    machine.handle(tells("c", vec![state(8, Some(at(3_000_000, 3_000_400)), Path::Direct)]), &mut effects);
    assert_eq!((bunches(&mut effects), machine.finished()), (vec![], false), "it lacks the newest");
    let states = vec![
        state(8, Some(at(3_000_000, 3_000_400)), Path::Direct),
        state(9, Some(at(4_000_000, 4_000_400)), Path::ReadRepair),
    ];
    machine.handle(tells("c", states), &mut effects);
    // From when the second home may have had the first of them.
    assert_eq!(bunches(&mut effects), [(5, 4_000_400 - 1_020_000)]);
    assert!(machine.finished());
}

#[test]
fn a_dot_alone_says_nothing_of_the_writes_before_it() {
    let (mut machine, mut effects) = (TrackMachine::new(GIVEN_UP), Vec::new());
    (5..=6).for_each(|counter| bunched(&mut machine, counter));
    let context = CausalContext::from_parts([(ActorId(1), 4)], [Dot { counter: 6, ..DOT }]);
    let alone = SightedState { context, ..state(4, Some(at(3_000_000, 3_000_400)), Path::Direct) };
    machine.handle(tells("c", vec![alone]), &mut effects);
    assert_eq!((bunches(&mut effects), machine.finished()), (vec![], false));
}

#[test]
fn writes_that_come_after_homes_were_asked_do_not_hold_up_those_before() {
    let (mut machine, mut effects) = (TrackMachine::new(GIVEN_UP), Vec::new());
    bunched(&mut machine, 5);
    machine.tick(machine.wake_at(), &mut effects);
    effects.clear();
    bunched(&mut machine, 6);
    machine.handle(tells("c", vec![state(5, Some(at(3_000_000, 3_000_000)), Path::Direct)]), &mut effects);
    assert_eq!(bunches(&mut effects), [(1, 3_000_000 - 1_020_000)]);
    assert_eq!(machine.bunches().map(Bunch::writes).collect::<Vec<_>>(), [1]);
}

#[test]
fn all_homes_are_asked_once_for_all_writes_of_a_key() {
    let (mut machine, mut effects) = (followed(&["c"]), Vec::new());
    machine.follow(OperationId(2), unfollowed(Dot { counter: 6, ..DOT }, &["b", "c"]));
    bunched(&mut machine, 7);
    machine.tick(machine.wake_at(), &mut effects);
    assert_eq!(probed(&mut effects), nodes(&["b", "c"]));
    machine.handle(tells("c", vec![state(7, Some(at(3_000_000, 3_000_000)), Path::Direct)]), &mut effects);
    let [Effect::Followed(id, ..), Effect::BunchConverged(_)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((*id, machine.finished()), (OperationId(1), false));
    effects.clear();
    machine.handle(tells("b", vec![state(6, Some(at(4_000_000, 4_000_000)), Path::Direct)]), &mut effects);
    let [Effect::Followed(id, ..)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((*id, machine.finished()), (OperationId(2), true));
}

#[test]
fn the_more_keys_there_are_the_less_often_each_is_asked_about() {
    let (mut machine, mut effects) = (followed(&["c"]), Vec::new());
    let mut before = GIVEN_UP;
    let mut looks = Vec::new();
    for _ in 0..3 {
        let wake = machine.wake_at();
        machine.pace(10_000);
        machine.tick(wake, &mut effects);
        looks.push(wake.micros_since(before) / 1_000);
        before = wake;
    }
    assert_eq!(looks, [250, 20_000, 20_000]);
}
