//! A write, as the node that the client asked sees it, home or not.

use super::write::refused_before_anything;
use super::{Effect, Input, WriteMachine};
use crate::ids::NodeId;
use crate::message::Refusal;
use crate::operation::{OperationError, Outcome};
use crate::planted::{self, Bug};
use crate::time::Moment;

/// Where the write is being coordinated.
#[derive(Debug, Clone)]
enum Stage {
    Here(Box<WriteMachine>),
    At(NodeId),
    Over,
}

/// Coordinates the write if this node is a home; else, or if this home refused before anything was done,
/// hands it to a home. Another is tried only if nothing was sent, or the one that was asked refused: a write
/// that may have been carried out is never given to a second coordinator.
#[derive(Debug, Clone)]
pub struct ClientWrite {
    stage: Stage,
    others: Vec<NodeId>,
    refusals: Vec<(NodeId, Refusal)>,
    total: u8,
    needed: u8,
    deadline: Moment,
}

/// What a write that is handed on needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardPlan {
    /// The other homes, the one to ask first in front. Empty if the write was handed to this node already.
    pub others: Vec<NodeId>,
    /// How many homes there are.
    pub total: u8,
    /// How many must acknowledge.
    pub needed: u8,
    /// When the client is told, whatever happened by then.
    pub deadline: Moment,
}

impl ClientWrite {
    /// A write that this node coordinates as a home, handing it on only if it must.
    #[must_use]
    pub fn at_home(machine: WriteMachine, plan: ForwardPlan) -> Self {
        Self::new(Stage::Here(Box::new(machine)), plan)
    }

    /// A write that a home elsewhere must coordinate.
    #[must_use]
    pub fn elsewhere(plan: ForwardPlan) -> Self {
        Self::new(Stage::Over, plan)
    }

    fn new(stage: Stage, plan: ForwardPlan) -> Self {
        let ForwardPlan { mut others, total, needed, deadline } = plan;
        others.reverse();
        Self { stage, others, refusals: Vec::new(), total, needed, deadline }
    }

    /// The write, if this node coordinates it.
    #[must_use]
    pub fn here(&self) -> Option<&WriteMachine> {
        match &self.stage {
            Stage::Here(machine) => Some(machine),
            Stage::At(_) | Stage::Over => None,
        }
    }

    /// Begins.
    pub fn start(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        match &mut self.stage {
            Stage::Here(machine) => machine.start(now, effects),
            Stage::At(_) | Stage::Over => self.hand_on(effects),
        }
        self.look_for_refusal(effects);
    }

    /// Takes an answer.
    pub fn handle(&mut self, now: Moment, input: Input, effects: &mut Vec<Effect>) {
        match (&mut self.stage, input) {
            (Stage::Here(machine), input) => machine.handle(now, input, effects),
            (Stage::At(home), Input::Forwarded { from, result }) if *home == from => {
                self.forwarded(from, *result, effects);
            }
            _ => {}
        }
        self.look_for_refusal(effects);
    }

    /// Looks at the deadlines.
    pub fn tick(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        match &mut self.stage {
            Stage::Here(machine) => machine.tick(now, effects),
            Stage::At(_) if now >= self.deadline => {
                let error = OperationError::Deadline {
                    answered: 0,
                    needed: self.needed,
                    total: self.total,
                    outcome: Outcome::Unknown,
                };
                self.end(error, effects);
            }
            Stage::At(_) | Stage::Over => {}
        }
        self.look_for_refusal(effects);
    }

    /// When [`ClientWrite::tick`] is wanted next.
    #[must_use]
    pub fn wake_at(&self) -> Moment {
        match &self.stage {
            Stage::Here(machine) => machine.wake_at(),
            Stage::At(_) | Stage::Over => self.deadline,
        }
    }

    /// Whether nothing more will come of it.
    #[must_use]
    pub fn finished(&self) -> bool {
        match &self.stage {
            Stage::Here(machine) => machine.finished(),
            Stage::At(_) => false,
            Stage::Over => true,
        }
    }

    /// Whether the write is coordinated elsewhere, so that no replica's answer is awaited here.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        !matches!(self.stage, Stage::Here(_))
    }

    /// A home that refused before anything was done hands the write on, if there is another to ask.
    fn look_for_refusal(&mut self, effects: &mut Vec<Effect>) {
        let Stage::Here(_) = &self.stage else { return };
        if self.others.is_empty() {
            return;
        }
        let at = effects.iter().position(|effect| match effect {
            Effect::ReplyWrite(result) => {
                matches!(&**result, Err(error) if refused_before_anything(error).is_some())
            }
            _ => false,
        });
        let Some(at) = at else { return };
        if let Effect::ReplyWrite(result) = effects.remove(at)
            && let Err(OperationError::NotReached { refusals, .. }) = *result
        {
            self.refusals.extend(refusals);
        }
        self.hand_on(effects);
    }

    fn forwarded(
        &mut self,
        from: NodeId,
        result: Result<Result<crate::operation::WriteReply, OperationError>, Refusal>,
        effects: &mut Vec<Effect>,
    ) {
        match result {
            Ok(Err(error)) if refused_before_anything(&error).is_some() => {
                let refusal = refused_before_anything(&error).unwrap_or(Refusal::NotSent);
                self.refusals.push((from, refusal));
                self.hand_on(effects);
            }
            Ok(result) => {
                self.stage = Stage::Over;
                effects.push(Effect::ReplyWrite(Box::new(result)));
            }
            Err(refusal) if refusal.changed_nothing() || planted::has(Bug::ForwardAfterSilence) => {
                self.refusals.push((from, refusal));
                self.hand_on(effects);
            }
            Err(refusal) => {
                self.refusals.push((from, refusal));
                let error = self.not_reached(Outcome::Unknown);
                self.end(error, effects);
            }
        }
    }

    fn hand_on(&mut self, effects: &mut Vec<Effect>) {
        match self.others.pop() {
            Some(home) => {
                effects.push(Effect::Forward { to: home.clone() });
                self.stage = Stage::At(home);
            }
            None => {
                let error = self.not_reached(Outcome::NotApplied);
                self.end(error, effects);
            }
        }
    }

    fn not_reached(&self, outcome: Outcome) -> OperationError {
        OperationError::NotReached {
            answered: 0,
            needed: self.needed,
            total: self.total,
            outcome,
            refusals: self.refusals.clone(),
        }
    }

    fn end(&mut self, error: OperationError, effects: &mut Vec<Effect>) {
        self.stage = Stage::Over;
        effects.push(Effect::ReplyWrite(Box::new(Err(error))));
    }
}
