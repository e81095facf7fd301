//! Drives the replica of a node, its group commit, and what the truth sees of it.

use super::Task;
use super::own_leg::OwnLeg;
use crate::checkers::endings;
use crate::network::{Leg, NodeIndex};
use crate::process::{Host, Process, ReplyTo, Stored, Way};
use crate::truth::{KeyIndex, Written};
use crate::world::{Event, Node, World};
use neap_protocol::bounds::ObjectBounds;
use neap_protocol::bucket::BlindWrite;
use neap_protocol::causality::{CausalContext, Object};
use neap_protocol::coordinator::AnswerBody;
use neap_protocol::message::{Coordinate, CoordinateReply, PeerAnswer, ReplicaReply, ReplicaRequest, Target};
use neap_protocol::planted::{self, Bug};
use neap_protocol::replica::{Replica, ReplicaAsk, ReplicaEffect};
use neap_protocol::time::Moment;
use neap_protocol::view::View;

impl World {
    /// Lets a node's replica take a step. `writes` says that it may write back changed what it reads.
    pub(super) fn replica(
        &mut self,
        at: NodeIndex,
        writes: bool,
        step: impl FnOnce(&mut Replica<Way>, Moment, View<'_>, &mut Host<'_>, &mut Vec<ReplicaEffect<Way>>),
    ) {
        self.replica_with(at, writes, None, step);
    }

    pub(super) fn replica_with(
        &mut self,
        at: NodeIndex,
        writes: bool,
        coordinating: Option<Box<Coordinate>>,
        step: impl FnOnce(&mut Replica<Way>, Moment, View<'_>, &mut Host<'_>, &mut Vec<ReplicaEffect<Way>>),
    ) {
        let keeps = coordinating.is_none() || !self.settings.own_leg_crosses;
        let Self { nodes, names, now, stored, random, .. } = self;
        let Some(node) = nodes.get_mut(at) else { return };
        let (moment, wall) = (node.clock.moment(*now), node.wall(*now));
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
    pub(super) fn sync_failed(&mut self, at: NodeIndex) {
        let id = self.names_of(at);
        self.note(None, || format!("a sync fails at {id}: its process ends"));
        self.end_run(at, crate::injector::Ending::PowerLoss);
        self.queue.push(self.now + crate::queue::SECONDS, Event::Begin(at));
    }

    pub(super) fn coordinate(&mut self, at: NodeIndex, coordinate: Coordinate, tag: u64) {
        let copy = Some(Box::new(coordinate.clone()));
        let way = Way { to: ReplyTo::Coordinator { tag }, key: None, promise: CausalContext::new() };
        self.replica_with(at, true, copy, |core, now, view, host, effects| {
            core.coordinate(now, view, host, coordinate, (tag, way), effects);
        });
    }

    pub(super) fn ask_replica(&mut self, at: NodeIndex, ask: ReplicaAsk<Way>) {
        let writes = matches!(ask.request, ReplicaRequest::Apply(..));
        if let (Some(watch), Some(key), false) = (&mut self.watch, ask.to.key, writes) {
            watch.fetched(self.now, at, key);
        }
        self.replica(at, writes, |core, now, view, host, effects| core.ask(now, view, host, ask, effects));
    }

    pub(super) fn replica_effect(&mut self, at: NodeIndex, effect: ReplicaEffect<Way>) {
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
            ReplicaEffect::Lacking { bucket, key } => {
                self.tasks.push_back((at, Task::Lacking { bucket, key }));
            }
            ReplicaEffect::TooLarge(_) => self.count("objects_too_large", 1),
            ReplicaEffect::Merged { conflict, .. } => {
                self.count(if conflict { "merges_with_siblings" } else { "merges" }, 1);
            }
            ReplicaEffect::Count(count) => self.count(count.name(), 1),
        }
    }

    pub(super) fn replica_answered(
        &mut self,
        at: NodeIndex,
        to: ReplyTo,
        (key, promise): (Option<crate::truth::KeyIndex>, CausalContext),
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
    pub(super) fn look_at_what_was_stored(&mut self, at: NodeIndex) {
        for Stored { key, before, after, coordinated, kept } in std::mem::take(&mut self.stored) {
            let id = self.names_of(at);
            self.note(Some(key), || {
                let dots =
                    after.versions().iter().map(|version| crate::checkers::causality::shown(version.dot));
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
                    crate::checkers::Violation::at(crate::checkers::Invariant::Overlap, key, what);
                self.check(Err(violation));
            }
            let checked = self.causality.object(&self.truth, key, &after, before.as_ref());
            self.check(checked);
            if let Some(bounds) = self.bounds_of(key).filter(|_| !self.outgrown.contains(&key)) {
                let homes = self.truth.key(key).map_or(0, |key| key.homes.len());
                let checked = endings::joined(key, &after, homes, bounds);
                self.check(checked);
            }
            if ghost.is_none() && kept {
                self.truth.holds(self.now, key, at, &after);
            }
            self.mix(u64::from(key), after.versions().len() as u64);
        }
    }

    pub(super) fn record_write(
        &mut self,
        at: NodeIndex,
        key: crate::truth::KeyIndex,
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
            by: (at, self.nodes.get(at).map_or(0, |node| node.run)),
            write_id: coordinate.write_id,
            named: coordinate.write.write_id.is_some(),
        };
        let checked = self.causality.wrote(&self.truth, &written);
        self.check(checked);
        if let Some(bounds) = self.bounds_of(key) {
            let knows = !self.nodes.get(at).is_some_and(|node| node.bounds_nothing);
            if knows {
                let checked = endings::left(key, before, after, bounds);
                self.check(checked);
            }
            if after.message_bytes() > bounds.bytes || after.versions().len() > bounds.versions {
                self.outgrown.insert(key);
            }
        }
        let dot = version.dot;
        self.truth.write(self.now, written);
        let id = self.names_of(at);
        self.note(Some(key), || {
            format!("{id} writes {} for {}", crate::checkers::causality::shown(dot), coordinate.write_id)
        });
    }

    /// The bounds of an object.
    fn bounds_of(&self, key: KeyIndex) -> Option<ObjectBounds> {
        let bucket = self.buckets.get(self.names.bucket_index(key))?;
        Some(self.settings.sizes.messages.object(&bucket.settings))
    }

    /// Begins a sync where there is something to make durable and none runs.
    pub(super) fn sync(&mut self, at: NodeIndex) {
        let Self { nodes, queue, random, now, .. } = self;
        let Some(node) = nodes.get_mut(at) else { return };
        let Some(process) = &mut node.process else { return };
        if process.commit.begin(&node.disk).is_some() {
            queue.push(*now + node.disk.sync_takes(random), Event::Synced(at, node.run));
        }
    }

    pub(crate) fn synced(&mut self, at: NodeIndex, run: u64) {
        let Some(node) = self.nodes.get_mut(at).filter(|node| node.run == run) else { return };
        let Some(process) = &mut node.process else { return };
        if !process.commit.can_end(&node.disk) && !planted::has(Bug::IgnoreFailedSync) {
            return self.sync_failed(at);
        }
        let tickets = process.commit.end(&node.disk);
        self.replica(at, false, |core, now, _, _, effects| {
            tickets.into_iter().for_each(|ticket| core.durable(now, ticket, effects));
        });
    }

    pub(super) fn way(&self, target: &Target, request: &ReplicaRequest, to: ReplyTo) -> Way {
        let key = self.names.key_index(&target.bucket, &target.key);
        let promise = match request {
            ReplicaRequest::Apply(object, _) => object.context().clone(),
            ReplicaRequest::Fetch | ReplicaRequest::FetchAsIs | ReplicaRequest::Probe => CausalContext::new(),
        };
        Way { to, key, promise }
    }
}
