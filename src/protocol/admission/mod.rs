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
//! * [`Turns`] bound how many of those a shard works at, and are given to buckets in turn, so that a bucket which asks for
//!   little does not stand behind all that another asks for (Nagle, "On Packet Switches with Infinite Storage", RFC 970,
//!   1985). A bucket that is alone has them all.
//! * [`Pace`] finds how many turns there are to be while several buckets ask: so many that the shard is not idle, and so
//!   few that what it was handed is begun, and answered, soon. It goes by how long operations lie in queues of the node
//!   (after Nichols and Jacobson, "Controlling Queue Delay", 2012), not by what they take, which slow homes and disks
//!   have a part in. A flood beside a quiet bucket is held down further, so that the machine is not busy all the time.
//!
//! Buckets are told apart by a hash of their names (McKenney, "Stochastic Fairness Queueing", 1990): [`SLOTS`] is all
//! that there is to keep, however many buckets there are, and two that fall together share one share.

mod flood;
mod pace;
mod permits;
mod turns;

pub use pace::{Demand, Pace, Waits};
pub use permits::{Permits, Standing};
pub use turns::Turns;

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
