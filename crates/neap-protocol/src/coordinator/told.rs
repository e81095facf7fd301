//! What a coordinator is asked, and what it wants done and tells.

use crate::bucket::SettingsVersion;
use crate::causality::CausalContext;
use crate::ids::{BucketName, Dot, Key, NodeId, OperationId, WriteId};
use crate::message::{Coordinate, Gathered, PeerRequest, ReplicaRequest, Target};
use crate::operation::{OperationError, Read, ReadReply, Write, WriteReply};
use crate::sli::{ConvergedObserved, LateObserved, Observation, VerdictObserved};
use crate::staleness::{Convergence, Evidence, Explanation, Judgement, LateVerdict, Verdict, explain};
use crate::time::{Hlc, Moment};

/// What a client, or a node that hands a write on, asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// A read.
    Read(Read),
    /// A write. The id is the client's, or was drawn for it.
    Write(Write, WriteId),
    /// A write that another node hands on. It goes by settings of this version.
    Forwarded {
        /// The write.
        write: Write,
        /// Its id.
        write_id: WriteId,
        /// The version of the bucket's settings that the sender goes by.
        version: SettingsVersion,
        /// The sender.
        from: NodeId,
    },
}

/// What a coordinator wants done. `C` is the way back to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CoordinatorEffect<C> {
    /// Ask this node's own replica to carry out a write.
    Coordinate {
        /// The write.
        coordinate: Box<Coordinate>,
        /// Handed back with its [`CoordinateReply`](crate::message::CoordinateReply), and with the acknowledgement after it.
        tag: u64,
    },
    /// Ask this node's own replica.
    AskOwn {
        /// The key.
        target: Target,
        /// What.
        request: ReplicaRequest,
        /// When the answer is no longer wanted.
        deadline: Moment,
        /// Handed back.
        tag: u64,
    },
    /// Have this node's own replica put `gathered` in the place of a damaged record, or merge it into what lacks something.
    HealOwn {
        /// The bucket.
        bucket: BucketName,
        /// The key.
        key: Key,
        /// What the other homes hold.
        gathered: Gathered,
        /// Handed back with its acknowledgement.
        tag: u64,
    },
    /// Ask a peer. Exactly one answer comes back, by the deadline.
    Send {
        /// The peer.
        to: NodeId,
        /// What.
        request: PeerRequest,
        /// When the answer is no longer wanted.
        deadline: Moment,
        /// Handed back.
        tag: u64,
    },
    /// Have the settings of a bucket fetched from a peer that goes by newer ones.
    FetchSettings {
        /// The bucket.
        bucket: BucketName,
        /// The peer.
        from: NodeId,
    },
    /// Tell a reader.
    AnswerRead {
        /// The client.
        client: C,
        /// What.
        result: Result<ReadReply, OperationError>,
    },
    /// Tell a writer, or the node that handed its write on.
    AnswerWrite {
        /// The client.
        client: C,
        /// What.
        result: Box<Result<WriteReply, OperationError>>,
    },
    /// All that can be known of a read is known.
    Judged(Box<JudgedRead>),
    /// A read that could not be judged has a verdict, or will never have one.
    JudgedLate(Box<LateVerdict>),
    /// All homes of a write have it.
    Converged(Box<ConvergedWrite>),
    /// An operation was answered.
    Observed(Observation),
    /// Nothing more will come of an operation but, of a followed write, that it has converged.
    Over {
        /// The operation.
        id: OperationId,
        /// Whether the homes that lack its write are asked now and then.
        followed: bool,
    },
    /// Something worth counting happened, so many times.
    Count(CoordinatorCount, u64),
}

/// A read, and what is said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JudgedRead {
    /// Its operation.
    pub id: OperationId,
    /// Its bucket.
    pub bucket: BucketName,
    /// Its key.
    pub key: Key,
    /// When the coordinator accepted it.
    pub began: Moment,
    /// All that the reply covers.
    pub reply: CausalContext,
    /// The write time of the newest version in it.
    pub returned: Option<Hlc>,
    /// How long before the read that was, in microseconds.
    pub value_age_us: Option<u64>,
    /// The R it was asked with.
    pub r: u8,
    /// The homes whose answers the reply was made of.
    pub answered_by: Vec<NodeId>,
    /// The replicas that did not say what they had.
    pub silent: Vec<NodeId>,
    /// What is said.
    pub judgement: Judgement,
    /// What that rests on.
    pub evidence: Evidence,
}

/// A write that all homes have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConvergedWrite {
    /// Its operation.
    pub id: OperationId,
    /// Its bucket.
    pub bucket: BucketName,
    /// Its key.
    pub key: Key,
    /// Its version.
    pub dot: Dot,
    /// How long that took.
    pub convergence: Convergence,
}

impl JudgedRead {
    /// Explains the verdict: costs more than to reach it, and is wanted of few reads.
    #[must_use]
    pub fn explained(&self) -> Explanation<'_> {
        explain(&self.evidence, &self.reply, self.returned, &self.judgement)
    }

    /// What is told of it.
    #[must_use]
    pub fn observed(&self) -> VerdictObserved {
        let Judgement { verdict, exposure_us, age_us, .. } = self.judgement;
        let missed = verdict == Verdict::Stale;
        let unknown = matches!(verdict, Verdict::Unknown(_));
        VerdictObserved {
            bucket: self.bucket.clone(),
            began: self.began,
            r: self.r,
            verdict,
            exposure_us,
            age_us,
            value_age_us: self.value_age_us,
            missed_by: if missed { self.answered_by.clone() } else { Vec::new() },
            silent: if unknown { self.silent.clone() } else { Vec::new() },
        }
    }
}

impl LateVerdict {
    /// What is told of it.
    #[must_use]
    pub fn observed(&self) -> LateObserved {
        let Judgement { verdict, exposure_us, age_us, .. } = self.judgement;
        let missed = verdict == Verdict::Stale;
        let now = VerdictObserved {
            bucket: self.place.bucket.clone(),
            began: self.began,
            r: self.r,
            verdict,
            exposure_us,
            age_us,
            // It was told with the first verdict.
            value_age_us: None,
            missed_by: if missed { self.answered_by.clone() } else { Vec::new() },
            silent: match verdict {
                Verdict::Unknown(_) => self.were_silent.clone(),
                _ => Vec::new(),
            },
        };
        LateObserved { was: self.was, were_silent: self.were_silent.clone(), now }
    }
}

impl ConvergedWrite {
    /// What is told of it.
    #[must_use]
    pub fn observed(&self) -> ConvergedObserved {
        let Convergence { us: convergence_us, path, .. } = self.convergence;
        ConvergedObserved { bucket: self.bucket.clone(), path, convergence_us, writes: 1 }
    }
}

impl Ask {
    /// The bucket that it is about.
    #[must_use]
    pub fn bucket(&self) -> &BucketName {
        match self {
            Self::Read(read) => &read.bucket,
            Self::Write(write, _) | Self::Forwarded { write, .. } => &write.bucket,
        }
    }

    /// The key that it is about.
    #[must_use]
    pub fn key(&self) -> &Key {
        match self {
            Self::Read(read) => &read.key,
            Self::Write(write, _) | Self::Forwarded { write, .. } => &write.key,
        }
    }
}

/// What a coordinator counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CoordinatorCount {
    /// An operation was refused because the table was full.
    OperationsRefused,
    /// An answered operation is no longer followed because the table was full.
    FollowUpsDropped,
    /// A write was over while some home was not known to have it.
    WritesUnfollowed,
    /// A home was repaired before the reader was answered.
    ReadRepairsBlocking,
    /// A home was repaired, and the reader did not wait for it.
    ReadRepairsAsync,
    /// Replicas that a read's probes found to differ were left to a later read: the key was repaired within the last
    /// second, or many keys were.
    ReadRepairsPutOff,
    /// A read asked another home because one was slow.
    HedgedReads,
    /// A read that could not be judged was judged later.
    ReadsJudgedLate,
    /// A read that could not be judged never will be: it was kept for too long, there was no room for it, or replicas
    /// do not remember.
    ReadsNeverJudged,
}

impl CoordinatorCount {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OperationsRefused => "operations_refused",
            Self::FollowUpsDropped => "follow_ups_dropped",
            Self::WritesUnfollowed => "writes_unfollowed",
            Self::ReadRepairsBlocking => "read_repairs_blocking",
            Self::ReadRepairsAsync => "read_repairs_async",
            Self::ReadRepairsPutOff => "read_repairs_put_off",
            Self::HedgedReads => "hedged_reads",
            Self::ReadsJudgedLate => "reads_judged_late",
            Self::ReadsNeverJudged => "reads_never_judged",
        }
    }
}

/// Answers a client whose operation never began.
pub fn refuse<C>(ask: &Ask, client: C, error: OperationError, effects: &mut Vec<CoordinatorEffect<C>>) {
    effects.push(match ask {
        Ask::Read(_) => CoordinatorEffect::AnswerRead { client, result: Err(error) },
        Ask::Write(..) | Ask::Forwarded { .. } => {
            CoordinatorEffect::AnswerWrite { client, result: Box::new(Err(error)) }
        }
    });
}
