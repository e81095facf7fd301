//! What a start of a data directory continues, and what it finds.

use super::identity::{HISTORY_MAX, RunId, RunNumber};
use crate::planted::{self, Bug};

/// The record of a directory's latest run. Synced before the run serves anything, and once more when it stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRecord {
    /// Its number; 0 before the first.
    pub number: RunNumber,
    /// It, and those before it, the newest first.
    pub history: Vec<RunId>,
    /// Whether it stopped cleanly.
    pub clean: bool,
    /// Whether it acknowledged only what it had synced.
    pub synced: bool,
    /// Whether a peer refused its identity, or that of a run before it: final until the directory has another id.
    pub refused: bool,
}

/// What a run says that begins in a directory that was refused before.
pub const REFUSED_BEFORE: &str = "an earlier run of this data directory was refused as a restored backup or a copy; \
                                  `neap node --new-directory-id` gives it an id of its own";

/// What a directory holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holding {
    /// Nothing yet: it was just made, and it is not known whether it is its node's first.
    New,
    /// It may lack writes that it, or another directory of its node, acknowledged.
    Lacking(Memory),
    /// All that it should.
    Complete(Memory),
}

/// What a directory remembers of the directories of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Memory {
    /// Every one that its node ever admitted.
    Whole,
    /// Perhaps not those that were admitted by another directory of its node, whose disk is gone, or since the backup
    /// that it was made from. Nothing brings that back: what others remember of themselves proves nothing.
    Gone,
}

impl Holding {
    /// What the directory remembers of others. A new one is taken for its node's first, as no cluster could begin
    /// otherwise. That misleads only whoever hears the same from all other members within one round: a majority of
    /// them has then lost its disks at once.
    #[must_use]
    pub fn memory(self) -> Memory {
        match self {
            Self::New => Memory::Whole,
            Self::Lacking(memory) | Self::Complete(memory) => memory,
        }
    }
}

impl RunRecord {
    /// Before the first run.
    #[must_use]
    pub fn before_any() -> Self {
        Self { number: RunNumber(0), history: Vec::new(), clean: true, synced: true, refused: false }
    }

    /// The record of the next run, whose id was drawn and which acknowledges what is synced or not.
    #[must_use]
    pub fn next(&self, run: RunId, synced: bool) -> Self {
        let before = self.history.iter().copied().take(HISTORY_MAX - 1);
        Self {
            number: RunNumber(self.number.0.saturating_add(1)),
            history: std::iter::once(run).chain(before).collect(),
            clean: false,
            synced,
            refused: self.refused,
        }
    }

    /// What the directory holds when the run after this one begins: what was acknowledged and not synced may have
    /// been lost, whatever the next run's own policy is.
    #[must_use]
    pub fn leaves(&self, holding: Holding) -> Holding {
        let whole = self.clean || self.synced || planted::has(Bug::UncleanIsComplete);
        match holding {
            Holding::Complete(memory) if !whole => Holding::Lacking(memory),
            _ => holding,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_presents_those_before_it_and_forgets_the_oldest() {
        let mut record = RunRecord::before_any();
        for run in 1..=20 {
            record = record.next(RunId(run), true);
        }
        assert_eq!(record.number, RunNumber(20));
        assert_eq!(record.history, (5..=20).rev().map(RunId).collect::<Vec<_>>());
    }

    #[test]
    fn what_was_not_synced_may_be_lost_unless_the_run_stopped_cleanly() {
        for (clean, synced, left) in
            [(true, true, true), (true, false, true), (false, true, true), (false, false, false)]
        {
            let record = RunRecord { clean, synced, ..RunRecord::before_any() };
            assert_eq!(record.leaves(Holding::New), Holding::New);
            for memory in [Memory::Whole, Memory::Gone] {
                let kept = if left { Holding::Complete(memory) } else { Holding::Lacking(memory) };
                assert_eq!(record.leaves(Holding::Complete(memory)), kept);
                assert_eq!(record.leaves(Holding::Lacking(memory)), Holding::Lacking(memory));
            }
        }
    }
}
