//! Keys that were repaired lately by what probes found: no key is repaired so more than once a second, and no more than
//! so many keys are.
//!
//! Until a repair has arrived every further read of the key finds the same; and a replica that answers probes but
//! merges nothing, as one with a full disk, would be sent the value with each read.

use std::collections::{BTreeSet, VecDeque};

use crate::staleness::Place;
use crate::time::Moment;

/// How long a key is left alone after such a repair was begun, in microseconds.
pub const REPAIR_RESTS_US: u64 = 1_000_000;
/// Keys that are remembered, which is how many one shard repairs so in that time.
pub const RECENT_REPAIRS_MAX: usize = 1_024;

/// The keys that are left alone.
#[derive(Debug, Default)]
pub(super) struct RecentRepairs {
    keys: BTreeSet<Place>,
    begun: VecDeque<(Moment, Place)>,
}

impl RecentRepairs {
    /// Whether a key may be repaired now; if so it is remembered.
    pub(super) fn admit(&mut self, now: Moment, place: Place) -> bool {
        while let Some((begun, _)) = self.begun.front()
            && now.micros_since(*begun) >= REPAIR_RESTS_US
        {
            if let Some((_, place)) = self.begun.pop_front() {
                self.keys.remove(&place);
            }
        }
        if self.begun.len() >= RECENT_REPAIRS_MAX || !self.keys.insert(place.clone()) {
            return false;
        }
        self.begun.push_back((now, place));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{BucketName, Key};

    fn place(key: usize) -> Place {
        Place { bucket: BucketName::new("b").unwrap(), key: Key::new(format!("{key}")) }
    }

    #[test]
    fn a_key_is_repaired_once_a_second() {
        let mut recent = RecentRepairs::default();
        assert!(recent.admit(Moment(5), place(1)));
        assert!(!recent.admit(Moment(4 + REPAIR_RESTS_US), place(1)));
        assert!(recent.admit(Moment(4 + REPAIR_RESTS_US), place(2)));
        assert!(recent.admit(Moment(5 + REPAIR_RESTS_US), place(1)));
    }

    #[test]
    fn no_more_keys_are_repaired_than_are_remembered() {
        let mut recent = RecentRepairs::default();
        let admitted = (0..RECENT_REPAIRS_MAX + 9).filter(|key| recent.admit(Moment(5), place(*key)));
        assert_eq!(admitted.count(), RECENT_REPAIRS_MAX);
        assert!(recent.admit(Moment(5 + REPAIR_RESTS_US), place(RECENT_REPAIRS_MAX)));
    }
}
