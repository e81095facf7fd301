//! Whom an operation asks, and in which order.

use std::collections::BTreeMap;

use super::{
    Candidate, ClientWrite, FanOut, ForwardPlan, HealPlan, ReadMachine, ReadPlan, RecordFault, TrackLimits,
    WriteMachine, WritePlan,
};
use crate::bounds::{MessageBounds, Overfull, write_bytes};
use crate::bucket::{BucketSettings, ReadRepair};
use crate::ids::{BucketName, Key, NodeId, WriteId};
use crate::latency::Latency;
use crate::message::Refusal;
use crate::operation::{OperationError, Outcome, Read, Write};
use crate::planted::{self, Bug};
use crate::quorum::homes_to_merge_from;
use crate::staleness::{Sampling, UnjudgedLimits};
use crate::time::{Hlc, Moment, WallMicros};
use crate::view::View;

/// What a coordinator looks at while it takes a step.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The node's snapshots.
    pub view: View<'a>,
    /// The monotonic clock.
    pub now: Moment,
    /// What the hybrid clock shows.
    pub clock: Hlc,
    /// The wall clock.
    pub wall: WallMicros,
    /// Whether this node knows the settings of all buckets.
    pub settled: bool,
    /// Whether a peer can be asked now.
    pub is_up: &'a dyn Fn(&NodeId) -> bool,
    /// Whether a peer is known to be down: no connection to it stands, and the last dial failed.
    pub is_down: &'a dyn Fn(&NodeId) -> bool,
}

impl std::fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Surroundings({} at {:?})", self.view.me, self.now)
    }
}

/// What does not change from operation to operation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CoordinatorSettings {
    /// How long late answers are followed after the client's deadline, in microseconds.
    pub follow_us: u64,
    /// Whom reads ask at once.
    pub fan_out: FanOut,
    /// Which reads are probed for the verdict.
    pub probe: Sampling,
    /// How much is followed of writes that some home lacks.
    pub track: TrackLimits,
    /// Bounds on the reads that are kept until they can be judged.
    pub unjudged: UnjudgedLimits,
    /// What messages may take.
    pub messages: MessageBounds,
}

/// What plans are made with.
pub(super) struct Planner<'a> {
    pub(super) around: Surroundings<'a>,
    pub(super) latencies: &'a BTreeMap<NodeId, Latency>,
    pub(super) settings: CoordinatorSettings,
    /// When the client is told, whatever happened by then.
    pub(super) deadline: Moment,
}

impl Planner<'_> {
    fn homes(&self, bucket: &BucketName, key: &Key, n: u8) -> Result<Vec<NodeId>, OperationError> {
        let ring = self.around.view.ring;
        let homes = ring.homes(ring.partition_of(bucket, key), n);
        let names: Vec<NodeId> =
            homes.iter().filter_map(|&home| ring.member(home).map(|member| member.id.clone())).collect();
        if names.len() == usize::from(n) {
            return Ok(names);
        }
        let members = u16::try_from(ring.members().len()).unwrap_or(u16::MAX);
        Err(OperationError::TooFewMembers { n, members })
    }

    /// Refuses at once what replicas that are known to be down make impossible, before anything is done.
    fn possible(&self, replicas: &[NodeId], needed: u8) -> Result<(), OperationError> {
        let down = replicas.iter().filter(|replica| (self.around.is_down)(replica));
        let refusals: Vec<_> = down.map(|replica| (replica.clone(), Refusal::Down)).collect();
        if replicas.len() - refusals.len() >= usize::from(needed) {
            return Ok(());
        }
        let total = u8::try_from(replicas.len()).unwrap_or(u8::MAX);
        let outcome = Outcome::NotApplied;
        Err(OperationError::NotReached { answered: 0, needed, total, outcome, refusals })
    }

    pub(super) fn read(
        &self,
        read: &Read,
        settings: &BucketSettings,
        probe: bool,
    ) -> Result<ReadPlan, OperationError> {
        let r = read.r.unwrap_or(settings.quorum.r);
        settings.quorum.check_r(r)?;
        let homes = self.homes(&read.bucket, &read.key, settings.quorum.n)?;
        self.possible(&homes, r)?;
        let as_is = read.as_is;
        let probe = probe && !as_is;
        Ok(ReadPlan { probe, as_is, ..self.read_plan(homes, r, settings, settings.read_repair) })
    }

    fn read_plan(
        &self,
        homes: Vec<NodeId>,
        r: u8,
        settings: &BucketSettings,
        repair: ReadRepair,
    ) -> ReadPlan {
        let mut candidates: Vec<Candidate> = homes
            .into_iter()
            .map(|node| {
                let hedge_after_us = self.latency(&node).hedge_after_us();
                Candidate { node, hedge_after_us }
            })
            .collect();
        candidates.sort_by_cached_key(|candidate| self.distance(&candidate.node));
        ReadPlan {
            candidates,
            r,
            as_is: false,
            fan_out: self.settings.fan_out,
            repair,
            resolution: settings.resolution,
            deadline: self.deadline,
            follow_until: self.deadline.plus_micros(self.settings.follow_us),
            clock: self.around.clock,
            probe: false,
            w_min: settings.w_min,
            settled: self.around.settled,
        }
    }

    /// None if this node is no home of the key. `readable` says that its record can be read, but lacks something.
    pub(super) fn heal(
        &self,
        bucket: &BucketName,
        key: &Key,
        settings: &BucketSettings,
        readable: bool,
    ) -> Option<HealPlan> {
        let mut others = self.homes(bucket, key, settings.quorum.n).ok()?;
        let at = others.iter().position(|home| home == self.around.view.me)?;
        others.remove(at);
        let needed = homes_to_merge_from(settings.quorum.n, settings.w_min);
        let fault = if readable { RecordFault::Lacking } else { RecordFault::Damaged { needed } };
        Some(HealPlan { others, fault, deadline: self.deadline, clock: self.around.clock })
    }

    pub(super) fn write(
        &self,
        write: &Write,
        write_id: WriteId,
        settings: &BucketSettings,
        forwarded: bool,
    ) -> Result<(ClientWrite, u8), OperationError> {
        let me = self.around.view.me;
        let quorum = settings.quorum;
        let w = write.w.unwrap_or(quorum.w);
        quorum.check_w(w, settings.w_min)?;
        self.check_size(write, settings)?;
        let homes = self.homes(&write.bucket, &write.key, quorum.n)?;
        self.possible(&homes, w)?;
        let at_home = homes.contains(me);
        let mut others: Vec<NodeId> = homes.iter().filter(|&home| home != me).cloned().collect();
        if write.only_if_absent {
            // Concurrent creators meet at the first live home, wherever they asked.
            others.sort_by_key(|node| !(self.around.is_up)(node));
        } else {
            others.sort_by_cached_key(|node| self.distance(node));
        }
        if forwarded && !at_home {
            return Err(OperationError::NotServing(Refusal::WrongRing));
        }
        if forwarded {
            others.clear();
        }
        let first_here = !write.only_if_absent || others.is_empty() || self.first_live(&homes) == Some(me);
        let plan = ForwardPlan { others, total: quorum.n, needed: w, deadline: self.deadline };
        if !at_home || !first_here {
            return Ok((ClientWrite::elsewhere(plan), w));
        }
        let write_plan = WritePlan {
            me: me.clone(),
            homes: homes.clone(),
            w,
            write_id,
            began: self.around.clock.wall(),
            deadline: self.deadline,
            follow_until: self.deadline.plus_micros(self.settings.follow_us),
        };
        let machine = if write.only_if_absent {
            let check = self.read_plan(homes, quorum.r, settings, ReadRepair::Off);
            WriteMachine::only_if_absent(write_plan, ReadMachine::new(check))
        } else {
            WriteMachine::new(write_plan)
        };
        Ok((ClientWrite::at_home(machine, plan), w))
    }

    /// A write that is larger by itself than an object may be is refused by whoever is asked: it could not be handed on.
    fn check_size(&self, write: &Write, settings: &BucketSettings) -> Result<(), Overfull> {
        let (bytes, bound) = (write_bytes(write), self.settings.messages.object_bytes(settings.quorum.n));
        if bytes > bound && !planted::has(Bug::ObjectsUnbounded) {
            return Err(Overfull::Write { write_bytes: bytes as u64, bound_bytes: bound as u64 });
        }
        Ok(())
    }

    fn first_live<'a>(&self, homes: &'a [NodeId]) -> Option<&'a NodeId> {
        homes.iter().find(|&home| home == self.around.view.me || (self.around.is_up)(home))
    }

    /// Whom to ask first: this node, then those that are up, by recent latency.
    fn distance(&self, node: &NodeId) -> (bool, bool, u64) {
        let own = node == self.around.view.me;
        (!own, !own && !(self.around.is_up)(node), self.latency(node).mean_us())
    }

    fn latency(&self, node: &NodeId) -> Latency {
        self.latencies.get(node).copied().unwrap_or_default()
    }
}
