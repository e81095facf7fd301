//! What is observed of every operation: service level indicators, before anything is promised about them.
//!
//! ```text
//! observation   what is told, one at a time
//! record        all of it since the start, in counters (tally) and histograms of fixed size
//! legs          how long the parts of an operation take
//! dwell         how long operations wait until a shard is handed them
//! unconverged   how the writes stand that some home lacks
//! ```

mod dwell;
mod histogram;
mod legs;
mod lost;
mod observation;
mod record;
mod tally;
mod unconverged;

pub use dwell::DwellObserved;
pub use histogram::{BUCKETS, Sparse, Times, VALUE_MAX_US};
pub use legs::{Leg, LegView, LegsObserved, QUANTILES, RecentLegs};
pub use lost::untracked_at_start;
pub use observation::{
    ClockObserved, ConvergedObserved, LateObserved, MergeObserved, Observation, OperationOutcome, Path,
    ReadObserved, UnconvergedObserved, VerdictObserved, WriteObserved,
};
pub use record::{Outcomes, SliRecord};
pub use tally::{CAUSE_NAMES, CAUSES, ReadTally, cause};
pub use unconverged::{AGES_MAX, SHARDS_MAX, Unconverged};
