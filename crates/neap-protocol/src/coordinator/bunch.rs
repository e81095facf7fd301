//! Committed writes of one key that some homes lack, put together: what is kept does not grow with their number.

use super::Unfollowed;
use super::track::came;
use crate::ids::{ActorId, NodeId};
use crate::sli::Path;
use crate::staleness::{Came, Sighting};
use crate::time::Moment;

/// Writes of one key that one node stamped.
#[derive(Debug, Clone)]
pub struct Bunch {
    writes: u64,
    /// When the first of them was committed, at the earliest.
    since: Moment,
    /// When the last of them was written.
    written: Moment,
    /// The newest of them, of each actor that the node was meanwhile.
    newest: Vec<(ActorId, u64)>,
    lacking: Vec<NodeId>,
    /// The home of which it is known that it came to have them last.
    last: Option<Came>,
}

/// So many writes have reached all homes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BunchConverged {
    /// How many.
    pub writes: u64,
    /// How long that took each of them at the most, in microseconds.
    pub us: u64,
    /// By which way the last home came to have them.
    pub path: Path,
}

impl Bunch {
    /// One write.
    #[must_use]
    pub fn new(write: &Unfollowed) -> Self {
        let (since, written) = (write.since(), write.written);
        let mut bunch =
            Self { writes: 0, since, written, newest: Vec::new(), lacking: Vec::new(), last: None };
        bunch.add(write);
        bunch
    }

    /// One more.
    pub fn add(&mut self, write: &Unfollowed) {
        self.writes += 1;
        self.since = self.since.min(write.since());
        self.written = self.written.max(write.written);
        match self.newest.iter_mut().find(|(actor, _)| *actor == write.dot.actor) {
            Some((_, newest)) => *newest = write.dot.counter.max(*newest),
            None => self.newest.push((write.dot.actor, write.dot.counter)),
        }
        for home in &write.lacking {
            if !self.lacking.contains(home) {
                self.lacking.push(home.clone());
            }
        }
        write.came.iter().for_each(|came| self.came(*came));
    }

    fn came(&mut self, came: Came) {
        if self.last.is_none_or(|last| last.at.to < came.at.to) {
            self.last = Some(came);
        }
    }

    /// A home told of its states. What is known once it is the last that lacked one of them.
    pub fn seen(&mut self, home: &NodeId, sighting: &Sighting) -> Option<BunchConverged> {
        let at = self.lacking.iter().position(|lacking| lacking == home)?;
        // A single dot above a context's vector says nothing of those before it.
        let newest = &self.newest;
        let came = came(sighting, self.written, |state| {
            newest.iter().all(|&(actor, counter)| state.up_to(actor) >= counter)
        })?;
        self.lacking.remove(at);
        self.came(came);
        let last = self.last.filter(|_| self.lacking.is_empty())?;
        Some(BunchConverged { writes: self.writes, us: last.at.to.micros_since(self.since), path: last.path })
    }

    /// How many there are.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.writes
    }

    /// When the first of them was committed, at the earliest.
    #[must_use]
    pub fn since(&self) -> Moment {
        self.since
    }

    /// The homes that may lack some of them.
    #[must_use]
    pub fn lacking(&self) -> &Vec<NodeId> {
        &self.lacking
    }
}
