//! Drives the backfill of a node.

use super::Task;
use crate::network::NodeIndex;
use crate::process::{Process, ReplyTo};
use crate::transport::Owner;
use crate::world::{Node, World};
use neap_protocol::ids::NodeId;
use neap_protocol::membership::{Backfill, BackfillEffect, Holding};
use neap_protocol::message::{ReplicaRequest, Target, Via};
use neap_protocol::replica::ReplicaAsk;
use neap_protocol::time::Moment;
use neap_protocol::view::View;

impl World {
    /// Lets a node's backfill take a step.
    pub(super) fn backfill(
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

    pub(super) fn backfill_effect(&mut self, at: NodeIndex, effect: BackfillEffect) {
        let id = self.names_of(at);
        match effect {
            BackfillEffect::Ask { peer, request, deadline } => {
                self.send(at, &peer, (Owner::Backfill, 0), request, deadline);
            }
            BackfillEffect::Apply { peer, bucket, key, object, deadline } => {
                let Some(process) = self.process_mut(at) else { return };
                let settings = process.keeper.table().version(&bucket).clone();
                let target = Target { bucket, key, settings };
                let request = ReplicaRequest::Apply(object, Via::Transfer);
                let to = self.way(&target, &request, ReplyTo::Backfill { peer });
                let ask = Box::new(ReplicaAsk { target, request, deadline, asker: None, trace: None, to });
                self.tasks.push_back((at, Task::Ask(ask)));
            }
            BackfillEffect::LeaveOut { peer, left_out } => {
                self.count("objects_left_out", 1);
                self.tasks.push_back((at, Task::LeaveOut { peer, left_out: Box::new(left_out) }));
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

    pub(super) fn look_for_pages(&mut self, at: NodeIndex) {
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
}
