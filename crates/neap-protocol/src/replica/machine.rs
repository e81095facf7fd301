//! The replica's machine: requests in; answers, at once or when durable, out.

use std::collections::BTreeMap;

use super::effects::{LargeObject, ReplicaCount, ReplicaEffect};
use super::host::{Held, LackingObject, ReplicaHost};
use super::step::{Decision, Prospect, Written, carry_out, decide, merge};
use crate::bounds::{MessageBounds, ObjectBounds, Overfull, is_near};
use crate::causality::{CausalContext, Object, shows_a_value};
use crate::ids::{BucketName, Key, NodeId, PartitionId, TraceContext};
use crate::message::{
    Coordinate, CoordinateReply, Gathered, LeftOut, Refusal, ReplicaReply, ReplicaRequest, Target, Via,
};
use crate::planted::{self, Bug};
use crate::sli::Path;
use crate::staleness::{AppliedAt, Change, History, Since, WriteTrace};
use crate::time::{Hlc, Moment};
use crate::view::View;

/// How many acknowledgements may wait for a sync.
pub const WAITING_MAX: usize = 65_536;
/// How many requests may wait for newer bucket settings.
pub const PARKED_MAX: usize = 1_024;

/// A request to merge or fetch. `W` is the way back to whoever asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaAsk<W> {
    /// The key.
    pub target: Target,
    /// What to do.
    pub request: ReplicaRequest,
    /// When nobody cares any more.
    pub deadline: Moment,
    /// The peer that asks, and its clock; none where this node asks itself.
    pub asker: Option<(NodeId, Hlc)>,
    /// The trace that the request belongs to, if it is traced.
    pub trace: Option<TraceContext>,
    /// The way back.
    pub to: W,
}

/// The replica of one shard.
#[derive(Debug)]
pub struct Replica<W> {
    waiting: BTreeMap<u64, (W, ReplicaReply)>,
    next_ticket: u64,
    parked: Vec<ReplicaAsk<W>>,
    keep_write_ids_us: u64,
    messages: MessageBounds,
    history: History,
}

type Effects<W> = Vec<ReplicaEffect<W>>;

impl<W> Replica<W> {
    /// A replica with nothing under way, which remembers superseded write ids for `keep_write_ids_us`: twice
    /// `limits.timeout`. `clock` names the clock of its moments, which is another for each run: the id of the run's first
    /// actor. `messages` bounds objects.
    #[must_use]
    pub fn new(keep_write_ids_us: u64, clock: u64, messages: MessageBounds) -> Self {
        Self {
            waiting: BTreeMap::new(),
            next_ticket: 0,
            parked: Vec::new(),
            keep_write_ids_us,
            messages,
            history: History::new(clock),
        }
    }

    /// How many acknowledgements wait for a sync.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many requests wait for newer bucket settings.
    #[must_use]
    pub fn parked(&self) -> usize {
        self.parked.len()
    }

    /// Carries out a write of this node's coordinator. `tag` comes back with the answer, and `to` gets the
    /// acknowledgement that follows it once the write is durable.
    pub fn coordinate<H: ReplicaHost>(
        &mut self,
        now: Moment,
        view: View<'_>,
        host: &mut H,
        coordinate: Coordinate,
        (tag, to): (u64, W),
        effects: &mut Effects<W>,
    ) {
        let (bucket, key) = (coordinate.write.bucket.clone(), coordinate.write.key.clone());
        let bounds = self.messages.object(view.buckets.settings(&bucket));
        let stamped = self.stamp(now, view, host, coordinate, bounds);
        let (reply, when) = stamped.unwrap_or_else(|refusal| (CoordinateReply::Refused(refusal), None));
        let applied = match &reply {
            CoordinateReply::Stamped { object, again, .. } => {
                if !again {
                    note_what_is_near(object, bounds, effects);
                }
                when.map(|when| ReplicaReply::Applied { siblings: live_versions(object), when })
            }
            CoordinateReply::Overfull(why) => {
                effects.push(ReplicaEffect::Count(refused_for(*why)));
                None
            }
            CoordinateReply::Refused(refusal) => {
                effects.extend(to_be_healed(*refusal, bucket, key));
                None
            }
            CoordinateReply::Exists => None,
        };
        effects.push(ReplicaEffect::Coordinated { tag, reply: Box::new(reply) });
        if let Some(applied) = applied {
            self.when_durable(host, to, applied, effects);
        }
    }

    /// The atomic step: read the own object, take the next counter, stamp the clock, write it back.
    fn stamp<H: ReplicaHost>(
        &mut self,
        now: Moment,
        view: View<'_>,
        host: &mut H,
        coordinate: Coordinate,
        bounds: ObjectBounds,
    ) -> Result<(CoordinateReply, Option<AppliedAt>), Refusal> {
        let (partition, slot) = place(view, host, &coordinate.write.bucket, &coordinate.write.key)?;
        if !host.serves(partition) {
            return Err(Refusal::Incomplete);
        }
        self.room_to_wait()?;
        let (held, lacks) = match host.read(&slot)? {
            Held::Object(object) => (object, None),
            Held::Nothing => (Object::new(), None),
            // All that this node's actor wrote is in it, and there may be nobody else to make it smaller.
            Held::Lacking(LackingObject { object, lacks }) if !coordinate.write.only_if_absent => {
                (object, Some(lacks))
            }
            Held::Lacking(_) => return Err(Refusal::LeftOut),
            Held::Damaged => return Err(Refusal::Damaged),
        };
        let resolution = view.buckets.settings(&coordinate.write.bucket).resolution;
        let exists = shows_a_value(&held, resolution, host.shown().wall());
        let (actor, shown) = (host.actor(), host.shown());
        let horizon = shown.minus_micros(self.keep_write_ids_us);
        let prospect = Prospect { actor, hlc: shown, horizon, bounds };
        match decide(&held, &coordinate, exists, prospect) {
            Decision::Exists => return Ok((CoordinateReply::Exists, None)),
            Decision::Overfull(why) => return Ok((CoordinateReply::Overfull(why), None)),
            Decision::Again(answered) => {
                let (bucket, key) = (&coordinate.write.bucket, &coordinate.write.key);
                let since = self.history.since(now, bucket, key, answered.dot);
                let reply = CoordinateReply::Stamped { object: held, answered, again: true };
                return Ok((reply, Some(self.when(now, since))));
            }
            Decision::Write => {}
        }
        let hlc = host.issue()?;
        let horizon = hlc.minus_micros(self.keep_write_ids_us);
        let mut dot = host.next_dot();
        let deleted = !held.versions().is_empty() && held.versions().iter().all(|live| live.is_tombstone());
        if planted::has(Bug::RestartCounterOfDeletedKey) && deleted {
            dot.counter = 1;
        }
        let (bucket, key) = (coordinate.write.bucket.clone(), coordinate.write.key.clone());
        let trace = coordinate.trace.map(|context| WriteTrace { dot, context });
        let before = self.history.before(&bucket, &key, &held);
        let Written { object, answered } = carry_out(held, coordinate, (dot, hlc), !exists, horizon);
        keep(host, &slot, &object, lacks.as_ref())?;
        let change = Change { after: &object, path: Path::Direct, trace };
        self.history.changed(now, &bucket, &key, before, change);
        let reply = CoordinateReply::Stamped { object, answered, again: false };
        Ok((reply, Some(self.when(now, Since { at: now, exactly: true, path: Path::Direct }))))
    }

    /// Serves a request to merge or fetch.
    pub fn ask<H: ReplicaHost>(
        &mut self,
        now: Moment,
        view: View<'_>,
        host: &mut H,
        ask: ReplicaAsk<W>,
        effects: &mut Effects<W>,
    ) {
        if let Some((_, clock)) = &ask.asker
            && host.observe(*clock).is_err()
        {
            effects.push(ReplicaEffect::Count(ReplicaCount::ClockSkewRefused));
            return refuse(ask.to, Refusal::ClockSkew, effects);
        }
        self.admit(now, view, host, ask, effects);
    }

    fn admit<H: ReplicaHost>(
        &mut self,
        now: Moment,
        view: View<'_>,
        host: &mut H,
        ask: ReplicaAsk<W>,
        effects: &mut Effects<W>,
    ) {
        if now >= ask.deadline {
            effects.push(ReplicaEffect::Count(ReplicaCount::ExpiredOnArrival));
            return refuse(ask.to, Refusal::Deadline, effects);
        }
        if let Some((from, _)) = &ask.asker
            && ask.target.settings > *view.buckets.version(&ask.target.bucket)
        {
            let from = from.clone();
            return self.park(ask, from, effects);
        }
        let ReplicaAsk { target, request, trace, asker, to, .. } = ask;
        let far = asker.is_some();
        match self.serve((now, view), host, &target, Received { far, request, trace }, effects) {
            Ok(reply @ ReplicaReply::Applied { .. }) => self.when_durable(host, to, reply, effects),
            Ok(reply) => effects.push(ReplicaEffect::Answer { to, reply }),
            Err(refusal) => {
                if refusal == Refusal::WrongRing {
                    effects.push(ReplicaEffect::Count(ReplicaCount::WrongRing));
                }
                refuse(to, refusal, effects);
                effects.extend(to_be_healed(refusal, target.bucket, target.key));
            }
        }
    }

    fn serve<H: ReplicaHost>(
        &mut self,
        (now, view): (Moment, View<'_>),
        host: &mut H,
        target: &Target,
        Received { far, request, trace }: Received,
        effects: &mut Effects<W>,
    ) -> Result<ReplicaReply, Refusal> {
        let (partition, slot) = place(view, host, &target.bucket, &target.key)?;
        match request {
            ReplicaRequest::Fetch => {
                if !host.serves(partition) && !planted::has(Bug::IncompleteAnswers) {
                    return Err(Refusal::Incomplete);
                }
                match host.read(&slot)? {
                    Held::Object(object) if far => self.send(object, target, effects),
                    Held::Object(object) => Ok(ReplicaReply::Fetched(Some(object))),
                    Held::Lacking(held) if planted::has(Bug::LeftOutAnswers) => {
                        Ok(ReplicaReply::Fetched(Some(held.object)))
                    }
                    Held::Lacking(_) => Err(Refusal::LeftOut),
                    Held::Nothing => Ok(ReplicaReply::Fetched(None)),
                    Held::Damaged if planted::has(Bug::DamagedIsEmpty) => Ok(ReplicaReply::Fetched(None)),
                    Held::Damaged => Err(Refusal::Damaged),
                }
            }
            ReplicaRequest::FetchAsIs if !host.serves(partition) => Err(Refusal::Incomplete),
            ReplicaRequest::FetchAsIs => match host.read(&slot)? {
                Held::Damaged => Err(Refusal::Damaged),
                held => match held.object() {
                    Some(object) if far => self.send(object, target, effects),
                    object => Ok(ReplicaReply::Fetched(object)),
                },
            },
            ReplicaRequest::Probe if !host.serves(partition) => Err(Refusal::Incomplete),
            ReplicaRequest::Probe => {
                let held = match host.read(&slot)? {
                    Held::Object(object) => Some(object),
                    Held::Nothing => None,
                    Held::Lacking(_) => return Err(Refusal::LeftOut),
                    Held::Damaged => return Err(Refusal::Damaged),
                };
                let digest = self.history.digest(now, &target.bucket, &target.key, held.as_ref());
                Ok(ReplicaReply::Probed(Box::new(digest)))
            }
            ReplicaRequest::Apply(incoming, via) => {
                self.room_to_wait()?;
                let (held, lacks) = match host.read(&slot)? {
                    Held::Object(object) => (object, None),
                    Held::Lacking(LackingObject { object, lacks }) => (object, Some(lacks)),
                    Held::Nothing => (Object::new(), None),
                    // Nothing is read here before all that may be lacking has been pulled, this key too, and
                    // it is pulled once more: what was merged before is gone.
                    Held::Damaged if !host.serves(partition) => {
                        let Target { bucket, key, .. } = target.clone();
                        if !planted::has(Bug::PullOnceOverDamage) {
                            effects.push(ReplicaEffect::Damaged { bucket, key });
                        }
                        return self.replace(now, host, (&target.bucket, &target.key, &slot), &incoming);
                    }
                    Held::Damaged => return Err(Refusal::Damaged),
                };
                let place = (&target.bucket, &target.key, &slot);
                let join = Join { held: &held, lacks: lacks.as_ref(), incoming: &incoming, via, trace };
                self.join(now, view, host, place, join, effects)
            }
        }
    }

    /// Answers a peer with an object, if a message can carry it.
    fn send(
        &self,
        object: Object,
        target: &Target,
        effects: &mut Effects<W>,
    ) -> Result<ReplicaReply, Refusal> {
        let bytes = object.message_bytes();
        if bytes <= self.messages.sendable_bytes() {
            return Ok(ReplicaReply::Fetched(Some(object)));
        }
        let Target { bucket, key, .. } = target.clone();
        effects.push(ReplicaEffect::TooLarge(LargeObject { bucket, key, bytes }));
        Err(Refusal::TooLargeToSend)
    }

    /// Another home holds an object that is too large to be sent to this one, or was left without it itself: what is held
    /// of it here lacks something, unless it has seen as much. Answered with [`Refusal::LeftOut`] once that is durable.
    pub fn left_out<H: ReplicaHost>(
        &mut self,
        view: View<'_>,
        host: &mut H,
        LeftOut { bucket, key, seen }: &LeftOut,
        to: W,
        effects: &mut Effects<W>,
    ) {
        let noted = place(view, host, bucket, key).and_then(|(_, slot)| {
            self.room_to_wait()?;
            let (object, mut lacks) = match host.read(&slot)? {
                Held::Object(object) => (object, CausalContext::new()),
                Held::Nothing => (Object::new(), CausalContext::new()),
                Held::Lacking(LackingObject { object, lacks }) => (object, lacks),
                // It is known already that something is missing.
                Held::Damaged => return Ok(()),
            };
            lacks.join(seen);
            match Held::of(object, Some(lacks)) {
                Held::Lacking(lacking) => host.write_lacking(&slot, &lacking),
                _ => Ok(()),
            }
        });
        match noted {
            Ok(()) => self.when_durable(host, to, ReplicaReply::Refused(Refusal::LeftOut), effects),
            Err(refusal) => refuse(to, refusal, effects),
        }
    }

    /// Merges into the own object, damaged or not, what enough other homes hold of it.
    pub fn heal<H: ReplicaHost>(
        &mut self,
        now: Moment,
        view: View<'_>,
        host: &mut H,
        (bucket, key, gathered): (&BucketName, &Key, &Gathered),
        to: W,
        effects: &mut Effects<W>,
    ) {
        let healed = place(view, host, bucket, key).and_then(|(_, slot)| {
            self.room_to_wait()?;
            let (held, lacks) = match host.read(&slot)? {
                Held::Object(held) => (held, None),
                Held::Nothing => (Object::new(), None),
                // What nobody has any more is lacked by nobody: it went with the disks that held it.
                Held::Lacking(LackingObject { object, .. }) if gathered.everything => {
                    host.write(&slot, &object)?;
                    effects.push(ReplicaEffect::Count(ReplicaCount::LeftOutHealed));
                    (object, None)
                }
                Held::Lacking(LackingObject { object, lacks }) => (object, Some(lacks)),
                Held::Damaged => {
                    effects.push(ReplicaEffect::Count(ReplicaCount::DamagedHealed));
                    return self.replace(now, host, (bucket, key, &slot), &gathered.object);
                }
            };
            let (lacks, via) = (lacks.as_ref(), Via::Transfer);
            let join = Join { held: &held, lacks, incoming: &gathered.object, via, trace: None };
            self.join(now, view, host, (bucket, key, &slot), join, effects)
        });
        match healed {
            Ok(reply) => self.when_durable(host, to, reply, effects),
            Err(refusal) => refuse(to, refusal, effects),
        }
    }

    fn join<H: ReplicaHost>(
        &mut self,
        now: Moment,
        view: View<'_>,
        host: &mut H,
        (bucket, key, slot): (&BucketName, &Key, &H::Slot),
        Join { held, lacks, incoming, via, trace }: Join<'_>,
        effects: &mut Effects<W>,
    ) -> Result<ReplicaReply, Refusal> {
        let clock = host.shown();
        let merged = merge(held, incoming, clock, clock.minus_micros(self.keep_write_ids_us));
        // What it covers already it has had since then, whatever else is new to it.
        let known = match via {
            Via::Write(dot) if held.context().covers(dot) => Some(self.history.since(now, bucket, key, dot)),
            Via::Write(_) | Via::ReadRepair | Via::Transfer => None,
        };
        let since = known.unwrap_or(Since { at: now, exactly: true, path: via.path() });
        let Some(merged) = &merged else {
            return Ok(ReplicaReply::Applied { siblings: live_versions(held), when: self.when(now, since) });
        };
        if keep(host, slot, merged, lacks)? {
            effects.push(ReplicaEffect::Count(ReplicaCount::LeftOutHealed));
        }
        // A repair has the trace of a read.
        let trace = match via {
            Via::Write(dot) if known.is_none() => trace.map(|context| WriteTrace { dot, context }),
            Via::Write(_) | Via::ReadRepair | Via::Transfer => None,
        };
        let before = self.history.before(bucket, key, held);
        let change = Change { after: merged, path: via.path(), trace };
        self.history.changed(now, bucket, key, before, change);
        let siblings = live_versions(merged);
        let resolution = view.buckets.settings(bucket).resolution;
        effects.push(ReplicaEffect::Merged { bucket: bucket.clone(), conflict: siblings > 1, resolution });
        Ok(ReplicaReply::Applied { siblings, when: self.when(now, since) })
    }

    /// Puts `object` in the place of a damaged record.
    ///
    /// What this node wrote under the key and nobody else has is forgotten, so it must not say any more that it has
    /// seen "all of its dots" of the key: its next dots are another actor's.
    fn replace<H: ReplicaHost>(
        &mut self,
        now: Moment,
        host: &mut H,
        (bucket, key, slot): (&BucketName, &Key, &H::Slot),
        object: &Object,
    ) -> Result<ReplicaReply, Refusal> {
        if !planted::has(Bug::KeepActorOfDamagedRecord) {
            host.renew_actor()?;
        }
        host.write(slot, object)?;
        self.history.replaced(now, bucket, key, object);
        let when = self.when(now, Since { at: now, exactly: true, path: Path::Transfer });
        Ok(ReplicaReply::Applied { siblings: live_versions(object), when })
    }

    fn when(&self, now: Moment, Since { at: applied, exactly, path }: Since) -> AppliedAt {
        let clock = self.history.clock();
        AppliedAt { clock, arrived: now, applied, exactly, answered: now, path }
    }

    fn room_to_wait(&self) -> Result<(), Refusal> {
        if self.waiting.len() < WAITING_MAX { Ok(()) } else { Err(Refusal::Overloaded) }
    }

    fn when_durable<H: ReplicaHost>(
        &mut self,
        host: &mut H,
        to: W,
        reply: ReplicaReply,
        effects: &mut Effects<W>,
    ) {
        let ticket = self.next_ticket + 1;
        self.next_ticket = ticket;
        if host.when_durable(ticket) && !planted::has(Bug::AcknowledgeBeforeSync) {
            self.waiting.insert(ticket, (to, reply));
        } else {
            effects.push(ReplicaEffect::Answer { to, reply });
        }
    }

    /// Everything written before `ticket` was handed out is durable.
    pub fn durable(&mut self, now: Moment, ticket: u64, effects: &mut Effects<W>) {
        if let Some((to, mut reply)) = self.waiting.remove(&ticket) {
            if let ReplicaReply::Applied { when, .. } = &mut reply {
                when.answered = now;
            }
            effects.push(ReplicaEffect::Answer { to, reply });
        }
    }

    /// Keeps a request until the newer settings that its sender goes by have been fetched.
    fn park(&mut self, ask: ReplicaAsk<W>, from: NodeId, effects: &mut Effects<W>) {
        if self.parked.len() >= PARKED_MAX {
            effects.push(ReplicaEffect::Count(ReplicaCount::SettingsWaitRefused));
            return refuse(ask.to, Refusal::SettingsBehind, effects);
        }
        effects.push(ReplicaEffect::FetchSettings { bucket: ask.target.bucket.clone(), from });
        self.parked.push(ask);
    }

    /// Serves what waited for settings that have come, and refuses what waited too long. Wanted when settings
    /// change, and now and then.
    pub fn unpark<H: ReplicaHost>(
        &mut self,
        now: Moment,
        view: View<'_>,
        host: &mut H,
        effects: &mut Effects<W>,
    ) {
        for ask in std::mem::take(&mut self.parked) {
            if *view.buckets.version(&ask.target.bucket) >= ask.target.settings {
                self.admit(now, view, host, ask, effects);
            } else if now >= ask.deadline {
                refuse(ask.to, Refusal::SettingsBehind, effects);
            } else {
                self.parked.push(ask);
            }
        }
    }
}

/// A request that was admitted.
struct Received {
    /// Whether a peer asks.
    far: bool,
    request: ReplicaRequest,
    /// The trace that it belongs to.
    trace: Option<TraceContext>,
}

/// A state that came, and what it is merged into.
#[derive(Clone, Copy)]
struct Join<'a> {
    held: &'a Object,
    /// What must have been seen for what is held to lack nothing, where it lacks something.
    lacks: Option<&'a CausalContext>,
    incoming: &'a Object,
    via: Via,
    /// The trace of the request that brought it.
    trace: Option<TraceContext>,
}

/// Stores an object that must have seen `lacks`; whether it has, and had not before.
fn keep<H: ReplicaHost>(
    host: &mut H,
    slot: &H::Slot,
    object: &Object,
    lacks: Option<&CausalContext>,
) -> Result<bool, Refusal> {
    match lacks {
        Some(lacks) if !object.context().covers_all(lacks) => {
            let (object, lacks) = (object.clone(), lacks.clone());
            host.write_lacking(slot, &LackingObject { object, lacks })?;
            Ok(false)
        }
        lacked => host.write(slot, object).map(|()| lacked.is_some()),
    }
}

/// Tells of a write that left an object beyond three quarters of one of its bounds.
fn note_what_is_near<W>(object: &Object, bounds: ObjectBounds, effects: &mut Effects<W>) {
    if is_near(object.message_bytes(), bounds.bytes) {
        effects.push(ReplicaEffect::Count(ReplicaCount::NearlyFull));
    }
    if is_near(object.versions().len(), bounds.versions) {
        effects.push(ReplicaEffect::Count(ReplicaCount::ManySiblings));
    }
}

fn refused_for(why: Overfull) -> ReplicaCount {
    match why {
        Overfull::Write { .. } | Overfull::Bytes { .. } => ReplicaCount::ObjectFull,
        Overfull::Versions { .. } => ReplicaCount::TooManySiblings,
    }
}

/// Has a key healed of which something is missing here.
fn to_be_healed<W>(refusal: Refusal, bucket: BucketName, key: Key) -> Option<ReplicaEffect<W>> {
    match refusal {
        Refusal::Damaged => Some(ReplicaEffect::Damaged { bucket, key }),
        Refusal::LeftOut => Some(ReplicaEffect::Lacking { bucket, key }),
        _ => None,
    }
}

fn refuse<W>(to: W, refusal: Refusal, effects: &mut Effects<W>) {
    effects.push(ReplicaEffect::Answer { to, reply: ReplicaReply::Refused(refusal) });
}

/// Where a key lies, if this node is a home of it and may answer as one.
fn place<H: ReplicaHost>(
    view: View<'_>,
    host: &H,
    bucket: &BucketName,
    key: &Key,
) -> Result<(PartitionId, H::Slot), Refusal> {
    let partition = view.ring.partition_of(bucket, key);
    let n = view.buckets.settings(bucket).quorum.n;
    let me = view.ring.index_of(view.me);
    let home = me.is_some_and(|me| view.ring.homes(partition, n).contains(&me));
    if !home && !planted::has(Bug::StaleRingAnswers) {
        return Err(Refusal::WrongRing);
    }
    if !host.confirmed() {
        return Err(Refusal::Unconfirmed);
    }
    Ok((partition, host.slot(partition, bucket, key)))
}

fn live_versions(object: &Object) -> u16 {
    u16::try_from(object.siblings().len()).unwrap_or(u16::MAX)
}
