//! The way from a coordinator to its own replica, where even that crosses the network (see `pbs`).

use super::Task;
use crate::network::{Leg, NodeIndex};
use crate::process::{ReplyTo, Way};
use crate::world::{Event, World};
use neap_protocol::causality::Object;
use neap_protocol::coordinator::AnswerBody;
use neap_protocol::message::{ReplicaReply, ReplicaRequest, Target, Via};
use neap_protocol::replica::ReplicaAsk;

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

impl World {
    /// The state of a write that was coordinated here is on its way to this very node's replica.
    pub(super) fn own_write_leaves(
        &mut self,
        at: NodeIndex,
        key: crate::truth::KeyIndex,
        object: &Object,
        ticket: u64,
    ) {
        let Some(bucket) = self.names.bucket_of(key).cloned() else { return };
        let Some(node) = self.nodes.get(at) else { return };
        let deadline = node.clock.moment(self.now).plus_micros(self.settings.timeout_us);
        let Some(process) = &node.process else { return };
        let settings = process.keeper.table().version(&bucket).clone();
        let target = Target { bucket, key: self.names.key(key), settings };
        let newest = object.versions().iter().max_by_key(|version| (version.hlc, version.dot));
        let via = newest.map_or(Via::Transfer, |version| Via::Write(version.dot));
        let request = ReplicaRequest::Apply(object.clone(), via);
        let to = self.way(&target, &request, ReplyTo::Own { ticket });
        let ask = Box::new(ReplicaAsk { target, request, deadline, asker: None, trace: None, to });
        self.cross_own_leg(at, Leg::Write, OwnLeg::Ask(ask));
    }

    pub(super) fn cross_own_leg(&mut self, at: NodeIndex, leg: Leg, what: OwnLeg) {
        let Some(run) = self.nodes.get(at).map(|node| node.run) else { return };
        let arrives = self.network.own(self.now, at, leg);
        self.queue.push(arrives, Event::Own(at, run, Box::new(what)));
    }

    pub(crate) fn own_leg(&mut self, at: NodeIndex, run: u64, leg: OwnLeg) {
        if self.nodes.get(at).is_none_or(|node| node.run != run) {
            return;
        }
        match leg {
            OwnLeg::Ack { ticket } => {
                self.replica(at, false, |core, now, _, _, effects| core.durable(now, ticket, effects));
            }
            OwnLeg::Ask(ask) => self.tasks.push_back((at, Task::Ask(ask))),
            OwnLeg::Answer { tag, reply } => {
                let (from, answer) = (self.names_of(at), AnswerBody::Own(reply));
                self.tasks.push_back((at, Task::Answered { from, tag, answer }));
            }
        }
    }
}

pub(super) fn leg_of(request: &ReplicaRequest) -> Leg {
    match request {
        ReplicaRequest::Apply(..) => Leg::Write,
        ReplicaRequest::Fetch | ReplicaRequest::FetchAsIs | ReplicaRequest::Probe => Leg::Read,
    }
}
