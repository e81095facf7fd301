//! What a read is to do.

use crate::bucket::{ReadRepair, Resolution};
use crate::ids::NodeId;
use crate::time::{Hlc, Moment};

/// A home that may be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The home.
    pub node: NodeId,
    /// How long to wait for it before another is asked too, in microseconds: its recent p99.
    pub hedge_after_us: u64,
}

/// Whom a read asks at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FanOut {
    /// R homes, and another for each that refuses or is slow.
    #[default]
    R,
    /// All homes; the first R answers count. What the WARS model describes (see [`crate::pbs`]).
    All,
}

/// What a read needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadPlan {
    /// All homes, the one to ask first in front: the coordinator's own copy, then by recent latency, those
    /// known to be down last.
    pub candidates: Vec<Candidate>,
    /// How many must answer.
    pub r: u8,
    /// Whether they answer with what they hold though something of it could not be sent to them.
    pub as_is: bool,
    /// Whom it asks at once.
    pub fan_out: FanOut,
    /// When homes that are behind are repaired.
    pub repair: ReadRepair,
    /// How the bucket resolves concurrent versions.
    pub resolution: Resolution,
    /// When the client is told, whatever happened by then.
    pub deadline: Moment,
    /// Until when late answers are looked at.
    pub follow_until: Moment,
    /// The coordinator's clock, noted in joined states for named writes that the joining supersedes.
    pub clock: Hlc,
    /// Whether the homes that are asked for no value are asked for their recent states, for the verdict.
    pub probe: bool,
    /// The lowest W that a write of the bucket may choose.
    pub w_min: u8,
    /// Whether that, and the homes, are known for sure.
    pub settled: bool,
}
