//! How the writes stand that some homes lack: their ages, and those of which no more than the age is kept.

use std::collections::BTreeMap;

use super::Unfollowed;
use crate::protocol::sli::UnconvergedObserved;
use crate::protocol::time::Moment;

/// How many writes are followed one by one, at the most. Of the others their number is kept, by the second.
pub const TRACKED_MAX: usize = 4_096;
/// Of how many seconds. Of older ones the number is kept with that of the oldest.
pub const SECONDS_MAX: usize = 4_096;

/// Writes that are followed no more one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Second {
    writes: u64,
    /// When the first of them was committed.
    since: Moment,
    max_lagging: u8,
}

/// Counts of writes by the second of their write time.
#[derive(Debug, Default)]
pub struct Folded(BTreeMap<u64, Second>);

impl Folded {
    /// Keeps no more than the age of a write.
    pub fn add(&mut self, write: &Unfollowed) {
        let lagging = u8::try_from(write.lacking.len()).unwrap_or(u8::MAX);
        let second = Second { writes: 1, since: write.since(), max_lagging: lagging };
        self.join(write.hlc.wall().0 / 1_000_000, second);
        while self.0.len() > SECONDS_MAX {
            let (Some((_, first)), Some((at, second))) = (self.0.pop_first(), self.0.pop_first()) else {
                return;
            };
            self.join(at, second);
            self.join(at, first);
        }
    }

    fn join(&mut self, at: u64, other: Second) {
        let known = self.0.entry(at).or_insert(Second { writes: 0, ..other });
        known.writes += other.writes;
        known.since = known.since.min(other.since);
        known.max_lagging = known.max_lagging.max(other.max_lagging);
    }
}

/// Ages, put together so that few remain: each stands for some that are at most 1/8 younger.
#[derive(Debug, Default)]
pub struct Ages {
    groups: BTreeMap<u64, (u64, u64)>,
    max_lagging: u8,
}

impl Ages {
    /// So many writes are unconverged since then; so many homes lack one of them.
    pub fn add(&mut self, now: Moment, since: Moment, writes: u64, lagging: u8) {
        let age = now.micros_since(since);
        let (oldest, count) = self.groups.entry(group(age)).or_insert((age, 0));
        *oldest = age.max(*oldest);
        *count += writes;
        self.max_lagging = self.max_lagging.max(lagging);
    }

    /// Those of which no more than the age is kept are among them.
    pub fn add_folded(&mut self, now: Moment, folded: &Folded) {
        for second in folded.0.values() {
            self.add(now, second.since, second.writes, second.max_lagging);
        }
    }

    /// What is told of them.
    #[must_use]
    pub fn observed(self) -> UnconvergedObserved {
        let ages = self.groups.into_values().rev().collect();
        UnconvergedObserved { ages, max_lagging: self.max_lagging, ..UnconvergedObserved::default() }
    }
}

/// Numbers that share their four leading bits are of one group.
fn group(age: u64) -> u64 {
    let shift = (u64::BITS - age.leading_zeros()).saturating_sub(4);
    (u64::from(shift) << 8) | (age >> shift)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ids::{ActorId, Dot, NodeId};
    use crate::protocol::sli::AGES_MAX;
    use crate::protocol::time::{Hlc, WallMicros};

    fn write(second: u64) -> Unfollowed {
        Unfollowed {
            dot: Dot { actor: ActorId(1), counter: 1 },
            hlc: Hlc::from_wall(WallMicros(second * 1_000_000)),
            w: 1,
            written: Moment(second * 1_000_000),
            came: Vec::new(),
            lacking: vec![NodeId::new("n1").unwrap()],
        }
    }

    #[test]
    fn what_is_kept_of_many_writes_is_bounded_and_loses_none() {
        let mut folded = Folded::default();
        let seconds = SECONDS_MAX as u64 * 3;
        for second in 0..seconds {
            folded.add(&write(second));
            folded.add(&write(second));
        }
        assert_eq!(folded.0.len(), SECONDS_MAX);
        let mut ages = Ages::default();
        ages.add_folded(Moment(seconds * 1_000_000), &folded);
        let observed = ages.observed();
        assert_eq!(observed.ages.iter().map(|(_, count)| count).sum::<u64>(), seconds * 2);
        assert_eq!(observed.ages[0].0, seconds * 1_000_000, "the oldest is as old as it is");
        assert!(observed.ages.len() <= AGES_MAX, "{}", observed.ages.len());
    }

    #[test]
    fn ages_that_are_put_together_are_close_and_never_become_younger() {
        let mut ages = Ages::default();
        for age in [1, 15, 16, 3_000_000, 3_010_000, 5_000_000] {
            ages.add(Moment(10_000_000), Moment(10_000_000 - age), 1, 2);
        }
        let observed = ages.observed();
        assert_eq!(observed.ages, [(5_000_000, 1), (3_010_000, 2), (16, 1), (15, 1), (1, 1)]);
        assert_eq!(observed.max_lagging, 2);
    }
}
