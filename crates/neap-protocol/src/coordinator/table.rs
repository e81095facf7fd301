//! The operations that one coordinator has in flight, and whom their effects concern.
//!
//! Each operation is a machine of its own; the table feeds it, keeps its deadlines in order, and turns what it
//! wants into messages to this node's replica, to peers and to clients.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::answer::{AnswerBody, Kind, acknowledged, input, sighted, untag};
use super::in_flight::{Following, Machine, Operation, WriteDetails};
use super::late_verdicts::LatePace;
use super::legs;
use super::observe::refused;
use super::plan::{CoordinatorSettings, Planner, Surroundings};
use super::recent_repairs::RecentRepairs;
use super::told::{Ask, CoordinatorCount, CoordinatorEffect, refuse};
use super::unconverged::{Ages, Folded};
use super::{Effect, HealMachine, ReadMachine, TrackMachine, Unfollowed};
use crate::ids::{ActorId, BucketName, Key, NodeId, OperationId, WriteId};
use crate::latency::Latency;
use crate::message::{PeerAnswer, Refusal, ReplicaReply};
use crate::operation::{OperationError, Read, Write};
use crate::planted::{self, Bug};
use crate::sli::{ClockObserved, LegsObserved, UnconvergedObserved};
use crate::staleness::{PeerClocks, UnjudgedReads, Verdict, judge};
use crate::time::Moment;

/// How many operations a table holds, those whose client was answered and whose last homes are still followed
/// among them.
pub const OPERATIONS_MAX: usize = 65_536;

/// An operation that is not carried out the first time its deadline is looked at is looked at again so much
/// later, in microseconds.
const LOOK_AGAIN_US: u64 = 1_000;

/// The operations of one shard.
#[derive(Debug)]
pub struct Coordinator<C> {
    pub(super) operations: BTreeMap<OperationId, Operation<C>>,
    wakes: BTreeSet<(Moment, OperationId)>,
    /// Keys whose damaged records are being healed.
    healing: BTreeSet<(BucketName, Key)>,
    /// Keys that were repaired lately by what probes found.
    repaired: RecentRepairs,
    next: u64,
    latencies: BTreeMap<NodeId, Latency>,
    /// How the peers' clocks relate to this node's.
    clocks: PeerClocks,
    /// What the legs of operations took since it was last asked for.
    legs: LegsObserved,
    pub(super) settings: CoordinatorSettings,
    /// Who follows the writes of a key that some home lacks after their coordination is over.
    tracked: BTreeMap<(BucketName, Key), OperationId>,
    /// How many of these writes are known one by one.
    single: usize,
    /// How many there are of keys for which there was no room.
    folded: Folded,
    /// What a machine wants, until it is seen to; kept so that it is not allocated for every step.
    wanted: Vec<Effect>,
    /// Reads that could not be judged.
    pub(super) unjudged: UnjudgedReads,
    pub(super) late_pace: LatePace,
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
            repaired: RecentRepairs::default(),
            next: 0,
            latencies: BTreeMap::new(),
            clocks: PeerClocks::default(),
            legs: LegsObserved::default(),
            settings,
            tracked: BTreeMap::new(),
            single: 0,
            folded: Folded::default(),
            wanted: Vec::new(),
            unjudged: UnjudgedReads::new(settings.unjudged),
            late_pace: LatePace::default(),
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
        self.operations.len().saturating_sub(self.tracked.len())
    }

    /// Of how many keys writes are followed after that, until all homes have them, and how many of these writes are
    /// known one by one; no more than [`TrackLimits`](super::TrackLimits).
    #[must_use]
    pub fn tracked(&self) -> (usize, usize) {
        (self.tracked.len(), self.single)
    }

    /// When [`Coordinator::tick`] is wanted next; none while nothing is in flight.
    #[must_use]
    pub fn wake_at(&self) -> Option<Moment> {
        let wake = self.wakes.first().map(|(wake, _)| *wake);
        [wake, self.unjudged_wake_at()].into_iter().flatten().min()
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
            effects
                .extend(refused(around, &ask, &OperationError::Overloaded).map(CoordinatorEffect::Observed));
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
                let observed = refused(around, &Ask::Read(read), &error);
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
                let details =
                    Some(Box::new(WriteDetails { write: Some(write), write_id, w, settings, forwarded }));
                let times = (around.now, deadline);
                let operation = Operation::new(machine, Some(client), place, details, times);
                self.insert(around, operation, effects);
            }
            Err(error) => {
                if !forwarded {
                    let observed = refused(around, &Ask::Write(write, write_id), &error);
                    effects.extend(observed.map(CoordinatorEffect::Observed));
                }
                effects.push(CoordinatorEffect::AnswerWrite { client, result: Box::new(Err(error)) });
            }
        }
    }

    /// The record of a key is damaged at this home: what the others hold is to take its place.
    pub fn heal(&mut self, around: Surroundings<'_>, bucket: BucketName, key: Key, effects: &mut Effects<C>) {
        self.begin_heal(around, (bucket, key), false, effects);
    }

    /// The record of a key lacks something at this home: what the others hold is to be merged into it.
    pub fn fill(&mut self, around: Surroundings<'_>, bucket: BucketName, key: Key, effects: &mut Effects<C>) {
        self.begin_heal(around, (bucket, key), true, effects);
    }

    fn begin_heal(
        &mut self,
        around: Surroundings<'_>,
        place: (BucketName, Key),
        readable: bool,
        effects: &mut Effects<C>,
    ) {
        if self.healing.contains(&place) || self.operations.len() >= OPERATIONS_MAX {
            return;
        }
        let (bucket, key) = &place;
        let deadline = around.now.plus_micros(self.settings.follow_us);
        let buckets = around.view.buckets;
        let (settings, version) = (buckets.settings(bucket), buckets.version(bucket).clone());
        let Some(plan) = self.planner(around, deadline).heal(bucket, key, settings, readable) else { return };
        let machine = Machine::Heal(Box::new(HealMachine::new(plan)));
        let (times, at) = ((around.now, deadline), (bucket.clone(), key.clone(), version));
        let operation = Operation::new(machine, None, at, None, times);
        self.healing.insert(place);
        self.insert(around, operation, effects);
    }

    pub(super) fn insert(
        &mut self,
        around: Surroundings<'_>,
        mut operation: Operation<C>,
        effects: &mut Effects<C>,
    ) {
        self.next += 1;
        let id = OperationId(self.next);
        let mut wanted = std::mem::take(&mut self.wanted);
        operation.machine.start(around.now, &mut wanted);
        self.wakes.insert((operation.wake, id));
        self.operations.insert(id, operation);
        self.carry_out(around, id, wanted, effects);
    }

    /// What was asked with `tag` did not leave when it was asked but then, and its answer has come.
    pub fn left(&mut self, to: &NodeId, tag: u64, at: Moment) {
        let (id, kind) = untag(tag);
        let asked = self.operations.get_mut(&id).into_iter().flat_map(|operation| &mut operation.asked);
        for (_, _, sent) in asked.filter(|(node, asked, _)| node == to && *asked == kind) {
            *sent = at.max(*sent);
        }
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
        operation.forget_what_is_stamped();
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
            if let Machine::Track(track) = &mut operation.machine {
                track.pace(self.tracked.len());
            }
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
        self.look_at_unjudged(around, effects);
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
        let (mut unfollowed, mut unjudged, mut sighted) = (None, None, None);
        if let Some(operation) = self.operations.get_mut(&id) {
            let following = Following { id, follow_us: self.settings.follow_us };
            let mut at_once = VecDeque::new();
            loop {
                for effect in wanted.drain(..) {
                    match effect {
                        Effect::Unfollowed(write) => unfollowed = Some(write),
                        Effect::SightedLate(sightings) => sighted = Some((operation.place(), sightings)),
                        Effect::Judge(question) => {
                            let judgement = judge(&question);
                            if let Verdict::Unknown(cause) = judgement.verdict {
                                unjudged = Some((operation.place(), question.clone(), cause));
                            }
                            operation.judged(id, *question, judgement, effects);
                        }
                        effect => {
                            self.single -= usize::from(matches!(effect, Effect::Followed(..)));
                            at_once.extend(operation.turn(around, following, effect, effects));
                        }
                    }
                }
                if let Some(input) = at_once.pop_front() {
                    operation.machine.handle(around.now, input, &mut wanted);
                    continue;
                }
                // Cloned only where there is something to repair.
                let place = operation.machine.has_found_differences().then(|| operation.place());
                let (Some(place), Some(read)) = (place, operation.machine.found_differences()) else { break };
                if self.repaired.admit(around.now, place) {
                    read.repair_found(&mut wanted);
                } else {
                    read.leave_found();
                    effects.push(CoordinatorEffect::Count(CoordinatorCount::ReadRepairsPutOff, 1));
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
        if let Some((place, question, cause)) = unjudged {
            self.keep_unjudged(around.now, place, &question, cause, effects);
        }
        if let Some((place, sightings)) = sighted {
            self.sighted_late(around.now, &place, &sightings, effects);
        }
    }

    /// An operation is over, and some home lacks its write: from now on it is that of looking who has the writes of its
    /// key, if there is none. False if the write is not known by itself any more.
    fn track(&mut self, now: Moment, id: OperationId, write: Unfollowed) -> bool {
        let Some(operation) = self.operations.get_mut(&id) else { return false };
        let place = (operation.bucket.clone(), operation.key.clone());
        let (before, tracked) = (operation.wake, self.tracked.get(&place).copied());
        if tracked.is_some() || self.tracked.len() >= self.settings.track.keys {
            self.wakes.remove(&(before, id));
            if let Some(over) = self.operations.remove(&id).filter(|_| tracked.is_none()) {
                over.machine.unconverged().into_iter().for_each(|standing| self.folded.add(standing));
                return false;
            }
        } else {
            let machine = TrackMachine::new(now);
            let wake = machine.wake_at();
            operation.machine = Machine::Track(Box::new(machine));
            operation.details = None;
            self.wake_later(id, before, wake);
            self.tracked.insert(place, id);
        }
        let tracker = self.operations.get_mut(&tracked.unwrap_or(id));
        let Some(Operation { machine: Machine::Track(tracker), .. }) = tracker else { return false };
        let single = self.single < self.settings.track.single;
        if single {
            self.single += 1;
            tracker.follow(id, write);
        } else {
            tracker.bunch(&write);
        }
        single
    }

    /// How the writes stand that some home has and another lacks, or may lack.
    #[must_use]
    pub fn unconverged(&self, now: Moment) -> UnconvergedObserved {
        let mut ages = Ages::default();
        for operation in self.operations.values() {
            operation.machine.unconverged().into_iter().for_each(|standing| ages.add(now, standing));
        }
        ages.add_folded(now, &self.folded);
        ages.observed()
    }

    /// The node that `actor` gave dots on, as far as that is known.
    #[must_use]
    pub fn writer(&self, actor: ActorId) -> Option<&NodeId> {
        self.clocks.writer(actor)
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
        if let Some(operation) = self.operations.get(&id) {
            operation.machine.unconverged().into_iter().for_each(|standing| self.folded.add(standing));
            if let Machine::Track(track) = &operation.machine {
                let single = track.single().iter().map(|(id, _)| *id);
                effects.extend(single.map(|id| CoordinatorEffect::Over { id, followed: false }));
            }
        }
        self.remove(id);
        effects.push(CoordinatorEffect::Over { id, followed: false });
        effects.push(CoordinatorEffect::Count(CoordinatorCount::FollowUpsDropped, 1));
        true
    }

    fn remove(&mut self, id: OperationId) {
        match self.operations.remove(&id) {
            Some(Operation { machine: Machine::Heal(_), bucket, key, .. }) => {
                self.healing.remove(&(bucket, key));
            }
            Some(Operation { machine: Machine::Track(track), bucket, key, .. }) => {
                self.single -= track.single().len();
                self.tracked.remove(&(bucket, key));
            }
            Some(_) | None => {}
        }
    }
}
