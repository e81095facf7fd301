//! A write, as the home that coordinates it sees it.

use super::tally::Tally;
use super::{ApplyWhy, Asked, Effect, Input, ReadMachine, Unfollowed};
use crate::causality::{Answered, shows_a_value};
use crate::ids::{NodeId, WriteId};
use crate::message::{CoordinateReply, Refusal, ReplicaReply};
use crate::operation::{OperationError, Outcome, Participation, WriteReply};
use crate::planted::{self, Bug};
use crate::staleness::{Came, converged};
use crate::time::{Moment, WallMicros};

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
    /// When it began, by the hybrid clock: what has expired by then is not there.
    pub began: WallMicros,
    /// When the client is told, whatever happened by then.
    pub deadline: Moment,
    /// Until when late acknowledgements are followed.
    pub follow_until: Moment,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    answered: Answered,
    /// Whether this write had been carried out before.
    again: bool,
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
    /// Whether the write left more than one live version here.
    conflict: bool,
    /// When this home was asked to stamp it.
    begun: Moment,
    /// Since when the homes that acknowledged have it.
    came: Vec<Came>,
    replied: bool,
    finished: bool,
}

impl WriteMachine {
    /// A write to be started.
    #[must_use]
    pub fn new(plan: WritePlan) -> Self {
        let tally = Tally::new(plan.homes.iter().cloned(), plan.w);
        Self {
            plan,
            tally,
            check: None,
            stamp: None,
            sibling: false,
            conflict: false,
            begun: Moment(0),
            came: Vec::new(),
            replied: false,
            finished: false,
        }
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
            None => self.begin(now, effects),
            Some(check) => {
                check.start(now, effects);
                self.checked(now, effects);
            }
        }
    }

    /// Takes an answer.
    pub fn handle(&mut self, now: Moment, input: Input, effects: &mut Vec<Effect>) {
        if self.check.is_some() {
            if let Some(check) = &mut self.check {
                check.handle(now, input, effects);
            }
            self.checked(now, effects);
            return;
        }
        match input {
            Input::Coordinated(reply) => self.coordinated(*reply, effects),
            Input::Applied { from, siblings, came } => {
                self.sibling |= siblings > 1;
                if self.tally.add(&from, Ok(())) {
                    self.came.push(came.not_before(self.begun));
                }
                self.reply_if_enough(effects);
            }
            Input::Replica { from, to: Asked::Apply, reply: ReplicaReply::Refused(refusal) } => {
                let counts = planted::has(Bug::CountRefusals);
                self.tally.add(&from, if counts { Ok(()) } else { Err(refusal) });
                self.reply_if_enough(effects);
            }
            Input::Replica { .. } | Input::Probed { .. } | Input::Forwarded { .. } => {}
        }
        self.settle(now, effects);
    }

    /// Looks at the deadlines.
    pub fn tick(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if let Some(check) = &mut self.check {
            check.tick(now, effects);
            self.checked(now, effects);
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

    fn begin(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        self.begun = now;
        effects.push(Effect::Coordinate);
    }

    /// Turns the end of the check into the beginning of the write, or into its end.
    fn checked(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let Some(at) = effects.iter().position(|effect| matches!(effect, Effect::ReplyRead(_))) else {
            return;
        };
        let Effect::ReplyRead(result) = effects.remove(at) else { return };
        self.check = None;
        match result {
            Ok(reply) => {
                let object = reply.object.unwrap_or_default();
                // What was created by this very write is answered as it was then, by whoever stamps it.
                let again = object.answer_to(self.plan.write_id, None).is_some();
                if !again && shows_a_value(&object, reply.resolution, self.plan.began) {
                    self.end(OperationError::Exists, effects);
                } else {
                    self.begin(now, effects);
                }
            }
            Err(error) => self.end(error, effects),
        }
    }

    fn coordinated(&mut self, reply: CoordinateReply, effects: &mut Vec<Effect>) {
        match reply {
            CoordinateReply::Stamped { object, answered, again } => {
                let why = ApplyWhy::Write(answered.dot);
                self.stamp = Some(Stamp { answered, again });
                self.conflict = object.siblings().len() > 1;
                self.sibling |= self.conflict;
                for home in self.plan.homes.iter().filter(|&home| *home != self.plan.me) {
                    effects.push(Effect::Apply { to: home.clone(), object: object.clone(), why });
                }
            }
            CoordinateReply::Exists => self.end(OperationError::Exists, effects),
            CoordinateReply::Overfull(why) => self.end(why.into(), effects),
            CoordinateReply::Refused(refusal) => {
                self.tally.add(&self.plan.me.clone(), Err(refusal));
                let error = self.not_reached();
                self.end(error, effects);
            }
        }
    }

    fn reply_if_enough(&mut self, effects: &mut Vec<Effect>) {
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
        let Some(Stamp { answered, .. }) = self.stamp.clone() else { return };
        let reply = WriteReply {
            answered,
            write_id: self.plan.write_id,
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
            let Some(write) = self.unfollowed() else { return };
            if !write.lacking.is_empty() {
                effects.push(Effect::Unfollowed(Box::new(write)));
            } else if let Some(convergence) = converged(&write.came, write.w) {
                effects.push(Effect::Converged(write.dot, convergence));
            }
        }
    }

    /// The write and who lacks it; none before it is stamped, or if it was carried out before and is only answered
    /// again.
    #[must_use]
    pub fn unfollowed(&self) -> Option<Unfollowed> {
        let Stamp { answered, .. } = self.stamp.as_ref().filter(|stamp| !stamp.again)?;
        let (dot, hlc) = (answered.dot, answered.hlc);
        Some(Unfollowed {
            dot,
            hlc,
            w: self.plan.w,
            written: self.begun,
            came: self.came.clone(),
            lacking: self.tally.lacking(),
        })
    }

    /// Homes that have not acknowledged.
    #[must_use]
    pub fn lagging(&self) -> Vec<NodeId> {
        self.tally.lacking()
    }

    /// Whether the write left more than one live version here.
    #[must_use]
    pub fn conflict(&self) -> bool {
        self.conflict
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
