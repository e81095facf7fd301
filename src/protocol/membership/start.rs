//! What a start of a data directory continues.

use super::backfill::Found;
use crate::protocol::ids::StartNumber;

/// How a directory's last run began, and how it ended if it ended well. Synced before a run serves anything, and
/// once more when it stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastRun {
    /// Its start.
    pub start: StartNumber,
    /// The last counter that was issued, where the run stopped cleanly.
    pub stopped_at: Option<u64>,
}

impl LastRun {
    /// Before the first run.
    pub const BEFORE_ANY: Self = Self { start: StartNumber(0), stopped_at: None };

    /// Whether it stopped cleanly.
    #[must_use]
    pub fn clean(self) -> bool {
        self.stopped_at.is_some()
    }

    /// What the next run begins from: a run that stopped cleanly is continued; after any other, a new start begins.
    /// None if all start numbers are used up.
    #[must_use]
    pub fn next(self) -> Option<NextRun> {
        match self.stopped_at {
            Some(counter) => Some(NextRun { start: self.start, counter }),
            None => Some(NextRun { start: self.start.next()?, counter: 0 }),
        }
    }
}

/// What a run begins from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextRun {
    /// Its start.
    pub start: StartNumber,
    /// The last counter that may have been used: the next dot is the one after it.
    pub counter: u64,
}

impl NextRun {
    /// The record of this run while it has not stopped.
    #[must_use]
    pub fn running(self) -> LastRun {
        LastRun { start: self.start, stopped_at: None }
    }
}

/// How a directory was found: `whole` says that it was marked complete, `clean` that its last run stopped cleanly,
/// `synced` that what it acknowledged was synced before.
#[must_use]
pub fn found(whole: bool, clean: bool, synced: bool) -> Found {
    match (whole, clean || synced) {
        (false, _) => Found::New,
        (true, false) => Found::Unclean,
        (true, true) => Found::Complete,
    }
}
