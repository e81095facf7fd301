//! Drives the machines of a node: what one wants becomes another's input, a frame, or a client's answer.

use super::disk::Disk;
use super::network::{Leg, NodeIndex};
use super::process::{Client, Host, PeerRequestId, Process, ReplyTo, Scanner, SettingsNode, Stored, Way};
use super::transport::Owner;
use super::truth::Written;
use super::wire::{Body, Frame};
use super::world::{Event, Node, TICK, World};
use crate::planted::{self, Bug};
use crate::protocol::bucket::BlindWrite;
use crate::protocol::causality::{CausalContext, Object};
use crate::protocol::coordinator::{AnswerBody, Ask, Coordinator, CoordinatorEffect, Surroundings};
use crate::protocol::ids::{BucketName, DirectoryId, Key, NodeId};
use crate::protocol::membership::{Backfill, BackfillEffect, Holding, PeerEvent, Shown};
use crate::protocol::message::{
    Coordinate, CoordinateReply, PeerAnswer, PeerRequest, ReplicaReply, ReplicaRequest, Target,
};
use crate::protocol::operation::OperationError;
use crate::protocol::replica::{Replica, ReplicaAsk, ReplicaEffect, scan_page};
use crate::protocol::settings::{SettingsEffect, SettingsKeeper};
use crate::protocol::time::{CeilingKeeper as _, Moment};
use crate::protocol::view::View;
use std::collections::BTreeSet;

/// What one machine of a node has to say to another.
#[derive(Debug)]
pub enum Task {
    /// To the replica, from the coordinator.
    Coordinate {
        /// The write.
        coordinate: Box<Coordinate>,
        /// Handed back.
        tag: u64,
    },
    /// To the replica.
    Ask(Box<ReplicaAsk<Way>>),
    /// To the coordinator.
    Answered {
        /// Who answers.
        from: NodeId,
        /// Handed back.
        tag: u64,
        /// What.
        answer: AnswerBody,
    },
    /// To the backfill, from the replica.
    Backfilled {
        /// Whose page the object was on.
        peer: NodeId,
        /// What.
        reply: ReplicaReply,
    },
    /// To the keeper of settings.
    FetchSettings {
        /// The bucket.
        bucket: BucketName,
        /// The peer that goes by newer ones.
        from: NodeId,
    },
    /// To all that asked a peer.
    PeerAnswered {
        /// Who asked.
        owner: Owner,
        /// The peer.
        from: NodeId,
        /// Handed back.
        tag: u64,
        /// What.
        answer: PeerAnswer,
    },
    /// The record of a key was found damaged.
    Damaged {
        /// The bucket.
        bucket: BucketName,
        /// The key.
        key: Key,
    },
    /// To the replica: what the other homes hold takes the place of a damaged record.
    Heal {
        /// The bucket.
        bucket: BucketName,
        /// The key.
        key: Key,
        /// What they hold.
        merged: Object,
        /// Handed back.
        tag: u64,
    },
    /// News of a peer.
    Peer(PeerEvent),
    /// Bucket settings have changed.
    SettingsChanged,
}

/// What crosses the network to a node's own replica and back, where even that leg does (see `pbs`).
#[derive(Debug)]
pub enum OwnLeg {
    /// A request reaches the replica.
    Ask(Box<ReplicaAsk<Way>>),
    /// The acknowledgement of a write that was coordinated here is back.
    Ack {
        /// Handed back to the replica.
        ticket: u64,
    },
    /// An answer is back.
    Answer {
        /// Handed back.
        tag: u64,
        /// What.
        reply: ReplicaReply,
    },
}

/// Peers that are told a clock ceiling at one tick; in large clusters the others' turn comes later.
const ANNOUNCED_TO: usize = 16;
/// Ticks after which it is written down what peers have announced.
const REMEMBERS_EVERY: u64 = 40;

type CoordinatorEffects = Vec<CoordinatorEffect<Client>>;

impl World {
    /// Lets the machines of all nodes hear what they have to say to each other.
    pub fn carry_out_tasks(&mut self) {
        while let Some((node, task)) = self.tasks.pop_front() {
            match task {
                Task::Coordinate { coordinate, tag } => self.coordinate(node, *coordinate, tag),
                Task::Ask(ask) => self.ask_replica(node, *ask),
                Task::Answered { from, tag, answer } => {
                    self.coordinator(node, |core, around, effects| {
                        core.answered(around, from, tag, answer, effects);
                    });
                }
                Task::Backfilled { peer, reply } => {
                    self.backfill(node, |core, now, view, effects| {
                        core.applied(now, view, peer, &reply, effects);
                    });
                }
                Task::FetchSettings { bucket, from } => {
                    self.settings(node, |core, now, _, _, effects| core.fetch(now, bucket, from, effects));
                }
                Task::PeerAnswered { owner, from, tag, answer } => {
                    self.peer_answered(node, owner, from, tag, answer);
                }
                Task::Damaged { bucket, key } => {
                    self.backfill(node, |core, _, _, _| core.damaged());
                    self.coordinator(node, |core, around, effects| core.heal(around, bucket, key, effects));
                }
                Task::Heal { bucket, key, merged, tag } => {
                    let target = (self.names.key_index(&bucket, &key), merged.context().clone());
                    let way = Way { to: ReplyTo::Coordinator { tag }, key: target.0, promise: target.1 };
                    self.replica(node, true, |core, _, view, host, effects| {
                        core.heal(view, host, (&bucket, &key), &merged, way, effects);
                    });
                }
                Task::Peer(event) => self.peer_event(node, event),
                Task::SettingsChanged => self.replica(node, false, |core, now, view, host, effects| {
                    core.unpark(now, view, host, effects);
                }),
            }
        }
    }

    /// Lets a node's coordinator take a step.
    pub fn coordinator(
        &mut self,
        at: NodeIndex,
        step: impl FnOnce(&mut Coordinator<Client>, Surroundings<'_>, &mut CoordinatorEffects),
    ) {
        let Self { nodes, names, now, .. } = self;
        let Some(node) = nodes.get_mut(at) else { return };
        let (moment, wall) = (node.clock.moment(*now), node.clock.wall(*now));
        let Node { process, id, ring, .. } = node;
        let Some(process) = process else { return };
        let Process { coordinator, keeper, clock, transport, .. } = &mut **process;
        let mut effects = Vec::new();
        let around = Surroundings {
            view: View { me: id, ring, buckets: keeper.table() },
            now: moment,
            clock: clock.read(wall),
            wall,
            is_up: &|peer| names.node(peer).is_some_and(|peer| transport.is_up(peer)),
        };
        step(coordinator, around, &mut effects);
        for effect in effects {
            self.coordinator_effect(at, effect);
        }
        self.arm(at);
    }

    fn coordinator_effect(&mut self, at: NodeIndex, effect: CoordinatorEffect<Client>) {
        match effect {
            CoordinatorEffect::Coordinate { coordinate, tag } => {
                self.tasks.push_back((at, Task::Coordinate { coordinate, tag }));
            }
            CoordinatorEffect::AskOwn { target, request, deadline, tag } => {
                let way = self.way(&target, &request, ReplyTo::Coordinator { tag });
                let ask = Box::new(ReplicaAsk { target, request, deadline, asker: None, to: way });
                if self.settings.own_leg_crosses {
                    let leg = leg_of(&ask.request);
                    return self.cross_own_leg(at, leg, OwnLeg::Ask(ask));
                }
                self.tasks.push_back((at, Task::Ask(ask)));
            }
            CoordinatorEffect::HealOwn { bucket, key, merged, tag } => {
                self.tasks.push_back((at, Task::Heal { bucket, key, merged, tag }));
            }
            CoordinatorEffect::Send { to, request, deadline, tag } => {
                self.send(at, &to, (Owner::Coordinator, tag), request, deadline);
            }
            CoordinatorEffect::FetchSettings { bucket, from } => {
                self.tasks.push_back((at, Task::FetchSettings { bucket, from }));
            }
            CoordinatorEffect::AnswerRead { client: Client::Operation(operation), result } => {
                self.read_answered(operation, result);
            }
            // A peer hands on writes only.
            CoordinatorEffect::AnswerRead { client: Client::Peer(_), .. } => {}
            CoordinatorEffect::AnswerWrite { client: Client::Operation(operation), result } => {
                self.write_answered(operation, *result);
            }
            CoordinatorEffect::AnswerWrite { client: Client::Peer(request), result } => {
                let answer = match *result {
                    Err(OperationError::NotServing(refusal)) => PeerAnswer::Refused(refusal),
                    Err(OperationError::Overloaded) => {
                        PeerAnswer::Refused(crate::protocol::message::Refusal::Overloaded)
                    }
                    result => PeerAnswer::Forwarded(Box::new(result)),
                };
                self.answer_peer(at, request, answer);
            }
            CoordinatorEffect::Count(count, times) => self.count(count.name(), times),
        }
    }

    /// Has the coordinator and the transport woken when they want to be.
    pub fn arm(&mut self, at: NodeIndex) {
        let Self { nodes, now, queue, .. } = self;
        let Some(node) = nodes.get_mut(at) else { return };
        let Some(process) = &mut node.process else { return };
        let wakes = [process.coordinator.wake_at(), process.transport.wake_at()];
        let Some(wake) = wakes.into_iter().flatten().min() else { return };
        if process.armed.is_none_or(|armed| wake < armed) {
            process.armed = Some(wake);
            queue.push(node.clock.time_of(wake, *now), Event::Wake(at, node.run));
        }
    }

    pub(super) fn wake(&mut self, at: NodeIndex, run: u64) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(at).filter(|node| node.run == run) else { return };
        let moment = node.clock.moment(now);
        let Some(process) = &mut node.process else { return };
        process.armed = None;
        let due = process.coordinator.wake_at().is_some_and(|wake| wake <= moment);
        let ended = process.transport.expire(moment);
        for (peer, request, refusal) in ended {
            let Some(from) = self.nodes.get(peer).map(|peer| peer.id.clone()) else { continue };
            let answer = PeerAnswer::Refused(refusal);
            let (owner, tag) = (request.owner, request.tag);
            self.tasks.push_back((at, Task::PeerAnswered { owner, from, tag, answer }));
        }
        if due {
            self.coordinator(at, Coordinator::tick);
        }
        self.arm(at);
    }

    /// Lets a node's replica take a step. `writes` says that it may write back changed what it reads.
    fn replica(
        &mut self,
        at: NodeIndex,
        writes: bool,
        step: impl FnOnce(&mut Replica<Way>, Moment, View<'_>, &mut Host<'_>, &mut Vec<ReplicaEffect<Way>>),
    ) {
        self.replica_with(at, writes, None, step);
    }

    fn replica_with(
        &mut self,
        at: NodeIndex,
        writes: bool,
        coordinating: Option<Box<Coordinate>>,
        step: impl FnOnce(&mut Replica<Way>, Moment, View<'_>, &mut Host<'_>, &mut Vec<ReplicaEffect<Way>>),
    ) {
        let keeps = coordinating.is_none() || !self.settings.own_leg_crosses;
        let Self { nodes, names, now, stored, random, .. } = self;
        let Some(node) = nodes.get_mut(at) else { return };
        let (moment, wall) = (node.clock.moment(*now), node.clock.wall(*now));
        let Node { process, id, ring, disk, .. } = node;
        let Some(process) = process else { return };
        let confirmed = process.gate.is_confirmed();
        let Process { replica, keeper, backfill, dots, clock, ceiling, commit, .. } = &mut **process;
        let mut host = Host {
            names,
            disk,
            commit,
            clock,
            ceiling,
            wall,
            dots,
            random,
            completeness: backfill.completeness(),
            confirmed,
            keeps,
            coordinating,
            writes,
            read: None,
            ticket: None,
            stored,
        };
        let view = View { me: id, ring, buckets: keeper.table() };
        let mut effects = Vec::new();
        step(replica, moment, view, &mut host, &mut effects);
        self.ticket = host.ticket;
        self.look_at_what_was_stored(at);
        for effect in effects {
            self.replica_effect(at, effect);
        }
        if self.nodes.get(at).is_some_and(|node| node.disk.store.take_failed_sync()) {
            return self.sync_failed(at);
        }
        self.sync(at);
    }

    /// A sync has failed: the process ends, and is started again.
    fn sync_failed(&mut self, at: NodeIndex) {
        let id = self.names_of(at);
        self.note(None, || format!("a sync fails at {id}: its process ends"));
        self.end_run(at, super::injector::Ending::PowerLoss);
        self.queue.push(self.now + super::queue::SECONDS, Event::Begin(at));
    }

    fn coordinate(&mut self, at: NodeIndex, coordinate: Coordinate, tag: u64) {
        let copy = Some(Box::new(coordinate.clone()));
        let way = Way { to: ReplyTo::Coordinator { tag }, key: None, promise: CausalContext::new() };
        self.replica_with(at, true, copy, |core, _, view, host, effects| {
            core.coordinate(view, host, coordinate, (tag, way), effects);
        });
    }

    fn ask_replica(&mut self, at: NodeIndex, ask: ReplicaAsk<Way>) {
        let writes = matches!(ask.request, ReplicaRequest::Apply(_));
        if let (Some(watch), Some(key), false) = (&mut self.watch, ask.to.key, writes) {
            watch.fetched(self.now, at, key);
        }
        self.replica(at, writes, |core, now, view, host, effects| core.ask(now, view, host, ask, effects));
    }

    fn replica_effect(&mut self, at: NodeIndex, effect: ReplicaEffect<Way>) {
        match effect {
            ReplicaEffect::Coordinated { tag, reply } => {
                let own = self.names_of(at);
                if let CoordinateReply::Stamped { object, answered, .. } = &*reply {
                    let key = self.truth.named(answered.dot).map(|(_, version)| version.key);
                    if let Some(key) = key {
                        if let Some(process) = self.process_mut(at) {
                            process.stamped.insert(tag, (key, answered.dot));
                        }
                        if let Some(ticket) = self.ticket.take() {
                            self.own_write_leaves(at, key, object, ticket);
                        }
                    }
                }
                let answer = AnswerBody::Coordinated(reply);
                self.tasks.push_back((at, Task::Answered { from: own, tag, answer }));
            }
            ReplicaEffect::Answer { to: Way { to, key, promise }, reply } => {
                self.replica_answered(at, to, (key, promise), reply);
            }
            ReplicaEffect::FetchSettings { bucket, from } => {
                self.tasks.push_back((at, Task::FetchSettings { bucket, from }));
            }
            ReplicaEffect::Damaged { bucket, key } => {
                self.tasks.push_back((at, Task::Damaged { bucket, key }));
            }
            ReplicaEffect::Count(count) => self.count(count.name(), 1),
        }
    }

    fn replica_answered(
        &mut self,
        at: NodeIndex,
        to: ReplyTo,
        (key, promise): (Option<super::truth::KeyIndex>, CausalContext),
        reply: ReplicaReply,
    ) {
        let stamped = match &to {
            ReplyTo::Coordinator { tag } => {
                self.process_mut(at).and_then(|process| process.stamped.remove(tag))
            }
            ReplyTo::Peer(_) | ReplyTo::Backfill { .. } | ReplyTo::Own { .. } => None,
        };
        if matches!(reply, ReplicaReply::Applied { .. }) {
            let ghost = self.nodes.get(at).and_then(|node| node.ghost_of);
            if let Some(key) = key.or(stamped.map(|(key, _)| key)) {
                self.truth.promise(key, at, ghost, &promise, stamped.map(|(_, dot)| dot));
            }
        }
        match to {
            ReplyTo::Coordinator { tag } if self.settings.own_leg_crosses && key.is_some() => {
                let leg = if matches!(reply, ReplicaReply::Applied { .. }) { Leg::Ack } else { Leg::Answer };
                self.cross_own_leg(at, leg, OwnLeg::Answer { tag, reply });
            }
            ReplyTo::Own { ticket } => self.cross_own_leg(at, Leg::Ack, OwnLeg::Ack { ticket }),
            ReplyTo::Coordinator { tag } => {
                let (from, answer) = (self.names_of(at), AnswerBody::Own(reply));
                self.tasks.push_back((at, Task::Answered { from, tag, answer }));
            }
            ReplyTo::Peer(request) => self.answer_peer(at, request, PeerAnswer::Replica(reply)),
            ReplyTo::Backfill { peer } => self.tasks.push_back((at, Task::Backfilled { peer, reply })),
        }
    }

    /// Records what a step stored, and holds it against the invariants.
    fn look_at_what_was_stored(&mut self, at: NodeIndex) {
        for Stored { key, before, after, coordinated, kept } in std::mem::take(&mut self.stored) {
            let id = self.names_of(at);
            self.note(Some(key), || {
                let dots =
                    after.versions().iter().map(|version| super::checkers::causality::shown(version.dot));
                format!("{id} holds [{}]", dots.collect::<Vec<_>>().join(", "))
            });
            if let Some(coordinate) = coordinated {
                self.record_write(at, key, before.as_ref(), &after, &coordinate);
            }
            let Some(node) = self.nodes.get(at) else { return };
            let (ghost, id) = (node.ghost_of, node.id.clone());
            if self.truth.place(key, ghost.unwrap_or(at)).is_none() {
                let what = format!("{id} keeps a key that it is no home of");
                let violation =
                    super::checkers::Violation::at(super::checkers::Invariant::Overlap, key, what);
                self.check(Err(violation));
            }
            let checked = self.causality.object(&self.truth, key, &after, before.as_ref());
            self.check(checked);
            if ghost.is_none() && kept {
                self.truth.holds(self.now, key, at, &after);
            }
            self.mix(u64::from(key), after.versions().len() as u64);
        }
    }

    fn record_write(
        &mut self,
        at: NodeIndex,
        key: super::truth::KeyIndex,
        before: Option<&Object>,
        after: &Object,
        coordinate: &Coordinate,
    ) {
        let nothing = Object::new();
        let before = before.unwrap_or(&nothing);
        let known = |dot| before.versions().iter().any(|version| version.dot == dot);
        let Some(version) = after.versions().iter().find(|version| !known(version.dot)) else { return };
        let past = match (&coordinate.write.context, coordinate.blind) {
            (Some(context), _) => context.clone(),
            (None, BlindWrite::Overwrite) => before.context().clone(),
            (None, BlindWrite::Sibling) => CausalContext::new(),
        };
        let written = Written {
            key,
            disk: self.nodes.get(at).map_or(0, |node| node.serial),
            before,
            past,
            version,
            w: coordinate.w,
            write_id: coordinate.write_id,
            named: coordinate.write.write_id.is_some(),
        };
        let checked = self.causality.wrote(&self.truth, &written);
        self.check(checked);
        let dot = version.dot;
        self.truth.write(self.now, written);
        let id = self.names_of(at);
        self.note(Some(key), || {
            format!("{id} writes {} for {}", super::checkers::causality::shown(dot), coordinate.write_id)
        });
    }

    /// Begins a sync where there is something to make durable and none runs.
    fn sync(&mut self, at: NodeIndex) {
        let Self { nodes, queue, random, now, .. } = self;
        let Some(node) = nodes.get_mut(at) else { return };
        let Some(process) = &mut node.process else { return };
        if process.commit.begin(&node.disk).is_some() {
            queue.push(*now + node.disk.sync_takes(random), Event::Synced(at, node.run));
        }
    }

    pub(super) fn synced(&mut self, at: NodeIndex, run: u64) {
        let Some(node) = self.nodes.get_mut(at).filter(|node| node.run == run) else { return };
        let Some(process) = &mut node.process else { return };
        if !process.commit.can_end(&node.disk) && !planted::has(Bug::IgnoreFailedSync) {
            return self.sync_failed(at);
        }
        let tickets = process.commit.end(&node.disk);
        self.replica(at, false, |core, _, _, _, effects| {
            tickets.into_iter().for_each(|ticket| core.durable(ticket, effects));
        });
    }

    /// Lets a node's backfill take a step.
    fn backfill(
        &mut self,
        at: NodeIndex,
        step: impl FnOnce(&mut Backfill, Moment, View<'_>, &mut Vec<BackfillEffect>),
    ) {
        let now = self.now;
        let Some(Node { process: Some(process), id, ring, clock, .. }) = self.nodes.get_mut(at) else {
            return;
        };
        let Process { keeper, backfill, .. } = &mut **process;
        let view = View { me: id, ring, buckets: keeper.table() };
        let mut effects = Vec::new();
        step(backfill, clock.moment(now), view, &mut effects);
        for effect in effects {
            self.backfill_effect(at, effect);
        }
    }

    fn backfill_effect(&mut self, at: NodeIndex, effect: BackfillEffect) {
        let id = self.names_of(at);
        match effect {
            BackfillEffect::Ask { peer, request, deadline } => {
                self.send(at, &peer, (Owner::Backfill, 0), request, deadline);
            }
            BackfillEffect::Apply { peer, bucket, key, object, deadline } => {
                let Some(process) = self.process_mut(at) else { return };
                let settings = process.keeper.table().version(&bucket).clone();
                let target = Target { bucket, key, settings };
                let request = ReplicaRequest::Apply(object);
                let to = self.way(&target, &request, ReplyTo::Backfill { peer });
                let ask = Box::new(ReplicaAsk { target, request, deadline, asker: None, to });
                self.tasks.push_back((at, Task::Ask(ask)));
            }
            // What the backfill knows is looked at where it is needed.
            BackfillEffect::Show => {}
            BackfillEffect::Mark(holding) => {
                if matches!(holding, Holding::Complete(_)) {
                    self.without_memory.remove(&at);
                }
                self.note(None, || format!("{id} is {holding:?}"));
                if let Some(process) = self.process_mut(at) {
                    // A disk that fails ends the process at its next sync.
                    let _ = process.bookkeeping.mark_holding(holding);
                }
            }
            BackfillEffect::NotKnownAsFirst { by, another } => {
                let what =
                    if another { "remembers another" } else { "does not know whether it is the first" };
                self.note(None, || format!("{by} {what} directory of {id}"));
            }
            BackfillEffect::Ended { peer, result } => {
                self.note(None, || format!("{id} has pulled from {peer}: {result:?}"));
            }
        }
    }

    /// Lets a node's keeper of settings take a step.
    pub fn settings<T>(
        &mut self,
        at: NodeIndex,
        step: impl FnOnce(
            &mut SettingsKeeper<u64>,
            Moment,
            View<'_>,
            &mut SettingsNode<'_>,
            &mut Vec<SettingsEffect<u64>>,
        ) -> T,
    ) -> Option<T> {
        let now = self.now;
        let Node { process, id, ring, clock: clocks, disk, .. } = self.nodes.get_mut(at)?;
        let Process { keeper, clock, ceiling, .. } = &mut **process.as_mut()?;
        let table = keeper.table().clone();
        let view = View { me: id, ring, buckets: &table };
        let partitions = ring.partitions();
        let mut host = SettingsNode { disk, clock, ceiling, wall: clocks.wall(now), partitions };
        let mut effects = Vec::new();
        let result = step(keeper, clocks.moment(now), view, &mut host, &mut effects);
        for effect in effects {
            match effect {
                SettingsEffect::Send { to, request, deadline, tag } => {
                    self.send(at, &to, (Owner::Settings, tag), *request, deadline);
                }
                SettingsEffect::Reply { client, reply } => self.settings_answered(client, &reply),
                SettingsEffect::Show => self.tasks.push_back((at, Task::SettingsChanged)),
            }
        }
        Some(result)
    }

    fn peer_answered(&mut self, at: NodeIndex, owner: Owner, from: NodeId, tag: u64, answer: PeerAnswer) {
        match owner {
            Owner::Coordinator => {
                let answer = AnswerBody::Peer(answer);
                self.coordinator(at, |core, around, effects| {
                    core.answered(around, from, tag, answer, effects);
                    core.tick(around, effects);
                });
            }
            Owner::Settings => {
                self.settings(at, |core, _, view, host, effects| {
                    core.answered(view, &from, tag, answer, host, effects);
                });
            }
            Owner::Backfill => {
                self.backfill(at, |core, now, view, effects| core.answered(now, view, from, answer, effects));
            }
        }
    }

    fn peer_event(&mut self, at: NodeIndex, event: PeerEvent) {
        match event {
            PeerEvent::Up(peer) => {
                let asked = peer.clone();
                self.settings(at, |core, now, _, _, effects| core.peer_up(now, asked, effects));
                self.backfill(at, |core, now, _, effects| core.peer_up(now, peer, effects));
            }
            PeerEvent::Down(_) => {}
        }
    }

    fn look_for_pages(&mut self, at: NodeIndex) {
        let Self { nodes, names, now, .. } = self;
        let Some(Node { process: Some(process), id, ring, clock, .. }) = nodes.get_mut(at) else { return };
        let Process { keeper, backfill, transport, gate, .. } = &mut **process;
        let view = View { me: id, ring, buckets: keeper.table() };
        let mut effects = Vec::new();
        let is_up = |peer: &NodeId| names.node(peer).is_some_and(|peer| transport.is_up(peer));
        let can_pull = |peer: &NodeId| gate.is_confirmed() && is_up(peer) && keeper.heard().contains(peer);
        backfill.look(clock.moment(*now), view, keeper.is_settled(view), (is_up, can_pull), &mut effects);
        for effect in effects {
            self.backfill_effect(at, effect);
        }
    }

    pub(super) fn tick(&mut self, at: NodeIndex, run: u64) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(at).filter(|node| node.run == run) else { return };
        let wall = node.clock.wall(now);
        let Some(process) = &mut node.process else { return };
        self.queue.push(now + TICK, Event::Tick(at, run));
        let mut synced = process.keep_ceiling_ahead(wall);
        if process.commit.policy == crate::storage::Commit::Interval {
            synced = synced.and_then(|()| crate::storage::Store::sync(&*node.disk.store));
        }
        if synced.is_err() {
            return self.sync_failed(at);
        }
        let parked = process.replica.parked() > 0;
        let ticks = now / TICK;
        self.announce_ceiling(at, ticks);
        if ticks.is_multiple_of(REMEMBERS_EVERY) {
            self.remember_announced(at);
        }
        self.look_for_settings(at);
        self.look_for_pages(at);
        if parked {
            self.tasks.push_back((at, Task::SettingsChanged));
        }
    }

    /// Asks those who have not told their bucket settings yet.
    fn look_for_settings(&mut self, at: NodeIndex) {
        let nodes = &self.nodes;
        let Some(Node { process: Some(process), .. }) = nodes.get(at) else { return };
        let heard = process.keeper.heard();
        let up = process.transport.links.iter().filter(|(_, link)| link.connection.is_some());
        let up = up.filter_map(|(peer, _)| nodes.get(*peer).map(|node| &node.id));
        let up: BTreeSet<NodeId> = up.filter(|peer| !heard.contains(peer)).cloned().collect();
        if up.is_empty() {
            return;
        }
        self.settings(at, |core, now, view, _, effects| {
            core.look(now, view, |peer| up.contains(peer), effects);
        });
    }

    /// Tells peers how far this node's clock may have come.
    fn announce_ceiling(&mut self, at: NodeIndex, ticks: u64) {
        let Some(node) = self.nodes.get(at) else { return };
        let Some(process) = &node.process else { return };
        let (id, ceiling) = (node.id.clone(), process.ceiling.synced());
        let turns = process.transport.links.len().div_ceil(ANNOUNCED_TO).max(1);
        let turn = usize::try_from(ticks).unwrap_or(0) % turns;
        let links = process.transport.links.iter().skip(turn * ANNOUNCED_TO).take(ANNOUNCED_TO);
        let up = links.filter(|(_, link)| link.connection.is_some()).map(|(peer, _)| *peer);
        for peer in up.collect::<Vec<_>>() {
            if self.network.is_cut(at, peer) {
                continue;
            }
            let Some(hears) = self.nodes.get_mut(peer).filter(|peer| !peer.paused) else { continue };
            let Some(process) = &mut hears.process else { continue };
            process.gate.announced(&id, ceiling);
        }
    }

    /// Writes down which ceilings peers have announced.
    fn remember_announced(&mut self, at: NodeIndex) {
        let Some(node) = self.nodes.get_mut(at) else { return };
        let Some(process) = &mut node.process else { return };
        let announced = process.gate.take_announced();
        remember(&node.disk, &announced);
    }

    /// Makes it durable whom a node has admitted.
    pub fn remember_admitted(&mut self, at: NodeIndex) {
        let Some(node) = self.nodes.get_mut(at) else { return };
        let Some(process) = &mut node.process else { return };
        let admitted = process.gate.take_admitted();
        if !admitted.is_empty() {
            remember(&node.disk, &admitted);
            // A disk that fails ends the process at its next sync.
            let _ = crate::storage::Store::sync(&*node.disk.store);
        }
    }

    /// Serves a request of a peer.
    pub fn serve_peer(&mut self, at: NodeIndex, from: PeerRequestId, frame: Frame) {
        let Body::Request { request, time_left_us } = frame.body else { return };
        let Some(peer) = self.nodes.get(from.peer).map(|peer| peer.id.clone()) else { return };
        let now = self.now;
        let Some(node) = self.nodes.get_mut(at) else { return };
        let moment = node.clock.moment(now);
        let deadline = moment.plus_micros(time_left_us);
        match request {
            PeerRequest::Replica(target, request) => {
                let to = self.way(&target, &request, ReplyTo::Peer(from));
                let asker = Some((peer, frame.clock));
                let ask = ReplicaAsk { target, request, deadline, asker, to };
                self.tasks.push_back((at, Task::Ask(Box::new(ask))));
            }
            PeerRequest::Forward(write, write_id, version) => {
                let ask = Ask::Forwarded { write, write_id, version, from: peer };
                self.coordinator(at, |core, around, effects| {
                    core.begin(around, ask, Client::Peer(from), deadline, effects);
                });
            }
            PeerRequest::RecallDirectories => {
                let Some(process) = &node.process else { return };
                let recall = process.gate.recall(&peer, process.backfill.completeness().memory());
                self.answer_peer(at, from, PeerAnswer::Recalled(recall));
            }
            PeerRequest::Scan { after, max_bytes } => {
                let Node { process, id, ring, disk, .. } = node;
                let Some(process) = process else { return };
                let view = View { me: id, ring, buckets: process.keeper.table() };
                let scanner = Scanner { disk, completeness: process.backfill.completeness() };
                let mut damaged = Vec::new();
                let mut note = |bucket, key| damaged.push((bucket, key));
                let page = scan_page(view, &scanner, &peer, after, max_bytes as usize, &mut note);
                for (bucket, key) in damaged {
                    self.tasks.push_back((at, Task::Damaged { bucket, key }));
                }
                self.answer_peer(at, from, page.map_or_else(PeerAnswer::Refused, PeerAnswer::Scanned));
            }
            request => {
                let answer =
                    self.settings(at, |core, _, _, host, effects| core.serve(request, host, effects));
                if let Some(answer) = answer {
                    self.answer_peer(at, from, answer);
                }
            }
        }
    }

    fn way(&self, target: &Target, request: &ReplicaRequest, to: ReplyTo) -> Way {
        let key = self.names.key_index(&target.bucket, &target.key);
        let promise = match request {
            ReplicaRequest::Apply(object) => object.context().clone(),
            ReplicaRequest::Fetch => CausalContext::new(),
        };
        Way { to, key, promise }
    }

    /// The state of a write that was coordinated here is on its way to this very node's replica.
    fn own_write_leaves(&mut self, at: NodeIndex, key: super::truth::KeyIndex, object: &Object, ticket: u64) {
        let Some(bucket) = self.names.bucket_of(key).cloned() else { return };
        let Some(node) = self.nodes.get(at) else { return };
        let deadline = node.clock.moment(self.now).plus_micros(self.settings.timeout_us);
        let Some(process) = &node.process else { return };
        let settings = process.keeper.table().version(&bucket).clone();
        let target = Target { bucket, key: self.names.key(key), settings };
        let request = ReplicaRequest::Apply(object.clone());
        let to = self.way(&target, &request, ReplyTo::Own { ticket });
        let ask = Box::new(ReplicaAsk { target, request, deadline, asker: None, to });
        self.cross_own_leg(at, Leg::Write, OwnLeg::Ask(ask));
    }

    fn cross_own_leg(&mut self, at: NodeIndex, leg: Leg, what: OwnLeg) {
        let Some(run) = self.nodes.get(at).map(|node| node.run) else { return };
        let arrives = self.network.own(self.now, at, leg);
        self.queue.push(arrives, Event::Own(at, run, Box::new(what)));
    }

    pub(super) fn own_leg(&mut self, at: NodeIndex, run: u64, leg: OwnLeg) {
        if self.nodes.get(at).is_none_or(|node| node.run != run) {
            return;
        }
        match leg {
            OwnLeg::Ack { ticket } => {
                self.replica(at, false, |core, _, _, _, effects| core.durable(ticket, effects));
            }
            OwnLeg::Ask(ask) => self.tasks.push_back((at, Task::Ask(ask))),
            OwnLeg::Answer { tag, reply } => {
                let (from, answer) = (self.names_of(at), AnswerBody::Own(reply));
                self.tasks.push_back((at, Task::Answered { from, tag, answer }));
            }
        }
    }

    /// A node's name.
    #[expect(clippy::indexing_slicing, reason = "nodes are never removed, and every index is one of theirs")]
    pub fn names_of(&self, at: NodeIndex) -> NodeId {
        self.nodes[at].id.clone()
    }

    /// A node's run.
    pub fn process_mut(&mut self, at: NodeIndex) -> Option<&mut Process> {
        self.nodes.get_mut(at)?.process.as_deref_mut()
    }
}

/// Writes down what is remembered of peers. It is synced with whatever is synced next.
fn remember(disk: &Disk, peers: &[(NodeId, Vec<(DirectoryId, Shown)>)]) {
    let changes: Vec<_> = peers.iter().map(|(id, shown)| crate::storage::peers::change(id, shown)).collect();
    if !changes.is_empty() {
        // Memory always takes them.
        let _ = crate::storage::Store::apply_from_reserve(&*disk.store, changes);
    }
}

fn leg_of(request: &ReplicaRequest) -> Leg {
    match request {
        ReplicaRequest::Apply(_) => Leg::Write,
        ReplicaRequest::Fetch => Leg::Read,
    }
}
