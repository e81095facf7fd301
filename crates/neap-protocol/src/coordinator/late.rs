//! Asks replicas that were silent what they had, for the reads that nobody could judge without them.

use super::{Effect, Input};
use crate::ids::NodeId;
use crate::staleness::Sighting;
use crate::time::Moment;

/// Probes the replicas of one key once.
#[derive(Debug, Clone)]
pub struct LateProbeMachine {
    waiting: Vec<NodeId>,
    sightings: Vec<(NodeId, Sighting)>,
    deadline: Moment,
    finished: bool,
}

impl LateProbeMachine {
    /// Probes `replicas`, until `deadline`.
    #[must_use]
    pub fn new(replicas: Vec<NodeId>, deadline: Moment) -> Self {
        Self { waiting: replicas, sightings: Vec::new(), deadline, finished: false }
    }

    /// Begins.
    pub fn start(&mut self, effects: &mut Vec<Effect>) {
        effects.extend(self.waiting.iter().map(|replica| Effect::Probe { to: replica.clone() }));
    }

    /// Takes an answer.
    pub fn handle(&mut self, input: Input, effects: &mut Vec<Effect>) {
        let Input::Probed { from, result } = input else { return };
        let Some(at) = self.waiting.iter().position(|replica| *replica == from) else { return };
        self.waiting.swap_remove(at);
        self.sightings.extend(result.ok().map(|sighting| (from, *sighting)));
        if self.waiting.is_empty() {
            self.finish(effects);
        }
    }

    /// Looks at the deadline.
    pub fn tick(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if now >= self.deadline {
            self.finish(effects);
        }
    }

    /// When [`LateProbeMachine::tick`] is wanted.
    #[must_use]
    pub fn wake_at(&self) -> Moment {
        self.deadline
    }

    /// Whether nothing more will come of it.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.finished
    }

    fn finish(&mut self, effects: &mut Vec<Effect>) {
        if !self.finished {
            self.finished = true;
            effects.push(Effect::SightedLate(std::mem::take(&mut self.sightings)));
        }
    }
}
