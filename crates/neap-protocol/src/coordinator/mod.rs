//! The coordinator: a [`Coordinator`] keeps the table of operations in flight, each a state machine of its own,
//! fed with answers and time, drained of effects.
//!
//! ```text
//!            ┌────────────────────────── ClientWrite ───────────────────────────┐
//!  client ──>│ home?  yes: WriteMachine: stamp here, send to the others, tally W │──> reply at W
//!            │        no : one home is asked to coordinate                       │    follow the rest
//!            └───────────────────────────────────────────────────────────────────┘
//!  client ──>  ReadMachine: fetch from R homes, hedge the slow, join, repair       ──> reply at R
//! ```
//!
//! A machine never sends, waits or looks at a clock. Its driver calls `start` once, `handle` for each answer
//! and `tick` when `wake_at` has come, and carries out what it finds in the effects, in order. A machine
//! answers its client exactly once, at its deadline at the latest.

mod answer;
mod bunch;
mod forward;
mod heal;
mod in_flight;
mod late;
mod late_verdicts;
mod legs;
mod observe;
mod plan;
mod probe_repair;
mod read;
mod read_plan;
mod recent_repairs;
mod table;
mod tally;
mod told;
mod track;
mod unconverged;
mod write;

pub use answer::{AnswerBody, Kind, untag};
pub use bunch::{Bunch, BunchConverged};
pub use forward::{ClientWrite, ForwardPlan};
pub use heal::{HealMachine, HealPlan, RecordFault};
pub use late::LateProbeMachine;
pub use plan::{CoordinatorSettings, Surroundings};
pub use probe_repair::IN_FLIGHT_US;
pub use read::ReadMachine;
pub use read_plan::{Candidate, FanOut, ReadPlan};
pub use recent_repairs::{RECENT_REPAIRS_MAX, REPAIR_RESTS_US};
pub use table::{Coordinator, OPERATIONS_MAX};
pub use tally::Tally;
pub use told::{Ask, ConvergedWrite, CoordinatorCount, CoordinatorEffect, JudgedRead, refuse};
pub use track::TrackMachine;
pub use unconverged::{SECONDS_MAX, TrackLimits};
pub use write::{WriteMachine, WritePlan};

use crate::causality::Object;
use crate::ids::{Dot, NodeId, OperationId};
use crate::message::{CoordinateReply, Gathered, Refusal, ReplicaReply, Via};
use crate::operation::{OperationError, ReadReply, WriteReply};
use crate::staleness::{Came, Convergence, Question, Sighting};
use crate::time::{Hlc, Moment};

/// What a machine wants done. Effects are carried out in the order they were given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Ask this node's own replica to stamp and apply the write. Its [`CoordinateReply`] comes back first,
    /// the acknowledgement once it is durable after it.
    Coordinate,
    /// Ask `to` (perhaps this node itself) for what it holds.
    Fetch {
        /// The home.
        to: NodeId,
    },
    /// Ask `to` which states it was in lately.
    Probe {
        /// The home.
        to: NodeId,
    },
    /// Ask `to` to merge `object`.
    Apply {
        /// The home.
        to: NodeId,
        /// The state.
        object: Object,
        /// Why.
        why: ApplyWhy,
    },
    /// Ask this node's own replica to put `gathered` in the place of its damaged record, or to merge it into what lacks
    /// something.
    Heal {
        /// What the other homes hold.
        gathered: Gathered,
    },
    /// Ask `to` to coordinate the write; it does not hand it on.
    Forward {
        /// A home of the key.
        to: NodeId,
    },
    /// Tell the client of a read.
    ReplyRead(Result<ReadReply, OperationError>),
    /// Tell the client of a write.
    ReplyWrite(Box<Result<WriteReply, OperationError>>),
    /// All that can be known of a read that was answered is known.
    Judge(Box<Question>),
    /// These replicas were asked late for the reads of a key that could not be judged, and said this.
    SightedLate(Vec<(NodeId, Sighting)>),
    /// All homes have the write.
    Converged(Dot, Convergence),
    /// All homes have a write that was followed for an operation that is over.
    Followed(OperationId, Dot, Convergence),
    /// All homes have writes that were followed together.
    BunchConverged(BunchConverged),
    /// The write is over, committed, and not known to be everywhere.
    Unfollowed(Box<Unfollowed>),
}

/// A committed write that some homes are not known to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfollowed {
    /// The write.
    pub dot: Dot,
    /// Its write time.
    pub hlc: Hlc,
    /// The W it was written with.
    pub w: u8,
    /// When it was written, or a little later.
    pub written: Moment,
    /// The homes that have it.
    pub came: Vec<Came>,
    /// Those that may lack it.
    pub lacking: Vec<NodeId>,
}

/// Why a home is asked to merge a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApplyWhy {
    /// This version was written.
    Write(Dot),
    /// A read found the home behind.
    Repair(RepairWhen),
}

impl ApplyWhy {
    fn via(self) -> Via {
        match self {
            Self::Write(dot) => Via::Write(dot),
            Self::Repair(_) => Via::ReadRepair,
        }
    }
}

/// Whether a read's client waits for a repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RepairWhen {
    /// It does.
    Blocking,
    /// It was, or will be, answered without it.
    Async,
}

/// What a replica was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Asked {
    /// [`Effect::Fetch`].
    Fetch,
    /// [`Effect::Probe`].
    Probe,
    /// [`Effect::Apply`], or the acknowledgement that follows [`Effect::Coordinate`].
    Apply,
}

/// What comes back to a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// To [`Effect::Coordinate`].
    Coordinated(Box<CoordinateReply>),
    /// To [`Effect::Apply`], and after [`Effect::Coordinate`]: the home has it, and it is durable there.
    Applied {
        /// Who acknowledges.
        from: NodeId,
        /// Live versions there.
        siblings: u16,
        /// When it came to have it, by this node's clock.
        came: Came,
    },
    /// To [`Effect::Fetch`], or a refusal of that or of [`Effect::Apply`].
    Replica {
        /// Who answers.
        from: NodeId,
        /// To which of the two: the answer to a question of an earlier step may come late.
        to: Asked,
        /// What.
        reply: ReplicaReply,
    },
    /// To [`Effect::Probe`].
    Probed {
        /// Who answers.
        from: NodeId,
        /// What, by this node's clock.
        result: Result<Box<Sighting>, Refusal>,
    },
    /// To [`Effect::Forward`].
    Forwarded {
        /// Who answers.
        from: NodeId,
        /// What; an error of the way there is a refusal.
        result: Box<Result<Result<WriteReply, OperationError>, Refusal>>,
    },
}
