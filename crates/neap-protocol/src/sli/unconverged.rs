//! Writes that some home lacks, as the shards last said, and how old they have become since.

use std::collections::BTreeMap;

use super::histogram::Times;
use super::observation::UnconvergedObserved;

/// Ages that are kept of a shard. The younger ones beyond count as old as the last that is kept.
pub const AGES_MAX: usize = 128;
/// Shards that are told apart; a shard is for two cores.
pub const SHARDS_MAX: usize = 128;

/// What one shard said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// When it said so, in microseconds.
    pub at_us: u64,
    /// Ages at that time, in microseconds, the oldest first, with their counts.
    pub ages: Vec<(u64, u64)>,
    /// The greatest number of homes that lack one of them.
    pub max_lagging: u8,
    /// Writes of which it is no more known.
    pub untracked: u64,
}

/// What all shards said last. Ages go on growing until a shard says something else: one that has fallen silent
/// does not look healthy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unconverged {
    shards: BTreeMap<u16, Standing>,
}

impl Unconverged {
    /// Bytes that it takes at the most, with what its maps need beside the values.
    pub const BYTES_MAX: usize =
        SHARDS_MAX * (2 * size_of::<Standing>() + AGES_MAX * size_of::<(u64, u64)>());

    /// Bytes that it takes now, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let ages = |standing: &Standing| standing.ages.capacity() * size_of::<(u64, u64)>();
        self.shards.values().map(|standing| 2 * size_of::<Standing>() + ages(standing)).sum()
    }

    /// Takes the place of what the same shard said before.
    pub fn take(&mut self, now_us: u64, observed: &UnconvergedObserved) {
        if self.shards.len() >= SHARDS_MAX && !self.shards.contains_key(&observed.shard) {
            return;
        }
        let mut ages = Vec::with_capacity(observed.ages.len().min(AGES_MAX));
        for (age_us, count) in &observed.ages {
            if ages.len() < AGES_MAX {
                ages.push((*age_us, *count));
            } else if let Some((_, last)) = ages.last_mut() {
                *last = u64::saturating_add(*last, *count);
            }
        }
        let (max_lagging, untracked) = (observed.max_lagging, observed.untracked);
        self.shards.insert(observed.shard, Standing { at_us: now_us, ages, max_lagging, untracked });
    }

    /// The ages as they are at `now_us`, with their counts, in no order.
    pub fn ages(&self, now_us: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.shards.values().flat_map(move |standing| {
            let since = now_us.saturating_sub(standing.at_us);
            standing.ages.iter().map(move |(age_us, count)| (age_us.saturating_add(since), *count))
        })
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.ages(0).fold(0, |sum, (_, count)| sum.saturating_add(count))
    }

    /// The age of the oldest at `now_us`, in microseconds.
    #[must_use]
    pub fn oldest_us(&self, now_us: u64) -> Option<u64> {
        self.ages(now_us).filter(|(_, count)| *count > 0).map(|(age, _)| age).max()
    }

    /// How many are older than `age_us` at `now_us`.
    #[must_use]
    pub fn older_than(&self, now_us: u64, age_us: u64) -> u64 {
        let older = self.ages(now_us).filter(|(age, _)| *age > age_us);
        older.fold(0, |sum, (_, count)| sum.saturating_add(count))
    }

    /// The greatest number of homes that lack one of them.
    #[must_use]
    pub fn max_lagging(&self) -> u8 {
        self.shards.values().map(|standing| standing.max_lagging).max().unwrap_or(0)
    }

    /// Writes of which it is no more known whether all homes have them.
    #[must_use]
    pub fn untracked(&self) -> u64 {
        self.shards.values().fold(0, |sum, standing| sum.saturating_add(standing.untracked))
    }

    /// Counts each into `times` with its present age.
    pub fn add_to(&self, now_us: u64, times: &mut Times) {
        for (age_us, count) in self.ages(now_us) {
            times.record_many(age_us, count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(shard: u16, ages: &[(u64, u64)]) -> UnconvergedObserved {
        UnconvergedObserved { shard, ages: ages.to_vec(), max_lagging: 2, untracked: 1 }
    }

    #[test]
    fn a_shards_word_takes_the_place_of_its_last_and_ages_until_the_next() {
        let mut unconverged = Unconverged::default();
        unconverged.take(100, &said(0, &[(50, 1), (10, 4)]));
        unconverged.take(100, &said(1, &[(20, 1)]));
        assert_eq!((unconverged.count(), unconverged.oldest_us(130)), (6, Some(80)));
        assert_eq!((unconverged.older_than(130, 79), unconverged.older_than(130, 80)), (1, 0));
        assert_eq!((unconverged.max_lagging(), unconverged.untracked()), (2, 2));
        unconverged.take(140, &said(0, &[]));
        assert_eq!((unconverged.count(), unconverged.oldest_us(140)), (1, Some(60)));
    }

    #[test]
    fn what_is_kept_of_a_shard_is_bounded_and_never_younger_than_it_was() {
        let mut unconverged = Unconverged::default();
        let ages: Vec<_> = (0..1_000).rev().map(|age| (age, 1)).collect();
        unconverged.take(0, &said(0, &ages));
        assert_eq!((unconverged.ages(0).count(), unconverged.count()), (AGES_MAX, 1_000));
        // The youngest count with the last that there is room for.
        let last = 1_000 - AGES_MAX as u64;
        assert_eq!(
            (unconverged.older_than(0, last - 1), unconverged.older_than(0, last)),
            (1_000, AGES_MAX as u64 - 1)
        );
        for shard in 0..=u16::MAX {
            unconverged.take(0, &said(shard, &[(1, 1)]));
        }
        assert_eq!(unconverged.ages(0).count(), SHARDS_MAX);
    }
}
