//! The healing of damaged records.

use neap::protocol::coordinator::{Asked, Effect, HealMachine, HealPlan, RecordFault};
use neap::protocol::message::Refusal;
use neap::protocol::time::{Hlc, Moment};

use super::{applied, fetched, fetches, nodes, object, refused};

const DEADLINE: Moment = Moment(2_000_000);

fn started(others: &[&str], needed: u8) -> (HealMachine, Vec<Effect>) {
    let (others, fault) = (nodes(others), RecordFault::Damaged { needed });
    let plan = HealPlan { others, fault, deadline: DEADLINE, clock: Hlc(1) };
    let mut machine = HealMachine::new(plan);
    let mut effects = Vec::new();
    machine.start(&mut effects);
    (machine, effects)
}

fn healed(effects: &[Effect]) -> Option<neap::protocol::causality::Object> {
    effects.iter().find_map(|effect| match effect {
        Effect::Heal { gathered } => Some(gathered.object.clone()),
        _ => None,
    })
}

#[test]
fn a_record_is_replaced_by_what_enough_other_homes_hold_together() {
    let (mut machine, mut effects) = started(&["b", "c", "d", "e"], 3);
    assert_eq!(fetches(&effects), nodes(&["b", "c", "d", "e"]));
    effects.clear();
    machine.handle(fetched("b", Some(object(1, 1..=2))), &mut effects);
    machine.handle(fetched("b", Some(object(1, 1..=2))), &mut effects);
    machine.handle(fetched("c", None), &mut effects);
    assert!(effects.is_empty(), "{effects:?}");
    machine.handle(fetched("e", Some(object(2, 1..=1))), &mut effects);
    let merged = healed(&effects).unwrap();
    assert_eq!(merged.versions().len(), 2);
    assert!(!machine.finished());
    machine.handle(applied("a"), &mut effects);
    assert!(machine.finished());
}

#[test]
fn homes_that_do_not_answer_are_not_enough() {
    let (mut machine, mut effects) = started(&["b", "c"], 2);
    effects.clear();
    machine.handle(fetched("b", Some(object(1, 1..=1))), &mut effects);
    machine.handle(refused("c", Asked::Fetch, Refusal::Incomplete), &mut effects);
    assert!(effects.is_empty() && machine.finished(), "{effects:?}");
}

#[test]
fn where_all_others_have_answered_or_are_damaged_too_there_is_no_more_to_be_had() {
    let (mut machine, mut effects) = started(&["b", "c"], 2);
    effects.clear();
    machine.handle(refused("c", Asked::Fetch, Refusal::Damaged), &mut effects);
    machine.handle(fetched("b", Some(object(1, 1..=1))), &mut effects);
    assert_eq!(healed(&effects), Some(object(1, 1..=1)));
}

#[test]
fn a_record_that_lacks_something_takes_what_anybody_holds_and_asks_no_more_often_than_once_in_so_long() {
    for (last, everything) in [(Refusal::TooLargeToSend, false), (Refusal::Damaged, true)] {
        let (fault, others) = (RecordFault::Lacking, nodes(&["b", "c", "d"]));
        let mut machine = HealMachine::new(HealPlan { others, fault, deadline: DEADLINE, clock: Hlc(1) });
        let mut effects = Vec::new();
        machine.start(&mut effects);
        assert!(machine.takes_anything() && fetches(&effects).len() == 3, "{effects:?}");
        let gathered = |effects: &mut Vec<Effect>| match effects.pop() {
            Some(Effect::Heal { gathered }) => (gathered.object.versions().len(), gathered.everything),
            other => panic!("{other:?}"),
        };
        machine.handle(fetched("c", Some(object(1, 1..=1))), &mut effects);
        assert_eq!(gathered(&mut effects), (1, false));
        machine.handle(applied("a"), &mut effects);
        machine.handle(fetched("d", Some(object(2, 1..=1))), &mut effects);
        assert_eq!(gathered(&mut effects), (2, false));
        machine.handle(refused("b", Asked::Fetch, last), &mut effects);
        assert_eq!(gathered(&mut effects), (2, everything), "{last}");
        assert!(!machine.finished(), "so that it is not begun again for every request");
        machine.tick(DEADLINE);
        assert!(machine.finished());
    }
}

#[test]
fn an_only_home_heals_at_once_and_holds_nothing() {
    let (mut machine, effects) = started(&[], 0);
    assert!(healed(&effects).unwrap().versions().is_empty());
    machine.handle(refused("a", Asked::Apply, Refusal::DiskFull), &mut Vec::new());
    assert!(machine.finished(), "until the damage is met again");
}

#[test]
fn a_healing_is_given_up_at_its_deadline() {
    let (mut machine, _) = started(&["b"], 1);
    assert_eq!(machine.wake_at(), DEADLINE);
    machine.tick(Moment(DEADLINE.0 - 1));
    assert!(!machine.finished());
    machine.tick(DEADLINE);
    assert!(machine.finished());
    let mut effects = Vec::new();
    machine.handle(fetched("b", Some(object(1, 1..=1))), &mut effects);
    assert!(effects.is_empty(), "{effects:?}");
}
