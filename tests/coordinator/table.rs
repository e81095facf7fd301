//! The table of operations, driven by hand: what it keeps of writes that some home lacks, and what it tells of
//! operations that were answered.

use std::collections::BTreeSet;

use bytes::Bytes;
use neap::protocol::admission::BucketWeight;
use neap::protocol::bounds::MessageBounds;
use neap::protocol::bucket::{BlindWrite, BucketSettings, ReadRepair, Resolution, SettingsVersion};
use neap::protocol::causality::{CausalContext, Object};
use neap::protocol::coordinator::{
    AnswerBody, Ask, ConvergedWrite, Coordinator, CoordinatorCount, CoordinatorEffect, CoordinatorSettings,
    FanOut, OPERATIONS_MAX, Surroundings, TrackLimits,
};
use neap::protocol::ids::{ActorId, BucketName, Key, NodeId, WriteId};
use neap::protocol::message::{
    CoordinateReply, PeerAnswer, PeerRequest, Refusal, ReplicaReply, ReplicaRequest, Via,
};
use neap::protocol::operation::{OperationError, Outcome, Read, Write, WriteBody};
use neap::protocol::quorum::Quorum;
use neap::protocol::ring::{Member, Ring, Weight};
use neap::protocol::settings::BucketTable;
use neap::protocol::sli::{Observation, OperationOutcome, Path, ReadObserved, WriteObserved};
use neap::protocol::staleness::{AppliedAt, Digest, Sampling, SeenState, UnjudgedLimits};
use neap::protocol::time::{Hlc, Moment, WallMicros};
use neap::protocol::view::View;

use super::{node, nodes, object, stamp};

const TIMEOUT_US: u64 = 1_000_000;
const FOLLOW_US: u64 = 2_000_000;
const WALL_AHEAD_US: u64 = 1_700_000_000_000_000;

/// A coordinator at `a`, and the cluster that it sees: three nodes, all of them homes of every key.
pub struct Bench {
    me: NodeId,
    ring: Ring,
    buckets: BucketTable,
    pub table: Coordinator<u32>,
    pub now: Moment,
    pub effects: Vec<CoordinatorEffect<u32>>,
    /// Nodes that are known to be down.
    pub down: BTreeSet<NodeId>,
}

type Tag = u64;

pub fn bucket() -> BucketName {
    BucketName::new("b").unwrap()
}

pub fn bench() -> Bench {
    bench_of(&["a", "b", "c"])
}

pub fn bench_of(members: &[&str]) -> Bench {
    let members = members.iter().map(|name| Member {
        id: node(name),
        zone: (*name).to_owned(),
        weight: Weight::ONE,
        address: String::new(),
    });
    let settings = BucketSettings {
        quorum: Quorum { n: 3, r: 2, w: 2 },
        w_min: 1,
        resolution: Resolution::Siblings,
        blind_write: BlindWrite::Overwrite,
        siblings_max: 100,
        weight: BucketWeight::ONE,
        sloppy: false,
        read_repair: ReadRepair::Blocking,
        ttl_us: None,
    };
    Bench {
        me: node("a"),
        ring: Ring::founders(64, members.collect()).unwrap(),
        buckets: BucketTable::new(settings, []),
        table: Coordinator::new(CoordinatorSettings {
            follow_us: FOLLOW_US,
            fan_out: FanOut::R,
            probe: Sampling::NONE,
            track: LIMITS,
            unjudged: UnjudgedLimits::of_shard(1),
            messages: MessageBounds::default(),
        }),
        now: Moment(10_000_000),
        effects: Vec::new(),
        down: BTreeSet::new(),
    }
}

/// How much is followed.
const LIMITS: TrackLimits = TrackLimits { single: 4_096, keys: 16_384 };
const TRACKED: (usize, usize) = (LIMITS.keys, LIMITS.single);

pub fn write(key: u64, only_if_absent: bool) -> Write {
    Write {
        bucket: bucket(),
        key: Key::new(key.to_be_bytes().to_vec()),
        body: WriteBody::Put { content_type: None, bytes: Bytes::from_static(b"v") },
        context: None,
        write_id: None,
        w: None,
        ttl_us: None,
        only_if_absent,
    }
}

impl Bench {
    fn step(
        &mut self,
        step: impl FnOnce(&mut Coordinator<u32>, Surroundings<'_>, &mut Vec<CoordinatorEffect<u32>>),
    ) {
        let view = View { me: &self.me, ring: &self.ring, buckets: &self.buckets };
        let wall = WallMicros(WALL_AHEAD_US + self.now.0);
        let (clock, is_up) = (Hlc::from_wall(wall), |_: &NodeId| true);
        let is_down = |peer: &NodeId| self.down.contains(peer);
        let (now, settled) = (self.now, true);
        let around = Surroundings { view, now, clock, wall, settled, is_up: &is_up, is_down: &is_down };
        step(&mut self.table, around, &mut self.effects);
    }

    pub fn begin(&mut self, ask: Ask) {
        let deadline = self.now.plus_micros(TIMEOUT_US);
        self.step(|table, around, effects| table.begin(around, ask, 1, deadline, effects));
    }

    pub fn answered(&mut self, from: &str, tag: Tag, answer: AnswerBody) {
        self.step(|table, around, effects| table.answered(around, node(from), tag, answer, effects));
    }

    /// Lets time pass, in steps as the table wants them.
    fn until(&mut self, then: Moment) {
        while let Some(wake) = self.table.wake_at().filter(|wake| *wake <= then) {
            self.now = self.now.max(wake);
            self.step(|table, around, effects| table.tick(around, effects));
        }
        self.now = then;
    }

    /// When a home applied something, by a clock that shows the same as this node's.
    pub fn applied(&self, at: Moment) -> ReplicaReply {
        let (arrived, answered) = (self.now, self.now);
        let when = AppliedAt { clock: 1, arrived, applied: at, exactly: true, answered, path: Path::Direct };
        ReplicaReply::Applied { siblings: 1, when }
    }

    /// Begins a write here, has it stamped and acknowledged by this home, and gives the tags by which the other two answer.
    fn written(&mut self, key: u64) -> [Tag; 2] {
        self.begin(Ask::Write(write(key, false), WriteId(u128::from(key))));
        self.stamped()
    }

    fn stamped(&mut self) -> [Tag; 2] {
        let tag = self.taken(|effect| match effect {
            CoordinatorEffect::Coordinate { tag, .. } => Some(tag),
            _ => None,
        });
        let own = self.applied(self.now);
        self.answered("a", tag[0], AnswerBody::Coordinated(Box::new(stamp(false))));
        let tags = self.taken(|effect| match effect {
            CoordinatorEffect::Send {
                request: PeerRequest::Replica(_, ReplicaRequest::Apply(_, via)),
                tag,
                ..
            } => {
                assert!(matches!(via, Via::Write(_)), "{via:?}");
                Some(tag)
            }
            _ => None,
        });
        self.answered("a", tag[0], AnswerBody::Own(own));
        tags.try_into().unwrap()
    }

    pub fn acknowledge(&mut self, from: &str, tag: Tag) {
        let reply = self.applied(self.now);
        self.answered(from, tag, AnswerBody::Peer(PeerAnswer::Replica(reply)));
    }

    fn refuse(&mut self, from: &str, tag: Tag, refusal: Refusal) {
        self.answered(from, tag, AnswerBody::Peer(PeerAnswer::Refused(refusal)));
    }

    pub fn taken<T>(&mut self, wanted: impl FnMut(CoordinatorEffect<u32>) -> Option<T>) -> Vec<T> {
        self.effects.drain(..).filter_map(wanted).collect()
    }

    pub fn writes_observed(&mut self) -> Vec<WriteObserved> {
        self.taken(|effect| match effect {
            CoordinatorEffect::Observed(Observation::Write(write)) => Some(write),
            _ => None,
        })
    }

    pub fn reads_observed(&mut self) -> Vec<ReadObserved> {
        self.taken(|effect| match effect {
            CoordinatorEffect::Observed(Observation::Read(read)) => Some(read),
            _ => None,
        })
    }

    fn converged(&mut self) -> Vec<ConvergedWrite> {
        self.taken(|effect| match effect {
            CoordinatorEffect::Converged(write) => Some(*write),
            _ => None,
        })
    }

    /// How many writes are said to be unconverged, the age of the oldest, and how many homes lack one.
    fn unconverged(&self) -> (u64, u64, u8) {
        let observed = self.table.unconverged(self.now);
        let oldest = observed.ages.first().map_or(0, |(age, _)| *age);
        (observed.ages.iter().map(|(_, count)| count).sum(), oldest, observed.max_lagging)
    }
}

#[test]
fn a_write_counts_as_unconverged_from_its_stamp_until_the_last_home_has_it() {
    let mut bench = bench();
    bench.begin(Ask::Write(write(1, false), WriteId(1)));
    assert_eq!(bench.unconverged(), (0, 0, 0));
    let [b, c] = bench.stamped();
    assert_eq!(bench.unconverged(), (1, 0, 2));
    bench.now = bench.now.plus_micros(500);
    bench.acknowledge("b", b);
    assert_eq!((bench.unconverged().0, bench.unconverged().2), (1, 1));
    assert!(bench.converged().is_empty());
    bench.now = bench.now.plus_micros(500);
    bench.acknowledge("c", c);
    let converged = bench.converged();
    let convergence = converged[0].convergence;
    assert!(convergence.us.abs_diff(500) <= convergence.error_us && convergence.exactly, "{convergence:?}");
    assert_eq!((bench.unconverged(), bench.table.in_flight(), bench.table.wake_at()), ((0, 0, 0), 0, None));
}

#[test]
fn a_write_is_followed_after_its_coordination_until_the_home_that_lacked_it_tells_that_it_came() {
    let mut bench = bench();
    let written = bench.now;
    let [b, c] = bench.written(1);
    bench.acknowledge("b", b);
    bench.refuse("c", c, Refusal::NotSent);
    let counted = bench.taken(|effect| match effect {
        CoordinatorEffect::Count(CoordinatorCount::WritesUnfollowed, count) => Some(count),
        _ => None,
    });
    assert_eq!((counted, bench.table.in_flight(), bench.table.tracked()), (vec![1], 0, (1, 1)));
    bench.until(written.plus_micros(250_000));
    assert_eq!((bench.unconverged().0, bench.unconverged().2), (1, 1));
    assert!(bench.unconverged().1.abs_diff(250_000) <= 10, "{:?}", bench.unconverged());
    let asked = bench.taken(|effect| match effect {
        CoordinatorEffect::Send {
            to, request: PeerRequest::Replica(_, ReplicaRequest::Probe), tag, ..
        } => Some((to, tag)),
        _ => None,
    });
    let [(to, tag)] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(*to, node("c"));
    // A read had repaired it.
    let CoordinateReply::Stamped { object, .. } = stamp(false) else { panic!() };
    let came = written.plus_micros(100_000);
    let states = vec![
        SeenState::of(&Object::new(), None, Path::Direct),
        SeenState::of(&object, Some(came), Path::ReadRepair),
    ];
    let digest = Digest { clock: 1, at: bench.now, complete_since: Moment(5), states };
    let answer = PeerAnswer::Replica(ReplicaReply::Probed(Box::new(digest)));
    bench.answered("c", *tag, AnswerBody::Peer(answer));
    let converged = bench.converged();
    let [ConvergedWrite { key, convergence, .. }] = &converged[..] else { panic!("{converged:?}") };
    assert_eq!((key, convergence.path), (&write(1, false).key, Path::ReadRepair));
    assert!(convergence.us.abs_diff(100_000) <= convergence.error_us, "{convergence:?}");
    assert_eq!((bench.unconverged().0, bench.table.tracked(), bench.table.wake_at()), (0, (0, 0), None));
}

#[test]
fn no_more_than_a_bound_are_followed_one_by_one_and_the_others_still_count() {
    let mut bench = bench();
    let writes = LIMITS.keys as u64 + 100;
    for key in 0..writes {
        let [b, c] = bench.written(key);
        bench.acknowledge("b", b);
        // Looking at all of them takes its time.
        let looks = key % 1_000 == 0 || key + 1 == writes;
        assert!(!looks || bench.unconverged().0 == key + 1, "in flight");
        bench.refuse("c", c, Refusal::NotSent);
        bench.effects.clear();
        assert!(!looks || bench.unconverged().0 == key + 1, "and after that");
        bench.now = bench.now.plus_micros(1);
    }
    assert_eq!((bench.table.tracked(), bench.table.in_flight()), (TRACKED, 0));
    assert!(
        bench.unconverged().1.abs_diff(writes) <= 10,
        "the oldest is as old as it is: {:?}",
        bench.unconverged()
    );
}

#[test]
fn many_writes_of_few_keys_are_all_known_to_have_converged_once_the_home_that_was_away_has_them() {
    let mut bench = bench();
    let (keys, rounds) = (8, LIMITS.single as u64);
    for _ in 0..rounds {
        for key in 0..keys {
            let [b, c] = bench.written(key);
            bench.acknowledge("b", b);
            bench.refuse("c", c, Refusal::NotSent);
            bench.effects.clear();
        }
    }
    assert_eq!((bench.unconverged().0, bench.table.tracked()), (rounds * keys, (8, LIMITS.single)));
    // The home is back, and has what was written last.
    let mut told = 0;
    for _ in 0..2 {
        bench.until(bench.now.plus_micros(20_000_000));
        let asked = bench.taken(|effect| match effect {
            CoordinatorEffect::Send {
                request: PeerRequest::Replica(_, ReplicaRequest::Probe), tag, ..
            } => Some(tag),
            _ => None,
        });
        for tag in asked {
            let context = CausalContext::from_parts([(ActorId(1), 1)], []);
            let object = Object::from_parts(context, Vec::new(), Vec::new());
            let states = vec![SeenState::of(&object, Some(bench.now), Path::ReadRepair)];
            let digest = Digest { clock: 1, at: bench.now, complete_since: Moment(5), states };
            let answer = PeerAnswer::Replica(ReplicaReply::Probed(Box::new(digest)));
            bench.answered("c", tag, AnswerBody::Peer(answer));
        }
        let all = bench.taken(|effect| match effect {
            CoordinatorEffect::Converged(_) => Some(1),
            CoordinatorEffect::Observed(Observation::Converged(converged)) => Some(converged.writes),
            _ => None,
        });
        told += all.into_iter().sum::<u64>();
    }
    assert_eq!((told, bench.unconverged().0, bench.table.tracked()), (rounds * keys, 0, (0, 0)));
    assert_eq!(bench.table.wake_at(), None);
}

#[test]
fn a_follow_up_that_makes_room_for_another_operation_still_counts() {
    let mut bench = bench();
    let writes = OPERATIONS_MAX as u64;
    for key in 0..writes {
        let [b, _] = bench.written(key);
        bench.acknowledge("b", b);
        bench.effects.clear();
    }
    assert_eq!((bench.table.in_flight(), bench.unconverged().0), (OPERATIONS_MAX, writes));
    bench.written(writes);
    assert_eq!((bench.table.in_flight(), bench.unconverged().0), (OPERATIONS_MAX, writes + 1));
    // All of them are answered or over, and more of them are given up than are followed one by one.
    bench.until(bench.now.plus_micros(TIMEOUT_US + FOLLOW_US));
    assert_eq!((bench.table.in_flight(), bench.table.tracked()), (0, TRACKED));
    assert_eq!(bench.unconverged().0, writes + 1);
}

#[test]
fn an_answered_write_tells_which_homes_had_not_acknowledged_it() {
    let mut bench = bench();
    let began = bench.now;
    let [_, c] = bench.written(1);
    bench.now = bench.now.plus_micros(700);
    bench.acknowledge("c", c);
    let observed = bench.writes_observed();
    let [write] = &observed[..] else { panic!("{observed:?}") };
    assert_eq!((write.outcome, write.counted, &write.lagging), (OperationOutcome::Ok, true, &nodes(&["b"])));
    assert_eq!(write.duration_us, Some(bench.now.micros_since(began)));
    bench.until(bench.now.plus_micros(TIMEOUT_US + FOLLOW_US));
    assert!(bench.writes_observed().is_empty(), "it is told once");
    let [_, _] = bench.written(2);
    bench.until(bench.now.plus_micros(TIMEOUT_US));
    let observed = bench.writes_observed();
    let [write] = &observed[..] else { panic!("{observed:?}") };
    let lagging: BTreeSet<&NodeId> = write.lagging.iter().collect();
    assert_eq!((write.outcome, lagging), (OperationOutcome::Deadline, nodes(&["b", "c"]).iter().collect()));
}

/// The write that this node, no home of its key, hands to a home, and by which tag that answers.
fn handed_on() -> (Bench, String, Tag) {
    let mut bench = bench_of(&["a", "b", "c", "d"]);
    let elsewhere = |key: &u64| {
        let partition = bench.ring.partition_of(&bucket(), &write(*key, false).key);
        let me = bench.ring.index_of(&bench.me).unwrap();
        !bench.ring.homes(partition, 3).contains(&me)
    };
    let key = (0..).find(elsewhere).unwrap();
    bench.begin(Ask::Write(write(key, false), WriteId(1)));
    let (home, tag) = sent_on(&mut bench);
    (bench, home, tag)
}

fn sent_on(bench: &mut Bench) -> (String, Tag) {
    let sent = bench.taken(|effect| match effect {
        CoordinatorEffect::Send { to, request: PeerRequest::Forward(..), tag, .. } => {
            Some((to.to_string(), tag))
        }
        _ => None,
    });
    let [(home, tag)] = &sent[..] else { panic!("{sent:?}") };
    (home.clone(), *tag)
}

fn forwarded(bench: &Bench) -> Ask {
    let version = SettingsVersion::DEFAULTS;
    assert_eq!(bench.buckets.version(&bucket()), &version);
    Ask::Forwarded { write: write(1, false), write_id: WriteId(1), version, from: node("d") }
}

#[test]
fn a_write_that_is_handed_on_is_counted_by_its_coordinator_and_timed_where_the_client_asked() {
    let mut coordinator = bench();
    let ask = forwarded(&coordinator);
    coordinator.begin(ask);
    let [b, _] = coordinator.stamped();
    coordinator.acknowledge("b", b);
    let reply = coordinator.taken(|effect| match effect {
        CoordinatorEffect::Observed(Observation::Write(write)) => {
            assert_eq!((write.counted, write.duration_us, write.lagging), (true, None, nodes(&["c"])));
            None
        }
        CoordinatorEffect::AnswerWrite { result, .. } => Some(result),
        _ => None,
    });
    let [reply] = &reply[..] else { panic!("{reply:?}") };

    let (mut bench, home, tag) = handed_on();
    bench.now = bench.now.plus_micros(900);
    bench.answered(&home, tag, AnswerBody::Peer(PeerAnswer::Forwarded(reply.clone())));
    let observed = bench.writes_observed();
    let [write] = &observed[..] else { panic!("{observed:?}") };
    assert_eq!((write.outcome, write.counted), (OperationOutcome::Ok, false));
    assert_eq!((write.duration_us, &write.lagging), (Some(900), &Vec::new()));
}

#[test]
fn a_write_that_every_home_refuses_is_counted_once_where_the_client_asked() {
    let mut coordinator = bench();
    let ask = forwarded(&coordinator);
    coordinator.begin(ask);
    let tag = coordinator.taken(|effect| match effect {
        CoordinatorEffect::Coordinate { tag, .. } => Some(tag),
        _ => None,
    });
    let refused = AnswerBody::Coordinated(Box::new(CoordinateReply::Refused(Refusal::DiskFull)));
    coordinator.answered("a", tag[0], refused);
    let mut reply = None;
    let observed = coordinator.taken(|effect| match effect {
        CoordinatorEffect::Observed(Observation::Write(write)) => Some(write),
        CoordinatorEffect::AnswerWrite { result, .. } => {
            reply = Some(result);
            None
        }
        _ => None,
    });
    assert!(observed.iter().all(|write| !write.counted), "another home may yet carry it out: {observed:?}");

    let (mut bench, mut home, mut tag) = handed_on();
    for refused in 1..=3 {
        bench.answered(&home, tag, AnswerBody::Peer(PeerAnswer::Forwarded(reply.clone().unwrap())));
        if refused < 3 {
            (home, tag) = sent_on(&mut bench);
        }
    }
    let observed = bench.writes_observed();
    let [write] = &observed[..] else { panic!("{observed:?}") };
    assert_eq!((write.outcome, write.counted), (OperationOutcome::QuorumFailed, true));
}

#[test]
fn a_write_whose_coordinator_never_answers_is_not_counted_again() {
    let (mut bench, home, tag) = handed_on();
    bench.answered(&home, tag, AnswerBody::Peer(PeerAnswer::Refused(Refusal::NoAnswer)));
    let observed = bench.writes_observed();
    let [write] = &observed[..] else { panic!("{observed:?}") };
    assert_eq!((write.outcome, write.counted), (OperationOutcome::QuorumFailed, false));
    assert_eq!(write.duration_us, Some(0), "but its client waited");
}

#[test]
fn what_is_refused_before_anything_is_done_is_counted_too() {
    let mut bench = bench();
    bench.begin(Ask::Write(Write { w: Some(4), ..write(1, false) }, WriteId(1)));
    let observed = bench.writes_observed();
    let [write] = &observed[..] else { panic!("{observed:?}") };
    assert_eq!((write.outcome, write.counted), (OperationOutcome::Refused, true));
    bench.begin(Ask::Read(Read { bucket: bucket(), key: Key::new("k"), r: Some(9), as_is: false }));
    let observed = bench.reads_observed();
    let [read] = &observed[..] else { panic!("{observed:?}") };
    assert_eq!((read.outcome, read.r, read.sampled), (OperationOutcome::Refused, 9, false));
    // The node that hands a write on tells of it.
    let mut ask = forwarded(&bench);
    if let Ask::Forwarded { write, .. } = &mut ask {
        write.w = Some(4);
    }
    bench.begin(ask);
    assert!(bench.writes_observed().is_empty());
}

#[test]
fn a_full_table_refuses_and_says_so() {
    let mut bench = bench();
    for key in 0..OPERATIONS_MAX as u64 {
        bench.begin(Ask::Write(write(key, false), WriteId(u128::from(key))));
        bench.effects.clear();
    }
    bench.begin(Ask::Write(write(0, false), WriteId(0)));
    bench.begin(Ask::Read(Read { bucket: bucket(), key: Key::new("k"), r: None, as_is: false }));
    let (mut outcomes, mut errors) = (Vec::new(), Vec::new());
    for effect in bench.effects.drain(..) {
        match effect {
            CoordinatorEffect::Observed(Observation::Write(write)) => outcomes.push(write.outcome),
            CoordinatorEffect::Observed(Observation::Read(read)) => outcomes.push(read.outcome),
            CoordinatorEffect::AnswerWrite { result, .. } => errors.extend(result.err()),
            CoordinatorEffect::AnswerRead { result, .. } => errors.extend(result.err()),
            CoordinatorEffect::Count(count, _) => assert_eq!(count, CoordinatorCount::OperationsRefused),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(outcomes, [OperationOutcome::Refused; 2]);
    assert_eq!(errors, [OperationError::Overloaded, OperationError::Overloaded]);
}

#[test]
fn a_read_tells_how_long_before_it_began_what_it_returned_was_written() {
    let mut bench = bench();
    let began = bench.now;
    bench.begin(Ask::Read(Read { bucket: bucket(), key: Key::new("k"), r: Some(1), as_is: false }));
    let tag = bench.taken(|effect| match effect {
        CoordinatorEffect::AskOwn { tag, .. } => Some(tag),
        _ => None,
    });
    bench.now = began.plus_micros(5_000);
    // The object was written at the beginning of the era, to within a few milliseconds of logical time.
    let held = object(1, 1..=1);
    let written = held.newest().unwrap().wall();
    bench.answered("a", tag[0], AnswerBody::Own(ReplicaReply::Fetched(Some(held))));
    let observed = bench.reads_observed();
    let [read] = &observed[..] else { panic!("{observed:?}") };
    assert_eq!((read.outcome, read.duration_us, read.siblings), (OperationOutcome::Ok, 5_000, 1));
    assert_eq!(read.value_age_us, Some(WALL_AHEAD_US + began.0 - written.0));
    bench.begin(Ask::Read(Read { bucket: bucket(), key: Key::new("k"), r: Some(1), as_is: false }));
    let tag = bench.taken(|effect| match effect {
        CoordinatorEffect::AskOwn { tag, .. } => Some(tag),
        _ => None,
    });
    bench.answered("a", tag[0], AnswerBody::Own(ReplicaReply::Fetched(None)));
    assert_eq!(bench.reads_observed()[0].value_age_us, None, "nothing has no age");
}

#[test]
fn a_check_that_no_quorum_answers_is_told_by_the_node_that_the_client_asked() {
    let error: Result<(), OperationError> =
        Err(OperationError::Deadline { answered: 0, needed: 2, total: 3, outcome: Outcome::NotApplied });
    assert!(OperationOutcome::not_taken_elsewhere(&error));
    let mut coordinator = bench();
    let mut ask = forwarded(&coordinator);
    if let Ask::Forwarded { write, .. } = &mut ask {
        write.only_if_absent = true;
    }
    coordinator.begin(ask);
    coordinator.until(coordinator.now.plus_micros(TIMEOUT_US));
    let observed = coordinator.writes_observed();
    let [write] = &observed[..] else { panic!("{observed:?}") };
    assert_eq!((write.outcome, write.counted), (OperationOutcome::Deadline, false));
}

/// Megabytes that this process has resident.
fn resident_mb() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * 4_096 / 1_000_000
}

#[test]
fn what_is_kept_of_writes_is_bounded_while_a_home_is_away() {
    // NEAP_OUTAGE_S=600 for ten minutes.
    let seconds = std::env::var("NEAP_OUTAGE_S").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let (mut bench, per_second) = (bench(), 20_000);
    let (before, mut most) = (resident_mb(), 0);
    for second in 0..seconds {
        for number in 0..per_second {
            let [b, c] = bench.written(second * per_second + number);
            bench.acknowledge("b", b);
            bench.refuse("c", c, Refusal::NotSent);
            bench.effects.clear();
            bench.now = bench.now.plus_micros(1_000_000 / per_second);
        }
        // The home that is away is asked for nothing that it could answer.
        bench.until(bench.now);
        bench.effects.clear();
        most = most.max(resident_mb());
    }
    let observed = bench.table.unconverged(bench.now);
    let writes: u64 = observed.ages.iter().map(|(_, count)| count).sum();
    assert_eq!((writes, bench.table.tracked(), bench.table.in_flight()), (seconds * per_second, TRACKED, 0));
    assert!(observed.ages.len() <= neap::protocol::sli::AGES_MAX, "{}", observed.ages.len());
    assert!(observed.ages[0].0 >= (seconds - 1) * 1_000_000, "the oldest is as old as it is");
    println!("{writes} writes in {seconds} s: {before} MB before, {most} MB at the most");
}

#[test]
fn the_value_of_a_write_is_not_kept_for_homes_that_hang() {
    let mut bench = bench();
    let bytes = Bytes::from(vec![7; 1 << 20]);
    let body = WriteBody::Put { content_type: None, bytes: bytes.clone() };
    bench.begin(Ask::Write(Write { body, ..write(1, false) }, WriteId(1)));
    assert!(!bytes.is_unique(), "it may have to be handed on");
    let [b, _] = bench.stamped();
    bench.acknowledge("b", b);
    assert_eq!(bench.table.in_flight(), 1, "the last home is followed");
    bench.effects.clear();
    assert!(bytes.is_unique());
}
