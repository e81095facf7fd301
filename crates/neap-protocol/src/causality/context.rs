//! A set of dots, kept small.

use crate::ids::{ActorId, Dot};
use crate::planted::{self, Bug};

/// A set of dots: for each actor all counters up to one (the vector), and single dots above it (the cloud).
///
/// The vector says "everything this actor ever issued *for this key* up to here". Counters are one sequence
/// an actor, not one a key, so a hole in a key's counters is normal and says nothing; a dot of the cloud is
/// therefore never absorbed because it is "the next" but only by a vector that has passed it, which in the
/// first place is the actor's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct CausalContext {
    vector: Vec<(ActorId, u64)>,
    cloud: Vec<Dot>,
}

impl CausalContext {
    /// The empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Builds a set from entries in any order.
    #[must_use]
    pub fn from_parts(
        vector: impl IntoIterator<Item = (ActorId, u64)>,
        cloud: impl IntoIterator<Item = Dot>,
    ) -> Self {
        let mut set = Self::new();
        for (actor, counter) in vector {
            set.add_up_to(actor, counter);
        }
        for dot in cloud {
            set.add(dot);
        }
        set
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.vector.is_empty() && self.cloud.is_empty()
    }

    /// The vector, ordered by actor.
    #[must_use]
    pub fn vector(&self) -> &[(ActorId, u64)] {
        &self.vector
    }

    /// The single dots above the vector, in order.
    #[must_use]
    pub fn cloud(&self) -> &[Dot] {
        &self.cloud
    }

    /// Whether `dot` is in the set.
    #[must_use]
    pub fn covers(&self, dot: Dot) -> bool {
        self.up_to(dot.actor) >= dot.counter || self.cloud.binary_search(&dot).is_ok()
    }

    /// Whether every dot of `other` is in this set.
    #[must_use]
    pub fn covers_all(&self, other: &Self) -> bool {
        other.vector.iter().all(|&(actor, counter)| self.up_to(actor) >= counter)
            && other.cloud.iter().all(|&dot| self.covers(dot))
    }

    /// Adds one dot, and nothing below it.
    pub fn add(&mut self, dot: Dot) {
        if planted::has(Bug::FillGaps) {
            return self.add_up_to(dot.actor, dot.counter);
        }
        if !self.covers(dot)
            && let Err(at) = self.cloud.binary_search(&dot)
        {
            self.cloud.insert(at, dot);
        }
    }

    /// Adds everything that `actor` issued for this key up to `counter`. Only the actor itself may say so of
    /// a new dot, as it alone has surely seen all its earlier ones.
    pub fn add_up_to(&mut self, actor: ActorId, counter: u64) {
        match self.vector.binary_search_by_key(&actor, |entry| entry.0) {
            Ok(at) => {
                if let Some(entry) = self.vector.get_mut(at) {
                    entry.1 = entry.1.max(counter);
                }
            }
            Err(at) => self.vector.insert(at, (actor, counter)),
        }
        self.cloud.retain(|dot| dot.actor != actor || dot.counter > counter);
    }

    /// The union of both sets.
    pub fn join(&mut self, other: &Self) {
        for &(actor, counter) in &other.vector {
            if self.up_to(actor) < counter {
                self.add_up_to(actor, counter);
            }
        }
        for &dot in &other.cloud {
            self.add(dot);
        }
    }

    /// The vector's entry for `actor`; 0 if there is none.
    #[must_use]
    pub fn up_to(&self, actor: ActorId) -> u64 {
        let at = self.vector.binary_search_by_key(&actor, |entry| entry.0).ok();
        at.and_then(|at| self.vector.get(at)).map_or(0, |entry| entry.1)
    }
}
