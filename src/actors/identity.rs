//! The dots of this run: one sequence for all shards.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::protocol::ids::{ActorId, DirectoryId, Dot, StartNumber};

/// Whether this node's identity is confirmed, so that it may issue dots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Confirmation {
    /// Too few members have admitted this run yet.
    Awaited,
    /// A majority of the members, this one among them, has.
    Confirmed,
    /// A member has seen more of this directory than it shows. Final.
    Refused(String),
}

/// Issues dots. Each counter is given once, whichever shard asks.
#[derive(Debug)]
pub struct Dots {
    directory: DirectoryId,
    start: AtomicU32,
    last: AtomicU64,
}

impl Dots {
    /// Continues after `last`.
    #[must_use]
    pub fn new(actor: ActorId, last: u64) -> Self {
        Self { directory: actor.directory, start: AtomicU32::new(actor.start.0), last: AtomicU64::new(last) }
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
