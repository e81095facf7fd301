//! Writes that are handed over, and what becomes of them, on the wire.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::WireMeaning;
use super::object::{WireContext, WireDot, dot_of, wire_dot};
use super::refusal::WireRefusal;
use crate::protocol::bounds::Overfull;
use crate::protocol::causality::{Answered, CausalContext};
use crate::protocol::ids::{BucketName, Key, NodeId, WriteId};
use crate::protocol::operation::{OperationError, Outcome, Participation, Write, WriteBody, WriteReply};
use crate::protocol::quorum::QuorumError;
use crate::protocol::time::Hlc;

/// [`Write`].
#[derive(Debug, Serialize, Deserialize)]
pub struct WireWrite {
    bucket: String,
    key: Bytes,
    /// Content type and bytes; none deletes.
    put: Option<(Option<String>, Bytes)>,
    context: Option<WireContext>,
    write_id: Option<u128>,
    w: Option<u8>,
    ttl_us: Option<u64>,
    only_if_absent: bool,
}

/// [`WriteReply`].
#[derive(Debug, Serialize, Deserialize)]
pub struct WireWriteReply {
    dot: WireDot,
    hlc: u64,
    context: WireContext,
    write_id: u128,
    created: bool,
    sibling: bool,
    acked_by: Vec<String>,
    required: u8,
    total: u8,
}

/// [`OperationError`].
#[derive(Debug, Serialize, Deserialize)]
pub enum WireError {
    /// [`QuorumError::N`].
    N(u8),
    /// [`QuorumError::R`].
    R(u8, u8),
    /// [`QuorumError::W`].
    W(u8, u8, u8),
    /// [`QuorumError::WMin`].
    WMin(u8, u8),
    /// [`OperationError::TooFewMembers`].
    TooFewMembers(u8, u16),
    /// [`OperationError::NotReached`]: answered, needed, total, outcome, refusals.
    NotReached(u8, u8, u8, WireOutcome, Vec<(String, WireRefusal)>),
    /// [`OperationError::Deadline`]: answered, needed, total, outcome.
    Deadline(u8, u8, u8, WireOutcome),
    /// [`OperationError::Exists`].
    Exists,
    /// [`OperationError::Overloaded`].
    Overloaded,
    /// [`OperationError::NotServing`].
    NotServing(WireRefusal),
    /// [`Overfull::Write`]: bytes of the write, the bound.
    WriteTooLarge(u64, u64),
    /// [`Overfull::Bytes`]: bytes held, bytes of the write, the bound.
    ObjectFull(u64, u64, u64),
    /// [`Overfull::Versions`]: versions held, versions left, the bound.
    TooManySiblings(u32, u32, u16),
}

/// [`Outcome`].
#[derive(Debug, Serialize, Deserialize)]
pub enum WireOutcome {
    /// [`Outcome::NotApplied`].
    NotApplied,
    /// [`Outcome::Partial`].
    Partial(u8),
    /// [`Outcome::Unknown`].
    Unknown,
}

impl From<&Write> for WireWrite {
    fn from(write: &Write) -> Self {
        let put = match &write.body {
            WriteBody::Put { content_type, bytes } => Some((content_type.clone(), bytes.clone())),
            WriteBody::Delete => None,
        };
        Self {
            bucket: write.bucket.as_str().to_owned(),
            key: Bytes::copy_from_slice(write.key.as_bytes()),
            put,
            context: write.context.as_ref().map(WireContext::from),
            write_id: write.write_id.map(|id| id.0),
            w: write.w,
            ttl_us: write.ttl_us,
            only_if_absent: write.only_if_absent,
        }
    }
}

impl TryFrom<WireWrite> for Write {
    type Error = WireMeaning;

    fn try_from(write: WireWrite) -> Result<Self, WireMeaning> {
        let body = match write.put {
            Some((content_type, bytes)) => WriteBody::Put { content_type, bytes },
            None => WriteBody::Delete,
        };
        Ok(Self {
            bucket: BucketName::new(&write.bucket)?,
            key: Key::new(write.key),
            body,
            context: write.context.map(CausalContext::from),
            write_id: write.write_id.map(WriteId),
            w: write.w,
            ttl_us: write.ttl_us,
            only_if_absent: write.only_if_absent,
        })
    }
}

impl From<&WriteReply> for WireWriteReply {
    fn from(reply: &WriteReply) -> Self {
        let Participation { acked_by, required, total } = &reply.participation;
        Self {
            dot: wire_dot(reply.answered.dot),
            hlc: reply.answered.hlc.0,
            context: (&reply.answered.context).into(),
            write_id: reply.write_id.0,
            created: reply.answered.created,
            sibling: reply.sibling,
            acked_by: acked_by.iter().map(|node| node.as_str().to_owned()).collect(),
            required: *required,
            total: *total,
        }
    }
}

impl TryFrom<WireWriteReply> for WriteReply {
    type Error = WireMeaning;

    fn try_from(reply: WireWriteReply) -> Result<Self, WireMeaning> {
        let acked_by = reply.acked_by.iter().map(|node| NodeId::new(node)).collect::<Result<_, _>>()?;
        let (dot, hlc, context) = (dot_of(reply.dot), Hlc(reply.hlc), reply.context.into());
        Ok(Self {
            answered: Answered { dot, hlc, context, created: reply.created },
            write_id: WriteId(reply.write_id),
            sibling: reply.sibling,
            participation: Participation { acked_by, required: reply.required, total: reply.total },
        })
    }
}

impl From<Outcome> for WireOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::NotApplied => Self::NotApplied,
            Outcome::Partial { applied } => Self::Partial(applied),
            Outcome::Unknown => Self::Unknown,
        }
    }
}

impl From<WireOutcome> for Outcome {
    fn from(outcome: WireOutcome) -> Self {
        match outcome {
            WireOutcome::NotApplied => Self::NotApplied,
            WireOutcome::Partial(applied) => Self::Partial { applied },
            WireOutcome::Unknown => Self::Unknown,
        }
    }
}

impl From<&OperationError> for WireError {
    fn from(error: &OperationError) -> Self {
        match error {
            OperationError::Quorum(QuorumError::N { given }) => Self::N(*given),
            OperationError::Quorum(QuorumError::R { given, n }) => Self::R(*given, *n),
            OperationError::Quorum(QuorumError::W { given, w_min, n }) => Self::W(*given, *w_min, *n),
            OperationError::Quorum(QuorumError::WMin { given, max }) => Self::WMin(*given, *max),
            OperationError::TooFewMembers { n, members } => Self::TooFewMembers(*n, *members),
            OperationError::NotReached { answered, needed, total, outcome, refusals } => {
                let refusals = refusals.iter().map(|(node, why)| (node.as_str().to_owned(), (*why).into()));
                Self::NotReached(*answered, *needed, *total, (*outcome).into(), refusals.collect())
            }
            // No read is handed on, so this is of none.
            OperationError::NotRepaired { current, needed, total, refusals, .. } => {
                let refusals = refusals.iter().map(|(node, why)| (node.as_str().to_owned(), (*why).into()));
                Self::NotReached(*current, *needed, *total, WireOutcome::NotApplied, refusals.collect())
            }
            OperationError::Deadline { answered, needed, total, outcome } => {
                Self::Deadline(*answered, *needed, *total, (*outcome).into())
            }
            OperationError::Exists => Self::Exists,
            OperationError::Overloaded => Self::Overloaded,
            OperationError::NotServing(refusal) => Self::NotServing((*refusal).into()),
            OperationError::Overfull(why) => match *why {
                Overfull::Write { write_bytes, bound_bytes } => Self::WriteTooLarge(write_bytes, bound_bytes),
                Overfull::Bytes { held_bytes, write_bytes, bound_bytes } => {
                    Self::ObjectFull(held_bytes, write_bytes, bound_bytes)
                }
                Overfull::Versions { held_versions, left_versions, siblings_max } => {
                    Self::TooManySiblings(held_versions, left_versions, siblings_max)
                }
            },
        }
    }
}

impl TryFrom<WireError> for OperationError {
    type Error = WireMeaning;

    fn try_from(error: WireError) -> Result<Self, WireMeaning> {
        Ok(match error {
            WireError::N(given) => QuorumError::N { given }.into(),
            WireError::R(given, n) => QuorumError::R { given, n }.into(),
            WireError::W(given, w_min, n) => QuorumError::W { given, w_min, n }.into(),
            WireError::WMin(given, max) => QuorumError::WMin { given, max }.into(),
            WireError::TooFewMembers(n, members) => Self::TooFewMembers { n, members },
            WireError::NotReached(answered, needed, total, outcome, refusals) => {
                let refusals = refusals.into_iter().map(|(node, why)| Ok((NodeId::new(&node)?, why.into())));
                let refusals = refusals.collect::<Result<_, WireMeaning>>()?;
                Self::NotReached { answered, needed, total, outcome: outcome.into(), refusals }
            }
            WireError::Deadline(answered, needed, total, outcome) => {
                Self::Deadline { answered, needed, total, outcome: outcome.into() }
            }
            WireError::Exists => Self::Exists,
            WireError::Overloaded => Self::Overloaded,
            WireError::NotServing(refusal) => Self::NotServing(refusal.into()),
            WireError::WriteTooLarge(write_bytes, bound_bytes) => {
                Overfull::Write { write_bytes, bound_bytes }.into()
            }
            WireError::ObjectFull(held_bytes, write_bytes, bound_bytes) => {
                Overfull::Bytes { held_bytes, write_bytes, bound_bytes }.into()
            }
            WireError::TooManySiblings(held_versions, left_versions, siblings_max) => {
                Overfull::Versions { held_versions, left_versions, siblings_max }.into()
            }
        })
    }
}
