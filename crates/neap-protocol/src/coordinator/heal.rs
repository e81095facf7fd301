//! The healing of a damaged record, at the home that holds it.
//!
//! What the home acknowledged is in the record that it cannot read. It takes what the other homes hold in its place,
//! of so many that every write it may have acknowledged is among them, or of everyone there is. A record that lacks what
//! was too large to be sent says what it must have seen: it takes what any of them holds, until it has, or
//! until all of them have said what they hold.

use super::{Effect, Input};
use crate::causality::Object;
use crate::ids::NodeId;
use crate::message::{Gathered, Refusal, ReplicaReply};
use crate::planted::{self, Bug};
use crate::time::{Hlc, Moment};

/// What is wrong with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordFault {
    /// It cannot be read.
    Damaged {
        /// How many of the others must say what they hold.
        needed: u8,
    },
    /// It lacks what was too large to be sent.
    Lacking,
}

/// What a healing needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealPlan {
    /// The other homes.
    pub others: Vec<NodeId>,
    /// What is wrong with the record.
    pub fault: RecordFault,
    /// When it is given up, until the fault is met again.
    pub deadline: Moment,
    /// The coordinator's clock, noted in joined states for named writes that the joining supersedes.
    pub clock: Hlc,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Fetching,
    Healing,
    Over,
}

/// Fetches what the other homes hold, joins it, and has the own replica put it in the place of the damaged record, or
/// beside what it holds already.
#[derive(Debug, Clone)]
pub struct HealMachine {
    plan: HealPlan,
    merged: Object,
    fetched: usize,
    /// Others whose record is damaged too: there is nothing to be had of them.
    damaged: usize,
    /// Others that have not answered yet.
    waiting: Vec<NodeId>,
    stage: Stage,
}

impl HealMachine {
    /// Whether others are to say what they hold though they may lack something too.
    #[must_use]
    pub fn takes_anything(&self) -> bool {
        self.plan.fault == RecordFault::Lacking
    }

    /// A healing to be started.
    #[must_use]
    pub fn new(plan: HealPlan) -> Self {
        let waiting = plan.others.clone();
        Self { plan, merged: Object::new(), fetched: 0, damaged: 0, waiting, stage: Stage::Fetching }
    }

    /// Begins.
    pub fn start(&mut self, effects: &mut Vec<Effect>) {
        effects.extend(self.plan.others.iter().map(|to| Effect::Fetch { to: to.clone() }));
        self.go_on(effects);
    }

    /// Takes an answer.
    pub fn handle(&mut self, input: Input, effects: &mut Vec<Effect>) {
        let (from, reply) = match input {
            Input::Replica { from, reply, .. } => (from, reply),
            Input::Applied { .. } if self.stage == Stage::Healing => {
                self.stage = Stage::Over;
                return;
            }
            Input::Applied { .. }
            | Input::Probed { .. }
            | Input::Coordinated(_)
            | Input::Forwarded { .. } => return,
        };
        match (self.stage, reply) {
            (Stage::Fetching, reply) => {
                let Some(at) = self.waiting.iter().position(|waiting| *waiting == from) else { return };
                self.waiting.swap_remove(at);
                match reply {
                    ReplicaReply::Fetched(object) => {
                        self.fetched += 1;
                        if let Some(object) = object {
                            self.merged.merge(&object, self.plan.clock);
                        }
                    }
                    ReplicaReply::Refused(Refusal::Damaged) => self.damaged += 1,
                    ReplicaReply::Refused(_) | ReplicaReply::Applied { .. } | ReplicaReply::Probed(_) => {}
                }
                self.go_on(effects);
            }
            (Stage::Healing, ReplicaReply::Refused(_)) => {
                self.stage = Stage::Over;
            }
            (Stage::Healing | Stage::Over, _) => {}
        }
    }

    fn go_on(&mut self, effects: &mut Vec<Effect>) {
        let others = self.plan.others.len();
        let everything = self.fetched + self.damaged == others;
        match self.plan.fault {
            RecordFault::Damaged { needed } => {
                let needed = if planted::has(Bug::HealFromOne) { 1 } else { usize::from(needed) };
                if everything || self.fetched >= needed.min(others) {
                    self.stage = Stage::Healing;
                    let gathered = Gathered { object: std::mem::take(&mut self.merged), everything };
                    effects.push(Effect::Heal { gathered });
                } else if self.waiting.is_empty() {
                    self.stage = Stage::Over;
                }
            }
            // What has come may be all that it lacks. It is not over before its deadline, so that a key that is asked for
            // often is not asked for elsewhere as often.
            RecordFault::Lacking if self.fetched > 0 || everything => {
                effects.push(Effect::Heal { gathered: Gathered { object: self.merged.clone(), everything } });
            }
            RecordFault::Lacking => {}
        }
    }

    /// Looks at the deadline.
    pub fn tick(&mut self, now: Moment) {
        if now >= self.plan.deadline {
            self.stage = Stage::Over;
        }
    }

    /// When [`HealMachine::tick`] is wanted next.
    #[must_use]
    pub fn wake_at(&self) -> Moment {
        self.plan.deadline
    }

    /// Whether nothing more will come of it.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.stage == Stage::Over
    }
}
