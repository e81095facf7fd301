//! A committed write that some homes lack, followed after its coordinator has stopped waiting for their answers.
//!
//! Whatever brings the write to a home (a read that repairs it, a later write of the key, a pull), the home's recent
//! states tell when it came. So nobody has to report it: the coordinator asks now and then.

use super::{Effect, Input, Unfollowed};
use crate::protocol::ids::NodeId;
use crate::protocol::staleness::{Came, Interval, Sighting, committed_at, converged};
use crate::protocol::time::Moment;

/// How long after a write was given up the homes that lack it are asked first, in microseconds. Each time after that
/// it is twice as long.
const FIRST_LOOK_US: u64 = 250_000;
/// But never longer than this.
const LONGEST_LOOK_US: u64 = 4_000_000;

/// Asks the homes that lack a write until all of them have it.
#[derive(Debug, Clone)]
pub struct TrackMachine {
    write: Unfollowed,
    /// Those that were asked and have not answered.
    asked: Vec<NodeId>,
    next_look: Moment,
    wait_us: u64,
    finished: bool,
}

impl TrackMachine {
    /// A write to be followed.
    #[must_use]
    pub fn new(write: Unfollowed) -> Self {
        Self { write, asked: Vec::new(), next_look: Moment(0), wait_us: FIRST_LOOK_US, finished: false }
    }

    /// Begins.
    pub fn start(&mut self, now: Moment) {
        self.next_look = now.plus_micros(self.wait_us);
    }

    /// Takes an answer.
    pub fn handle(&mut self, input: Input, effects: &mut Vec<Effect>) {
        let Input::Probed { from, result } = input else { return };
        self.asked.retain(|home| *home != from);
        // A home that refuses, or was not reached, may have it or not.
        let Some(came) = result.ok().and_then(|sighting| self.came(&sighting)) else { return };
        let Some(at) = self.write.lacking.iter().position(|home| *home == from) else { return };
        self.write.lacking.remove(at);
        self.write.came.push(came);
        if self.write.lacking.is_empty() {
            self.finished = true;
            let convergence = converged(&self.write.came, self.write.w);
            effects.extend(convergence.map(|convergence| Effect::Converged(self.write.dot, convergence)));
        }
    }

    /// Looks at the deadlines.
    pub fn tick(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if now < self.next_look || self.finished {
            return;
        }
        self.wait_us = self.wait_us.saturating_mul(2).min(LONGEST_LOOK_US);
        self.next_look = now.plus_micros(self.wait_us);
        for home in &self.write.lacking {
            if !self.asked.contains(home) {
                self.asked.push(home.clone());
                effects.push(Effect::Probe { to: home.clone() });
            }
        }
    }

    /// When [`TrackMachine::tick`] is wanted next.
    #[must_use]
    pub fn wake_at(&self) -> Moment {
        self.next_look
    }

    /// Whether all homes have it.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.finished
    }

    /// The write.
    #[must_use]
    pub fn write(&self) -> &Unfollowed {
        &self.write
    }

    fn came(&self, sighting: &Sighting) -> Option<Came> {
        let state = sighting.states.iter().find(|state| state.context.covers(self.write.dot))?;
        // Before the home's history begins it came at some time after it was written.
        let written = self.write.written;
        let long_ago = Interval { from: written, to: sighting.complete_since.to.max(written) };
        let (at, exactly) = (state.applied.unwrap_or(long_ago), state.applied.is_some());
        let came = Came { at, exactly, path: state.path };
        Some(came.not_before(written))
    }
}

impl Unfollowed {
    /// Since when the write is committed, at the earliest. That a home lacked it when it was last heard of says little:
    /// so one that fewer than W homes are known to have counts from when it was written.
    #[must_use]
    pub fn since(&self) -> Moment {
        committed_at(&self.came, self.w).map_or(self.written, |committed| committed.from)
    }
}
