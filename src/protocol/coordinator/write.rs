//! A write, as the home that coordinates it sees it.

use super::tally::Tally;
use super::{Asked, Effect, Input, ReadMachine};
use crate::planted::{self, Bug};
use crate::protocol::causality::Answered;
use crate::protocol::ids::{NodeId, WriteId};
use crate::protocol::message::{CoordinateReply, Refusal, ReplicaReply};
use crate::protocol::operation::{OperationError, Outcome, Participation, WriteReply};
use crate::protocol::time::Moment;

/// What a write needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WritePlan {
    /// This node, one of the homes.
    pub me: NodeId,
    /// All homes, in preference order.
    pub homes: Vec<NodeId>,
    /// How many must acknowledge.
    pub w: u8,
    /// The write's id.
    pub write_id: WriteId,
    /// When the client is told, whatever happened by then.
    pub deadline: Moment,
    /// Until when late acknowledgements are followed.
    pub follow_until: Moment,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    answered: Answered,
    created: bool,
}

/// Stamps the write at this home, sends the new state to all others at once, and answers at W
/// acknowledgements (DeCandia et al., "Dynamo", section 4.5). Then follows the rest.
#[derive(Debug, Clone)]
pub struct WriteMachine {
    plan: WritePlan,
    tally: Tally,
    check: Option<Box<ReadMachine>>,
    stamp: Option<Stamp>,
    sibling: bool,
    replied: bool,
    finished: bool,
}

impl WriteMachine {
    /// A write to be started.
    #[must_use]
    pub fn new(plan: WritePlan) -> Self {
        let tally = Tally::new(plan.homes.iter().cloned(), plan.w);
        Self { plan, tally, check: None, stamp: None, sibling: false, replied: false, finished: false }
    }

    /// A write of `If-None-Match: *`: `check` reads R homes first, and a value that it finds ends the write.
    #[must_use]
    pub fn only_if_absent(plan: WritePlan, check: ReadMachine) -> Self {
        let mut machine = Self::new(plan);
        machine.check = Some(Box::new(check));
        machine
    }

    /// Begins.
    pub fn start(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        match &mut self.check {
            None => effects.push(Effect::Coordinate),
            Some(check) => {
                check.start(now, effects);
                self.checked(effects);
            }
        }
    }

    /// Takes an answer.
    pub fn handle(&mut self, now: Moment, input: Input, effects: &mut Vec<Effect>) {
        if self.check.is_some() {
            if let Some(check) = &mut self.check {
                check.handle(now, input, effects);
            }
            self.checked(effects);
            return;
        }
        match input {
            Input::Coordinated(reply) => self.coordinated(*reply, effects),
            Input::Replica { from, to: Asked::Apply, reply } => self.acknowledged(&from, reply, effects),
            Input::Replica { to: Asked::Fetch | Asked::Probe, .. }
            | Input::Probed { .. }
            | Input::Forwarded { .. } => {}
        }
        self.settle(now, effects);
    }

    /// Looks at the deadlines.
    pub fn tick(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if let Some(check) = &mut self.check {
            check.tick(now, effects);
            self.checked(effects);
            return;
        }
        self.settle(now, effects);
    }

    /// When [`WriteMachine::tick`] is wanted next.
    #[must_use]
    pub fn wake_at(&self) -> Moment {
        match &self.check {
            Some(check) => check.wake_at(),
            None if self.replied => self.plan.follow_until,
            None => self.plan.deadline,
        }
    }

    /// Whether nothing more will come of it.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.finished
    }

    /// Whether this home stamped the write, so that it may be applied somewhere.
    #[must_use]
    pub fn stamped(&self) -> bool {
        self.stamp.is_some()
    }

    /// Turns the end of the check into the beginning of the write, or into its end.
    fn checked(&mut self, effects: &mut Vec<Effect>) {
        let Some(at) = effects.iter().position(|effect| matches!(effect, Effect::ReplyRead(_))) else {
            return;
        };
        let Effect::ReplyRead(result) = effects.remove(at) else { return };
        self.check = None;
        match result {
            Ok(reply) => {
                let object = reply.object.unwrap_or_default();
                if object.versions().iter().any(|version| !version.is_tombstone()) {
                    self.end(OperationError::Exists, effects);
                } else {
                    effects.push(Effect::Coordinate);
                }
            }
            Err(error) => self.end(error, effects),
        }
    }

    fn coordinated(&mut self, reply: CoordinateReply, effects: &mut Vec<Effect>) {
        match reply {
            CoordinateReply::Stamped { object, answered, created, again: _ } => {
                self.stamp = Some(Stamp { answered, created });
                self.sibling |= object.siblings().len() > 1;
                for home in self.plan.homes.iter().filter(|&home| *home != self.plan.me) {
                    effects.push(Effect::Apply { to: home.clone(), object: object.clone(), repair: None });
                }
            }
            CoordinateReply::Exists => self.end(OperationError::Exists, effects),
            CoordinateReply::Refused(refusal) => {
                self.tally.add(&self.plan.me.clone(), Err(refusal));
                let error = self.not_reached();
                self.end(error, effects);
            }
        }
    }

    fn acknowledged(&mut self, from: &NodeId, reply: ReplicaReply, effects: &mut Vec<Effect>) {
        match reply {
            ReplicaReply::Applied { siblings } => {
                self.sibling |= siblings > 1;
                self.tally.add(from, Ok(()));
            }
            ReplicaReply::Refused(refusal) => {
                let counts = planted::has(Bug::CountRefusals);
                self.tally.add(from, if counts { Ok(()) } else { Err(refusal) });
            }
            ReplicaReply::Fetched(_) | ReplicaReply::Probed(_) => return,
        }
        if self.replied {
            return;
        }
        if self.tally.enough() {
            self.reply(effects);
        } else if self.tally.hopeless() && self.tally.has_answered(&self.plan.me) {
            // What this home itself did is worth the wait for its sync: it tells `partial` from `unknown`.
            let error = self.not_reached();
            self.answer(Err(error), effects);
        }
    }

    fn reply(&mut self, effects: &mut Vec<Effect>) {
        let Some(Stamp { answered, created }) = self.stamp.clone() else { return };
        let reply = WriteReply {
            answered,
            write_id: self.plan.write_id,
            created,
            sibling: self.sibling,
            participation: Participation {
                acked_by: self.tally.yes(),
                required: self.plan.w,
                total: self.tally.total(),
            },
        };
        self.answer(Ok(reply), effects);
    }

    fn settle(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if !self.replied && now >= self.plan.deadline {
            let error = OperationError::Deadline {
                answered: self.tally.count(),
                needed: self.plan.w,
                total: self.tally.total(),
                outcome: self.outcome(),
            };
            self.answer(Err(error), effects);
        }
        let over = self.tally.complete() || now >= self.plan.follow_until;
        if self.replied && over && !self.finished {
            self.finished = true;
            effects.push(Effect::Unfollowed(self.tally.lacking()));
        }
    }

    fn not_reached(&self) -> OperationError {
        OperationError::NotReached {
            answered: self.tally.count(),
            needed: self.plan.w,
            total: self.tally.total(),
            outcome: self.outcome(),
            refusals: self.tally.refusals(),
        }
    }

    /// Once stamped, this home has applied the write, durable or not: it can never be said that nothing was.
    fn outcome(&self) -> Outcome {
        let refused_here =
            self.tally.refusals().iter().any(|(home, why)| *home == self.plan.me && why.changed_nothing());
        match (self.tally.count(), &self.stamp) {
            (0, None) if refused_here => Outcome::NotApplied,
            (0, _) => Outcome::Unknown,
            (applied, _) => Outcome::Partial { applied },
        }
    }

    fn end(&mut self, error: OperationError, effects: &mut Vec<Effect>) {
        self.answer(Err(error), effects);
        self.finished = true;
    }

    fn answer(&mut self, result: Result<WriteReply, OperationError>, effects: &mut Vec<Effect>) {
        if !self.replied {
            self.replied = true;
            effects.push(Effect::ReplyWrite(Box::new(result)));
        }
    }
}

/// A refusal at the coordinator itself before anything was stamped, which another home may be spared.
#[must_use]
pub(super) fn refused_before_anything(error: &OperationError) -> Option<Refusal> {
    match error {
        OperationError::NotReached { outcome: Outcome::NotApplied, refusals, .. } => {
            refusals.first().map(|(_, refusal)| *refusal)
        }
        _ => None,
    }
}
