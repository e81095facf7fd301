//! What a client asks of a coordinator, and what it is told.

use bytes::Bytes;

use crate::bounds::Overfull;
use crate::bucket::Resolution;
use crate::causality::{Answered, CausalContext, Object};
use crate::ids::{BucketName, Key, NodeId, WriteId};
use crate::message::Refusal;
use crate::quorum::QuorumError;

/// A read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: Key,
    /// The R of this request, where it chooses one.
    pub r: Option<u8>,
    /// Whether replicas answer with what they hold though something of it could not be sent to them. Then the reply may
    /// miss writes that were acknowledged, whatever R is, so it gets no verdict.
    pub as_is: bool,
}

/// What a write does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteBody {
    /// Puts a value.
    Put {
        /// The `Content-Type` given, if any.
        content_type: Option<String>,
        /// The bytes.
        bytes: Bytes,
    },
    /// Deletes.
    Delete,
}

/// A write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The bucket.
    pub bucket: BucketName,
    /// The key.
    pub key: Key,
    /// What it does.
    pub body: WriteBody,
    /// What the client has seen and replaces; none for a blind write.
    pub context: Option<CausalContext>,
    /// The name that makes a retry safe, where the client gave one.
    pub write_id: Option<WriteId>,
    /// The W of this request, where it chooses one.
    pub w: Option<u8>,
    /// How long the value is shown, in microseconds.
    pub ttl_us: Option<u64>,
    /// `If-None-Match: *`: only if no value is there.
    pub only_if_absent: bool,
}

/// Which homes took part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Participation {
    /// The homes that answered or acknowledged before the client was told, in preference order.
    pub acked_by: Vec<NodeId>,
    /// How many had to.
    pub required: u8,
    /// How many homes there are.
    pub total: u8,
}

impl Participation {
    /// How many homes had not answered yet.
    #[must_use]
    pub fn lagging(&self) -> u8 {
        self.total.saturating_sub(u8::try_from(self.acked_by.len()).unwrap_or(u8::MAX))
    }
}

/// A read's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadReply {
    /// What the homes hold, joined; none if none of them ever saw the key.
    pub object: Option<Object>,
    /// Which homes answered.
    pub participation: Participation,
    /// How the bucket resolves concurrent versions.
    pub resolution: Resolution,
}

/// A write's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteReply {
    /// The version, its time, and the context for the client.
    pub answered: Answered,
    /// The write's id, drawn by the coordinator where the client gave none.
    pub write_id: WriteId,
    /// Whether an acknowledgement showed that the write stands beside a sibling.
    pub sibling: bool,
    /// Which homes acknowledged.
    pub participation: Participation,
}

/// What is certain about a write that did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Nothing was applied anywhere: a retry is safe.
    NotApplied,
    /// Some homes have it, fewer than were required; it may yet spread.
    Partial {
        /// Homes that acknowledged.
        applied: u8,
    },
    /// It may or may not have been applied.
    Unknown,
}

/// Why an operation did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperationError {
    /// R, W or N does not fit. Nothing changed.
    #[error("{0}")]
    Quorum(#[from] QuorumError),
    /// The bucket's N is greater than the number of nodes. Nothing changed.
    #[error("the bucket has n = {n}, and the cluster has {members} nodes")]
    TooFewMembers {
        /// The bucket's N.
        n: u8,
        /// Nodes in the cluster.
        members: u16,
    },
    /// Not enough homes could be had, and no more will answer.
    #[error("{answered} of the {needed} homes needed answered (of {total})")]
    NotReached {
        /// Homes that answered.
        answered: u8,
        /// Homes needed.
        needed: u8,
        /// Homes there are.
        total: u8,
        /// What is certain about the write; for a read, always not applied.
        outcome: Outcome,
        /// Why the others did not.
        refusals: Vec<(NodeId, Refusal)>,
    },
    /// Enough replicas answered a read; but too few of them hold what they know together, and the others were not
    /// brought up to date.
    #[error(
        "replicas answered, and {current} of the {needed} needed hold what they know together (of {total}); the others \
         were not brought up to date{}", in_time(.late)
    )]
    NotRepaired {
        /// Replicas that hold what the answers joined to.
        current: u8,
        /// Replicas needed.
        needed: u8,
        /// Replicas there are.
        total: u8,
        /// Whether it was the deadline that ended it.
        late: bool,
        /// Why the others were not brought up to date, as far as they said.
        refusals: Vec<(NodeId, Refusal)>,
    },
    /// The deadline passed first.
    #[error("the deadline passed with {answered} of the {needed} homes needed (of {total})")]
    Deadline {
        /// Homes that answered.
        answered: u8,
        /// Homes needed.
        needed: u8,
        /// Homes there are.
        total: u8,
        /// What is certain about the write; for a read, always not applied.
        outcome: Outcome,
    },
    /// `If-None-Match: *` was given and a value is there. Nothing changed.
    #[error("a value is there already")]
    Exists,
    /// The object would outgrow a bound. Nothing changed.
    #[error("{0}")]
    Overfull(#[from] Overfull),
    /// The node has more in flight than it may. Nothing changed.
    #[error("this node is at its limit of requests in flight")]
    Overloaded,
    /// The node is stopping or not ready. Nothing changed.
    #[error("this node does not serve: {0}")]
    NotServing(Refusal),
}

fn in_time(late: &bool) -> &'static str {
    if *late { " before the deadline" } else { "" }
}
