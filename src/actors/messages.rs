//! What the actors say to each other.

use actix::Message;
use tokio::sync::oneshot;

use crate::actors::admission::Permit;
use crate::protocol::ids::{BucketName, NodeId, WriteId};
use crate::protocol::message::{
    Coordinate, CoordinateReply, PeerAnswer, ReplicaReply, ReplicaRequest, Target,
};
use crate::protocol::operation::{OperationError, Read, ReadReply, Write, WriteReply};
use crate::protocol::time::{Hlc, Moment};
use crate::transport::Responder;

/// A client's operation, for the coordinator of its key's shard.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ClientOperation {
    /// What is wanted.
    pub ask: ClientAsk,
    /// When the client is told, whatever happened by then.
    pub deadline: Moment,
    /// Returned when the client is answered; none for a write that another node hands over.
    pub permit: Option<Permit>,
}

/// The operation with the way back to who asked.
pub enum ClientAsk {
    /// A read.
    Read(Read, oneshot::Sender<Result<ReadReply, OperationError>>),
    /// A write. The id is the client's, or was drawn for it.
    Write(Write, WriteId, oneshot::Sender<Result<WriteReply, OperationError>>),
    /// A write that another node handed over.
    Forwarded(Write, WriteId, Box<dyn Responder>),
}

/// An answer for a coordinator.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Answer {
    /// Who answers.
    pub from: NodeId,
    /// What the request was sent with.
    pub tag: u64,
    /// What.
    pub answer: AnswerBody,
    /// The peer's clock, where a peer answered.
    pub clock: Option<Hlc>,
}

/// What an answer says.
pub enum AnswerBody {
    /// This node's own replica, to a coordinated write.
    Coordinated(Box<CoordinateReply>),
    /// This node's own replica.
    Own(ReplicaReply),
    /// A peer, or the transport in its place.
    Peer(PeerAnswer),
}

/// Where a replica's answer goes.
pub enum ReplyTo {
    /// This shard's coordinator.
    Coordinator {
        /// Handed back.
        tag: u64,
    },
    /// A peer.
    Peer(Box<dyn Responder>),
    /// The task that pulls what this node may lack.
    Backfill(oneshot::Sender<ReplicaReply>),
}

/// A request to merge or fetch.
pub struct ReplicaAsk {
    /// The key.
    pub target: Target,
    /// What to do.
    pub request: ReplicaRequest,
    /// When nobody cares any more.
    pub deadline: Moment,
    /// The peer that asks, and its clock; none where this node asks itself.
    pub asker: Option<(NodeId, Hlc)>,
    /// Where the answer goes.
    pub reply: ReplyTo,
}

/// A request for a replica store.
#[derive(Message)]
#[rtype(result = "()")]
pub enum ReplicaCommand {
    /// Stamp and apply a write, from this shard's coordinator.
    Coordinate {
        /// The write.
        coordinate: Box<Coordinate>,
        /// Handed back.
        tag: u64,
    },
    /// Merge or fetch.
    Ask(Box<ReplicaAsk>),
    /// These tickets are durable.
    Durable(Vec<u64>),
    /// Newer bucket settings are known.
    SettingsChanged,
}

/// Asks the settings actor to fetch the settings of a bucket from a peer that knows newer ones.
#[derive(Message)]
#[rtype(result = "()")]
pub struct FetchSettings {
    /// The bucket.
    pub bucket: BucketName,
    /// The peer that knows.
    pub from: NodeId,
}
