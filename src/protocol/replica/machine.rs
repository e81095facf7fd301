//! The replica's machine: requests in; answers, at once or when durable, out.

use std::collections::BTreeMap;

use super::host::{Held, ReplicaHost};
use super::step::{Decision, Written, carry_out, decide, merge};
use crate::protocol::causality::Object;
use crate::protocol::ids::{ActorId, BucketName, Key, NodeId, PartitionId};
use crate::protocol::message::{Coordinate, CoordinateReply, Refusal, ReplicaReply, ReplicaRequest, Target};
use crate::protocol::time::{Hlc, Moment};
use crate::protocol::view::View;

/// How many acknowledgements may wait for a sync.
pub const WAITING_MAX: usize = 65_536;
/// How many actors' counters are gathered before somebody takes them; there are about as many as nodes.
const SEEN_MAX: usize = 4_096;
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
    /// The highest counters in versions that came in since somebody last took them.
    seen: BTreeMap<ActorId, u64>,
    /// Whether the request at hand replaced a damaged record.
    healed: bool,
    keep_write_ids_us: u64,
}

type Effects<W> = Vec<ReplicaEffect<W>>;

impl<W> Replica<W> {
    /// A replica with nothing under way, which remembers superseded write ids for `keep_write_ids_us`: twice
    /// `limits.timeout`.
    #[must_use]
    pub fn new(keep_write_ids_us: u64) -> Self {
        Self {
            waiting: BTreeMap::new(),
            next_ticket: 0,
            parked: Vec::new(),
            seen: BTreeMap::new(),
            healed: false,
            keep_write_ids_us,
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

    /// The highest counters in versions that came in since the last call.
    pub fn take_seen(&mut self) -> impl Iterator<Item = (ActorId, u64)> + use<W> {
        std::mem::take(&mut self.seen).into_iter()
    }

    /// Carries out a write of this node's coordinator. `tag` comes back with the answer, and `to` gets the
    /// acknowledgement that follows it once the write is durable.
    pub fn coordinate<H: ReplicaHost>(
        &mut self,
        view: View<'_>,
        host: &mut H,
        coordinate: Coordinate,
        (tag, to): (u64, W),
        effects: &mut Effects<W>,
    ) {
        let reply = self.stamp(view, host, coordinate).unwrap_or_else(CoordinateReply::Refused);
        let siblings = match &reply {
            CoordinateReply::Stamped { object, .. } => Some(live_versions(object)),
            CoordinateReply::Exists | CoordinateReply::Refused(_) => None,
        };
        effects.push(ReplicaEffect::Coordinated { tag, reply: Box::new(reply) });
        if let Some(siblings) = siblings {
            self.when_durable(host, to, ReplicaReply::Applied { siblings }, effects);
        }
    }

    /// The atomic step: read the own object, take the next counter, stamp the clock, write it back.
    fn stamp<H: ReplicaHost>(
        &self,
        view: View<'_>,
        host: &mut H,
        coordinate: Coordinate,
    ) -> Result<CoordinateReply, Refusal> {
        let (partition, slot) = place(view, host, &coordinate.write.bucket, &coordinate.write.key)?;
        if !host.serves(partition) {
            return Err(Refusal::Incomplete);
        }
        if !host.may_issue_dots() {
            return Err(Refusal::Unconfirmed);
        }
        self.room_to_wait()?;
        let held = match host.read(&slot)? {
            Held::Object(object) => object,
            Held::Nothing => Object::new(),
            Held::Damaged => return Err(Refusal::Damaged),
        };
        match decide(&held, &coordinate, host.shown().wall()) {
            Decision::Exists => return Ok(CoordinateReply::Exists),
            Decision::Again(answered) => {
                return Ok(CoordinateReply::Stamped { object: held, answered, created: false, again: true });
            }
            Decision::Write => {}
        }
        let hlc = host.issue()?;
        let horizon = hlc.minus_micros(self.keep_write_ids_us);
        let dot = host.next_dot();
        let Written { object, answered, created } = carry_out(held, coordinate, dot, hlc, horizon);
        host.write(&slot, &object)?;
        Ok(CoordinateReply::Stamped { object, answered, created, again: false })
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
        let ReplicaAsk { target, request, to, .. } = ask;
        match self.serve(view, host, &target, request) {
            Ok(reply @ ReplicaReply::Applied { .. }) => self.when_durable(host, to, reply, effects),
            Ok(reply) => effects.push(ReplicaEffect::Answer { to, reply }),
            Err(refusal) => {
                if refusal == Refusal::WrongRing {
                    effects.push(ReplicaEffect::Count(ReplicaCount::WrongRing));
                }
                refuse(to, refusal, effects);
            }
        }
        if std::mem::take(&mut self.healed) {
            effects.push(ReplicaEffect::Count(ReplicaCount::DamagedHealed));
        }
    }

    fn serve<H: ReplicaHost>(
        &mut self,
        view: View<'_>,
        host: &mut H,
        target: &Target,
        request: ReplicaRequest,
    ) -> Result<ReplicaReply, Refusal> {
        let (partition, slot) = place(view, host, &target.bucket, &target.key)?;
        match request {
            ReplicaRequest::Fetch => {
                if !host.serves(partition) {
                    return Err(Refusal::Incomplete);
                }
                match host.read(&slot)? {
                    Held::Object(object) => Ok(ReplicaReply::Fetched(Some(object))),
                    Held::Nothing => Ok(ReplicaReply::Fetched(None)),
                    Held::Damaged => Err(Refusal::Damaged),
                }
            }
            ReplicaRequest::Apply(incoming) => {
                self.room_to_wait()?;
                Ok(ReplicaReply::Applied { siblings: self.apply(host, &slot, &incoming)? })
            }
        }
    }

    fn apply<H: ReplicaHost>(
        &mut self,
        host: &mut H,
        slot: &H::Slot,
        incoming: &Object,
    ) -> Result<u16, Refusal> {
        self.note_dots(incoming);
        let now = host.shown();
        let horizon = now.minus_micros(self.keep_write_ids_us);
        let held = match host.read(slot)? {
            Held::Object(object) => object,
            Held::Nothing => Object::new(),
            Held::Damaged => {
                // What this node wrote under the key is forgotten: nobody may say "all of its dots" of the
                // key any more, so it goes on under a new start.
                host.renew_start()?;
                host.write(slot, incoming)?;
                self.healed = true;
                return Ok(live_versions(incoming));
            }
        };
        match merge(&held, incoming, now, horizon) {
            Some(merged) => {
                host.write(slot, &merged)?;
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
        if host.when_durable(ticket) {
            self.waiting.insert(ticket, (to, reply));
        } else {
            effects.push(ReplicaEffect::Answer { to, reply });
        }
    }

    /// Everything written before `ticket` was handed out is durable.
    pub fn durable(&mut self, ticket: u64, effects: &mut Effects<W>) {
        if let Some((to, reply)) = self.waiting.remove(&ticket) {
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

/// Where a key lies, if this node is a home of it.
fn place<H: ReplicaHost>(
    view: View<'_>,
    host: &H,
    bucket: &BucketName,
    key: &Key,
) -> Result<(PartitionId, H::Slot), Refusal> {
    let partition = view.ring.partition_of(bucket, key);
    let n = view.buckets.settings(bucket).quorum.n;
    let me = view.ring.index_of(view.me);
    if !me.is_some_and(|me| view.ring.homes(partition, n).contains(&me)) {
        return Err(Refusal::WrongRing);
    }
    Ok((partition, host.slot(partition, bucket, key)))
}

fn live_versions(object: &Object) -> u16 {
    u16::try_from(object.siblings().len()).unwrap_or(u16::MAX)
}
