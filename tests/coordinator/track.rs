//! Writes that some home lacks, followed until all have them.

use neap::protocol::causality::CausalContext;
use neap::protocol::coordinator::{Effect, Input, TrackMachine, Unfollowed};
use neap::protocol::ids::{ActorId, Dot, NodeId};
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
fn followed(lacking: &[&str]) -> TrackMachine {
    let homes =
        [("a", came(1_000_010, 1_000_010, Path::Direct)), ("b", came(1_020_000, 1_020_100, Path::Direct))];
    let came = homes.into_iter().filter(|(home, _)| !lacking.contains(home)).map(|(_, came)| came);
    let (hlc, came, lacking) = (Hlc(7), came.collect(), nodes(lacking));
    let mut machine = TrackMachine::new(Unfollowed { dot: DOT, hlc, w: 2, written: WRITTEN, came, lacking });
    machine.start(GIVEN_UP);
    machine
}

/// The state of a home that has seen the versions up to this one.
fn state(counter: u64, applied: Option<Interval>, path: Path) -> SightedState {
    let context = CausalContext::from_parts([(ActorId(1), counter)], []);
    SightedState { applied, path, context, versions: Vec::new() }
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
        [Effect::Converged(dot, convergence)] => {
            assert_eq!(*dot, DOT);
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
    assert_eq!((&machine.write().lacking, machine.write().since()), (&nodes(&["c"]), Moment(2_000_000)));
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
        assert_eq!((converged(&effects), machine.write().lacking.clone()), (None, nodes(&["c"])));
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
