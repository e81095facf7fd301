//! The operations that one coordinator has in flight, and whom their effects concern.
//!
//! Each operation is a machine of its own; the table feeds it, keeps its deadlines in order, and turns what it
//! wants into messages to this node's replica, to peers and to clients.

use std::collections::{BTreeMap, BTreeSet};

use super::answer::{AnswerBody, Kind, acknowledged, input, sighted, tag, untag};
use super::legs;
use super::observe::{read_observed, refused, write_observed};
use super::plan::{CoordinatorSettings, Planner, Surroundings};
use super::unconverged::{Ages, Folded, TRACKED_MAX};
use super::{
    ApplyWhy, Asked, ClientWrite, Effect, HealMachine, Input, ReadMachine, RepairWhen, TrackMachine,
    Unfollowed, WriteMachine,
};
use crate::planted::{self, Bug};
use crate::protocol::bucket::{BucketSettings, SettingsVersion};
use crate::protocol::causality::{CausalContext, Object};
use crate::protocol::ids::{BucketName, Dot, Key, NodeId, OperationId, WriteId};
use crate::protocol::latency::Latency;
use crate::protocol::message::{
    Coordinate, PeerAnswer, PeerRequest, Refusal, ReplicaReply, ReplicaRequest, Target,
};
use crate::protocol::operation::{OperationError, Read, ReadReply, Write, WriteReply};
use crate::protocol::sli::{
    ClockObserved, ConvergedObserved, LegsObserved, Observation, UnconvergedObserved, VerdictObserved,
};
use crate::protocol::staleness::{Convergence, Judgement, PeerClocks, Question, Verdict, judge};
use crate::protocol::time::{Hlc, Moment, WallMicros};

/// How many operations a table holds, those whose client was answered and whose last homes are still followed
/// among them.
pub const OPERATIONS_MAX: usize = 65_536;

/// An operation that is not carried out the first time its deadline is looked at is looked at again so much
/// later, in microseconds.
const LOOK_AGAIN_US: u64 = 1_000;

/// What a client, or a node that hands a write on, asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// A read.
    Read(Read),
    /// A write. The id is the client's, or was drawn for it.
    Write(Write, WriteId),
    /// A write that another node hands on. It goes by settings of this version.
    Forwarded {
        /// The write.
        write: Write,
        /// Its id.
        write_id: WriteId,
        /// The version of the bucket's settings that the sender goes by.
        version: SettingsVersion,
        /// The sender.
        from: NodeId,
    },
}

/// What a coordinator wants done. `C` is the way back to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CoordinatorEffect<C> {
    /// Ask this node's own replica to carry out a write.
    Coordinate {
        /// The write.
        coordinate: Box<Coordinate>,
        /// Handed back with its [`CoordinateReply`](crate::protocol::message::CoordinateReply), and with the acknowledgement after it.
        tag: u64,
    },
    /// Ask this node's own replica.
    AskOwn {
        /// The key.
        target: Target,
        /// What.
        request: ReplicaRequest,
        /// When the answer is no longer wanted.
        deadline: Moment,
        /// Handed back.
        tag: u64,
    },
    /// Have this node's own replica put `merged` in the place of a damaged record.
    HealOwn {
        /// The bucket.
        bucket: BucketName,
        /// The key.
        key: Key,
        /// What the other homes hold.
        merged: Object,
        /// Handed back with its acknowledgement.
        tag: u64,
    },
    /// Ask a peer. Exactly one answer comes back, by the deadline.
    Send {
        /// The peer.
        to: NodeId,
        /// What.
        request: PeerRequest,
        /// When the answer is no longer wanted.
        deadline: Moment,
        /// Handed back.
        tag: u64,
    },
    /// Have the settings of a bucket fetched from a peer that goes by newer ones.
    FetchSettings {
        /// The bucket.
        bucket: BucketName,
        /// The peer.
        from: NodeId,
    },
    /// Tell a reader.
    AnswerRead {
        /// The client.
        client: C,
        /// What.
        result: Result<ReadReply, OperationError>,
    },
    /// Tell a writer, or the node that handed its write on.
    AnswerWrite {
        /// The client.
        client: C,
        /// What.
        result: Box<Result<WriteReply, OperationError>>,
    },
    /// All that can be known of a read is known.
    Judged(Box<JudgedRead>),
    /// All homes of a write have it.
    Converged(Box<ConvergedWrite>),
    /// An operation was answered.
    Observed(Observation),
    /// Nothing more will come of an operation but, of a followed write, that it has converged.
    Over {
        /// The operation.
        id: OperationId,
        /// Whether the homes that lack its write are asked now and then.
        followed: bool,
    },
    /// Something worth counting happened, so many times.
    Count(CoordinatorCount, u64),
}

/// A read, and what is said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JudgedRead {
    /// Its operation.
    pub id: OperationId,
    /// Its bucket.
    pub bucket: BucketName,
    /// Its key.
    pub key: Key,
    /// When the coordinator accepted it.
    pub began: Moment,
    /// All that the reply covers.
    pub reply: CausalContext,
    /// The write time of the newest version in it.
    pub returned: Option<Hlc>,
    /// How long before the read that was, in microseconds.
    pub value_age_us: Option<u64>,
    /// The R it was asked with.
    pub r: u8,
    /// The homes whose answers the reply was made of.
    pub answered_by: Vec<NodeId>,
    /// What is said.
    pub judgement: Judgement,
}

/// A write that all homes have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConvergedWrite {
    /// Its operation.
    pub id: OperationId,
    /// Its bucket.
    pub bucket: BucketName,
    /// Its key.
    pub key: Key,
    /// Its version.
    pub dot: Dot,
    /// How long that took.
    pub convergence: Convergence,
}

impl JudgedRead {
    /// What is told of it.
    #[must_use]
    pub fn observed(&self) -> VerdictObserved {
        let Judgement { verdict, exposure_us, age_us, .. } = self.judgement;
        let missed = verdict == Verdict::Stale;
        VerdictObserved {
            bucket: self.bucket.clone(),
            r: self.r,
            verdict,
            exposure_us,
            age_us,
            value_age_us: self.value_age_us,
            missed_by: if missed { self.answered_by.clone() } else { Vec::new() },
        }
    }
}

impl ConvergedWrite {
    /// What is told of it.
    #[must_use]
    pub fn observed(&self) -> ConvergedObserved {
        let Convergence { us: convergence_us, path, .. } = self.convergence;
        ConvergedObserved { bucket: self.bucket.clone(), path, convergence_us }
    }
}

impl Ask {
    /// The bucket that it is about.
    #[must_use]
    pub fn bucket(&self) -> &BucketName {
        match self {
            Self::Read(read) => &read.bucket,
            Self::Write(write, _) | Self::Forwarded { write, .. } => &write.bucket,
        }
    }
}

/// What a coordinator counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CoordinatorCount {
    /// An operation was refused because the table was full.
    OperationsRefused,
    /// An answered operation is no longer followed because the table was full.
    FollowUpsDropped,
    /// A write was over while some home was not known to have it.
    WritesUnfollowed,
    /// A home was repaired before the reader was answered.
    ReadRepairsBlocking,
    /// A home was repaired, and the reader did not wait for it.
    ReadRepairsAsync,
    /// A read asked another home because one was slow.
    HedgedReads,
}

impl CoordinatorCount {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OperationsRefused => "operations_refused",
            Self::FollowUpsDropped => "follow_ups_dropped",
            Self::WritesUnfollowed => "writes_unfollowed",
            Self::ReadRepairsBlocking => "read_repairs_blocking",
            Self::ReadRepairsAsync => "read_repairs_async",
            Self::HedgedReads => "hedged_reads",
        }
    }
}

#[derive(Debug)]
enum Machine {
    Read(Box<ReadMachine>),
    Write(Box<ClientWrite>),
    Heal(Box<HealMachine>),
    Track(Box<TrackMachine>),
}

/// What a write needs again when it is stamped or handed on.
#[derive(Debug)]
struct WriteDetails {
    write: Write,
    write_id: WriteId,
    w: u8,
    settings: BucketSettings,
    /// Whether another node handed it on.
    forwarded: bool,
}

#[derive(Debug)]
struct Operation<C> {
    machine: Machine,
    client: Option<C>,
    bucket: BucketName,
    key: Key,
    version: SettingsVersion,
    details: Option<Box<WriteDetails>>,
    asked: Vec<(NodeId, Kind, Moment)>,
    began: Moment,
    wake: Moment,
    deadline: Moment,
}

/// The operations of one shard.
#[derive(Debug)]
pub struct Coordinator<C> {
    operations: BTreeMap<OperationId, Operation<C>>,
    wakes: BTreeSet<(Moment, OperationId)>,
    /// Keys whose damaged records are being healed.
    healing: BTreeSet<(BucketName, Key)>,
    next: u64,
    latencies: BTreeMap<NodeId, Latency>,
    /// How the peers' clocks relate to this node's.
    clocks: PeerClocks,
    /// What the legs of operations took since it was last asked for.
    legs: LegsObserved,
    settings: CoordinatorSettings,
    /// How many writes are followed one by one after their coordination is over.
    tracked: usize,
    /// How many others there are.
    folded: Folded,
    /// What a machine wants, until it is seen to; kept so that it is not allocated for every step.
    wanted: Vec<Effect>,
}

type Effects<C> = Vec<CoordinatorEffect<C>>;

impl<C> Coordinator<C> {
    /// A coordinator with nothing in flight.
    #[must_use]
    pub fn new(settings: CoordinatorSettings) -> Self {
        Self {
            operations: BTreeMap::new(),
            wakes: BTreeSet::new(),
            healing: BTreeSet::new(),
            next: 0,
            latencies: BTreeMap::new(),
            clocks: PeerClocks::default(),
            legs: LegsObserved::default(),
            settings,
            tracked: 0,
            folded: Folded::default(),
            wanted: Vec::new(),
        }
    }

    /// The id of the operation that begins next, if it is not refused.
    #[must_use]
    pub fn next_id(&self) -> OperationId {
        OperationId(self.next + 1)
    }

    /// How many operations are in flight, or followed for late answers.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.operations.len().saturating_sub(self.tracked)
    }

    /// How many writes are followed after that, until all homes have them; [`TRACKED_MAX`] at the most.
    #[must_use]
    pub fn tracked(&self) -> usize {
        self.tracked
    }

    /// When [`Coordinator::tick`] is wanted next; none while nothing is in flight.
    #[must_use]
    pub fn wake_at(&self) -> Option<Moment> {
        self.wakes.first().map(|(wake, _)| *wake)
    }

    /// Begins an operation, which is answered by `deadline`.
    pub fn begin(
        &mut self,
        around: Surroundings<'_>,
        ask: Ask,
        client: C,
        deadline: Moment,
        effects: &mut Effects<C>,
    ) {
        if self.operations.len() >= OPERATIONS_MAX && !self.drop_a_follow_up(effects) {
            effects.push(CoordinatorEffect::Count(CoordinatorCount::OperationsRefused, 1));
            effects.extend(refused(around.view.buckets, &ask).map(CoordinatorEffect::Observed));
            return refuse(&ask, client, OperationError::Overloaded, effects);
        }
        match ask {
            Ask::Read(read) => self.begin_read(around, read, client, deadline, effects),
            Ask::Write(write, write_id) => {
                self.begin_write(around, (write, write_id, false), client, deadline, effects);
            }
            Ask::Forwarded { write, write_id, version, from } => {
                if version > *around.view.buckets.version(&write.bucket) {
                    effects.push(CoordinatorEffect::FetchSettings { bucket: write.bucket, from });
                    let result = Box::new(Err(OperationError::NotServing(Refusal::SettingsBehind)));
                    return effects.push(CoordinatorEffect::AnswerWrite { client, result });
                }
                // The home answers a little before the node that handed the write on gives up.
                let left = deadline.micros_since(around.now);
                let deadline = around.now.plus_micros(left - left / 10);
                self.begin_write(around, (write, write_id, true), client, deadline, effects);
            }
        }
    }

    fn planner<'a>(&'a self, around: Surroundings<'a>, deadline: Moment) -> Planner<'a> {
        Planner { around, latencies: &self.latencies, settings: self.settings, deadline }
    }

    fn begin_read(
        &mut self,
        around: Surroundings<'_>,
        read: Read,
        client: C,
        deadline: Moment,
        effects: &mut Effects<C>,
    ) {
        let buckets = around.view.buckets;
        let (settings, version) = (buckets.settings(&read.bucket), buckets.version(&read.bucket).clone());
        let probe = self.settings.probe.takes(self.next);
        match self.planner(around, deadline).read(&read, settings, probe) {
            Ok(plan) => {
                let machine = Machine::Read(Box::new(ReadMachine::new(plan)));
                let place = (read.bucket, read.key, version);
                let times = (around.now, deadline);
                self.insert(around, Operation::new(machine, Some(client), place, None, times), effects);
            }
            Err(error) => {
                let observed = refused(buckets, &Ask::Read(read));
                effects.extend(observed.map(CoordinatorEffect::Observed));
                effects.push(CoordinatorEffect::AnswerRead { client, result: Err(error) });
            }
        }
    }

    fn begin_write(
        &mut self,
        around: Surroundings<'_>,
        (write, write_id, forwarded): (Write, WriteId, bool),
        client: C,
        deadline: Moment,
        effects: &mut Effects<C>,
    ) {
        let buckets = around.view.buckets;
        let (settings, version) = (buckets.settings(&write.bucket), buckets.version(&write.bucket).clone());
        match self.planner(around, deadline).write(&write, write_id, settings, forwarded) {
            Ok((machine, w)) => {
                let place = (write.bucket.clone(), write.key.clone(), version);
                let machine = Machine::Write(Box::new(machine));
                let settings = settings.clone();
                let details = Some(Box::new(WriteDetails { write, write_id, w, settings, forwarded }));
                let times = (around.now, deadline);
                let operation = Operation::new(machine, Some(client), place, details, times);
                self.insert(around, operation, effects);
            }
            Err(error) => {
                if !forwarded {
                    let observed = refused(buckets, &Ask::Write(write, write_id));
                    effects.extend(observed.map(CoordinatorEffect::Observed));
                }
                effects.push(CoordinatorEffect::AnswerWrite { client, result: Box::new(Err(error)) });
            }
        }
    }

    /// The record of a key is damaged at this home: what the others hold is to take its place.
    pub fn heal(&mut self, around: Surroundings<'_>, bucket: BucketName, key: Key, effects: &mut Effects<C>) {
        let place = (bucket, key);
        if self.healing.contains(&place) || self.operations.len() >= OPERATIONS_MAX {
            return;
        }
        let (bucket, key) = &place;
        let deadline = around.now.plus_micros(self.settings.follow_us);
        let buckets = around.view.buckets;
        let (settings, version) = (buckets.settings(bucket), buckets.version(bucket).clone());
        let Some(plan) = self.planner(around, deadline).heal(bucket, key, settings) else { return };
        let machine = Machine::Heal(Box::new(HealMachine::new(plan)));
        let (times, at) = ((around.now, deadline), (bucket.clone(), key.clone(), version));
        let operation = Operation::new(machine, None, at, None, times);
        self.healing.insert(place);
        self.insert(around, operation, effects);
    }

    fn insert(&mut self, around: Surroundings<'_>, mut operation: Operation<C>, effects: &mut Effects<C>) {
        self.next += 1;
        let id = OperationId(self.next);
        let mut wanted = std::mem::take(&mut self.wanted);
        operation.machine.start(around.now, &mut wanted);
        self.wakes.insert((operation.wake, id));
        self.operations.insert(id, operation);
        self.carry_out(around, id, wanted, effects);
    }

    /// Takes an answer to something that was asked with `tag`.
    pub fn answered(
        &mut self,
        around: Surroundings<'_>,
        from: NodeId,
        tag: u64,
        answer: AnswerBody,
        effects: &mut Effects<C>,
    ) {
        let (id, kind) = untag(tag);
        let mut sent = None;
        let told = legs::told(&answer).map(|told| (from.clone(), told));
        match &answer {
            AnswerBody::Peer(answer) => sent = self.note_latency(around.now, id, (&from, kind), answer),
            own => self.note_own_leg(around.now, id, (&from, kind), own),
        }
        let input = match kind {
            Kind::Probe => sighted(&mut self.clocks, from, (sent, around.now), answer),
            Kind::Apply => acknowledged(&mut self.clocks, from, (sent, around.now), answer),
            Kind::Fetch | Kind::Forward => input(from, kind, answer),
        };
        // Only now do the clocks' bounds know of this exchange.
        if let (Some((from, told)), Some(sent)) = (told, sent)
            && let Some(offset_us) = self.clocks.offset_us(&from)
        {
            legs::peer(&mut self.legs, told, offset_us, (sent, around.now));
        }
        let Some(operation) = self.operations.get_mut(&id) else { return };
        let mut wanted = std::mem::take(&mut self.wanted);
        operation.machine.handle(around.now, input, &mut wanted);
        self.carry_out(around, id, wanted, effects);
    }

    /// Looks at the deadlines that have come.
    pub fn tick(&mut self, around: Surroundings<'_>, effects: &mut Effects<C>) {
        while let Some(&(wake, id)) = self.wakes.first() {
            if wake > around.now {
                break;
            }
            let Some(operation) = self.operations.get_mut(&id) else {
                self.wakes.remove(&(wake, id));
                continue;
            };
            let mut wanted = std::mem::take(&mut self.wanted);
            operation.machine.tick(around.now, &mut wanted);
            // Time alone makes a read ask another home only because one is slow.
            let hedged = wanted.iter().filter(|effect| matches!(effect, Effect::Fetch { .. })).count();
            if hedged > 0 {
                effects.push(CoordinatorEffect::Count(CoordinatorCount::HedgedReads, hedged as u64));
            }
            self.carry_out(around, id, wanted, effects);
            if self.wakes.first() == Some(&(wake, id)) {
                // Nothing came of it: it is looked at again a little later rather than now.
                self.wake_later(id, wake, around.now.plus_micros(LOOK_AGAIN_US));
            }
        }
    }

    fn wake_later(&mut self, id: OperationId, before: Moment, wake: Moment) {
        self.wakes.remove(&(before, id));
        if let Some(operation) = self.operations.get_mut(&id) {
            operation.wake = wake;
            self.wakes.insert((wake, id));
        }
    }

    fn carry_out(
        &mut self,
        around: Surroundings<'_>,
        id: OperationId,
        mut wanted: Vec<Effect>,
        effects: &mut Effects<C>,
    ) {
        let mut unfollowed = None;
        if let Some(operation) = self.operations.get_mut(&id) {
            for effect in wanted.drain(..) {
                match effect {
                    Effect::Unfollowed(write) => unfollowed = Some(write),
                    effect => operation.turn(around, (id, self.settings.follow_us), effect, effects),
                }
            }
            let (finished, wake) = (operation.machine.finished(), operation.machine.wake_at());
            let before = operation.wake;
            if let Some(write) = unfollowed {
                effects.push(CoordinatorEffect::Count(CoordinatorCount::WritesUnfollowed, 1));
                let followed = self.track(around.now, id, *write);
                effects.push(CoordinatorEffect::Over { id, followed });
            } else if finished {
                self.wakes.remove(&(before, id));
                effects.push(CoordinatorEffect::Over { id, followed: false });
                if !planted::has(Bug::LeakOperations) {
                    self.remove(id);
                }
            } else if wake != before {
                self.wake_later(id, before, wake);
            }
        }
        wanted.clear();
        self.wanted = wanted;
    }

    /// From now on an operation is that of looking who has its write. False if there is no room for that.
    fn track(&mut self, now: Moment, id: OperationId, write: Unfollowed) -> bool {
        let Some(operation) = self.operations.get_mut(&id) else { return false };
        if self.tracked < TRACKED_MAX {
            self.tracked += 1;
            let mut machine = TrackMachine::new(write);
            machine.start(now);
            let (before, wake) = (operation.wake, machine.wake_at());
            operation.machine = Machine::Track(Box::new(machine));
            operation.details = None;
            self.wake_later(id, before, wake);
            return true;
        }
        self.wakes.remove(&(operation.wake, id));
        self.remove(id);
        self.folded.add(&write);
        false
    }

    /// How the writes stand that some home has and another lacks, or may lack.
    #[must_use]
    pub fn unconverged(&self, now: Moment) -> UnconvergedObserved {
        let mut ages = Ages::default();
        for operation in self.operations.values() {
            let Some(write) = operation.machine.unfollowed() else { continue };
            let lagging = u8::try_from(write.lacking.len()).unwrap_or(u8::MAX);
            if lagging > 0 {
                ages.add(now, write.since(), 1, lagging);
            }
        }
        ages.add_folded(now, &self.folded);
        ages.observed()
    }

    /// How the clocks of the peers relate to this node's.
    #[must_use]
    pub fn clock_offsets(&self) -> Vec<ClockObserved> {
        self.clocks.observed()
    }

    /// What the legs of operations took since this was last called; none if there were none.
    pub fn take_legs(&mut self) -> Option<Box<LegsObserved>> {
        (!self.legs.is_empty()).then(|| Box::new(std::mem::take(&mut self.legs)))
    }

    fn note_own_leg(
        &mut self,
        now: Moment,
        id: OperationId,
        (me, kind): (&NodeId, Kind),
        answer: &AnswerBody,
    ) {
        let Some(operation) = self.operations.get_mut(&id) else { return };
        let at = operation.asked.iter().position(|(node, asked, _)| node == me && *asked == kind);
        let Some(at) = at else { return };
        let (me, kind, asked) = operation.asked.swap_remove(at);
        let writes = matches!(operation.machine, Machine::Write(_));
        let from = legs::own(&mut self.legs, answer, writes, (asked, now));
        operation.asked.extend(from.map(|from| (me, kind, from)));
    }

    /// When the question that was answered had left.
    fn note_latency(
        &mut self,
        now: Moment,
        id: OperationId,
        (from, kind): (&NodeId, Kind),
        answer: &PeerAnswer,
    ) -> Option<Moment> {
        let operation = self.operations.get_mut(&id)?;
        let at = operation.asked.iter().position(|(node, asked, _)| node == from && *asked == kind)?;
        let (node, _, sent) = operation.asked.swap_remove(at);
        let served =
            matches!(answer, PeerAnswer::Replica(ReplicaReply::Fetched(_) | ReplicaReply::Applied { .. }));
        // Only reads are hedged; an acknowledgement waits for a sync and says little about them.
        if served && matches!(operation.machine, Machine::Read(_)) {
            self.latencies.entry(node).or_default().observe(now.micros_since(sent));
        }
        Some(sent)
    }

    /// Makes room by following one answered operation no longer. False if all are still owed an answer.
    fn drop_a_follow_up(&mut self, effects: &mut Effects<C>) -> bool {
        let answered = self
            .wakes
            .iter()
            .find(|(_, id)| self.operations.get(id).is_some_and(|operation| operation.client.is_none()));
        let Some(&(wake, id)) = answered else { return false };
        self.wakes.remove(&(wake, id));
        let write = self.operations.get(&id).and_then(|operation| operation.machine.unfollowed());
        self.remove(id);
        if let Some(write) = write {
            self.folded.add(&write);
        }
        effects.push(CoordinatorEffect::Over { id, followed: false });
        effects.push(CoordinatorEffect::Count(CoordinatorCount::FollowUpsDropped, 1));
        true
    }

    fn remove(&mut self, id: OperationId) {
        match self.operations.remove(&id) {
            Some(Operation { machine: Machine::Heal(_), bucket, key, .. }) => {
                self.healing.remove(&(bucket, key));
            }
            Some(Operation { machine: Machine::Track(_), .. }) => self.tracked -= 1,
            Some(_) | None => {}
        }
    }
}

impl<C> Operation<C> {
    fn new(
        machine: Machine,
        client: Option<C>,
        (bucket, key, version): (BucketName, Key, SettingsVersion),
        details: Option<Box<WriteDetails>>,
        (began, deadline): (Moment, Moment),
    ) -> Self {
        let (asked, wake) = (Vec::new(), deadline);
        Self { machine, client, bucket, key, version, details, asked, began, wake, deadline }
    }

    /// Turns what the machine wants into what the node is to do.
    fn turn(
        &mut self,
        around: Surroundings<'_>,
        (id, follow_us): (OperationId, u64),
        effect: Effect,
        effects: &mut Effects<C>,
    ) {
        match effect {
            Effect::Coordinate => self.coordinate(around, id, effects),
            Effect::Fetch { to } => {
                self.ask(around, (id, follow_us), to, Asked::Fetch, ReplicaRequest::Fetch, effects);
            }
            Effect::Probe { to } => {
                self.ask(around, (id, follow_us), to, Asked::Probe, ReplicaRequest::Probe, effects);
            }
            Effect::Judge(question) => {
                let (bucket, key, judgement) = (self.bucket.clone(), self.key.clone(), judge(&question));
                let Question { began, began_hlc, reply, returned, answered_by, .. } = *question;
                let age = |hlc: Hlc| began_hlc.wall().0.saturating_sub(hlc.wall().0);
                let value_age_us = returned.map(age);
                let r = self.machine.r();
                let judged = JudgedRead {
                    id,
                    bucket,
                    key,
                    began,
                    reply,
                    returned,
                    value_age_us,
                    r,
                    answered_by,
                    judgement,
                };
                effects.push(CoordinatorEffect::Judged(Box::new(judged)));
            }
            Effect::Apply { to, object, why } => {
                let via = why.via();
                let count = match why {
                    ApplyWhy::Repair(RepairWhen::Blocking) => Some(CoordinatorCount::ReadRepairsBlocking),
                    ApplyWhy::Repair(RepairWhen::Async) => Some(CoordinatorCount::ReadRepairsAsync),
                    ApplyWhy::Write(_) => None,
                };
                effects.extend(count.map(|count| CoordinatorEffect::Count(count, 1)));
                let request = ReplicaRequest::Apply(object, via);
                self.ask(around, (id, follow_us), to, Asked::Apply, request, effects);
            }
            Effect::Heal { merged } => {
                let (bucket, key, tag) = (self.bucket.clone(), self.key.clone(), tag(id, Kind::Apply));
                effects.push(CoordinatorEffect::HealOwn { bucket, key, merged, tag });
            }
            Effect::Forward { to } => self.forward(around.now, id, to, effects),
            Effect::ReplyRead(result) => {
                let Some(client) = self.client.take() else { return };
                if let Machine::Read(read) = &self.machine {
                    let observed = read_observed(around, &self.bucket, (read, self.began), &result);
                    effects.push(CoordinatorEffect::Observed(observed));
                }
                effects.push(CoordinatorEffect::AnswerRead { client, result });
            }
            Effect::ReplyWrite(result) => {
                let Some(client) = self.client.take() else { return };
                if let (Machine::Write(write), Some(details)) = (&self.machine, &self.details) {
                    let duration_us = (!details.forwarded).then(|| around.now.micros_since(self.began));
                    let resolution = details.settings.resolution;
                    let observed = write_observed(&self.bucket, write, (duration_us, resolution), &result);
                    effects.push(CoordinatorEffect::Observed(observed));
                }
                effects.push(CoordinatorEffect::AnswerWrite { client, result });
            }
            Effect::Converged(dot, convergence) => {
                let (bucket, key) = (self.bucket.clone(), self.key.clone());
                let write = ConvergedWrite { id, bucket, key, dot, convergence };
                effects.push(CoordinatorEffect::Converged(Box::new(write)));
            }
            // The table sees to it.
            Effect::Unfollowed(_) => {}
        }
    }

    fn coordinate(&mut self, around: Surroundings<'_>, id: OperationId, effects: &mut Effects<C>) {
        let Some(details) = &self.details else { return };
        self.asked.push((around.view.me.clone(), Kind::Apply, around.now));
        let ttl_us = details.write.ttl_us.or(details.settings.ttl_us);
        let coordinate = Box::new(Coordinate {
            write: details.write.clone(),
            w: details.w,
            blind: details.settings.blind_write,
            write_id: details.write_id,
            expires_at: ttl_us.map(|ttl| WallMicros(around.wall.0.saturating_add(ttl))),
        });
        effects.push(CoordinatorEffect::Coordinate { coordinate, tag: tag(id, Kind::Apply) });
    }

    fn ask(
        &mut self,
        around: Surroundings<'_>,
        (id, follow_us): (OperationId, u64),
        to: NodeId,
        asked: Asked,
        request: ReplicaRequest,
        effects: &mut Effects<C>,
    ) {
        let target =
            Target { bucket: self.bucket.clone(), key: self.key.clone(), settings: self.version.clone() };
        let deadline = self.deadline.max(around.now).plus_micros(follow_us / 2);
        let kind = Kind::of(asked);
        let tag = tag(id, kind);
        self.asked.push((to.clone(), kind, around.now));
        if to == *around.view.me {
            return effects.push(CoordinatorEffect::AskOwn { target, request, deadline, tag });
        }
        let request = PeerRequest::Replica(target, request);
        effects.push(CoordinatorEffect::Send { to, request, deadline, tag });
    }

    fn forward(&self, now: Moment, id: OperationId, to: NodeId, effects: &mut Effects<C>) {
        let Some(details) = &self.details else { return };
        // The home must know the id too, so that a retry through another home finds it.
        let mut write = details.write.clone();
        write.w = Some(details.w);
        let request = PeerRequest::Forward(write, details.write_id, self.version.clone());
        let deadline = self.deadline.max(now);
        effects.push(CoordinatorEffect::Send { to, request, deadline, tag: tag(id, Kind::Forward) });
    }
}

impl Machine {
    fn start(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        match self {
            Self::Read(read) => read.start(now, effects),
            Self::Write(write) => write.start(now, effects),
            Self::Heal(heal) => heal.start(effects),
            Self::Track(track) => track.start(now),
        }
    }

    fn handle(&mut self, now: Moment, input: Input, effects: &mut Vec<Effect>) {
        match self {
            Self::Read(read) => read.handle(now, input, effects),
            Self::Write(write) => write.handle(now, input, effects),
            Self::Heal(heal) => heal.handle(input, effects),
            Self::Track(track) => track.handle(input, effects),
        }
    }

    fn tick(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        match self {
            Self::Read(read) => read.tick(now, effects),
            Self::Write(write) => write.tick(now, effects),
            Self::Heal(heal) => heal.tick(now),
            Self::Track(track) => track.tick(now, effects),
        }
    }

    fn finished(&self) -> bool {
        match self {
            Self::Read(read) => read.finished(),
            Self::Write(write) => write.finished(),
            Self::Heal(heal) => heal.finished(),
            Self::Track(track) => track.finished(),
        }
    }

    fn wake_at(&self) -> Moment {
        match self {
            Self::Read(read) => read.wake_at(),
            Self::Write(write) => write.wake_at(),
            Self::Heal(heal) => heal.wake_at(),
            Self::Track(track) => track.wake_at(),
        }
    }

    /// The R of a read; 0 of anything else.
    fn r(&self) -> u8 {
        match self {
            Self::Read(read) => read.r(),
            Self::Write(_) | Self::Heal(_) | Self::Track(_) => 0,
        }
    }

    /// The write that was stamped here, and who lacks it.
    fn unfollowed(&self) -> Option<Unfollowed> {
        match self {
            Self::Write(write) => write.here().and_then(WriteMachine::unfollowed),
            Self::Track(track) => Some(track.write().clone()),
            Self::Read(_) | Self::Heal(_) => None,
        }
    }
}

/// Answers a client whose operation never began.
pub fn refuse<C>(ask: &Ask, client: C, error: OperationError, effects: &mut Effects<C>) {
    effects.push(match ask {
        Ask::Read(_) => CoordinatorEffect::AnswerRead { client, result: Err(error) },
        Ask::Write(..) | Ask::Forwarded { .. } => {
            CoordinatorEffect::AnswerWrite { client, result: Box::new(Err(error)) }
        }
    });
}
