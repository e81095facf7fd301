//! The committed writes of one key that some homes lack, followed after their coordination is over.
//!
//! Whatever brings a write to a home (a read that repairs it, a later write of the key, a pull), the home's recent
//! states tell when it came. So nobody has to report it: the coordinator asks now and then, once for all writes of the
//! key. Of so many of them as there is room for each is known by itself; the others are put together, and are known by
//! the newest of them: a home that has seen all that its coordinator issued for the key up to then has them all.

use super::bunch::Bunch;
use super::{Effect, Input, Unfollowed};
use crate::causality::CausalContext;
use crate::ids::{NodeId, OperationId};
use crate::staleness::{Came, Interval, Sighting, committed_at, converged};
use crate::time::Moment;

/// How long after a write was given up the homes that lack it are asked first, in microseconds. Each time after that
/// it is twice as long.
const FIRST_LOOK_US: u64 = 250_000;
/// But no longer than this, unless there are many keys.
const LONGEST_LOOK_US: u64 = 4_000_000;
/// How many keys a shard asks about in a second, about, at the most.
const KEYS_A_SECOND: u64 = 500;

/// Asks the homes that lack writes of a key until all of them have them.
#[derive(Debug, Clone)]
pub struct TrackMachine {
    /// Those that are known one by one, with the operations that wrote them.
    single: Vec<(OperationId, Unfollowed)>,
    /// The others, of which the homes were asked. No more are added to these, so that they come to an end however often
    /// the key is written.
    asked_of: Option<Bunch>,
    /// Those that came later.
    later: Option<Bunch>,
    /// Homes that were asked and have not answered.
    asked: Vec<NodeId>,
    next_look: Moment,
    wait_us: u64,
    /// How long it waits at the least.
    pace_us: u64,
}

impl TrackMachine {
    /// Follows no write yet.
    #[must_use]
    pub fn new(now: Moment) -> Self {
        let next_look = now.plus_micros(FIRST_LOOK_US);
        let (single, asked) = (Vec::new(), Vec::new());
        Self { single, asked_of: None, later: None, asked, next_look, wait_us: FIRST_LOOK_US, pace_us: 0 }
    }

    /// Follows a write by itself.
    pub fn follow(&mut self, id: OperationId, write: Unfollowed) {
        self.single.push((id, write));
    }

    /// Follows a write together with others.
    pub fn bunch(&mut self, write: &Unfollowed) {
        match &mut self.later {
            Some(later) => later.add(write),
            None => self.later = Some(Bunch::new(write)),
        }
    }

    /// Takes an answer.
    pub fn handle(&mut self, input: Input, effects: &mut Vec<Effect>) {
        let Input::Probed { from, result } = input else { return };
        self.asked.retain(|home| *home != from);
        // A home that refuses, or was not reached, may have them or not.
        let Ok(sighting) = result else { return };
        self.single.retain_mut(|(id, write)| {
            write.seen(&from, &sighting);
            if !write.lacking.is_empty() {
                return true;
            }
            let convergence = converged(&write.came, write.w);
            effects.extend(convergence.map(|convergence| Effect::Followed(*id, write.dot, convergence)));
            false
        });
        for bunch in [&mut self.asked_of, &mut self.later] {
            if let Some(converged) = bunch.as_mut().and_then(|bunch| bunch.seen(&from, &sighting)) {
                *bunch = None;
                effects.push(Effect::BunchConverged(converged));
            }
        }
    }

    /// There are so many such keys: the more there are the less often each is asked about.
    pub fn pace(&mut self, keys: usize) {
        self.pace_us = keys as u64 * 1_000_000 / KEYS_A_SECOND;
    }

    /// Looks at the deadlines.
    pub fn tick(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if now < self.next_look || self.finished() {
            return;
        }
        if self.asked_of.is_none() {
            self.asked_of = self.later.take();
        }
        self.wait_us = self.wait_us.saturating_mul(2).min(LONGEST_LOOK_US);
        self.next_look = now.plus_micros(self.wait_us.max(self.pace_us));
        for home in self.lacking() {
            if !self.asked.contains(&home) {
                self.asked.push(home.clone());
                effects.push(Effect::Probe { to: home });
            }
        }
    }

    fn lacking(&self) -> Vec<NodeId> {
        let single = self.single.iter().map(|(_, write)| &write.lacking);
        let all = single.chain(self.bunches().map(Bunch::lacking)).flatten();
        let mut homes: Vec<NodeId> = all.cloned().collect();
        homes.sort_unstable();
        homes.dedup();
        homes
    }

    /// When [`TrackMachine::tick`] is wanted next.
    #[must_use]
    pub fn wake_at(&self) -> Moment {
        self.next_look
    }

    /// Whether all homes have all of them.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.single.is_empty() && self.bunches().next().is_none()
    }

    /// The writes that are known one by one.
    #[must_use]
    pub fn single(&self) -> &[(OperationId, Unfollowed)] {
        &self.single
    }

    /// The others.
    pub fn bunches(&self) -> impl Iterator<Item = &Bunch> {
        self.asked_of.iter().chain(&self.later)
    }
}

impl Unfollowed {
    /// Since when the write is committed, at the earliest. That a home lacked it when it was last heard of says little:
    /// so one that fewer than W homes are known to have counts from when it was written.
    #[must_use]
    pub fn since(&self) -> Moment {
        committed_at(&self.came, self.w).map_or(self.written, |committed| committed.from)
    }

    /// A home told of its states.
    fn seen(&mut self, home: &NodeId, sighting: &Sighting) {
        let Some(at) = self.lacking.iter().position(|lacking| lacking == home) else { return };
        let dot = self.dot;
        let Some(came) = came(sighting, self.written, |state| state.covers(dot)) else { return };
        self.lacking.remove(at);
        self.came.push(came);
    }
}

/// When a home first was in a state that `has` what was written then; none if it is not.
pub(super) fn came(
    sighting: &Sighting,
    written: Moment,
    has: impl Fn(&CausalContext) -> bool,
) -> Option<Came> {
    let state = sighting.states.iter().find(|state| has(&state.context))?;
    // Before the home's history begins it came at some time after it was written.
    let long_ago = Interval { from: written, to: sighting.complete_since.to.max(written) };
    let (at, exactly) = (state.applied.unwrap_or(long_ago), state.applied.is_some());
    Some(Came { at, exactly, path: state.path }.not_before(written))
}
