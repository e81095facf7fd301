//! Bucket properties: what a bucket's owner may choose.

use crate::admission::BucketWeight;
use crate::ids::NodeId;
use crate::quorum::{Quorum, QuorumError};
use crate::time::Hlc;

/// What a write without context does to versions that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlindWrite {
    /// Replaces what the coordinator holds at that moment.
    Overwrite,
    /// Becomes a sibling of it.
    Sibling,
}

/// What a reader of concurrent versions gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resolution {
    /// All of them.
    Siblings,
    /// The greatest by (HLC, dot). The others stay on the replicas until a write replaces them, since a
    /// merge that drops what no context covers is not associative; they are never shown.
    Lww,
}

/// When replicas among the R that are behind are brought up to date. What probes find of the others is repaired after
/// the reply, unless it is [`ReadRepair::Off`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReadRepair {
    /// Before the reader is answered.
    Blocking,
    /// After it.
    Async,
    /// Never.
    Off,
}

/// Which of two settings is newer: the one with the greater (HLC, node id).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SettingsVersion {
    /// When they were set; [`Hlc::ZERO`] for the configured defaults.
    pub hlc: Hlc,
    /// The node that took the request; none for the configured defaults.
    pub node: Option<NodeId>,
}

impl SettingsVersion {
    /// That of the configured defaults: older than any that was ever set.
    pub const DEFAULTS: Self = Self { hlc: Hlc::ZERO, node: None };
}

/// A bucket's properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketSettings {
    /// N, and the R and W of requests that do not choose.
    pub quorum: Quorum,
    /// The lowest W that a request may choose.
    pub w_min: u8,
    /// What readers of concurrent versions get.
    pub resolution: Resolution,
    /// What writes without context do.
    pub blind_write: BlindWrite,
    /// How many versions a write may leave. A join of what several coordinators wrote may leave as many for each.
    pub siblings_max: u16,
    /// Its share of a node while others ask for more than can be done.
    pub weight: BucketWeight,
    /// Whether fallbacks may count towards W.
    pub sloppy: bool,
    /// When homes that are behind are repaired.
    pub read_repair: ReadRepair,
    /// How long a value is shown, in microseconds, where the write does not say.
    pub ttl_us: Option<u64>,
}

impl BucketSettings {
    /// Checks that the numbers fit each other.
    pub fn validate(&self) -> Result<(), QuorumError> {
        self.quorum.validate()?;
        if (1..=self.quorum.w).contains(&self.w_min) {
            Ok(())
        } else {
            Err(QuorumError::WMin { given: self.w_min, max: self.quorum.w })
        }
    }
}
