//! What the actors say to each other.

use actix::Message;
use tokio::sync::oneshot;

use crate::actors::admission::Permit;
use crate::protocol::coordinator::{AnswerBody, Ask};
use crate::protocol::ids::{BucketName, Key, NodeId};
use crate::protocol::message::{Coordinate, Gathered, LeftOut, ReplicaReply};
use crate::protocol::operation::{OperationError, ReadReply, WriteReply};
use crate::protocol::replica::ReplicaAsk;
use crate::protocol::time::{Hlc, Moment};
use crate::telemetry::RequestTrace;
use crate::transport::Responder;

/// A client's operation, for the coordinator of its key's shard.
pub struct ClientOperation {
    /// What is wanted.
    pub ask: Ask,
    /// The way back.
    pub client: Client,
    /// When the client is told, whatever happened by then.
    pub deadline: Moment,
    /// Returned when the client is answered.
    pub permit: Permit,
    /// The trace that it belongs to, if it is traced.
    pub trace: Option<RequestTrace>,
}

/// Operations that a shard is handed together, so that what they ask of a peer leaves together; each with how long it
/// waited for its turn, in microseconds.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ClientOperations(pub Vec<(ClientOperation, u64)>);

/// The way back to who asked.
pub enum Client {
    /// For a read.
    Read(oneshot::Sender<Result<ReadReply, OperationError>>),
    /// For a write.
    Write(oneshot::Sender<Result<WriteReply, OperationError>>),
    /// For a write that another node handed over.
    Peer(Box<dyn Responder>),
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
    /// When the question left, where it had waited for others to go with.
    pub left: Option<Moment>,
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
    /// The actor that pulls what this node may lack.
    Backfill {
        /// Whose page the object was on.
        peer: NodeId,
    },
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
    Ask(Box<ReplicaAsk<ReplyTo>>),
    /// Put what the other homes hold in the place of a damaged record.
    Heal {
        /// The bucket.
        bucket: BucketName,
        /// The key.
        key: Key,
        /// What they hold.
        gathered: Box<Gathered>,
        /// Handed back.
        tag: u64,
    },
    /// Note that this node was left without an object: it is too large to be sent.
    LeaveOut {
        /// What.
        left_out: Box<LeftOut>,
        /// Who is told.
        to: ReplyTo,
    },
    /// These tickets are durable.
    Durable(Vec<u64>),
    /// Newer bucket settings are known.
    SettingsChanged,
}

/// The record of a key was found damaged, or lacks what was left out.
#[derive(Message, Debug, Clone)]
#[rtype(result = "()")]
pub struct Damaged {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: Key,
    /// Whether the record can be read, and only lacks something.
    pub readable: bool,
}

/// What became of an object that was pulled from a peer.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Backfilled {
    /// The peer.
    pub peer: NodeId,
    /// What the replica store says.
    pub reply: ReplicaReply,
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
