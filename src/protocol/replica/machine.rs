//! The replica's machine: requests in; answers, at once or when durable, out.

use std::collections::BTreeMap;

use super::host::{Held, ReplicaHost};
use super::step::{Decision, Written, carry_out, decide, merge};
use crate::planted::{self, Bug};
use crate::protocol::bucket::Resolution;
use crate::protocol::causality::{Object, shows_a_value};
use crate::protocol::ids::{BucketName, Key, NodeId, PartitionId, TraceContext};
use crate::protocol::message::{
    Coordinate, CoordinateReply, Refusal, ReplicaReply, ReplicaRequest, Target, Via,
};
use crate::protocol::sli::Path;
use crate::protocol::staleness::{AppliedAt, Change, History, Since, WriteTrace};
use crate::protocol::time::{Hlc, Moment};
use crate::protocol::view::View;

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

/// What a replica wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplicaEffect<W> {
    /// Tell this node's coordinator what became of a [`Coordinate`].
    Coordinated {
        /// Handed back.
        tag: u64,
        /// What.
        reply: Box<CoordinateReply>,
    },
    /// Answer a request.
    Answer {
        /// The way back.
        to: W,
        /// What.
        reply: ReplicaReply,
    },
    /// Have the settings of a bucket fetched from a peer that goes by newer ones. Those that wait for them are
    /// looked at again by [`Replica::unpark`].
    FetchSettings {
        /// The bucket.
        bucket: BucketName,
        /// The peer.
        from: NodeId,
    },
    /// The record of a key is damaged. What the other homes hold is to be merged and handed to [`Replica::heal`].
    Damaged {
        /// The bucket.
        bucket: BucketName,
        /// The key.
        key: Key,
    },
    /// A state that came was merged into what was held, and changed it.
    Merged {
        /// The bucket.
        bucket: BucketName,
        /// Whether it left more than one live version.
        conflict: bool,
        /// How the bucket resolves them.
        resolution: Resolution,
    },
    /// Something worth counting happened.
    Count(ReplicaCount),
}

/// What a replica counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReplicaCount {
    /// A request of a peer came when its deadline had passed.
    ExpiredOnArrival,
    /// A request was refused because this node is no home of the key.
    WrongRing,
    /// A frame was refused because its sender's clock was too far ahead.
    ClockSkewRefused,
    /// A damaged record was replaced by what another home holds.
    DamagedHealed,
    /// A request that would have waited for newer bucket settings was refused.
    SettingsWaitRefused,
}

impl ReplicaCount {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ExpiredOnArrival => "expired_on_arrival",
            Self::WrongRing => "wrong_ring",
            Self::ClockSkewRefused => "clock_skew_refused",
            Self::DamagedHealed => "damaged_healed",
            Self::SettingsWaitRefused => "settings_waits_refused",
        }
    }
}

/// The replica of one shard.
#[derive(Debug)]
pub struct Replica<W> {
    waiting: BTreeMap<u64, (W, ReplicaReply)>,
    next_ticket: u64,
    parked: Vec<ReplicaAsk<W>>,
    keep_write_ids_us: u64,
    history: History,
}

type Effects<W> = Vec<ReplicaEffect<W>>;

/// A state that came, and what it is merged into.
#[derive(Clone, Copy)]
struct Merge<'a> {
    held: &'a Object,
    incoming: &'a Object,
    via: Via,
    /// The trace of the request that brought it.
    trace: Option<TraceContext>,
}

impl<W> Replica<W> {
    /// A replica with nothing under way, which remembers superseded write ids for `keep_write_ids_us`: twice
    /// `limits.timeout`. `clock` names the clock of its moments, which is another for each run: the id of the run's first
    /// actor.
    #[must_use]
    pub fn new(keep_write_ids_us: u64, clock: u64) -> Self {
        let history = History::new(clock);
        Self { waiting: BTreeMap::new(), next_ticket: 0, parked: Vec::new(), keep_write_ids_us, history }
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
        let stamped = self.stamp(now, view, host, coordinate);
        let (reply, when) = stamped.unwrap_or_else(|refusal| (CoordinateReply::Refused(refusal), None));
        if reply == CoordinateReply::Refused(Refusal::Damaged) {
            effects.push(ReplicaEffect::Damaged { bucket, key });
        }
        let applied = match &reply {
            CoordinateReply::Stamped { object, .. } => {
                when.map(|when| ReplicaReply::Applied { siblings: live_versions(object), when })
            }
            CoordinateReply::Exists | CoordinateReply::Refused(_) => None,
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
    ) -> Result<(CoordinateReply, Option<AppliedAt>), Refusal> {
        let (partition, slot) = place(view, host, &coordinate.write.bucket, &coordinate.write.key)?;
        if !host.serves(partition) {
            return Err(Refusal::Incomplete);
        }
        self.room_to_wait()?;
        let held = match host.read(&slot)? {
            Held::Object(object) => object,
            Held::Nothing => Object::new(),
            Held::Damaged => return Err(Refusal::Damaged),
        };
        let resolution = view.buckets.settings(&coordinate.write.bucket).resolution;
        let exists = shows_a_value(&held, resolution, host.shown().wall());
        match decide(&held, &coordinate, exists) {
            Decision::Exists => return Ok((CoordinateReply::Exists, None)),
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
        host.write(&slot, &object)?;
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
        let ReplicaAsk { target, request, trace, to, .. } = ask;
        match self.serve((now, view), host, &target, request, trace, effects) {
            Ok(reply @ ReplicaReply::Applied { .. }) => self.when_durable(host, to, reply, effects),
            Ok(reply) => effects.push(ReplicaEffect::Answer { to, reply }),
            Err(refusal) => {
                if refusal == Refusal::WrongRing {
                    effects.push(ReplicaEffect::Count(ReplicaCount::WrongRing));
                }
                refuse(to, refusal, effects);
                if refusal == Refusal::Damaged {
                    let Target { bucket, key, .. } = target;
                    effects.push(ReplicaEffect::Damaged { bucket, key });
                }
            }
        }
    }

    fn serve<H: ReplicaHost>(
        &mut self,
        (now, view): (Moment, View<'_>),
        host: &mut H,
        target: &Target,
        request: ReplicaRequest,
        trace: Option<TraceContext>,
        effects: &mut Effects<W>,
    ) -> Result<ReplicaReply, Refusal> {
        let (partition, slot) = place(view, host, &target.bucket, &target.key)?;
        match request {
            ReplicaRequest::Fetch => {
                if !host.serves(partition) && !planted::has(Bug::IncompleteAnswers) {
                    return Err(Refusal::Incomplete);
                }
                match host.read(&slot)? {
                    Held::Object(object) => Ok(ReplicaReply::Fetched(Some(object))),
                    Held::Nothing => Ok(ReplicaReply::Fetched(None)),
                    Held::Damaged if planted::has(Bug::DamagedIsEmpty) => Ok(ReplicaReply::Fetched(None)),
                    Held::Damaged => Err(Refusal::Damaged),
                }
            }
            ReplicaRequest::Probe if !host.serves(partition) => Err(Refusal::Incomplete),
            ReplicaRequest::Probe => {
                let held = match host.read(&slot)? {
                    Held::Object(object) => Some(object),
                    Held::Nothing => None,
                    Held::Damaged => return Err(Refusal::Damaged),
                };
                let digest = self.history.digest(now, &target.bucket, &target.key, held.as_ref());
                Ok(ReplicaReply::Probed(Box::new(digest)))
            }
            ReplicaRequest::Apply(incoming, via) => {
                self.room_to_wait()?;
                let held = match host.read(&slot)? {
                    Held::Object(object) => object,
                    Held::Nothing => Object::new(),
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
                let merge = Merge { held: &held, incoming: &incoming, via, trace };
                self.join(now, view, host, place, merge, effects)
            }
        }
    }

    /// Merges into the own object, damaged or not, what enough other homes hold of it.
    pub fn heal<H: ReplicaHost>(
        &mut self,
        now: Moment,
        view: View<'_>,
        host: &mut H,
        (bucket, key, merged): (&BucketName, &Key, &Object),
        to: W,
        effects: &mut Effects<W>,
    ) {
        let healed = place(view, host, bucket, key).and_then(|(_, slot)| {
            self.room_to_wait()?;
            match host.read(&slot)? {
                Held::Object(held) => {
                    let merge = Merge { held: &held, incoming: merged, via: Via::Transfer, trace: None };
                    self.join(now, view, host, (bucket, key, &slot), merge, effects)
                }
                Held::Nothing => {
                    let held = &Object::new();
                    let merge = Merge { held, incoming: merged, via: Via::Transfer, trace: None };
                    self.join(now, view, host, (bucket, key, &slot), merge, effects)
                }
                Held::Damaged => {
                    effects.push(ReplicaEffect::Count(ReplicaCount::DamagedHealed));
                    self.replace(now, host, (bucket, key, &slot), merged)
                }
            }
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
        Merge { held, incoming, via, trace }: Merge<'_>,
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
        host.write(slot, merged)?;
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
