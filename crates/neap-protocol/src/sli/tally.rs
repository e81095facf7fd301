//! Reads by verdict, as plain counts.

use crate::staleness::{UnknownCause, Verdict};

/// How many causes there are for a verdict that is unknown.
pub const CAUSES: usize = 4;

/// The place of a cause among the counts, and its name.
#[must_use]
pub fn cause(cause: UnknownCause) -> (usize, &'static str) {
    match cause {
        UnknownCause::ReplicaDown => (0, "replica_down"),
        UnknownCause::Timeout => (1, "timeout"),
        UnknownCause::Settings => (2, "settings"),
        UnknownCause::Forgotten => (3, "forgotten"),
    }
}

/// The names of all causes, in the order of their counts.
pub const CAUSE_NAMES: [&str; CAUSES] = ["replica_down", "timeout", "settings", "forgotten"];

/// Answered reads, each counted once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadTally {
    /// Missed nothing, and every home is known.
    pub fresh_all: u64,
    /// Missed nothing, though some homes are unknown.
    pub fresh_overlap: u64,
    /// Missed a committed version.
    pub stale: u64,
    /// May have missed one.
    pub suspect: u64,
    /// Missed a version that was not committed.
    pub behind: u64,
    /// Nothing can be said, by cause.
    pub unknown: [u64; CAUSES],
    /// Answered some time ago, with a verdict that has not come yet.
    pub pending: u64,
    /// Were not to have a verdict.
    pub unsampled: u64,
}

impl ReadTally {
    /// Counts a verdict.
    pub fn count(&mut self, verdict: Verdict) {
        let place = match verdict {
            Verdict::Fresh { all: true } => &mut self.fresh_all,
            Verdict::Fresh { all: false } => &mut self.fresh_overlap,
            Verdict::Stale => &mut self.stale,
            Verdict::Suspect => &mut self.suspect,
            Verdict::Behind => &mut self.behind,
            Verdict::Unknown(why) => self.unknown_of(why),
        };
        *place = place.saturating_add(1);
    }

    /// Counts reads of which nothing will be known.
    pub fn forget(&mut self, reads: u64) {
        let place = self.unknown_of(UnknownCause::Forgotten);
        *place = place.saturating_add(reads);
    }

    /// Takes back an unknown verdict that was counted, as another takes its place.
    pub fn take_back(&mut self, why: UnknownCause) {
        let place = self.unknown_of(why);
        *place = place.saturating_sub(1);
    }

    fn unknown_of(&mut self, why: UnknownCause) -> &mut u64 {
        let [down, timeout, settings, forgotten] = &mut self.unknown;
        match why {
            UnknownCause::ReplicaDown => down,
            UnknownCause::Timeout => timeout,
            UnknownCause::Settings => settings,
            UnknownCause::Forgotten => forgotten,
        }
    }

    /// Adds what another counted.
    pub fn merge(&mut self, other: &Self) {
        let add = |mine: &mut u64, theirs: u64| *mine = mine.saturating_add(theirs);
        add(&mut self.fresh_all, other.fresh_all);
        add(&mut self.fresh_overlap, other.fresh_overlap);
        add(&mut self.stale, other.stale);
        add(&mut self.suspect, other.suspect);
        add(&mut self.behind, other.behind);
        self.unknown.iter_mut().zip(other.unknown).for_each(|(mine, theirs)| add(mine, theirs));
        add(&mut self.pending, other.pending);
        add(&mut self.unsampled, other.unsampled);
    }

    /// Reads that missed nothing.
    #[must_use]
    pub fn fresh(&self) -> u64 {
        self.fresh_all.saturating_add(self.fresh_overlap)
    }

    /// Judged reads: those with any verdict but unknown.
    #[must_use]
    pub fn known(&self) -> u64 {
        [self.fresh(), self.stale, self.suspect, self.behind].into_iter().fold(0, u64::saturating_add)
    }

    /// Reads of which nothing can be said.
    #[must_use]
    pub fn unknown_total(&self) -> u64 {
        self.unknown.into_iter().fold(self.pending, u64::saturating_add)
    }

    /// Sampled reads that were answered, judged or not: the true share of stale reads is of these.
    #[must_use]
    pub fn sampled(&self) -> u64 {
        self.known().saturating_add(self.unknown_total())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verdict_is_counted_once() {
        let mut tally = ReadTally::default();
        for verdict in [
            Verdict::Fresh { all: true },
            Verdict::Fresh { all: false },
            Verdict::Stale,
            Verdict::Suspect,
            Verdict::Behind,
            Verdict::Unknown(UnknownCause::ReplicaDown),
            Verdict::Unknown(UnknownCause::Timeout),
            Verdict::Unknown(UnknownCause::Settings),
            Verdict::Unknown(UnknownCause::Forgotten),
        ] {
            tally.count(verdict);
        }
        tally.pending = 1;
        assert_eq!((tally.fresh(), tally.known(), tally.unknown_total(), tally.sampled()), (2, 5, 5, 10));
        assert_eq!(tally.unknown, [1, 1, 1, 1]);
        let mut twice = tally;
        twice.merge(&tally);
        assert_eq!((twice.known(), twice.unknown_total(), twice.sampled()), (10, 10, 20));
        twice.take_back(UnknownCause::Timeout);
        assert_eq!(twice.unknown, [2, 1, 2, 2]);
    }

    #[test]
    fn causes_have_the_names_that_are_shown() {
        for why in [
            UnknownCause::ReplicaDown,
            UnknownCause::Timeout,
            UnknownCause::Settings,
            UnknownCause::Forgotten,
        ] {
            let (place, name) = cause(why);
            assert_eq!(CAUSE_NAMES[place], name);
        }
    }
}
