//! Who is let in when more is asked for than can be done, bucket by bucket.
//!
//! ```text
//!  request ── permit? ──> turn? ──> the shard
//!               │           └── waits, in a queue of its bucket; queues are served in turn
//!               └── none: refused at once
//! ```
//!
//! * [`Permits`] bound how many requests are in the node. They are refused, never waited for: a queue before them would
//!   only hide the overload. Where they are scarce, buckets that hold more than their share are refused first.
//! * [`FairQueue`] bounds how many of those a shard works at while several buckets ask, and serves what waits by deficit round
//!   robin over the buckets: one that asks for little does not stand behind all that another asks for.
//!
//! Buckets are told apart by a hash of their names (McKenney, "Stochastic Fairness Queueing", 1990): [`SLOTS`] is all
//! that there is to keep, however many buckets there are, and two that fall together share one share.

mod fair_queue;
mod permits;
mod weight;

pub use fair_queue::FairQueue;
pub use permits::{Permits, Standing};
pub use weight::{BucketWeight, BucketWeightError};

/// How many buckets are told apart.
pub const SLOTS: usize = 1_024;

/// Where a bucket falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

impl Slot {
    /// Of a hash of its name.
    #[must_use]
    pub fn of(hash: u64) -> Self {
        Self((hash % SLOTS as u64) as u16)
    }

    /// From 0 up to [`SLOTS`].
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// How a bucket stood when one of its requests came: a class of few, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BucketClass {
    /// It had no other request in the node.
    Quiet,
    /// It had one at least.
    Busy,
}

impl BucketClass {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Quiet, Self::Busy];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Busy => "busy",
        }
    }
}
