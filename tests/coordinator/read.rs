//! Reads.

use neap::protocol::bucket::{ReadRepair, Resolution};
use neap::protocol::coordinator::{
    ApplyWhy, Asked, Candidate, Effect, FanOut, Input, ReadMachine, ReadPlan, RepairWhen,
};
use neap::protocol::message::Refusal;
use neap::protocol::operation::{OperationError, ReadReply};
use neap::protocol::sli::Path;
use neap::protocol::staleness::{HomeView, Interval, Question, SightedState, Sighting};
use neap::protocol::time::{Hlc, Moment};

use super::{applied, applies, fetched, fetches, node, nodes, object, refused};

const NOW: Moment = Moment(1_000);
const DEADLINE: Moment = Moment(2_000_000);
const LATE: Moment = Moment(4_000_000);

fn started(r: u8, repair: ReadRepair) -> (ReadMachine, Vec<Effect>) {
    let (machine, mut effects) = started_as(r, repair, false);
    effects.clear();
    (machine, effects)
}

fn started_as(r: u8, repair: ReadRepair, probe: bool) -> (ReadMachine, Vec<Effect>) {
    let candidates = nodes(&["a", "b", "c"]);
    let mut machine = ReadMachine::new(ReadPlan {
        candidates: candidates.into_iter().map(|node| Candidate { node, hedge_after_us: 500 }).collect(),
        r,
        as_is: false,
        fan_out: FanOut::R,
        repair,
        resolution: Resolution::Siblings,
        deadline: DEADLINE,
        follow_until: LATE,
        clock: Hlc(1),
        probe,
        w_min: 1,
        settled: true,
    });
    let mut effects = Vec::new();
    machine.start(NOW, &mut effects);
    assert_eq!(fetches(&effects).len(), usize::from(r));
    (machine, effects)
}

/// A read at R = 1 of which the homes that are asked for no value are probed.
fn probed() -> (ReadMachine, Vec<Effect>) {
    let (machine, mut effects) = started_as(1, ReadRepair::Off, true);
    let probes = effects.drain(..).filter_map(|effect| match effect {
        Effect::Probe { to } => Some(to),
        _ => None,
    });
    assert_eq!(probes.collect::<Vec<_>>(), nodes(&["b", "c"]));
    (machine, effects)
}

fn question(effects: &[Effect]) -> Option<Question> {
    let mut questions = effects.iter().filter_map(|effect| match effect {
        Effect::Judge(question) => Some((**question).clone()),
        _ => None,
    });
    let first = questions.next();
    assert!(questions.next().is_none(), "judged twice");
    first
}

fn sighted(from: &str, counter: u64) -> Input {
    let state = SightedState {
        applied: None,
        path: Path::Direct,
        context: object(1, 1..=counter).context().clone(),
        versions: Vec::new(),
        trace: None,
    };
    let complete_since = Interval { from: Moment(1), to: Moment(2) };
    Input::Probed { from: node(from), result: Ok(Box::new(Sighting { complete_since, states: vec![state] })) }
}

#[test]
fn a_read_is_judged_once_all_homes_have_told_what_they_had() {
    let (mut machine, mut effects) = probed();
    machine.handle(NOW, fetched("a", Some(object(1, 1..=1))), &mut effects);
    assert!(reply(&effects).unwrap().is_ok(), "the client does not wait for probes");
    machine.handle(NOW, sighted("b", 1), &mut effects);
    assert_eq!((question(&effects), machine.finished()), (None, false));
    let refused = Input::Probed { from: node("c"), result: Err(Refusal::NotSent) };
    machine.handle(NOW, refused, &mut effects);
    let question = question(&effects).unwrap();
    assert!(machine.finished());
    assert_eq!((question.began, question.w_min), (NOW, 1));
    let homes: Vec<&HomeView> = question.homes.iter().map(|(_, home)| home).collect();
    assert!(
        matches!(
            homes[..],
            [HomeView::InReply, HomeView::Sighted(_), HomeView::Unanswered(Refusal::NotSent)]
        ),
        "{homes:?}"
    );
}

#[test]
fn probes_that_are_never_answered_end_with_the_read() {
    let (mut machine, mut effects) = probed();
    machine.handle(NOW, fetched("a", None), &mut effects);
    machine.tick(LATE, &mut effects);
    let homes = question(&effects).unwrap().homes;
    assert!(homes[1..].iter().all(|(_, home)| *home == HomeView::Unanswered(Refusal::NoAnswer)));
    assert!(machine.finished());
}

#[test]
fn a_read_that_failed_gets_no_verdict() {
    let (mut machine, mut effects) = probed();
    for home in ["a", "b", "c"] {
        machine.handle(NOW, refused(home, Asked::Fetch, Refusal::NotSent), &mut effects);
    }
    machine.handle(NOW, sighted("b", 1), &mut effects);
    machine.handle(NOW, sighted("c", 1), &mut effects);
    assert!(reply(&effects).unwrap().is_err());
    assert_eq!((question(&effects), machine.finished()), (None, true));
}

fn reply(effects: &[Effect]) -> Option<Result<ReadReply, OperationError>> {
    let mut replies = effects.iter().filter_map(|effect| match effect {
        Effect::ReplyRead(result) => Some(result.clone()),
        _ => None,
    });
    let first = replies.next();
    assert!(replies.next().is_none(), "answered twice");
    first
}

#[test]
fn a_read_asks_r_homes_and_answers_with_what_they_join_to() {
    let (mut machine, mut effects) = started(2, ReadRepair::Off);
    machine.handle(NOW, fetched("a", Some(object(1, 1..=1))), &mut effects);
    assert_eq!(reply(&effects), None);
    machine.handle(NOW, fetched("b", Some(object(1, 1..=2))), &mut effects);
    let done = reply(&effects).unwrap().unwrap();
    assert_eq!(done.object, Some(object(1, 1..=2)));
    assert_eq!(done.participation.acked_by, nodes(&["a", "b"]));
    assert!(applies(&effects).is_empty(), "read repair is off");
    assert!(machine.finished());
}

#[test]
fn a_blocking_repair_is_acknowledged_before_the_client_is_answered() {
    let (mut machine, mut effects) = started(2, ReadRepair::Blocking);
    machine.handle(NOW, fetched("a", None), &mut effects);
    machine.handle(NOW, fetched("b", Some(object(1, 1..=2))), &mut effects);
    assert_eq!(reply(&effects), None);
    assert_eq!(
        effects,
        [Effect::Apply {
            to: node("a"),
            object: object(1, 1..=2),
            why: ApplyWhy::Repair(RepairWhen::Blocking)
        }]
    );
    machine.handle(NOW, applied("a"), &mut effects);
    assert!(reply(&effects).unwrap().is_ok());
}

#[test]
fn a_blocking_repair_that_is_never_acknowledged_ends_at_the_deadline() {
    let (mut machine, mut effects) = started(2, ReadRepair::Blocking);
    machine.handle(NOW, fetched("a", None), &mut effects);
    machine.handle(NOW, fetched("b", Some(object(1, 1..=2))), &mut effects);
    machine.tick(DEADLINE, &mut effects);
    let error = reply(&effects).unwrap().unwrap_err();
    let refusals = Vec::new();
    let expected = OperationError::NotRepaired { current: 1, needed: 2, total: 3, late: true, refusals };
    assert_eq!(error, expected);
    let text = "replicas answered, and 1 of the 2 needed hold what they know together (of 3); the others were not brought \
                up to date before the deadline";
    assert_eq!(error.to_string(), text);
}

#[test]
fn a_home_that_dies_during_its_repair_is_replaced_by_another() {
    let (mut machine, mut effects) = started(2, ReadRepair::Blocking);
    machine.handle(NOW, fetched("a", None), &mut effects);
    machine.handle(NOW, fetched("b", Some(object(1, 1..=2))), &mut effects);
    effects.clear();
    machine.handle(NOW, refused("a", Asked::Apply, Refusal::NoAnswer), &mut effects);
    assert_eq!(fetches(&effects), nodes(&["c"]));
    machine.handle(NOW, fetched("c", Some(object(1, 1..=2))), &mut effects);
    assert!(reply(&effects).unwrap().is_ok());
}

#[test]
fn a_read_that_fails_as_homes_cannot_be_repaired_does_not_say_that_too_few_answered() {
    let (mut machine, mut effects) = started(2, ReadRepair::Blocking);
    machine.handle(NOW, fetched("a", Some(object(1, 1..=2))), &mut effects);
    machine.handle(NOW, fetched("b", None), &mut effects);
    machine.handle(NOW, refused("b", Asked::Apply, Refusal::TooLargeToSend), &mut effects);
    machine.handle(NOW, refused("c", Asked::Fetch, Refusal::LeftOut), &mut effects);
    let error = reply(&effects).unwrap().unwrap_err();
    let refusals = vec![(node("b"), Refusal::TooLargeToSend), (node("c"), Refusal::LeftOut)];
    let expected = OperationError::NotRepaired { current: 1, needed: 2, total: 3, late: false, refusals };
    assert_eq!(error, expected);
    let text = "replicas answered, and 1 of the 2 needed hold what they know together (of 3); the others were not brought \
                up to date";
    assert_eq!(error.to_string(), text);
}

#[test]
fn an_asynchronous_repair_follows_the_answer() {
    let (mut machine, mut effects) = started(2, ReadRepair::Async);
    machine.handle(NOW, fetched("a", None), &mut effects);
    machine.handle(NOW, fetched("b", Some(object(1, 1..=1))), &mut effects);
    assert!(matches!(effects.first(), Some(Effect::ReplyRead(Ok(_)))));
    assert_eq!(applies(&effects), nodes(&["a"]));
    assert!(!machine.finished());
    machine.handle(NOW, applied("a"), &mut effects);
    assert!(machine.finished());
}

#[test]
fn a_home_that_refuses_is_replaced_and_too_many_end_the_read_with_their_reasons() {
    let (mut machine, mut effects) = started(2, ReadRepair::Blocking);
    machine.handle(NOW, refused("a", Asked::Fetch, Refusal::Incomplete), &mut effects);
    assert_eq!(fetches(&effects), nodes(&["c"]));
    machine.handle(NOW, refused("c", Asked::Fetch, Refusal::NotSent), &mut effects);
    let error = reply(&effects).unwrap().unwrap_err();
    let OperationError::NotReached { answered: 0, needed: 2, total: 3, refusals, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(refusals, [(node("a"), Refusal::Incomplete), (node("c"), Refusal::NotSent)]);
}

#[test]
fn a_slow_home_is_hedged_by_another_once() {
    let (mut machine, mut effects) = started(2, ReadRepair::Blocking);
    machine.handle(NOW, fetched("a", None), &mut effects);
    assert_eq!(machine.wake_at(), Moment(1_500));
    machine.tick(Moment(1_499), &mut effects);
    assert!(fetches(&effects).is_empty());
    machine.tick(Moment(1_500), &mut effects);
    machine.tick(Moment(1_600), &mut effects);
    assert_eq!(fetches(&effects), nodes(&["c"]));
    machine.handle(Moment(1_700), fetched("c", None), &mut effects);
    assert!(reply(&effects).unwrap().is_ok());
    assert!(!machine.finished(), "the slow one is still heard");
    effects.clear();
    machine.handle(Moment(1_800), fetched("b", Some(object(1, 1..=1))), &mut effects);
    assert!(machine.finished());
}

#[test]
fn a_late_home_that_is_behind_is_repaired_after_the_answer() {
    let (mut machine, mut effects) = started(1, ReadRepair::Blocking);
    machine.tick(Moment(1_500), &mut effects);
    machine.handle(NOW, fetched("a", Some(object(1, 1..=3))), &mut effects);
    assert!(reply(&effects).unwrap().is_ok());
    effects.clear();
    machine.handle(NOW, fetched("b", Some(object(1, 1..=2))), &mut effects);
    let why = ApplyWhy::Repair(RepairWhen::Async);
    assert_eq!(effects, [Effect::Apply { to: node("b"), object: object(1, 1..=3), why }]);
}

#[test]
fn a_read_that_fans_out_to_all_answers_with_the_first_r_and_asks_nobody_twice() {
    let candidates = nodes(&["a", "b", "c"]);
    let mut machine = ReadMachine::new(ReadPlan {
        candidates: candidates.into_iter().map(|node| Candidate { node, hedge_after_us: 500 }).collect(),
        r: 1,
        as_is: false,
        fan_out: FanOut::All,
        repair: ReadRepair::Off,
        resolution: Resolution::Siblings,
        deadline: DEADLINE,
        follow_until: LATE,
        clock: Hlc(1),
        probe: false,
        w_min: 1,
        settled: true,
    });
    let mut effects = Vec::new();
    machine.start(NOW, &mut effects);
    assert_eq!(fetches(&effects), nodes(&["a", "b", "c"]));
    effects.clear();
    machine.tick(NOW.plus_micros(1_000), &mut effects);
    machine.handle(NOW, refused("b", Asked::Fetch, Refusal::Incomplete), &mut effects);
    assert!(effects.is_empty(), "{effects:?}");
    machine.handle(NOW, fetched("c", Some(object(1, 1..=2))), &mut effects);
    assert_eq!(reply(&effects).unwrap().unwrap().object, Some(object(1, 1..=2)));
    effects.clear();
    machine.handle(NOW, fetched("a", None), &mut effects);
    assert!(effects.is_empty() && machine.finished(), "{effects:?}");
}
