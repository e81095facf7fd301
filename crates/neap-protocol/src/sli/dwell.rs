//! How long operations wait until a shard is handed them.

use super::histogram::Sparse;
use crate::admission::BucketClass;

/// How long operations of each class of bucket waited at one shard since it was last told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DwellObserved {
    by: [Sparse; BucketClass::ALL.len()],
}

impl DwellObserved {
    /// Counts one, in microseconds; 0 for one that was handed over at once.
    pub fn record(&mut self, class: BucketClass, us: u64) {
        if let Some(times) = self.by.get_mut(class as usize) {
            times.record(us);
        }
    }

    /// The times of one class, in microseconds, with how often each was seen.
    pub fn of(&self, class: BucketClass) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.by.get(class as usize).into_iter().flat_map(Sparse::iter)
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by.iter().all(|times| times.pairs().is_empty())
    }
}
