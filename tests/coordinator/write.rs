//! Writes.

use neap::protocol::bounds::Overfull;
use neap::protocol::bucket::{ReadRepair, Resolution};
use neap::protocol::coordinator::{
    Asked, Candidate, ClientWrite, Effect, FanOut, ForwardPlan, Input, ReadMachine, ReadPlan, WriteMachine,
    WritePlan,
};
use neap::protocol::ids::WriteId;
use neap::protocol::message::{CoordinateReply, Refusal};
use neap::protocol::operation::{OperationError, Outcome, WriteReply};
use neap::protocol::time::{Hlc, Moment, WallMicros};

use super::{applied, applies, fetched, node, nodes, object, refused, stamped};

const NOW: Moment = Moment(1_000);
const DEADLINE: Moment = Moment(2_000);
const LATE: Moment = Moment(4_000);

fn plan(w: u8) -> WritePlan {
    WritePlan {
        me: node("a"),
        homes: nodes(&["a", "b", "c"]),
        w,
        write_id: WriteId(7),
        began: WallMicros(0),
        deadline: DEADLINE,
        follow_until: LATE,
    }
}

fn started(w: u8) -> WriteMachine {
    let mut machine = WriteMachine::new(plan(w));
    let mut effects = Vec::new();
    machine.start(NOW, &mut effects);
    assert_eq!(effects, [Effect::Coordinate]);
    effects.clear();
    machine.handle(NOW, stamped(), &mut effects);
    assert_eq!(applies(&effects), nodes(&["b", "c"]));
    machine
}

fn reply(effects: &[Effect]) -> Option<Result<WriteReply, OperationError>> {
    let mut replies = effects.iter().filter_map(|effect| match effect {
        Effect::ReplyWrite(result) => Some((**result).clone()),
        _ => None,
    });
    let first = replies.next();
    assert!(replies.next().is_none(), "answered twice");
    first
}

#[test]
fn a_write_is_answered_at_w_acknowledgements_and_not_before() {
    let (mut machine, mut effects) = (started(2), Vec::new());
    machine.handle(NOW, applied("b"), &mut effects);
    assert_eq!(reply(&effects), None);
    machine.handle(NOW, applied("b"), &mut effects);
    assert_eq!(reply(&effects), None, "one home counts once");
    machine.handle(NOW, applied("a"), &mut effects);
    let done = reply(&effects).unwrap().unwrap();
    assert_eq!(done.participation.acked_by, nodes(&["a", "b"]));
    assert_eq!(done.participation.lagging(), 1);
    assert!(!machine.finished(), "the third home is still followed");
    machine.handle(NOW, applied("c"), &mut effects);
    assert!(machine.finished());
    assert!(matches!(effects.last(), Some(Effect::Converged(..))), "{effects:?}");
}

#[test]
fn a_write_that_would_outgrow_its_object_ends_at_once_and_is_handed_to_nobody() {
    let others = nodes(&["b", "c"]);
    let forward = ForwardPlan { others, total: 3, needed: 2, deadline: DEADLINE };
    let mut write = ClientWrite::at_home(WriteMachine::new(plan(2)), forward);
    let mut effects = Vec::new();
    write.start(NOW, &mut effects);
    effects.clear();
    let why = Overfull::Bytes { held_bytes: 9, write_bytes: 2, bound_bytes: 10 };
    write.handle(NOW, Input::Coordinated(Box::new(CoordinateReply::Overfull(why))), &mut effects);
    assert_eq!(effects, [Effect::ReplyWrite(Box::new(Err(OperationError::Overfull(why))))]);
    assert!(write.finished());
}

#[test]
fn a_late_home_is_followed_until_it_is_given_up_by_name() {
    let (mut machine, mut effects) = (started(2), Vec::new());
    machine.handle(NOW, applied("a"), &mut effects);
    machine.handle(NOW, applied("b"), &mut effects);
    assert_eq!(machine.wake_at(), LATE);
    machine.tick(LATE, &mut effects);
    assert!(machine.finished());
    let Some(Effect::Unfollowed(write)) = effects.last() else { panic!("{effects:?}") };
    assert_eq!(write.lacking, nodes(&["c"]));
}

#[test]
fn a_write_that_misses_its_quorum_says_what_is_certain() {
    let (mut machine, mut effects) = (started(3), Vec::new());
    machine.handle(NOW, applied("a"), &mut effects);
    machine.handle(NOW, refused("b", Asked::Apply, Refusal::NotSent), &mut effects);
    let error = reply(&effects).unwrap().unwrap_err();
    let OperationError::NotReached { answered: 1, needed: 3, total: 3, outcome, refusals } = error else {
        panic!("{error:?}")
    };
    assert_eq!(outcome, Outcome::Partial { applied: 1 });
    assert_eq!(refusals, [(node("b"), Refusal::NotSent)]);
}

#[test]
fn a_stamped_write_without_acknowledgements_is_unknown_at_its_deadline_never_not_applied() {
    let (mut machine, mut effects) = (started(2), Vec::new());
    machine.tick(DEADLINE, &mut effects);
    let error = reply(&effects).unwrap().unwrap_err();
    assert!(
        matches!(error, OperationError::Deadline { outcome: Outcome::Unknown, answered: 0, .. }),
        "{error:?}"
    );
    machine.handle(DEADLINE, applied("a"), &mut effects);
    machine.handle(DEADLINE, applied("b"), &mut effects);
    assert!(reply(&effects).is_some(), "and only one answer");
}

#[test]
fn a_refusal_before_the_stamp_is_not_applied() {
    let mut machine = WriteMachine::new(plan(2));
    let mut effects = Vec::new();
    machine.start(NOW, &mut effects);
    let refusal = CoordinateReply::Refused(Refusal::DiskFull);
    machine.handle(NOW, Input::Coordinated(Box::new(refusal)), &mut effects);
    let error = reply(&effects).unwrap().unwrap_err();
    assert!(matches!(error, OperationError::NotReached { outcome: Outcome::NotApplied, .. }), "{error:?}");
    assert!(machine.finished());
}

#[test]
fn a_store_that_failed_in_the_middle_leaves_the_outcome_unknown() {
    let mut machine = WriteMachine::new(plan(2));
    let mut effects = Vec::new();
    machine.start(NOW, &mut effects);
    let refusal = CoordinateReply::Refused(Refusal::Storage);
    machine.handle(NOW, Input::Coordinated(Box::new(refusal)), &mut effects);
    let error = reply(&effects).unwrap().unwrap_err();
    assert!(matches!(error, OperationError::NotReached { outcome: Outcome::Unknown, .. }), "{error:?}");
}

fn forward_plan(others: &[&str]) -> ForwardPlan {
    ForwardPlan { others: nodes(others), total: 3, needed: 2, deadline: DEADLINE }
}

fn forwarded(from: &str, result: Result<Result<WriteReply, OperationError>, Refusal>) -> Input {
    Input::Forwarded { from: node(from), result: Box::new(result) }
}

#[test]
fn another_home_is_tried_only_if_nothing_was_sent_or_it_refused() {
    let mut write = ClientWrite::elsewhere(forward_plan(&["b", "c"]));
    let mut effects = Vec::new();
    write.start(NOW, &mut effects);
    assert_eq!(effects, [Effect::Forward { to: node("b") }]);
    effects.clear();
    write.handle(NOW, forwarded("b", Err(Refusal::NotSent)), &mut effects);
    assert_eq!(effects, [Effect::Forward { to: node("c") }]);
    effects.clear();
    write.handle(NOW, forwarded("c", Err(Refusal::WrongRing)), &mut effects);
    let error = reply(&effects).unwrap().unwrap_err();
    assert!(matches!(error, OperationError::NotReached { outcome: Outcome::NotApplied, .. }), "{error:?}");
    assert!(write.finished());
}

#[test]
fn a_write_that_may_have_been_carried_out_is_given_to_no_second_coordinator() {
    let mut write = ClientWrite::elsewhere(forward_plan(&["b", "c"]));
    let mut effects = Vec::new();
    write.start(NOW, &mut effects);
    effects.clear();
    write.handle(NOW, forwarded("b", Err(Refusal::NoAnswer)), &mut effects);
    let error = reply(&effects).unwrap().unwrap_err();
    assert!(matches!(error, OperationError::NotReached { outcome: Outcome::Unknown, .. }), "{error:?}");

    let mut write = ClientWrite::elsewhere(forward_plan(&["b", "c"]));
    effects.clear();
    write.start(NOW, &mut effects);
    effects.clear();
    write.tick(DEADLINE, &mut effects);
    let error = reply(&effects).unwrap().unwrap_err();
    assert!(matches!(error, OperationError::Deadline { outcome: Outcome::Unknown, .. }), "{error:?}");
}

#[test]
fn a_home_that_refuses_before_anything_was_done_hands_the_write_on() {
    let mut write = ClientWrite::at_home(WriteMachine::new(plan(2)), forward_plan(&["b"]));
    let mut effects = Vec::new();
    write.start(NOW, &mut effects);
    effects.clear();
    let refusal = CoordinateReply::Refused(Refusal::Damaged);
    write.handle(NOW, Input::Coordinated(Box::new(refusal)), &mut effects);
    assert_eq!(effects, [Effect::Forward { to: node("b") }]);
    assert!(!write.finished());
}

fn check() -> ReadMachine {
    let candidates = nodes(&["a", "b", "c"]);
    ReadMachine::new(ReadPlan {
        candidates: candidates.into_iter().map(|node| Candidate { node, hedge_after_us: 500 }).collect(),
        r: 2,
        as_is: false,
        fan_out: FanOut::R,
        repair: ReadRepair::Off,
        resolution: Resolution::Siblings,
        deadline: DEADLINE,
        follow_until: LATE,
        clock: Hlc(1),
        probe: false,
        w_min: 1,
        settled: true,
    })
}

#[test]
fn a_create_ends_at_a_value_that_any_of_r_homes_holds() {
    let mut machine = WriteMachine::only_if_absent(plan(2), check());
    let mut effects = Vec::new();
    machine.start(NOW, &mut effects);
    machine.handle(NOW, fetched("a", None), &mut effects);
    machine.handle(NOW, fetched("b", Some(object(2, 1..=1))), &mut effects);
    assert_eq!(reply(&effects).unwrap().unwrap_err(), OperationError::Exists);
    assert!(!effects.contains(&Effect::Coordinate));
}

#[test]
fn a_late_refusal_of_the_check_is_no_refusal_of_the_write() {
    let mut machine = WriteMachine::only_if_absent(plan(3), check());
    let mut effects = Vec::new();
    machine.start(NOW, &mut effects);
    machine.tick(Moment(NOW.0 + 600), &mut effects);
    machine.handle(NOW, fetched("a", None), &mut effects);
    machine.handle(NOW, fetched("b", None), &mut effects);
    assert_eq!(effects.last(), Some(&Effect::Coordinate));
    machine.handle(NOW, stamped(), &mut effects);
    machine.handle(NOW, refused("c", Asked::Fetch, Refusal::NotSent), &mut effects);
    for home in ["a", "b", "c"] {
        assert_eq!(reply(&effects), None);
        machine.handle(NOW, applied(home), &mut effects);
    }
    assert!(reply(&effects).unwrap().is_ok());
}
