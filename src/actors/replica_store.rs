//! The replica store actor: this node's objects of one shard.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::prelude::*;
use bytes::Bytes;

use crate::actors::bucket_settings::SettingsTable;
use crate::actors::clock::{ShardClock, moment};
use crate::actors::completeness::Completeness;
use crate::actors::counters::NodeCounters;
use crate::actors::identity::Dots;
use crate::actors::messages::{Answer, AnswerBody, FetchSettings, ReplicaAsk, ReplicaCommand, ReplyTo};
use crate::actors::ring_membership::{Gate, RingTable};
use crate::actors::shell::hand_over;
use crate::protocol::causality::Object;
use crate::protocol::ids::{ActorId, BucketName, Key, NodeId, PartitionId};
use crate::protocol::message::{
    Coordinate, CoordinateReply, PeerAnswer, Refusal, ReplicaReply, ReplicaRequest, Target,
};
use crate::protocol::replica::{Decision, Written, carry_out, decide, merge};
use crate::storage::{Change, Store, StoreError, Table, keys, record};
use crate::storage::{DurableSink, GroupCommit, SinkId};

/// A shard's clock, shared by the actors of its thread.
pub type OwnClock = Rc<RefCell<ShardClock>>;

/// Begins a new start of the data directory, synced before it returns.
pub type RenewStart = Arc<dyn Fn() -> Result<(), StoreError> + Send + Sync>;

/// Where a shard's coordinator will be, once it exists.
pub type CoordinatorCell = Rc<OnceCell<Recipient<Answer>>>;

/// How many acknowledgements may wait for a sync on one shard.
const WAITING_MAX: usize = 65_536;
/// How many actors' counters are gathered before the gate is told; there are about as many as nodes.
const SEEN_MAX: usize = 4_096;
/// How many requests of a shard may wait for newer bucket settings.
const PARKED_MAX: usize = 1_024;

/// What a replica store is made of.
pub struct ReplicaParts {
    /// This node.
    pub me: NodeId,
    /// The ring in force.
    pub ring: Arc<RingTable>,
    /// All bucket settings.
    pub settings: Arc<SettingsTable>,
    /// Which partitions this node may answer reads of.
    pub completeness: Arc<Completeness>,
    /// The disk.
    pub store: Arc<dyn Store>,
    /// Who syncs it.
    pub commit: Arc<GroupCommit>,
    /// Begins a new start of the directory, synced, when a damaged record is overwritten.
    pub renew_start: RenewStart,
    /// The dots of this run.
    pub dots: Arc<Dots>,
    /// The clock of this shard.
    pub clock: OwnClock,
    /// The coordinator of this shard.
    pub coordinator: CoordinatorCell,
    /// Who remembers how far peers have come.
    pub gate: Arc<Gate>,
    /// Who fetches bucket settings.
    pub fetch_settings: Recipient<FetchSettings>,
    /// How long superseded write ids are kept, in microseconds: twice `limits.timeout`.
    pub keep_write_ids_us: u64,
    /// What is counted.
    pub counters: Arc<NodeCounters>,
}

/// Keeps the objects of one shard. Reading one, changing it and writing it back is one step.
pub struct ReplicaStore {
    parts: ReplicaParts,
    sink: Option<SinkId>,
    waiting: HashMap<u64, (ReplyTo, ReplicaReply)>,
    next_ticket: u64,
    parked: Vec<ReplicaAsk>,
    /// The highest counters in versions that came in since the gate was last told.
    seen: HashMap<ActorId, u64>,
}

/// What is stored under a key.
enum Held {
    Object(Object),
    Nothing,
    Damaged,
}

impl ReplicaStore {
    /// A store with nothing under way.
    #[must_use]
    pub fn new(parts: ReplicaParts) -> Self {
        Self {
            parts,
            sink: None,
            waiting: HashMap::new(),
            next_ticket: 0,
            parked: Vec::new(),
            seen: HashMap::new(),
        }
    }

    fn coordinate(&mut self, coordinate: Coordinate, tag: u64) {
        let reply = match self.stamp(coordinate) {
            Ok(Ok(stamped)) => stamped,
            Ok(Err(reply)) => reply,
            Err(refusal) => CoordinateReply::Refused(refusal),
        };
        let stamped = matches!(reply, CoordinateReply::Stamped { .. });
        let siblings = match &reply {
            CoordinateReply::Stamped { object, .. } => live_versions(object),
            _ => 0,
        };
        self.tell_coordinator(tag, AnswerBody::Coordinated(Box::new(reply)));
        if stamped {
            self.when_durable(ReplyTo::Coordinator { tag }, ReplicaReply::Applied { siblings });
        }
    }

    /// The atomic step: read the own object, take the next counter, stamp the clock, write it back.
    fn stamp(&mut self, coordinate: Coordinate) -> Result<Result<CoordinateReply, CoordinateReply>, Refusal> {
        let place = self.place(&coordinate.write.bucket, &coordinate.write.key)?;
        if !self.parts.completeness.serves(place.partition) {
            return Err(Refusal::Incomplete);
        }
        if !self.parts.gate.is_confirmed() {
            return Err(Refusal::Unconfirmed);
        }
        self.room_to_wait()?;
        let held = match self.read(&place.key)? {
            Held::Object(object) => object,
            Held::Nothing => Object::new(),
            Held::Damaged => return Err(Refusal::Damaged),
        };
        let mut clock = self.parts.clock.borrow_mut();
        match decide(&held, &coordinate, clock.read().wall()) {
            Decision::Exists => return Ok(Err(CoordinateReply::Exists)),
            Decision::Again(answered) => {
                return Ok(Ok(CoordinateReply::Stamped {
                    object: held,
                    answered,
                    created: false,
                    again: true,
                }));
            }
            Decision::Write => {}
        }
        let hlc = clock.issue().map_err(|error| refusal_of(&error))?;
        drop(clock);
        let horizon = hlc.minus_micros(self.parts.keep_write_ids_us);
        let Written { object, answered, created } =
            carry_out(held, coordinate, self.parts.dots.next(), hlc, horizon);
        self.write(&place.key, &object)?;
        Ok(Ok(CoordinateReply::Stamped { object, answered, created, again: false }))
    }

    fn ask(&mut self, ask: ReplicaAsk) {
        if moment() >= ask.deadline {
            self.parts.counters.expired_on_arrival.add();
            return self.answer(ask.reply, ReplicaReply::Refused(Refusal::Deadline));
        }
        if let Some((from, _)) = &ask.asker
            && ask.target.settings > self.parts.settings.version(&ask.target.bucket)
        {
            let from = from.clone();
            return self.park(ask, from);
        }
        let ReplicaAsk { target, request, reply, .. } = ask;
        match self.serve(&target, request) {
            Ok((answer, true)) => self.when_durable(reply, answer),
            Ok((answer, false)) => self.answer(reply, answer),
            Err(refusal) => {
                if refusal == Refusal::WrongRing {
                    self.parts.counters.wrong_ring.add();
                }
                self.answer(reply, ReplicaReply::Refused(refusal));
            }
        }
    }

    /// Does what is asked; whether the answer must wait until it is durable.
    fn serve(&mut self, target: &Target, request: ReplicaRequest) -> Result<(ReplicaReply, bool), Refusal> {
        let place = self.place(&target.bucket, &target.key)?;
        match request {
            ReplicaRequest::Fetch => {
                if !self.parts.completeness.serves(place.partition) {
                    return Err(Refusal::Incomplete);
                }
                match self.read(&place.key)? {
                    Held::Object(object) => Ok((ReplicaReply::Fetched(Some(object)), false)),
                    Held::Nothing => Ok((ReplicaReply::Fetched(None), false)),
                    Held::Damaged => Err(Refusal::Damaged),
                }
            }
            ReplicaRequest::Apply(incoming) => {
                self.room_to_wait()?;
                Ok((ReplicaReply::Applied { siblings: self.apply(&place.key, &incoming)? }, true))
            }
        }
    }

    fn apply(&mut self, key: &Bytes, incoming: &Object) -> Result<u16, Refusal> {
        self.note_dots(incoming);
        let now = self.parts.clock.borrow().read();
        let horizon = now.minus_micros(self.parts.keep_write_ids_us);
        let held = match self.read(key)? {
            Held::Object(object) => object,
            Held::Nothing => Object::new(),
            Held::Damaged => {
                // What this node wrote under the key is forgotten: nobody may say "all of its dots" of the
                // key any more, so it goes on under a new start.
                (self.parts.renew_start)().map_err(|error| refusal_of(&error))?;
                self.write(key, incoming)?;
                self.parts.counters.damaged_healed.add();
                return Ok(live_versions(incoming));
            }
        };
        match merge(&held, incoming, now, horizon) {
            Some(merged) => {
                self.write(key, &merged)?;
                Ok(live_versions(&merged))
            }
            None => Ok(live_versions(&held)),
        }
    }

    fn note_dots(&mut self, incoming: &Object) {
        for dot in incoming.versions().iter().map(|version| version.dot) {
            let full = self.seen.len() >= SEEN_MAX && !self.seen.contains_key(&dot.actor);
            if !full {
                let counter = self.seen.entry(dot.actor).or_default();
                *counter = dot.counter.max(*counter);
            }
        }
    }

    fn place(&self, bucket: &BucketName, key: &Key) -> Result<Place, Refusal> {
        let ring = self.parts.ring.current();
        let partition = ring.partition_of(bucket, key);
        let n = self.parts.settings.get(bucket).0.quorum.n;
        let me = ring.index_of(&self.parts.me);
        if !me.is_some_and(|me| ring.homes(partition, n).contains(&me)) {
            return Err(Refusal::WrongRing);
        }
        Ok(Place { partition, key: keys::object_key(partition, bucket, key) })
    }

    fn read(&self, key: &Bytes) -> Result<Held, Refusal> {
        let bytes = match self.parts.store.get(Table::Objects, key) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(Held::Nothing),
            Err(StoreError::Damaged(damage)) => return Ok(self.damaged(key, &damage)),
            Err(error) => return Err(refusal_of(&error)),
        };
        match record::decode(key, bytes) {
            Ok(object) => Ok(Held::Object(object)),
            Err(damage) => Ok(self.damaged(key, &damage)),
        }
    }

    fn damaged(&self, key: &Bytes, damage: &dyn std::fmt::Display) -> Held {
        self.parts.counters.damaged_records.add();
        tracing::error!(key = %key.escape_ascii(), "a stored record is damaged: {damage}");
        Held::Damaged
    }

    fn write(&self, key: &Bytes, object: &Object) -> Result<(), Refusal> {
        let value = record::encode(key, object);
        let change = Change::Put { table: Table::Objects, key: key.clone(), value };
        self.parts.store.apply(vec![change]).map_err(|error| {
            if matches!(error, StoreError::Full { .. }) {
                self.parts.counters.disk_full_refused.add();
            } else {
                tracing::error!("a write to the store failed: {error}");
            }
            refusal_of(&error)
        })
    }

    fn room_to_wait(&self) -> Result<(), Refusal> {
        if self.waiting.len() < WAITING_MAX { Ok(()) } else { Err(Refusal::Overloaded) }
    }

    fn when_durable(&mut self, reply: ReplyTo, answer: ReplicaReply) {
        match self.sink {
            Some(sink) if self.parts.commit.waits_for_sync() => {
                self.next_ticket += 1;
                self.waiting.insert(self.next_ticket, (reply, answer));
                self.parts.commit.when_durable(sink, self.next_ticket);
            }
            _ => {
                self.parts.commit.applied();
                self.answer(reply, answer);
            }
        }
    }

    /// Keeps a request until the newer settings that its sender goes by have been fetched.
    fn park(&mut self, ask: ReplicaAsk, from: NodeId) {
        let fetch = FetchSettings { bucket: ask.target.bucket.clone(), from };
        let full = self.parked.len() >= PARKED_MAX;
        if full || hand_over(&self.parts.fetch_settings, fetch, &self.parts.counters.mailbox_refused).is_err()
        {
            self.parts.counters.settings_waits_refused.add();
            return self.answer(ask.reply, ReplicaReply::Refused(Refusal::SettingsBehind));
        }
        self.parked.push(ask);
    }

    /// Serves what waited for settings that have come, and refuses what waited too long.
    fn unpark(&mut self) {
        for ask in std::mem::take(&mut self.parked) {
            if self.parts.settings.version(&ask.target.bucket) >= ask.target.settings {
                self.ask(ask);
            } else if moment() >= ask.deadline {
                self.answer(ask.reply, ReplicaReply::Refused(Refusal::SettingsBehind));
            } else {
                self.parked.push(ask);
            }
        }
    }

    fn answer(&self, reply: ReplyTo, answer: ReplicaReply) {
        match reply {
            ReplyTo::Coordinator { tag } => self.tell_coordinator(tag, AnswerBody::Own(answer)),
            ReplyTo::Peer(responder) => {
                responder.respond(PeerAnswer::Replica(answer), self.parts.clock.borrow().read());
            }
            // Whoever no longer waits is not told.
            ReplyTo::Backfill(reply) => drop(reply.send(answer)),
        }
    }

    fn tell_coordinator(&self, tag: u64, answer: AnswerBody) {
        if let Some(coordinator) = self.parts.coordinator.get() {
            let answer = Answer { from: self.parts.me.clone(), tag, answer, clock: None };
            // Counted; the operation then ends at its deadline.
            let _ = hand_over(coordinator, answer, &self.parts.counters.mailbox_refused);
        }
    }
}

struct Place {
    partition: PartitionId,
    key: Bytes,
}

fn live_versions(object: &Object) -> u16 {
    u16::try_from(object.siblings().len()).unwrap_or(u16::MAX)
}

fn refusal_of(error: &StoreError) -> Refusal {
    match error {
        StoreError::Full { .. } => Refusal::DiskFull,
        StoreError::Damaged(_) => Refusal::Damaged,
        StoreError::Failed(_) => Refusal::Storage,
    }
}

/// Carries word of a sync from the commit thread to the shard.
struct ShardSink {
    to: Recipient<ReplicaCommand>,
    /// Tickets that the mailbox had no room for, to go with the next sync's.
    kept: Mutex<Vec<u64>>,
    counters: Arc<NodeCounters>,
}

impl DurableSink for ShardSink {
    fn durable(&self, tickets: &mut Vec<u64>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.append(tickets);
        let all = std::mem::take(&mut *kept);
        if let Err(ReplicaCommand::Durable(all)) =
            hand_over(&self.to, ReplicaCommand::Durable(all), &self.counters.mailbox_refused)
        {
            *kept = all;
        }
    }
}

impl Actor for ReplicaStore {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let to = ctx.address().recipient();
        let sink = ShardSink { to, kept: Mutex::new(Vec::new()), counters: self.parts.counters.clone() };
        self.sink = Some(self.parts.commit.register(Arc::new(sink)));
        ctx.run_interval(Duration::from_millis(20), |store, _| store.unpark());
        ctx.run_interval(Duration::from_secs(1), |store, _| store.parts.gate.saw_dots(store.seen.drain()));
    }
}

impl Handler<ReplicaCommand> for ReplicaStore {
    type Result = ();

    fn handle(&mut self, command: ReplicaCommand, _: &mut Self::Context) {
        match command {
            ReplicaCommand::Coordinate { coordinate, tag } => self.coordinate(*coordinate, tag),
            ReplicaCommand::Ask(ask) => {
                let clock = ask.asker.as_ref().map(|(_, clock)| *clock);
                let skewed = clock.is_some_and(|clock| self.parts.clock.borrow_mut().observe(clock).is_err());
                if skewed {
                    self.parts.counters.clock_skew_refused.add();
                    return self.answer(ask.reply, ReplicaReply::Refused(Refusal::ClockSkew));
                }
                self.ask(*ask);
            }
            ReplicaCommand::Durable(tickets) => {
                for ticket in tickets {
                    if let Some((reply, answer)) = self.waiting.remove(&ticket) {
                        self.answer(reply, answer);
                    }
                }
            }
            ReplicaCommand::SettingsChanged => self.unpark(),
        }
    }
}
