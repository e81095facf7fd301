//! Repair by what the probes of a read found.

use neap::protocol::admission::BucketWeight;
use neap::protocol::bounds::MessageBounds;
use neap::protocol::bucket::{BucketSettings, ReadRepair, Resolution};
use neap::protocol::causality::Object;
use neap::protocol::coordinator::{
    AnswerBody, ApplyWhy, Ask, Asked, Candidate, Coordinator, CoordinatorCount, CoordinatorEffect,
    CoordinatorSettings, Effect, FanOut, IN_FLIGHT_US, Input, REPAIR_RESTS_US, ReadMachine, ReadPlan,
    RepairWhen, Surroundings, TrackLimits,
};
use neap::protocol::ids::{BucketName, Key, NodeId};
use neap::protocol::message::{PeerAnswer, PeerRequest, Refusal, ReplicaReply, ReplicaRequest};
use neap::protocol::operation::Read;
use neap::protocol::quorum::Quorum;
use neap::protocol::ring::{Member, Ring, Weight};
use neap::protocol::settings::BucketTable;
use neap::protocol::sli::Path;
use neap::protocol::staleness::{
    Digest, HomeView, Interval, Question, Sampling, SeenState, SeenVersion, SightedState, Sighting,
    UnjudgedLimits,
};
use neap::protocol::time::{Hlc, Moment, WallMicros};
use neap::protocol::view::View;

use super::{applied, applies, fetched, fetches, node, nodes, object, refused};

const NOW: Moment = Moment(1_000);
const LATE: Moment = Moment(4_000_000);
/// Long after `object` is written.
const LONG_AFTER: WallMicros = WallMicros(IN_FLIGHT_US + 1_000_000);

/// A read of three replicas that is answered by R of them, the others being probed.
fn started(r: u8, repair: ReadRepair, began: WallMicros) -> (ReadMachine, Vec<Effect>) {
    let candidates = nodes(&["a", "b", "c"]);
    let mut machine = ReadMachine::new(ReadPlan {
        candidates: candidates.into_iter().map(|node| Candidate { node, hedge_after_us: 500 }).collect(),
        r,
        as_is: false,
        fan_out: FanOut::R,
        repair,
        resolution: Resolution::Siblings,
        deadline: Moment(2_000_000),
        follow_until: LATE,
        clock: Hlc::from_wall(began),
        probe: true,
        w_min: 1,
        settled: true,
    });
    let mut effects = Vec::new();
    machine.start(NOW, &mut effects);
    effects.clear();
    (machine, effects)
}

/// What a replica that holds `object` tells of it.
fn seen(object: &Object) -> SightedState {
    let version = |version: &neap::protocol::causality::Version| SeenVersion {
        dot: version.dot,
        hlc: version.hlc,
        w: version.w,
    };
    SightedState {
        trace: None,
        applied: None,
        path: Path::Direct,
        context: object.context().clone(),
        versions: object.versions().iter().map(version).collect(),
    }
}

fn sighted(from: &str, object: &Object) -> Input {
    let complete_since = Interval { from: Moment(1), to: Moment(2) };
    let sighting = Sighting { complete_since, states: vec![seen(object)] };
    Input::Probed { from: node(from), result: Ok(Box::new(sighting)) }
}

/// Feeds the answers of all three, and lets the repair begin if something was found.
fn read(
    (mut machine, mut effects): (ReadMachine, Vec<Effect>),
    own: Option<Object>,
    others: [&Object; 2],
) -> (ReadMachine, Vec<Effect>) {
    machine.handle(NOW, fetched("a", own), &mut effects);
    assert!(matches!(effects[..], [Effect::ReplyRead(Ok(_))]), "the client waits for no probe: {effects:?}");
    machine.handle(NOW, sighted("b", others[0]), &mut effects);
    machine.handle(NOW, sighted("c", others[1]), &mut effects);
    assert!(matches!(effects[..], [Effect::ReplyRead(_), Effect::Judge(_)]), "{effects:?}");
    effects.clear();
    if machine.has_found_differences() {
        assert!(!machine.finished());
        machine.repair_found(&mut effects);
    }
    (machine, effects)
}

fn sent(effects: &[Effect]) -> Vec<(&NodeId, &Object)> {
    let sent = effects.iter().map(|effect| match effect {
        Effect::Apply { to, object, why } => {
            assert_eq!(*why, ApplyWhy::Repair(RepairWhen::Async));
            (to, object)
        }
        other => panic!("{other:?}"),
    });
    sent.collect()
}

#[test]
fn a_probed_replica_that_lacks_what_the_reply_has_is_sent_it_after_the_verdict() {
    for repair in [ReadRepair::Async, ReadRepair::Blocking] {
        let (old, new) = (object(1, 1..=1), object(1, 1..=2));
        let (mut machine, mut effects) =
            read(started(1, repair, LONG_AFTER), Some(new.clone()), [&old, &new]);
        assert_eq!(sent(&effects), [(&node("b"), &new)]);
        assert!(!machine.finished());
        machine.handle(NOW, applied("b"), &mut effects);
        assert!(machine.finished());
    }
}

#[test]
fn what_a_probed_replica_has_more_is_fetched_joined_and_sent_to_all_that_lack_it() {
    let (old, new, beside) = (object(1, 1..=1), object(1, 1..=2), object(2, 7..=7));
    let (mut machine, mut effects) =
        read(started(1, ReadRepair::Blocking, LONG_AFTER), Some(old.clone()), [&new, &beside]);
    assert_eq!(fetches(&effects), nodes(&["b", "c"]), "N - R of them");
    effects.clear();
    machine.handle(NOW, fetched("c", Some(beside.clone())), &mut effects);
    assert!(effects.is_empty(), "the other has not answered");
    machine.handle(NOW, fetched("b", Some(new.clone())), &mut effects);
    let mut joined = new;
    joined.merge(&beside, Hlc(1));
    assert_eq!(sent(&effects), [(&node("a"), &joined), (&node("b"), &joined), (&node("c"), &joined)]);
    for from in ["a", "b"] {
        machine.handle(NOW, applied(from), &mut effects);
    }
    assert!(!machine.finished());
    machine.handle(NOW, refused("c", Asked::Apply, Refusal::DiskFull), &mut effects);
    assert!(machine.finished());
}

#[test]
fn a_delete_that_a_probed_replica_has_comes_to_those_that_answered() {
    let new = object(1, 1..=3);
    let (mut machine, mut effects) =
        read(started(1, ReadRepair::Async, LONG_AFTER), None, [&new, &Object::new()]);
    assert_eq!(fetches(&effects), nodes(&["b"]));
    effects.clear();
    machine.handle(NOW, fetched("b", Some(new.clone())), &mut effects);
    assert_eq!(sent(&effects), [(&node("a"), &new), (&node("c"), &new)]);
}

#[test]
fn a_version_of_the_last_second_is_under_way_and_no_difference() {
    let (old, new) = (object(1, 1..=1), object(1, 1..=2));
    let written = new.newest().unwrap().wall().0;
    for (began, repaired) in [(written + IN_FLIGHT_US - 1, false), (written + IN_FLIGHT_US, true)] {
        let began = WallMicros(began);
        let behind = read(started(1, ReadRepair::Async, began), Some(new.clone()), [&old, &new]).1;
        assert_eq!(applies(&behind).len(), usize::from(repaired), "{behind:?}");
        let ahead = read(started(1, ReadRepair::Async, began), Some(old.clone()), [&old, &new]).1;
        assert_eq!(fetches(&ahead).len(), usize::from(repaired), "{ahead:?}");
    }
}

#[test]
fn nothing_is_repaired_where_all_hold_the_same_or_the_bucket_wants_no_repair() {
    let (old, new) = (object(1, 1..=1), object(1, 1..=2));
    let (machine, effects) =
        read(started(1, ReadRepair::Blocking, LONG_AFTER), Some(new.clone()), [&new, &new]);
    assert!(effects.is_empty() && machine.finished());
    let (machine, effects) = read(started(1, ReadRepair::Off, LONG_AFTER), Some(old.clone()), [&new, &old]);
    assert!(effects.is_empty() && machine.finished());
}

#[test]
fn a_replica_that_is_not_heard_holds_the_repair_of_the_others_up_until_its_end_and_no_longer() {
    let (old, new, newer) = (object(1, 1..=1), object(1, 1..=2), object(1, 1..=3));
    let begin = || read(started(1, ReadRepair::Async, LONG_AFTER), Some(new.clone()), [&old, &newer]);
    let (mut machine, mut effects) = begin();
    effects.clear();
    machine.handle(NOW, refused("c", Asked::Fetch, Refusal::NoAnswer), &mut effects);
    assert_eq!(sent(&effects), [(&node("b"), &new)], "what is known is brought to those that lack it");
    let (mut machine, mut effects) = begin();
    effects.clear();
    assert_eq!(machine.wake_at(), LATE);
    machine.tick(LATE, &mut effects);
    assert!(effects.is_empty() && machine.finished());
}

#[test]
fn the_verdict_is_the_same_with_and_without_repair() {
    let question = |repair: ReadRepair| -> Question {
        let (mut machine, mut effects) = started(1, repair, LONG_AFTER);
        let (old, new) = (object(1, 1..=1), object(1, 1..=2));
        machine.handle(NOW, fetched("a", Some(old.clone())), &mut effects);
        machine.handle(NOW, sighted("b", &new), &mut effects);
        machine.handle(NOW, sighted("c", &old), &mut effects);
        let judged = effects.into_iter().find_map(|effect| match effect {
            Effect::Judge(question) => Some(*question),
            _ => None,
        });
        judged.unwrap()
    };
    assert_eq!(question(ReadRepair::Blocking), question(ReadRepair::Off));
    assert!(matches!(question(ReadRepair::Async).homes[1].1, HomeView::Sighted(_)));
}

#[test]
fn what_a_slow_replica_answers_too_late_is_brought_to_the_others_too() {
    let (old, new) = (object(1, 1..=1), object(1, 1..=2));
    let (mut machine, mut effects) = started(1, ReadRepair::Blocking, LONG_AFTER);
    machine.tick(Moment(1_500), &mut effects);
    assert_eq!(fetches(&effects), nodes(&["b"]), "it is asked since another is slow");
    machine.handle(Moment(1_600), fetched("b", Some(old.clone())), &mut effects);
    machine.handle(Moment(1_600), sighted("b", &old), &mut effects);
    machine.handle(Moment(1_600), sighted("c", &old), &mut effects);
    effects.clear();
    machine.handle(Moment(1_700), fetched("a", Some(new.clone())), &mut effects);
    assert!(machine.has_found_differences(), "{effects:?}");
    effects.clear();
    machine.repair_found(&mut effects);
    assert_eq!(sent(&effects), [(&node("b"), &new), (&node("c"), &new)]);
}

/// A coordinator at `a`, whose reads at R = 1 are all probed.
struct Bench {
    ring: Ring,
    buckets: BucketTable,
    table: Coordinator<u32>,
    now: Moment,
}

impl Bench {
    fn new() -> Self {
        let member = |name: &NodeId| Member {
            id: name.clone(),
            zone: name.as_str().to_owned(),
            weight: Weight::ONE,
            address: String::new(),
        };
        let settings = BucketSettings {
            siblings_max: 100,
            weight: BucketWeight::ONE,
            quorum: Quorum { n: 3, r: 1, w: 1 },
            w_min: 1,
            resolution: Resolution::Siblings,
            blind_write: neap::protocol::bucket::BlindWrite::Overwrite,
            sloppy: false,
            read_repair: ReadRepair::Blocking,
            ttl_us: None,
        };
        Self {
            ring: Ring::founders(64, nodes(&["a", "b", "c"]).iter().map(member).collect()).unwrap(),
            buckets: BucketTable::new(settings, []),
            table: Coordinator::new(CoordinatorSettings {
                messages: MessageBounds::default(),
                unjudged: UnjudgedLimits::of_shard(1),
                follow_us: 2_000_000,
                fan_out: FanOut::R,
                probe: Sampling::ALL,
                track: TrackLimits::default(),
            }),
            now: Moment(10_000_000),
        }
    }

    fn step(
        &mut self,
        step: impl FnOnce(&mut Coordinator<u32>, Surroundings<'_>, &mut Vec<CoordinatorEffect<u32>>),
    ) -> Vec<CoordinatorEffect<u32>> {
        let me = node("a");
        let view = View { me: &me, ring: &self.ring, buckets: &self.buckets };
        let wall = WallMicros(LONG_AFTER.0 + self.now.0);
        let (clock, is_up) = (Hlc::from_wall(wall), |_: &NodeId| true);
        let around = Surroundings {
            view,
            now: self.now,
            clock,
            wall,
            settled: true,
            is_up: &is_up,
            is_down: &|_| false,
        };
        let mut effects = Vec::new();
        step(&mut self.table, around, &mut effects);
        effects
    }

    fn answered(&mut self, from: &str, tag: u64, answer: AnswerBody) -> Vec<CoordinatorEffect<u32>> {
        self.step(|table, around, effects| table.answered(around, node(from), tag, answer, effects))
    }

    /// A read of a key that this node holds and the other two do not, until both have told so.
    fn read(&mut self, key: &str) -> Vec<CoordinatorEffect<u32>> {
        let bucket = BucketName::new("b").unwrap();
        let ask = Ask::Read(Read { bucket, key: Key::new(key.to_owned()), r: None, as_is: false });
        let deadline = self.now.plus_micros(1_000_000);
        let begun = self.step(|table, around, effects| table.begin(around, ask, 1, deadline, effects));
        let own = begun.iter().find_map(|effect| match effect {
            CoordinatorEffect::AskOwn { tag, .. } => Some(*tag),
            _ => None,
        });
        let held = Some(object(1, 1..=1));
        self.answered("a", own.unwrap(), AnswerBody::Own(ReplicaReply::Fetched(held)));
        let mut last = Vec::new();
        for effect in begun {
            if let CoordinatorEffect::Send { to, tag, .. } = effect {
                let nothing = SeenState::of(&Object::new(), None, Path::Direct);
                let digest =
                    Digest { clock: 1, at: self.now, complete_since: self.now, states: vec![nothing] };
                let answer = PeerAnswer::Replica(ReplicaReply::Probed(Box::new(digest)));
                last = self.answered(to.as_str(), tag, AnswerBody::Peer(answer));
            }
        }
        last
    }
}

fn counted(effects: &[CoordinatorEffect<u32>], which: CoordinatorCount) -> u64 {
    let counts = effects.iter().filter_map(|effect| match effect {
        CoordinatorEffect::Count(what, count) if *what == which => Some(*count),
        _ => None,
    });
    counts.sum()
}

#[test]
fn a_key_is_repaired_once_a_second_however_often_it_is_read() {
    let mut bench = Bench::new();
    let first = bench.read("k");
    assert!(matches!(first[0], CoordinatorEffect::Judged(_)), "the verdict comes first: {first:?}");
    let sent = first.iter().filter(|effect| {
        let CoordinatorEffect::Send { request: PeerRequest::Replica(_, request), .. } = effect else {
            return false;
        };
        matches!(request, ReplicaRequest::Apply(..))
    });
    assert_eq!((sent.count(), counted(&first, CoordinatorCount::ReadRepairsAsync)), (2, 2));
    for _ in 0..3 {
        let again = bench.read("k");
        assert_eq!(counted(&again, CoordinatorCount::ReadRepairsAsync), 0);
        assert_eq!(counted(&again, CoordinatorCount::ReadRepairsPutOff), 1);
        assert!(again.iter().any(|effect| matches!(effect, CoordinatorEffect::Over { .. })), "it is over");
    }
    assert_eq!(counted(&bench.read("other"), CoordinatorCount::ReadRepairsAsync), 2);
    bench.now = bench.now.plus_micros(REPAIR_RESTS_US);
    assert_eq!(counted(&bench.read("k"), CoordinatorCount::ReadRepairsAsync), 2);
}
