//! Drives the machines of a node: what one wants becomes another's input, a frame, or a client's answer.

mod backfill;
mod control;
mod coordinator;
mod own_leg;
mod peers;
mod replica;

pub use own_leg::OwnLeg;

use crate::network::NodeIndex;
use crate::process::{Process, ReplyTo, Way};
use crate::transport::Owner;
use crate::world::World;
use neap_protocol::causality::CausalContext;
use neap_protocol::coordinator::AnswerBody;
use neap_protocol::ids::{BucketName, Key, NodeId};
use neap_protocol::membership::PeerEvent;
use neap_protocol::message::{Coordinate, Gathered, LeftOut, PeerAnswer, ReplicaReply};
use neap_protocol::replica::ReplicaAsk;

/// What one machine of a node has to say to another.
#[derive(Debug)]
pub enum Task {
    /// To the replica, from the coordinator.
    Coordinate {
        /// The write.
        coordinate: Box<Coordinate>,
        /// Handed back.
        tag: u64,
    },
    /// To the replica.
    Ask(Box<ReplicaAsk<Way>>),
    /// To the coordinator.
    Answered {
        /// Who answers.
        from: NodeId,
        /// Handed back.
        tag: u64,
        /// What.
        answer: AnswerBody,
    },
    /// To the backfill, from the replica.
    Backfilled {
        /// Whose page the object was on.
        peer: NodeId,
        /// What.
        reply: ReplicaReply,
    },
    /// To the keeper of settings.
    FetchSettings {
        /// The bucket.
        bucket: BucketName,
        /// The peer that goes by newer ones.
        from: NodeId,
    },
    /// To all that asked a peer.
    PeerAnswered {
        /// Who asked.
        owner: Owner,
        /// The peer.
        from: NodeId,
        /// Handed back.
        tag: u64,
        /// What.
        answer: PeerAnswer,
    },
    /// The record of a key was found damaged.
    Damaged {
        /// The bucket.
        bucket: BucketName,
        /// The key.
        key: Key,
    },
    /// A key was asked for of which this node was left without something.
    Lacking {
        /// The bucket.
        bucket: BucketName,
        /// The key.
        key: Key,
    },
    /// To the replica, from the backfill: it is left without an object.
    LeaveOut {
        /// Whose page named it.
        peer: NodeId,
        /// What.
        left_out: Box<LeftOut>,
    },
    /// To the replica: what the other homes hold takes the place of a damaged record.
    Heal {
        /// The bucket.
        bucket: BucketName,
        /// The key.
        key: Key,
        /// What they hold.
        gathered: Gathered,
        /// Handed back.
        tag: u64,
    },
    /// News of a peer.
    Peer(PeerEvent),
    /// Bucket settings have changed.
    SettingsChanged,
}

impl World {
    /// Lets the machines of all nodes hear what they have to say to each other.
    pub fn carry_out_tasks(&mut self) {
        while let Some((node, task)) = self.tasks.pop_front() {
            match task {
                Task::Coordinate { coordinate, tag } => self.coordinate(node, *coordinate, tag),
                Task::Ask(ask) => self.ask_replica(node, *ask),
                Task::Answered { from, tag, answer } => {
                    self.coordinator(node, |core, around, effects| {
                        core.answered(around, from, tag, answer, effects);
                    });
                }
                Task::Backfilled { peer, reply } => {
                    self.backfill(node, |core, now, view, effects| {
                        core.applied(now, view, peer, &reply, effects);
                    });
                }
                Task::FetchSettings { bucket, from } => {
                    self.settings(node, |core, now, _, _, effects| core.fetch(now, bucket, from, effects));
                }
                Task::PeerAnswered { owner, from, tag, answer } => {
                    self.peer_answered(node, owner, from, tag, answer);
                }
                Task::Damaged { bucket, key } => {
                    self.backfill(node, |core, _, _, _| core.damaged());
                    self.coordinator(node, |core, around, effects| core.heal(around, bucket, key, effects));
                }
                Task::Lacking { bucket, key } => {
                    self.coordinator(node, |core, around, effects| core.fill(around, bucket, key, effects));
                }
                Task::LeaveOut { peer, left_out } => {
                    let to = ReplyTo::Backfill { peer };
                    let way = Way { to, key: None, promise: CausalContext::new() };
                    self.replica(node, true, |core, _, view, host, effects| {
                        core.left_out(view, host, &left_out, way, effects);
                    });
                }
                Task::Heal { bucket, key, gathered, tag } => {
                    let target = (self.names.key_index(&bucket, &key), gathered.object.context().clone());
                    let way = Way { to: ReplyTo::Coordinator { tag }, key: target.0, promise: target.1 };
                    self.replica(node, true, |core, now, view, host, effects| {
                        core.heal(now, view, host, (&bucket, &key, &gathered), way, effects);
                    });
                }
                Task::Peer(event) => self.peer_event(node, event),
                Task::SettingsChanged => self.replica(node, false, |core, now, view, host, effects| {
                    core.unpark(now, view, host, effects);
                }),
            }
        }
    }

    /// A node's name.
    #[expect(clippy::indexing_slicing, reason = "nodes are never removed, and every index is one of theirs")]
    pub fn names_of(&self, at: NodeIndex) -> NodeId {
        self.nodes[at].id.clone()
    }

    /// A node's run.
    pub fn process_mut(&mut self, at: NodeIndex) -> Option<&mut Process> {
        self.nodes.get_mut(at)?.process.as_deref_mut()
    }
}
