//! Whom an operation asks, and in which order.

use super::Coordinator;
use crate::protocol::bucket::{BucketSettings, ReadRepair, SettingsVersion};
use crate::protocol::coordinator::{
    Candidate, ClientWrite, ForwardPlan, ReadMachine, ReadPlan, WriteMachine, WritePlan,
};
use crate::protocol::ids::{BucketName, Key, NodeId, WriteId};
use crate::protocol::latency::Latency;
use crate::protocol::message::Refusal;
use crate::protocol::operation::{OperationError, Read, Write};
use crate::protocol::time::Moment;

impl Coordinator {
    fn homes(&self, bucket: &BucketName, key: &Key, n: u8) -> Result<Vec<NodeId>, OperationError> {
        let ring = self.parts.ring.current();
        let homes = ring.homes(ring.partition_of(bucket, key), n);
        let names: Vec<NodeId> =
            homes.iter().filter_map(|&home| ring.member(home).map(|member| member.id.clone())).collect();
        if names.len() == usize::from(n) {
            return Ok(names);
        }
        let members = u16::try_from(ring.members().len()).unwrap_or(u16::MAX);
        Err(OperationError::TooFewMembers { n, members })
    }

    pub(super) fn plan_read(
        &self,
        read: &Read,
        deadline: Moment,
    ) -> Result<(ReadPlan, SettingsVersion), OperationError> {
        let (settings, version) = self.parts.settings.get(&read.bucket);
        let r = read.r.unwrap_or(settings.quorum.r);
        settings.quorum.check_r(r)?;
        let homes = self.homes(&read.bucket, &read.key, settings.quorum.n)?;
        Ok((self.read_plan(homes, r, &settings, settings.read_repair, deadline), version))
    }

    fn read_plan(
        &self,
        homes: Vec<NodeId>,
        r: u8,
        settings: &BucketSettings,
        repair: ReadRepair,
        deadline: Moment,
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
            repair,
            resolution: settings.resolution,
            deadline,
            follow_until: deadline.plus_micros(self.parts.follow_us),
            clock: self.parts.clock.borrow().read(),
        }
    }

    pub(super) fn plan_write(
        &self,
        write: &Write,
        write_id: WriteId,
        settings: &BucketSettings,
        forwarded: bool,
        deadline: Moment,
    ) -> Result<(ClientWrite, u8), OperationError> {
        let quorum = settings.quorum;
        let w = write.w.unwrap_or(quorum.w);
        quorum.check_w(w, settings.w_min)?;
        let homes = self.homes(&write.bucket, &write.key, quorum.n)?;
        let at_home = homes.contains(&self.parts.me);
        let mut others: Vec<NodeId> = homes.iter().filter(|&home| *home != self.parts.me).cloned().collect();
        others.sort_by_cached_key(|node| self.distance(node));
        if write.only_if_absent {
            // Concurrent creators meet at the first live home, wherever they asked.
            others = self.in_preference_order(&homes);
        }
        if forwarded && !at_home {
            return Err(OperationError::NotServing(Refusal::WrongRing));
        }
        if forwarded {
            others.clear();
        }
        let first_here =
            !write.only_if_absent || others.is_empty() || self.first_live(&homes) == Some(&self.parts.me);
        let plan = ForwardPlan { others, total: quorum.n, needed: w, deadline };
        if !at_home || !first_here {
            return Ok((ClientWrite::elsewhere(plan), w));
        }
        let follow_until = deadline.plus_micros(self.parts.follow_us);
        let write_plan = WritePlan {
            me: self.parts.me.clone(),
            homes: homes.clone(),
            w,
            write_id,
            deadline,
            follow_until,
        };
        let machine = if write.only_if_absent {
            let check = self.read_plan(homes, quorum.r, settings, ReadRepair::Off, deadline);
            WriteMachine::only_if_absent(write_plan, ReadMachine::new(check))
        } else {
            WriteMachine::new(write_plan)
        };
        Ok((ClientWrite::here(machine, plan), w))
    }

    fn in_preference_order(&self, homes: &[NodeId]) -> Vec<NodeId> {
        let mut others: Vec<NodeId> = homes.iter().filter(|&home| *home != self.parts.me).cloned().collect();
        others.sort_by_key(|node| !self.parts.lane.is_up(node));
        others
    }

    fn first_live<'a>(&self, homes: &'a [NodeId]) -> Option<&'a NodeId> {
        homes.iter().find(|&home| *home == self.parts.me || self.parts.lane.is_up(home))
    }

    /// Whom to ask first: this node, then those that are up, by recent latency.
    fn distance(&self, node: &NodeId) -> (bool, bool, u64) {
        let own = *node == self.parts.me;
        (!own, !own && !self.parts.lane.is_up(node), self.latency(node).mean_us())
    }

    fn latency(&self, node: &NodeId) -> Latency {
        self.latencies.get(node).copied().unwrap_or_default()
    }
}
