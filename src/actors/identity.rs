//! The dots of this run: one sequence for all shards.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::protocol::ids::{ActorId, Dot};
use crate::storage::StoreError;

/// Issues dots. Each counter is given once, whichever shard asks, and whatever the actor is by then.
#[derive(Debug)]
pub struct Dots {
    first: ActorId,
    actor: AtomicU64,
    last: AtomicU64,
}

impl Dots {
    /// Draws an actor.
    pub fn draw() -> Result<Self, StoreError> {
        let first = ActorId(random()?);
        Ok(Self { first, actor: AtomicU64::new(first.0), last: AtomicU64::new(0) })
    }

    /// The first actor of this run.
    #[must_use]
    pub fn first(&self) -> ActorId {
        self.first
    }

    /// Who issues the next dot.
    #[must_use]
    pub fn actor(&self) -> ActorId {
        ActorId(self.actor.load(Ordering::Acquire))
    }

    /// The next dot.
    #[must_use]
    pub fn next(&self) -> Dot {
        let counter = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        Dot { actor: self.actor(), counter }
    }

    /// Draws another actor for all dots to come.
    pub fn renew(&self) -> Result<(), StoreError> {
        self.actor.store(random()?, Ordering::Release);
        Ok(())
    }
}

fn random() -> Result<u64, StoreError> {
    getrandom::u64().map_err(|error| StoreError::Failed(format!("no actor could be drawn: {error}")))
}
