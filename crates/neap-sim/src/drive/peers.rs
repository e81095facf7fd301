//! Answers peers, and hands their answers over.

use super::Task;
use crate::network::NodeIndex;
use crate::process::{Client, PeerRequestId, ReplyTo, Scanner};
use crate::transport::Owner;
use crate::wire::{Body, Frame};
use crate::world::{Node, World};
use neap_protocol::coordinator::{AnswerBody, Ask};
use neap_protocol::ids::NodeId;
use neap_protocol::membership::PeerEvent;
use neap_protocol::message::{PeerAnswer, PeerRequest, Refusal};
use neap_protocol::replica::{PageBounds, ReplicaAsk, ScanFinding, scan_page};
use neap_protocol::view::View;

impl World {
    pub(super) fn peer_answered(
        &mut self,
        at: NodeIndex,
        owner: Owner,
        from: NodeId,
        tag: u64,
        answer: PeerAnswer,
    ) {
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

    pub(super) fn peer_event(&mut self, at: NodeIndex, event: PeerEvent) {
        match event {
            PeerEvent::Up(peer) => {
                let asked = peer.clone();
                self.settings(at, |core, now, _, _, effects| core.peer_up(now, asked, effects));
                self.backfill(at, |core, now, _, effects| core.peer_up(now, peer, effects));
            }
            PeerEvent::Down(_) => {}
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
                let ask = ReplicaAsk { target, request, deadline, asker, trace: None, to };
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
                let mut findings = Vec::new();
                let sendable_bytes = process.messages.sendable_bytes();
                let bounds = PageBounds { wanted_bytes: max_bytes as usize, sendable_bytes };
                let mut tell = |finding| findings.push(finding);
                let page = scan_page(view, &scanner, &peer, after, bounds, &mut tell);
                for finding in findings {
                    match finding {
                        ScanFinding::Damaged(bucket, key) => {
                            self.tasks.push_back((at, Task::Damaged { bucket, key }));
                        }
                        ScanFinding::TooLarge(_) => self.count("objects_too_large", 1),
                    }
                }
                self.answer_peer(at, from, page.map_or_else(PeerAnswer::Refused, PeerAnswer::Scanned));
            }
            // A simulated node has no recorder, and lists no keys.
            PeerRequest::SloSummary | PeerRequest::ListKeys(_) | PeerRequest::ListStates(_) => {
                self.answer_peer(at, from, PeerAnswer::Refused(Refusal::Overloaded));
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
}
