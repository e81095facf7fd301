//! Replicas that are known to be down: nothing is sent to them, and what they make impossible is refused at once.

use neap::protocol::coordinator::{AnswerBody, Ask, CoordinatorEffect};
use neap::protocol::ids::{Key, NodeId, WriteId};
use neap::protocol::message::{PeerAnswer, PeerRequest, Refusal, ReplicaReply, ReplicaRequest};
use neap::protocol::operation::{OperationError, Outcome, Read};
use neap::protocol::sli::OperationOutcome;

use super::table::{Bench, bench, bench_of, bucket, write};
use super::{node, stamp};

fn with_down(names: &[&str]) -> Bench {
    let mut bench = bench();
    bench.down = names.iter().map(|name| node(name)).collect();
    bench
}

fn read(r: u8) -> Ask {
    Ask::Read(Read { bucket: bucket(), key: Key::new(b"k".to_vec()), r: Some(r), as_is: false })
}

/// The errors that clients were told.
fn told(effects: &[CoordinatorEffect<u32>]) -> Vec<OperationError> {
    let errors = effects.iter().filter_map(|effect| match effect {
        CoordinatorEffect::AnswerRead { result, .. } => result.clone().err(),
        CoordinatorEffect::AnswerWrite { result, .. } => (**result).clone().err(),
        _ => None,
    });
    errors.collect()
}

fn sent(effects: &[CoordinatorEffect<u32>]) -> Vec<(NodeId, PeerRequest, u64)> {
    let sent = effects.iter().filter_map(|effect| match effect {
        CoordinatorEffect::Send { to, request, tag, .. } => Some((to.clone(), request.clone(), *tag)),
        _ => None,
    });
    sent.collect()
}

fn impossible(needed: u8, down: &[&str]) -> OperationError {
    OperationError::NotReached {
        answered: 0,
        needed,
        total: 3,
        outcome: Outcome::NotApplied,
        refusals: down.iter().map(|name| (node(name), Refusal::Down)).collect(),
    }
}

#[test]
fn a_write_whose_quorum_is_down_is_refused_at_once_and_applied_nowhere() {
    let mut bench = with_down(&["b", "c"]);
    bench.begin(Ask::Write(write(1, false), WriteId(1)));
    let [OperationError::NotReached { refusals, outcome, .. }] = &told(&bench.effects)[..] else {
        panic!("{:?}", bench.effects)
    };
    assert_eq!((refusals.len(), *outcome), (2, Outcome::NotApplied));
    assert!(!bench.effects.iter().any(|effect| matches!(effect, CoordinatorEffect::Coordinate { .. })));
    assert_eq!((sent(&bench.effects), bench.table.in_flight()), (vec![], 0));
    assert_eq!(bench.writes_observed()[0].outcome, OperationOutcome::QuorumFailed);
}

#[test]
fn a_read_whose_quorum_is_down_is_refused_at_once_and_names_who_is_down() {
    let mut bench = with_down(&["b", "c"]);
    bench.begin(read(2));
    let errors = told(&bench.effects);
    let either = [impossible(2, &["b", "c"]), impossible(2, &["c", "b"])];
    assert!(errors.len() == 1 && either.contains(&errors[0]), "{errors:?}");
    assert_eq!(bench.reads_observed()[0].outcome, OperationOutcome::QuorumFailed);
    bench.begin(read(1));
    assert!(told(&bench.effects).is_empty(), "this node's own copy is enough");
}

#[test]
fn a_write_never_waits_for_a_replica_that_is_down_and_follows_it_as_lagging() {
    let mut bench = with_down(&["c"]);
    bench.begin(Ask::Write(write(1, false), WriteId(1)));
    let coordinated = bench.taken(|effect| match effect {
        CoordinatorEffect::Coordinate { tag, .. } => Some(tag),
        _ => None,
    });
    let own = bench.applied(bench.now);
    bench.answered("a", coordinated[0], AnswerBody::Coordinated(Box::new(stamp(false))));
    let sends = sent(&bench.effects);
    assert!(
        matches!(&sends[..], [(to, PeerRequest::Replica(_, ReplicaRequest::Apply(..)), _)] if *to == node("b"))
    );
    bench.effects.clear();
    bench.answered("a", coordinated[0], AnswerBody::Own(own));
    bench.acknowledge("b", sends[0].2);
    let replies = bench.taken(|effect| match effect {
        CoordinatorEffect::AnswerWrite { result, .. } => Some(result.unwrap()),
        _ => None,
    });
    assert_eq!(replies[0].participation.lagging(), 1);
    assert_eq!((bench.table.in_flight(), bench.table.tracked()), (0, (1, 1)));
}

#[test]
fn a_read_asks_no_replica_that_is_down_and_another_in_its_place() {
    let mut bench = with_down(&["b"]);
    bench.begin(read(2));
    let own = bench.taken(|effect| match effect {
        CoordinatorEffect::AskOwn { tag, .. } => Some((None, tag)),
        CoordinatorEffect::Send { to, tag, .. } => Some((Some(to), tag)),
        _ => None,
    });
    assert_eq!(own.iter().map(|(to, _)| to.clone()).collect::<Vec<_>>(), [None, Some(node("c"))]);
    bench.answered("a", own[0].1, AnswerBody::Own(ReplicaReply::Fetched(None)));
    bench.answered("c", own[1].1, AnswerBody::Peer(PeerAnswer::Replica(ReplicaReply::Fetched(None))));
    let replies = bench.taken(|effect| match effect {
        CoordinatorEffect::AnswerRead { result, .. } => Some(result.unwrap()),
        _ => None,
    });
    assert_eq!(replies[0].participation.acked_by, [node("a"), node("c")]);
}

#[test]
fn a_write_is_handed_on_past_a_replica_that_is_down() {
    let mut bench = bench_of(&["a", "b", "c", "d", "e"]);
    // A key of which this node is no replica.
    let (key, first) = (0..1_000)
        .find_map(|key| {
            bench.begin(Ask::Write(write(key, false), WriteId(u128::from(key))));
            let forwarded = sent(&std::mem::take(&mut bench.effects));
            let forwards =
                forwarded.into_iter().find(|(_, request, _)| matches!(request, PeerRequest::Forward(..)));
            forwards.map(|(to, ..)| (key, to))
        })
        .unwrap();
    bench.down.insert(first.clone());
    bench.begin(Ask::Write(write(key, false), WriteId(5_000)));
    let sends = sent(&bench.effects);
    assert!(matches!(&sends[..], [(to, PeerRequest::Forward(..), _)] if *to != first), "{sends:?}");
}
