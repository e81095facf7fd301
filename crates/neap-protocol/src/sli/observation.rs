//! What coordinators and replicas tell the recorder, one at a time.

use super::dwell::DwellObserved;
use super::legs::LegsObserved;
use crate::bucket::Resolution;
use crate::ids::{BucketName, NodeId};
use crate::operation::{OperationError, Outcome};
use crate::staleness::{UnknownCause, Verdict};
use crate::time::Moment;

/// Something that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// A client's read was answered.
    Read(ReadObserved),
    /// All that can be known of a read is known. Its [`Observation::Read`] came before.
    Verdict(VerdictObserved),
    /// A read whose verdict was unknown has another one.
    LateVerdict(LateObserved),
    /// So many answered reads of which nothing more is told, since they could not be handed over.
    ReadsLost(u64),
    /// A write was answered.
    Write(WriteObserved),
    /// The last home of a key has a write.
    Converged(ConvergedObserved),
    /// A replica has merged a state into what it held.
    Merged(MergeObserved),
    /// How the followed writes of one shard stand. Takes the place of what the same shard said before.
    Unconverged(UnconvergedObserved),
    /// What the legs of one shard's operations took since it last said so.
    Legs(Box<LegsObserved>),
    /// How long operations waited until one shard was handed them, since it last said so.
    Dwell(Box<DwellObserved>),
    /// How the clocks of the peers relate to this node's.
    Clocks(Vec<ClockObserved>),
}

/// How a peer's clock relates to this node's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClockObserved {
    /// The peer.
    pub peer: NodeId,
    /// Its monotonic clock less this node's, in microseconds.
    pub offset_us: i64,
    /// By how much that may be off, in microseconds.
    pub uncertainty_us: u64,
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OperationOutcome {
    /// As its client wished, or as the condition that its client gave asks.
    Ok,
    /// Too few homes could be had.
    QuorumFailed,
    /// The deadline passed first.
    Deadline,
    /// It was not taken: a limit was reached, the request did not fit, or the node does not serve.
    Refused,
}

impl OperationOutcome {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Ok, Self::QuorumFailed, Self::Deadline, Self::Refused];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::QuorumFailed => "quorum_failed",
            Self::Deadline => "deadline",
            Self::Refused => "refused",
        }
    }

    /// Of an operation's result.
    #[must_use]
    pub fn of<T>(result: &Result<T, OperationError>) -> Self {
        result.as_ref().err().map_or(Self::Ok, Self::of_error)
    }

    /// Of an operation that ended with an error.
    #[must_use]
    pub fn of_error(error: &OperationError) -> Self {
        match error {
            OperationError::Exists => Self::Ok,
            OperationError::Deadline { .. } | OperationError::NotRepaired { late: true, .. } => {
                Self::Deadline
            }
            OperationError::NotReached { .. } | OperationError::NotRepaired { .. } => Self::QuorumFailed,
            OperationError::Quorum(_)
            | OperationError::Overfull(_)
            | OperationError::TooFewMembers { .. }
            | OperationError::Overloaded
            | OperationError::NotServing(_) => Self::Refused,
        }
    }

    /// Whether a write that ended so was carried out by no home: the home that it was handed to does not count it, and the
    /// node that handed it on does.
    #[must_use]
    pub fn not_taken_elsewhere<T>(result: &Result<T, OperationError>) -> bool {
        match result {
            Ok(_) | Err(OperationError::Exists) => false,
            Err(OperationError::Deadline { outcome, .. } | OperationError::NotReached { outcome, .. }) => {
                *outcome == Outcome::NotApplied
            }
            Err(_) => true,
        }
    }
}

/// A client's read that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadObserved {
    /// Its bucket.
    pub bucket: BucketName,
    /// When the coordinator accepted it.
    pub began: Moment,
    /// The R it was asked with.
    pub r: u8,
    /// How it ended.
    pub outcome: OperationOutcome,
    /// From when the coordinator took it to the answer, in microseconds.
    pub duration_us: u64,
    /// How long before it the newest version that it returned was written, in microseconds; none if it returned none.
    pub value_age_us: Option<u64>,
    /// Live versions in the reply.
    pub siblings: u16,
    /// Whether a verdict follows.
    pub sampled: bool,
}

/// What is said of a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictObserved {
    /// Its bucket.
    pub bucket: BucketName,
    /// When the coordinator accepted it: the windows count it there.
    pub began: Moment,
    /// The R it was asked with.
    pub r: u8,
    /// The verdict.
    pub verdict: Verdict,
    /// For how long what it returned had been superseded, in microseconds; of a suspect read at the most; else 0.
    pub exposure_us: u64,
    /// The staleness age, in microseconds; of a suspect read at the most; else 0.
    pub age_us: u64,
    /// How long before it the newest version that it returned was written, in microseconds; none if it returned none.
    pub value_age_us: Option<u64>,
    /// The homes among the R that lacked what was missed; empty unless stale.
    pub missed_by: Vec<NodeId>,
    /// The replicas that did not say what they had; told only where the verdict is unknown.
    pub silent: Vec<NodeId>,
}

/// The verdict on a read that was unknown before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LateObserved {
    /// Why it was unknown.
    pub was: UnknownCause,
    /// The replicas that were silent then.
    pub were_silent: Vec<NodeId>,
    /// The verdict now; unknown if it will never be known.
    pub now: VerdictObserved,
}

/// A write that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteObserved {
    /// Its bucket.
    pub bucket: BucketName,
    /// How it ended.
    pub outcome: OperationOutcome,
    /// Whether this node counts it in `neap.writes`: it coordinated the write, or nobody did.
    pub counted: bool,
    /// From when this node took it to the answer, in microseconds; none if another node handed it on, whose client's
    /// duration is counted there.
    pub duration_us: Option<u64>,
    /// Homes that had not acknowledged it; known only to the node that coordinates it.
    pub lagging: Vec<NodeId>,
    /// Whether it left more than one live version at the coordinator.
    pub conflict: bool,
    /// How its bucket resolves them.
    pub resolution: Resolution,
}

/// By which way the last home came to have a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Path {
    /// From its coordinator.
    Direct,
    /// By a read that found it behind.
    ReadRepair,
    /// With what it pulled from other homes, as its directory might have lacked it, or its record was damaged.
    Transfer,
}

impl Path {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Direct, Self::ReadRepair, Self::Transfer];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::ReadRepair => "read_repair",
            Self::Transfer => "transfer",
        }
    }
}

/// Writes that all homes have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConvergedObserved {
    /// Their bucket.
    pub bucket: BucketName,
    /// By which way the last home came to have them.
    pub path: Path,
    /// From their commit to the last home having applied them or something that covers them, in microseconds; of several
    /// the longest.
    pub convergence_us: u64,
    /// How many.
    pub writes: u64,
}

/// A replica has merged a state into what it held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeObserved {
    /// Its bucket.
    pub bucket: BucketName,
    /// Whether it left more than one live version.
    pub conflict: bool,
    /// How its bucket resolves them.
    pub resolution: Resolution,
}

/// How the committed writes that some home lacks stand, at one shard's coordinator.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnconvergedObserved {
    /// Which shard says so.
    pub shard: u16,
    /// How long ago they were committed, in microseconds, the oldest first, with how many of about that age; few.
    pub ages: Vec<(u64, u64)>,
    /// The greatest number of homes that lack one of them.
    pub max_lagging: u8,
    /// Writes of which it is no more known whether all homes have them.
    pub untracked: u64,
}
