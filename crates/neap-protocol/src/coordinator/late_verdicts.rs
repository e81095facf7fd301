//! The coordinator's part in late verdicts: which reads it keeps, and when it asks for them again.

use super::in_flight::{Machine, Operation};
use super::table::{Coordinator, OPERATIONS_MAX};
use super::told::{CoordinatorCount, CoordinatorEffect};
use super::{LateProbeMachine, Surroundings};
use crate::ids::NodeId;
use crate::staleness::{LateVerdict, Place, Question, Sighting, UnknownCause, Verdict};
use crate::time::Moment;

/// Keys that are asked about at once: no more than a burst of reads would ask.
const LATE_PROBES_MAX: usize = 64;
/// The least time between two keys, in microseconds: 500 keys a second, so that clients' operations come first.
const LATE_PROBE_EVERY_US: u64 = 2_000;
/// Keys that are asked about in one step at the most.
const LATE_BURST: u64 = 16;

/// The pace at which keys are asked about.
#[derive(Debug)]
pub(super) struct LatePace {
    asking: usize,
    /// When the next key may be asked about.
    next: Moment,
}

impl Default for LatePace {
    fn default() -> Self {
        Self { asking: 0, next: Moment(0) }
    }
}

impl<C> Coordinator<C> {
    /// Reads that wait for a late verdict.
    #[must_use]
    pub fn unjudged(&self) -> usize {
        self.unjudged.len()
    }

    /// When [`Coordinator::look_at_unjudged`] has something to do.
    pub(super) fn unjudged_wake_at(&self) -> Option<Moment> {
        let wake = self.unjudged.wake_at()?;
        (self.late_pace.asking < LATE_PROBES_MAX).then(|| wake.max(self.late_pace.next))
    }

    /// Gives up reads that are too old, and asks replicas that are up again what they had.
    pub(super) fn look_at_unjudged(
        &mut self,
        around: Surroundings<'_>,
        effects: &mut Vec<CoordinatorEffect<C>>,
    ) {
        tell(self.unjudged.expire(around.now), effects);
        let is_up = |node: &NodeId| node == around.view.me || (around.is_up)(node);
        while self.late_pace.asking < LATE_PROBES_MAX
            && self.late_pace.next <= around.now
            && self.operations.len() < OPERATIONS_MAX
            && let Some((place, replicas)) = self.unjudged.ask_next(around.now, is_up)
        {
            self.late_pace.asking += 1;
            // A step that comes late makes up for the keys that it missed, up to a burst.
            let burst = Moment(around.now.0.saturating_sub(LATE_BURST * LATE_PROBE_EVERY_US));
            self.late_pace.next = self.late_pace.next.max(burst).plus_micros(LATE_PROBE_EVERY_US);
            let deadline = around.now.plus_micros(self.settings.follow_us);
            let machine = Machine::LateProbe(Box::new(LateProbeMachine::new(replicas, deadline)));
            let version = around.view.buckets.version(&place.bucket).clone();
            let key = (place.bucket, place.key, version);
            self.insert(around, Operation::new(machine, None, key, None, (around.now, deadline)), effects);
        }
    }

    /// Keeps a read that was judged unknown because replicas were silent.
    pub(super) fn keep_unjudged(
        &mut self,
        now: Moment,
        place: Place,
        question: &Question,
        cause: UnknownCause,
        effects: &mut Vec<CoordinatorEffect<C>>,
    ) {
        if let UnknownCause::ReplicaDown | UnknownCause::Timeout = cause {
            tell(self.unjudged.keep(now, place, question, cause), effects);
        }
    }

    /// Replicas have said what they had of a key.
    pub(super) fn sighted_late(
        &mut self,
        now: Moment,
        place: &Place,
        sightings: &[(NodeId, Sighting)],
        effects: &mut Vec<CoordinatorEffect<C>>,
    ) {
        self.late_pace.asking = self.late_pace.asking.saturating_sub(1);
        tell(self.unjudged.sighted(now, place, sightings), effects);
    }
}

fn tell<C>(verdicts: Vec<LateVerdict>, effects: &mut Vec<CoordinatorEffect<C>>) {
    for late in verdicts {
        let count = match late.judgement.verdict {
            Verdict::Unknown(_) => CoordinatorCount::ReadsNeverJudged,
            _ => CoordinatorCount::ReadsJudgedLate,
        };
        effects.push(CoordinatorEffect::Count(count, 1));
        effects.push(CoordinatorEffect::JudgedLate(Box::new(late)));
    }
}
