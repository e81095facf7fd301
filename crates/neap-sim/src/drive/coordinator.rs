//! Drives the coordinator of a node.

use super::Task;
use super::own_leg::{OwnLeg, leg_of};
use crate::network::NodeIndex;
use crate::process::{Client, Process, ReplyTo};
use crate::transport::Owner;
use crate::world::{Event, Node, World};
use neap_protocol::coordinator::{Coordinator, CoordinatorEffect, Surroundings};
use neap_protocol::message::PeerAnswer;
use neap_protocol::operation::OperationError;
use neap_protocol::replica::ReplicaAsk;
use neap_protocol::view::View;

type CoordinatorEffects = Vec<CoordinatorEffect<Client>>;
impl World {
    /// Lets a node's coordinator take a step.
    pub fn coordinator(
        &mut self,
        at: NodeIndex,
        step: impl FnOnce(&mut Coordinator<Client>, Surroundings<'_>, &mut CoordinatorEffects),
    ) {
        let Self { nodes, names, now, .. } = self;
        let Some(node) = nodes.get_mut(at) else { return };
        let (moment, wall) = (node.clock.moment(*now), node.wall(*now));
        let Node { process, id, ring, .. } = node;
        let Some(process) = process else { return };
        let Process { coordinator, keeper, clock, transport, .. } = &mut **process;
        let mut effects = Vec::new();
        let view = View { me: id, ring, buckets: keeper.table() };
        let settled = keeper.is_settled(view);
        let around = Surroundings {
            view,
            now: moment,
            clock: clock.read(wall),
            wall,
            settled,
            is_up: &|peer| names.node(peer).is_some_and(|peer| transport.is_up(peer)),
            is_down: &|peer| names.node(peer).is_some_and(|peer| transport.is_down(peer)),
        };
        step(coordinator, around, &mut effects);
        for effect in effects {
            self.coordinator_effect(at, effect);
        }
        self.arm(at);
    }

    pub(super) fn coordinator_effect(&mut self, at: NodeIndex, effect: CoordinatorEffect<Client>) {
        match effect {
            CoordinatorEffect::Coordinate { coordinate, tag } => {
                self.tasks.push_back((at, Task::Coordinate { coordinate, tag }));
            }
            CoordinatorEffect::AskOwn { target, request, deadline, tag } => {
                let way = self.way(&target, &request, ReplyTo::Coordinator { tag });
                let ask =
                    Box::new(ReplicaAsk { target, request, deadline, asker: None, trace: None, to: way });
                if self.settings.own_leg_crosses {
                    let leg = leg_of(&ask.request);
                    return self.cross_own_leg(at, leg, OwnLeg::Ask(ask));
                }
                self.tasks.push_back((at, Task::Ask(ask)));
            }
            CoordinatorEffect::HealOwn { bucket, key, gathered, tag } => {
                self.tasks.push_back((at, Task::Heal { bucket, key, gathered, tag }));
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
                        PeerAnswer::Refused(neap_protocol::message::Refusal::Overloaded)
                    }
                    result => PeerAnswer::Forwarded(Box::new(result)),
                };
                self.answer_peer(at, request, answer);
            }
            CoordinatorEffect::Judged(read) => self.judged(at, &read),
            CoordinatorEffect::JudgedLate(late) => self.judged_late(at, &late),
            CoordinatorEffect::Converged(write) => self.converged(at, &write),
            CoordinatorEffect::Observed(observation) => self.observed(at, &observation),
            CoordinatorEffect::Over { .. } => {}
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

    pub(crate) fn wake(&mut self, at: NodeIndex, run: u64) {
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
}
