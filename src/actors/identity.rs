//! The dots of this run: one sequence for all shards.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::protocol::ids::{ActorId, DirectoryId, Dot, StartNumber};
use crate::protocol::membership::{Presented, RunId};

/// Issues dots. Each counter is given once, whichever shard asks.
#[derive(Debug)]
pub struct Dots {
    directory: DirectoryId,
    start: AtomicU32,
    began: u64,
    run: RunId,
    last: AtomicU64,
}

impl Dots {
    /// Continues after `began`.
    #[must_use]
    pub fn new(Presented { actor, began, run }: Presented) -> Self {
        let (directory, start) = (actor.directory, AtomicU32::new(actor.start.0));
        Self { directory, start, began, run, last: AtomicU64::new(began) }
    }

    /// What this run presents of itself.
    #[must_use]
    pub fn presented(&self) -> Presented {
        Presented { actor: self.actor(), began: self.began, run: self.run }
    }

    /// The next dot.
    #[must_use]
    pub fn next(&self) -> Dot {
        Dot { actor: self.actor(), counter: self.last.fetch_add(1, Ordering::Relaxed) + 1 }
    }

    /// Who issues them.
    #[must_use]
    pub fn actor(&self) -> ActorId {
        ActorId { directory: self.directory, start: StartNumber(self.start.load(Ordering::Acquire)) }
    }

    /// The highest counter given.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    /// Goes on as a new actor, whose start number is synced already. Needed after a damaged record was
    /// overwritten: what this actor wrote under that key is forgotten here, so "all of its dots up to now"
    /// could no longer be said of the key.
    pub fn begin_start(&self, start: StartNumber) {
        self.start.fetch_max(start.0, Ordering::AcqRel);
    }
}
