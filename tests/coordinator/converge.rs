//! How long a write takes from its commit to the last home, where its homes acknowledge.

use neap::protocol::coordinator::{Asked, Effect, Input, Unfollowed, WriteMachine, WritePlan};
use neap::protocol::ids::{ActorId, Dot, WriteId};
use neap::protocol::message::Refusal;
use neap::protocol::sli::Path;
use neap::protocol::staleness::{Came, Convergence};
use neap::protocol::time::{Hlc, Moment, WallMicros};

use super::{applied_at, came, node, nodes, refused, stamped, stamped_again};

const NOW: Moment = Moment(1_000_000);
const DEADLINE: Moment = Moment(2_000_000);
const LATE: Moment = Moment(4_000_000);
const DOT: Dot = Dot { actor: ActorId(1), counter: 1 };

/// A write that was stamped at once.
fn written(w: u8, stamped: Input) -> WriteMachine {
    let (me, homes, write_id) = (node("a"), nodes(&["a", "b", "c"]), WriteId(7));
    let (deadline, follow_until, began) = (DEADLINE, LATE, WallMicros(0));
    let plan = WritePlan { me, homes, w, write_id, began, deadline, follow_until };
    let mut machine = WriteMachine::new(plan);
    let mut effects = Vec::new();
    machine.start(NOW, &mut effects);
    machine.handle(NOW, stamped, &mut effects);
    machine
}

fn converged(effects: &[Effect]) -> Option<Convergence> {
    effects.iter().find_map(|effect| match effect {
        Effect::Converged(dot, convergence) => {
            assert_eq!(*dot, DOT);
            Some(*convergence)
        }
        _ => None,
    })
}

fn unfollowed(effects: &[Effect]) -> Option<Unfollowed> {
    effects.iter().find_map(|effect| match effect {
        Effect::Unfollowed(write) => Some((**write).clone()),
        _ => None,
    })
}

fn acknowledged(w: u8, homes: [(&str, Came); 3]) -> Vec<Effect> {
    let (mut machine, mut effects) = (written(w, stamped()), Vec::new());
    for (home, came) in homes {
        assert_eq!((converged(&effects), machine.finished()), (None, false));
        machine.handle(Moment(1_500_000), applied_at(home, came), &mut effects);
    }
    assert!(machine.finished());
    assert_eq!(unfollowed(&effects), None);
    effects
}

#[test]
fn a_write_that_all_homes_acknowledge_took_from_when_w_had_it_to_when_the_last_had_it() {
    let direct = |from, to| came(from, to, Path::Direct);
    let (a, b) = (direct(1_000_010, 1_000_010), direct(1_020_000, 1_020_100));
    for (w, us, error_us) in [(1, 89_990, 200), (2, 69_950, 200), (3, 0, 0)] {
        let c = came(1_089_900, 1_090_100, Path::ReadRepair);
        let effects = acknowledged(w, [("c", c), ("a", a), ("b", b)]);
        let path = Path::ReadRepair;
        assert_eq!(converged(&effects), Some(Convergence { us, error_us, exactly: true, path }), "W = {w}");
    }
}

#[test]
fn when_acknowledgements_come_back_is_nothing_to_when_homes_came_to_have_the_write() {
    let at = |us| came(us, us, Path::Direct);
    let homes = [("a", at(1_000_100)), ("b", at(1_000_900)), ("c", at(1_000_500))];
    let convergence = converged(&acknowledged(1, homes)).unwrap();
    assert_eq!(
        (convergence.us, convergence.path),
        (800, Path::Direct),
        "they all came back half a second later"
    );
}

#[test]
fn no_home_had_a_write_before_it_was_written() {
    let at = |from, to| came(from, to, Path::Direct);
    let homes = [("a", at(1_000_000, 1_000_000)), ("b", at(900_000, 1_000_100)), ("c", at(0, 999_000))];
    let convergence = converged(&acknowledged(1, homes)).unwrap();
    assert_eq!((convergence.us, convergence.error_us), (50, 100));
}

#[test]
fn what_a_home_does_not_remember_makes_of_a_time_no_more_than_a_bound() {
    let at = |us| came(us, us, Path::Direct);
    let long = Came { exactly: false, ..came(0, 1_400_000, Path::Direct) };
    let homes = [("a", at(1_000_100)), ("b", at(1_000_900)), ("c", long)];
    let convergence = converged(&acknowledged(2, homes)).unwrap();
    assert!(!convergence.exactly);
    assert_eq!((convergence.us, convergence.error_us), (1_400_000 - 1_000_100, 1_400_000 - 1_000_100));
}

#[test]
fn a_write_that_a_home_lacks_is_over_with_what_is_known_of_the_others() {
    let (mut machine, mut effects) = (written(2, stamped()), Vec::new());
    let (a, b) = (came(1_000_010, 1_000_010, Path::Direct), came(1_020_000, 1_020_100, Path::Direct));
    machine.handle(NOW, applied_at("a", a), &mut effects);
    machine.handle(NOW, applied_at("b", b), &mut effects);
    machine.tick(Moment(LATE.0 - 1), &mut effects);
    assert_eq!((unfollowed(&effects), machine.finished()), (None, false));
    machine.tick(LATE, &mut effects);
    let write = unfollowed(&effects).unwrap();
    assert_eq!((write.dot, write.hlc, write.w, write.written), (DOT, Hlc(1_001), 2, NOW));
    assert_eq!((&write.came, &write.lacking), (&vec![a, b], &nodes(&["c"])));
    assert_eq!(write.since(), Moment(1_020_000), "since W homes have it, at the earliest");
    assert_eq!((converged(&effects), machine.finished()), (None, true));
}

#[test]
fn a_home_that_refuses_lacks_the_write_at_once_and_has_it_if_it_acknowledges_after_all() {
    let (mut machine, mut effects) = (written(1, stamped()), Vec::new());
    machine.handle(NOW, refused("b", Asked::Apply, Refusal::NoAnswer), &mut effects);
    machine.handle(NOW, applied_at("a", came(1_000_010, 1_000_010, Path::Direct)), &mut effects);
    assert_eq!(machine.unfollowed().unwrap().lacking, nodes(&["b", "c"]));
    machine.handle(NOW, applied_at("b", came(1_000_020, 1_000_020, Path::Direct)), &mut effects);
    machine.handle(NOW, refused("c", Asked::Apply, Refusal::NotSent), &mut effects);
    let write = unfollowed(&effects).unwrap();
    assert_eq!((write.came.len(), write.lacking, machine.finished()), (2, nodes(&["c"]), true));
}

#[test]
fn a_write_that_fewer_than_w_homes_have_counts_from_when_it_was_written() {
    let (mut machine, mut effects) = (written(3, stamped()), Vec::new());
    machine.handle(NOW, applied_at("a", came(1_000_010, 1_000_010, Path::Direct)), &mut effects);
    machine.tick(LATE, &mut effects);
    let write = unfollowed(&effects).unwrap();
    assert_eq!((write.since(), write.lacking), (NOW, nodes(&["b", "c"])));
}

#[test]
fn a_write_that_was_carried_out_before_is_followed_by_whoever_did() {
    let (mut machine, mut effects) = (written(1, stamped_again()), Vec::new());
    machine.handle(NOW, applied_at("a", came(1_000_010, 1_000_010, Path::Direct)), &mut effects);
    assert_eq!(machine.unfollowed(), None);
    machine.tick(LATE, &mut effects);
    assert_eq!((unfollowed(&effects), converged(&effects), machine.finished()), (None, None, true));
}
