//! The replica store actor: drives one shard's [`Replica`] on the node's disk.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix::prelude::*;
use bytes::Bytes;

use crate::actors::bucket_settings::SettingsTable;
use crate::actors::clock::{ShardClock, moment};
use crate::actors::completeness::CompletenessTable;
use crate::actors::counters::NodeCounters;
use crate::actors::identity::Dots;
use crate::actors::large_objects;
use crate::actors::messages::{Answer, Backfilled, Damaged, FetchSettings, ReplicaCommand, ReplyTo};
use crate::actors::ring_membership::{RingTable, SharedGate};
use crate::actors::shell::{end_the_process_if_a_sync_failed, hand_over};
use crate::actors::sli_recorder::ObservationBuffer;
use crate::protocol::bounds::MessageBounds;
use crate::protocol::causality::Object;
use crate::protocol::coordinator::AnswerBody;
use crate::protocol::ids::{ActorId, BucketName, Dot, Key, NodeId, PartitionId};
use crate::protocol::message::{PeerAnswer, Refusal, ReplicaReply};
use crate::protocol::replica::{Held, LackingObject, Replica, ReplicaCount, ReplicaEffect, ReplicaHost};
use crate::protocol::sli::{MergeObserved, Observation};
use crate::protocol::time::{ClockTooFarAhead, Hlc};
use crate::protocol::view::View;
use crate::storage::{DurableSink, GroupCommit, RecentRecords, SinkId, Store, StoreError, keys};

/// A shard's clock, shared by the actors of its thread.
pub type OwnClock = Rc<RefCell<ShardClock>>;

/// Where a shard's coordinator will be, once it exists.
pub type CoordinatorCell = Rc<OnceCell<Recipient<Answer>>>;

/// What a replica store is made of.
pub struct ReplicaParts {
    /// This node.
    pub me: NodeId,
    /// The ring in force.
    pub ring: Arc<RingTable>,
    /// All bucket settings.
    pub settings: Arc<SettingsTable>,
    /// Which partitions this node may answer reads of.
    pub completeness: Arc<CompletenessTable>,
    /// The disk.
    pub store: Arc<dyn Store>,
    /// Bytes of records that are kept in memory.
    pub recent_bytes: u64,
    /// Who syncs it.
    pub commit: Arc<GroupCommit>,
    /// The dots of this run.
    pub dots: Arc<Dots>,
    /// The clock of this shard.
    pub clock: OwnClock,
    /// The coordinator of this shard.
    pub coordinator: CoordinatorCell,
    /// Who pulls what this node may lack.
    pub backfill: Recipient<Backfilled>,
    /// Who has damaged records healed.
    pub damaged_key: Rc<OnceCell<Recipient<Damaged>>>,
    /// Who pulls again what was merged into one.
    pub damaged_pull: Recipient<Damaged>,
    /// Who remembers how far peers have come.
    pub gate: Arc<SharedGate>,
    /// Who fetches bucket settings.
    pub fetch_settings: Recipient<FetchSettings>,
    /// How long superseded write ids are kept, in microseconds: twice `limits.timeout`.
    pub keep_write_ids_us: u64,
    /// Who is told what is observed.
    pub observations: Rc<RefCell<ObservationBuffer>>,
    /// What is counted.
    pub counters: Arc<NodeCounters>,
}

type Core = Replica<ReplyTo>;
type Effects = Vec<ReplicaEffect<ReplyTo>>;

/// Keeps the objects of one shard.
pub struct ReplicaStore {
    parts: ReplicaParts,
    core: Core,
    /// Nobody else writes the objects of this shard's keys.
    recent: RecentRecords,
    sink: Option<SinkId>,
    effects: Effects,
}

/// The node, as the core needs it.
struct Host<'a> {
    parts: &'a ReplicaParts,
    recent: &'a mut RecentRecords,
    sink: Option<SinkId>,
}

impl Host<'_> {
    fn not_written(&self, error: &StoreError) -> Refusal {
        end_the_process_if_a_sync_failed(error);
        match error {
            StoreError::Full { .. } => self.parts.counters.disk_full_refused.add(),
            StoreError::Behind => self.parts.counters.disk_behind_refused.add(),
            _ => tracing::error!("a write to the store failed: {error}"),
        }
        error.refusal()
    }
}

impl ReplicaHost for Host<'_> {
    type Slot = Bytes;

    fn slot(&self, partition: PartitionId, bucket: &BucketName, key: &Key) -> Bytes {
        keys::object_key(partition, bucket, key)
    }

    fn read(&mut self, slot: &Bytes) -> Result<Held, Refusal> {
        let from_disk = &self.parts.counters.records_from_disk;
        match self.recent.read(&*self.parts.store, slot, || from_disk.add()) {
            Ok(Ok(held)) => Ok(held),
            Ok(Err(damage)) => {
                self.parts.counters.damaged_records.add();
                tracing::error!(key = %slot.escape_ascii(), "a stored record is damaged: {damage}");
                Ok(Held::Damaged)
            }
            Err(error) => Err(error.refusal()),
        }
    }

    fn write(&mut self, slot: &Bytes, object: &Object) -> Result<(), Refusal> {
        let written = self.recent.write(&*self.parts.store, slot, object);
        written.map_err(|error| self.not_written(&error))
    }

    fn write_lacking(&mut self, slot: &Bytes, object: &LackingObject) -> Result<(), Refusal> {
        let written = self.recent.write_lacking(&*self.parts.store, slot, object);
        written.map_err(|error| self.not_written(&error))
    }

    fn when_durable(&mut self, ticket: u64) -> bool {
        match self.sink {
            Some(sink) if self.parts.commit.waits_for_sync() => {
                self.parts.commit.when_durable(sink, ticket);
                true
            }
            _ => {
                self.parts.commit.applied();
                false
            }
        }
    }

    fn issue(&mut self) -> Result<Hlc, Refusal> {
        self.parts.clock.borrow_mut().issue().map_err(|error| error.refusal())
    }

    fn shown(&self) -> Hlc {
        self.parts.clock.borrow().read()
    }

    fn observe(&mut self, frame: Hlc) -> Result<(), ClockTooFarAhead> {
        self.parts.clock.borrow_mut().observe(frame)
    }

    fn actor(&self) -> ActorId {
        self.parts.dots.actor()
    }

    fn next_dot(&mut self) -> Dot {
        self.parts.dots.next()
    }

    fn renew_actor(&mut self) -> Result<(), Refusal> {
        self.parts.dots.renew().map_err(|error| error.refusal())
    }

    fn serves(&self, partition: PartitionId) -> bool {
        self.parts.completeness.current().serves(partition)
    }

    fn confirmed(&self) -> bool {
        self.parts.gate.is_confirmed()
    }
}

impl ReplicaStore {
    /// A store with nothing under way.
    #[must_use]
    pub fn new(parts: ReplicaParts) -> Self {
        let core = Replica::new(parts.keep_write_ids_us, parts.dots.first().0, MessageBounds::default());
        let recent = RecentRecords::new(parts.recent_bytes);
        Self { parts, core, recent, sink: None, effects: Vec::new() }
    }

    /// Lets the core take a step, and carries out what comes of it.
    fn step(&mut self, step: impl FnOnce(&mut Core, View<'_>, &mut Host<'_>, &mut Effects)) {
        let mut effects = std::mem::take(&mut self.effects);
        {
            let (ring, buckets) = (self.parts.ring.current(), self.parts.settings.current());
            let view = View { me: &self.parts.me, ring: &ring, buckets: &buckets };
            let mut host = Host { parts: &self.parts, recent: &mut self.recent, sink: self.sink };
            step(&mut self.core, view, &mut host, &mut effects);
        }
        for effect in effects.drain(..) {
            self.carry_out(effect);
        }
        self.effects = effects;
    }

    fn carry_out(&self, effect: ReplicaEffect<ReplyTo>) {
        let refused = &self.parts.counters.mailbox_refused;
        match effect {
            ReplicaEffect::Coordinated { tag, reply } => {
                self.tell_coordinator(tag, AnswerBody::Coordinated(reply));
            }
            ReplicaEffect::Answer { to: ReplyTo::Coordinator { tag }, reply } => {
                self.tell_coordinator(tag, AnswerBody::Own(reply));
            }
            ReplicaEffect::Answer { to: ReplyTo::Peer(responder), reply } => {
                responder.respond(PeerAnswer::Replica(reply), self.parts.clock.borrow().read());
            }
            ReplicaEffect::Answer { to: ReplyTo::Backfill { peer }, reply } => {
                if matches!(reply, ReplicaReply::Applied { .. }) {
                    self.parts.counters.backfilled_objects.add();
                }
                // Counted; the backfill is told until it has heard.
                let _ = hand_over(&self.parts.backfill, Backfilled { peer, reply }, refused);
            }
            ReplicaEffect::FetchSettings { bucket, from } => {
                // Counted; what waits for them is refused at its deadline.
                let _ = hand_over(&self.parts.fetch_settings, FetchSettings { bucket, from }, refused);
            }
            ReplicaEffect::Damaged { bucket, key } => {
                // Counted; it is met again.
                let heal = Damaged { bucket, key, readable: false };
                if let Some(coordinator) = self.parts.damaged_key.get() {
                    let _ = hand_over(coordinator, heal.clone(), refused);
                }
                let _ = hand_over(&self.parts.damaged_pull, heal, refused);
            }
            ReplicaEffect::Lacking { bucket, key } => {
                // Counted; it is met again.
                if let Some(coordinator) = self.parts.damaged_key.get() {
                    let _ = hand_over(coordinator, Damaged { bucket, key, readable: true }, refused);
                }
            }
            ReplicaEffect::TooLarge(object) => large_objects::cannot_be_sent(&self.parts.counters, &object),
            ReplicaEffect::Merged { bucket, conflict, resolution } => {
                let merge = MergeObserved { bucket, conflict, resolution };
                self.parts.observations.borrow_mut().push(Observation::Merged(merge));
            }
            ReplicaEffect::Count(count) => self.counter(count).add(),
        }
    }

    fn tell_coordinator(&self, tag: u64, answer: AnswerBody) {
        if let Some(coordinator) = self.parts.coordinator.get() {
            let answer = Answer { from: self.parts.me.clone(), tag, answer, clock: None, left: None };
            // Counted; the operation then ends at its deadline.
            let _ = hand_over(coordinator, answer, &self.parts.counters.mailbox_refused);
        }
    }

    fn counter(&self, count: ReplicaCount) -> &crate::telemetry::Counter {
        let counters = &self.parts.counters;
        match count {
            ReplicaCount::ExpiredOnArrival => &counters.expired_on_arrival,
            ReplicaCount::WrongRing => &counters.wrong_ring,
            ReplicaCount::ClockSkewRefused => &counters.clock_skew_refused,
            ReplicaCount::DamagedHealed => &counters.damaged_healed,
            ReplicaCount::LeftOutHealed => &counters.left_out_healed,
            ReplicaCount::ObjectFull => &counters.object_full_refused,
            ReplicaCount::TooManySiblings => &counters.too_many_siblings_refused,
            ReplicaCount::NearlyFull => &counters.objects_nearly_full,
            ReplicaCount::ManySiblings => &counters.objects_many_siblings,
            ReplicaCount::SettingsWaitRefused => &counters.settings_waits_refused,
        }
    }

    fn unpark(&mut self) {
        self.step(|core, view, host, effects| core.unpark(moment(), view, host, effects));
    }
}

/// Carries word of a sync from the commit thread to the shard.
struct ShardSink {
    to: Recipient<ReplicaCommand>,
    /// Tickets that the mailbox had no room for.
    kept: Mutex<Vec<u64>>,
    counters: Arc<NodeCounters>,
}

impl ShardSink {
    fn kept(&self) -> MutexGuard<'_, Vec<u64>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over what there was no room for, though no other sync may come.
    fn once_more(&self) {
        if !self.kept().is_empty() {
            self.durable(&mut Vec::new());
        }
    }
}

impl DurableSink for ShardSink {
    fn durable(&self, tickets: &mut Vec<u64>) {
        let mut kept = self.kept();
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
        let sink = Arc::new(sink);
        let again = sink.clone();
        self.sink = Some(self.parts.commit.register(sink));
        ctx.run_interval(Duration::from_millis(20), move |store, _| {
            again.once_more();
            store.unpark();
            store.parts.observations.borrow_mut().flush();
        });
    }
}

impl Handler<ReplicaCommand> for ReplicaStore {
    type Result = ();

    fn handle(&mut self, command: ReplicaCommand, _: &mut Self::Context) {
        match command {
            ReplicaCommand::Coordinate { coordinate, tag } => {
                let back = (tag, ReplyTo::Coordinator { tag });
                self.step(|core, view, host, effects| {
                    core.coordinate(moment(), view, host, *coordinate, back, effects)
                });
            }
            ReplicaCommand::Ask(ask) => {
                self.step(|core, view, host, effects| core.ask(moment(), view, host, *ask, effects));
            }
            ReplicaCommand::Durable(tickets) => self.step(|core, _, _, effects| {
                let now = moment();
                tickets.into_iter().for_each(|ticket| core.durable(now, ticket, effects));
            }),
            ReplicaCommand::Heal { bucket, key, gathered, tag } => {
                let to = ReplyTo::Coordinator { tag };
                self.step(|core, view, host, effects| {
                    core.heal(moment(), view, host, (&bucket, &key, &gathered), to, effects);
                });
            }
            ReplicaCommand::LeaveOut { left_out, to } => {
                self.step(|core, view, host, effects| core.left_out(view, host, &left_out, to, effects));
            }
            ReplicaCommand::SettingsChanged => self.unpark(),
        }
    }
}
