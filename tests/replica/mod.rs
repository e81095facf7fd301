//! The replica's machine, driven by hand: when it says that it came to have what it acknowledges, and by which way; what
//! it does not write, send or answer for; and what a home pulls from it.

mod bounds;
mod left_out;
mod refill;
mod scan;

use bytes::Bytes;
use neap::protocol::admission::BucketWeight;
use neap::protocol::bounds::MessageBounds;
use neap::protocol::bucket::{BlindWrite, BucketSettings, ReadRepair, Resolution, SettingsVersion};
use neap::protocol::causality::{Body, CausalContext, Intent, Mode, Object, Value};
use neap::protocol::ids::{ActorId, BucketName, Dot, Key, NodeId, PartitionId, WriteId};
use neap::protocol::message::{
    Coordinate, CoordinateReply, Gathered, Refusal, ReplicaReply, ReplicaRequest, Target, Via,
};
use neap::protocol::operation::{Write, WriteBody};
use neap::protocol::quorum::Quorum;
use neap::protocol::replica::{Held, LackingObject, Replica, ReplicaAsk, ReplicaEffect, ReplicaHost};
use neap::protocol::ring::{Member, Ring, Weight};
use neap::protocol::settings::BucketTable;
use neap::protocol::sli::Path;
use neap::protocol::staleness::{AppliedAt, Digest};
use neap::protocol::time::{ClockTooFarAhead, Hlc, Moment, WallMicros};
use neap::protocol::view::View;

const CLOCK: u64 = 77;

/// A disk that holds one key, and syncs when it is told to.
#[derive(Default)]
struct Host {
    held: Option<Object>,
    damaged: bool,
    /// What must have been seen for it to lack nothing.
    lacks: Option<CausalContext>,
    /// Whether what is written is durable at once.
    interval: bool,
    tickets: Vec<u64>,
    counter: u64,
}

impl ReplicaHost for Host {
    type Slot = ();

    fn slot(&self, _: PartitionId, _: &BucketName, _: &Key) {}

    fn read(&mut self, (): &()) -> Result<Held, Refusal> {
        Ok(match &self.held {
            _ if self.damaged => Held::Damaged,
            Some(object) if self.lacks.is_some() => Held::of(object.clone(), self.lacks.clone()),
            Some(object) => Held::Object(object.clone()),
            None => Held::Nothing,
        })
    }

    fn write(&mut self, (): &(), object: &Object) -> Result<(), Refusal> {
        (self.damaged, self.lacks) = (false, None);
        self.held = Some(object.clone());
        Ok(())
    }

    fn write_lacking(&mut self, (): &(), lacking: &LackingObject) -> Result<(), Refusal> {
        (self.damaged, self.lacks) = (false, Some(lacking.lacks.clone()));
        self.held = Some(lacking.object.clone());
        Ok(())
    }

    fn when_durable(&mut self, ticket: u64) -> bool {
        if !self.interval {
            self.tickets.push(ticket);
        }
        !self.interval
    }

    fn issue(&mut self) -> Result<Hlc, Refusal> {
        Ok(self.shown())
    }

    fn shown(&self) -> Hlc {
        Hlc::from_wall(WallMicros(1_700_000_000_000_000))
    }

    fn observe(&mut self, _: Hlc) -> Result<(), ClockTooFarAhead> {
        Ok(())
    }

    fn actor(&self) -> ActorId {
        ActorId(1)
    }

    fn next_dot(&mut self) -> Dot {
        self.counter += 1;
        Dot { actor: ActorId(1), counter: self.counter }
    }

    fn renew_actor(&mut self) -> Result<(), Refusal> {
        Ok(())
    }

    fn serves(&self, _: PartitionId) -> bool {
        true
    }

    fn confirmed(&self) -> bool {
        true
    }
}

/// One home, and its disk.
struct Bench {
    me: NodeId,
    ring: Ring,
    buckets: BucketTable,
    replica: Replica<&'static str>,
    host: Host,
    effects: Vec<ReplicaEffect<&'static str>>,
}

fn bench() -> Bench {
    bench_with(MessageBounds::default(), |_| {})
}

/// The same, of messages that take so much, and of buckets that are changed so.
fn bench_with(messages: MessageBounds, change: impl Fn(&mut BucketSettings)) -> Bench {
    let me = NodeId::new("a").unwrap();
    let member = Member { id: me.clone(), zone: String::new(), weight: Weight::ONE, address: String::new() };
    let mut settings = BucketSettings {
        quorum: Quorum { n: 1, r: 1, w: 1 },
        w_min: 1,
        resolution: Resolution::Siblings,
        blind_write: BlindWrite::Overwrite,
        siblings_max: 100,
        weight: BucketWeight::ONE,
        sloppy: false,
        read_repair: ReadRepair::Blocking,
        ttl_us: None,
    };
    change(&mut settings);
    let (ring, buckets) = (Ring::founders(8, vec![member]).unwrap(), BucketTable::new(settings, []));
    let (replica, host) = (Replica::new(60_000_000, CLOCK, messages), Host::default());
    Bench { me, ring, buckets, replica, host, effects: Vec::new() }
}

fn dot(counter: u64) -> Dot {
    Dot { actor: ActorId(9), counter }
}

/// What another home holds after as many writes, each of which replaces the last.
fn object(counters: u64) -> Object {
    let mut object = Object::new();
    for counter in 1..=counters {
        object.put(Intent {
            dot: dot(counter),
            hlc: Hlc(counter * 1_000),
            w: 1,
            write_id: WriteId(u128::from(counter)),
            named: false,
            created: counter == 1,
            mode: Mode::Blind(BlindWrite::Overwrite),
            body: Body::Value(Value {
                content_type: None,
                bytes: Bytes::from_static(b"v"),
                expires_at: None,
            }),
        });
    }
    object
}

impl Bench {
    fn ask(&mut self, now: u64, to: &'static str, request: ReplicaRequest) {
        let view = View { me: &self.me, ring: &self.ring, buckets: &self.buckets };
        let (bucket, key) = (BucketName::new("b").unwrap(), Key::new("k"));
        let target = Target { bucket, key, settings: SettingsVersion::DEFAULTS };
        let ask = ReplicaAsk { target, request, deadline: Moment(u64::MAX), asker: None, trace: None, to };
        self.replica.ask(Moment(now), view, &mut self.host, ask, &mut self.effects);
    }

    fn coordinate(&mut self, now: u64, write_id: u128, to: &'static str) -> CoordinateReply {
        let view = View { me: &self.me, ring: &self.ring, buckets: &self.buckets };
        let write_id = WriteId(write_id);
        let write = Write {
            bucket: BucketName::new("b").unwrap(),
            key: Key::new("k"),
            body: WriteBody::Put { content_type: None, bytes: Bytes::from_static(b"v") },
            context: None,
            write_id: Some(write_id),
            w: None,
            ttl_us: None,
            only_if_absent: false,
        };
        let coordinate =
            Coordinate { write, w: 1, blind: BlindWrite::Overwrite, write_id, expires_at: None, trace: None };
        self.replica.coordinate(Moment(now), view, &mut self.host, coordinate, (1, to), &mut self.effects);
        let coordinated = |effect: &ReplicaEffect<_>| matches!(effect, ReplicaEffect::Coordinated { .. });
        match self.effects.remove(self.effects.iter().position(coordinated).unwrap()) {
            ReplicaEffect::Coordinated { reply, .. } => *reply,
            other => panic!("{other:?}"),
        }
    }

    fn sync(&mut self, now: u64) {
        for ticket in std::mem::take(&mut self.host.tickets) {
            self.replica.durable(Moment(now), ticket, &mut self.effects);
        }
    }

    /// The acknowledgements that were given since the last look.
    fn acknowledged(&mut self) -> Vec<(&'static str, AppliedAt)> {
        let answers = self.effects.drain(..).filter_map(|effect| match effect {
            ReplicaEffect::Answer { to, reply: ReplicaReply::Applied { when, .. } } => Some((to, when)),
            ReplicaEffect::Merged { .. } | ReplicaEffect::Count(_) | ReplicaEffect::Damaged { .. } => None,
            other => panic!("{other:?}"),
        });
        answers.collect()
    }

    fn digest(&mut self, now: u64) -> Digest {
        self.ask(now, "probe", ReplicaRequest::Probe);
        match self.effects.pop() {
            Some(ReplicaEffect::Answer { reply: ReplicaReply::Probed(digest), .. }) => *digest,
            other => panic!("{other:?}"),
        }
    }
}

fn written(counter: u64) -> ReplicaRequest {
    ReplicaRequest::Apply(object(counter), Via::Write(dot(counter)))
}

fn when(arrived: u64, applied: u64, answered: u64, path: Path) -> AppliedAt {
    let (arrived, applied, answered) = (Moment(arrived), Moment(applied), Moment(answered));
    AppliedAt { clock: CLOCK, arrived, applied, exactly: true, answered, path }
}

#[test]
fn an_acknowledgement_says_when_the_write_was_applied_and_leaves_after_the_sync() {
    let mut bench = bench();
    bench.ask(100, "x", written(1));
    assert_eq!(bench.acknowledged(), []);
    bench.sync(5_000);
    assert_eq!(bench.acknowledged(), [("x", when(100, 100, 5_000, Path::Direct))]);
    bench.host.interval = true;
    bench.ask(6_000, "y", written(2));
    assert_eq!(bench.acknowledged(), [("y", when(6_000, 6_000, 6_000, Path::Direct))]);
}

#[test]
fn a_request_that_comes_again_is_answered_with_when_it_came_first() {
    let mut bench = bench();
    bench.ask(100, "x", written(1));
    bench.sync(5_000);
    bench.ask(7_000, "again", written(1));
    bench.sync(9_000);
    let direct = Path::Direct;
    assert_eq!(bench.acknowledged()[1..], [("again", when(7_000, 100, 9_000, direct))]);
}

#[test]
fn what_a_repair_or_a_later_write_had_brought_the_home_has_had_since_then_and_by_that_way() {
    for (first, path) in [
        (ReplicaRequest::Apply(object(1), Via::ReadRepair), Path::ReadRepair),
        (ReplicaRequest::Apply(object(1), Via::Transfer), Path::Transfer),
        (written(2), Path::Direct),
    ] {
        let mut bench = bench();
        bench.ask(100, "first", first);
        bench.sync(200);
        bench.ask(700, "write", written(1));
        bench.sync(900);
        assert_eq!(bench.acknowledged()[1..], [("write", when(700, 100, 900, path))]);
    }
}

#[test]
fn a_write_comes_when_it_comes_though_others_had_come_before_with_a_repair() {
    let mut bench = bench();
    bench.ask(100, "repair", ReplicaRequest::Apply(object(1), Via::ReadRepair));
    bench.ask(700, "write", written(2));
    bench.sync(900);
    assert_eq!(bench.acknowledged()[1..], [("write", when(700, 700, 900, Path::Direct))]);
    let states = bench.digest(1_000).states;
    let states: Vec<_> = states.iter().map(|state| (state.applied_at.map(|at| at.0), state.path)).collect();
    assert_eq!(states, [(None, Path::Direct), (Some(100), Path::ReadRepair), (Some(700), Path::Direct)]);
}

#[test]
fn what_was_there_before_this_run_it_has_had_since_its_history_begins_at_the_latest() {
    let mut bench = bench();
    bench.host.held = Some(object(3));
    assert_eq!(bench.digest(50).complete_since, Moment(50));
    bench.ask(700, "write", written(2));
    bench.sync(900);
    let expected = AppliedAt { exactly: false, ..when(700, 50, 900, Path::Direct) };
    assert_eq!(bench.acknowledged(), [("write", expected)]);
}

#[test]
fn what_takes_the_place_of_a_damaged_record_is_there_since_then() {
    let mut bench = bench();
    bench.ask(100, "x", written(1));
    bench.host.damaged = true;
    let view = View { me: &bench.me, ring: &bench.ring, buckets: &bench.buckets };
    let (bucket, key) = (BucketName::new("b").unwrap(), Key::new("k"));
    let gathered = Gathered { object: object(1), everything: false };
    bench.replica.heal(
        Moment(500),
        view,
        &mut bench.host,
        (&bucket, &key, &gathered),
        "heal",
        &mut bench.effects,
    );
    bench.sync(600);
    bench.ask(700, "again", written(1));
    bench.sync(900);
    let answers = bench.acknowledged();
    assert_eq!(
        answers[1..],
        [("heal", when(500, 500, 600, Path::Transfer)), ("again", when(700, 500, 900, Path::Transfer)),]
    );
}

#[test]
fn a_write_that_was_carried_out_before_is_there_since_it_was() {
    let mut bench = bench();
    let first = bench.coordinate(100, 5, "first");
    assert!(matches!(first, CoordinateReply::Stamped { again: false, .. }), "{first:?}");
    bench.sync(300);
    assert_eq!(bench.acknowledged(), [("first", when(100, 100, 300, Path::Direct))]);
    let again = bench.coordinate(800, 5, "again");
    assert!(matches!(again, CoordinateReply::Stamped { again: true, .. }), "{again:?}");
    bench.sync(900);
    assert_eq!(bench.acknowledged(), [("again", when(800, 100, 900, Path::Direct))]);
}
