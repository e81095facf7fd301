//! How the writes stand that some homes lack: their ages, and those of which no more than the age is kept.

use std::collections::BTreeMap;

use crate::sli::UnconvergedObserved;
use crate::time::Moment;

/// How much a coordinator follows of the writes that some home lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrackLimits {
    /// How many writes are known one by one.
    pub single: usize,
    /// How many keys are asked about. Of writes of others their number is kept, by the second, until the process ends:
    /// that homes have come to have them nobody tells.
    pub keys: usize,
}

impl Default for TrackLimits {
    fn default() -> Self {
        Self { single: 4_096, keys: 16_384 }
    }
}

/// Of how many seconds. Of older ones the number is kept with that of the oldest.
pub const SECONDS_MAX: usize = 4_096;

/// Writes of keys that are not asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Second {
    writes: u64,
    /// When the first of them was committed.
    since: Moment,
    max_lagging: u8,
}

/// Their counts, by the second of the commit.
#[derive(Debug, Default)]
pub struct Folded(BTreeMap<u64, Second>);

impl Folded {
    /// Keeps no more of writes than their age.
    pub fn add(&mut self, standing: Standing) {
        let Standing { since, writes, lagging } = standing;
        self.join(since.0 / 1_000_000, Second { writes, since, max_lagging: lagging });
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

/// Writes that some homes lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// When the first of them was committed.
    pub since: Moment,
    /// How many there are.
    pub writes: u64,
    /// How many homes lack one of them.
    pub lagging: u8,
}

/// Ages, put together so that few remain: each stands for some that are at most 1/8 younger.
#[derive(Debug, Default)]
pub struct Ages {
    groups: BTreeMap<u64, (u64, u64)>,
    max_lagging: u8,
}

impl Ages {
    /// These writes are unconverged.
    pub fn add(&mut self, now: Moment, standing: Standing) {
        let Standing { since, writes, lagging } = standing;
        let age = now.micros_since(since);
        let (oldest, count) = self.groups.entry(group(age)).or_insert((age, 0));
        *oldest = age.max(*oldest);
        *count += writes;
        self.max_lagging = self.max_lagging.max(lagging);
    }

    /// Those of which no more than the age is kept are among them.
    pub fn add_folded(&mut self, now: Moment, folded: &Folded) {
        for second in folded.0.values() {
            let Second { writes, since, max_lagging: lagging } = *second;
            self.add(now, Standing { since, writes, lagging });
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
    use crate::sli::AGES_MAX;

    fn write(second: u64) -> Standing {
        Standing { since: Moment(second * 1_000_000), writes: 1, lagging: 1 }
    }

    #[test]
    fn what_is_kept_of_many_writes_is_bounded_and_loses_none() {
        let mut folded = Folded::default();
        let seconds = SECONDS_MAX as u64 * 3;
        for second in 0..seconds {
            folded.add(write(second));
            folded.add(write(second));
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
            let since = Moment(10_000_000 - age);
            ages.add(Moment(10_000_000), Standing { since, writes: 1, lagging: 2 });
        }
        let observed = ages.observed();
        assert_eq!(observed.ages, [(5_000_000, 1), (3_010_000, 2), (16, 1), (15, 1), (1, 1)]);
        assert_eq!(observed.max_lagging, 2);
    }
}
